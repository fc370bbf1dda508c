"""Sums, means, extremes, softmax: what takes a `dim`.

Layer 4. No arithmetic here, only arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fpsim.autograd.integers import IntegerArray
from fpsim.autograd.tensor import Tensor, register_numpy
from fpsim.errors import ArgumentTypeError, ShapeError, expected
from fpsim.ops import elementwise, norm, reduce
from fpsim.ops.functions.arguments import _as_operand, _axes, _one_axis, _takes_tensor
from fpsim.ops.functions.arithmetic import sqrt


@register_numpy(np.sum)
@_takes_tensor
def sum(
    x: Tensor, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool = False, dtype: Any = None
) -> Tensor:
    """Sum over `dim` (all axes unless given) by the tensor's accumulator, rounded once to storage.

    >>> import numpy as np, fpsim as fp
    >>> ones = fp.ones(4096, dtype="float16")
    >>> ones.sum().item(), ones.to("float16/float32").sum().item()
    (2048.0, 4096.0)
    """
    x = x if dtype is None else x.to(dtype)
    return reduce.sum(x, axis=_axes("sum", x, dim, axis), keepdims=keepdim or keepdims)


@register_numpy(np.mean)
@_takes_tensor
def mean(
    x: Tensor, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool = False, dtype: Any = None
) -> Tensor:
    """The accumulator's sum divided by the count exactly, rounded once to storage."""
    x = x if dtype is None else x.to(dtype)
    return reduce.mean(x, axis=_axes("mean", x, dim, axis), keepdims=keepdim or keepdims)


@_takes_tensor
def var(
    x: Tensor, dim: Any = None, unbiased: bool = True, keepdim: bool = False, *,
    correction: float | None = None, axis: Any = None, keepdims: bool = False,
) -> Tensor:  # fmt: skip
    """Variance ``sum (x - mean)^2 / (n - correction)``; the correction is 1 as in PyTorch (``np.var``: 0)."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    correction = float(unbiased) if correction is None else correction
    if not isinstance(correction, int | float | np.number):
        got = f"correction={correction!r}"
        raise ArgumentTypeError(expected("var", "a number", got, "1 divides by n - 1, 0 by n"))
    return reduce.var(x, axis=_axes("var", x, dim, axis), keepdims=keepdim or keepdims, correction=correction)


def std(x: Tensor, dim: Any = None, unbiased: bool = True, keepdim: bool = False, **options: Any) -> Tensor:
    """Square root of `var`."""
    return sqrt(var(x, dim, unbiased, keepdim, **options))


@register_numpy(np.var)
def _numpy_var(
    x: Tensor, axis: Any = None, *, ddof: float = 0, correction: float | None = None, keepdims: bool = False
) -> Tensor:
    return var(x, axis, correction=ddof if correction is None else correction, keepdim=keepdims)


@register_numpy(np.std)
def _numpy_std(
    x: Tensor, axis: Any = None, *, ddof: float = 0, correction: float | None = None, keepdims: bool = False
) -> Tensor:
    return sqrt(_numpy_var(x, axis, ddof=ddof, correction=correction, keepdims=keepdims))


def _extreme(op: Any, elementwise_op: Any, numpy_function: Any) -> Callable[..., Tensor]:
    def function(
        x: Tensor, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool = False
    ) -> Tensor:
        if isinstance(dim, Tensor):
            return elementwise_op(x, dim)
        x = _as_operand(op.name, x)
        axes = _axes(op.name, x, dim, axis)
        if reduce.count_of(x, axes) == 0:
            raise ShapeError(expected(op.name, "at least one element", f"shape={x.shape}", "check the batch"))
        return op(x, axis=axes, keepdims=keepdim or keepdims)

    function.__name__ = function.__qualname__ = op.name
    function.__doc__ = f"The {op.name}imum over `dim`, values only; NaN wins; equal values share the gradient."
    register_numpy(*numpy_function)(function)
    return function


max = amax = _extreme(reduce.max, elementwise.maximum, (np.max, np.amax))
min = amin = _extreme(reduce.min, elementwise.minimum, (np.min, np.amin))


@register_numpy(np.argmax)
@_takes_tensor
def argmax(x: Tensor, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Index of the first largest element, an integer array (over all elements: an integer)."""
    if x.size == 0:
        raise ShapeError(expected("argmax", "at least one element", f"shape={x.shape}", "check the batch"))
    if dim is None and axis is None:
        return np.asarray(np.argmax(x._data)).view(IntegerArray)
    at = _one_axis("argmax", x, dim, axis)
    return np.argmax(x._data, axis=at, keepdims=keepdim or keepdims).view(IntegerArray)


def softmax(x: Tensor, dim: Any = None, *, axis: Any = None, dtype: Any = None) -> Tensor:
    """``exp(x - max) / sum exp(x - max)`` along one axis, each step rounded to the accumulator's format."""
    x = _as_operand("softmax", x) if dtype is None else _as_operand("softmax", x).to(dtype)
    return norm.softmax(x, axis=_filled_axis("softmax", x, dim, axis))


def log_softmax(x: Tensor, dim: Any = None, *, axis: Any = None, dtype: Any = None) -> Tensor:
    """``x - max - log(sum exp(x - max))`` along one axis, each step rounded to the accumulator's format."""
    x = _as_operand("log_softmax", x) if dtype is None else _as_operand("log_softmax", x).to(dtype)
    return norm.log_softmax(x, axis=_filled_axis("log_softmax", x, dim, axis))


def _filled_axis(op: str, x: Tensor, dim: Any, axis: Any) -> int:
    at = _one_axis(op, x, dim, axis)
    if x.shape[at] == 0:
        raise ShapeError(expected(op, "at least one class", f"shape={x.shape}", "check the axis"))
    return at
