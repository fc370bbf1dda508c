"""Compiled orders of accumulation: products of matrices and the input gradient of a convolution.

Layer 1. `m` is a way of rounding (see `ways`). All outputs are independent: callers share regions among threads.
`places` says where in the hash of stochastic rounding an output's steps begin: (first, a row's step, a column's step).
"""

from __future__ import annotations

import numpy as np

from fpsim.kernels.compiling import kernel
from fpsim.kernels.steps import add, product, step

__all__ = ["matmul", "matmul_pairwise", "spread_taps"]

#: Columns and terms of one block: what it takes of y, and its sums, stay in a core's second-level cache.
WIDE, DEEP = 512, 256


@kernel
def matmul(m, x, y, out, part, block, places, region):
    """``out[i, j] = sum_k x[i, k] * y[k, j]`` for a region (top, bottom, left, right), in blocks of `block` terms.

    Block 0 is the sequential order. `part` is shaped like `out`, and used only where there are blocks.
    """
    top, bottom, low, high = region
    length = len(y)
    out[top:bottom, low:high] = 0
    for left in range(low, high, WIDE):
        right = min(left + WIDE, high)
        strip = (top, bottom, left, right)
        if block == 0:
            for k in range(0, length, DEEP):
                _advance(m, x, y, out, k, min(k + DEEP, length), places, strip)
        else:
            for begin in range(0, length, block):
                part[top:bottom, left:right] = 0
                for k in range(begin, min(begin + block, length), DEEP):
                    _advance(m, x, y, part, k, min(k + DEEP, begin + block, length), places, strip)
                for i in range(top, bottom):
                    place = _place(places, i, left) + np.uint64(2 * begin + 1)
                    sums, parts = out[i, left:right], part[i, left:right]
                    for j in range(right - left):
                        sums[j] = add(m, sums[j], parts[j], place + places[2] * np.uint64(j))


@kernel
def _place(places, i, j):
    """Where in the hash the output (i, j) begins."""
    return places[0] + places[1] * np.uint64(i) + places[2] * np.uint64(j)


@kernel
def _advance(m, x, y, out, begin, end, places, region):
    """Steps `begin` to `end` of the sums of a region: four rows at a time, which hides the latency of each step."""
    top, bottom, left, right = region
    width = right - left
    fours = top + (bottom - top) // 4 * 4
    for i in range(top, fours, 4):
        s0, s1, s2, s3 = out[i, left:right], out[i + 1, left:right], out[i + 2, left:right], out[i + 3, left:right]
        for k in range(begin, end):
            a0, a1, a2, a3 = x[i, k], x[i + 1, k], x[i + 2, k], x[i + 3, k]
            row = y[k, left:right]
            p0 = _place(places, i, left) + np.uint64(2 * k)
            p1, p2, p3 = p0 + places[1], p0 + np.uint64(2) * places[1], p0 + np.uint64(3) * places[1]
            for j in range(width):
                b, place = row[j], places[2] * np.uint64(j)
                s0[j] = step(m, s0[j], a0, b, p0 + place)
                s1[j] = step(m, s1[j], a1, b, p1 + place)
                s2[j] = step(m, s2[j], a2, b, p2 + place)
                s3[j] = step(m, s3[j], a3, b, p3 + place)
    for i in range(fours, bottom):
        s = out[i, left:right]
        for k in range(begin, end):
            a, row = x[i, k], y[k, left:right]
            p = _place(places, i, left) + np.uint64(2 * k)
            for j in range(width):
                s[j] = step(m, s[j], a, row[j], p + places[2] * np.uint64(j))


@kernel
def matmul_pairwise(m, x, y, out, places, region):
    """The same, ``[0, n)`` split at ``n // 2`` down to single terms: a walk through that tree, left part first."""
    top, bottom, first_column, last_column = region
    length = len(y)
    out[top:bottom, first_column:last_column] = 0
    waiting = np.empty((65, WIDE), out.dtype)  # sums whose right neighbour is not there yet
    middles, ends, joins = np.empty(65, np.int64), np.empty(65, np.int64), np.empty(65, np.bool_)
    for left in range(first_column, last_column if length else first_column, WIDE):
        width = min(WIDE, last_column - left)
        for i in range(top, bottom):
            low, high, depth, height = 0, length, 0, 0
            while True:
                while high - low > 1:  # down to the leftmost term
                    middles[depth], ends[depth], joins[depth] = (low + high) // 2, high, False
                    high = middles[depth]
                    depth += 1
                place = _place(places, i, left) + np.uint64(2 * low)
                a, row, term = x[i, low], y[low, left : left + width], waiting[height]
                for j in range(width):
                    term[j] = product(m, a, row[j], place + places[2] * np.uint64(j))
                height += 1
                while depth > 0 and joins[depth - 1]:  # both parts are there
                    depth -= 1
                    height -= 1
                    place = _place(places, i, left) + np.uint64(2 * middles[depth] + 1)
                    sums, parts = waiting[height - 1], waiting[height]
                    for j in range(width):
                        sums[j] = add(m, sums[j], parts[j], place + places[2] * np.uint64(j))
                if depth == 0:
                    break
                joins[depth - 1] = True
                low, high = middles[depth - 1], ends[depth - 1]
            out[i, left : left + width] = waiting[0, :width]


@kernel
def spread_taps(m, g, w, out, stride, before, dilation, together, places, start, stop):
    """The input gradient of a convolution: one sequential sum for each pixel, over (o, r, s) of the taps that exist.

    `g` (o, p, q, n), `w` (o, c, r, s), `out` (c, row, column, n), for channels from `start` to `stop`. `places`: where
    in the hash the first pixel begins, and the distances of neighbours in channel, row, column and sample. With
    `together` a row of outputs meets a row of pixels (stride 1, no hash): columns and samples make one run.
    """
    outputs, p_size, q_size, samples = g.shape
    height, width = out.shape[1], out.shape[2]
    out[start:stop] = 0
    for c in range(start, stop):
        for o in range(outputs):
            for r in range(w.shape[2]):
                for s in range(w.shape[3]):
                    a = w[o, c, r, s]
                    k = (o * w.shape[2] + r) * w.shape[3] + s
                    shift = s * dilation[1] - before[1]
                    low, high = max(0, -shift), min(q_size, width - shift)
                    for p in range(p_size):
                        i = p * stride[0] + r * dilation[0] - before[0]
                        if not 0 <= i < height:
                            continue
                        if together:
                            if low < high:
                                terms = g[o, p].reshape(-1)[low * samples : high * samples]
                                sums = out[c, i].reshape(-1)[(low + shift) * samples : (high + shift) * samples]
                                for j in range(len(terms)):
                                    sums[j] = step(m, sums[j], a, terms[j], places[0])
                            continue
                        for q in range(q_size):
                            j = q * stride[1] + shift
                            if 0 <= j < width:
                                terms, sums = g[o, p, q], out[c, i, j]
                                place = places[0] + places[1] * np.uint64(c) + places[2] * np.uint64(i)
                                place += places[3] * np.uint64(j) + np.uint64(2 * k)
                                for n in range(samples):
                                    sums[n] = step(m, sums[n], a, terms[n], place + places[4] * np.uint64(n))
