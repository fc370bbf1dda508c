"""`laws.summation` and `laws.dot`: what a sum and a dot product in a format must do, in whatever order they add.

Layer 13. Each law looks at inputs of its own, so that the laws that break say where the fault lies.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import strategies as st

from fpsim.testing import exact
from fpsim.testing.exact.grid import floor_log2, two
from fpsim.testing.failure import Difference, apart, number
from fpsim.testing.invariance import LAYOUTS
from fpsim.testing.laws.rounding import differs
from fpsim.testing.laws.suite import Finding, Law, Subject, Suite
from fpsim.testing.numbers import arrays, values

__all__ = ["dot", "summation"]

Array = np.ndarray[Any, Any]
Draw = Any
Pair = tuple[Array, Array]
Examples = Callable[[Subject], st.SearchStrategy[Any]]


def total(subject: Subject, *arrays: Array) -> float:
    """The function's result on copies that nothing else sees."""
    return float(subject(*(a.copy() for a in arrays)))


# Terms ------------------------------------------------------------------------------------------------------


def _near_one(subject: Subject, spread: int = 2) -> st.SearchStrategy[float]:
    grid = subject.grid
    top = min(spread, floor_log2(grid.max) - 3)
    return values(subject.fmt, exponents=(max(-spread, grid.emin), max(top, grid.emin)))


def ordinary(subject: Subject) -> st.SearchStrategy[Array]:
    """Three to eight numbers of either sign around 1, not all of them integers."""

    def build(numbers: list[float]) -> Array:
        return np.array(numbers, subject.dtype)

    few = st.lists(_near_one(subject), min_size=3, max_size=8)
    return few.filter(lambda x: any(v % 1 for v in x)).map(build)


def of_length(n: int, elements: Callable[[Subject], st.SearchStrategy[float]] = _near_one) -> Examples:
    """Arrays of `n` numbers."""

    def examples(subject: Subject) -> st.SearchStrategy[Array]:
        return st.lists(elements(subject), min_size=n, max_size=n).map(lambda x: np.array(x, subject.dtype))

    return examples


