"""Softmax and the normalisations: longer formulas, each step rounded to the accumulator's format.

Layer 4. The steps stand in the order in which they round.
"""

from __future__ import annotations

import numpy as np

from fpsim.autograd.op import Kind, op
from fpsim.ops.reduce import mean_steps

__all__ = [
    "batch_norm", "layer_norm", "log_softmax", "log_softmax_gradient", "log_softmax_steps", "normalize_with", "softmax",
]  # fmt: skip


@op(Kind.FUSED)
def softmax(x, *, axis, acc):
    """``e / s``: ``m = max``, ``d = x - m``, ``e = exp d``, ``s = sum e``."""
    d = acc.step(np.subtract, x, x.max(axis, keepdims=True))
    e = acc.step(np.exp, d)
    return acc.step(np.divide, e, acc.sum(e, axis, keepdims=True))


@softmax.vjp(0)
def _(g, out, x, *, axis, acc):
    weighted = acc.sum(acc.step(np.multiply, g, out), axis, keepdims=True)
    return acc.step(np.multiply, out, acc.step(np.subtract, g, weighted))


def log_softmax_steps(x, axis, acc):
    """``d - log s``: ``m = max``, ``d = x - m``, ``e = exp d``, ``s = sum e``."""
    d = acc.step(np.subtract, x, x.max(axis, keepdims=True))
    s = acc.sum(acc.step(np.exp, d), axis, keepdims=True)
    return acc.step(np.subtract, d, acc.step(np.log, s))


def log_softmax_gradient(g, out, axis, acc):
    """``g - exp(out) * sum g``."""
    total = acc.sum(g, axis, keepdims=True)
    return acc.step(np.subtract, g, acc.step(np.multiply, acc.step(np.exp, out), total))


@op(Kind.FUSED)
def log_softmax(x, *, axis, acc):
    """``d - log s``: ``m = max``, ``d = x - m``, ``e = exp d``, ``s = sum e``."""
    return log_softmax_steps(x, axis, acc)


@log_softmax.vjp(0)
def _(g, out, x, *, axis, acc):
    return log_softmax_gradient(g, out, axis, acc)


def _standardized(x, axis, eps, acc):
    """``d / r`` and r: ``d = x - mean``, ``v = sum d^2 / n``, ``r = sqrt(v + eps)``."""
    d = acc.step(np.subtract, x, mean_steps(x, axis, acc))
    v = mean_steps(acc.step(np.multiply, d, d), axis, acc)
    r = acc.step(np.sqrt, acc.step(np.add, v, eps))
    return acc.step(np.divide, d, r), r


def _scaled(y, w, b, acc):
    y = y if w is None else acc.step(np.multiply, y, w)
    return y if b is None else acc.step(np.add, y, b)


def _normalization(name):
    """Declare ``(x - m) / sqrt(var + eps) * w + b``; w and b are shaped to broadcast against x, or None."""

    @op(Kind.FUSED, saves=True, name=name)
    def normalize(x, w, b, *, axis, eps, acc):
        """``(x - m) / sqrt(var + eps) * w + b`` over the axes."""
        y, r = _standardized(x, axis, eps, acc)
        return _scaled(y, w, b, acc), (y, r)

    @normalize.vjp(0)
    def _(g, out, x, w, b, *, axis, eps, acc, saved):
        y, r = saved
        g = g if w is None else acc.step(np.multiply, g, w)
        g_mean = mean_steps(g, axis, acc)
        gy_mean = mean_steps(acc.step(np.multiply, g, y), axis, acc)
        centred = acc.step(np.subtract, acc.step(np.subtract, g, g_mean), acc.step(np.multiply, y, gy_mean))
        return acc.step(np.divide, centred, r)

    @normalize.vjp(1)
    def _(g, out, x, w, b, *, axis, eps, acc, saved):
        return acc.step(np.multiply, g, saved[0])  # the engine sums over the axes along which w was repeated

    @normalize.vjp(2, Kind.EXACT)
    def _(g, out, x, w, b, **metadata):
        return g

    return normalize


layer_norm = _normalization("layer_norm")
batch_norm = _normalization("batch_norm")


@op(Kind.FUSED)
def normalize_with(x, w, b, *, mean, var, eps, acc):
    """The same with statistics from elsewhere (batch norm at evaluation), shaped to broadcast against x."""
    d = acc.step(np.subtract, x, mean)
    return _scaled(acc.step(np.divide, d, acc.step(np.sqrt, acc.step(np.add, var, eps))), w, b, acc)


@normalize_with.vjp(0)
def _(g, out, x, w, b, *, mean, var, eps, acc):
    g = g if w is None else acc.step(np.multiply, g, w)
    return acc.step(np.divide, g, acc.step(np.sqrt, acc.step(np.add, var, eps)))


@normalize_with.vjp(1)
def _(g, out, x, w, b, *, mean, var, eps, acc):
    d = acc.step(np.subtract, x, mean)
    return acc.step(np.multiply, g, acc.step(np.divide, d, acc.step(np.sqrt, acc.step(np.add, var, eps))))


@normalize_with.vjp(2, Kind.EXACT)
def _(g, out, x, w, b, **metadata):
    return g
