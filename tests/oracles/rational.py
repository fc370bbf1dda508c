"""The law in exact arithmetic: formats, one rounding, and every order of summation, in fractions.

Tests only. Written from the standards and from fpsim's documented semantics; imports nothing of fpsim.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache, reduce

#: The rounding modes that need no randomness.
MODES = ("nearest_even", "nearest_away", "toward_zero", "up", "down")

#: What is rounded: an exact nonzero number, or a float for zeros, infinities and NaN.
Real = Fraction | float


@cache
def two(exponent: int) -> Fraction:
    return Fraction(2) ** exponent


@dataclass(frozen=True)
class Grid:
    """A format's definition: widths, exponent of the smallest normal number, largest finite one, specials."""

    exponent_bits: int
    significand_bits: int
    emin: int
    max: Fraction
    has_inf: bool = True
    has_nan: bool = True
    has_negative_zero: bool = True

    @property
    def bits(self) -> int:
        return 1 + self.exponent_bits + self.significand_bits

    @property
    def quantum(self) -> Fraction:
        """The least positive number."""
        return two(self.emin - self.significand_bits)


IEEE = (True, True, True)
FN = (False, True, True)
FNUZ = (False, True, False)
FINITE = (False, False, True)

#: Typed in from IEEE 754-2019 table 3.5, OCP 8-bit FP 1.0, OCP MX 1.0 and ml_dtypes' documentation.
NAMED = {
    "float16": Grid(5, 10, -14, Fraction(65504), *IEEE),
    "bfloat16": Grid(8, 7, -126, 255 * two(120), *IEEE),
    "tfloat32": Grid(8, 10, -126, 2047 * two(117), *IEEE),
    "float32": Grid(8, 23, -126, (two(24) - 1) * two(104), *IEEE),
    "float64": Grid(11, 52, -1022, (two(53) - 1) * two(971), *IEEE),
    "float8_e5m2": Grid(5, 2, -14, Fraction(57344), *IEEE),
    "float8_e4m3": Grid(4, 3, -6, Fraction(240), *IEEE),
    "float8_e3m4": Grid(3, 4, -2, Fraction("15.5"), *IEEE),
    "float8_e4m3fn": Grid(4, 3, -6, Fraction(448), *FN),
    "float8_e4m3fnuz": Grid(4, 3, -7, Fraction(240), *FNUZ),
    "float8_e4m3b11fnuz": Grid(4, 3, -10, Fraction(30), *FNUZ),
    "float8_e5m2fnuz": Grid(5, 2, -15, Fraction(57344), *FNUZ),
    "float6_e3m2fn": Grid(3, 2, -2, Fraction(28), *FINITE),
    "float6_e2m3fn": Grid(2, 3, 0, Fraction("7.5"), *FINITE),
    "float4_e2m1fn": Grid(2, 1, 0, Fraction(6), *FINITE),
}


def grid(name: str) -> Grid:
    """A named format, or the IEEE-like one of ``eXmY``."""
    if name in NAMED:
        return NAMED[name]
    exponent_bits, significand_bits = map(int, re.fullmatch(r"e(\d+)m(\d+)", name).groups())
    emax = 2 ** (exponent_bits - 1) - 1
    return Grid(exponent_bits, significand_bits, 1 - emax, (2 - two(-significand_bits)) * two(emax))


def real(x: float) -> Real:
    """A float of any width as the oracle's number."""
    special = x != x or x in (0, math.inf, -math.inf)
    return float(x) if special else Fraction(*x.as_integer_ratio())


def floor_log2(x: Fraction) -> int:
    e = x.numerator.bit_length() - x.denominator.bit_length()
    return e if two(e) <= x else e - 1


def ulp(magnitude: Fraction, fmt: Grid) -> Fraction:
    """Distance of neighbours around `magnitude`, as if exponents went on for ever."""
    return two(max(floor_log2(magnitude), fmt.emin) - fmt.significand_bits)


def neighbours(x: Fraction, fmt: Grid) -> tuple[Fraction, Fraction, Fraction]:
    """The two numbers around |x|, exponents unbounded, and where |x| lies between them: 0 <= position < 1."""
    n, position, step = in_ulps(abs(x), fmt)
    return n * step, (n + 1) * step, position


def in_ulps(magnitude: Fraction, fmt: Grid) -> tuple[int, Fraction, Fraction]:
    """Whole ulps, the part of one above them, and the ulp."""
    step = ulp(magnitude, fmt)
    n, part = divmod(magnitude / step, 1)
    return n, part, step


def goes_away(n_odd: bool, position: Fraction, negative: bool, mode: str) -> bool:
    """Whether a magnitude at `position` above its lower neighbour takes the upper one."""
    if mode == "nearest_even":
        return position > Fraction(1, 2) or (position == Fraction(1, 2) and n_odd)
    if mode == "nearest_away":
        return position >= Fraction(1, 2)
    return position > 0 and mode == ("down" if negative else "up")


