"""One rounding in exact arithmetic: a format's grid of numbers, in fractions.

Layer 13. An oracle: it takes a format's four defining fields and derives everything else itself. It must not use the
rounding that it judges.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache
from typing import Any

import numpy as np

from fpsim.errors import ArgumentError, FormatError, expected
from fpsim.formats import Format

__all__ = ["MODES", "Grid", "Real", "code", "floor_log2", "grid_of", "neighbours", "real", "round", "two", "ulp"]

#: The rounding modes that need no randomness.
MODES = ("nearest_even", "nearest_away", "toward_zero", "up", "down")

#: What is rounded: an exact number, or a float where it must be one: -0, infinities and NaN.
Real = Fraction | float


@cache
def two(exponent: int) -> Fraction:
    """``2**exponent``."""
    return Fraction(2) ** exponent


@dataclass(frozen=True)
class Grid:
    """The numbers of a format: widths, exponent of the smallest normal number, largest finite number, specials."""

    exponent_bits: int
    significand_bits: int
    emin: int
    max: Fraction
    has_inf: bool = True
    has_nan: bool = True
    has_negative_zero: bool = True

    @property
    def bits(self) -> int:
        """Width of a code."""
        return 1 + self.exponent_bits + self.significand_bits

    @property
    def p(self) -> int:
        """Precision: significand bits, the hidden one counted."""
        return self.significand_bits + 1

    @property
    def quantum(self) -> Fraction:
        """The least positive number."""
        return two(self.emin - self.significand_bits)

    @property
    def unit_roundoff(self) -> Fraction:
        """The largest relative error of one rounding to nearest."""
        return two(-self.p)


def grid_of(fmt: Any) -> Grid:
    """The grid of anything that is a format, derived from its four fields by the standards' definitions.

    >>> grid_of("float8_e4m3fn").max
    Fraction(448, 1)
    """
    return fmt if isinstance(fmt, Grid) else _grid_of(Format(fmt))


@cache
def _grid_of(fmt: Format) -> Grid:
    m, top = fmt.significand_bits, 2**fmt.exponent_bits - 1 - fmt.bias
    if fmt.specials == "scale":
        raise FormatError(expected("exact", "a format with arithmetic", f"format={fmt.name}", "it codes scales only"))
    largest = {
        "ieee": (2 - two(-m)) * two(top - 1),  # the largest exponent codes infinity and NaN
        "fn": (2 - two(1 - m)) * two(top),  # the all-ones code is NaN
        "fnuz": (2 - two(-m)) * two(top),
        "finite": (2 - two(-m)) * two(top),
    }[fmt.specials]
    has_inf, has_nan = fmt.specials == "ieee", fmt.specials != "finite"
    return Grid(fmt.exponent_bits, m, 1 - fmt.bias, largest, has_inf, has_nan, fmt.specials != "fnuz")


def real(x: Any) -> Real:
    """A number of any kind as the oracle's: a fraction, or a float for zeros, infinities and NaN."""
    if x != x or x in (0, math.inf, -math.inf):
        return float(x)
    if hasattr(x, "as_integer_ratio"):
        return Fraction(*x.as_integer_ratio())
    return Fraction(int(x)) if isinstance(x, np.integer) else Fraction(float(x))  # ml_dtypes' numbers


def each(function: Callable[..., Any], x: Any, dtype: type = object) -> Any:
    """`function` of a number, or of every element of an array or list."""
    if not isinstance(x, np.ndarray | list | tuple):
        return function(x)
    x = np.asarray(x)
    out = np.empty(x.shape, dtype)
    for i in np.ndindex(x.shape):
        out[i] = function(x[i])
    return out


def floor_log2(x: Fraction) -> int:
    """The exponent e with ``2**e <= x < 2**(e + 1)``."""
    e = x.numerator.bit_length() - x.denominator.bit_length()
    return e if two(e) <= x else e - 1


def ulp(x: Any, fmt: Any) -> Any:
    """The weight of the last place at `x`: ``2**(max(e, emin) - significand_bits)``, ``2**e <= |x| < 2**(e+1)``.

    As if exponents went on for ever past the largest number.

    Parameters
    ----------
    x : finite number of any kind, or an array of them
    fmt : format

    Returns
    -------
    Fraction, or an object array of them

    Examples
    --------
    >>> ulp(1, "float16"), ulp(0, "float16") == Fraction(1, 2**24)
    (Fraction(1, 1024), True)
    """
    grid = grid_of(fmt)
    return each(lambda v: _ulp(abs(Fraction(real(v))), grid), x)


def _ulp(magnitude: Fraction, grid: Grid) -> Fraction:
    e = floor_log2(magnitude) if magnitude else grid.emin
    return two(max(e, grid.emin) - grid.significand_bits)


def in_ulps(magnitude: Fraction, grid: Grid) -> tuple[int, Fraction, Fraction]:
    """Whole ulps, the part of one above them, and the ulp."""
    step = _ulp(magnitude, grid)
    n, part = divmod(magnitude / step, 1)
    return n, part, step


def around(x: Fraction, grid: Grid) -> tuple[Fraction, Fraction, Fraction]:
    """The numbers that enclose ``|x|``, exponents unbounded, and where it lies between them: 0 <= position < 1."""
    n, position, step = in_ulps(abs(x), grid)
    return n * step, (n + 1) * step, position


