"""What a user calls: PyTorch's and NumPy's arguments, brought into the form that the operations take.

Layer 4. Every function here is also a method of `Tensor` where PyTorch has it so, and answers for NumPy's function of
the same name. No arithmetic: only arguments.
"""

from __future__ import annotations

import builtins
import functools
import reprlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fpsim.autograd.context import current
from fpsim.autograd.engine import _prepared
from fpsim.autograd.integers import IntegerArray
from fpsim.autograd.tensor import Tensor, chosen_precision, note_device, register_numpy, store
from fpsim.errors import ArgumentError, ArgumentTypeError, IndexingError, ShapeError, expected
from fpsim.ops import elementwise, linalg, norm, reduce, shape
from fpsim.precision import promote
from fpsim.rounding.codes import as_array, checked_mode

Numbers = Any  # a tensor, a number, or an array of numbers


# Arguments -----------------------------------------------------------------------------------------------------------


def _as_operand(op: str, x: Any) -> Any:
    """A tensor as it is; a scalar beside no tensor at all becomes one."""
    if isinstance(x, Tensor):
        return x
    precision = current().default
    return Tensor(store(x, precision, op), precision)


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


# Arithmetic ----------------------------------------------------------------------------------------------------------


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
    return elementwise.gelu(_as_operand("gelu", x))


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


# Reductions ----------------------------------------------------------------------------------------------------------


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


# Shapes --------------------------------------------------------------------------------------------------------------


@register_numpy(np.reshape)
@_takes_tensor
def reshape(x: Tensor, *sizes: Any, shape: Any = None) -> Tensor:
    """The elements in C order in another shape; one size may be -1."""
    wanted = _sizes("reshape", sizes if shape is None else (shape,))
    got = f"shape={wanted} for {x.size} elements of shape {x.shape}"
    try:
        return _reshape(x, np.empty(x.shape, np.bool_).reshape(wanted).shape)
    except ValueError:
        raise ShapeError(expected("reshape", "sizes with as many elements", got, "use -1 for one size")) from None


def _reshape(x: Tensor, wanted: tuple[int, ...]) -> Tensor:
    return shape.reshape(x, shape=wanted)


def view(x: Tensor, *sizes: Any) -> Tensor:
    """`reshape` (PyTorch's name)."""
    return reshape(x, *sizes)


def view_as(x: Tensor, other: Any) -> Tensor:
    """In the shape of `other`."""
    return reshape(x, other.shape)


