"""Counting inside accumulators against a loop that takes every step by `fp.round`; exact sums against fractions."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fpsim as fp
from fpsim.accumulate import accumulator
from fpsim.accumulate import counting as module
from fpsim.accumulate.counting import Tally, counting
from fpsim.accumulate.exact import exact_matmul, exact_sum
from fpsim.rounding.kernel import round_to
from fpsim.testing import exact as oracle
from tests.oracles import draw


class Steps:
    """One sum, step by step in fractions, each rounded by `fp.round`; what is counted beside it."""

    def __init__(self, fmt, mode, saturate):
        self.fmt, self.how = fmt, {"mode": mode, "saturate": saturate}
        self.additions = self.absorbed = self.overflow = 0

    def rounded(self, exact):
        """An exact value in float64 (chosen so that it holds it), rounded; beyond the largest it is an overflow."""
        value = float(exact)
        assert Fraction(value) == exact
        out = float(fp.round(np.float64(value), self.fmt, **self.how))
        # beyond the largest by the same mode in a format without an end
        free = float(fp.round(np.float64(value), fp.Format(f"e11m{self.fmt.significand_bits}"), mode=self.how["mode"]))
        self.overflow += abs(free) > self.fmt.max
        return out

    def add(self, s, p):
        if not np.isfinite(s) or not np.isfinite(p):
            total = s + p
        else:
            total = self.rounded(Fraction(s) + Fraction(p))
        self.additions += p != 0
        self.absorbed += p != 0 and total == s and np.isfinite(s)
        return total

    def sequential(self, terms):
        s = 0.0
        for p in terms:
            s = self.add(s, p)
        return s

    def blocked(self, terms, block):
        s = 0.0
        for start in range(0, len(terms), block):
            s = self.add(s, self.sequential(terms[start : start + block]))
        return s

    def pairwise(self, terms):
        if len(terms) < 2:
            return terms[0] if terms else 0.0
        mid = len(terms) // 2
        return self.add(self.pairwise(terms[:mid]), self.pairwise(terms[mid:]))

    def in_order(self, terms, order):
        if order == "pairwise":
            return self.pairwise(terms)
        return self.blocked(terms, int(order[8:])) if order.startswith("blocked") else self.sequential(terms)


def tallied(acc, call):
    told = []
    result = call(counting(acc, told.append))
    return result, Tally(*(sum(getattr(t, name) for t in told) for name in ("additions", "absorbed", "overflow")))


ORDERS = ("sequential", "blocked:3", "blocked:4", "pairwise")
FORMATS = ("float16", "bfloat16", "float8_e4m3fn", "float4_e2m1fn", "float8_e5m2")


@draw.law(120)
@given(
    st.sampled_from(FORMATS), st.sampled_from(ORDERS), st.sampled_from(["nearest_even", "toward_zero", "up", "down"]),
    st.booleans(), st.integers(0, 8), st.integers(1, 3), st.integers(0, 2**32),
)  # fmt: skip
def test_sums_and_products_are_counted_as_the_loop_counts(name, order, mode, saturate, length, width, seed):
    fmt, rng = fp.Format(name), np.random.default_rng(seed)
    # integers of a few bits around the top: everything stays within float64, and often overflows
    top = min(fmt.emax, 12)
    unit = 2.0 ** (fmt.emax - top)
    terms = rng.integers(-(2 ** (top // 2 + 1)), 2 ** (top // 2 + 1), (length, width)) * unit * 2.0 ** (top // 2)
    terms[rng.random((length, width)) < 0.2] = 0.0
    acc = fp.Accumulator(fmt, order, rounding=mode, saturate=saturate)
    steps, expected = Steps(fmt, mode, saturate), []
    for column in terms.T:
        rounded = [steps.rounded(Fraction(float(x))) for x in column]
        expected.append(steps.in_order(rounded, order))
    result, tally = tallied(acc, lambda acc: acc.sum(terms, axis=0))
    np.testing.assert_array_equal(result, expected)
    assert tally == Tally(steps.additions, steps.absorbed, steps.overflow)

    x = fp.round(rng.integers(-3, 4, (2, length)) * 2.0 ** (fmt.emax // 2), fmt, saturate=True)
    y = fp.round(rng.integers(-3, 4, (length, width)) * 2.0 ** ((fmt.emax + 1) // 2), fmt, saturate=True)
    steps, expected = Steps(fmt, mode, saturate), np.zeros((2, width))
    for i, j in itertools.product(range(2), range(width)):
        products = [
            steps.rounded(Fraction(float(a)) * Fraction(float(b))) if a * b else float(np.copysign(0.0, a * b))
            for a, b in zip(x[i], y[:, j], strict=True)
        ]
        expected[i, j] = steps.in_order(products, order)
    result, tally = tallied(acc, lambda acc: acc.matmul(x, y))
    np.testing.assert_array_equal(result, expected)
    assert tally == Tally(steps.additions, steps.absorbed, steps.overflow)


def test_a_native_sum_overflows_where_its_partial_sum_does():
    for fmt, dtype in (("float16", np.float64), ("float32", np.float32)):
        top = fp.Format(fmt).max
        x = np.array([[top, top], [top, -top], [1.0, top], [np.inf, top], [1.0, -np.inf]], dtype)
        result, tally = tallied(fp.Accumulator(fmt, "sequential"), lambda acc, x=x: acc.sum(x, axis=0))
        np.testing.assert_array_equal(result, [np.inf, np.nan])
        # column 0: top + top; column 1: 0, top, top + top
        assert tally == Tally(additions=10, absorbed=0, overflow=2)


def test_tiles_change_no_count(monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.integers(-9, 9, (3, 5, 6)) * 900.0, rng.integers(-9, 9, (6, 4)) * 3.0
    for fmt, order in itertools.product(("float16", "float32", "bfloat16"), ("sequential", "pairwise", "blocked:2")):
        results = []
        for tile in (1 << 16, 8, 1):
            for place in (module, accumulator):
                monkeypatch.setattr(place, "TILE", tile)
            acc = fp.Accumulator(fmt, order)
            results.append((tallied(acc, lambda acc: acc.matmul(x, y)), tallied(acc, lambda acc: acc.sum(x, axis=1))))
        for other in results[1:]:
            for (a, count), (b, again) in zip(results[0], other, strict=True):
                np.testing.assert_array_equal(a, b)
                assert count == again


def test_only_the_result_of_order_exact_and_of_steps_is_looked_at():
    top = fp.float16.max
    for order in ("exact", "tensor_core"):
        acc = fp.Accumulator("float16", order)
        assert tallied(acc, lambda acc: acc.matmul([[top, top]], [[1.0], [1.0]]))[1] == Tally(overflow=1)
        assert tallied(acc, lambda acc: acc.matmul([[top, top]], [[1.0], [-1.0]]))[1] == Tally()
        assert tallied(acc, lambda acc: acc.sum([np.inf, 1.0]))[1] == Tally()
        assert tallied(acc, lambda acc: acc.sum(np.zeros((0, 2)), axis=1))[1] == Tally()
    told = []
    acc = counting(fp.Accumulator("float16"), told.append)
    assert acc.step(np.multiply, np.float32([2.0, 3e4]), np.float32([2.0, 3e4])).tolist() == [4.0, np.inf]
    assert told == [Tally(overflow=1)]
    saturating = counting(fp.Accumulator("float16", saturate=True), told.append)
    assert saturating.step(np.multiply, np.float32([2.0, 3e4]), np.float32([2.0, 3e4])).tolist() == [4.0, top]
    assert told == [Tally(overflow=1)] * 2
    assert acc.spread_taps(1, 2, 3) is None
    small = counting(fp.Accumulator("float4_e2m1fn", "sequential"), told.append)
    assert small.step(np.add, np.float32([6.0]), np.float32([6.0])).tolist() == [6.0]
    assert told[2:] == [Tally(overflow=1)]
    assert counting(fp.Accumulator("float16"), told.append).rng is None


# Exact ----------------------------------------------------------------------------------------------------------------


def fractions(wide):
    """The numbers, up to the size of a rest that only shows its sign."""
    parts = zip(
        wide.hi.reshape(-1).tolist(), wide.lo.reshape(-1).tolist(), wide.exponent.reshape(-1).tolist(), strict=True
    )
    return [(Fraction(h) + Fraction(lo)) * Fraction(2) ** int(e) if h else Fraction(0) for h, lo, e in parts]


def assert_rounds_like(wide, exact):
    for found, expected in zip(fractions(wide), exact, strict=True):
        assert (found > 0) - (found < 0) == (expected > 0) - (expected < 0)
        assert abs(found - expected) <= abs(expected) / 2**100
    for fmt, mode in itertools.product(("float64", "float16", "e8m40"), ("nearest_even", "up", "down", "toward_zero")):
        expected = [float(oracle.round(x, fmt, mode)) for x in exact]
        np.testing.assert_array_equal(round_to(wide, fp.Format(fmt), mode).reshape(-1), expected)


NUMBERS = st.builds(lambda m, e: float(np.ldexp(m, e)), st.integers(-(2**53), 2**53), st.integers(-200, 200))


@draw.law(150)
@given(st.lists(NUMBERS, max_size=6), st.booleans(), st.integers(-800, 700))
def test_exact_sums_are_the_fractions(numbers, cancelling, shift):
    numbers = [float(np.ldexp(x, shift)) for x in numbers]
    numbers += [-x for x in numbers[:-1]] if cancelling else []
    total = sum(map(Fraction, numbers), Fraction(0))
    column = np.array(numbers, np.float64).reshape(-1, 1)
    assert_rounds_like(exact_sum(column), [total])
    assert_rounds_like(exact_sum(np.hstack([column, -column, 0 * column])), [total, -total, Fraction(0)])
    ones = np.ones((1, len(numbers)))
    assert_rounds_like(exact_matmul(ones, column), [total])
    squares = sum((Fraction(x) ** 2 for x in numbers), Fraction(0))
    assert_rounds_like(exact_matmul(column.T, column), [squares])


def test_exact_sums_of_nothing_and_of_special_values():
    assert exact_sum(np.zeros((0, 3))).value().tolist() == [0.0, 0.0, 0.0]
    assert exact_matmul(np.zeros((2, 0)), np.zeros((0, 3))).value().tolist() == [[0.0] * 3] * 2
    assert exact_matmul(np.zeros((0, 2)), np.zeros((2, 3))).shape == (0, 3)
    assert exact_sum(np.zeros((2, 0))).shape == (0,)
    acc = fp.Accumulator("float16", "exact")
    assert acc.matmul(np.zeros((2, 0)), np.zeros((0, 3))).tolist() == [[0.0] * 3] * 2
    assert acc.sum(np.zeros((0, 3)), axis=0).tolist() == [0.0] * 3
    assert acc.sum([[1.0, 2.0], [3.0, 4.0]], axis=1).tolist() == [3.0, 7.0]
    special = [[np.inf, 1.0], [1.0, -np.inf], [np.inf, -np.inf], [np.nan, 1.0], [1.0, 2.0]]
    np.testing.assert_array_equal(acc.sum(special, axis=1), [np.inf, -np.inf, np.nan, np.nan, 3.0])
    x, y = np.array([[np.inf, 2.0], [0.0, -3.0], [2.0, 3.0]]), np.array([[0.0, 1.0, -1.0], [1.0, 1.0, np.inf]])
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(acc.matmul(x, y), x @ y)
    # what is left of a cancelled sum may be below the last place of every term
    assert acc.sum([2.0**15, 2.0**-24, -(2.0**15)]) == 2.0**-24


@pytest.mark.parametrize("bits", [53, 54, 55, 103, 104, 105, 106, 107, 160])
def test_a_rest_far_below_shows_that_it_is_there(bits):
    """1 + 2**-24 is half-way between two float32: what else there is decides, however far below."""
    for sign in (1.0, -1.0):
        x = np.array([1.0, 2.0**-24, sign * 2.0**-bits]).reshape(3, 1)
        for factor in (1.0, -1.0):
            expected = factor * (1.0 + (sign > 0) * 2.0**-23)
            assert round_to(exact_sum(factor * x), fp.float32)[0] == expected
