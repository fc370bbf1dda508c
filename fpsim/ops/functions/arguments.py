"""Arguments in every spelling that PyTorch and NumPy have, brought into one.

Layer 4. Checks and normalises; knows no operation.
"""

from __future__ import annotations

import builtins
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from fpsim.autograd.context import current, stored
from fpsim.autograd.tensor import Tensor, store
from fpsim.errors import ArgumentError, ArgumentTypeError, ShapeError, expected
from fpsim.rounding.codes import as_array

Numbers = Any  # a tensor, a number, or an array of numbers


def _as_operand(op: str, x: Any) -> Any:
    """A tensor as it is; a scalar beside no tensor at all becomes one."""
    if isinstance(x, Tensor):
        return x
    precision = current().default
    return stored(Tensor(store(x, precision, op), precision), x, op)


def _takes_tensor(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a number or an array stand for the tensor that the function takes first."""

    @functools.wraps(function)
    def inner(x: Any, *args: Any, **kwargs: Any) -> Any:
        return function(x if isinstance(x, Tensor) else _as_operand(function.__name__, x), *args, **kwargs)

    return inner


def _not_none(op: str, *xs: Any) -> None:
    if builtins.any(x is None for x in xs):
        raise ArgumentTypeError(expected(op, "tensors, numbers or arrays of numbers", "None", "pass a number"))


def _shape(op: str, x: Any) -> tuple[int, ...]:
    return x.shape if isinstance(x, Tensor) else as_array(op, x).shape


def _axes(op: str, x: Any, dim: Any, axis: Any) -> tuple[int, ...]:
    """`dim` or its synonym `axis` as ascending non-negative axes; None means all."""
    if dim is not None and axis is not None:
        raise ArgumentError(expected(op, "dim or axis", f"dim={dim!r} and axis={axis!r}", "give one of the two"))
    given = axis if dim is None else dim
    if given is None:
        return tuple(range(x.ndim))
    given = tuple(given) if isinstance(given, list | tuple) else (given,)
    if builtins.any(isinstance(i, bool) or not isinstance(i, int | np.integer) for i in given):
        raise ArgumentTypeError(expected(op, "integer axes", f"dim={given!r}", "count from 0 or from -1"))
    axes = tuple(sorted(int(i) % x.ndim if x.ndim else int(i) for i in given))
    if builtins.any(not -x.ndim <= i < x.ndim for i in given) or len(set(axes)) < len(axes):
        raise ShapeError(expected(op, f"different axes of {x.ndim}", f"dim={given!r}", "count from 0 or from -1"))
    return axes


def _place(op: str, axis: Any, count: int) -> int:
    """One axis of `count`, non-negative."""
    if isinstance(axis, bool) or not isinstance(axis, int | np.integer):
        raise ArgumentTypeError(expected(op, "an integer axis", f"dim={axis!r}", "count from 0 or from -1"))
    if not -count <= axis < count:
        raise ShapeError(expected(op, f"one of {count} axes", f"dim={axis!r}", "count from 0 or from -1"))
    return int(axis) % count


def _one_axis(op: str, x: Any, dim: Any, axis: Any) -> int:
    axes = _axes(op, x, dim, axis)
    if len(axes) != 1 or (dim is None and axis is None):
        raise ArgumentError(expected(op, "one axis", f"dim={dim!r}", "name the axis: dim=1"))
    return axes[0]


def _sizes(op: str, sizes: tuple[Any, ...], least: int = -1) -> tuple[int, ...]:
    """``f(2, 3)`` and ``f((2, 3))`` alike; -1 is a size where it means something."""
    if len(sizes) == 1 and isinstance(sizes[0], list | tuple):
        sizes = tuple(sizes[0])
    if builtins.any(isinstance(n, bool) or not isinstance(n, int | np.integer) for n in sizes):
        raise ArgumentTypeError(expected(op, "integer sizes", f"{sizes!r}", "convert them with int()"))
    if builtins.any(n < least for n in sizes):
        raise ShapeError(expected(op, f"sizes of at least {least}", f"{sizes!r}", "check the sizes"))
    return tuple(int(n) for n in sizes)


def _broadcastable(op: str, *xs: Any) -> None:
    shapes = [_shape(op, x) for x in xs if x is not None]
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        got = ", ".join(map(str, shapes))
        raise ShapeError(expected(op, "shapes that broadcast", got, "reshape one, or make a size 1")) from None
