"""Sums, means, variances, extremes.

Layer 4. Sums go through the accumulator they are handed; a mean's division is exact and rounded with the result.
"""

from __future__ import annotations

import math

import numpy as np

from fpsim.autograd.op import Kind, op
from fpsim.ops.elementwise import has_negative_zero
from fpsim.rounding.wide import Wide

__all__ = ["count_of", "max", "mean", "mean_steps", "min", "sum", "var"]


def count_of(x, axis):
    """How many elements are reduced over `axis` (a tuple)."""
    return math.prod(x.shape[i] for i in axis)


def _spread(g, x, axis, keepdims):
    """A reduction's gradient at the place of each reduced element."""
    return np.broadcast_to(g if keepdims else np.expand_dims(g, axis), x.shape)


@op(Kind.REDUCTION)
def sum(x, *, axis, keepdims, acc):
    """``sum_k x_k`` over the axes."""
    return np.asarray(acc.sum(x, axis, keepdims))


@sum.vjp(0, Kind.EXACT)
def _(g, out, x, *, axis, keepdims):
    return _spread(g, x, axis, keepdims)


@op(Kind.REDUCTION)
def mean(x, *, axis, keepdims, acc):
    """The accumulator's sum divided by the count exactly, rounded once to storage."""
    return Wide.of(acc.sum(x, axis, keepdims)) / float(count_of(x, axis))


@mean.vjp(0, Kind.POINTWISE)
def _(g, out, x, *, axis, keepdims):
    if not keepdims:
        g = g.reshape([1 if i in axis else n for i, n in enumerate(x.shape)])
    return np.broadcast_to(g / float(count_of(x, axis)), x.shape)


def mean_steps(x, axis, acc):
    """The mean as a step of a longer formula, in the accumulator's format; axes kept."""
    return acc.step(np.divide, acc.sum(x, axis, keepdims=True), float(count_of(x, axis)))


@op(Kind.FUSED)
def var(x, *, axis, keepdims, correction, acc):
    """``sum (x - m)^2 / max(n - correction, 0)``, with m the mean in the accumulator."""
    d = acc.step(np.subtract, x, mean_steps(x, axis, acc))
    total = acc.sum(acc.step(np.multiply, d, d), axis, keepdims)
    return acc.step(np.divide, total, _freedom(x, axis, correction))


@var.vjp(0)
def _(g, out, x, *, axis, keepdims, correction, acc):
    d = acc.step(np.subtract, x, mean_steps(x, axis, acc))
    scaled = acc.step(np.multiply, _spread(g, x, axis, keepdims), d)
    return acc.step(np.divide, acc.step(np.multiply, scaled, 2.0), _freedom(x, axis, correction))


def _freedom(x, axis, correction):
    """What a sum of squares is divided by: never a negative number, as in PyTorch and NumPy."""
    return float(np.maximum(count_of(x, axis) - correction, 0))


def _share_of_extreme(g, out, x, axis):
    """The gradient in equal shares to all extreme elements; NaN counts as extreme."""
    kept = [1 if i in axis else n for i, n in enumerate(x.shape)]
    extreme = out.reshape(kept)
    hit = (x == extreme) | (np.isnan(x) & np.isnan(extreme))
    count = np.sum(hit, axis=axis, keepdims=True).astype(np.float64)
    return np.where(hit, g.reshape(kept) / count, 0.0)


def _first_zero(best, x, axis):
    """`best`, and where it is zero the first zero of `x` there: NumPy takes +0 or -0 as it comes."""
    if not has_negative_zero(x):
        return best
    zeros = np.moveaxis(x, axis, range(len(axis))).reshape(-1, *(n for i, n in enumerate(x.shape) if i not in axis))
    first = np.take_along_axis(zeros, np.argmax(zeros == 0, axis=0)[None], axis=0)
    return np.where(best == 0, first.reshape(best.shape), best)


@op(Kind.EXACT)
def max(x, *, axis, keepdims):
    """The largest element, the first of equals; NaN wins."""
    return _first_zero(np.max(x, axis=axis, keepdims=keepdims), x, axis)


@max.vjp(0, Kind.POINTWISE)
def _(g, out, x, *, axis, keepdims):
    return _share_of_extreme(g, out, x, axis)


@op(Kind.EXACT)
def min(x, *, axis, keepdims):
    """The smallest element, the first of equals; NaN wins."""
    return _first_zero(np.min(x, axis=axis, keepdims=keepdims), x, axis)


@min.vjp(0, Kind.POINTWISE)
def _(g, out, x, *, axis, keepdims):
    return _share_of_extreme(g, out, x, axis)
