"""`laws.activation`: what an elementwise function and `laws.softmax`: what a softmax in a format must do.

Layer 13. Each law looks at inputs of its own, so that the laws that break say where the fault lies.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import strategies as st

from fpsim.errors import ArgumentError, expected, nearest
from fpsim.testing import exact
from fpsim.testing.assertions import same_bits
from fpsim.testing.exact.grid import floor_log2, two
from fpsim.testing.failure import Difference, apart, number, ulps
from fpsim.testing.invariance import LAYOUTS
from fpsim.testing.laws.rounding import differs
from fpsim.testing.laws.suite import Finding, Law, Subject, Suite
from fpsim.testing.laws.sums import has_inf, has_nan, unchanged
from fpsim.testing.numbers import values

__all__ = ["activation", "softmax"]

Array = np.ndarray[Any, Any]
Draw = Any


@dataclass(frozen=True)
class Shape:
    """What is known of a function: its range, its symmetry (1 even, -1 odd), whether it never falls."""

    low: float
    high: float
    symmetry: int = 0
    monotone: bool = True


#: The functions that the suite knows.
SHAPES = {
    "tanh": Shape(-1, 1, -1),
    "sigmoid": Shape(0, 1),
    "relu": Shape(0, math.inf),
    "gelu": Shape(-0.18, math.inf, monotone=False),
    "softplus": Shape(0, math.inf),
    "exp": Shape(0, math.inf),
    "expm1": Shape(-1, math.inf),
    "erf": Shape(-1, 1, -1),
    "sinh": Shape(-math.inf, math.inf, -1),
    "arctan": Shape(-1.58, 1.58, -1),
    "cbrt": Shape(-math.inf, math.inf, -1),
}


def shape_of(subject: Subject) -> Shape:
    """What is known of the function that is claimed."""
    return SHAPES[subject.function]


def truth(subject: Subject, x: float) -> float:
    """The correctly rounded value."""
    return getattr(exact, subject.function)(x, subject.grid)


def one(subject: Subject, x: float) -> float:
    """The function at one number, as an array of one element."""
    return float(np.asarray(subject(np.array([x], subject.dtype))).reshape(-1)[0])


def exponents(low: int, high: int) -> Callable[[Subject], st.SearchStrategy[float]]:
    """Numbers of some exponents; positive ones where the function is symmetric."""

    def examples(subject: Subject) -> st.SearchStrategy[float]:
        least, most = subject.grid.emin, floor_log2(subject.grid.max)
        low_, high_ = min(max(low, least), most), max(min(high, most), least)
        return values(subject.fmt, exponents=(min(low_, high_), high_), signed=not shape_of(subject).symmetry)

    return examples


def close(subject: Subject, x: float) -> Finding:
    """Within `maxulp` of the correctly rounded value."""
    got, wanted = one(subject, x), truth(subject, x)
    distance = apart(got, wanted, subject.grid)
    if not isinstance(distance, str) and distance <= Fraction(subject.maxulp):
        return None
    return Difference((), wanted, got, distance, more=(("allowed", ulps(Fraction(subject.maxulp))),))


@st.composite
def _neighbours(draw: Draw, subject: Subject) -> tuple[float, float]:
    grid = subject.grid
    x = draw(exponents(-4, 1)(subject))
    step = two(max(floor_log2(abs(Fraction(x))), grid.emin) - grid.significand_bits)
    y = Fraction(x) + step * draw(st.integers(1, 3))
    same_binade = floor_log2(abs(Fraction(y))) == floor_log2(abs(Fraction(x))) if y else False
    return x, float(y) if same_binade else x


def monotone(subject: Subject, pair: tuple[float, float]) -> Finding:
    low, high = (one(subject, x) for x in pair)
    return [f"{'f(x)':8}  {low!r}", f"{'f(y)':8}  {high!r}, which is less"] if high < low else None


def in_range(subject: Subject, x: float) -> Finding:
    shape, got = shape_of(subject), one(subject, x)
    if got < shape.low or got > shape.high:
        return [f"got       {got!r}, outside [{shape.low:g}, {shape.high:g}]"]
    return None


def symmetric(subject: Subject, x: float) -> Finding:
    return differs(one(subject, -x), shape_of(subject).symmetry * one(subject, x), subject.grid)


def at(subject: Subject, x: float) -> Finding:
    """The value at a special point, exactly."""
    return differs(one(subject, x), truth(subject, x), subject.grid)


def at_infinity(subject: Subject, x: float) -> Finding:
    wanted = truth(subject, x)
    got = one(subject, x)
    return None if got == wanted else differs(got, wanted, subject.grid)


def many(subject: Subject) -> st.SearchStrategy[Array]:
    few = st.lists(exponents(-3, 1)(subject), min_size=3, max_size=20)
    return few.map(lambda x: np.array(x, subject.dtype))


def elementwise(subject: Subject, x: Array) -> Finding:
    together = np.asarray(subject(x.copy()))
    for i, v in enumerate(x):
        alone = one(subject, v)
        if not same_bits(float(together[i]), alone):
            return differs(float(together[i]), alone, subject.grid, ("index", str(i)))
    return None


def same_in_any_layout(subject: Subject, x: Array) -> Finding:
    """The same bits however the array lies in memory."""
    plain = np.asarray(subject(x.copy()))
    for name, lay_out in LAYOUTS.items():
        got = np.asarray(subject(lay_out(x)))
        for i in range(len(x)):
            if not same_bits(float(got[i]), float(plain[i])):
                return differs(float(got[i]), float(plain[i]), subject.grid, ("layout", name), ("index", str(i)))
    return None


def representable(subject: Subject, x: float) -> Finding:
    got = one(subject, x)
    return None if exact.code(got, subject.grid) is not None else [f"got       {got!r}, not a value of the format"]


def _known(subject: Subject) -> None:
    if subject.function not in SHAPES:
        got, remedy = f"function={subject.function!r}", f"did you mean {nearest(subject.function, SHAPES, 3)}"
        raise ArgumentError(expected("laws.activation", f"one of {', '.join(SHAPES)}", got, remedy))


#: The laws of elementwise functions; see `Suite`. ``fn(x)``: a 1-D array to one of its shape. Options: function (one of
#: ``tanh sigmoid relu gelu softplus exp expm1 erf sinh arctan cbrt``), maxulp.
activation = Suite(
    "activation",
    (
        Law("accurate", "within maxulp where inputs are around 1", exponents(-3, 1), close),
        Law("accurate_near_zero", "within maxulp of a small result too", exponents(-1100, -5), close),
        Law("saturates", "within maxulp for large inputs: no inf - inf, no inf / inf", exponents(3, 1100), close),
        Law(
            "monotone",
            "x < y gives f(x) <= f(y)",
            _neighbours,
            monotone,
            lambda s: shape_of(s).monotone,
        ),
        Law("in_range", "never outside the function's range", exponents(2, 6), in_range),
        Law("symmetric", "f(-x) = -f(x)", exponents(-3, 1), symmetric, lambda s: shape_of(s).symmetry == -1),
        Law("zero", "f(0) is right, its sign too", lambda s: st.sampled_from([0.0, -0.0]), at),
        Law(
            "infinities",
            "the limits at either infinity",
            lambda s: st.sampled_from([math.inf, -math.inf]),
            at_infinity,
            has_inf,
        ),
        Law("nan", "nan stays nan", lambda s: st.just(math.nan), at, has_nan),
        Law("representable", "the result is a value of the format", exponents(-3, 1), representable),
        Law("elementwise", "an element does not depend on the others", many, elementwise),
        Law("layout_invariant", "the same bits in any memory layout", many, same_in_any_layout),
        Law("leaves_its_input", "the argument is not changed", many, unchanged),
    ),
    _known,
    ("function", "maxulp"),
)


# Softmax ----------------------------------------------------------------------------------------------------


def logits(low: int, high: int, least: int = 2) -> Callable[[Subject], st.SearchStrategy[Array]]:
    """Two to six numbers of some exponents."""

    def examples(subject: Subject) -> st.SearchStrategy[Array]:
        bottom, top = subject.grid.emin, floor_log2(subject.grid.max)
        one_of = values(subject.fmt, exponents=(min(max(low, bottom), top), min(high, top))) | st.just(0.0)
        return st.lists(one_of, min_size=least, max_size=6).map(lambda x: np.array(x, subject.dtype))

    return examples


def all_of(subject: Subject, x: Array) -> Array:
    """The function's result as float64."""
    return np.asarray(subject(x.copy())).astype(np.float64)


