"""The oracles against each other and against what everybody knows, so that a test that fails blames fpsim.

Tests of the tests. Imports nothing of fpsim.
"""

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oracles import draw, rational, tables
from tests.oracles.bits import assert_same


@pytest.mark.parametrize("mode", rational.MODES)
@pytest.mark.parametrize("name", tables.FORMATS)
def test_the_two_oracles_agree(name, mode):
    fmt = rational.grid(name)
    x = tables.probes(name, np.float64)
    x = x[:: max(1, x.size // 60)]
    where = tables.Located(x, name)
    for saturate, flush in [(False, False), (True, True), (True, False), (False, True)]:
        exact = [rational.round_exact(rational.real(v), fmt, mode, saturate, flush) for v in x]
        assert_same(where.rounded(mode, saturate, flush), exact, x)


@pytest.mark.parametrize("name", tables.NAMED)
def test_tables_decode_as_ml_dtypes_does(name):
    fmt = rational.grid(name)
    dtype = np.dtype(getattr(ml_dtypes, name, name))
    codes = np.arange(2**fmt.bits, dtype=np.uint16 if fmt.bits == 16 else np.uint8)
    with np.errstate(invalid="ignore"):
        values = codes.view(dtype).astype(np.float64)
    assert_same(tables.decode(codes, name), values, codes)


@draw.law(300)
@given(st.floats())
def test_rational_rounding_to_float32_and_float16_is_numpys(x):
    with np.errstate(all="ignore"):
        assert_same(rational.round_exact(rational.real(x), rational.grid("float32")), np.float32(x))
        assert_same(rational.round_exact(rational.real(x), rational.grid("float16")), np.float16(x))


@draw.law(300)
@given(st.floats(), st.floats())
def test_rational_sums_and_products_in_float64_are_numpys(x, y):
    float64 = rational.grid("float64")
    with np.errstate(all="ignore"):
        assert_same(rational.round_exact(rational.add(rational.real(x), rational.real(y)), float64), np.add(x, y))
        assert_same(rational.round_exact(rational.product(x, y), float64), np.multiply(x, y))


def test_fused_multiply_add_keeps_the_last_bit():
    a = 1 + 2.0**-6
    half = rational.grid("float16")
    fused = rational.dot([1, a], [-1, a], half, fma=True)
    assert (fused, rational.dot([1, a], [-1, a], half)) == (2.0**-5 + 2.0**-12, 2.0**-5)
    assert fused == float(Fraction(a) ** 2 - 1)
