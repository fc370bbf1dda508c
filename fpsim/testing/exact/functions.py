"""Correctly rounded functions by refinement: mpmath with as many bits as it takes to know the rounding.

Layer 13. An oracle: nothing here rounds but `grid.round_real`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import mpmath
import numpy as np

from fpsim.errors import ArgumentError, expected, nearest
from fpsim.testing.exact.grid import Grid, Real, each, grid_of, real, round_real, two

__all__ = ["FUNCTIONS", "approximate", "refine", "softmax"]

#: Bits that mpmath's result may be off, generously: it promises the last one or two of its working precision.
DOUBT = 24
#: Beyond float64's range, whichever way: for a result so large or so small its size does not matter.
HUGE = 3000


def _nothing(x: Fraction) -> Real | None:
    return None


@dataclass(frozen=True)
class Function:
    """A real function of one number, for rational arguments.

    `of(mp, x)` is its formula on mpmath's numbers, `known(x)` the exact value where that is rational (anywhere else it
    must be irrational, or refinement would not end), `extreme(x)` a rational stand-in where the formula would take for
    ever, `special` the values at -inf, -0, +0, +inf (None: the formula's own).
    """

    of: Callable[[Any, Any], Any]
    special: tuple[float | None, float | None, float | None, float | None]
    known: Callable[[Fraction], Real | None] = _nothing
    extreme: Callable[[Fraction], Real | None] = _nothing
    lowest: float = -math.inf  #: below it the function is NaN


def _root(n: int, k: int) -> int | None:
    """The k-th root (k = 2 or 3) of a natural number where that is one."""
    r = math.isqrt(n) if k == 2 else int(mpmath.nint(mpmath.root(n, 3))) if n < 2**50 else _cube_root(n)
    return r if r**k == n else None


def _cube_root(n: int) -> int:
    r = 1 << -(-n.bit_length() // 3)
    while True:  # Newton's method on integers, from above
        s = (2 * r + n // (r * r)) // 3
        if s >= r:
            return r
        r = s


def _rational_root(x: Fraction, k: int) -> Fraction | None:
    top, bottom = _root(abs(x.numerator), k), _root(x.denominator, k)
    return None if top is None or bottom is None else Fraction(top, bottom) * (1 if x > 0 else -1)


def _power_of(base: int, x: Fraction) -> Real | None:
    """``log(x) / log(base)`` where that is a whole number."""
    whole = x if x >= 1 else 1 / x
    n = 0
    while whole % base == 0:
        whole, n = whole / base, n + 1
    return None if whole != 1 else Fraction(n if x >= 1 else -n) or 0.0


def _exp2_known(x: Fraction) -> Real | None:
    return two(max(min(int(x), HUGE), -HUGE)) if x.denominator == 1 else None


def _one(at: int) -> Callable[[Fraction], Real | None]:
    return lambda x: 0.0 if x == at else None


def _exp_extreme(x: Fraction) -> Real | None:
    return None if abs(x) < 2000 else two(HUGE if x > 0 else -HUGE)


def _saturating(low: int, high: int) -> Callable[[Fraction], Real | None]:
    """For functions that reach `low` and `high` faster than any format can tell."""
    gap = two(-HUGE)
    return lambda x: None if abs(x) < 4000 else high - gap if x > 0 else low + gap


def _normal_cdf(mp: Any, x: Any) -> Any:
    return mp.erfc(-x / mp.sqrt(2)) / 2


INF, NAN = math.inf, math.nan

#: Every function that the oracle has, by name.
FUNCTIONS: dict[str, Function] = {
    "exp": Function(lambda mp, x: mp.exp(x), (0.0, 1.0, 1.0, INF), extreme=_exp_extreme),
    "exp2": Function(lambda mp, x: mp.exp(x * mp.log(2)), (0.0, 1.0, 1.0, INF), _exp2_known, _exp_extreme),
    "expm1": Function(
        lambda mp, x: mp.expm1(x),
        (-1.0, -0.0, 0.0, INF),
        extreme=lambda x: None if abs(x) < 4000 else two(HUGE) if x > 0 else two(-HUGE) - 1,
    ),
    "log": Function(lambda mp, x: mp.log(x), (NAN, -INF, -INF, INF), _one(1), lowest=0.0),
    "log2": Function(
        lambda mp, x: mp.log(x) / mp.log(2), (NAN, -INF, -INF, INF), lambda x: _power_of(2, x), lowest=0.0
    ),
    "log10": Function(
        lambda mp, x: mp.log(x) / mp.log(10), (NAN, -INF, -INF, INF), lambda x: _power_of(10, x), lowest=0.0
    ),
    "log1p": Function(
        lambda mp, x: mp.log1p(x), (NAN, -0.0, 0.0, INF), lambda x: -INF if x == -1 else None, lowest=-1.0
    ),
    "sqrt": Function(lambda mp, x: mp.sqrt(x), (NAN, -0.0, 0.0, INF), lambda x: _rational_root(x, 2), lowest=0.0),
    "rsqrt": Function(
        lambda mp, x: 1 / mp.sqrt(x),
        (NAN, -INF, INF, 0.0),
        lambda x: 1 / r if (r := _rational_root(x, 2)) else None,
        lowest=0.0,
    ),
    "cbrt": Function(
        lambda mp, x: mp.root(abs(x), 3) * mp.sign(x), (-INF, -0.0, 0.0, INF), lambda x: _rational_root(x, 3)
    ),
    "sin": Function(lambda mp, x: mp.sin(x), (NAN, -0.0, 0.0, NAN)),
    "cos": Function(lambda mp, x: mp.cos(x), (NAN, 1.0, 1.0, NAN)),
    "tan": Function(lambda mp, x: mp.tan(x), (NAN, -0.0, 0.0, NAN)),
    "arctan": Function(lambda mp, x: mp.atan(x), (None, -0.0, 0.0, None)),
    "sinh": Function(
        lambda mp, x: mp.sinh(x),
        (-INF, -0.0, 0.0, INF),
        extreme=lambda x: None if abs(x) < 2000 else two(HUGE) * (1 if x > 0 else -1),
    ),
    "cosh": Function(
        lambda mp, x: mp.cosh(x), (INF, 1.0, 1.0, INF), extreme=lambda x: None if abs(x) < 2000 else two(HUGE)
    ),
    "tanh": Function(lambda mp, x: mp.tanh(x), (-1.0, -0.0, 0.0, 1.0), extreme=_saturating(-1, 1)),
    "sigmoid": Function(
        lambda mp, x: 1 / (1 + mp.exp(-x)),
        (0.0, 0.5, 0.5, 1.0),
        extreme=_saturating(0, 1),
    ),
    "softplus": Function(
        lambda mp, x: mp.log1p(mp.exp(x)),
        (0.0, None, None, INF),
        extreme=lambda x: None if abs(x) < 4000 else x + two(-HUGE) if x > 0 else two(-HUGE),
    ),
    "erf": Function(lambda mp, x: mp.erf(x), (-1.0, -0.0, 0.0, 1.0), extreme=_saturating(-1, 1)),
    "gelu": Function(
        lambda mp, x: x * _normal_cdf(mp, x),
        (-0.0, -0.0, 0.0, INF),
        extreme=lambda x: None if abs(x) < 60 else x - two(-HUGE) if x > 0 else -two(-HUGE),
    ),
    "relu": Function(lambda mp, x: x, (0.0, -0.0, 0.0, INF), lambda x: x if x > 0 else 0.0),
}

# Refinement ------------------------------------------------------------------------------------------------


def _as_mpf(mp: Any, x: Fraction) -> Any:
    """`x` so precisely that no function's condition number brings the error back: exactly, where float64 holds it."""
    with mp.workprec(mp.prec + 8 * (x.denominator.bit_length() + x.numerator.bit_length()) + 64):
        return mp.mpf(x.numerator) / x.denominator


def _as_fraction(mp: Any, x: Any) -> Fraction:
    """An mpmath number; one far outside float64's range as any other that far."""
    magnitude = mp.mag(x)
    if abs(magnitude) > HUGE:
        return two(HUGE if magnitude > 0 else -HUGE) * (1 if x > 0 else -1)
    sign, significand, exponent, _ = x._mpf_
    return (-1) ** sign * int(significand) * two(exponent)


def _enclosed(compute: Callable[[Any], Any], bits: int) -> tuple[Fraction, Fraction]:
    """Two fractions around the value of a formula, computed with `bits` bits."""
    mp = mpmath.MPContext()
    mp.prec = bits
    value = _as_fraction(mp, compute(mp))
    doubt = abs(value) * two(DOUBT - bits)
    return value - doubt, value + doubt


def refine(compute: Callable[[Any], Any], fmt: Any, mode: str = "nearest_even", saturate: bool = False) -> float:
    """The correctly rounded value of a formula of your own, computed with ever more bits until the rounding is known.

    Parameters
    ----------
    compute : callable
        Takes an `mpmath` context and returns the value in its working precision. The exact value must be irrational
        (or at least no midpoint and no value of the format), else there is no end to it.
    fmt, mode, saturate
        As for `exact.round`.

    Raises
    ------
    ArgumentError
        Tens of thousands of bits did not tell: the value is a midpoint or a value of the format.

    Examples
    --------
    >>> refine(lambda mp: mp.pi**2 / 6, "float16")
    1.64453125
    """
    grid = grid_of(fmt)
    bits = grid.p + 64
    while bits <= 1 << 16:
        low, high = (round_real(end, grid, mode, saturate) for end in _enclosed(compute, bits))
        same = low == high and math.copysign(1, low) == math.copysign(1, high)
        if same or (low != low and high != high):
            return low
        bits *= 2
    got = f"one that {bits // 2} bits do not tell from a midpoint or a value of the format"
    raise ArgumentError(expected("exact.refine", "an irrational value", got, "round its exact value: exact.round"))


def _value(name: str, x: Real) -> Real | Callable[[Any], Any]:
    """The value of a function: exactly where it is known, else the formula to refine."""
    if name not in FUNCTIONS:
        remedy = f"did you mean {nearest(name, FUNCTIONS)}?"
        raise ArgumentError(expected("exact", "a function that it has", f"{name!r}", remedy.removesuffix("?")))
    function = FUNCTIONS[name]
    if x != x:
        return math.nan
    if isinstance(x, float):
        positive = math.copysign(1, x) > 0
        special = function.special[1 + positive if x == 0 else 3 * positive]
        return special if special is not None else lambda mp: function.of(mp, mp.mpf(x))
    if x < function.lowest:
        return math.nan
    for exactly in (function.known(x), function.extreme(x)):
        if exactly is not None:
            return exactly
    return lambda mp: function.of(mp, _as_mpf(mp, x))


@lru_cache(maxsize=1 << 14)
def _rounded(name: str, x: Real, sign: float, grid: Grid, mode: str, saturate: bool) -> float:
    value = _value(name, x)
    return refine(value, grid, mode, saturate) if callable(value) else round_real(value, grid, mode, saturate)


def rounded(name: str, x: Any, fmt: Any, mode: str, saturate: bool) -> Any:
    """A named function of a number, or of every element of an array, rounded once."""
    grid = grid_of(fmt)

    def one(v: Any) -> float:
        number = real(v)
        return _rounded(name, number, math.copysign(1, number), grid, mode, saturate)

    return each(one, x, float)


def approximate(name: str, x: Any, bits: int = 256) -> Any:
    """The function's value within a relative ``2**-bits``, to measure errors against.

    Parameters
    ----------
    name : str
        One of `exact.FUNCTIONS`.
    x : number or array of numbers
    bits : int

    Returns
    -------
    Fraction (a float where zero, infinite or NaN), or an object array of them

    Examples
    --------
    >>> float(approximate("exp", 1))
    2.718281828459045
    """

    def one(v: Any) -> Real:
        value = _value(name, real(v))
        return sum(_enclosed(value, bits + DOUBT + 2)) / 2 if callable(value) else value

    return each(one, x)


def softmax(x: Any, fmt: Any, mode: str = "nearest_even") -> np.ndarray[Any, Any]:
    """``exp(x_i) / sum_j exp(x_j)`` of a 1-D array of finite numbers, each correctly rounded.

    >>> softmax([0.0, 0.0, 100.0], "float16")
    array([0., 0., 1.])
    """
    numbers = [Fraction(real(v)) for v in x]
    out = np.empty(len(numbers))
    for i, one in enumerate(numbers):
        gaps = [other - one for other in numbers]
        if not any(gaps):
            out[i] = round_real(Fraction(1, len(gaps)), grid_of(fmt), mode)
        elif max(gaps) > 4000:
            out[i] = round_real(two(-HUGE), grid_of(fmt), mode)
        else:
            # (an addend of exp(-4000) is beyond any format's reach, but keeps the value irrational)
            out[i] = refine(_one_over_sum([max(gap, Fraction(-4000)) for gap in gaps]), fmt, mode)
    return out


def _one_over_sum(gaps: list[Fraction]) -> Callable[[Any], Any]:
    return lambda mp: 1 / mp.fsum(mp.exp(_as_mpf(mp, gap)) for gap in gaps)


def _named(name: str, formula: str) -> Callable[..., Any]:
    def function(x: Any, fmt: Any, mode: str = "nearest_even", saturate: bool = False) -> Any:
        return rounded(name, x, fmt, mode, saturate)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""``{formula}`` of a number or of every element of an array, correctly rounded to `fmt`."""
    return function


exp = _named("exp", "e**x")
exp2 = _named("exp2", "2**x")
expm1 = _named("expm1", "e**x - 1")
log = _named("log", "the natural logarithm")
log2 = _named("log2", "the logarithm to base 2")
log10 = _named("log10", "the logarithm to base 10")
log1p = _named("log1p", "log(1 + x)")
sqrt = _named("sqrt", "the square root")
rsqrt = _named("rsqrt", "1 / sqrt(x)")
cbrt = _named("cbrt", "the cube root")
sin = _named("sin", "the sine")
cos = _named("cos", "the cosine")
tan = _named("tan", "the tangent")
arctan = _named("arctan", "the inverse tangent")
sinh = _named("sinh", "(e**x - e**-x) / 2")
cosh = _named("cosh", "(e**x + e**-x) / 2")
tanh = _named("tanh", "sinh(x) / cosh(x)")
sigmoid = _named("sigmoid", "1 / (1 + e**-x)")
softplus = _named("softplus", "log(1 + e**x)")
erf = _named("erf", "the error function")
gelu = _named("gelu", "x * (1 + erf(x / sqrt(2))) / 2")
relu = _named("relu", "max(x, 0)")

__all__ += list(FUNCTIONS)
