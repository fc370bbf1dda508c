"""Strategies for what is not a number: formats, modes, orders, precisions, policies, tensors, networks, scripts.

Layer 13. Draws, checks nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from fpsim import amp, nn
from fpsim.autograd import Tensor, tensor
from fpsim.errors import ArgumentError, expected
from fpsim.formats import MODES, NAMED, Format
from fpsim.precision import Precision
from fpsim.testing.numbers import Shape, arrays, shapes, values

__all__ = [
    "LossScaleScript",
    "formats",
    "loss_scale_scripts",
    "orders",
    "policies",
    "precisions",
    "roundings",
    "small_nets",
    "tensors",
]

Draw = Any

#: Of the named formats those with arithmetic, the best known first, since examples shrink to the first.
_FIRST = ("float16", "float32", "float64", "bfloat16")
ARITHMETIC = sorted((f for f in NAMED if f.specials != "scale"), key=lambda f: (f.name not in _FIRST, NAMED.index(f)))


def formats(*, named: bool = False, max_bits: int = 64) -> st.SearchStrategy[Format]:
    """Formats with arithmetic: every named one, and unless `named` any split ``eXmY``; shrinks to float16.

    Parameters
    ----------
    named : bool
        Only formats that a standard or ml_dtypes names.
    max_bits : int
        The widest; at least 4.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(formats(), lambda fmt: not fmt.has_inf).name
    'float8_e4m3fn'
    """
    known = [f for f in ARITHMETIC if f.bits <= max_bits]
    if not known:
        raise ArgumentError(expected("formats", "max_bits of at least 4", f"max_bits={max_bits!r}", "use 4 to 64"))

    def split(bits: tuple[int, int]) -> Format:
        e, m = bits
        return Format(exponent_bits=e, significand_bits=min(m, max(max_bits - 1 - e, 1)))

    splits = st.tuples(st.integers(2, max(min(11, max_bits - 2), 2)), st.integers(1, 52)).map(split)
    return st.sampled_from(known) if named else st.sampled_from(known) | splits


def roundings(*, stochastic: bool = False) -> st.SearchStrategy[str]:
    """Rounding modes; shrinks to ``nearest_even``."""
    return st.sampled_from([mode for mode in MODES if stochastic or mode != "stochastic"])


def orders(*, blas: bool = False, fma: bool = False) -> st.SearchStrategy[str]:
    """Orders of summation; shrinks to ``sequential``.

    Parameters
    ----------
    blas : bool
        Also ``blas``, for float32 and float64 accumulators.
    fma : bool
        Only those that fuse multiplication and addition.
    """
    blocked = st.sampled_from([1, 2, 3, 4, 8, 64]).map("blocked:{}".format)
    plain = st.sampled_from(["sequential"] if fma else ["sequential", "pairwise", "kahan", "exact"])
    return plain | blocked | st.just("blas") if blas else plain | blocked


@st.composite
def _precisions(draw: Draw, storage: st.SearchStrategy[Format], deterministic: bool) -> Precision:
    stored = draw(storage)
    summed = draw(st.just(stored) | storage)
    fma = draw(st.booleans())
    modes = roundings(stochastic=not deterministic)
    return Precision(
        stored,
        summed,
        order=draw(orders(fma=fma)),
        fma=fma,
        rounding=draw(modes),
        acc_rounding=draw(modes),
        grad=draw(st.none() | storage),
        grad_rounding=draw(st.none() | modes),
        saturate=draw(st.booleans()),
        flush_subnormals=draw(st.booleans()),
    )


def precisions(
    formats: st.SearchStrategy[Format] | None = None, *, deterministic: bool = True
) -> st.SearchStrategy[Precision]:
    """Precisions of tensors with every detail drawn; shrinks to float16 stored and accumulated, in sequence.

    Parameters
    ----------
    formats : strategy of Format, optional
        Of storage, accumulator and gradient; default: the named ones.
    deterministic : bool
        No stochastic rounding.
    """
    return _precisions(_named() if formats is None else formats, deterministic)


def _named() -> st.SearchStrategy[Format]:
    return st.sampled_from(ARITHMETIC)


def policies() -> st.SearchStrategy[amp.Policy]:
    """Mixed-precision policies: Keras's, Apex's and jmp's, and others of any named formats; shrinks to float32."""
    names = ["float32", "mixed_float16", "mixed_bfloat16", "float16", "O0", "O1", "O2", "O3", "p=f32,c=bf16,o=f32"]
    made = st.builds(
        lambda param, compute, output, batchnorm: amp.Policy(param, compute, output, batchnorm=batchnorm),
        _named(),
        _named(),
        _named(),
        st.sampled_from(["policy", "wide_compute", "wide"]),
    )
    return st.sampled_from(names).map(amp.policy) | made


@st.composite
def _tensors(draw: Draw, precision: st.SearchStrategy[Precision], shape: Shape, requires_grad: bool | None) -> Tensor:
    chosen = draw(precision)
    data = draw(arrays(chosen.storage, shape))
    wanted = draw(st.booleans()) if requires_grad is None else requires_grad
    return tensor(data, precision=chosen, requires_grad=wanted)


