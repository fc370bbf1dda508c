"""Attention: which keys each query looks at, and the mean of their values.

Layer 4. Each elementary step is rounded to the accumulator's format; they stand in the order in which they round.
"""

from __future__ import annotations

import numpy as np

from fpsim.autograd.op import Kind, op
from fpsim.ops.linalg import transposed, unbatched

__all__ = ["scaled_dot_product_attention"]


class Saved(tuple):
    """What the gradients need, ``(weights,)``; and that of the scores, which three of them share, once it is known.

    `of_scores` is the gradient and what it was computed from: another backward pass, or a twin's, computes its own.
    """

    of_scores = (None, None)


def allowed_places(keep, causal, queries, keys):
    """Where a query may look: a bool array that broadcasts against the scores; None: everywhere."""
    if causal:
        return np.arange(keys) <= np.arange(queries)[:, None]
    return keep


def attention_weights(scores, allowed, acc):
    """Softmax over the keys: ``m = max``, ``d = s - m``, ``e = exp d``, ``e / sum e``, of the allowed keys alone.

    What is not allowed has weight +0 in every format, with or without an infinity. Where nothing is, or where all
    scores are -inf, all weights are 0, as in PyTorch. The scores are overwritten.
    """
    forbidden = None if allowed is None else ~allowed
    if forbidden is not None:
        np.copyto(scores, -np.inf, where=forbidden)
    m = scores.max(-1, keepdims=True, initial=-np.inf)
    nowhere = np.isneginf(m)
    m[nowhere] = 0
    if forbidden is not None:
        np.copyto(scores, m, where=forbidden)
    e = acc.step(np.exp, acc.step(np.subtract, scores, m, into=scores))
    if forbidden is not None:
        np.copyto(e, 0, where=forbidden)
    total = acc.sum(e, -1, keepdims=True)
    return acc.step(np.divide, e, np.where(nowhere, total.dtype.type(1), total), into=e)


def dropped(weights, kept, probability, acc):
    """``weights / (1 - probability)`` where kept, else 0; the probability is not rounded."""
    if kept is None:
        return weights
    return np.where(kept, acc.step(np.divide, weights, 1 - probability), weights.dtype.type(0))


@op(Kind.FUSED, saves=True)
def scaled_dot_product_attention(q, k, v, mask, *, keep, causal, scale, kept, probability, acc):
    """``out[i] = sum_j w[i, j] * v[j]``: ``s = q . k``, ``s * scale``, ``s + mask``, ``w`` the softmax of s over j.

    The scale is rounded to the accumulator's format first. `keep` (bool) or `causal` choose the keys, ``j <= i``.
    """
    scores = acc.matmul(q, transposed(k))
    scores = acc.step(np.multiply, scores, acc.round(scale), into=scores)
    if mask is not None:
        scores = acc.step(np.add, scores, mask, into=scores)
    weights = attention_weights(scores, allowed_places(keep, causal, *scores.shape[-2:]), acc)
    return acc.matmul(dropped(weights, kept, probability, acc), v), Saved((weights,))


def gradient_of_scores(g, v, saved, kept, probability, acc):
    """``w * (h - sum_j h * w)`` with ``h = g . v``, dropped like the weights."""
    keeps = isinstance(saved, Saved)
    known, source = saved.of_scores if keeps else (None, None)
    if source is None or source[0] is not g or source[1] is not v or source[2] is not type(acc):
        (w,) = saved
        h = dropped(acc.matmul(g, transposed(v)), kept, probability, acc)
        weighted = acc.sum(acc.step(np.multiply, h, w), -1, keepdims=True)
        h = acc.step(np.subtract, h, weighted, into=h)
        known = acc.step(np.multiply, w, h, into=h)
        if keeps:
            saved.of_scores = known, (g, v, type(acc))
    return known


@scaled_dot_product_attention.vjp(0)
def _(g, out, q, k, v, mask, *, keep, causal, scale, kept, probability, acc, saved):
    of_products = acc.step(np.multiply, gradient_of_scores(g, v, saved, kept, probability, acc), acc.round(scale))
    return unbatched(acc, of_products, k, q)


@scaled_dot_product_attention.vjp(1)
def _(g, out, q, k, v, mask, *, keep, causal, scale, kept, probability, acc, saved):
    of_products = acc.step(np.multiply, gradient_of_scores(g, v, saved, kept, probability, acc), acc.round(scale))
    return unbatched(acc, transposed(of_products), q, k)


@scaled_dot_product_attention.vjp(2)
def _(g, out, q, k, v, mask, *, keep, causal, scale, kept, probability, acc, saved):
    return unbatched(acc, transposed(dropped(saved[0], kept, probability, acc)), g, v)


@scaled_dot_product_attention.vjp(3)
def _(g, out, q, k, v, mask, *, keep, causal, scale, kept, probability, acc, saved):
    return gradient_of_scores(g, v, saved, kept, probability, acc)  # the engine sums where the mask was repeated
