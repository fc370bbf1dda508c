"""Conversions between float16, float32 and float64: all of TestFloat's vectors, in all five modes."""

import numpy as np
import pytest

import fpsim as fp
from tests.oracles import rational, testfloat
from tests.oracles.bits import assert_same

NAMES = {"f16": "float16", "f32": "float32", "f64": "float64"}


@pytest.mark.parametrize("mode", rational.MODES)
@pytest.mark.parametrize("conversion", ["f32_to_f16", "f64_to_f16", "f64_to_f32", "f16_to_f32"])
def test_conversions_are_ieee_754s(conversion, mode):
    (x,), expected = testfloat.vectors(conversion, mode)
    target = NAMES[conversion[-3:]]
    rounded = fp.round(x, target, mode=mode)
    assert_same(rounded, expected, x)
    number = ~np.isnan(expected)
    codes = fp.encode(rounded, target)
    assert np.array_equal(codes[number], expected.view(codes.dtype)[number])
