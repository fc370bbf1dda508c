"""How one operand is brought into FP8 or MX: the rules of scaling, and for each operand its scale and its history.

Layer 6. `quantization` puts three quantisers into a layer; nothing here knows layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fpsim.errors import ArgumentError, FormatError, expected
from fpsim.formats import Format, float8_e4m3fn, float8_e5m2
from fpsim.mx import MXFormat, quantized
from fpsim.nn import Module
from fpsim.rounding.kernel import Array, round_to

__all__ = ["BlockScaling", "CurrentScaling", "DelayedScaling", "Quantised", "Scaling"]

FLOAT32_MAX = np.finfo(np.float32).max


class Quantised(NamedTuple):
    """An operand as a product takes it: its values, and the scale that they still carry (1 for blocks).

    `before` and `after` are what was handed to the rounding and what it gave, in the element format.
    """

    values: Array
    scale: np.float32
    before: Array
    after: Array


@dataclass(frozen=True)
class CurrentScaling:
    """Each tensor is scaled by its own largest magnitude: ``scale = max of the format / 2**margin / amax``.

    Parameters
    ----------
    forward, backward : format
        Of weights and activations, and of gradients: E4M3 and E5M2 ("hybrid") unless given.
    margin : float
        Powers of two left free above amax.
    power_of_two : bool
        Scales are rounded down to a power of two, so that scaling is exact.
    saturate : bool
        Values beyond the largest number become it; else infinity, or NaN in a format without.

    Notes
    -----
    Precision: amax and the scale are float32 numbers, their quotient is rounded once; ``x * scale`` is rounded to
    float32 (of float64 tensors to float64), then to the format, to nearest even. amax 0, infinite or NaN: scale 1; a
    scale beyond float32: its largest number. NVIDIA's Transformer Engine does the same (recipe_common.cuh).

    Examples
    --------
    >>> import fpsim as fp
    >>> fp.amp.CurrentScaling()
    CurrentScaling(E4M3 forward, E5M2 backward)
    >>> float(fp.amp.CurrentScaling().scale_for(2.0, fp.float8_e4m3fn))
    224.0
    """

    forward: Any = float8_e4m3fn
    backward: Any = float8_e5m2
    margin: float = 0
    power_of_two: bool = False
    saturate: bool = True

    def __post_init__(self) -> None:
        for name in ("forward", "backward"):
            fmt = Format(getattr(self, name))
            object.__setattr__(self, name, fmt)
            if fmt.specials == "scale":
                raise FormatError(expected(_name(self), "formats with arithmetic", f"{name}={fmt.name}", "take FP8"))
        for name in ("power_of_two", "saturate"):
            if not isinstance(getattr(self, name), bool):
                got = f"{name}={getattr(self, name)!r}"
                raise ArgumentError(expected(_name(self), "True or False", got, "choose one"))
        sound = isinstance(self.margin, int | float) and not isinstance(self.margin, bool)
        if not sound or not -100 <= self.margin <= 100:
            got = f"margin={self.margin!r}"
            raise ArgumentError(expected(_name(self), "a margin from -100 to 100", got, "0 leaves none free"))

    def scale_for(self, amax: Any, fmt: Format) -> np.float32:
        """The scale for a tensor of this largest magnitude; 1 where there is none to tell."""
        amax = np.float32(amax)
        if not np.isfinite(amax) or amax == 0:
            return np.float32(1)
        with np.errstate(all="ignore"):
            scale = np.float32(fmt.max * 2.0**-self.margin) / amax
        scale = min(scale, FLOAT32_MAX)
        return np.float32(np.ldexp(1.0, int(np.frexp(scale)[1]) - 1)) if self.power_of_two else np.float32(scale)

    def quantizer(self, backward: bool = False) -> Quantizer:
        """A new quantiser of one operand."""
        return Quantizer(self, self.backward if backward else self.forward)

    @property
    def in_words(self) -> str:
        """For a recipe's columns."""
        return f"{_formats(self)}, current scaling"

    def __repr__(self) -> str:
        return f"{_name(self)}({_formats(self, ' forward', ' backward')}{_others(self)})"


