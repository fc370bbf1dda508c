"""Compiled passes over images in memory order (channel, row, column, sample), and over masks.

Layer 1. They choose and move numbers, and round nothing.
"""

import numpy as np

from fpsim.kernels.compiling import kernel

__all__ = ["columns", "pool_gradient", "relu", "relu_gradient"]


@kernel
def columns(x, out, stride, dilation, start, stop):
    """``out[c, r, s, p, q] = x[c, p * stride + r * dilation, q * stride + s * dilation]``, channels start to stop."""
    _, kernel_rows, kernel_columns, rows, width, samples = out.shape
    for c in range(start, stop):
        for r in range(kernel_rows):
            for s in range(kernel_columns):
                for p in range(rows):
                    source = x[c, p * stride[0] + r * dilation[0]]
                    first = s * dilation[1]
                    if stride[1] == 1:  # one run
                        out[c, r, s, p].reshape(-1)[:] = source.reshape(-1)[first * samples : (first + width) * samples]
                    else:
                        for q in range(width):
                            out[c, r, s, p, q] = source[first + q * stride[1]]


@kernel
def pool_gradient(x, best, g, out, kernel, stride, dilation, start, stop):
    """`g` to the first place of each window that holds its largest, +0 to the others; windows do not overlap."""
    _, rows, width, samples = best.shape
    free = np.empty(samples, np.bool_)
    for c in range(start, stop):
        for p in range(rows):
            for q in range(width):
                most, gradient = best[c, p, q], g[c, p, q]
                free[:] = True
                for r in range(kernel[0]):
                    for s in range(kernel[1]):
                        i, j = p * stride[0] + r * dilation[0], q * stride[1] + s * dilation[1]
                        place, to = x[c, i, j], out[c, i, j]
                        for n in range(samples):
                            is_nan = (place[n] != place[n]) & (most[n] != most[n])
                            hit = free[n] & ((place[n] == most[n]) | is_nan)
                            to[n] = gradient[n] if hit else 0.0
                            free[n] = free[n] & (not hit)


@kernel
def relu(x, out, start, stop):
    """`x`, or +0 where it is negative: -0 and NaN stay."""
    x, out = x[start:stop], out[start:stop]
    for i in range(len(x)):
        out[i] = 0.0 if x[i] < 0 else x[i]


@kernel
def relu_gradient(result, g, out, start, stop):
    """`g`, or +0 where relu's result is not positive; where it is NaN, `g` too."""
    result, g, out = result[start:stop], g[start:stop], out[start:stop]
    for i in range(len(g)):
        out[i] = 0.0 if result[i] <= 0 else g[i]
