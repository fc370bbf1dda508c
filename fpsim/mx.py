"""OCP Microscaling (MX) v1.0: blocks of narrow elements that share one power-of-two scale.

Layer 2. Arrays in, arrays or `Blocks` out; the elements are rounded by `rounding`. It knows no tensors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fpsim.errors import ArgumentError, FormatError, ShapeError, expected, nearest
from fpsim.formats import Format, float8_e8m0fnu
from fpsim.rounding import codes as patterns
from fpsim.rounding.codes import as_array, as_floats
from fpsim.rounding.kernel import Array, round_to
from fpsim.rounding.wide import Wide

__all__ = ["NAMES", "Blocks", "MXFormat", "Scaled", "encode", "quantized", "round"]

#: The specification's block, and the ends of its scale's exponent: E8M0 codes 2**-127 to 2**127, and NaN.
BLOCK = 32
LOWEST, HIGHEST = float8_e8m0fnu.emin, float8_e8m0fnu.emax
#: In place of the exponent of a scale that is NaN.
NAN_SCALE = HIGHEST + 1

_ELEMENTS = {
    "mxfp8_e4m3": "float8_e4m3fn",
    "mxfp8_e5m2": "float8_e5m2",
    "mxfp6_e3m2": "float6_e3m2fn",
    "mxfp6_e2m3": "float6_e2m3fn",
    "mxfp4_e2m1": "float4_e2m1fn",
}
_ALIASES = {"mxfp8": "mxfp8_e4m3", "mxfp6": "mxfp6_e3m2", "mxfp4": "mxfp4_e2m1"}
_NAME_OF = {Format(element): name for name, element in _ELEMENTS.items()}

#: The formats of the specification.
NAMES: tuple[str, ...] = tuple(_ELEMENTS)


@dataclass(frozen=True)
class MXFormat:
    """An MX format: the elements' format and how many of them share a scale.

    Parameters
    ----------
    element : format
        Any format with arithmetic. MX's own are E4M3, E5M2, E3M2, E2M3 and E2M1.
    block : int
        Elements of a block; 32 in the specification.

    Examples
    --------
    >>> import fpsim as fp
    >>> fp.mx.MXFormat.parse("mxfp4"), fp.mx.MXFormat("e3m4", block=16).bits_per_element
    (MXFormat('mxfp4_e2m1'), 8.5)
    """

    element: Format
    block: int = BLOCK

    def __post_init__(self) -> None:
        object.__setattr__(self, "element", Format(self.element))
        if self.element.specials == "scale":
            got = f"element={self.element.name}"
            raise FormatError(expected("MXFormat", "an element format with arithmetic", got, "it codes scales only"))
        whole = isinstance(self.block, int | np.integer) and not isinstance(self.block, bool)
        if not whole or self.block < 1:
            got = f"block={self.block!r}"
            raise ArgumentError(expected("MXFormat", "a block of at least 1 element", got, "the specification's is 32"))

    @classmethod
    def parse(cls, like: Any, block: int | None = None) -> MXFormat:
        """A format as it is, or by name: ``mxfp8_e4m3 mxfp8_e5m2 mxfp6_e3m2 mxfp6_e2m3 mxfp4_e2m1``.

        ``mxfp8``, ``mxfp6`` and ``mxfp4`` are E4M3, E3M2 and E2M1. `block` replaces the length of the blocks.
        """
        if isinstance(like, MXFormat):
            return like if block is None else cls(like.element, block)
        name = like.strip().lower() if isinstance(like, str) else like
        element = _ELEMENTS.get(_ALIASES.get(name, name)) if isinstance(name, str) else None
        if element is None:
            near = nearest(like, [*_ELEMENTS, *_ALIASES], otherwise=NAMES)
            remedy = f"did you mean {near}? Elements of your own: fp.mx.MXFormat('e3m4')"
            raise FormatError(expected("mx", "an MX format", repr(like), remedy))
        return cls(Format(element), BLOCK if block is None else block)

    @property
    def name(self) -> str:
        """The specification's name, with the block where that is not 32."""
        name = _NAME_OF.get(self.element, f"mx_{self.element.name}")
        return name if self.block == BLOCK else f"{name} in blocks of {self.block}"

    @property
    def bits_per_element(self) -> float:
        """Storage of an element with its share of the scale: 8.25 for MXFP8, 4.25 for MXFP4."""
        return self.element.bits + float8_e8m0fnu.bits / self.block

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        block = "" if self.block == BLOCK else f", block={self.block}"
        return f"MXFormat({_NAME_OF.get(self.element, self.element.name)!r}{block})"


