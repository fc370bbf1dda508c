"""Counting inside accumulators: the same bits step by step, and each count by a sum that can be followed by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fpsim as fp
from fpsim.accumulate.counting import Tally, counting

ORDERS = ["sequential", "pairwise", "blocked:3", "kahan"]
FORMATS = ["float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float4_e2m1fn"]
MODES = ["nearest_even", "nearest_away", "toward_zero", "down", "up", "stochastic"]


def tally_of(acc, call):
    """Everything that one call tells, added up."""
    told = []
    call(counting(acc, told.append))
    return Tally(*(sum(getattr(t, name) for t in told) for name in ("additions", "absorbed", "overflow")))


@given(
    st.sampled_from(FORMATS),
    st.sampled_from(ORDERS),
    st.sampled_from(MODES),
    st.booleans(),
    st.integers(0, 9),
    st.integers(0, 2**32),
)
def test_the_second_time_gives_the_same_bits(fmt, order, mode, fma, length, seed):
    rng = np.random.default_rng(seed)
    x, y = (fp.round(rng.normal(size=s) * 10, fmt) for s in ((2, 3, length), (2, length, 4)))
    fma = fma and order in ("sequential", "blocked:3")

    def made():
        return fp.Accumulator(fmt, order, fma=fma, rounding=mode, rng=np.random.default_rng(7))

    plain = made().matmul(x, y), made().sum(x, axis=(0, 2))
    counted = counting(made(), lambda tally: None)
    np.testing.assert_array_equal(counted.count_matmul(x, y, order), plain[0])
    counted = counting(made(), lambda tally: None)
    terms = x.transpose(0, 2, 1).reshape(2 * length, 3)
    np.testing.assert_array_equal(counted.count_sum(terms, order), plain[1])
    counted, again = counting(made(), lambda tally: None), made()
    for _ in range(2):  # the second draw from the generator, too
        np.testing.assert_array_equal(counted.matmul(x, y), again.matmul(x, y))
        np.testing.assert_array_equal(counted.sum(x, axis=(0, 2)), again.sum(x, axis=(0, 2)))


@pytest.mark.parametrize(("order", "additions"), [("sequential", 3000), ("blocked:5000", 3001)])
def test_ones_in_float16_are_absorbed_from_2048_on(order, additions):
    tally = tally_of(fp.Accumulator("float16", order), lambda acc: acc.sum(np.ones(3000)))
    assert tally == Tally(additions, 3000 - 2048, 0)


def test_kahans_additions_are_those_of_the_compensated_terms():
    s = c = np.float16(0)
    additions = absorbed = 0
    for _ in range(3000):
        y = np.float16(1) - c
        t = s + y
        additions, absorbed = additions + (y != 0), absorbed + (y != 0 and t == s)
        s, c = t, (t - s) - y
    assert s == 3000
    assert tally_of(fp.Accumulator("float16", "kahan"), lambda acc: acc.sum(np.ones(3000))) == Tally(
        additions, absorbed
    )


def test_pairwise_absorbs_nothing_there():
    assert tally_of(fp.Accumulator("float16", "pairwise"), lambda acc: acc.sum(np.ones(3000))) == Tally(2999, 0, 0)


def test_a_zero_term_is_no_addition():
    x = np.array([1.0, 0.0, -0.0, 2.0**-12])
    assert tally_of(fp.Accumulator("float16"), lambda acc: acc.sum(x)) == Tally(2, 1, 0)


@pytest.mark.parametrize("mode", ["nearest_even", "toward_zero"])
@pytest.mark.parametrize("saturate", [False, True])
@pytest.mark.parametrize(("fmt", "large"), [("float16", 60000.0), ("float8_e4m3fn", 448.0), ("float32", 3e38)])
def test_sums_and_products_that_overflow_are_counted_where_they_do(fmt, large, mode, saturate):
    acc = fp.Accumulator(fmt, "sequential", rounding=mode, saturate=saturate)
    large = float(fp.round(np.float64(large), fmt))
    stays = saturate or mode == "toward_zero"
    # the first sum beyond the largest number; if that number stays, so does the next one
    assert tally_of(acc, lambda acc: acc.sum(np.array([large, large, large]))).overflow == (2 if stays else 1)
    # the first product; added to it the sum stays where it is
    tally = tally_of(acc, lambda acc: acc.matmul(np.array([[large, 0.0]]), np.array([[large], [1.0]])))
    assert tally.overflow == 1


def test_order_exact_overflows_in_its_result_alone():
    acc = fp.Accumulator("float16", "exact")
    assert tally_of(acc, lambda acc: acc.sum(np.array([60000.0, 60000.0, -60000.0]))) == Tally()
    assert tally_of(acc, lambda acc: acc.sum(np.array([60000.0, 60000.0]))) == Tally(overflow=1)


def test_order_blas_is_counted_in_order_sequential():
    x = np.concatenate([[1.0], np.full(5, 2.0**-25)]).astype(np.float32)
    assert tally_of(fp.Accumulator("float32"), lambda acc: acc.sum(x)) == Tally(6, 5, 0)


def test_infinities_that_come_in_are_no_overflow():
    tally = tally_of(fp.Accumulator("float16"), lambda acc: acc.sum(np.array([np.inf, 1.0, -np.inf, 1.0])))
    assert tally == Tally(4, 0, 0)


def test_a_fused_step_is_absorbed_as_a_whole():
    acc = fp.Accumulator("float16", "sequential", fma=True)
    assert tally_of(acc, lambda acc: acc.dot(np.array([1.0, 2.0**-8]), np.array([1.0, 2.0**-8]))) == Tally(2, 1, 0)
