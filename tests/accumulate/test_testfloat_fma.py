"""The fused multiply-add inside an accumulator: all of TestFloat's vectors, all modes."""

import numpy as np
import pytest

import fpsim as fp
from tests.oracles import rational, testfloat
from tests.oracles.bits import assert_same


@pytest.mark.parametrize("mode", rational.MODES)
def test_fused_multiply_add_is_ieee_754s(mode):
    (a, b, c), expected = testfloat.vectors("f16_mulAdd", mode)
    # A dot of three terms: the first two put c into the sum, the third is fma(a, b, c). Usually 1 * c + 0 = c;
    # c = -0 comes from a product that rounds to it or, downwards, where none does, from 1 - 1 = -0.
    first, second = np.stack([np.ones_like(c), c], -1), np.tile(np.array([0, -0.0], c.dtype), (c.size, 1))
    minus_zero = (c == 0) & np.signbit(c)
    if mode == "down":
        first[minus_zero], second[minus_zero] = (1, 1), (1, -1)
    else:
        first[minus_zero] = 2.0**-24, -(2.0**-24)
    x, y = (np.stack([first[:, i], second[:, i], factor], -1) for i, factor in enumerate((a, b)))
    acc = fp.Accumulator("float16", order="sequential", fma=True, rounding=mode)
    # matrix products of 32 dots each way, of which the diagonals are wanted: faster than as many small ones
    x, y = (np.resize(v, (-(-c.size // 32), 32, 3)) for v in (x, y))
    results = np.diagonal(acc.matmul(x, y.swapaxes(1, 2)), axis1=1, axis2=2).reshape(-1)[: c.size]
    # Adding a zero changes no sum, so downwards 0 * -x + 0 is +0 in an accumulator and -0 in IEEE 754.
    with np.errstate(invalid="ignore"):
        product = a.astype(float) * b.astype(float)
    zero_added = (mode == "down") & (product == 0) & (c == 0) & ~minus_zero
    assert_same(results, np.where(zero_added, 0, expected), a, b, c)
