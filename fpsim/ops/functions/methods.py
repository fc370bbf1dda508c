"""The methods and operators of `Tensor`, and comparisons.

Layer 4. To give tensors another method, add it to `METHODS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fpsim.autograd.context import current
from fpsim.autograd.engine import _prepared
from fpsim.autograd.integers import IntegerArray
from fpsim.autograd.tensor import Tensor, register_numpy
from fpsim.errors import ShapeError, expected
from fpsim.ops.functions.arguments import _broadcastable, _not_none
from fpsim.ops.functions.arithmetic import (
    abs,
    add,
    clip,
    div,
    divide,
    exp,
    gelu,
    log,
    maximum,
    minimum,
    mul,
    multiply,
    neg,
    negative,
    pow,
    relu,
    sigmoid,
    sqrt,
    square,
    sub,
    subtract,
    tanh,
)
from fpsim.ops.functions.products import dot, matmul
from fpsim.ops.functions.reductions import argmax, log_softmax, max, mean, min, softmax, std, sum, var
from fpsim.ops.functions.shapes import (
    _checked_index,
    broadcast_to,
    expand,
    flatten,
    getitem,
    permute,
    reshape,
    squeeze,
    transpose,
    unsqueeze,
    view,
    view_as,
)


def _compare(function: np.ufunc) -> Callable[[Tensor, Any], Any]:
    def compare(x: Tensor, y: Any) -> Any:
        if y is None or isinstance(y, str):
            return NotImplemented
        if not isinstance(x, Tensor):  # from NumPy, the other way round
            x, y = _prepared(function.__name__, x, y.precision), y
        _broadcastable(function.__name__, x, y)
        other = y._data if isinstance(y, Tensor) else _prepared(function.__name__, y, x.precision)
        return np.asarray(function(x._data if isinstance(x, Tensor) else x, other)).view(IntegerArray)

    register_numpy(function)(compare)
    return compare


def _reflected(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda x, y: function(y, x)


def _number_over(x: Tensor, number: Any) -> Tensor:
    """``number / x``, rounded once; autocast takes it for PyTorch's ``x.reciprocal() * number``, in float32."""
    autocast = current().autocast
    precision = None if autocast is None else autocast.precision_for("reciprocal", [x.precision])
    return divide(number, x if precision is None else x.to(precision))


@register_numpy(np.divide)
def _numpy_divide(x: Any, y: Any) -> Tensor:
    return divide(x, y) if isinstance(x, Tensor) else _number_over(y, x)


def reciprocal(x: Tensor) -> Tensor:
    """``1 / x``, rounded once."""
    return _number_over(x, 1.0)


def _in_place(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda x, y: x.change_in_place(function(x, y))


def _setitem(x: Tensor, index: Any, value: Any) -> None:
    _not_none("assignment", value)
    changed, at = x._data.copy(), _checked_index(x, index)
    values = value._data if isinstance(value, Tensor) else _prepared("assignment", value, x.precision)
    try:
        changed[at] = values
    except ValueError:
        invariant = f"values that broadcast to {changed[at].shape}"
        raise ShapeError(expected("assignment", invariant, f"shape={values.shape}", "check the index")) from None
    x.change_in_place(Tensor(changed, x.precision))


def _iterate(x: Tensor) -> Any:
    return (getitem(x, i) for i in range(len(x)))


# fmt: off
METHODS: dict[str, Any] = {
    "type": lambda x, dtype: x.to(dtype),
    **{
        f.__name__: f
        for f in (
            exp, log, sqrt, tanh, sigmoid, relu, gelu, square, clip, sum, mean, var, std, max, min, argmax, softmax,
            log_softmax, reshape, view, view_as, flatten, squeeze, unsqueeze, permute, transpose, broadcast_to, expand,
            matmul, pow, maximum, minimum, abs,
        )
    },
    "add": add, "sub": sub, "mul": mul, "div": div, "neg": neg, "clamp": clip, "amax": max, "amin": min,
    "dot": dot, "mm": matmul, "reciprocal": reciprocal,
    "t": lambda x: permute(x, tuple(reversed(range(x.ndim)))),
    "T": property(lambda x: permute(x, tuple(reversed(range(x.ndim)))), doc="The axes reversed."),
    "__add__": add, "__radd__": _reflected(add), "__iadd__": _in_place(add),
    "__sub__": subtract, "__rsub__": _reflected(subtract), "__isub__": _in_place(subtract),
    "__mul__": multiply, "__rmul__": _reflected(multiply), "__imul__": _in_place(multiply),
    "__truediv__": divide, "__rtruediv__": _number_over, "__itruediv__": _in_place(divide),
    "__pow__": pow, "__rpow__": _reflected(pow), "__matmul__": matmul, "__rmatmul__": _reflected(matmul),
    "__neg__": negative, "__pos__": lambda x: x, "__abs__": abs,
    "__getitem__": getitem, "__setitem__": _setitem, "__iter__": _iterate,
    "__eq__": _compare(np.equal), "__ne__": _compare(np.not_equal), "__lt__": _compare(np.less),
    "__le__": _compare(np.less_equal), "__gt__": _compare(np.greater), "__ge__": _compare(np.greater_equal),
}
# fmt: on
METHODS.update(
    eq=METHODS["__eq__"],
    ne=METHODS["__ne__"],
    lt=METHODS["__lt__"],
    le=METHODS["__le__"],
    gt=METHODS["__gt__"],
    ge=METHODS["__ge__"],
)

for _numpy_function in (np.isnan, np.isfinite, np.isinf, np.sign, np.signbit):

    def _predicate(x: Tensor, _f: Any = _numpy_function) -> Any:
        return np.asarray(_f(x._data)).view(IntegerArray)

    register_numpy(_numpy_function)(_predicate)
    METHODS.setdefault(_numpy_function.__name__, _predicate)
register_numpy(np.shape)(lambda x: x.shape)
register_numpy(np.ndim)(lambda x: x.ndim)
register_numpy(np.size)(lambda x: x.size)

for _name, _function in METHODS.items():
    setattr(Tensor, _name, _function)