@dataclass(frozen=True, repr=False)
class DelayedScaling(CurrentScaling):
    """A tensor is scaled by the largest magnitudes of earlier steps, so that it need not be read twice.

    Parameters
    ----------
    forward, backward, margin, power_of_two, saturate
        As for `CurrentScaling`.
    amax_history_len : int
        Of how many steps.
    amax_compute_algo : str
        ``max`` of the history, or ``most_recent``.

    Notes
    -----
    The scale in force was made from the history before the tensor came; it starts at 1. Then the tensor's amax enters
    the history, the oldest leaves, and the next scale is made; if the history's amax is 0, infinite or NaN the scale
    stays. Passes without gradients change nothing. From Transformer Engine (delayed_scaling.cu), which keeps 1024.

    Examples
    --------
    >>> import fpsim as fp
    >>> fp.amp.DelayedScaling(margin=1)
    DelayedScaling(E4M3 forward, E5M2 backward, margin=1, max of 16 amax)
    """

    amax_history_len: int = 16
    amax_compute_algo: str = "max"

    def __post_init__(self) -> None:
        super().__post_init__()
        length = self.amax_history_len
        if not isinstance(length, int | np.integer) or isinstance(length, bool) or not 1 <= length <= 1 << 16:
            got = f"amax_history_len={length!r}"
            raise ArgumentError(expected(_name(self), "a history of 1 to 65536 steps", got, "take 16"))
        if self.amax_compute_algo not in ("max", "most_recent"):
            got = f"amax_compute_algo={self.amax_compute_algo!r}"
            raise ArgumentError(expected(_name(self), "'max' or 'most_recent'", got, "choose one"))

    def quantizer(self, backward: bool = False) -> Quantizer:
        """A new quantiser of one operand."""
        return DelayedQuantizer(self, self.backward if backward else self.forward)

    @property
    def in_words(self) -> str:
        """For a recipe's columns."""
        return f"{_formats(self)}, delayed scaling"


@dataclass(frozen=True)
class BlockScaling:
    """Operands in MX: blocks of 32 along the summed axis of each product, with power-of-two scales.

    Parameters
    ----------
    forward : str or MXFormat
        Of weights and activations.
    backward : str or MXFormat, optional
        Of gradients; as `forward` unless given.
    block : int, optional
        Elements of a block.

    Notes
    -----
    Precision: see `fp.mx.round`. In backward the tensors are converted again along the axis then summed, from the
    values before any conversion. A last block that is not full is filled up with zeros.

    Examples
    --------
    >>> import fpsim as fp
    >>> fp.amp.BlockScaling("mxfp4")
    BlockScaling('mxfp4_e2m1')
    """

    forward: Any = "mxfp8_e4m3"
    backward: Any = None
    block: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "forward", MXFormat.parse(self.forward, self.block))
        backward = self.forward if self.backward is None else MXFormat.parse(self.backward, self.block)
        object.__setattr__(self, "backward", backward)

    def quantizer(self, backward: bool = False) -> BlockQuantizer:
        """A new quantiser of one operand."""
        return BlockQuantizer(self, self.backward if backward else self.forward)

    @property
    def in_words(self) -> str:
        """For a recipe's columns."""
        names = dict.fromkeys((self.forward.name, self.backward.name))
        return "/".join(names)

    def __repr__(self) -> str:
        backward = "" if self.backward == self.forward else f", backward={self.backward.name!r}"
        return f"BlockScaling({self.forward.name!r}{backward})"


Scaling = CurrentScaling | BlockScaling


# One operand ---------------------------------------------------------------------------------------------------------


class Quantizer(Module):
    """Brings one operand of a layer into a format, scaled by the largest magnitude that it has.

    Attributes
    ----------
    format : Format
    scale : np.float32
        Of the next tensor where it is known before, else of the last one.
    amax : np.float32
        Largest magnitude of the last tensor; 0 before there was one.
    """

    def __init__(self, scaling: CurrentScaling, fmt: Format) -> None:
        super().__init__()
        self.scaling, self.format = scaling, fmt
        self.amax = np.float32(0)
        self._start()

    def _start(self) -> None:
        self.scale = np.float32(1)

    def scale_of(self, x: Array, update: bool) -> np.float32:
        """The scale for a tensor."""
        self.amax = _largest(x)
        self.scale = self.scaling.scale_for(self.amax, self.format)
        return self.scale

    def quantised(self, x: Array, scale: np.float32, axis: int) -> Quantised:
        """A tensor, scaled and rounded."""
        with np.errstate(all="ignore"):
            before = np.multiply(x, x.dtype.type(scale), dtype=x.dtype, order="C")
        after = round_to(before, self.format, saturate=self.scaling.saturate)
        return Quantised(after, scale, before, after)

    def extra_repr(self) -> str:
        """Format and scale."""
        return f"{self.format.name}, scale={self.scale:g}"


