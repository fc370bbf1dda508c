"""The order ``blocked:B@FORMAT`` against exact fractions rounded step by step: sums, products, convolutions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fpsim as fp
import fpsim.nn.functional as F
from fpsim.accumulate.counting import counting
from fpsim.testing import exact
from tests.oracles.bits import assert_same
from tests.oracles.kernels import kernels

INNER = ("e8m13", "float16", "float8_e5m2", "e5m6")
OUTER = ("float32", "float16", "bfloat16", "e11m40")


def literally(terms, block, inner, outer, fma=False, mode="nearest_even"):
    """The documented loop, one rounding after the other."""
    s = 0.0
    for start in range(0, len(terms), block):
        t = 0.0
        for p in terms[start : start + block]:
            p = p if fma else exact.round(p, inner, mode)
            t = exact.round(exact.add(t, p), inner, mode)
        s = exact.round(exact.add(s, exact.round(t, outer, mode)), outer, mode)
    return float(s)


@st.composite
def sums(draw):
    block, length = draw(st.integers(1, 5)), draw(st.integers(0, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x, y = (fp.round(rng.normal(size=length) * 8, "float8_e4m3fn").astype(np.float32) for _ in range(2))
    return draw(st.sampled_from(INNER)), draw(st.sampled_from(OUTER)), block, draw(st.booleans()), x, y


@settings(max_examples=60)
@given(sums())
def test_blocks_are_summed_in_their_format_and_their_sums_in_the_accumulators(case):
    inner, outer, block, fma, x, y = case
    order = f"blocked:{block}@{inner}"
    acc = fp.Accumulator(outer, order, fma=fma)
    products = [Fraction(float(a)) * Fraction(float(b)) for a, b in zip(x, y, strict=True)]
    assert_same(acc.dot(x, y), literally(products, block, inner, outer, fma))
    assert_same(acc.dot(x, y), exact.accumulate(products, outer, order, fma))
    terms = [Fraction(float(a)) for a in x]
    assert_same(acc.sum(x), literally(terms, block, inner, outer))


@pytest.mark.parametrize("outer", ["bfloat16", "float16", "float32"])
def test_a_blocks_sum_is_rounded_to_a_narrower_accumulators_format(outer):
    rng = np.random.default_rng(4)
    for _ in range(20):
        x = rng.normal(size=12).astype(np.float32)
        total = fp.Accumulator(outer, "blocked:3@e8m13").sum(x)
        assert_same(total, literally([Fraction(float(a)) for a in x], 3, "e8m13", outer))


@pytest.mark.parametrize("mode", ["toward_zero", "up"])
def test_the_rounding_mode_is_that_of_both_formats(mode):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 9)).astype(np.float32)
    acc = fp.Accumulator("float32", "blocked:4@e8m13", rounding=mode)
    products = [Fraction(float(a)) * Fraction(float(b)) for a, b in zip(x, y, strict=True)]
    assert_same(acc.dot(x, y), literally(products, 4, "e8m13", "float32", mode=mode))


def test_kernels_batches_axes_and_layouts_give_the_same_bits():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 3, 300)).astype(np.float32), rng.normal(size=(2, 300, 5)).astype(np.float32)
    acc = fp.Accumulator("float32", "blocked:128@e8m13")
    with kernels("numpy"):
        plain = acc.matmul(x, y)
        total = acc.sum(x, axis=(0, 2))
    for i, j, k in np.ndindex(2, 3, 5):
        assert_same(plain[i, j, k], acc.dot(x[i, j], y[i, :, k]))
    assert_same(acc.matmul(np.asfortranarray(x), y), plain)
    assert_same(total[1], acc.sum(np.ascontiguousarray(x[:, 1])))
    pytest.importorskip("numba")
    with kernels("compiled"):
        assert_same(acc.matmul(x, y), plain)
        assert_same(acc.sum(x, axis=(0, 2)), total)


def test_promotion_is_what_keeps_long_sums_of_fp8_products_right():
    """DeepSeek-V3, section 3.3.2: 14 bits are too few for a sum of 4096 products, but enough for blocks of 128."""
    rng = np.random.default_rng(2)
    x, y = (fp.round(np.abs(rng.normal(size=4096)), "float8_e4m3fn") for _ in range(2))
    right = float(np.dot(x, y))
    unpromoted = abs(fp.Accumulator("e8m13").dot(x, y) / right - 1)
    promoted = abs(fp.Accumulator("float32", "blocked:128@e8m13").dot(x, y) / right - 1)
    assert promoted < 1e-4 < 5e-4 < unpromoted
    assert fp.Accumulator("float32", "blocked:4096@e8m13").dot(x, y) == fp.Accumulator("e8m13").dot(x, y)


def test_convolutions_and_layers_follow():
    rng = np.random.default_rng(3)
    precision = fp.Precision("float32", order="blocked:4@e8m13")
    image, kernel = rng.normal(size=(1, 2, 3, 3)), rng.normal(size=(1, 2, 3, 3))
    x, w = (fp.tensor(a, precision=precision) for a in (image, kernel))
    acc = fp.Accumulator("float32", "blocked:4@e8m13")
    assert_same(F.conv2d(x, w).item(), acc.dot(image.astype(np.float32).ravel(), kernel.astype(np.float32).ravel()))


def test_counting_gives_the_same_sum_and_counts_the_steps_of_both():
    tallies = []
    x = np.ones(3000, np.float32)
    acc = fp.Accumulator("float32", "blocked:2500@float16")
    assert counting(acc, tallies.append).sum(x) == acc.sum(x) == 2048 + 500
    assert sum(t.additions for t in tallies) == 3000 + 2
    assert sum(t.absorbed for t in tallies) == 452
    tallies.clear()
    assert counting(acc, tallies.append).dot(x, x) == 2548
    assert sum(t.absorbed for t in tallies) == 452