def tensors(
    precision: Any = None, shape: Shape | None = None, *, requires_grad: bool | None = None
) -> st.SearchStrategy[Tensor]:
    """Tensors of finite values; what ``st.from_type(fp.Tensor)`` draws.

    Parameters
    ----------
    precision : precision, format, name or strategy of Precision, optional
        Default: any of `precisions`.
    shape : int, tuple or strategy, optional
        Default: any of `shapes`.
    requires_grad : bool, optional
        Default: drawn too.
    """
    if not isinstance(precision, st.SearchStrategy):
        precision = precisions() if precision is None else st.just(Precision.parse(precision))
    return _tensors(precision, shapes() if shape is None else shape, requires_grad)


# Networks ---------------------------------------------------------------------------------------------------

_ACTIVATIONS = (nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU)


@st.composite
def _small_nets(draw: Draw, precision: st.SearchStrategy[Precision], max_layers: int) -> tuple[nn.Module, Tensor]:
    chosen = draw(precision)
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    layers: list[nn.Module] = []
    shape: tuple[int, ...] = (draw(st.integers(1, 3)), size := draw(st.integers(1, 5)))
    if draw(st.booleans()):  # images
        side, channels, kernel = draw(st.integers(3, 6)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
        layers = [nn.Conv2d(1, channels, kernel, dtype=chosen, rng=rng), nn.Flatten()]
        shape, size = (shape[0], 1, side, side), channels * (side - kernel + 1) ** 2
    for _ in range(draw(st.integers(1, max_layers))):
        width = draw(st.integers(1, 4))
        layers += [nn.Linear(size, width, dtype=chosen, rng=rng), draw(st.sampled_from(_ACTIVATIONS))()]
        size = width
    x = draw(arrays(chosen.storage, shape, elements=_ordinary(chosen.storage)))
    return nn.Sequential(*layers), tensor(x, precision=chosen)


def _ordinary(fmt: Format) -> st.SearchStrategy[float]:
    return values(fmt, exponents=(max(-4, fmt.emin), min(1, fmt.emax)))


def small_nets(precision: Any = None, *, max_layers: int = 2) -> st.SearchStrategy[tuple[nn.Module, Tensor]]:
    """A small network and a batch for it: a convolution perhaps, then 1 to `max_layers` linear layers.

    Parameters
    ----------
    precision : precision, format, name or strategy of Precision, optional
        Of the layers and the batch; default: float16, bfloat16 or float32, with their own or a float32 accumulator.
    max_layers : int

    Returns
    -------
    strategy of (Module, Tensor)
    """
    if not isinstance(precision, st.SearchStrategy):
        names = ["float32", "float16", "float16/float32", "bfloat16", "bfloat16/float32"]
        chosen = st.sampled_from(names) if precision is None else st.just(precision)
        precision = chosen.map(Precision.parse)
    return _small_nets(precision, max_layers)


# Loss scaling -----------------------------------------------------------------------------------------------

#: Gradients of one step, by the largest scale at which they stay finite.
GRADIENTS = {"finite": math.inf, "large": 2.0**8, "inf": 0.0, "nan": 0.0}


@dataclass(frozen=True)
class LossScaleScript:
    """What a dynamic loss scale goes through: its rule's numbers, and the kind of the gradients in each step.

    ``finite`` gradients never overflow, ``large`` ones where the scale is above 256; ``inf`` and ``nan`` are never
    finite.
    """

    steps: tuple[str, ...]
    init_scale: float = 65536.0
    growth_factor: float = 2.0
    backoff_factor: float = 0.5
    growth_interval: int = 2

    @property
    def arguments(self) -> dict[str, Any]:
        """Keywords for `fp.amp.GradScaler` or for PyTorch's."""
        return {
            "init_scale": self.init_scale,
            "growth_factor": self.growth_factor,
            "backoff_factor": self.backoff_factor,
            "growth_interval": self.growth_interval,
        }

    def gradient(self, step: str) -> float:
        """The unscaled gradient of a step, to be multiplied by the scale in float32."""
        return {"finite": 2.0**-20, "large": 2.0**119, "inf": math.inf, "nan": math.nan}[step]

    def scales(self) -> list[float]:
        """The scale after each step by PyTorch's rule: back off at once, grow after so many good steps in a row."""
        scale, good, out = self.init_scale, 0, []
        for step in self.steps:
            if scale > GRADIENTS[step]:
                scale, good = scale * self.backoff_factor, 0
            else:
                good += 1
                if good == self.growth_interval:
                    scale, good = scale * self.growth_factor, 0
            out.append(scale)
        return out

    def play(self, step: Callable[[float], float]) -> list[float]:
        """Call ``step(gradient)`` for each step; it returns the scale after its update. The list of these."""
        return [step(self.gradient(kind)) for kind in self.steps]


def loss_scale_scripts(*, max_steps: int = 12) -> st.SearchStrategy[LossScaleScript]:
    """Scripts for testing a loss scaler; shrinks to few finite steps."""
    powers = st.integers(0, 16).map(lambda e: 2.0**e)
    return st.builds(
        LossScaleScript,
        st.lists(st.sampled_from(list(GRADIENTS)), min_size=1, max_size=max_steps).map(tuple),
        init_scale=powers,
        growth_factor=st.sampled_from([2.0, 4.0]),
        backoff_factor=st.sampled_from([0.5, 0.25]),
        growth_interval=st.integers(1, 4),
    )
