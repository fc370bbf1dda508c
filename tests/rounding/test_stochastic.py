"""Stochastic rounding: unbiased, only ever one of two neighbours, exact values unchanged in any layout.

Seeds are fixed, so the z-tests either hold for ever or never: a bound of 4.5 standard deviations.
"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fpsim as fp
from tests.oracles import draw, rational, tables
from tests.oracles.bits import assert_same

WIDE = ("float32", "float64", "e11m20")


def stochastic(x, name, seed=0, **options):
    return fp.round(x, name, mode="stochastic", rng=np.random.default_rng(seed), **options)


#: Format and value: usual, subnormal, below the least subnormal, nearly exact, at a power of two, large, wide.
CASES = [
    ("float16", 0.1), ("float16", -0.1), ("float16", 2049.25), ("float16", 0.3 * 2**-24), ("float16", -(2**-34)),
    ("float16", 5.75 * 2**-24), ("float16", 1 - 2**-13), ("float16", -(1 + 2**-18)), ("float16", 65512.0),
    ("bfloat16", math.pi), ("bfloat16", 1e-40), ("bfloat16", -3e38), ("float8_e4m3fn", 17.1),
    ("float8_e5m2", -1e-5), ("float8_e4m3fnuz", -0.3 * 2**-10), ("float6_e2m3fn", 0.05), ("float4_e2m1fn", -2.25),
    ("float32", 0.1), ("float32", 2.0**-151), ("tfloat32", 1e5 / 3), ("e3m7", 0.77),
]  # fmt: skip


@pytest.mark.parametrize(("name", "x"), CASES)
def test_the_upper_neighbour_comes_as_often_as_the_fraction_passed(name, x):
    n = 100_000
    toward, away, probability = rational.stochastic(rational.Fraction(x), rational.grid(name))
    rounded = np.asarray(stochastic(np.full(n, x), name), np.float64)
    is_away = rounded == away
    assert np.all(is_away | (rounded == toward))
    p = float(probability)
    assert abs(is_away.sum() - n * p) <= 4.5 * math.sqrt(n * p * (1 - p))


def test_neighbouring_elements_and_successive_calls_are_independent():
    n, rng = 100_000, np.random.default_rng(1)
    x = np.full(n, 2049.0)  # halfway between 2048 and 2050
    first, second = (fp.round(x, "float16", mode="stochastic", rng=rng) - 2049 for _ in range(2))
    for a, b in [
        (first, second),
        (first[1:], first[:-1]),
        (first[64:], first[:-64]),
        (first[: n // 2], first[n // 2 :]),
    ]:
        assert abs(np.dot(a, b)) <= 4.5 * math.sqrt(len(a))


def test_uniform_inputs_keep_their_mean():
    x = np.random.default_rng(2).uniform(-2, 2, 200_000)
    error = np.asarray(stochastic(x, "float8_e4m3fn")) - x
    assert abs(error.mean()) <= 4.5 * error.std() / math.sqrt(x.size)


@pytest.mark.parametrize("name", tables.FORMATS)
def test_exact_values_are_unchanged(name):
    fmt = rational.grid(name)
    with np.errstate(invalid="ignore"):
        values = tables.decode(np.arange(2**fmt.bits), name)
    values = values if fmt.has_nan else values[~np.isnan(values)]
    assert_same(stochastic(values, name), values)
    assert_same(stochastic(values, name, saturate=True), np.clip(values, -float(fmt.max), float(fmt.max)))


@draw.law(200)
@given(st.data())
def test_only_the_two_neighbours_ever_come(data):
    name, seed = data.draw(draw.formats()), data.draw(st.integers(0, 99))
    x = data.draw(draw.hard(name).filter(lambda v: abs(v) <= rational.grid(name).max))
    allowed = {float(fp.round(x, name, mode=mode)) for mode in ("down", "up")}
    assert set(np.asarray(stochastic(np.full(50, x), name, seed), np.float64).tolist()) <= allowed


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float8_e5m2", "float8_e4m3fn"])
def test_between_the_largest_number_and_the_next_power_of_two_both_come(name):
    fmt = rational.grid(name)
    step = float(rational.ulp(fmt.max, fmt))
    rounded = np.asarray(stochastic(np.full(1000, float(fmt.max) + step / 2), name), np.float64)
    stays = rounded == float(fmt.max)
    assert 400 < stays.sum() < 600
    assert np.all(np.isinf(rounded[~stays]) if fmt.has_inf else np.isnan(rounded[~stays]))
    assert not np.isfinite(np.asarray(stochastic(np.full(9, float(fmt.max) + step), name), np.float64)).any()
    assert np.all(stochastic(np.full(9, 1e300), name, saturate=True) == float(fmt.max))


@pytest.mark.parametrize("name", ["float16", "bfloat16", *WIDE])
def test_memory_layout_is_of_no_matter(name):
    x = np.random.default_rng(3).normal(size=(13, 40, 3)) * 1e-3
    expected = stochastic(x, name)
    strided = np.repeat(x, 2, axis=1)[:, ::2]
    mirrored = np.ascontiguousarray(x[::-1, :, ::-1])[::-1, :, ::-1]
    for same in (np.asfortranarray(x), strided, mirrored, x.tolist()):
        assert_same(stochastic(same, name), expected)
    constant = np.broadcast_to(np.float64(0.1), (50, 7))
    assert_same(stochastic(constant, name), stochastic(constant.copy(), name))


def test_the_generator_decides_and_advances_the_same_whatever_the_size():
    assert_same(stochastic(np.full(100, 0.1), "float16", 5), stochastic(np.full(100, 0.1), "float16", 5))
    assert np.any(stochastic(np.full(100, 0.1), "float16", 5) != stochastic(np.full(100, 0.1), "float16", 6))
    small, large = np.random.default_rng(7), np.random.default_rng(7)
    fp.round([0.1], "float16", mode="stochastic", rng=small)
    fp.round(np.full((50, 50), 0.1), "float16", mode="stochastic", rng=large)
    assert small.integers(2**60) == large.integers(2**60)


def test_the_first_elements_do_not_depend_on_those_that_follow():
    x = np.full(100_000, 0.1)
    assert_same(stochastic(x, "float16")[:1000], stochastic(x[:1000], "float16"))


def test_flushing_and_saturating_follow_the_draw():
    flushed = stochastic(np.full(1000, -(2.0**-14) * (1 - 2.0**-11)), "float16", flush_subnormals=True)
    assert set(np.abs(flushed).tolist()) == {0.0, 2.0**-14}
    assert np.signbit(flushed).all()