def sums_to_one(subject: Subject, x: Array) -> Finding:
    shares = all_of(subject, x)
    if not np.isfinite(shares).all():
        return [f"got       {shares.tolist()}"]
    got = sum((Fraction(v) for v in shares.tolist()), Fraction(0))
    most = 2 * (len(x) + 2) * subject.grid.unit_roundoff + len(x) * subject.grid.quantum
    return None if abs(got - 1) <= most else [f"sum       {number(got)}, further from 1 than {number(most)}"]


def stays_finite(subject: Subject, x: Array) -> Finding:
    got = all_of(subject, x)
    return None if np.isfinite(got).all() else [f"got       {got.tolist()}"]


def close_to_exact(subject: Subject, x: Array) -> Finding:
    got, wanted = all_of(subject, x), exact.softmax(x, subject.grid)
    for g, w in zip(got.tolist(), wanted.tolist(), strict=True):
        distance = apart(g, w, subject.grid)
        if isinstance(distance, str) or distance > Fraction(subject.maxulp):
            return Difference((), w, g, distance, more=(("allowed", ulps(Fraction(subject.maxulp))),))
    return None


def order_preserving(subject: Subject, x: Array) -> Finding:
    got = all_of(subject, x)[np.argsort(x, kind="stable")]
    return None if not (np.diff(got) < 0).any() else [f"got       {all_of(subject, x).tolist()}"]