class DelayedQuantizer(Quantizer):
    """The same with a scale made from earlier tensors.

    Attributes
    ----------
    history : ndarray of float32
        Largest magnitudes, the last one first; 0 where there were fewer. Saved with the scale in the `state_dict`.
    """

    scaling: DelayedScaling
    history: Array

    def _start(self) -> None:
        self.register_buffer("scale", np.float32(1))
        self.register_buffer("history", np.zeros(self.scaling.amax_history_len, np.float32))

    def scale_of(self, x: Array, update: bool) -> np.float32:
        """The scale in force; with `update` the tensor then enters the history."""
        scale = self.scale
        if update:
            self.amax = _largest(x)
            self.history = np.concatenate([[self.amax], self.history[:-1]], dtype=np.float32)
            # (a NaN hides no number of the history: CUDA's fmaxf)
            recent = self.scaling.amax_compute_algo == "most_recent"
            amax = self.amax if recent else np.fmax.reduce(self.history)
            if np.isfinite(amax) and amax > 0:
                self.scale = self.scaling.scale_for(amax, self.format)
        return np.float32(scale)


class BlockQuantizer(Module):
    """Brings one operand of a layer into an MX format.

    Attributes
    ----------
    format : MXFormat
    amax : np.float32
        Largest magnitude of the last tensor.
    exponents : ndarray of integers
        Of the scales of the last tensor's blocks, one for each; 128 where the scale is NaN.
    """

    def __init__(self, scaling: BlockScaling, fmt: MXFormat) -> None:
        super().__init__()
        self.scaling, self.format = scaling, fmt
        self.amax = np.float32(0)
        self.exponents = np.zeros(0, np.int32)

    def scale_of(self, x: Array, update: bool) -> np.float32:
        """1: the values that blocks give carry no scale."""
        self.amax = _largest(x)
        return np.float32(1)

    def quantised(self, x: Array, scale: np.float32, axis: int) -> Quantised:
        """A tensor in blocks along an axis."""
        values, blocks = quantized(x, self.format, axis)
        self.exponents = blocks.exponents
        return Quantised(values, scale, blocks.before, blocks.elements)

    def extra_repr(self) -> str:
        """The format."""
        return self.format.name


def _largest(x: Array) -> np.float32:
    """The largest magnitude, in float32; NaN where there is one."""
    if x.size == 0:
        return np.float32(0)
    with np.errstate(all="ignore"):
        return np.float32(max(abs(x.max()), abs(x.min())) if not np.isnan(high := x.max()) else high)


def _name(scaling: Any) -> str:
    return type(scaling).__name__


def _formats(scaling: CurrentScaling, *of: str) -> str:
    """``E4M3/E5M2``, with words for each direction where they are given."""
    names = [_short(fmt) for fmt in (scaling.forward, scaling.backward)]
    if of:
        return ", ".join(name + word for name, word in zip(names, of, strict=True))
    return "/".join(dict.fromkeys(names))


def _short(fmt: Format) -> str:
    return {float8_e4m3fn: "E4M3", float8_e5m2: "E5M2"}.get(fmt, fmt.name)


def _others(scaling: CurrentScaling) -> str:
    text = f", margin={scaling.margin:g}" if scaling.margin else ""
    text += ", powers of two" if scaling.power_of_two else ""
    text += "" if scaling.saturate else ", not saturating"
    if isinstance(scaling, DelayedScaling):
        what = "max of" if scaling.amax_compute_algo == "max" else "most recent of"
        text += f", {what} {scaling.amax_history_len} amax"
    return text
