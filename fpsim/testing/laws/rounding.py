"""`laws.rounding`: what a function that rounds float64 to a format must do.

Layer 13. Each law looks at inputs of its own, so that the laws that break say where the fault lies. Positive numbers
but for `sign_symmetric`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import strategies as st

from fpsim.errors import FormatError, expected
from fpsim.testing import exact
from fpsim.testing.assertions import same_bits
from fpsim.testing.exact.grid import Grid, floor_log2, two
from fpsim.testing.failure import Difference, apart
from fpsim.testing.laws.suite import Finding, Law, Subject, Suite

__all__ = ["rounding"]

Draw = Any

#: Sixteenths of a gap between neighbours, where a law looks.
NEAR = (1, 2, 14, 15)
BETWEEN = (3, 4, 5, 6, 7, 9, 10, 11, 12, 13)


def one(subject: Subject, x: float) -> float:
    """The function at one number, as an array of one element; scalars are taken too."""
    return float(np.asarray(subject(np.array([x]))).reshape(-1)[0])


def differs(got: float, wanted: float, grid: Grid, *more: tuple[str, str]) -> Finding:
    """None where the bits are the same."""
    if same_bits(got, wanted):
        return None
    distance = apart(got, wanted, grid)
    return Difference((), wanted, got, "zeros of opposite sign" if distance == 0 else distance, more=more)


def rounds_rightly(subject: Subject, x: float) -> Finding:
    """The function gives the exact rounding of `x`."""
    return differs(one(subject, x), exact.round(x, subject.grid, subject.mode, subject.saturate), subject.grid)


@st.composite
def gaps(draw: Draw, grid: Grid, odd: bool | None = None) -> tuple[Fraction, Fraction]:
    """A normal number (its last bit even, odd, or either) and the distance to the next one, both in the format."""
    m = grid.significand_bits
    e = draw(st.integers(grid.emin, floor_log2(grid.max)))
    step = two(e - m)
    n = 2**m + draw(st.integers(0, 2**m - 1))
    if odd is not None:
        n = n // 2 * 2 + odd
    while (n + 1) * step > grid.max and (odd is None or n * step > grid.max):
        n -= 1 if odd is None else 2
        if n < 2**m:
            return draw(gaps(grid, odd))
    return n * step, step


def inside(sixteenths: Sequence[int], odd: bool | None = None) -> Callable[[Subject], st.SearchStrategy[float]]:
    """Numbers at some sixteenths of the way from a normal number to the next."""

    def examples(subject: Subject) -> st.SearchStrategy[float]:
        at = st.sampled_from(sixteenths)
        return st.builds(lambda gap, k: float(gap[0] + gap[1] * k / 16), gaps(subject.grid, odd), at)

    return examples


def beside_ties(subject: Subject) -> st.SearchStrategy[float]:
    deepest = 52 - subject.grid.significand_bits

    def build(gap: tuple[Fraction, Fraction], depth: int, side: int) -> float:
        return float(gap[0] + gap[1] * (Fraction(1, 2) + side * two(-depth)))

    return st.builds(build, gaps(subject.grid), st.integers(min(6, deepest), deepest), st.sampled_from([1, -1]))


def pairs_in_a_gap(subject: Subject) -> st.SearchStrategy[tuple[float, float]]:
    def build(gap: tuple[Fraction, Fraction], a: int, b: int) -> tuple[float, float]:
        low, high = sorted((a, b))
        return float(gap[0] + gap[1] * low / 16), float(gap[0] + gap[1] * high / 16)

    at = st.integers(3, 13)
    return st.builds(build, gaps(subject.grid), at, at).filter(lambda pair: pair[0] < pair[1])


def subnormals(subject: Subject) -> st.SearchStrategy[float]:
    grid = subject.grid
    return st.integers(1, 2**grid.significand_bits - 1).map(lambda n: float(n * grid.quantum))


def between_subnormals(subject: Subject) -> st.SearchStrategy[float]:
    grid = subject.grid
    whole, part = st.integers(0, 2**grid.significand_bits - 1), st.integers(1, 15)
    return st.builds(lambda n, k: float((n + Fraction(k, 16)) * grid.quantum), whole, part)


def past_the_largest(sixteenths: Sequence[int]) -> Callable[[Subject], st.SearchStrategy[float]]:
    def examples(subject: Subject) -> st.SearchStrategy[float]:
        grid = subject.grid
        limit = Fraction(np.finfo(np.float64).max)
        points = [grid.max + exact.ulp(grid.max, grid) * k / 16 for k in sixteenths]
        return st.sampled_from([float(x) for x in points if x <= limit])

    return examples


def faithful(subject: Subject, x: float) -> Finding:
    below, above = exact.neighbours(x, subject.grid)
    got = one(subject, x)
    if got in (below, above):
        return None
    wanted = below if abs(x - below) <= abs(above - x) else above
    return differs(got, wanted, subject.grid, ("or", repr(above if wanted == below else below)))


def monotone(subject: Subject, pair: tuple[float, float]) -> Finding:
    low, high = (one(subject, x) for x in pair)
    return None if low <= high else [f"{'f(x)':8}  {low!r}", f"{'f(y)':8}  {high!r}, which is less"]


def idempotent(subject: Subject, x: float) -> Finding:
    once = one(subject, x)
    return differs(one(subject, once), once, subject.grid, ("once", repr(once)))


def sign_symmetric(subject: Subject, x: float) -> Finding:
    if subject.mode in ("up", "down"):  # each is the other's mirror image
        return rounds_rightly(subject, -x)
    return differs(one(subject, -x), -one(subject, x), subject.grid)


def zeros_kept(subject: Subject, x: float) -> Finding:
    return differs(one(subject, x), x if subject.grid.has_negative_zero else 0.0, subject.grid)


def elementwise(subject: Subject, xs: list[float]) -> Finding:
    together = np.asarray(subject(np.array(xs))).reshape(-1)
    for i, x in enumerate(xs):
        alone = one(subject, x)
        if not same_bits(float(together[i]), alone):
            return differs(float(together[i]), alone, subject.grid, ("index", str(i)))
    return None


def _checks(subject: Subject) -> None:
    if subject.grid.p > 47:
        got = f"{subject.fmt.name} of p={subject.grid.p}"
        raise FormatError(
            expected("laws.rounding", "a format that float64 has many numbers between", got, "p at most 47")
        )
    exact.round(1, subject.grid, subject.mode)


def _many(subject: Subject) -> st.SearchStrategy[list[float]]:
    return st.lists(inside((0, *BETWEEN))(subject), min_size=2, max_size=20)


def _has_nan(subject: Subject) -> bool:
    return subject.grid.has_nan


#: The laws of rounding; see `Suite`. Options: mode, saturate.
rounding = Suite(
    "rounding",
    (
        Law(
            "exact_where_exact",
            "a normal value of the format (last bit 0) stays itself",
            inside((0,), odd=False),
            rounds_rightly,
        ),
        Law("idempotent", "rounding twice is rounding once", inside((1, 2), odd=True), idempotent),
        Law("near_a_value", "beside a value of the format goes to it", inside(NEAR), rounds_rightly),
        Law("faithful", "the result is one of the two neighbours", inside(BETWEEN), faithful),
        Law("monotone", "x < y gives f(x) <= f(y)", pairs_in_a_gap, monotone),
        Law("ties", "halfway between two values the mode decides", inside((8,)), rounds_rightly),
        Law("beside_a_tie", "just beside the middle the nearer value is right", beside_ties, rounds_rightly),
        Law("sign_symmetric", "f(-x) = -f(x)", inside((0, 8, *BETWEEN)), sign_symmetric),
        Law("zeros", "zeros keep their sign", lambda s: st.sampled_from([0.0, -0.0]), zeros_kept),
        Law("subnormals_kept", "a subnormal value stays itself", subnormals, rounds_rightly),
        Law("gradual_underflow", "below the smallest normal number too", between_subnormals, rounds_rightly),
        Law(
            "below_overflow",
            "less than half an ulp past the largest number goes to it",
            past_the_largest((1, 4, 7)),
            rounds_rightly,
        ),
        Law(
            "overflow",
            "from half an ulp past the largest number on it overflows",
            past_the_largest((8, 9, 16, 24, 320, 5000)),
            rounds_rightly,
        ),
        Law(
            "infinities",
            "infinity stays infinity (or what overflow gives)",
            lambda s: st.sampled_from([math.inf, -math.inf]),
            rounds_rightly,
        ),
        Law("nan", "nan stays nan", lambda s: st.just(math.nan), rounds_rightly, _has_nan),
        Law("elementwise", "an element does not depend on the others", _many, elementwise),
    ),
    _checks,
    ("mode", "saturate"),
)
