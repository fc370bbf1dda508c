"""Moving elements: reshape, transpose, join, pad, index.

Layer 4. No arithmetic here, only arguments.
"""

from __future__ import annotations

import builtins
import reprlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from fpsim.autograd.engine import _prepared
from fpsim.autograd.tensor import Tensor, register_numpy
from fpsim.errors import ArgumentError, ArgumentTypeError, IndexingError, ShapeError, expected
from fpsim.ops import shape
from fpsim.ops.functions.arguments import _axes, _place, _shape, _sizes, _takes_tensor
from fpsim.rounding.codes import as_array


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