class Scaled(NamedTuple):
    """An array in blocks: the elements over their block's scale, before and after rounding, and the scales' exponents.

    All have the array's shape with its axis split in two, (blocks, elements of a block); `exponents` has size 1 in the
    second, and `NAN_SCALE` where the scale is NaN.
    """

    before: Array
    elements: Array
    exponents: Array


@dataclass(frozen=True, eq=False)
class Blocks:
    """An array in MX: a code for each element and one for each block's scale.

    Attributes
    ----------
    codes : ndarray of unsigned integers
        The elements' codes, one in each integer, in the shape of the array.
    scales : ndarray of uint8
        The E8M0 codes of the scales; along `axis` one for each block.
    fmt : MXFormat
    axis : int
    """

    codes: Array
    scales: Array
    fmt: MXFormat
    axis: int = -1

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self.codes.shape

    @property
    def nbytes(self) -> int:
        """Bytes of the elements, packed without gaps, and of the scales."""
        return math.ceil(self.codes.size * self.fmt.element.bits / 8) + self.scales.size

    def values(self) -> Array:
        """``element * scale``, exactly: float32 where that holds them all, else float64."""
        elements = patterns.decode(self.codes, self.fmt.element).astype(np.float64)
        scales = patterns.decode(self.scales, float8_e8m0fnu).astype(np.float64)
        values = elements * np.repeat(scales, self.fmt.block, self.axis).take(
            np.arange(self.shape[self.axis]), self.axis
        )
        with np.errstate(over="ignore"):
            narrow = values.astype(np.float32)
        return narrow if np.array_equal(narrow, values, equal_nan=True) else values

    def __repr__(self) -> str:
        return f"Blocks({self.fmt.name}, shape={self.shape}, axis={self.axis}, {self.nbytes} bytes)"


def encode(x: Any, fmt: Any, axis: int = -1, block: int | None = None, pad: bool = False) -> Blocks:
    """An array as MX codes and scales, by the rules of `round`.

    Examples
    --------
    >>> import numpy as np, fpsim as fp
    >>> packed = fp.mx.encode(np.arange(64.0).reshape(2, 32), "mxfp8_e4m3")
    >>> packed.shape, packed.scales.tolist(), packed.nbytes
    ((2, 32), [[123], [124]], 66)
    """
    fmt = MXFormat.parse(fmt, block)
    array = _floats(x)
    axis = _checked("mx.encode", array, fmt, axis, pad)
    found = scaled(array, fmt, axis)
    codes = np.asarray(patterns.encode(found.elements, fmt.element))
    scales = np.where(found.exponents == NAN_SCALE, 255, found.exponents + float8_e8m0fnu.bias).astype(np.uint8)
    return Blocks(_joined(codes, array.shape, axis), scales.squeeze(axis + 1), fmt, axis)


def round(x: Any, fmt: Any, axis: int = -1, block: int | None = None, pad: bool = False) -> Any:  # NumPy's name
    """Values of `x` after conversion to an MX format, block by block along `axis`.

    Each block's scale is ``2**(floor(log2 max|x|) - emax)`` with emax the exponent of the element format's largest
    number (8, 15, 4, 2, 2 for E4M3, E5M2, E3M2, E2M3, E2M1). Elements ``x / scale`` are rounded to nearest even and
    saturate: at most the binade's top is lost.

    Parameters
    ----------
    x : array_like of real numbers
    fmt : str or MXFormat
        ``mxfp8_e4m3 mxfp8_e5m2 mxfp6_e3m2 mxfp6_e2m3 mxfp4_e2m1``.
    axis : int
        Along which neighbours share a scale.
    block : int, optional
        Elements of a block; the format's unless given.
    pad : bool
        A last block that is not full is filled with zeros for the conversion, which changes no value.

    Returns
    -------
    ndarray
        In the float dtype of `x` if that has the elements' precision, else float64.

    Raises
    ------
    ShapeError
        A block that does not divide the axis, without `pad`.
    FormatError
        A name that is no MX format.

    Notes
    -----
    Precision: the scale is exact, an element is rounded once. NaN or infinity in a block make its scale NaN and so all
    of it; so does a scale beyond 2**127. A scale below 2**-127, as of a block of zeros, is 2**-127. From the OCP
    Microscaling Formats Specification v1.0 (2023), section 6.3, and its reference library, microxcaling.

    Examples
    --------
    >>> import fpsim as fp
    >>> fp.mx.round([1.0, 0.3, -0.05, 1.9], "mxfp4", block=4)
    array([ 1.  ,  0.25, -0.  ,  1.5 ])
    """
    fmt = MXFormat.parse(fmt, block)
    given, array = as_array("mx.round", x), _floats(x)
    axis = _checked("mx.round", array, fmt, axis, pad)
    values = _joined(values_of(scaled(array, fmt, axis)), array.shape, axis)
    own = given.dtype if given.dtype.kind == "f" and given.dtype.itemsize <= 8 else np.dtype(np.float64)
    return values.astype(own if Format(own).p >= fmt.element.p else np.float64)


