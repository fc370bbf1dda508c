"""ulp, spacing, nextafter: NumPy's own for float16, float32, float64; the table of numbers for the others."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fpsim as fp
from tests.oracles import draw, rational, tables
from tests.oracles.bits import assert_same

OTHERS = [name for name in tables.FORMATS if name != "float16"]


def numbers(dtype: str) -> np.ndarray:
    """All float16, or as many of the wide ones, specials included."""
    if dtype == "float16":
        x = np.arange(65536, dtype=np.uint16).view(np.float16)
    else:
        codes = np.random.default_rng(1).integers(0, 2**64, 20_000, dtype=np.uint64)
        info = np.finfo(dtype)
        edges = [0, info.smallest_subnormal, info.smallest_normal, 1, 2, info.max, np.inf]
        x = np.concatenate([codes.view(dtype)[:20_000], np.array(edges, dtype), -np.array(edges, dtype)])
    return x[~np.isnan(x)]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_spacing_is_numpys(dtype):
    x = numbers(dtype)
    # NumPy's float16 spacing has no sign, unlike its float32 and float64 ones, and of -0 none has one
    x = x[~np.signbit(x)] if dtype == "float16" else x[(x != 0) | ~np.signbit(x)]
    with np.errstate(all="ignore"):
        expected = np.spacing(x)
    assert_same(fp.spacing(x, dtype), expected, x)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_ulp_is_numpys_spacing_of_the_magnitude(dtype):
    x = numbers(dtype)
    x = x[np.abs(x) < np.finfo(dtype).max]
    assert_same(fp.ulp(x, dtype), np.spacing(np.abs(x)), x)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("goal", [np.inf, -np.inf, 0.0, -0.0, 1.0, np.nan])
def test_nextafter_is_numpys(dtype, goal):
    x = numbers(dtype)
    goal = np.dtype(dtype).type(goal)
    with np.errstate(all="ignore"):
        expected = np.nextafter(x, goal)
    expected[x == goal] = goal  # as in C; NumPy's float16 keeps the other zero
    assert_same(fp.nextafter(x, goal, dtype), expected, x)


@pytest.mark.parametrize("name", OTHERS)
def test_ulp_and_spacing_are_the_gaps_of_the_table(name):
    table = tables.magnitudes(name)
    gaps = np.diff(table)
    assert np.array_equal(fp.ulp(table[:-1], name), gaps)
    assert fp.ulp(table[-1], name) == gaps[-1]
    assert np.array_equal(fp.ulp(-table[:-1], name), gaps)
    assert np.array_equal(fp.spacing(table[:-1], name), gaps)
    assert np.array_equal(fp.spacing(-table[1:-1], name), -gaps[1:])


@pytest.mark.parametrize("name", OTHERS)
def test_nextafter_walks_the_table(name):
    table = tables.magnitudes(name)
    numbers = np.concatenate([-table[:0:-1], table])
    assert_same(fp.nextafter(numbers[:-1], np.inf, name) + 0.0, numbers[1:])  # + 0.0: either zero
    assert_same(fp.nextafter(numbers[1:], -np.inf, name) + 0.0, numbers[:-1] + 0.0)
    assert_same(fp.nextafter(numbers, numbers, name), numbers)


@pytest.mark.parametrize("name", OTHERS)
def test_nextafter_of_what_is_no_number_of_the_format_is_the_first_on_the_way(name):
    table = tables.magnitudes(name)
    middle = (table[:-1] + table[1:]) / 2
    for x in (middle, np.nextafter(table[:-1], np.inf), np.nextafter(table[1:], 0)):
        assert np.array_equal(fp.nextafter(x, np.inf, name), table[1:])
        assert np.array_equal(fp.nextafter(x, -np.inf, name), table[:-1])
        assert np.array_equal(fp.nextafter(-x, -np.inf, name), -table[1:])


@pytest.mark.parametrize("name", OTHERS)
def test_from_infinity_the_first_number_is_the_largest_if_the_format_rounds_it_to_one(name):
    fmt = fp.Format(name)
    expected = fmt.max if fmt.has_inf or not fmt.has_nan else np.nan
    assert_same(fp.nextafter([np.inf, -np.inf], [0.0, 1.0], name), np.array([expected, -expected]))


def test_of_nan_and_towards_nan_is_nan():
    assert np.isnan(fp.nextafter([np.nan, 1.0, np.nan], [1.0, np.nan, np.nan], "float16")).all()


@draw.law(200)
@given(st.data())
def test_a_step_there_and_back_is_no_step(data):
    name = data.draw(draw.formats())
    law = rational.grid(name)
    x = rational.round_exact(rational.real(data.draw(draw.hard(name))), law, "toward_zero")
    there = fp.nextafter(x, np.inf, name)
    if np.isfinite(there) and there != x:
        assert there - x in (fp.ulp(x, name), fp.ulp(there, name))
        assert fp.nextafter(there, -np.inf, name) == x
