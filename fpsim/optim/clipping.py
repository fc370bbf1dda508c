"""Gradient clipping, on the gradients that the optimizer will use: the masters' where there are masters.

Layer 5. Replaces the gradients' values; never the parameters'.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fpsim.autograd.context import stored
from fpsim.autograd.tensor import Tensor, round_into
from fpsim.errors import ArgumentError, ArgumentTypeError, GradientError, expected
from fpsim.formats import float32
from fpsim.optim.steps import Steps
from fpsim.precision import Precision, promote
from fpsim.rounding.kernel import Array
from fpsim.rounding.wide import Wide

__all__ = ["clip_grad_norm_", "clip_grad_value_"]


def _gradients(op: str, parameters: Any) -> list[Tensor]:
    """The gradients that count; a parameter without one is passed over."""
    parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    for p in parameters:
        if not isinstance(p, Tensor):
            raise ArgumentTypeError(expected(op, "parameters", type(p).__name__, "pass net.parameters()"))
    owners = [p if p.master is None or p.master.grad is None else p.master for p in parameters]
    gradients = [p.grad for p in owners if p.grad is not None]
    for g in gradients:
        if not isinstance(g, Tensor):
            raise ArgumentTypeError(expected(op, "tensors as gradients", type(g).__name__, "let backward() make them"))
    return gradients


def clip_grad_norm_(
    parameters: Any, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: Any = None
) -> Tensor:
    """Multiply all gradients by one factor, ``min(1, max_norm / (norm + 1e-6))``, so their joint norm is `max_norm`.

    Gradients that are still multiplied by a loss scale must be unscaled first.

    Returns
    -------
    Tensor
        The norm before clipping, in the format that the gradients promote to.

    Notes
    -----
    Precision: the norm is computed in float64 and rounded once; ``norm + 1e-6``, its reciprocal and that times
    `max_norm` are rounded once each, as in PyTorch, and so is each gradient times the factor.

    Examples
    --------
    >>> import fpsim as fp
    >>> w = fp.tensor([3.0, 4.0], requires_grad=True)
    >>> (w * w / 2).sum().backward()
    >>> fp.nn.utils.clip_grad_norm_([w], max_norm=2.5).item(), [f"{g:.3f}" for g in w.grad.tolist()]
    (5.0, ['1.500', '2.000'])
    """
    if not max_norm >= 0 or not norm_type > 0:
        got = f"max_norm={max_norm!r}, norm_type={norm_type!r}"
        invariant = "a norm of at least 0 and a positive type"
        raise ArgumentError(expected("clip_grad_norm_", invariant, got, "correct them"))
    gradients = _gradients("clip_grad_norm_", parameters)
    precision = promote([Precision(g.dtype) for g in gradients] or [Precision(float32)])
    with np.errstate(all="ignore"):
        norm = round_into(precision, _norm(np.array([_norm(g._data, norm_type) for g in gradients]), norm_type))
    if error_if_nonfinite and not np.isfinite(norm):
        got = f"a norm of {float(norm):g}"
        raise GradientError(expected("clip_grad_norm_", "finite gradients", got, "unscale them, or skip the step"))
    divisor = Steps(precision, (precision.storage,)).add_number(norm, 1e-6)
    one_over = round_into(precision, Wide.of(1.0) / Wide.of(divisor))  # PyTorch's number / tensor: two roundings
    factor = np.minimum(round_into(precision, Wide.of(one_over) * float(max_norm)), 1)
    for g in gradients:
        before = g._data
        g.replace_values(Steps(Precision(g.dtype), (g.dtype, precision.storage)).mul(g._data, float(factor)))
        stored(g, g, "clip_grad_norm_", lambda g: g * float(factor), before)
    return Tensor(norm, precision)


def _norm(x: Array, norm_type: float) -> Array:
    x = np.abs(x.astype(np.float64))
    if math.isinf(norm_type):
        return np.asarray(x.max(initial=0.0))
    return np.asarray(np.sqrt(np.sum(x * x)) if norm_type == 2 else np.sum(x**norm_type) ** (1 / norm_type))


def clip_grad_value_(parameters: Any, clip_value: float, foreach: Any = None) -> None:
    """Bring every gradient element between ``-clip_value`` and ``clip_value``, rounded to the gradient's format."""
    if not clip_value >= 0:
        got = f"clip_value={clip_value!r}"
        raise ArgumentError(expected("clip_grad_value_", "a bound of at least 0", got, "correct it"))
    for g in _gradients("clip_grad_value_", parameters):
        bound = round_into(Precision(g.dtype), np.asarray(float(clip_value)))
        before = g._data
        g.replace_values(np.clip(before, -bound, bound))
        stored(g, g, "clip_grad_value_", lambda g: np.clip(g, -float(clip_value), float(clip_value)), before)
