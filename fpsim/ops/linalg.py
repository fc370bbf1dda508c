"""Products of matrices: matmul, linear, einsum.

Layer 4. All sums of products go through the accumulator, in the C order of the summed indices.
"""

from __future__ import annotations

import numpy as np

from fpsim.autograd.op import Kind, op

__all__ = ["einsum", "linear", "matmul", "quantized_linear", "transposed", "unbatched"]


def transposed(x):
    """The last two axes exchanged."""
    return np.swapaxes(x, -1, -2)


@op(Kind.CONTRACTION)
def matmul(x, w, *, acc):
    """``out[..., i, j] = sum_k x[..., i, k] * w[..., k, j]``, summed by `acc`; both at least 2-D."""
    return acc.matmul(x, w)


@matmul.vjp(0)
def _(g, out, x, w, *, acc):
    return unbatched(acc, g, transposed(w), x)


@matmul.vjp(1)
def _(g, out, x, w, *, acc):
    return unbatched(acc, transposed(x), g, w)


def unbatched(acc, a, b, target):
    """``a @ b`` summed over the batch axes along which `target` was repeated: one joint sum, batch first."""
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    own = (1,) * (len(batch) - target.ndim + 2) + target.shape[:-2]
    repeated = [i for i, n in enumerate(own) if n == 1 and batch[i] != 1]
    if not repeated:
        return acc.matmul(a, b).reshape(target.shape)
    kept = [i for i in range(len(batch)) if i not in repeated]
    rank = len(batch)
    a, b = (np.broadcast_to(m, (*batch, *m.shape[-2:])) for m in (a, b))
    a = a.transpose(*kept, rank, *repeated, rank + 1)  # (kept..., i, repeated..., k)
    b = b.transpose(*kept, *repeated, rank, rank + 1)  # (kept..., repeated..., k, j)
    shape = [batch[i] for i in kept]
    a, b = a.reshape(*shape, target.shape[-2], -1), b.reshape(*shape, -1, target.shape[-1])
    return acc.matmul(a, b).reshape(target.shape)


@op(Kind.CONTRACTION)
def linear(x, w, b, *, acc):
    """``out[..., o] = round(sum_i x[..., i] * w[o, i] + b[o])``: the bias is added in the accumulator."""
    s = acc.matmul(_rows(x), w.T).reshape(*x.shape[:-1], len(w))
    return s if b is None else acc.step(np.add, s, b, into=s)


@linear.vjp(0)
def _(g, out, x, w, b, *, acc):
    return acc.matmul(_rows(g), w).reshape(x.shape)


@linear.vjp(1)
def _(g, out, x, w, b, *, acc):
    return acc.matmul(_rows(g).T, _rows(x))


@linear.vjp(2)
def _(g, out, x, w, b, *, acc):
    return np.asarray(acc.sum(_rows(g), axis=0))


# `quantized` (see `fpsim.amp.quantization`) rounds the operands, as the accumulator rounds sums: of each it gives rows
# of values on a narrow grid, in blocks along the summed axis where there are blocks, and the scale that they carry.


@op(Kind.FUSED)
def quantized_linear(x, w, b, *, quantized, acc):
    """``out[..., o] = round(round(d * sum_i x_[..., i] * w_[o, i]) + b[o])``, quantised x_ and w_; d undoes scales."""
    x_, w_ = quantized.x(x, 1), quantized.w(w, 1)
    s = _unscaled(acc, acc.matmul(x_.values, w_.values.T), x_, w_).reshape(*x.shape[:-1], len(w))
    return s if b is None else acc.step(np.add, s, b)


@quantized_linear.vjp(0)
def _(g, out, x, w, b, *, quantized, acc):
    g_, w_ = quantized.g(g, 1), quantized.w(w, 0)
    return _unscaled(acc, acc.matmul(g_.values, w_.values), g_, w_).reshape(x.shape)


@quantized_linear.vjp(1)
def _(g, out, x, w, b, *, quantized, acc):
    g_, x_ = quantized.g(g, 0), quantized.x(x, 0)
    return _unscaled(acc, acc.matmul(g_.values.T, x_.values), g_, x_)


@quantized_linear.vjp(2)
def _(g, out, x, w, b, *, quantized, acc):
    return np.asarray(acc.sum(_rows(g), axis=0))


def _unscaled(acc, s, a, b):
    """A product of two quantised operands without their scales: one step of the accumulator's."""
    factor = np.float32(1 / (np.float64(a.scale) * np.float64(b.scale)))
    return s if factor == 1 else acc.step(np.multiply, s, factor)


def _rows(x):
    """All leading axes as one."""
    return x.reshape(-1, x.shape[-1])


@op(Kind.CONTRACTION)
def einsum(x, y, *, labels, acc):
    """Two operands; `labels` = (of x, of y, of the result). Summed labels in order of first appearance."""
    return _contract(x, y, *labels, acc)


@einsum.vjp(0)
def _(g, out, x, y, *, labels, acc):
    of_x, of_y, of_out = labels
    return _spread(_contract(g, y, of_out, of_y, _known(of_x, of_out + of_y), acc), of_x, of_out + of_y, x.shape)


@einsum.vjp(1)
def _(g, out, x, y, *, labels, acc):
    of_x, of_y, of_out = labels
    return _spread(_contract(g, x, of_out, of_x, _known(of_y, of_out + of_x), acc), of_y, of_out + of_x, y.shape)


def _known(labels, others):
    return "".join(label for label in labels if label in others)


def _spread(gradient, labels, known, shape):
    """Along labels summed in one operand alone the gradient is the same everywhere."""
    inserted = tuple(i for i, label in enumerate(labels) if label not in known)
    return np.broadcast_to(np.expand_dims(gradient, inserted), shape)


def _contract(x, y, of_x, of_y, of_out, acc):
    """Bring two operands to ``(batch, i, k) @ (batch, k, j)`` and the result into the order asked for."""
    sizes = dict(zip(of_x + of_y, x.shape + y.shape, strict=True))
    in_order = list(dict.fromkeys(of_x + of_y))
    batch = [c for c in in_order if c in of_out and c in of_x and c in of_y]
    left = [c for c in in_order if c in of_out and c not in of_y]
    right = [c for c in in_order if c in of_out and c not in of_x]
    summed = [c for c in in_order if c not in of_out]

    def arranged(array, own, wanted):
        """`array` with its axes in the order wanted, repeated along labels it does not have."""
        array = array.transpose([own.index(c) for c in wanted if c in own])
        array = array.reshape([sizes[c] if c in own else 1 for c in wanted])
        return np.broadcast_to(array, [sizes[c] for c in wanted])

    def size(group):
        return int(np.prod([sizes[c] for c in group], dtype=np.int64))

    a = arranged(x, of_x, batch + left + summed).reshape(size(batch), size(left), size(summed))
    b = arranged(y, of_y, batch + summed + right).reshape(size(batch), size(summed), size(right))
    product = acc.matmul(a, b).reshape([sizes[c] for c in batch + left + right])
    return product.transpose([(batch + left + right).index(c) for c in of_out])
