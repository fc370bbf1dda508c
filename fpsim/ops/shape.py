"""Operations that move elements: reshape, transpose, index, join, pad, broadcast.

Layer 4. Nothing is rounded forward; a gradient is summed only where an element was used more than once.
"""

from __future__ import annotations

import numpy as np

from fpsim.autograd.op import Kind, op

__all__ = ["broadcast_to", "concatenate", "getitem", "pad", "reshape", "scatter_sum", "stack", "transpose"]


@op(Kind.EXACT)
def reshape(x, *, shape):
    """The elements in C order, in another shape."""
    return x.reshape(shape)


@reshape.vjp(0)
def _(g, out, x, *, shape):
    return g.reshape(x.shape)


@op(Kind.EXACT)
def transpose(x, *, axes):
    """The axes in another order."""
    return x.transpose(axes)


@transpose.vjp(0)
def _(g, out, x, *, axes):
    return g.transpose(np.argsort(axes))


@op(Kind.EXACT)
def broadcast_to(x, *, shape):
    """Repeated along new axes and axes of size 1; the engine sums the gradient over them."""
    return np.broadcast_to(x, shape)


@broadcast_to.vjp(0)
def _(g, out, x, *, shape):
    return g


@op(Kind.EXACT)
def getitem(x, *, index):
    """``x[index]``, with NumPy's indices."""
    return x[index]


@getitem.vjp(0, Kind.REDUCTION)
def _(g, out, x, *, index, acc):
    if _is_basic(index):  # every element at most once: nothing to sum
        gradient = np.zeros(x.shape, g.dtype)
        gradient[index] = g
        return gradient
    if isinstance(index, np.ndarray) and index.dtype.kind in "iu":  # whole rows
        return scatter_sum(g, np.where(index < 0, index + len(x), index), len(x), acc)
    places = np.arange(x.size).reshape(x.shape)[index]
    return scatter_sum(g, places, x.size, acc).reshape(x.shape)


def _is_basic(index):
    """Whether NumPy takes a view: numbers, slices, new axes."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(part is None or part is Ellipsis or isinstance(part, int | np.integer | slice) for part in parts)


def scatter_sum(g, places, size, acc):
    """``out[p] = sum of g[i] over the i with places[i] == p``, in order of occurrence; shape (size,).

    Axes of g beyond those of `places` are a row that goes to one place; shape (size, *row). What goes to a place alone
    is moved, not summed. Places that occur equally often are summed together, so each sum is one call's column.
    """
    row = g.shape[places.ndim :]
    g, places = g.reshape(places.size, *row), np.ravel(places)
    out = np.zeros((size, *row), g.dtype)
    counts = np.bincount(places, minlength=size)
    if counts.max(initial=0) <= 1:
        out[places] = g
        return out
    out = out.astype(np.result_type(out.dtype, acc.format.carrier))
    in_order = np.argsort(places, kind="stable")
    starts = np.cumsum(counts) - counts
    alone = in_order[starts[counts == 1]]
    out[places[alone]] = g[alone]
    for count in np.unique(counts[counts > 1]):
        chosen = np.flatnonzero(counts == count)
        rows = starts[chosen] + np.arange(count)[:, None]
        out[chosen] = acc.sum(g[in_order[rows]], axis=0)
    return out


@op(Kind.EXACT)
def concatenate(*xs, axis):
    """Joined along an axis."""
    return np.concatenate(xs, axis)


@concatenate.vjp(0)
def _(g, out, *xs, axis, argument):
    start = sum(x.shape[axis] for x in xs[:argument])
    return np.moveaxis(np.moveaxis(g, axis, 0)[start : start + xs[argument].shape[axis]], 0, axis)


@op(Kind.EXACT)
def stack(*xs, axis):
    """Joined along a new axis."""
    return np.stack(xs, axis)


@stack.vjp(0)
def _(g, out, *xs, axis, argument):
    return np.take(g, argument, axis)


@op(Kind.EXACT)
def pad(x, *, widths, value):
    """Surrounded by a constant; `widths` as in `np.pad`."""
    return np.pad(x, widths, constant_values=value)


@pad.vjp(0)
def _(g, out, x, *, widths, value):
    return g[tuple(slice(before, before + n) for (before, _), n in zip(widths, x.shape, strict=True))]
