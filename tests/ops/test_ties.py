"""Ties that only a far smaller part of a formula breaks, where float64 alone would take the wrong side.

The registry test's random numbers seldom meet them.
"""

import numpy as np
import pytest

import fpsim as fp
from tests.ops import checks, reference
from tests.oracles.bits import assert_same


def compare_gradients(name, x, g, fmt):
    precision = fp.Precision(fmt)
    out, gradients = checks.run_backward(name, [x], {}, precision, g)
    expected, _ = reference.gradient(name, 0, g, out.astype(float), [x], {}, precision, precision.gradient)
    assert_same(gradients[0], expected, x, g)


def random_ties(x, fmt):
    """Functions' arguments, and gradients with so few bits that their halves and products are often ties."""
    rng = np.random.default_rng(0)
    return fp.round(x, fmt), rng.integers(2**7, 2**8, x.size) / 2.0**7


@pytest.mark.parametrize("fmt", ["bfloat16", "tfloat32", "float32"])
def test_one_minus_a_tiny_sigmoid_breaks_a_tie(fmt):
    x, g = random_ties(-np.random.default_rng(1).uniform(40, 80, 2000), fmt)
    compare_gradients("sigmoid", x, g, fmt)


def test_the_curvature_of_gelu_breaks_a_tie_of_half_a_subnormal_number():
    fmt = "bfloat16"
    tiny = fp.Format(fmt).smallest_subnormal * np.arange(-127, 128)
    assert_same(checks.run("gelu", [tiny], {}, fp.Precision(fmt))[0]._data,
                reference.forward("gelu", [tiny], {}, fp.Precision(fmt))[0])  # fmt: skip
    compare_gradients("gelu", np.full(tiny.shape, 2.0**-100), tiny, fmt)


@pytest.mark.parametrize("fmt", ["float16", "float32"])
def test_a_number_that_the_accumulator_lacks_is_used_at_its_own_value(fmt):
    """eps and 0-d gradients: float32(1 + 2**-24 + tiny) is not float32(float32(1 + 2**-24) + tiny)."""
    acc = fp.Accumulator(fmt, inputs=(fp.Format(fmt),))
    half_ulp = fp.Format(fmt).eps / 2
    assert acc.step(np.add, np.ones(1, np.float32), half_ulp * (1 + 2.0**-30))[0] == 1 + fp.Format(fmt).eps
    assert acc.step(np.add, np.ones(1, np.float32), half_ulp)[0] == 1
