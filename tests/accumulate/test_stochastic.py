"""Accumulators that round stochastically: decided by the generator alone, and unbiased.

Seeds are fixed; z-tests allow 4.5 standard deviations.
"""

import math

import numpy as np
import pytest

import fpsim as fp
from tests.oracles.bits import assert_same

HOW = [
    ("sequential", False),
    ("sequential", True),
    ("pairwise", False),
    ("blocked:8", False),
    ("exact", False),
]


def stochastic(order: str = "sequential", fma: bool = False, seed: int = 0, name: str = "float16") -> fp.Accumulator:
    return fp.Accumulator(name, order=order, fma=fma, rounding="stochastic", rng=np.random.default_rng(seed))


@pytest.mark.parametrize(("order", "fma"), HOW)
def test_the_generator_decides(order, fma):
    x, y = np.random.default_rng(0).normal(size=(2, 40, 40))
    first = stochastic(order, fma).matmul(x, y)
    assert_same(stochastic(order, fma).matmul(x, y), first)
    assert np.any(stochastic(order, fma, seed=1).matmul(x, y) != first)
    acc = stochastic(order, fma)
    assert np.any(acc.matmul(x, y) != acc.matmul(x, y)), "each call draws anew"


@pytest.mark.parametrize(("order", "fma"), HOW)
def test_memory_layout_is_of_no_matter(order, fma):
    x, y = np.random.default_rng(0).normal(size=(2, 12, 12))
    mirrored = np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1]
    for other in (np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2], mirrored):
        assert_same(stochastic(order, fma).matmul(other, y), stochastic(order, fma).matmul(x, y))
        assert_same(stochastic(order, fma).dot(other[0], y[:, 0]), stochastic(order, fma).dot(x[0], y[:, 0]))
        for axis in (None, 0, 1):
            assert_same(stochastic(order, fma).sum(other, axis=axis), stochastic(order, fma).sum(x, axis=axis))


@pytest.mark.parametrize(("order", "fma"), HOW)
def test_exact_results_are_unchanged_and_others_are_neighbours(order, fma):
    n = 5000
    ones = np.ones((2, 1))
    assert np.all(stochastic(order, fma).matmul(np.tile([1024.0, 1023.0], (n, 1)), ones) == 2047)
    # a quarter of the way from 2048 to 2050
    sums = stochastic(order, fma).matmul(np.tile([2048.0, 0.5], (n, 1)), ones)
    away = sums == 2050
    assert np.all(away | (sums == 2048))
    assert abs(away.sum() - n / 4) <= 4.5 * math.sqrt(n * 3 / 16)


@pytest.mark.parametrize(("order", "fma"), HOW)
def test_sums_that_stagnate_to_nearest_are_right_on_average(order, fma):
    n, count = 400, 600
    x = np.full((n, count), 2.0**-12 * 1.25)
    x[:, 0] = 1.0  # to nearest, nothing would ever be added in sequence
    sums = np.asarray(stochastic(order, fma).matmul(x, np.ones((count, 1))), np.float64)[:, 0]
    error = sums - x[0].sum()
    assert abs(error.mean()) <= 4.5 * max(error.std(), 2.0**-12) / math.sqrt(n)


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64"])
def test_rows_are_rounded_independently(name):
    # every row sums the same two numbers, halfway between neighbours
    step = fp.finfo(name).eps
    x = np.tile([1.0, step / 2], (20_000, 1))
    up = (stochastic(name=name).sum(x, axis=1) > 1) - 0.5
    assert set(np.abs(up)) == {0.5}
    for a, b in [(up, np.ones_like(up)), (up[1:], up[:-1]), (up[64:], up[:-64]), (up[:10_000], up[10_000:])]:
        assert abs(np.dot(a, b)) <= 4.5 * math.sqrt(len(a)) / 2
