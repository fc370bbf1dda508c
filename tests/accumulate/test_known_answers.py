"""Sums whose results are published: where adding stops, and what a tenth adds up to."""

import numpy as np
import pytest

import fpsim as fp

#: Format, the first term of 1/1 + 1/2 + 1/3 + ... that changes nothing any more, and the sum there.
#: Connolly, Higham, Mary 2021; float32's is 15.403682708740234.
HARMONIC = [("float16", 513, 7.0859375), ("bfloat16", 65, 5.0625), ("float32", 2097152, 15.403682708740234)]


@pytest.mark.parametrize(("name", "first_lost", "limit"), HARMONIC)
def test_the_harmonic_series_converges(name, first_lost, limit):
    terms = 1 / np.arange(1, first_lost + 1001)
    acc = fp.Accumulator(name, order="sequential")
    assert acc.sum(terms[: first_lost - 2]) < limit
    assert acc.sum(terms[: first_lost - 1]) == acc.sum(terms[:first_lost]) == acc.sum(terms) == limit


@pytest.mark.parametrize(("name", "total"), [("float16", 256), ("bfloat16", 32)])
def test_ten_thousand_tenths_stop_short(name, total):
    acc = fp.Accumulator(name)
    assert acc.sum(np.full(10_000, 0.1)) == total
    assert acc.dot(np.full(10_000, 0.1), np.ones(10_000)) == total


@pytest.mark.parametrize(
    ("name", "largest"),
    [("float16", 2048), ("bfloat16", 256), ("float8_e4m3fn", 16), ("float8_e5m2", 8), ("float4_e2m1fn", 4)],
)
def test_ones_stop_adding_up_at_2_to_the_p(name, largest):
    count = largest + 100
    sequential, exact = (fp.Accumulator(name, order=order) for order in ("sequential", "exact"))
    assert sequential.sum(np.ones(count, np.float32)) == largest
    assert exact.sum(np.ones(count, np.float32)) == fp.round(count, name)


@pytest.mark.parametrize(
    ("order", "total"), [("pairwise", 999.5), ("blocked:100", 1002.5), ("kahan", 1000), ("exact", 1000)]
)
def test_the_cures_of_ten_thousand_tenths_in_float16(order, total):
    assert fp.Accumulator("float16", order=order).sum(np.full(10_000, 0.1)) == total


def test_every_column_of_ones_gives_the_same_whatever_the_axis():
    # NumPy's float16 sum of these is 10000 along the contiguous axis and 2048 along the other
    ones = np.ones((10_000, 3), np.float16)
    acc = fp.Accumulator("float16")
    assert np.all(acc.sum(ones, axis=0) == 2048)
    assert np.all(acc.sum(np.ascontiguousarray(ones.T), axis=1) == 2048)
