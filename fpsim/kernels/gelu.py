"""Compiled passes over one array for GELU: what is exponentiated, the result, the gradient.

Layer 1. They do what `fpsim.ops.gelu` does in NumPy, operation by operation, so the bits are the same. The exponential
between them is NumPy's: another library's may differ in the last bit.
"""

import math

import numpy as np

from fpsim.kernels.compiling import kernel
from fpsim.kernels.normal import FAR, INVERSE_ROOT_2PI, correction, tail_ratio

__all__ = ["gelu", "gelu_exponent", "gelu_gradient"]

_correction, _tail_ratio = kernel(correction), kernel(tail_ratio)


@kernel
def _near(x):
    """``|x|``, at most 40; NaN stays."""
    a = abs(x)
    return FAR if a > FAR else a


@kernel
def _share(x, a, e):
    """Share of the normal distribution below x, from ``a = |x|`` and ``e = exp(-a^2 / 2)``."""
    tail = e * _tail_ratio(a)
    share = tail if x < 0 else 1.0 - tail
    beside = 0.49999999999999994 if x < 0 else 0.5000000000000001
    return beside if (share == 0.5) & (x != 0) else share  # (`and` would be a branch, and the loop not vectorized)


@kernel
def gelu_exponent(x, out, start, stop):
    """``-x^2 / 2`` of x in float32."""
    x, out = x[start:stop], out[start:stop]
    for i in range(len(x)):
        near = np.float64(np.float32(_near(x[i])))
        out[i] = near * near * -0.5


@kernel
def gelu(x, e, out, start, stop):
    """``x * Phi(x)``; e is the exponential of what `gelu_exponent` gives."""
    x, e, out = x[start:stop], e[start:stop], out[start:stop]
    for i in range(len(x)):
        a = _near(x[i])
        share = _share(x[i], a, e[i] * _correction(a, np.float64(np.float32(a))))
        out[i] = (-FAR if x[i] < -FAR else x[i]) * share


@kernel
def gelu_gradient(x, g, e, out, start, stop):
    """``g * (Phi(x) + x * exp(-x^2 / 2) / sqrt(2 pi))``."""
    x, g, e, out = x[start:stop], g[start:stop], e[start:stop], out[start:stop]
    for i in range(len(x)):
        a = _near(x[i])
        density = e[i] * _correction(a, np.float64(np.float32(a)))
        slope = _share(x[i], a, density) + math.copysign(a, x[i]) * (density * INVERSE_ROOT_2PI)
        out[i] = g[i] * (-0.0 if (slope == 0) & (x[i] < 0) else slope)