@_takes_tensor
def flatten(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The axes from `start_dim` to `end_dim` as one."""
    first, last = (_place("flatten", d, builtins.max(x.ndim, 1)) for d in (start_dim, end_dim))
    if first > last:
        got = f"start_dim={start_dim}, end_dim={end_dim}"
        raise ShapeError(expected("flatten", "a start before the end", got, "exchange them"))
    return reshape(x, (*x.shape[:first], -1 if x.size else 0, *x.shape[last + 1 :]))


register_numpy(np.ravel)(lambda x: reshape(x, -1))


@register_numpy(np.squeeze)
@_takes_tensor
def squeeze(x: Tensor, dim: Any = None, *, axis: Any = None) -> Tensor:
    """Without axes of size 1 (all of them, or those named)."""
    named = _axes("squeeze", x, dim, axis)
    return _reshape(x, tuple(n for i, n in enumerate(x.shape) if not (n == 1 and i in named)))


@_takes_tensor
def unsqueeze(x: Tensor, dim: int) -> Tensor:
    """With a new axis of size 1 at `dim`."""
    at = _place("unsqueeze", dim, x.ndim + 1)
    return _reshape(x, (*x.shape[:at], 1, *x.shape[at:]))


@register_numpy(np.expand_dims)
def _numpy_expand_dims(x: Tensor, axis: Any) -> Tensor:
    axes = tuple(axis) if isinstance(axis, list | tuple) else (axis,)
    places = {_place("expand_dims", i, x.ndim + len(axes)) for i in axes}
    sizes = iter(x.shape)
    return _reshape(x, tuple(1 if i in places else next(sizes) for i in range(x.ndim + len(places))))


@_takes_tensor
def permute(x: Tensor, *dims: Any) -> Tensor:
    """The axes in the order named."""
    axes = _sizes("permute", dims, least=-x.ndim)
    if sorted(i + x.ndim if i < 0 else i for i in axes) != list(range(x.ndim)):
        raise ShapeError(expected("permute", f"each of {x.ndim} axes once", f"dims={axes}", "name them all"))
    return shape.transpose(x, axes=tuple(i % x.ndim for i in axes))


@_takes_tensor
def transpose(x: Tensor, *dims: Any) -> Tensor:
    """Two axes exchanged (``transpose(0, 1)``), or, as in NumPy, all reversed or in the order of a tuple."""
    if len(dims) == 2:
        order = list(range(x.ndim))
        a, b = (_place("transpose", d, x.ndim) for d in dims)
        order[a], order[b] = order[b], order[a]
        return permute(x, order)
    return permute(x, tuple(reversed(range(x.ndim))) if not dims or dims[0] is None else dims[0])


register_numpy(np.transpose)(lambda x, axes=None: transpose(x) if axes is None else permute(x, tuple(axes)))
register_numpy(np.swapaxes)(lambda x, axis1, axis2: transpose(x, axis1, axis2))


@register_numpy(np.broadcast_to)
@_takes_tensor
def broadcast_to(x: Tensor, shape_: Any = None, *, shape: Any = None) -> Tensor:
    """Repeated along new axes and axes of size 1."""
    wanted = _sizes("broadcast_to", (shape_ if shape is None else shape,), least=0)
    try:
        np.broadcast_to(np.empty(x.shape, np.bool_), wanted)
    except ValueError:
        got = f"shape={wanted} for {x.shape}"
        raise ShapeError(expected("broadcast_to", "a shape that x broadcasts to", got, "check the sizes")) from None
    return _broadcast_to(x, wanted)


def _broadcast_to(x: Tensor, wanted: tuple[int, ...]) -> Tensor:
    return shape.broadcast_to(x, shape=wanted)


@_takes_tensor
def expand(x: Tensor, *sizes: Any) -> Tensor:
    """`broadcast_to`, where -1 keeps a size (PyTorch's name)."""
    wanted = _sizes("expand", sizes)
    lead = len(wanted) - x.ndim
    if -1 in wanted[: builtins.max(lead, 0)]:
        got = f"sizes={wanted} for {x.shape}"
        raise ShapeError(expected("expand", "-1 only where x has an axis", got, "give new axes a size"))
    return broadcast_to(x, tuple(x.shape[i - lead] if n == -1 else n for i, n in enumerate(wanted)))


def _joinable(op: str, tensors: Sequence[Any]) -> list[Tensor]:
    xs = list(tensors) if isinstance(tensors, list | tuple | Tensor) or hasattr(tensors, "__iter__") else []
    if not builtins.any(isinstance(x, Tensor) for x in xs):
        got = f"{reprlib.repr(tensors)}"
        raise ArgumentError(expected(op, "a sequence with at least one tensor", got, "pass a list of tensors"))
    return xs


@register_numpy(np.concatenate)
def concatenate(tensors: Sequence[Tensor], dim: int = 0, *, axis: int | None = None) -> Tensor:
    """Joined along an axis that exists."""
    xs = _joinable("concatenate", tensors)
    shapes = [_shape("concatenate", x) for x in xs]
    got = ", ".join(map(str, shapes))
    if not shapes[0]:
        raise ShapeError(expected("concatenate", "at least one axis", got, "use stack"))
    at = _place("concatenate", dim if axis is None else axis, len(shapes[0]))
    others = {(len(s), s[:at] + s[at + 1 :]) for s in shapes}
    if len(others) > 1:
        raise ShapeError(expected("concatenate", f"equal sizes but along axis {at}", got, "check the shapes"))
    return shape.concatenate(*xs, axis=at)


cat = concatenate


@register_numpy(np.stack)
def stack(tensors: Sequence[Tensor], dim: int = 0, *, axis: int | None = None) -> Tensor:
    """Joined along a new axis."""
    xs = _joinable("stack", tensors)
    shapes = [_shape("stack", x) for x in xs]
    if len(set(shapes)) > 1:
        raise ShapeError(expected("stack", "equal shapes", ", ".join(map(str, shapes)), "reshape them first"))
    return shape.stack(*xs, axis=_place("stack", dim if axis is None else axis, len(shapes[0]) + 1))


@_takes_tensor
def pad(x: Tensor, pad: Sequence[int], mode: str = "constant", value: float = 0.0) -> Tensor:
    """Surrounded by a constant; `pad` as in PyTorch: (left, right, top, bottom, ...), the last axis first."""
    if mode != "constant":
        raise ArgumentError(expected("pad", "mode='constant'", f"mode={mode!r}", "pad with a constant"))
    pad = _sizes("pad", (pad,), least=0)
    if len(pad) % 2 or len(pad) > 2 * x.ndim:
        got = f"pad={pad!r} for {x.ndim} axes"
        raise ShapeError(expected("pad", "a pair for each of the last axes", got, "give left, right, top, bottom"))
    if np.ndim(value):
        raise ArgumentTypeError(expected("pad", "one number", f"value={value!r}", "pad with a constant"))
    pairs = [(int(pad[i]), int(pad[i + 1])) for i in range(0, len(pad), 2)]
    widths = ((0, 0),) * (x.ndim - len(pairs)) + tuple(reversed(pairs))
    return shape.pad(x, widths=widths, value=float(_prepared("pad", value, x.precision)))


@register_numpy(np.pad)
def _numpy_pad(x: Tensor, pad_width: Any, mode: str = "constant", *, constant_values: float = 0.0) -> Tensor:
    try:
        pairs = np.broadcast_to(as_array("pad", pad_width), (x.ndim, 2)).tolist()
    except ValueError:
        got = f"pad_width={pad_width!r} for {x.ndim} axes"
        raise ShapeError(
            expected("pad", "a number, or a pair for each axis", got, "give ((top, bottom), ...)")
        ) from None
    return pad(x, [n for pair in reversed(pairs) for n in pair], mode, constant_values)


def getitem(x: Tensor, index: Any) -> Tensor:
    """``x[index]`` with NumPy's indices; the gradient of an element used twice is a sum."""
    return shape.getitem(x, index=_checked_index(x, index))


def _checked_index(x: Tensor, given: Any) -> Any:
    """The index with tensors of whole numbers as integers; an error where `x` does not have it."""

    def plain(i: Any) -> Any:
        whole = isinstance(i, Tensor) and bool((i._data == np.floor(i._data)).all())
        return np.asarray(i._data, np.int64) if whole else i

    index = tuple(plain(i) for i in given) if isinstance(given, tuple) else plain(given)
    try:
        if builtins.any(isinstance(i, Tensor) for i in (index if isinstance(index, tuple) else (index,))):
            raise TypeError("tensors index with whole numbers only")
        np.broadcast_to(np.bool_(True), x.shape)[index]
    except (IndexError, TypeError, ValueError) as error:
        got = reprlib.repr(given).replace("\n", " ")
        raise IndexingError(expected("index", f"an index into shape {x.shape}", got, str(error).strip())) from None
    return index


# Products ------------------------------------------------------------------------------------------------------------


@register_numpy(np.matmul)
def matmul(x: Numbers, y: Numbers) -> Tensor:
    """``out[..., i, j] = sum_k x[..., i, k] * y[..., k, j]`` by the accumulator, rounded once; batches broadcast."""
    _not_none("matmul", x, y)
    if not isinstance(x, Tensor) and not isinstance(y, Tensor):
        x = _as_operand("matmul", x)
    precision = promote([t.precision for t in (x, y) if isinstance(t, Tensor)])
    x, y = (t if isinstance(t, Tensor) else Tensor(_prepared("matmul", t, precision), precision) for t in (x, y))
    got = f"x.shape={x.shape}, y.shape={y.shape}"
    if x.ndim == 0 or y.ndim == 0:
        raise ShapeError(expected("matmul", "at least one axis", got, "use * to scale"))
    if x.shape[-1] != y.shape[0 if y.ndim == 1 else -2]:
        raise ShapeError(expected("matmul", "inner sizes that agree", got, "transpose one of them"))
    one_row, one_column = x.ndim == 1, y.ndim == 1
    x = unsqueeze(x, 0) if one_row else x
    y = unsqueeze(y, 1) if one_column else y
    try:
        np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    except ValueError:
        remedy = "make the leading sizes equal or 1"
        raise ShapeError(expected("matmul", "batch sizes that broadcast", got, remedy)) from None
    out = linalg.matmul(x, y)
    if one_row:
        out = squeeze(out, -2)
    return squeeze(out, -1) if one_column else out


@register_numpy(np.dot)
def dot(x: Numbers, y: Numbers) -> Tensor:
    """`matmul` of vectors and matrices; beyond two axes `np.dot` means something else."""
    if builtins.max(np.ndim(x), np.ndim(y)) > 2:
        got = f"{np.ndim(x)} and {np.ndim(y)}"
        raise ShapeError(expected("dot", "at most two axes", got, "use matmul, or einsum for np.dot's outer axes"))
    return matmul(x, y)


@register_numpy(np.einsum)
def einsum(equation: str, *operands: Any) -> Tensor:
    """Sums of products over labels, as in NumPy; more than two operands from left to right, each result stored.

    >>> import fpsim as fp
    >>> fp.einsum("ij,j->i", fp.ones(2, 3), fp.ones(3))
    tensor([3., 3.], float32, accumulates in float32)
    """
    xs = [
        _as_operand("einsum", x)
        for x in (operands[0] if len(operands) == 1 and isinstance(operands[0], list | tuple) else operands)
    ]
    of_operands, of_out = _labels(equation, xs)
    diagonals = [_diagonal(x, labels) for x, labels in zip(xs, of_operands, strict=True)]
    xs, of_operands = [x for x, _ in diagonals], [labels for _, labels in diagonals]
    x, of_x = xs[0], of_operands[0]
    for i, (y, of_y) in enumerate(zip(xs[1:], of_operands[1:], strict=True), start=1):
        later = set(of_out).union(*of_operands[i + 1 :])
        kept = "".join(c for c in dict.fromkeys(of_x + of_y) if c in later) if i < len(xs) - 1 else of_out
        x, of_x = linalg.einsum(x, y, labels=(of_x, of_y, kept)), kept
    summed = tuple(i for i, c in enumerate(of_x) if c not in of_out)
    if summed:
        x, of_x = reduce.sum(x, axis=summed, keepdims=False), "".join(c for c in of_x if c in of_out)
    return x if of_x == of_out else shape.transpose(x, axes=tuple(of_x.index(c) for c in of_out))


def _labels(equation: str, xs: Sequence[Tensor]) -> tuple[list[str], str]:
    """The labels of each operand and of the result; an ellipsis becomes labels of its own."""
    if not isinstance(equation, str):
        got = f"equation of type {type(equation).__name__}"
        raise ArgumentTypeError(expected("einsum", "an equation first", got, "write it as text: 'ij,jk->ik'"))
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    of_operands = inputs.split(",")
    got = f"{equation!r} for {', '.join(str(x.shape) for x in xs) or 'no operands'}"
    problem = ShapeError(
        expected("einsum", "one label per axis, equal labels of equal size", got, "check the equation")
    )
    letters = (inputs + output).replace("...", "").replace(",", "")
    if len(of_operands) != len(xs) or (letters and not (letters.isascii() and letters.isalpha())):
        raise problem
    spare = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in equation]
    extra = builtins.max(
        [x.ndim - len(labels.replace("...", "")) for x, labels in zip(xs, of_operands, strict=True)] + [0]
    )
    ellipsis = "".join(spare[:extra])
    of_operands = [
        labels.replace(
            "...", ellipsis[len(ellipsis) - (x.ndim - len(labels.replace("...", ""))) :] if "..." in labels else ""
        )
        for x, labels in zip(xs, of_operands, strict=True)
    ]
    every = "".join(of_operands)
    if not arrow:
        output = ("..." if "..." in inputs else "") + "".join(
            sorted(c for c in set(every) - set(ellipsis) if every.count(c) == 1)
        )
    output = output.replace("...", ellipsis)
    sizes: dict[str, int] = {}
    for x, labels in zip(xs, of_operands, strict=True):
        if len(labels) != x.ndim or builtins.any(
            sizes.setdefault(c, n) != n for c, n in zip(labels, x.shape, strict=True)
        ):
            raise problem
    if not set(output) <= set(every) or len(set(output)) < len(output):
        raise problem
    return of_operands, output


def _diagonal(x: Tensor, labels: str) -> tuple[Tensor, str]:
    """Repeated labels of one operand mean its diagonal."""
    unique = "".join(dict.fromkeys(labels))
    if unique == labels:
        return x, labels
    sizes = dict(zip(labels, x.shape, strict=True))
    grids = np.ix_(*(np.arange(sizes[c]) for c in unique))
    return getitem(x, tuple(grids[unique.index(c)] for c in labels)), unique


# Making tensors ------------------------------------------------------------------------------------------------------


def _made(op: str, values: Any, options: dict[str, Any]) -> Tensor:
    requires_grad = options.pop("requires_grad", False)
    if options.pop("device", None) is not None:
        note_device()
    unknown = set(options) - {"dtype", "accumulate", "precision"}
    if unknown:
        raise ArgumentTypeError(
            expected(op, "dtype, accumulate, precision, requires_grad or device", f"{sorted(unknown)}", "leave it out")
        )
    precision = chosen_precision(op, options.get("dtype"), options.get("accumulate"), options.get("precision"))
    return Tensor(store(values, precision), precision, requires_grad)


def zeros(*sizes: Any, **options: Any) -> Tensor:
    """Zeros; takes ``dtype accumulate precision requires_grad device`` like all that make tensors."""
    return _made("zeros", np.zeros(_sizes("zeros", sizes, least=0)), options)


def ones(*sizes: Any, **options: Any) -> Tensor:
    """Ones."""
    return _made("ones", np.ones(_sizes("ones", sizes, least=0)), options)


def full(size: Any, fill_value: float, **options: Any) -> Tensor:
    """One value everywhere, rounded to the format."""
    _not_none("full", fill_value)
    value = as_array("full", fill_value)
    if value.ndim or value.dtype.kind not in "biuf":
        raise ArgumentTypeError(expected("full", "one number", f"fill_value={fill_value!r}", "use tensor for arrays"))
    return _made("full", np.full(_sizes("full", (size,), least=0), value), options)


def randn(*sizes: Any, rng: np.random.Generator | None = None, **options: Any) -> Tensor:
    """Standard normal numbers, drawn in float64 and rounded: the same numbers in every format."""
    return _made("randn", _generator("randn", rng).normal(size=_sizes("randn", sizes, least=0)), options)


def uniform(
    *sizes: Any, low: float = 0.0, high: float = 1.0, rng: np.random.Generator | None = None, **options: Any
) -> Tensor:
    """Numbers uniform in [low, high), drawn in float64 and rounded."""
    numbers = builtins.all(isinstance(n, int | float | np.number) and np.isfinite(n) for n in (low, high))
    if not (numbers and low <= high):
        got = f"low={low!r}, high={high!r}"
        raise ArgumentError(expected("uniform", "finite numbers low <= high", got, "check the bounds"))
    return _made("uniform", _generator("uniform", rng).uniform(low, high, _sizes("uniform", sizes, least=0)), options)


def _generator(op: str, rng: Any) -> np.random.Generator:
    checked_mode(op, "stochastic", rng, needs_rng=False)
    return current().generator if rng is None else rng


rand = uniform


def arange(*bounds: float, **options: Any) -> Tensor:
    """``np.arange``, rounded to the format."""
    try:
        values = np.arange(*bounds)
    except (TypeError, ValueError, ZeroDivisionError):
        got = ", ".join(map(repr, bounds)) or "nothing"
        raise ArgumentError(
            expected("arange", "start, stop and a step that is not 0", got, "check the numbers")
        ) from None
    return _made("arange", values, options)


@_takes_tensor
def zeros_like(x: Tensor, **options: Any) -> Tensor:
    """Zeros of the same shape and precision."""
    return _made("zeros_like", np.zeros(x.shape), {"precision": x.precision, **options})


@_takes_tensor
def ones_like(x: Tensor, **options: Any) -> Tensor:
    """Ones of the same shape and precision."""
    return _made("ones_like", np.ones(x.shape), {"precision": x.precision, **options})


def from_numpy(array: Any) -> Any:
    """A tensor in the array's own float format; integers and bools stay NumPy arrays, as labels and masks are."""
    array = as_array("from_numpy", array)
    if array.dtype.kind in "cSUOMm":
        raise ArgumentTypeError(expected("from_numpy", "real numbers", f"dtype={array.dtype}", "convert them first"))
    return array.view(IntegerArray) if array.dtype.kind in "biu" else _made("from_numpy", array, {"dtype": array.dtype})


# Comparisons, and the methods of Tensor ------------------------------------------------------------------------------


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
    "dot": dot, "mm": matmul,
    "t": lambda x: permute(x, tuple(reversed(range(x.ndim)))),
    "T": property(lambda x: permute(x, tuple(reversed(range(x.ndim)))), doc="The axes reversed."),
    "__add__": add, "__radd__": _reflected(add), "__iadd__": _in_place(add),
    "__sub__": subtract, "__rsub__": _reflected(subtract), "__isub__": _in_place(subtract),
    "__mul__": multiply, "__rmul__": _reflected(multiply), "__imul__": _in_place(multiply),
    "__truediv__": divide, "__rtruediv__": _reflected(divide), "__itruediv__": _in_place(divide),
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
