"""What a user calls: PyTorch's and NumPy's arguments, brought into the form that the operations take.

Layer 4. Every function here is also a method of `Tensor` where PyTorch has it so, and answers for NumPy's function of
the same name. No arithmetic: only arguments.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fpsim.autograd.context import current
from fpsim.autograd.engine import _prepared
from fpsim.autograd.integers import IntegerArray
from fpsim.autograd.tensor import Tensor, chosen_precision, note_device, register_numpy, store
from fpsim.errors import ArgumentError, ArgumentTypeError, ShapeError, expected
from fpsim.ops import elementwise, linalg, norm, reduce, shape
from fpsim.precision import promote

Numbers = Any  # a tensor, a number, or an array of numbers


# Arguments -----------------------------------------------------------------------------------------------------------


def _as_operand(op: str, x: Any) -> Any:
    """A tensor as it is; a scalar beside no tensor at all becomes one."""
    if isinstance(x, Tensor):
        return x
    precision = current().default
    return Tensor(store(x, precision), precision)


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


def _one_axis(op: str, x: Any, dim: Any, axis: Any) -> int:
    axes = _axes(op, x, dim, axis)
    if len(axes) != 1 or (dim is None and axis is None):
        raise ArgumentError(expected(op, "one axis", f"dim={dim!r}", "name the axis: dim=1"))
    return axes[0]


def _sizes(op: str, sizes: tuple[Any, ...]) -> tuple[int, ...]:
    """``f(2, 3)`` and ``f((2, 3))`` alike."""
    if len(sizes) == 1 and isinstance(sizes[0], list | tuple):
        sizes = tuple(sizes[0])
    if builtins.any(isinstance(n, bool) or not isinstance(n, int | np.integer) for n in sizes):
        raise ArgumentTypeError(expected(op, "integer sizes", f"{sizes!r}", "convert them with int()"))
    return tuple(int(n) for n in sizes)


def _broadcastable(op: str, *xs: Any) -> None:
    shapes = [np.shape(x) if not isinstance(x, Tensor) else x.shape for x in xs if x is not None]
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        got = ", ".join(map(str, shapes))
        raise ShapeError(expected(op, "shapes that broadcast", got, "reshape one, or make a size 1")) from None


# Arithmetic ----------------------------------------------------------------------------------------------------------


def _binary(op: Any, numpy_function: Any, doc: str) -> Callable[..., Tensor]:
    def function(x: Numbers, y: Numbers) -> Tensor:
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
    _broadcastable("where", condition, x, y)
    if not isinstance(x, Tensor) and not isinstance(y, Tensor):
        x = _as_operand("where", x)
    return elementwise.where(x, y, condition=condition)


@register_numpy(np.clip)
def clip(
    x: Tensor, min: Numbers = None, max: Numbers = None, *, a_min: Numbers = None, a_max: Numbers = None
) -> Tensor:
    """``x`` brought between two bounds, which are rounded to its format first; the derivative at a bound is 1."""
    low, high = min if a_min is None else a_min, max if a_max is None else a_max
    if low is None and high is None:
        raise ArgumentError(expected("clip", "a bound", "min=None and max=None", "give min or max"))
    return elementwise.clip(x, low, high)


clamp = clip


# Reductions ----------------------------------------------------------------------------------------------------------


@register_numpy(np.sum)
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
def mean(
    x: Tensor, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool = False, dtype: Any = None
) -> Tensor:
    """The accumulator's sum divided by the count exactly, rounded once to storage."""
    x = x if dtype is None else x.to(dtype)
    return reduce.mean(x, axis=_axes("mean", x, dim, axis), keepdims=keepdim or keepdims)


def var(
    x: Tensor, dim: Any = None, unbiased: bool = True, keepdim: bool = False, *,
    correction: float | None = None, axis: Any = None, keepdims: bool = False,
) -> Tensor:  # fmt: skip
    """Variance ``sum (x - mean)^2 / (n - correction)``; the correction is 1 as in PyTorch (``np.var``: 0)."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    correction = float(unbiased) if correction is None else correction
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
    return norm.softmax(x, axis=_one_axis("softmax", x, dim, axis))


def log_softmax(x: Tensor, dim: Any = None, *, axis: Any = None, dtype: Any = None) -> Tensor:
    """``x - max - log(sum exp(x - max))`` along one axis, each step rounded to the accumulator's format."""
    x = _as_operand("log_softmax", x) if dtype is None else _as_operand("log_softmax", x).to(dtype)
    return norm.log_softmax(x, axis=_one_axis("log_softmax", x, dim, axis))


