"""Losses of integer labels, and binary cross entropy on logits.

Layer 4. Labels are integer arrays; weights and smoothing are hyperparameters, rounded to the accumulator's format.
"""

from __future__ import annotations

import numpy as np

from fpsim.autograd.op import Kind, op
from fpsim.ops.norm import log_softmax_gradient, log_softmax_steps

__all__ = ["bce", "bce_with_logits", "cross_entropy", "nll"]


def _target_weights(shape, labels, weight, ignored, smoothing, acc):
    """What each log probability (n, class, ...) counts in its sample's loss, and each sample's share of the mean."""
    classes = shape[1]
    kept = labels != ignored
    hot = np.arange(classes).reshape(1, -1, *[1] * (labels.ndim - 1)) == labels[:, None]
    weight = np.ones(classes) if weight is None else weight
    by_class = acc.round(weight).astype(np.float64).reshape(1, -1, *[1] * (labels.ndim - 1))
    counts = np.where(hot, by_class, 0)
    share = counts.sum(1)
    if smoothing:
        counts = (1 - smoothing) * counts + smoothing / classes * by_class
    keep = kept[:, None]
    return acc.round(np.where(keep, counts, 0)), np.where(kept, share, 0)


def _reduced(terms, share, reduction, acc):
    """Losses per sample to what is asked for; the mean is over the samples' weights."""
    if reduction == "none":
        return terms
    total = acc.sum(terms)
    return np.asarray(total if reduction == "sum" else acc.step(np.divide, total, acc.sum(share)))


def _loss_of(logp, counts, share, reduction, acc):
    # a class that does not count takes no part, even where its log probability is -inf
    picked = np.where(counts != 0, acc.step(np.multiply, logp, -counts), 0)
    return _reduced(acc.sum(picked, axis=1), share, reduction, acc)


def _gradient_of(g, counts, share, reduction, acc):
    """Of the log probabilities."""
    if reduction == "mean":
        g = acc.step(np.divide, g, acc.sum(share))
    g = np.expand_dims(g, 1) if reduction == "none" else g
    return acc.step(np.multiply, np.broadcast_to(g, counts.shape), -counts)


@op(Kind.FUSED)
def nll(logp, *, labels, weight, ignored, reduction, acc):
    """``-sum_n w[y_n] * logp[n, y_n]``, divided by ``sum_n w[y_n]`` for the mean."""
    return _loss_of(logp, *_target_weights(logp.shape, labels, weight, ignored, 0.0, acc), reduction, acc)


@nll.vjp(0)
def _(g, out, logp, *, labels, weight, ignored, reduction, acc):
    return _gradient_of(g, *_target_weights(logp.shape, labels, weight, ignored, 0.0, acc), reduction, acc)


@op(Kind.FUSED, saves=True)
def cross_entropy(x, *, labels, weight, ignored, smoothing, reduction, acc):
    """log_softmax over the classes, pick, mean."""
    logp = log_softmax_steps(x, 1, acc)
    counts, share = _target_weights(x.shape, labels, weight, ignored, smoothing, acc)
    return _loss_of(logp, counts, share, reduction, acc), (logp, counts, share)


@cross_entropy.vjp(0)
def _(g, out, x, *, labels, weight, ignored, smoothing, reduction, acc, saved):
    logp, counts, share = saved
    return log_softmax_gradient(_gradient_of(g, counts, share, reduction, acc), logp, 1, acc)


#: PyTorch's bounds: of a logarithm of a probability, and of ``p (1 - p)`` where it divides.
LEAST_LOG, LEAST_VARIANCE = -100.0, 1e-12


def _log_steps(p, acc):
    """``log p`` and ``log(1 - p)``, at least -100."""
    return (np.maximum(acc.step(f, v), LEAST_LOG) for f, v in ((np.log, p), (np.log1p, -p)))


