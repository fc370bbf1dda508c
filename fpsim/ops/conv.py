"""Convolution and pooling over images (n, channel, row, column).

Layer 4. A convolution is a matrix product over patches, so every order of accumulation serves it.
"""

from __future__ import annotations

import math
import threading

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from fpsim.autograd.op import Kind, op
from fpsim.kernels.loading import compiled
from fpsim.kernels.threads import in_parallel, share
from fpsim.ops.elementwise import has_negative_zero, keep
from fpsim.ops.shape import scatter_sum
from fpsim.rounding.wide import Wide

__all__ = ["avg_pool2d", "conv2d", "max_pool2d", "patches"]


def patches(x, kernel, stride, dilation):
    """A view (n, channel, out row, out column, kernel row, kernel column) of padded images."""
    spans = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    windows = sliding_window_view(x, spans, axis=(2, 3))
    return windows[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]


def _padded(x, padding, value=0):
    """Images with a border; `padding` is ((top, bottom), (left, right))."""
    if not any(map(any, padding)):
        return x
    return np.pad(x, ((0, 0), (0, 0), *padding), constant_values=value)


def _out_sizes(x, kernel, stride, dilation):
    """Rows and columns of the result, for padded images."""
    return tuple(
        (n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True)
    )


def _tap(i, j, sizes, stride, dilation):
    """Where, in padded rows and columns, the kernel's tap (i, j) meets each output."""
    return tuple(
        slice(k * d, k * d + (n - 1) * s + 1, s) for k, n, s, d in zip((i, j), sizes, stride, dilation, strict=True)
    )


_OF_THREAD = threading.local()
#: Bytes of columns that a thread keeps for its next convolution: the system takes long to hand out fresh memory.
KEPT = 1 << 26


def _scratch(shape, dtype):
    """An array for columns, valid until the thread's next convolution."""
    size = math.prod(shape) * dtype.itemsize
    if size > KEPT:
        return np.empty(shape, dtype)
    held = getattr(_OF_THREAD, "bytes", None)
    if held is None or held.size < size:
        held = _OF_THREAD.bytes = np.empty(size, np.uint8)
    return held[:size].view(dtype).reshape(shape)