def equal_shares(subject: Subject, x: Array) -> Finding:
    got = all_of(subject, x)
    return None if np.unique(got).size == 1 else [f"got       {got.tolist()}"]


def shift_invariant(subject: Subject, pair: tuple[Array, int]) -> Finding:
    x, shift = pair
    got, plain = all_of(subject, x + x.dtype.type(shift)), all_of(subject, x)
    return None if got.tobytes() == plain.tobytes() else [f"f(x)      {plain.tolist()}", f"f(x + y)  {got.tolist()}"]


@st.composite
def _shifted(draw: Draw, subject: Subject) -> tuple[Array, int]:
    limit = min(2 ** (subject.grid.p - 1), 16)
    few = st.lists(st.integers(-limit // 4, limit // 4), min_size=2, max_size=6)
    return np.array(draw(few), subject.dtype), draw(st.integers(1, max(limit // 4, 1)))


def _equal(subject: Subject) -> st.SearchStrategy[Array]:
    numbers = values(subject.fmt, exponents=(max(-2, subject.grid.emin), min(2, floor_log2(subject.grid.max))))
    return st.builds(lambda n, x: np.full(n, x, subject.dtype), st.integers(2, 8), numbers)


def _with_minus_infinity(subject: Subject) -> st.SearchStrategy[Array]:
    few = logits(-1, 1)(subject)
    return few.map(lambda x: np.append(x, -np.inf).astype(subject.dtype))


def _with_nan(subject: Subject) -> st.SearchStrategy[Array]:
    return logits(-1, 1)(subject).map(lambda x: np.append(x, np.nan).astype(subject.dtype))


def nothing_for_minus_infinity(subject: Subject, x: Array) -> Finding:
    got = all_of(subject, x)
    return None if got[-1] == 0 and np.isfinite(got).all() else [f"got       {got.tolist()}"]


def all_nan(subject: Subject, x: Array) -> Finding:
    got = all_of(subject, x)
    return None if np.isnan(got).all() else [f"got       {got.tolist()}, expected nan everywhere"]


def _one_input(subject: Subject, x: Array) -> Finding:
    return differs(float(all_of(subject, x)[0]), 1.0, subject.grid)


#: The laws of softmax over a 1-D array; see `Suite`. Option: maxulp (of elements, for inputs up to 2 in size).
softmax = Suite(
    "softmax",
    (
        Law("one_input", "softmax of one number is 1", lambda s: logits(-2, 2, 1)(s).map(lambda x: x[:1]), _one_input),
        Law("accurate", "within maxulp of the exact shares for small inputs", logits(-3, 0), close_to_exact),
        Law("large_inputs", "large inputs give numbers, not inf or nan", logits(4, 1100), stays_finite),
        Law("sums_to_one", "the shares sum to 1 within (n + 2) eps", logits(1, 2), sums_to_one),
        Law("order_preserving", "a larger input has no smaller share", logits(1, 2), order_preserving),
        Law("equal_shares", "equal inputs have equal shares", _equal, equal_shares),
        Law("shift_invariant", "f(x + y) = f(x) where x + y is exact", _shifted, shift_invariant),
        Law("minus_infinity", "-inf has the share 0", _with_minus_infinity, nothing_for_minus_infinity, has_inf),
        Law("nan", "a nan makes every share nan", _with_nan, all_nan, has_nan),
        Law("layout_invariant", "the same bits in any memory layout", logits(1, 2), same_in_any_layout),
        Law("leaves_its_input", "the argument is not changed", logits(1, 2), unchanged),
    ),
    options=("maxulp",),
    defaults={"maxulp": 8},
)
