"""Multiplying a loss by the scale, and the warning where that makes an infinity.

Layer 6. Decides nothing: which scale is `scaler`'s.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from fpsim.autograd.engine import apply
from fpsim.autograd.tensor import Tensor
from fpsim.errors import ArgumentTypeError, LossScaleOverflowWarning, expected
from fpsim.formats import float32
from fpsim.ops import elementwise
from fpsim.precision import Precision
from fpsim.rounding.kernel import round_to

__all__ = ["scaled"]


def scaled(outputs: Any, scale: np.float32) -> Any:
    """A tensor, or tensors nested in iterables, times the scale."""
    if isinstance(outputs, Tensor):
        return _scaled_one(outputs, scale)
    if isinstance(outputs, list | tuple):
        return type(outputs)([scaled(output, scale) for output in outputs])
    if isinstance(outputs, Iterable) and not isinstance(outputs, str | bytes | np.ndarray):
        return (scaled(output, scale) for output in outputs)
    got = type(outputs).__name__
    raise ArgumentTypeError(expected("scale", "a tensor or an iterable of tensors", got, "scale the loss tensor"))


def _scaled_one(x: Tensor, scale: np.float32) -> Tensor:
    precision = x.precision
    if x.ndim == 0 and not x.dtype.holds(float32):
        accumulate = float32 if float32.holds(x.accumulate) else x.accumulate
        precision = replace(precision, storage=float32, accumulate=accumulate, grad=None, grad_rounding=None)
    # the precision is given, so the scale stays the float32 that it is and the product is rounded once
    product = apply(elementwise.multiply, (x, Tensor(np.asarray(scale), Precision(float32))), {}, precision)
    _warn_of_overflow(x, product, scale)
    return product


def _warn_of_overflow(x: Tensor, product: Tensor, scale: np.float32) -> None:
    """Where scaling makes an inf: of the loss itself, or of its gradient, which is the scale."""
    of_loss, fmt = x.precision.gradient, x.precision.gradient.storage
    beyond = not of_loss.saturate and not np.isfinite(round_to(np.asarray(scale, np.float64), fmt))
    if x.requires_grad and beyond:
        what = (
            f"the scale {scale:g}, which is the gradient of the loss, becomes inf in {fmt.name}, and so will all others"
        )
        remedy = "compute the loss in float32: loss_fn(out.float(), y), or start from a smaller scale"
    elif np.isfinite(x._data).all() and not np.isfinite(product._data).all():
        what = f"a loss of {np.abs(x._data).max():g} times the scale {scale:g} becomes inf in {product.dtype.name}"
        remedy = "start from a smaller scale"
    else:
        return
    warnings.warn(f"scale: {what}; {remedy}.", LossScaleOverflowWarning, stacklevel=5)
