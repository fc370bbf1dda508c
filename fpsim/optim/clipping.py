"""Gradient clipping, on the gradients that the optimizer will use: the masters' where there are masters.

Layer 5.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fpsim.autograd.tensor import Tensor
from fpsim.errors import ArgumentError, GradientError, expected
from fpsim.formats import Format
from fpsim.optim.steps import Steps
from fpsim.precision import Precision

__all__ = ["clip_grad_norm_", "clip_grad_value_"]


def _gradients(parameters: Any) -> list[Tensor]:
    """The gradients that count; a parameter without one is passed over."""
    parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    owners = [p.master if getattr(p, "master", None) is not None and p.master.grad is not None else p for p in parameters]
    return [p.grad for p in owners if p.grad is not None]


def clip_grad_norm_(
    parameters: Any, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: Any = None
) -> Tensor:
    """Scale all gradients by one factor so that their joint norm is at most `max_norm`.

    Gradients that are still multiplied by a loss scale must be unscaled first.

    Returns
    -------
    Tensor
        The norm before clipping, in the gradients' widest format.

    Notes
    -----
    Precision: the norm is computed in float64 and rounded once; the factor ``max_norm / (norm + 1e-6)`` is rounded to
    the format, each gradient times the factor once.
    """
    if not max_norm >= 0 or not norm_type > 0:
        got = f"max_norm={max_norm!r}, norm_type={norm_type!r}"
        raise ArgumentError(expected("clip_grad_norm_", "a norm of at least 0 and a positive type", got, "correct them"))
    gradients = _gradients(parameters)
    if not gradients:
        return Tensor(np.zeros((), np.float32), Precision("float32"))
    widest: Format = max((g.dtype for g in gradients), key=lambda fmt: (fmt.p, fmt.exponent_bits))
    steps, precision = Steps(widest), Precision(widest)
    with np.errstate(all="ignore"):
        norms = [_norm(g._data, norm_type) for g in gradients]
        total = float(steps.copy(np.asarray(_norm(np.array(norms), norm_type))))
        if error_if_nonfinite and not math.isfinite(total):
            got = f"a norm of {total}"
            raise GradientError(expected("clip_grad_norm_", "finite gradients", got, "unscale them, or skip the step"))
        factor = np.float64(max_norm) / (total + 1e-6)
    factor = float(steps.copy(np.asarray(min(factor, 1.0) if not math.isnan(factor) else factor)))
    for g in gradients:
        g.replace_values(Steps(g.dtype).mul(g._data, factor))
    return Tensor(steps.copy(np.asarray(total)), precision)


def _norm(x: Any, norm_type: float) -> float:
    x = np.abs(x.astype(np.float64))
    if math.isinf(norm_type):
        return float(x.max(initial=0.0))
    return float(np.sqrt(np.sum(x * x)) if norm_type == 2 else np.sum(x**norm_type) ** (1 / norm_type))


def clip_grad_value_(parameters: Any, clip_value: float, foreach: Any = None) -> None:
    """Bring every gradient element between ``-clip_value`` and ``clip_value``, rounded to the gradient's format."""
    if not clip_value >= 0:
        got = f"clip_value={clip_value!r}"
        raise ArgumentError(expected("clip_grad_value_", "a bound of at least 0", got, "correct it"))
    for g in _gradients(parameters):
        bound = Steps(g.dtype).copy(np.asarray(clip_value, np.float64)).astype(g._data.dtype)
        g.replace_values(np.clip(g._data, -bound, bound))