# Shapes --------------------------------------------------------------------------------------------------------------


@register_numpy(np.reshape)
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


def flatten(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The axes from `start_dim` to `end_dim` as one."""
    first, last = (_axes("flatten", x, d, None)[0] if x.ndim else 0 for d in (start_dim, end_dim))
    return reshape(x, (*x.shape[:first], -1 if x.size else 0, *x.shape[last + 1 :]))


register_numpy(np.ravel)(lambda x: reshape(x, -1))


@register_numpy(np.squeeze)
def squeeze(x: Tensor, dim: Any = None, *, axis: Any = None) -> Tensor:
    """Without axes of size 1 (all of them, or those named)."""
    named = _axes("squeeze", x, dim, axis)
    return _reshape(x, tuple(n for i, n in enumerate(x.shape) if not (n == 1 and i in named)))


def unsqueeze(x: Tensor, dim: int) -> Tensor:
    """With a new axis of size 1 at `dim`."""
    return _reshape(x, np.expand_dims(np.empty(x.shape, np.bool_), dim).shape)


register_numpy(np.expand_dims)(lambda x, axis: _reshape(x, np.expand_dims(np.empty(x.shape, np.bool_), axis).shape))


def permute(x: Tensor, *dims: Any) -> Tensor:
    """The axes in the order named."""
    axes = _sizes("permute", dims)
    if sorted(i % x.ndim if x.ndim else i for i in axes) != list(range(x.ndim)):
        raise ShapeError(expected("permute", f"each of {x.ndim} axes once", f"dims={axes}", "name them all"))
    return shape.transpose(x, axes=tuple(i % x.ndim for i in axes))


def transpose(x: Tensor, *dims: Any) -> Tensor:
    """Two axes exchanged (``transpose(0, 1)``), or, as in NumPy, all reversed or in the order of a tuple."""
    if len(dims) == 2:
        order = list(range(x.ndim))
        a, b = (_axes("transpose", x, d, None)[0] for d in dims)
        order[a], order[b] = order[b], order[a]
        return permute(x, order)
    return permute(x, tuple(reversed(range(x.ndim))) if not dims or dims[0] is None else dims[0])


register_numpy(np.transpose)(lambda x, axes=None: transpose(x) if axes is None else permute(x, tuple(axes)))
register_numpy(np.swapaxes)(lambda x, axis1, axis2: transpose(x, axis1, axis2))


@register_numpy(np.broadcast_to)
def broadcast_to(x: Tensor, shape_: Any = None, *, shape: Any = None) -> Tensor:
    """Repeated along new axes and axes of size 1."""
    wanted = tuple(shape_ if shape is None else shape)
    try:
        np.broadcast_to(np.empty(x.shape, np.bool_), wanted)
    except ValueError:
        got = f"shape={wanted} for {x.shape}"
        raise ShapeError(expected("broadcast_to", "a shape that x broadcasts to", got, "check the sizes")) from None
    return _broadcast_to(x, wanted)


def _broadcast_to(x: Tensor, wanted: tuple[int, ...]) -> Tensor:
    return shape.broadcast_to(x, shape=wanted)


def expand(x: Tensor, *sizes: Any) -> Tensor:
    """`broadcast_to`, where -1 keeps a size (PyTorch's name)."""
    wanted = _sizes("expand", sizes)
    lead = len(wanted) - x.ndim
    return broadcast_to(x, tuple(x.shape[i - lead] if n == -1 else n for i, n in enumerate(wanted)))


def _joinable(op: str, tensors: Sequence[Any]) -> list[Tensor]:
    xs = list(tensors)
    if not xs or not builtins.any(isinstance(x, Tensor) for x in xs):
        raise ArgumentError(
            expected(op, "a sequence with at least one tensor", f"{len(xs)} others", "pass a list of tensors")
        )
    return xs


@register_numpy(np.concatenate)
def concatenate(tensors: Sequence[Tensor], dim: int = 0, *, axis: int | None = None) -> Tensor:
    """Joined along an axis that exists."""
    xs = _joinable("concatenate", tensors)
    at = dim if axis is None else axis
    shapes = [np.shape(x) if not isinstance(x, Tensor) else x.shape for x in xs]
    ranks = {len(s) for s in shapes}
    others = {s[:at] + s[at % len(s) + 1 :] for s in shapes} if len(ranks) == 1 and 0 not in ranks else {(), (0,)}
    if len(others) > 1:
        got = ", ".join(map(str, shapes))
        raise ShapeError(expected("concatenate", "equal sizes but along the axis", got, "check the shapes"))
    return shape.concatenate(*xs, axis=at % len(shapes[0]))


cat = concatenate


@register_numpy(np.stack)
def stack(tensors: Sequence[Tensor], dim: int = 0, *, axis: int | None = None) -> Tensor:
    """Joined along a new axis."""
    xs = _joinable("stack", tensors)
    shapes = {np.shape(x) if not isinstance(x, Tensor) else x.shape for x in xs}
    if len(shapes) > 1:
        raise ShapeError(expected("stack", "equal shapes", ", ".join(map(str, shapes)), "reshape them first"))
    at = dim if axis is None else axis
    return shape.stack(*xs, axis=at % (len(next(iter(shapes))) + 1))


def pad(x: Tensor, pad: Sequence[int], mode: str = "constant", value: float = 0.0) -> Tensor:
    """Surrounded by a constant; `pad` as in PyTorch: (left, right, top, bottom, ...), the last axis first."""
    if mode != "constant":
        raise ArgumentError(expected("pad", "mode='constant'", f"mode={mode!r}", "pad with a constant"))
    if len(pad) % 2 or len(pad) > 2 * x.ndim or builtins.any(n < 0 for n in pad):
        got = f"pad={tuple(pad)!r} for {x.ndim} axes"
        raise ShapeError(expected("pad", "a non-negative pair for each of the last axes", got, "give left, right, ..."))
    pairs = [(int(pad[i]), int(pad[i + 1])) for i in range(0, len(pad), 2)]
    widths = ((0, 0),) * (x.ndim - len(pairs)) + tuple(reversed(pairs))
    return shape.pad(x, widths=widths, value=float(_prepared(shape.pad, value, x.precision)))


@register_numpy(np.pad)
def _numpy_pad(x: Tensor, pad_width: Any, mode: str = "constant", *, constant_values: float = 0.0) -> Tensor:
    pairs = np.broadcast_to(np.asarray(pad_width), (x.ndim, 2)).tolist()
    return pad(x, [n for pair in reversed(pairs) for n in pair], mode, constant_values)


def getitem(x: Tensor, index: Any) -> Tensor:
    """``x[index]`` with NumPy's indices; the gradient of an element used twice is a sum."""

    def plain(i: Any) -> Any:
        return np.asarray(i._data, np.int64) if isinstance(i, Tensor) else i

    index = tuple(plain(i) for i in index) if isinstance(index, tuple) else plain(index)
    try:
        np.empty(x.shape, np.bool_)[index]
    except IndexError as error:
        raise _NumPyIndexError(expected("index", f"an index into shape {x.shape}", f"{error}", "check it")) from None
    return shape.getitem(x, index=index)


class _NumPyIndexError(ShapeError, IndexError):
    """Out of bounds: an `IndexError` too, so that iteration and `except IndexError` work."""


# Products ------------------------------------------------------------------------------------------------------------


@register_numpy(np.matmul, np.dot)
def matmul(x: Numbers, y: Numbers) -> Tensor:
    """``out[..., i, j] = sum_k x[..., i, k] * y[..., k, j]`` by the accumulator, rounded once; broadcasts like NumPy's."""
    if not isinstance(x, Tensor) and not isinstance(y, Tensor):
        x = _as_operand("matmul", x)
    precision = promote([t.precision for t in (x, y) if isinstance(t, Tensor)])
    x, y = (t if isinstance(t, Tensor) else Tensor(_prepared(linalg.matmul, t, precision), precision) for t in (x, y))
    got = f"x.shape={x.shape}, y.shape={y.shape}"
    if x.ndim == 0 or y.ndim == 0:
        raise ShapeError(expected("matmul", "at least one axis", got, "use * to scale"))
    if x.shape[-1] != y.shape[0 if y.ndim == 1 else -2]:
        raise ShapeError(expected("matmul", "inner sizes that agree", got, "transpose one of them"))
    one_row, one_column = x.ndim == 1, y.ndim == 1
    x = unsqueeze(x, 0) if one_row else x
    y = unsqueeze(y, 1) if one_column else y
    _broadcastable("matmul", np.empty(x.shape[:-2]), np.empty(y.shape[:-2]))
    out = linalg.matmul(x, y)
    if one_row:
        out = squeeze(out, -2)
    return squeeze(out, -1) if one_column else out


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
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    of_operands = inputs.split(",")
    got = f"{equation!r} for shapes {', '.join(str(x.shape) for x in xs)}"
    problem = ShapeError(
        expected("einsum", "one label per axis, equal labels of equal size", got, "check the equation")
    )
    if len(of_operands) != len(xs):
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
    return _made("zeros", np.zeros(_sizes("zeros", sizes)), options)


def ones(*sizes: Any, **options: Any) -> Tensor:
    """Ones."""
    return _made("ones", np.ones(_sizes("ones", sizes)), options)


def full(size: Any, fill_value: float, **options: Any) -> Tensor:
    """One value everywhere, rounded to the format."""
    return _made("full", np.full(_sizes("full", (size,)), fill_value, np.float64), options)


def randn(*sizes: Any, rng: np.random.Generator | None = None, **options: Any) -> Tensor:
    """Standard normal numbers, drawn in float64 and rounded: the same numbers in every format."""
    generator = current().generator if rng is None else rng
    return _made("randn", generator.normal(size=_sizes("randn", sizes)), options)


def uniform(
    *sizes: Any, low: float = 0.0, high: float = 1.0, rng: np.random.Generator | None = None, **options: Any
) -> Tensor:
    """Numbers uniform in [low, high), drawn in float64 and rounded."""
    generator = current().generator if rng is None else rng
    return _made("uniform", generator.uniform(low, high, _sizes("uniform", sizes)), options)


rand = uniform


def arange(*bounds: float, **options: Any) -> Tensor:
    """``np.arange``, rounded to the format."""
    return _made("arange", np.arange(*bounds), options)


def zeros_like(x: Tensor, **options: Any) -> Tensor:
    """Zeros of the same shape and precision."""
    return _made("zeros_like", np.zeros(x.shape), {"precision": x.precision, **options})


def ones_like(x: Tensor, **options: Any) -> Tensor:
    """Ones of the same shape and precision."""
    return _made("ones_like", np.ones(x.shape), {"precision": x.precision, **options})


def from_numpy(array: Any) -> Any:
    """A tensor in the array's own float format; integers and bools stay NumPy arrays, as labels and masks are."""
    array = np.asarray(array)
    return array.view(IntegerArray) if array.dtype.kind in "biu" else _made("from_numpy", array, {"dtype": array.dtype})


# Comparisons, and the methods of Tensor ------------------------------------------------------------------------------


def _compare(function: np.ufunc) -> Callable[[Tensor, Any], Any]:
    def compare(x: Tensor, y: Any) -> Any:
        if y is None or isinstance(y, str):
            return NotImplemented
        if not isinstance(x, Tensor):  # from NumPy, the other way round
            x, y = _prepared_for(y, x), y
        other = y._data if isinstance(y, Tensor) else _prepared_for(x, y)
        return np.asarray(function(x._data if isinstance(x, Tensor) else x, other)).view(IntegerArray)

    register_numpy(function)(compare)
    return compare


def _prepared_for(x: Tensor, scalar: Any) -> Any:
    return _prepared(elementwise.subtract, scalar, x.precision)


def _reflected(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda x, y: function(y, x)


def _in_place(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda x, y: x.change_in_place(function(x, y))


def _setitem(x: Tensor, index: Any, value: Any) -> None:
    changed = x._data.copy()
    changed[index] = value._data if isinstance(value, Tensor) else _prepared_for(x, value)
    x.change_in_place(Tensor(changed, x.precision))


def _iterate(x: Tensor) -> Any:
    return (getitem(x, i) for i in range(len(x)))


METHODS: dict[str, Any] = {
    "type": lambda x, dtype: x.to(dtype),
    **{
        f.__name__: f
        for f in (
            exp, log, sqrt, tanh, sigmoid, relu, gelu, square, clip, sum, mean, var, std, max, min, argmax, softmax,
            log_softmax, reshape, view, view_as, flatten, squeeze, unsqueeze, permute, transpose, broadcast_to, expand,
            matmul, pow, maximum, minimum, abs,
        )
    },  # fmt: skip
    "add": add, "sub": sub, "mul": mul, "div": div, "neg": neg, "clamp": clip, "amax": max, "amin": min, "dot": matmul, "mm": matmul,
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
}  # fmt: skip
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
