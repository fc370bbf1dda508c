"""Every order of summation, with and without fma, in many formats and all modes, against the rational oracle.

The oracle (`tests/oracles/rational.py`) rounds exact fractions at each step; fpsim must give the same bits.
"""

from functools import cache

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import fpsim as fp
from tests.oracles import draw, rational
from tests.oracles.bits import assert_same

ORDERS = ("sequential", "pairwise", "blocked:1", "blocked:3", "blocked:64", "kahan", "exact")
#: Formats in which fpsim may work in float32, in float64, or needs residues; with and without NaN, infinity, -0.
NAMES = (
    "float16", "bfloat16", "tfloat32", "float32", "float64", "float8_e4m3fn", "float8_e5m2",
    "float8_e4m3fnuz", "float6_e3m2fn", "float4_e2m1fn", "e6m9", "e8m16", "e5m24", "e11m4", "e11m40", "e2m52",
)  # fmt: skip
HOW = [(order, False) for order in ORDERS] + [("sequential", True), ("blocked:3", True), ("blocked:1", True)]


def accumulator(name: str, order: str, fma: bool, mode: str, saturate: bool) -> fp.Accumulator:
    return fp.Accumulator(name, order=order, fma=fma, rounding=mode, saturate=saturate)


@cache
def magnitude(name: str) -> st.SearchStrategy[float]:
    """Floats among which sums and products meet in the format: some grid values, some of any size."""
    fmt = rational.grid(name)
    near_one = st.builds(lambda n, e: n * 2.0**e, st.integers(-(2**12), 2**12), st.integers(-14, -9))
    ends = st.sampled_from([float(fmt.max), -float(fmt.max), float(fmt.quantum), -float(fmt.quantum), 0.0, -0.0])
    return near_one | near_one | ends | draw.hard(name) | st.floats(-4, 4)


def rounded(x: list[float], name: str) -> list[float]:
    return [rational.round_exact(rational.real(v), rational.grid(name), saturate=True) for v in x]


@cache
def inputs(name: str, count: int) -> st.SearchStrategy[list[list[float]]]:
    """`count` lists of one length: float64 of any value, or on the grid of the accumulator or of float32."""

    def on_a_grid(columns: list[tuple[float, ...]], grid: str | None) -> list[list[float]]:
        lists = [[column[i] for column in columns] for i in range(count)]
        return lists if grid is None else [rounded(x, grid) for x in lists]

    columns = st.lists(st.tuples(*[magnitude(name)] * count), max_size=9)
    return st.builds(on_a_grid, columns, st.sampled_from([None, name, "float32", "float16"]))


def law_or_skip(oracle, *args, **how) -> float:
    """The oracle's answer; examples that need a NaN which the format lacks are not of interest here."""
    try:
        return oracle(*args, **how)
    except ValueError:
        assume(False)


@pytest.mark.parametrize(("order", "fma"), HOW[: len(ORDERS)])
@pytest.mark.parametrize("name", NAMES)
@draw.law(15)
@given(data=st.data())
def test_sums_are_the_rational_ones(name, order, fma, data):
    mode, saturate = data.draw(draw.flags())
    (x,) = data.draw(inputs(name, 1))
    expected = law_or_skip(rational.total, x, rational.grid(name), order=order, mode=mode, saturate=saturate)
    acc = accumulator(name, order, fma, mode, saturate)
    assert_same(acc.sum(np.array(x, dtype=np.float64)), expected)
    assert_same(acc.sum(np.array([x, x], dtype=np.float64).T, axis=0), [expected, expected])


@pytest.mark.parametrize(("order", "fma"), HOW)
@pytest.mark.parametrize("name", NAMES)
@draw.law(15)
@given(data=st.data())
def test_dots_are_the_rational_ones(name, order, fma, data):
    mode, saturate = data.draw(draw.flags())
    x, y = data.draw(inputs(name, 2))
    how = {"order": order, "fma": fma, "mode": mode, "saturate": saturate}
    expected = law_or_skip(rational.dot, x, y, rational.grid(name), **how)
    acc = accumulator(name, order, fma, mode, saturate)
    assert_same(acc.dot(np.array(x, dtype=np.float64), np.array(y, dtype=np.float64)), expected)


@pytest.mark.parametrize(("order", "fma"), HOW)
@draw.law(40)
@given(data=st.data())
def test_matmuls_are_dots_of_rows_and_columns(order, fma, data):
    name = data.draw(st.sampled_from(NAMES))
    mode, saturate = data.draw(draw.flags())
    rows, inner, columns = (data.draw(st.integers(0, 4)) for _ in range(3))
    values = magnitude(name) if rational.grid(name).has_nan else st.floats(-4, 4)
    x, y = (
        np.array(data.draw(st.lists(values, min_size=a * b, max_size=a * b)), dtype=np.float64).reshape(a, b)
        for a, b in [(rows, inner), (inner, columns)]
    )
    acc = accumulator(name, order, fma, mode, saturate)
    product = acc.matmul(x, y)
    assert product.shape == (rows, columns)
    for i, j in np.ndindex(rows, columns):
        assert_same(product[i, j], acc.dot(x[i], y[:, j]))
        expected = rational.dot(x[i], y[:, j], rational.grid(name), order=order, fma=fma, mode=mode, saturate=saturate)
        assert_same(product[i, j], expected)


