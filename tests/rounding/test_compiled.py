"""The compiled rounding of arrays gives the bits of the NumPy kernels."""

import numpy as np
import pytest

import fpsim as fp
from fpsim.rounding.kernel import round_to
from tests.oracles.bits import assert_same
from tests.oracles.kernels import kernels

pytest.importorskip("numba")


FORMATS = (
    "float16", "bfloat16", "tfloat32", "float32", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float6_e3m2fn",
    "e8m16", "e11m40",
)  # fmt: skip


def patterns(dtype, rng):
    """Random bit patterns, all float32 patterns with 13 zero bits at the end, and those half way between these."""
    top = np.arange(0, 2**32, 2**13, dtype=np.uint64).astype(np.uint32)
    random = rng.integers(0, 2**32, 100_000, dtype=np.uint64).astype(np.uint32)
    singles = np.concatenate([top, top | 0x1000, top | 0x1001, random]).view(np.float32)
    singles[np.isnan(singles)] = np.nan  # NumPy warns of signalling ones
    if dtype == "float32":
        return singles
    doubles = rng.integers(0, 2**64, 200_000, dtype=np.uint64).view(np.float64)
    doubles[np.isnan(doubles)] = np.nan
    return np.concatenate([singles.astype(np.float64), doubles])


@pytest.mark.parametrize("mode", ["nearest_even", "stochastic", "up"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("fmt", FORMATS)
def test_same_bits(fmt, dtype, mode):
    x = patterns(dtype, np.random.default_rng(0))
    if not fp.Format(fmt).has_nan:
        x = x[~np.isnan(x)]
    if mode == "up":  # always NumPy's: a few will do
        x = x[::100]
    for saturate in (False, True):
        results = []
        for which, threads in (("numpy", 1), ("compiled", 1), ("compiled", 2)):
            with kernels(which, threads):
                results.append(fp.round(x, fmt, mode, saturate=saturate, rng=np.random.default_rng(1)))
        for ours in results[1:]:
            assert_same(ours, results[0])


@pytest.mark.parametrize("layout", ["C", "F", "transposed", "every other"])
@pytest.mark.parametrize("mode", ["nearest_even", "stochastic"])
def test_same_bits_for_every_layout(layout, mode):
    x = np.random.default_rng(0).normal(size=(40, 50, 60)).astype(np.float32)
    x = {"C": x, "F": np.asfortranarray(x), "transposed": x.transpose(1, 2, 0), "every other": x[:, ::2, ::3]}[layout]
    with kernels("numpy"):
        expected = fp.round(x, "float16", mode, rng=np.random.default_rng(1))
    with kernels("compiled", 2):
        assert_same(fp.round(x, "float16", mode, rng=np.random.default_rng(1)), expected)


def test_in_place():
    x = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    with kernels("compiled"):
        expected, out = round_to(x, fp.float16), x.copy()
        assert round_to(out, fp.float16, out=out) is out
    assert_same(out, expected)