def integers(subject: Subject) -> st.SearchStrategy[Array]:
    """At least three integers, so small that every partial sum is an integer of the format."""
    limit = min(2**subject.grid.p, int(subject.grid.max))
    many = min(8, limit)
    largest = max(limit // many, 1)
    one = st.integers(-largest, largest)
    return st.lists(one, min_size=min(3, many), max_size=many).filter(any).map(lambda x: np.array(x, subject.dtype))


def swamping(subject: Subject) -> st.SearchStrategy[Array]:
    return st.integers(3, 8).flatmap(lambda n: arrays(subject.fmt, n, spread="swamping", signed=False))


def with_one(*specials: float) -> Examples:
    """Three to six numbers with some special ones put among them."""

    def examples(subject: Subject) -> st.SearchStrategy[Array]:
        others = st.lists(_near_one(subject), min_size=2, max_size=4)
        orders = others.flatmap(lambda x: st.permutations([*x, *specials]))
        return orders.map(lambda x: np.array(x, subject.dtype))

    return examples


def infinite(subject: Subject) -> st.SearchStrategy[Array]:
    return with_one(math.inf)(subject) | with_one(-math.inf)(subject)


def beyond_the_largest(subject: Subject) -> st.SearchStrategy[Array]:
    largest = float(subject.grid.max)
    return st.integers(3, 8).map(lambda n: np.full(n, largest, subject.dtype))


def zeros(subject: Subject) -> st.SearchStrategy[Array]:
    return st.integers(3, 8).map(lambda n: np.zeros(n, subject.dtype))


def empty(subject: Subject) -> st.SearchStrategy[Array]:
    return st.just(np.array([], subject.dtype))


def has_inf(subject: Subject) -> bool:
    """Whether the format has infinities."""
    return subject.grid.has_inf


def has_nan(subject: Subject) -> bool:
    """Whether the format has NaN."""
    return subject.grid.has_nan


# What must hold ---------------------------------------------------------------------------------------------


def is_exactly(subject: Subject, got: float, wanted: Any) -> Finding:
    """The exact result, rounded once."""
    return differs(got, exact.round(wanted, subject.grid), subject.grid) if got != 0 or wanted != 0 else None


def within(subject: Subject, got: float, wanted: Any, terms: list[Any]) -> Finding:
    """Within ``n eps sum |terms|``: any order of rounded additions, to nearest or directed."""
    n, eps = len(terms), 2 * subject.grid.unit_roundoff
    most = n * eps * sum(abs(Fraction(t)) for t in terms) + n * subject.grid.quantum
    if math.isfinite(got) and abs(Fraction(got) - wanted) <= most:
        return None
    more = (("bound", f"{number(most)} = n eps sum |terms|"),)
    return Difference((), wanted, got, apart(got, wanted, subject.grid), more=more)


def representable(subject: Subject, got: float) -> Finding:
    """A value of the format."""
    return None if exact.code(got, subject.grid) is not None else [f"got       {got!r}, not a value of the format"]


def at_least(subject: Subject, got: float, least: float) -> Finding:
    """Not below a number that rounding cannot fall below."""
    return None if got >= least else [f"got       {got!r}, less than {least!r}"]


def same_in_any_layout(subject: Subject, *given: Array) -> Finding:
    """The same bits however the arrays lie in memory."""
    plain = total(subject, *given)
    for name, lay_out in LAYOUTS.items():
        found = differs(float(subject(*(lay_out(a) for a in given))), plain, subject.grid, ("layout", name))
        if found is not None:
            return found
    return None


def unchanged(subject: Subject, *given: Array) -> Finding:
    """The arguments have the same bytes afterwards."""
    handed = tuple(a.copy() for a in given)
    subject(*handed)
    if all(a.tobytes() == b.tobytes() for a, b in zip(handed, given, strict=True)):
        return None
    return [f"became    {[a.tolist() for a in handed]}"]


def is_nan(subject: Subject, got: float) -> Finding:
    """NaN."""
    return None if got != got else [f"got       {got!r}, expected nan"]


def not_finite(subject: Subject, got: float) -> Finding:
    """Infinite or NaN."""
    return None if not math.isfinite(got) else [f"got       {got!r}, expected inf or nan"]


def _sum_of_two(s: Subject, x: Array) -> Finding:
    return is_exactly(s, total(s, x), exact.sum(x))


def _sum_negated(s: Subject, x: Array) -> Finding:
    got, wanted = total(s, -x), -total(s, x)
    return None if got == wanted == 0 else differs(got, wanted, s.grid)


def _sum_scaled(s: Subject, x: Array) -> Finding:
    got, wanted = total(s, x / x.dtype.type(4)), total(s, x) / 4
    return None if got == wanted == 0 else differs(got, wanted, s.grid)


def _infinity(s: Subject, x: Array) -> Finding:
    return differs(total(s, x), float(x[np.isinf(x)][0]), s.grid)


def scales(subject: Subject) -> bool:
    """Whether the format has room for the scaled sums of ordinary numbers."""
    return subject.grid.max >= two(8) and subject.grid.emin <= -6


#: The laws of summation; see `Suite`. ``fn(x)``: a 1-D array to a number.
summation = Suite(
    "summation",
    (
        Law("empty", "the sum of nothing is 0", empty, lambda s, x: is_exactly(s, total(s, x), 0)),
        Law("one_term", "the sum of one number is that number", of_length(1), _sum_of_two),
        Law("two_terms", "the sum of two numbers is rounded once", of_length(2), _sum_of_two),
        Law("exact_where_exact", "sums of small integers are exact", integers, _sum_of_two),
        Law(
            "within_bound",
            "the error is at most n eps sum |x|",
            ordinary,
            lambda s, x: within(s, total(s, x), exact.sum(x), [exact.real(v) for v in x]),
        ),
        Law("sign_symmetric", "sum(-x) = -sum(x)", ordinary, _sum_negated),
        Law("scale_invariant", "sum(x / 4) = sum(x) / 4", ordinary, _sum_scaled, scales),
        Law("layout_invariant", "the same bits in any memory layout", ordinary, same_in_any_layout),
        Law("representable", "the sum is a value of the format", ordinary, lambda s, x: representable(s, total(s, x))),
        Law("leaves_its_input", "the argument is not changed", ordinary, unchanged),
        Law(
            "at_least_the_largest",
            "a sum of positive numbers is at least the largest",
            swamping,
            lambda s, x: at_least(s, total(s, x), float(x.max())),
        ),
        Law("zeros", "a sum of zeros is 0", zeros, lambda s, x: is_exactly(s, total(s, x), 0)),
        Law("infinity", "one infinite term makes the sum infinite", infinite, _infinity, has_inf),
        Law(
            "opposite_infinities",
            "inf - inf is nan",
            with_one(math.inf, -math.inf),
            lambda s, x: is_nan(s, total(s, x)),
            has_inf,
        ),
        Law(
            "nan",
            "a nan among the terms makes the sum nan",
            with_one(math.nan),
            lambda s, x: is_nan(s, total(s, x)),
            has_nan,
        ),
        Law(
            "overflow",
            "a sum beyond the largest number is inf or nan",
            beyond_the_largest,
            lambda s, x: not_finite(s, total(s, x)),
            has_nan,
        ),
    ),
)


# Dot products -----------------------------------------------------------------------------------------------


def two_of(examples: Examples) -> Examples:
    """Pairs of arrays of one length."""

    @st.composite
    def pairs(draw: Draw, subject: Subject) -> Pair:
        x = draw(examples(subject))
        return x, draw(examples(subject).filter(lambda y: len(y) == len(x)))

    return lambda subject: pairs(subject)


@st.composite
def _ordinary_pairs(draw: Draw, subject: Subject) -> Pair:
    n = draw(st.integers(3, 8))
    x, y = (draw(st.lists(_near_one(subject), min_size=n, max_size=n)) for _ in range(2))
    return np.array(x, subject.dtype), np.array(y, subject.dtype)


def ordinary_pairs(subject: Subject) -> st.SearchStrategy[Pair]:
    return _ordinary_pairs(subject).filter(
        lambda pair: any(v % 1 for v in pair[0]) and pair[0].tolist() != pair[1].tolist()
    )


@st.composite
def _integer_pairs(draw: Draw, subject: Subject) -> Pair:
    limit = min(2**subject.grid.p, int(subject.grid.max))
    n = draw(st.integers(min(3, limit), min(8, limit)))
    side = max(math.isqrt(limit // n), 1)
    x, y = (draw(st.lists(st.integers(-side, side), min_size=n, max_size=n)) for _ in range(2))
    return np.array(x, subject.dtype), np.array(y, subject.dtype)


@st.composite
def _with_unit_vectors(draw: Draw, subject: Subject) -> Pair:
    x = draw(ordinary(subject))
    return x, np.eye(len(x), dtype=subject.dtype)[draw(st.integers(0, len(x) - 1))]


def squares(subject: Subject) -> st.SearchStrategy[Array]:
    return ordinary(subject)


def special_beside(special: float, beside: Callable[[Subject], st.SearchStrategy[float]]) -> Examples:
    """A special number in x, and what meets it in y."""

    @st.composite
    def pairs(draw: Draw, subject: Subject) -> Pair:
        n = draw(st.integers(3, 5))
        x, y = (draw(st.lists(_near_one(subject), min_size=n, max_size=n)) for _ in range(2))
        k = draw(st.integers(0, n - 1))
        x[k], y[k] = special, draw(beside(subject))
        return np.array(x, subject.dtype), np.array(y, subject.dtype)

    return lambda subject: pairs(subject)


def _product(s: Subject, pair: Pair) -> Finding:
    return is_exactly(s, total(s, *pair), exact.dot(*pair))


def _swapped(s: Subject, pair: Pair) -> Finding:
    got, wanted = total(s, pair[1], pair[0]), total(s, *pair)
    return None if got == wanted == 0 else differs(got, wanted, s.grid)


def _dot_negated(s: Subject, pair: Pair) -> Finding:
    got, wanted = total(s, -pair[0], pair[1]), -total(s, *pair)
    return None if got == wanted == 0 else differs(got, wanted, s.grid)


def _dot_scaled(s: Subject, pair: Pair) -> Finding:
    x, y = pair
    got, wanted = total(s, x / x.dtype.type(4), y), total(s, x, y) / 4
    return None if got == wanted == 0 else differs(got, wanted, s.grid)


def _dot_within(s: Subject, pair: Pair) -> Finding:
    terms = [exact.product(a, b) for a, b in zip(*pair, strict=True)]
    return within(s, total(s, *pair), exact.dot(*pair), terms)


def _of_squares(s: Subject, x: Array) -> Finding:
    largest = max((Fraction(exact.real(v)) ** 2 for v in x), default=Fraction(0))
    return at_least(s, total(s, x, x), exact.round(largest, s.grid, "down"))


def _positive(subject: Subject) -> st.SearchStrategy[float]:
    return _near_one(subject).map(abs)


def _zero(subject: Subject) -> st.SearchStrategy[float]:
    return st.just(0.0)


#: The laws of dot products; see `Suite`. ``fn(x, y)``: two 1-D arrays of one length to a number.
dot = Suite(
    "dot",
    (
        Law("empty", "the product of nothing is 0", two_of(empty), lambda s, p: is_exactly(s, total(s, *p), 0)),
        Law("one_product", "one product is rounded once", two_of(of_length(1)), _product),
        Law("exact_where_exact", "products of small integers are exact", _integer_pairs, _product),
        Law("unit_vector", "x with a unit vector is an element of x", _with_unit_vectors, _product),
        Law("within_bound", "the error is at most n eps sum |x y|", ordinary_pairs, _dot_within),
        Law("commutative", "dot(y, x) = dot(x, y)", ordinary_pairs, _swapped),
        Law("sign_symmetric", "dot(-x, y) = -dot(x, y)", ordinary_pairs, _dot_negated),
        Law("scale_invariant", "dot(x / 4, y) = dot(x, y) / 4", ordinary_pairs, _dot_scaled, scales),
        Law(
            "layout_invariant",
            "the same bits in any memory layout",
            ordinary_pairs,
            lambda s, p: same_in_any_layout(s, *p),
        ),
        Law(
            "representable",
            "the product is a value of the format",
            ordinary_pairs,
            lambda s, p: representable(s, total(s, *p)),
        ),
        Law("leaves_its_inputs", "the arguments are not changed", ordinary_pairs, lambda s, p: unchanged(s, *p)),
        Law("squares", "dot(x, x) is at least the largest square", squares, _of_squares),
        Law(
            "infinity",
            "inf times a positive number makes it infinite",
            special_beside(math.inf, _positive),
            lambda s, p: differs(total(s, *p), math.inf, s.grid),
            has_inf,
        ),
        Law(
            "infinity_times_zero",
            "inf * 0 is nan",
            special_beside(math.inf, _zero),
            lambda s, p: is_nan(s, total(s, *p)),
            has_inf,
        ),
        Law(
            "nan",
            "a nan among the terms makes it nan",
            special_beside(math.nan, _near_one),
            lambda s, p: is_nan(s, total(s, *p)),
            has_nan,
        ),
        Law(
            "overflow",
            "a product beyond the largest number is inf or nan",
            two_of(beyond_the_largest),
            lambda s, p: not_finite(s, total(s, *p)),
            has_nan,
        ),
    ),
)