def neighbours(x: Any, fmt: Any) -> tuple[float, float]:
    """The largest value of the format that is at most `x` and the least that is at least `x`: equal for its own.

    >>> neighbours(Fraction(1, 3), "float16")
    (0.333251953125, 0.33349609375)
    """
    return round(x, fmt, "down"), round(x, fmt, "up")


def goes_away(n_odd: bool, position: Fraction, negative: bool, mode: str) -> bool:
    """Whether a magnitude at `position` above its lower neighbour takes the upper one."""
    if mode == "nearest_even":
        return position > Fraction(1, 2) or (position == Fraction(1, 2) and n_odd)
    if mode == "nearest_away":
        return position >= Fraction(1, 2)
    return position > 0 and mode == ("down" if negative else "up")


def delivered(magnitude: Fraction, negative: bool, grid: Grid, mode: str, saturate: bool, flush: bool) -> float:
    """A magnitude on the unbounded grid as the format's own value."""
    if magnitude > grid.max:
        inward = mode in ("toward_zero", "up" if negative else "down")
        if saturate or inward or not grid.has_nan:
            magnitude = grid.max
        elif grid.has_inf:
            return -math.inf if negative else math.inf
        else:
            return math.nan
    if flush and magnitude < two(grid.emin):
        magnitude = Fraction(0)
    if magnitude == 0:
        return -0.0 if negative and grid.has_negative_zero else 0.0
    return float(-magnitude if negative else magnitude)


def round(
    value: Any, fmt: Any, mode: str = "nearest_even", saturate: bool = False, flush_subnormals: bool = False
) -> Any:
    """The value of the format that one rounding of an exact number gives, by IEEE 754 and OCP.

    Parameters
    ----------
    value : Fraction, int, float, NumPy scalar, or an array of them
        Floats mean their own exact value; only they can be -0, infinite or NaN.
    fmt : format
    mode : str
        ``nearest_even nearest_away toward_zero up down``.
    saturate : bool
        Overflow gives the largest finite number.
    flush_subnormals : bool
        Results below the smallest normal number become zero.

    Returns
    -------
    float, or an array of float64

    Raises
    ------
    FormatError
        NaN in a format that has none.

    Examples
    --------
    >>> round(Fraction(1, 10), "float16"), round(65520, "float16"), round(65520, "float16", "toward_zero")
    (0.0999755859375, inf, 65504.0)
    """
    grid = grid_of(fmt)
    if mode not in MODES:
        raise ArgumentError(
            expected("exact.round", f"a mode of {', '.join(MODES)}", f"mode={mode!r}", "choose one of them")
        )
    return each(lambda v: round_real(real(v), grid, mode, saturate, flush_subnormals), value, float)


def round_real(
    value: Real, grid: Grid, mode: str = "nearest_even", saturate: bool = False, flush: bool = False
) -> float:
    """`round` of the oracle's own numbers, unchecked."""
    if isinstance(value, float):
        if special := _special(value, grid, saturate):
            return special[0]
        value = Fraction(value)
    return round_fraction(value, grid, mode, saturate, flush)


def _special(value: float, grid: Grid, saturate: bool) -> tuple[float] | None:
    """What becomes of a zero, an infinity or a NaN; None for other numbers."""
    negative = math.copysign(1, value) < 0
    if math.isnan(value):
        if not grid.has_nan:
            got = f"nan for an e{grid.exponent_bits}m{grid.significand_bits} of numbers only"
            raise FormatError(expected("exact.round", "a format with NaN", got, "leave NaN out"))
        return (math.nan,)
    if math.isinf(value):
        if saturate or not grid.has_nan:
            return (float(-grid.max if negative else grid.max),)
        return (value if grid.has_inf else math.nan,)
    if value == 0:
        return (-0.0 if negative and grid.has_negative_zero else 0.0,)
    return None


@lru_cache(maxsize=1 << 16)
def round_fraction(value: Fraction, grid: Grid, mode: str, saturate: bool, flush: bool) -> float:
    """One rounding of a fraction; sums meet the same ones again and again."""
    n, position, step = in_ulps(abs(value), grid)
    n += goes_away(n % 2 == 1, position, value < 0, mode)
    return delivered(n * step, value < 0, grid, mode, saturate, flush)


def code(x: float, fmt: Any) -> int | None:
    """The bits of a value as an integer: sign, exponent, significand; None where the format does not have it.

    NaN has the quiet code.

    >>> hex(code(1.0, "float16")), code(1 / 3, "float16")
    ('0x3c00', None)
    """
    grid = grid_of(fmt)
    m, sign = grid.significand_bits, int(math.copysign(1, x) < 0) << (grid.bits - 1)
    top = (2**grid.exponent_bits - 1) << m
    if math.isnan(x):
        quiet = top | 1 << max(m - 1, 0) if grid.has_inf else 2 ** (grid.bits - 1) - 1
        return None if not grid.has_nan else quiet if grid.has_negative_zero else 1 << (grid.bits - 1)
    if math.isinf(x):
        return sign | top if grid.has_inf else None
    if x == 0:
        return sign if grid.has_negative_zero or not sign else None
    magnitude = abs(Fraction(x))
    n, part, step = in_ulps(magnitude, grid)
    if part or magnitude > grid.max:
        return None
    return sign | ((floor_log2(step) + m - grid.emin) << m) + n
