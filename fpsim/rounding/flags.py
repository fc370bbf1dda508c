"""The five exceptions of IEEE 754 that one rounded operation raises: inexact, underflow, overflow and the rest.

Layer 1. Judges a value and what it was rounded to, after the fact, in any mode and format; it rounds nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fpsim.formats import Format
from fpsim.rounding.kernel import Array
from fpsim.rounding.wide import Wide

__all__ = [
    "DIVIDE_BY_ZERO", "FLAGS", "INEXACT", "INVALID", "OVERFLOW", "UNDERFLOW", "are_quiet", "is_tiny", "raised",
]  # fmt: skip

#: Berkeley SoftFloat's bits.
INEXACT, UNDERFLOW, OVERFLOW, DIVIDE_BY_ZERO, INVALID = 1, 2, 4, 8, 16
#: Name of each flag, and its bit.
FLAGS = {
    "inexact": INEXACT,
    "underflow": UNDERFLOW,
    "overflow": OVERFLOW,
    "divide_by_zero": DIVIDE_BY_ZERO,
    "invalid": INVALID,
}

#: ``against(a, b, e)`` has the sign of ``|value| - (a + b) * 2**e``.
Against = Callable[[float, float, int], Array]


def raised(
    value: Array | Wide, rounded: Array, fmt: Format, mode: str = "nearest_even", operands: Sequence[Array] = ()
) -> Array:
    """The flags of each element, as a sum of bits; shape and order of `rounded`.

    Parameters
    ----------
    value : ndarray or Wide
        What was handed to the rounding: where it is infinite, the operation itself made it so.
    rounded : ndarray
        What was stored.
    fmt, mode
        The rounding.
    operands : sequence of ndarray
        What the operation had, element by element (they broadcast). Without any, infinities and NaNs came in.

    Notes
    -----
    Overflow: the value, rounded with an unbounded exponent, is beyond the largest finite number. Underflow: it is not
    zero, its rounding with an unbounded exponent is below the smallest normal number (tininess after rounding), and
    what is stored differs from it. Divide by zero: an infinity, exactly, out of finite operands. Invalid: a NaN out of
    operands without one, or a signaling NaN among them. (IEEE 754-2019, section 7.)

    Examples
    --------
    >>> import numpy as np, fpsim as fp
    >>> x = np.array([1.0, 0.1, 1e-6, 70000.0])
    >>> raised(x, fp.round(x, "float16"), fp.float16).tolist()
    [0, 1, 3, 5]
    """
    with np.errstate(all="ignore"):
        hi = value.hi if isinstance(value, Wide) else value
        finite, nan = np.isfinite(hi), np.isnan(rounded)
        differs = _differs(value, rounded)
        overflow = finite & (_overflows(value, fmt, mode) | ~np.isfinite(rounded))
        underflow = finite & differs & is_tiny(value, fmt, mode)
        inexact = overflow | (differs & ~nan)
        divide_by_zero = invalid = np.zeros(hi.shape, bool)
        if operands:
            infinite = np.isinf(hi)
            if infinite.any():
                divide_by_zero = infinite & _all(np.isfinite, operands, hi.shape)
            if nan.any():
                invalid = nan & ~overflow & _all(_is_number, operands, hi.shape)
                invalid = invalid | ~_all(_is_quiet, operands, hi.shape)
        flags = inexact * INEXACT + underflow * UNDERFLOW + overflow * OVERFLOW
        return np.asarray(flags + divide_by_zero * DIVIDE_BY_ZERO + invalid * INVALID, np.uint8)


def is_tiny(value: Array | Wide, fmt: Format, mode: str = "nearest_even") -> Array:
    """Where a value is not zero, and below the smallest normal number once rounded with an unbounded exponent."""
    hi = value.hi if isinstance(value, Wide) else value
    ulp = 2.0**-fmt.p  # of the binade below 2**emin
    return np.asarray((hi != 0) & ~_reaches(value, 1 - ulp, ulp, fmt.emin, mode, tie_reaches=True))


def _overflows(value: Array | Wide, fmt: Format, mode: str) -> Array:
    largest, ulp = float(np.ldexp(fmt.max, -fmt.emax)), 2.0**-fmt.significand_bits
    return _reaches(value, largest, ulp, fmt.emax, mode, tie_reaches=bool(largest / ulp % 2))


def _reaches(value: Array | Wide, below: float, ulp: float, exponent: int, mode: str, tie_reaches: bool) -> Array:
    """Whether rounding takes a magnitude to ``(below + ulp) * 2**exponent`` or further.

    ``below`` and ``below + ulp`` are neighbours; a tie between them goes to the upper one if `tie_reaches`.
    """
    against = _comparison(value)
    if mode in ("nearest_even", "nearest_away"):
        to_middle = against(below, ulp / 2, exponent)
        return np.asarray(to_middle >= 0 if tie_reaches or mode == "nearest_away" else to_middle > 0)
    reaches: Array = against(below, ulp, exponent) >= 0
    if mode in ("up", "down"):
        away = np.signbit(value.hi if isinstance(value, Wide) else value) == (mode == "down")
        reaches |= away & (against(below, 0.0, exponent) > 0)
    return reaches


def _comparison(value: Array | Wide) -> Against:
    if isinstance(value, Wide):
        size = np.abs(value)
        return lambda a, b, e: (size - (Wide(np.asarray(a), 0.0, e) + Wide(np.asarray(b), 0.0, e))).hi
    magnitude = np.abs(value).astype(np.float64, copy=False)
    # a bound that float64 cannot hold has none of its numbers between itself and where it is rounded to: upwards
    return lambda a, b, e: magnitude - np.ldexp(a + b, e)


def _differs(value: Array | Wide, rounded: Array) -> Array:
    if isinstance(value, Wide):
        rest: Array = (value - Wide.of(rounded)).hi
        return np.asarray((rest != 0) & ~np.isnan(rest)) | (np.isfinite(value.hi) != np.isfinite(rounded))
    return np.asarray(value != rounded)


def _all(holds: Callable[[Array], Array], operands: Sequence[Array], shape: tuple[int, ...]) -> Array:
    """Where all operands have a property."""
    everywhere = np.ones(shape, bool)
    for x in operands:
        everywhere &= holds(x)
    return everywhere


def _is_number(x: Array) -> Array:
    return ~np.isnan(x)


def are_quiet(x: Array, nan: Array) -> bool:
    """Whether none of the NaNs of `x`, which are at `nan`, is a signaling one."""
    if x.dtype.kind != "f" or x.dtype.itemsize > 8 or not nan.any():
        return True
    bits = np.ascontiguousarray(x).view(f"u{x.itemsize}").reshape(x.shape)
    common = int(np.bitwise_and.reduce(bits if nan.all() else bits[nan], axis=None))
    return bool(common >> (np.finfo(x.dtype).nmant - 1) & 1)


def _is_quiet(x: Array) -> Array:
    """Not a signaling NaN: its first significand bit is 0."""
    if x.dtype.kind != "f" or x.dtype.itemsize > 8:
        return np.ones(x.shape, bool)
    first = np.finfo(x.dtype).nmant - 1
    bits = np.ascontiguousarray(x).view(f"u{x.itemsize}").reshape(x.shape)
    return ~np.isnan(x) | (bits >> first & 1 == 1)
