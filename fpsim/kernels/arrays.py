"""Compiled passes over one array: rounding it, and what must be known before.

Layer 1. `m` is a way of rounding (see `ways`).
"""

import numpy as np

from fpsim.kernels.compiling import kernel
from fpsim.kernels.steps import rounded, step

__all__ = ["add_scaled", "added", "is_rounded", "largest", "round_array", "scaled"]


@kernel
def largest(x):
    """The largest magnitude of a one-dimensional array; NaN where there is one."""
    most, sick = 0.0 * x[0] if len(x) else 0.0, False
    most = abs(most)
    for i in range(len(x)):
        most = max(most, abs(x[i]))
        sick |= x[i] != x[i]
    return np.nan if sick else np.float64(most)


@kernel
def round_array(m, x, out, start, stop):
    """``out[i] = round(x[i])`` from `start` to `stop` of one-dimensional arrays; `out` may be `x`."""
    first = np.uint64(start)
    x, out = x[start:stop], out[start:stop]
    for i in range(len(x)):
        out[i] = rounded(m, x[i], first + np.uint64(i))


@kernel
def is_rounded(m, x):
    """Whether rounding changes no element of a one-dimensional array."""
    changed = False
    for i in range(len(x)):
        changed |= (rounded(m, x[i], np.uint64(i)) != x[i]) & (x[i] == x[i])
    return not changed


@kernel
def add_scaled(m, x, y, alpha, out, start, stop):
    """``out[i] = round(x[i] + alpha * y[i])`` from `start` to `stop`, fused; by chance, at place i."""
    place = np.uint64(start) - np.uint64(1)  # a step's sum is rounded at the place after its product's
    x, y, out = x[start:stop], y[start:stop], out[start:stop]
    for i in range(len(x)):
        out[i] = step(m, np.float64(x[i]), alpha, np.float64(y[i]), place + np.uint64(i))


@kernel
def added(m, x, y, out, start, stop):
    """``out[i] = round(x[i] + y[i])`` from `start` to `stop`, the sum in the arrays' own type."""
    x, y, out = x[start:stop], y[start:stop], out[start:stop]
    for i in range(len(x)):
        out[i] = rounded(m, x[i] + y[i], np.uint64(i))


@kernel
def scaled(m, x, factor, out, start, stop):
    """``out[i] = round(x[i] * factor)`` from `start` to `stop`, the product in the array's own type."""
    x, out = x[start:stop], out[start:stop]
    for i in range(len(x)):
        out[i] = rounded(m, x[i] * factor, np.uint64(i))