@op(Kind.FUSED, no_gradient=(2,))
def bce(p, y, weight, *, reduction, acc):
    """``(y - 1) * log(1 - p) - y * log p`` of probabilities, logarithms at least -100, weighted, then reduced."""
    log_p, log_q = _log_steps(p, acc)
    terms = acc.step(np.multiply, acc.step(np.subtract, y, 1.0), log_q), acc.step(np.multiply, y, log_p)
    loss = acc.step(np.subtract, *terms)
    if weight is not None:
        loss = acc.step(np.multiply, loss, weight)
    return _reduced(loss, np.ones(loss.shape), reduction, acc)


@bce.vjp(0)
def _(g, out, p, y, weight, *, reduction, acc):
    if reduction == "mean":
        g = acc.step(np.divide, g, float(p.size))
    variance = acc.step(np.multiply, acc.step(np.subtract, 1.0, p), p)
    slope = acc.step(np.divide, acc.step(np.subtract, p, y), np.maximum(variance, acc.round(LEAST_VARIANCE)))
    if weight is not None:
        slope = acc.step(np.multiply, slope, weight)
    return acc.step(np.multiply, g, slope)


@bce.vjp(1)
def _(g, out, p, y, weight, *, reduction, acc):
    if reduction == "mean":
        g = acc.step(np.divide, g, float(p.size))
    log_p, log_q = _log_steps(p, acc)
    slope = acc.step(np.subtract, log_q, log_p)
    if weight is not None:
        slope = acc.step(np.multiply, slope, weight)
    return acc.step(np.multiply, g, slope)


def _logistic_steps(x, acc):
    """``log(1 + exp(-|x|))``."""
    return acc.step(np.log1p, acc.step(np.exp, -np.abs(x)))


@op(Kind.FUSED, no_gradient=(2, 3))
def bce_with_logits(x, y, weight, positive, *, reduction, acc):
    """``(1 - y) * x + (1 + (positive - 1) * y) * (log(1 + exp(-|x|)) + max(-x, 0))``, weighted, then reduced."""
    softplus = acc.step(np.add, _logistic_steps(x, acc), np.maximum(-x, 0))
    if positive is not None:
        softplus = acc.step(np.multiply, softplus, _positive_weight(y, positive, acc))
    loss = acc.step(np.add, acc.step(np.multiply, acc.step(np.subtract, 1.0, y), x), softplus)
    if weight is not None:
        loss = acc.step(np.multiply, loss, weight)
    return _reduced(loss, np.ones(loss.shape), reduction, acc)


def _positive_weight(y, positive, acc):
    return acc.step(np.add, acc.step(np.multiply, acc.step(np.subtract, positive, 1.0), y), 1.0)


@bce_with_logits.vjp(0)
def _(g, out, x, y, weight, positive, *, reduction, acc):
    if reduction == "mean":
        g = acc.step(np.divide, g, float(x.size))
    e = acc.step(np.exp, -np.abs(x))
    tail = acc.step(np.divide, np.where(x >= 0, e, 1), acc.step(np.add, e, 1.0))  # sigmoid(-x)
    if positive is not None:
        tail = acc.step(np.multiply, tail, _positive_weight(y, positive, acc))
    slope = acc.step(np.subtract, acc.step(np.subtract, 1.0, y), tail)
    if weight is not None:
        slope = acc.step(np.multiply, slope, weight)
    return acc.step(np.multiply, g, slope)


@bce_with_logits.vjp(1)
def _(g, out, x, y, weight, positive, *, reduction, acc):
    if reduction == "mean":
        g = acc.step(np.divide, g, float(x.size))
    slope = -x
    if positive is not None:
        softplus = acc.step(np.add, _logistic_steps(x, acc), np.maximum(-x, 0))
        more = acc.step(np.multiply, acc.step(np.subtract, positive, 1.0), softplus)
        slope = acc.step(np.add, slope, more)
    if weight is not None:
        slope = acc.step(np.multiply, slope, weight)
    return acc.step(np.multiply, g, slope)