@pytest.mark.parametrize("dtypes", [(np.float32, np.float32), (np.float16, np.float64), (np.float32, np.float16)])
@pytest.mark.parametrize("name", ["float16", "bfloat16", "float8_e4m3fn", "float32"])
@draw.law(20)
@given(data=st.data())
def test_inputs_of_other_formats_are_used_at_their_own_value(name, dtypes, data):
    mode, _ = data.draw(draw.flags())
    order, fma = data.draw(st.sampled_from(HOW))
    x, y = data.draw(inputs(name, 2))
    with np.errstate(all="ignore"):
        x, y = (np.array(v).astype(dtype) for v, dtype in zip((x, y), dtypes, strict=True))
    expected = rational.dot(x, y, rational.grid(name), order=order, fma=fma, mode=mode)
    assert_same(accumulator(name, order, fma, mode, False).dot(x, y), expected)


# Special values --------------------------------------------------------------------------------------------

#: What goes wrong in sums, and numbers that do not: the latter twice as often.
ORDINARY = [0.0, -0.0, 1.0, -1.5, 65504.0, -65504.0, 2.0**-24, -(2.0**-24)]
SPECIALS = [np.inf, -np.inf, np.nan, 3e38, 5e-324]


@pytest.mark.parametrize(("order", "fma"), HOW)
@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float8_e5m2fnuz"])
@pytest.mark.parametrize("mode", rational.MODES)
def test_infinities_nans_zeros_and_overflow_inside_a_sum(name, order, fma, mode):
    rng = np.random.default_rng(0)
    for saturate in (False, True):
        how = {"order": order, "fma": fma, "mode": mode, "saturate": saturate}
        x, y = rng.choice(ORDINARY * 2 + SPECIALS, (2, 16, 4))
        expected = [rational.dot(a, b, rational.grid(name), **how) for a, b in zip(x, y, strict=True)]
        product = accumulator(name, order, fma, mode, saturate).matmul(x[:, None, :], y[:, :, None])
        assert_same(product[:, 0, 0], expected)


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
@pytest.mark.parametrize("order", ORDERS)
def test_a_sum_of_negative_zeros_and_of_nothing_is_plus_zero(name, order):
    acc = fp.Accumulator(name, order=order)
    minus = -0.0 if order == "pairwise" else 0.0  # of one term it is the term
    assert_same(acc.sum([]), 0.0)
    assert_same(acc.sum([-0.0]), minus)
    assert_same(acc.sum([-0.0, -0.0]), minus)
    assert_same(acc.dot([], []), 0.0)
    assert_same(acc.dot([-1.0], [0.0]), minus)
    assert_same(acc.matmul(np.zeros((2, 0)), np.zeros((0, 3))), np.zeros((2, 3)))


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_a_nonzero_exact_sum_that_underflows_keeps_its_sign(name):
    tiny = float(rational.grid(name).quantum)
    acc = fp.Accumulator(name, order="exact")
    assert_same(acc.dot([-tiny], [tiny]), -0.0)
    assert_same(acc.dot([tiny, 1], [tiny, 0]), 0.0)
    assert_same(acc.dot([-tiny, 1, -1], [tiny, 1, 1]), -0.0)
    assert_same(acc.sum([tiny, -tiny]), 0.0)


def test_exact_sums_reach_over_the_whole_of_float64():
    acc = fp.Accumulator("float64", order="exact")
    big, tiny = np.finfo(float).max, 5e-324
    assert acc.sum([big, big, tiny, -big, -big]) == tiny
    assert acc.dot([big, big, tiny], [big, -big, tiny]) == 0.0
    assert acc.dot([big, big, 1.0], [big, -big, tiny]) == tiny
    assert acc.sum([1.0, 2.0**-53, tiny]) == 1 + 2.0**-52
    assert acc.dot([1.0, 2.0**-600], [1 + 2.0**-52, 2.0**-600]) == 1 + 2.0**-52


@pytest.mark.parametrize("mode", rational.MODES)
def test_a_fused_sum_just_below_half_the_least_number_is_rounded_by_the_law(mode):
    # -2**-24 + 2**-25 * (1 + 2**-53 - 2**-105): neither the sum nor its distance from a midpoint is a float64
    x, y = [-(2.0**-24), 2.0**-25 * (1 + 2.0**-52)], [1, 1 - 2.0**-53]
    expected = rational.dot(x, y, rational.grid("float16"), fma=True, mode=mode)
    assert_same(accumulator("float16", "sequential", True, mode, False).dot(x, y), expected)


@pytest.mark.parametrize("name", ["float16", "float32", "float64", "bfloat16"])
@pytest.mark.parametrize("order", [None, *ORDERS])
@pytest.mark.parametrize("width", [1, 70])
def test_overflow_is_no_warning(name, order, width):
    # warnings are errors in this suite
    acc = fp.Accumulator(name, order=order)
    x = np.full((2, width), fp.Format(name).max)
    overflowed = np.nan if order == "kahan" else np.inf
    assert_same(acc.sum(x, axis=0), np.full(width, np.inf))
    assert_same(acc.matmul(x.T, x), np.full((width, width), overflowed))


def test_kahan_after_an_overflow_is_nan():
    assert np.isnan(fp.Accumulator("float16", order="kahan").sum([60000.0, 60000.0, 1.0]))


def test_float32_and_float64_sequential_sums_are_those_of_the_hardware():
    for dtype in (np.float32, np.float64):
        x, y = np.random.default_rng(4).normal(size=(2, 5000)).astype(dtype)
        acc = fp.Accumulator(dtype, order="sequential")
        assert_same(acc.sum(x), np.add.accumulate(x)[-1])
        assert_same(acc.dot(x, y), np.add.accumulate(x * y)[-1])