def delivered(magnitude: Fraction, negative: bool, fmt: Grid, mode: str, saturate: bool, flush: bool) -> float:
    """A magnitude on the unbounded grid as the format's own value."""
    if magnitude > fmt.max:
        inward = mode in ("toward_zero", "up" if negative else "down")
        if saturate or inward or not fmt.has_nan:
            magnitude = fmt.max
        elif fmt.has_inf:
            return -math.inf if negative else math.inf
        else:
            return math.nan
    if flush and magnitude < two(fmt.emin):
        magnitude = Fraction(0)
    if magnitude == 0:
        return -0.0 if negative and fmt.has_negative_zero else 0.0
    return float(-magnitude if negative else magnitude)


def round_exact(value: Real, fmt: Grid, mode: str = "nearest_even", saturate=False, flush=False) -> float:
    """One rounding of an exact number. ValueError: NaN for a format that has none."""
    if isinstance(value, float):
        negative = math.copysign(1, value) < 0
        if math.isnan(value):
            if not fmt.has_nan:
                raise ValueError("NaN in a format without NaN")
            return math.nan
        if math.isinf(value):
            if saturate or not fmt.has_nan:
                return float(-fmt.max if negative else fmt.max)
            return value if fmt.has_inf else math.nan
        if value == 0:
            return -0.0 if negative and fmt.has_negative_zero else 0.0
        value = Fraction(value)
    return round_fraction(value, fmt, mode, saturate, flush)


@lru_cache(maxsize=1 << 16)
def round_fraction(value: Fraction, fmt: Grid, mode: str, saturate: bool, flush: bool) -> float:
    """One rounding of a nonzero number; sums meet the same ones again and again."""
    n, position, step = in_ulps(abs(value), fmt)
    n += goes_away(n % 2 == 1, position, value < 0, mode)
    return delivered(n * step, value < 0, fmt, mode, saturate, flush)


def stochastic(value: Fraction, fmt: Grid) -> tuple[float, float, Fraction]:
    """The neighbour toward zero, the one away from it, and the probability of the second."""
    lower, upper, position = neighbours(value, fmt)
    toward, away = (delivered(m, value < 0, fmt, "stochastic", False, False) for m in (lower, upper))
    return toward, away, position


# Arithmetic before rounding: exact, with IEEE 754's rules for zeros, infinities and NaN --------------------


def product(x: float, y: float) -> Real:
    if math.isfinite(x) and math.isfinite(y) and x and y:
        return Fraction(x) * Fraction(y)
    return x * y


def add(x: Real, y: Real, mode: str = "nearest_even") -> Real:
    """The sum; an exact zero from opposite signs is +0, in mode ``down`` -0."""
    specials = [v for v in (x, y) if isinstance(v, float) and not math.isfinite(v)]
    if specials:
        return sum(specials)
    if total := Fraction(x) + Fraction(y):
        return total
    if math.copysign(1, x) == math.copysign(1, y):
        return math.copysign(0.0, x)
    return -0.0 if mode == "down" else 0.0


# Accumulation: the orders of the documentation, literally --------------------------------------------------


def accumulate(
    terms: list[Real],
    fmt: Grid,
    order: str = "sequential",
    fma=False,
    mode: str = "nearest_even",
    saturate=False,
) -> float:
    """The sum of exact terms in one of the orders, rounded at each step to `fmt`."""

    def rounded(x: Real) -> float:
        return round_exact(x, fmt, mode, saturate)

    def plus(s: float, p: Real) -> float:
        # A zero changes no sum: one of -0 alone stays +0, also `down`, where IEEE 754 has +0 + -0 = -0.
        return s if mode == "down" and p == 0 else rounded(add(s, p, mode))

    def minus(x: float, y: float) -> float:
        return rounded(add(x, -y, mode))

    if order == "exact":
        return rounded(exact_sum(terms))
    if not fma:
        terms = [rounded(t) for t in terms]
    if order == "sequential":
        return reduce(plus, terms, 0.0)
    if order == "pairwise":
        return pairwise(terms, plus)
    if order == "kahan":
        return kahan(terms, plus, minus)
    size = int(order.removeprefix("blocked:"))
    blocks = [reduce(plus, terms[i : i + size], 0.0) for i in range(0, len(terms), size)]
    return reduce(plus, blocks, 0.0)


def exact_sum(terms: list[Real]) -> Real:
    specials = [t for t in terms if isinstance(t, float) and not math.isfinite(t)]
    if specials:
        return sum(specials)
    return sum(map(Fraction, terms), Fraction(0)) or 0.0


def pairwise(terms: list[float], plus) -> float:
    if not terms:
        return 0.0
    if len(terms) == 1:
        return terms[0]
    half = len(terms) // 2
    return plus(pairwise(terms[:half], plus), pairwise(terms[half:], plus))


def kahan(terms: list[float], plus, minus) -> float:
    s = c = 0.0
    for p in terms:
        y = minus(p, c)
        t = plus(s, y)
        c = minus(minus(t, s), y)
        s = t
    return s


def total(xs, fmt: Grid, **how) -> float:
    """``acc.sum(xs)``."""
    return accumulate([real(x) for x in xs], fmt, **how)


def dot(xs, ys, fmt: Grid, **how) -> float:
    """``acc.dot(xs, ys)``."""
    return accumulate([product(float(x), float(y)) for x, y in zip(xs, ys, strict=True)], fmt, **how)