def _columns(x, kernel, stride, padding, dilation, groups, samples_last):
    """The patches as matrices (group, channel * kernel row * kernel column, output), and the output's rows and columns.

    Outputs are numbered (row, column, n) where `samples_last`, which copies the longest runs; else (n, row, column).
    """
    x = _padded(x, padding)
    p, q = sizes = _out_sizes(x, kernel, stride, dilation)
    n, c = x.shape[:2]
    x = np.ascontiguousarray(x.transpose((1, 2, 3, 0) if samples_last else (1, 0, 2, 3)))
    columns = _scratch((c, *kernel, *((p, q, n) if samples_last else (n, p, q))), x.dtype)
    kernels = compiled(columns.size * 1e-9) if samples_last and x.itemsize <= 8 else None
    if kernels is not None:

        def task(start, stop):
            kernels.columns(x, columns, stride, dilation, start, stop)

        in_parallel(task, share(c, columns.size * 0.3e-9))
        return columns.reshape(groups, c // groups * kernel[0] * kernel[1], n * p * q), sizes
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            met = _tap(i, j, sizes, stride, dilation)
            columns[:, i, j] = x[:, *met] if samples_last else x[:, :, *met]
    return columns.reshape(groups, c // groups * kernel[0] * kernel[1], n * p * q), sizes


@op(Kind.CONTRACTION)
def conv2d(x, w, b, *, stride, padding, dilation, groups, acc):
    """``out[n, o, p, q] = round(sum_{c, r, s} x[n, c, p + r, q + s] * w[o, c, r, s] + b[o])``, with padding zeros.

    The result's memory is ordered (o, row, column, n): what the products give, and what the next layer reads best.
    The columns are not kept for backward: making them again takes a fraction of the time of one product.
    """
    columns, sizes = _columns(x, w.shape[2:], stride, padding, dilation, groups, samples_last=True)
    out = acc.matmul(w.reshape(groups, len(w) // groups, -1), columns).reshape(len(w), *sizes, len(x))
    if b is not None:
        out = acc.step(np.add, out, b[:, None, None, None], into=out)
    return out.transpose(3, 0, 1, 2)


@conv2d.vjp(1)
def _(g, out, x, w, b, *, stride, padding, dilation, groups, acc):
    """One sum over (n, row, column)."""
    samples_last = acc.order_for(x, g) == "blas"  # any order will do then
    columns, _ = _columns(x, w.shape[2:], stride, padding, dilation, groups, samples_last)
    g = g.transpose((1, 2, 3, 0) if samples_last else (1, 0, 2, 3)).reshape(groups, len(w) // groups, columns.shape[2])
    return acc.matmul(g, columns.transpose(0, 2, 1)).reshape(w.shape)


@conv2d.vjp(2)
def _(g, out, x, w, b, *, stride, padding, dilation, groups, acc):
    return np.asarray(acc.sum(g, axis=(0, 2, 3)))


@conv2d.vjp(0)
def _(g, out, x, w, b, *, stride, padding, dilation, groups, acc):
    """One sum over (out channel, kernel row, kernel column) of the taps that exist."""
    order = acc.order_for(g, w)
    if order == "blas":
        return _input_gradient_by_blas(g, x, w, stride, padding, dilation, groups, acc)
    return _input_gradient_in_order(g, x, w, stride, padding, dilation, groups, acc, order)


def _input_gradient_by_blas(g, x, w, stride, padding, dilation, groups, acc):
    """The product for every tap at once, then each tap's plane added where it belongs (any order will do)."""
    (n, o, p, q), (_, _, r, s) = g.shape, w.shape
    g = g.transpose(1, 2, 3, 0).reshape(groups, o // groups, p * q * n)
    taps = acc.matmul(w.reshape(groups, o // groups, -1).transpose(0, 2, 1), g).reshape(x.shape[1], r, s, p, q, n)
    (top, bottom), (left, right) = padding
    c, height, width = x.shape[1:]
    total = np.zeros((c, height + top + bottom, width + left + right, n), taps.dtype)
    for i in range(r):
        for j in range(s):
            total[:, *_tap(i, j, (p, q), stride, dilation)] += taps[:, i, j]
    return total[:, top : top + height, left : left + width].transpose(3, 0, 1, 2)


def _input_gradient_in_order(g, x, w, stride, padding, dilation, groups, acc, order):
    """For each pixel one sum over (o, r, s), in C order, of the taps whose output exists.

    The compiled kernel adds tap by tap. Without it, where zeros may stand for taps that do not exist (adding +0 to a
    sum that is not -0 changes nothing), all pixels are one product; else the pixels with the same set of taps are.
    """
    (n, o), (height, width), kernel = g.shape[:2], x.shape[2:], w.shape[2:]
    zeros_stand = order == "exact" or (order == "sequential" and not acc.fma)
    zeros_stand = zeros_stand and np.isfinite(w).all()
    if zeros_stand and order == "sequential":
        before = (padding[0][0], padding[1][0])
        spread = acc.spread_taps(g, w, (height, width), stride, before, dilation, groups)
        if spread is not None:
            return spread
    # for pixel row i and tap row r: which row of g it met, and whether there is one
    rows, has_row = _sources(height, kernel[0], stride[0], padding[0][0], dilation[0], g.shape[2])
    columns, has_column = _sources(width, kernel[1], stride[1], padding[1][0], dilation[1], g.shape[3])
    w = w.reshape(groups, o // groups, -1, *kernel)
    g = g.reshape(n, groups, o // groups, *g.shape[2:])
    out = np.zeros((n, groups, w.shape[2], height, width), acc.format.carrier)
    if zeros_stand:
        row_sets, column_sets = [(np.arange(height), np.arange(kernel[0]))], [(np.arange(width), np.arange(kernel[1]))]
        samples = max(n, 1)
    else:
        row_sets, column_sets = _same_taps(has_row), _same_taps(has_column)
        # as many samples at a time as need no more memory than the columns of the forward pass
        samples = max(x.shape[1] * g.shape[3] * g.shape[4] * n // (o * height * width), 1)
    for first in range(0, n, samples):
        some = slice(first, first + samples)
        for i, r in row_sets:
            for j, s in column_sets:
                if not len(r) or not len(s):
                    continue  # pixels that no output saw
                # (n, group, o, i, r, j, s)
                met = g[some, :, :, rows[i][:, r][:, :, None, None], columns[j][:, s][None, None]]
                met = np.where((has_row[i][:, r][:, :, None, None]) & (has_column[j][:, s][None, None]), met, 0)
                outputs, terms = len(met) * len(i) * len(j), o // groups * len(r) * len(s)
                met = met.transpose(1, 0, 3, 5, 2, 4, 6).reshape(groups, outputs, terms)
                taps = w[:, :, :, r[:, None], s].transpose(0, 1, 3, 4, 2).reshape(groups, terms, -1)
                sums = acc.matmul(met, taps).reshape(groups, -1, len(i), len(j), w.shape[2])
                out[some, :, :, i[:, None], j] = sums.transpose(1, 0, 4, 2, 3)
    return out.reshape(x.shape)


def _sources(size, kernel, stride, before, dilation, out_size):
    """For input position i and tap k: the output position that the product went to, and whether it exists."""
    distance = np.arange(size)[:, None] + before - dilation * np.arange(kernel)
    source = distance // stride
    exists = (distance % stride == 0) & (source >= 0) & (source < out_size)
    return np.where(exists, source, 0), exists


def _same_taps(exists):
    """Groups (positions, taps) of the positions for which the same taps exist."""
    sets, which = np.unique(exists, axis=0, return_inverse=True)
    return [(np.flatnonzero(which == k), np.flatnonzero(taps)) for k, taps in enumerate(sets)]


@op(Kind.EXACT)
def max_pool2d(x, *, kernel, stride, padding, dilation):
    """The largest of each window, the first of equals; NaN wins; padding is -inf."""
    x = _padded(x, padding, -np.inf)
    sizes = _out_sizes(x, kernel, stride, dilation)
    taps = [x[:, :, *_tap(i, j, sizes, stride, dilation)] for i in range(kernel[0]) for j in range(kernel[1])]
    if not has_negative_zero(x):
        best = taps[0] if len(taps) == 1 else np.maximum(taps[0], taps[1])
        for tap in taps[2:]:
            np.maximum(best, tap, out=best)
        return best
    best = taps[0].copy(order="K")  # NumPy's maximum of +0 and -0 is either one
    for tap in taps[1:]:
        np.copyto(best, tap, where=(tap > best) | (np.isnan(tap) & ~np.isnan(best)))
    return best


@max_pool2d.vjp(0, Kind.REDUCTION)
def _(g, out, x, *, kernel, stride, padding, dilation, acc):
    (top, _), (left, _) = padding
    height, width = x.shape[2:]
    padded = _padded(x, padding, -np.inf)
    sizes = out.shape[2:]
    apart = all(d * (k - 1) < s for k, s, d in zip(kernel, stride, dilation, strict=True))
    kernels = compiled(x.size * 4e-9) if apart and x.dtype == g.dtype and x.itemsize <= 8 else None
    if kernels is not None and not any(map(any, padding)):
        return _pool_gradient(kernels, g, out, x, kernel, stride, dilation)
    has_nan = np.isnan(out).any()
    # the border takes no part: also where a window holds -inf alone, its own first place is chosen
    inside = _padded(np.ones((1, 1, height, width), bool), padding) if np.isneginf(out).any() else None
    free = np.ones_like(out, dtype=bool)
    gradient = np.zeros_like(padded, dtype=g.dtype) if apart else None
    found = np.zeros(out.shape, np.intp)
    for k in range(kernel[0] * kernel[1]):
        at = _tap(k // kernel[1], k % kernel[1], sizes, stride, dilation)
        hit = padded[:, :, *at] == out
        if has_nan:
            hit |= np.isnan(padded[:, :, *at]) & np.isnan(out)
        hit &= free
        if inside is not None:
            hit &= inside[:, :, *at]
        free ^= hit
        if gradient is not None:  # no place is met twice
            gradient[:, :, *at] = keep(hit, g)
        else:
            found[hit] = k
    if gradient is not None:
        return gradient[:, :, top : top + height, left : left + width]
    row = np.arange(sizes[0])[:, None] * stride[0] + found // kernel[1] * dilation[0] - top
    column = np.arange(sizes[1]) * stride[1] + found % kernel[1] * dilation[1] - left
    plane = np.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], 1, 1)
    return scatter_sum(g, (plane * height + row) * width + column, x.size, acc).reshape(x.shape)


def _pool_gradient(kernels, g, out, x, kernel, stride, dilation):
    """By the compiled kernel: windows apart from each other, no border."""
    x, best, g = (np.ascontiguousarray(a.transpose(1, 2, 3, 0)) for a in (x, out, g))
    covered = dilation == (1, 1) and all(
        n == k * m and k == s for n, m, k, s in zip(x.shape[1:3], best.shape[1:3], kernel, stride, strict=True)
    )
    gradient = np.empty_like(x) if covered else np.zeros_like(x)

    def task(start, stop):
        kernels.pool_gradient(x, best, g, gradient, kernel, stride, dilation, start, stop)

    in_parallel(task, share(len(x), x.size * 1e-9))
    return gradient.transpose(3, 0, 1, 2)


@op(Kind.REDUCTION)
def avg_pool2d(x, *, kernel, stride, padding, divisors, acc):
    """The accumulator's sum of each window, row-major, divided exactly by its divisor (out row, out column)."""
    return Wide.of(acc.sum(patches(_padded(x, padding), kernel, stride, (1, 1)), axis=(4, 5))) / divisors


@avg_pool2d.vjp(0)
def _(g, out, x, *, kernel, stride, padding, divisors, acc):
    shares = acc.step(np.divide, g, np.broadcast_to(divisors, g.shape))
    padded = np.zeros([*x.shape[:2], *(n + sum(p) for n, p in zip(x.shape[2:], padding, strict=True))], np.intp)
    padded.reshape(-1)[...] = np.arange(padded.size)
    places = patches(padded, kernel, stride, (1, 1))
    spread = np.broadcast_to(shares[..., None, None], places.shape)
    (top, _), (left, _) = padding
    gradient = scatter_sum(spread, places, padded.size, acc).reshape(padded.shape)
    return gradient[:, :, top : top + x.shape[2], left : left + x.shape[3]]