def scaled(x: Array, fmt: MXFormat, axis: int) -> Scaled:
    """The elements of float32 or float64 numbers, over their scales; the last block may be short of numbers."""
    x = _split(x, fmt.block, axis)
    at = axis + 1
    with np.errstate(all="ignore"):
        largest = np.abs(x).max(axis=at, keepdims=True, initial=0.0)
        exponents = np.frexp(largest)[1] - 1 - fmt.element.emax
        exponents = np.where(largest == 0, LOWEST, np.maximum(exponents, LOWEST))
        exponents = np.where(np.isfinite(largest) & (exponents <= HIGHEST), exponents, NAN_SCALE)
        # what float32 loses here, of numbers far below their block's largest, is zero in the element format anyway
        narrow = x.dtype == np.float32 and -120 < fmt.element.emin - fmt.element.p and fmt.element.emax < 120
        before = x * np.ldexp(x.dtype.type(1), -exponents) if narrow else np.ldexp(x.astype(np.float64), -exponents)
        if (exponents == NAN_SCALE).any():
            before = np.where(exponents == NAN_SCALE, 0.0, before).astype(before.dtype)
        return Scaled(before, round_to(before, fmt.element, saturate=True), exponents)


def values_of(blocks: Scaled) -> Array:
    """``element * scale``, in blocks, float32 for float32 numbers: exact, as the scale came from them."""
    dtype = blocks.before.dtype.type
    with np.errstate(all="ignore"):
        values = blocks.elements.astype(dtype, copy=False) * np.ldexp(dtype(1), blocks.exponents)
        if (blocks.exponents == NAN_SCALE).any():
            values = np.where(blocks.exponents == NAN_SCALE, dtype(np.nan), values)
    return values


def _floats(x: Any) -> Array:
    floats = as_floats("mx", x)
    return floats.value() if isinstance(floats, Wide) else floats


def _checked(op: str, x: Array, fmt: MXFormat, axis: Any, pad: bool) -> int:
    """The axis counted from 0; refuses blocks that do not divide it."""
    whole = isinstance(axis, int | np.integer) and not isinstance(axis, bool)
    if not whole or not -x.ndim <= axis < x.ndim:
        got = f"axis={axis!r} for x.shape={x.shape}"
        raise ShapeError(expected(op, "an axis of an array of at least one dimension", got, "count from 0 or from -1"))
    length = x.shape[axis]
    if length % fmt.block and not pad:
        got = f"{length} along axis {axis} of x.shape={x.shape}"
        remedy = "choose another axis or block=, or fill the last block with zeros by pad=True"
        raise ShapeError(expected(op, f"a multiple of the block, {fmt.block}", got, remedy))
    return int(axis) % x.ndim


def _split(x: Array, block: int, axis: int) -> Array:
    """`axis` as two: blocks and their elements; zeros fill the last one."""
    missing = -x.shape[axis] % block
    if missing:
        x = np.pad(x, [(0, missing if i == axis else 0) for i in range(x.ndim)])
    return x.reshape(*x.shape[:axis], x.shape[axis] // block, block, *x.shape[axis + 1 :])


def _joined(blocks: Array, shape: tuple[int, ...], axis: int) -> Array:
    """The two axes as one again, what was filled in cut off."""
    x = blocks.reshape(*shape[:axis], -1, *shape[axis + 1 :]) if blocks.size else blocks.reshape(shape)
    return x if x.shape == shape else x[(*[slice(None)] * axis, slice(shape[axis]))]


def quantized(x: Array, fmt: MXFormat, axis: int) -> tuple[Array, Scaled]:
    """The values of an array in MX, and what was rounded on the way, both in its shape; the last block may be short."""
    blocks = scaled(x, fmt, axis)
    joined = (_joined(part, x.shape, axis) for part in (values_of(blocks), blocks.before, blocks.elements))
    values, before, elements = joined
    return values, Scaled(before, elements, blocks.exponents.squeeze(axis + 1))
