"""GELU and its gradient, by the normal distribution function Phi.

Layer 4. `fpsim.kernels.gelu` does the same, compiled.
"""

from __future__ import annotations

import numpy as np

from fpsim.autograd.op import Kind, op
from fpsim.kernels.loading import compiled
from fpsim.kernels.normal import FAR, INVERSE_ROOT_2PI, correction, tail_ratio
from fpsim.kernels.threads import in_parallel, share

__all__ = ["gelu"]

#: Seconds an element takes in NumPy.
IN_NUMPY = 40e-9
#: Elements at once: the steps of a formula share the cache.
AT_ONCE = 1 << 14


def _in_parts(formula, *arrays):
    """An elementwise formula, so many elements at a time that all its intermediate results stay in the cache."""
    flat = [x.reshape(-1) for x in arrays]
    out = np.empty_like(flat[0])
    for start in range(0, out.size, AT_ONCE):
        part = slice(start, start + AT_ONCE)
        out[part] = formula(*(x[part] for x in flat))
    return out.reshape(arrays[0].shape)


def _share_and_density(x):
    """``a = |x|``, at most 40, the share of the normal distribution below x, and ``exp(-x^2 / 2)``.

    Beside 0 the share is one half and a little: float64's neighbour stands for that, or ties of ``x / 2`` would go
    astray.
    """
    a = np.minimum(np.abs(x), FAR)
    near = a.astype(np.float32).astype(a.dtype)
    e = np.exp(near * near * -0.5) * correction(a, near)
    tail = e * tail_ratio(a)
    share = np.where(x < 0, tail, 1.0 - tail)
    beside = np.where(x < 0, 0.49999999999999994, 0.5000000000000001)
    return a, np.where((share == 0.5) & (x != 0), beside, share), e


def _gelu(x):
    _, share, _ = _share_and_density(x)
    return np.where(x < -FAR, -FAR, x) * share  # (at -inf the limit is 0, not -inf * 0)


def _gelu_gradient(x, g):
    a, share, e = _share_and_density(x)
    slope = share + np.copysign(a, x) * (e * INVERSE_ROOT_2PI)
    return g * np.where((slope == 0) & (x < 0), -0.0, slope)  # where both terms underflow their sum is below zero


def _compiled(kernels, kernel, *arrays):
    """A compiled pass over `arrays`, the first one x, and NumPy's ``exp(-x^2 / 2)``, part by part on all cores."""
    flat = [x.reshape(-1) for x in arrays]
    out = np.empty_like(flat[0])

    def task(start, stop):
        held = np.empty(min(stop - start, AT_ONCE))
        for at in range(start, stop, AT_ONCE):
            part = slice(at, min(at + AT_ONCE, stop))
            count = part.stop - at
            e = held[:count]
            kernels.gelu_exponent(flat[0][part], e, 0, count)
            kernel(*(a[part] for a in flat), np.exp(e, out=e), out[part], 0, count)

    in_parallel(task, share(out.size, out.size * 4e-9, 16))
    return out.reshape(arrays[0].shape)


def _kernels_for(*arrays):
    """The compiled kernels, where they pay; they take float64 alone."""
    return compiled(arrays[0].size * IN_NUMPY) if all(a.dtype == np.float64 for a in arrays) else None


@op(Kind.POINTWISE, "function")
def gelu(x):
    """``x * Phi(x)``, Phi the normal distribution function (the erf form)."""
    kernels = _kernels_for(x)
    return _in_parts(_gelu, x) if kernels is None else _compiled(kernels, kernels.gelu, x)


@gelu.vjp(0, steps="function")
def _(g, out, x):
    kernels = _kernels_for(x, g)
    if kernels is None:
        return _in_parts(_gelu_gradient, x, g)
    return _compiled(kernels, kernels.gelu_gradient, x, g)
