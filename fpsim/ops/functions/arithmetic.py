"""Element by element: arithmetic, functions, choices.

Layer 4. No arithmetic here, only arguments; each answers for NumPy's function of the same name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fpsim.autograd.tensor import Tensor, register_numpy
from fpsim.errors import ArgumentError, ArgumentTypeError, expected
from fpsim.ops import elementwise
from fpsim.ops.functions.arguments import Numbers, _as_operand, _broadcastable, _not_none, _takes_tensor
from fpsim.ops.gelu import gelu as gelu_op


def _binary(op: Any, numpy_function: Any, doc: str) -> Callable[..., Tensor]:
    def function(x: Numbers, y: Numbers) -> Tensor:
        _not_none(op.name, x, y)
        if not isinstance(x, Tensor) and not isinstance(y, Tensor):
            x = _as_operand(op.name, x)
        _broadcastable(op.name, x, y)
        return op(x, y)

    function.__name__ = function.__qualname__ = op.name
    function.__doc__ = doc
    register_numpy(numpy_function)(function)
    return function


add = _binary(elementwise.add, np.add, "``x + y``, rounded once.")
subtract = sub = _binary(elementwise.subtract, np.subtract, "``x - y``, rounded once.")
multiply = mul = _binary(elementwise.multiply, np.multiply, "``x * y``, rounded once.")
divide = div = _binary(elementwise.divide, np.divide, "``x / y``, rounded once.")
maximum = _binary(
    elementwise.maximum, np.maximum, "The larger of two, element by element; NaN wins; a tie's gradient is halved."
)
minimum = _binary(
    elementwise.minimum, np.minimum, "The smaller of two, element by element; NaN wins; a tie's gradient is halved."
)


@register_numpy(np.power, np.float_power)
def pow(x: Numbers, exponent: Numbers) -> Tensor:
    """``x ** exponent``; an integer exponent is not rounded.

    >>> import fpsim as fp
    >>> fp.tensor([3.0, 300.0], dtype="float16") ** 2
    tensor([ 9., inf], float16, accumulates in float16)
    # 1 of 2 infinite: float16 ends at 65504, and from 65520 on rounds to inf
    """
    if isinstance(x, Tensor) and isinstance(exponent, int | np.integer) and not isinstance(exponent, bool):
        return elementwise.power_integer(x, n=int(exponent))
    _not_none("pow", x, exponent)
    _broadcastable("pow", x, exponent)
    return elementwise.power(x if isinstance(exponent, Tensor) else _as_operand("pow", x), exponent)


def _unary(op: Any, numpy_function: Any, doc: str) -> Callable[..., Tensor]:
    def function(x: Numbers) -> Tensor:
        return op(_as_operand(op.name, x))

    function.__name__ = function.__qualname__ = op.name
    function.__doc__ = doc
    if numpy_function is not None:
        register_numpy(numpy_function)(function)
    return function


negative = neg = _unary(elementwise.negative, np.negative, "``-x``.")
exp = _unary(elementwise.exp, np.exp, "``e ** x``, rounded once.")
log = _unary(elementwise.log, np.log, "Natural logarithm, rounded once.")
sqrt = _unary(elementwise.sqrt, np.sqrt, "Square root, rounded once; its derivative at 0 is infinite.")
tanh = _unary(elementwise.tanh, np.tanh, "Hyperbolic tangent, rounded once.")
sigmoid = _unary(elementwise.sigmoid, None, "``1 / (1 + exp(-x))``, rounded once.")
abs = _unary(elementwise.abs, np.absolute, "Magnitude; its derivative at 0 is 0.")


def relu(x: Numbers, inplace: bool = False) -> Tensor:
    """``x`` where positive, else 0; relu(-0) is -0 and the derivative at 0 is 0. `inplace` is ignored."""
    return elementwise.relu(_as_operand("relu", x))


def gelu(x: Numbers, approximate: str = "none") -> Tensor:
    """``x * Phi(x)`` with the normal distribution function Phi (the erf form), rounded once."""
    if approximate != "none":
        got = f"approximate={approximate!r}"
        raise ArgumentError(expected("gelu", "the erf form, approximate='none'", got, "leave the argument out"))
    return gelu_op(_as_operand("gelu", x))


def square(x: Numbers) -> Tensor:
    """``x * x``, rounded once."""
    x = _as_operand("square", x)
    return elementwise.multiply(x, x)


register_numpy(np.square)(square)
register_numpy(np.positive)(lambda x: x)


@register_numpy(np.where)
def where(condition: Any, x: Numbers, y: Numbers) -> Tensor:
    """``x`` where the condition holds, else ``y``; the gradient is selected likewise."""
    condition = np.asarray(condition)
    if condition.dtype != bool:
        raise ArgumentTypeError(
            expected("where", "a bool condition", f"condition.dtype={condition.dtype}", "compare: x > 0")
        )
    _not_none("where", x, y)
    _broadcastable("where", condition, x, y)
    if not isinstance(x, Tensor) and not isinstance(y, Tensor):
        x = _as_operand("where", x)
    return elementwise.where(x, y, condition=condition)


@register_numpy(np.clip)
@_takes_tensor
def clip(
    x: Tensor, min: Numbers = None, max: Numbers = None, *, a_min: Numbers = None, a_max: Numbers = None
) -> Tensor:
    """``x`` brought between two bounds, which are rounded to its format first; the derivative at a bound is 1."""
    low, high = min if a_min is None else a_min, max if a_max is None else a_max
    if low is None and high is None:
        raise ArgumentError(expected("clip", "a bound", "min=None and max=None", "give min or max"))
    _broadcastable("clip", x, low, high)
    return elementwise.clip(x, low, high)


clamp = clip
