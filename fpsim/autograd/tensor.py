"""`Tensor`: values on a storage grid with a `Precision`, and a place in the graph.

Layer 3. Holds and shows; operations register themselves here as methods and under NumPy's functions (`registered`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np

from fpsim.autograd.context import current, stored
from fpsim.autograd.integers import as_integers, integer_type
from fpsim.errors import ArgumentError, ArgumentTypeError, GradientError, ShapeError, expected
from fpsim.formats import Format, float16
from fpsim.precision import Precision
from fpsim.rounding.codes import as_array, as_floats, draw_key
from fpsim.rounding.kernel import Array, round_to
from fpsim.rounding.wide import Wide

if TYPE_CHECKING:
    from fpsim.autograd.engine import Node

__all__ = ["Tensor", "as_tensor", "register_numpy", "store", "tensor"]

#: NumPy function or ufunc -> the function of fpsim that stands for it.
_FOR_NUMPY: dict[Any, Callable[..., Any]] = {}


class Tensor:
    """An array whose every element is a value of its storage format.

    The array itself is never written to, only replaced: tensors, the graph and gradients may share one.

    Made by `fp.tensor` and friends, and by operations. ``x.dtype`` is the storage format, ``x.accumulate`` the
    accumulator's, ``x.precision`` all of it; ``x.grad`` the gradient after ``y.backward()``.
    """

    __slots__ = ("__weakref__", "_data", "_node", "_version", "grad", "master", "precision", "requires_grad")

    #: what observers call a rounding of such a tensor
    role = "activation"

    def __init__(self, data: Array, precision: Precision, requires_grad: bool = False) -> None:
        self._data = data
        self.precision = precision
        self.requires_grad = requires_grad
        self.grad: Tensor | None = None
        #: a wider copy that an optimizer updates in this leaf's place, or None
        self.master: Tensor | None = None
        self._node: Node | None = None
        self._version = 0

    if TYPE_CHECKING:  # what `fpsim.ops.functions` registers

        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __rmatmul__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __lt__(self, other: Any) -> Any: ...
        def __le__(self, other: Any) -> Any: ...
        def __gt__(self, other: Any) -> Any: ...
        def __ge__(self, other: Any) -> Any: ...
        def __getitem__(self, index: Any) -> Tensor: ...
        def __setitem__(self, index: Any, value: Any) -> None: ...
        def __getattr__(self, name: str) -> Any: ...

    # What it is -----------------------------------------------------------------------------------------------------

    @property
    def dtype(self) -> Format:
        """Storage format."""
        return self.precision.storage

    @property
    def accumulate(self) -> Format:
        """Format of the sums into this tensor."""
        return self.precision.accumulate

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return self._data.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._data.ndim

    @property
    def size(self) -> int:
        """Number of elements (a number, as in NumPy)."""
        return self._data.size

    @property
    def nbytes(self) -> int:
        """Bytes that the elements take in the storage format, rounded up."""
        return -(-self.size * self.dtype.bits // 8)

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made it."""
        return self._node is None

    @property
    def data(self) -> Tensor:
        """The same values outside the graph (PyTorch's name); assigning replaces the values, rounded."""
        return self.detach()

    @data.setter
    def data(self, values: Any) -> None:
        self.take(values._data if isinstance(values, Tensor) else values, "data")

    @property
    def device(self) -> str:
        """Always ``"cpu"``: devices are accepted and ignored."""
        return "cpu"

    def dim(self) -> int:
        """Number of axes."""
        return self.ndim

    def numel(self) -> int:
        """Number of elements."""
        return self.size

    def __len__(self) -> int:
        if not self.shape:
            raise ArgumentTypeError(expected("len", "a tensor with axes", "a 0-d tensor", "use item()"))
        return self.shape[0]

    # Out to NumPy and Python ----------------------------------------------------------------------------------------

    def numpy(self, dtype: Any = None) -> Array:
        """The values as an array: np.float16, float32 or float64; other formats in the smaller of float32, float64.

        `dtype` may be an ml_dtypes type for the format's own bits. A copy, so the tensor's grid stays intact.
        """
        if dtype is not None:
            try:
                return self._data.astype(dtype)
            except TypeError:
                got = f"dtype={dtype!r}"
                raise ArgumentTypeError(expected("numpy", "a NumPy or ml_dtypes type", got, "leave it out")) from None
        return self._data.astype(np.float16 if self.dtype == float16 else self._data.dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return self.numpy(dtype)

    def item(self) -> float:
        """The only element, as a Python float."""
        if self.size != 1:
            raise ArgumentError(expected("item", "a tensor of one element", f"shape={self.shape}", "index it first"))
        return float(self._data.reshape(-1)[0])

    def tolist(self) -> Any:
        """Nested lists of Python floats."""
        return self._data.tolist()

    def cpu(self) -> Tensor:
        """The tensor itself: there is one device."""
        return self

    def __float__(self) -> float:
        return self.item()

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        if self.size == 1:
            values: str = repr(self.tolist())
        else:
            values = np.array2string(self._data, separator=", ", prefix="tensor(").replace("\n", "\n ")
        parts = [values, self.dtype.name, f"accumulates in {self.accumulate.name}"]
        if self.requires_grad:
            parts.append("requires_grad=True")
        return f"tensor({', '.join(parts)}){self._overflow_note()}"

    def _overflow_note(self) -> str:
        """Why there are infinities, or NaN where the format has none, in a sentence: for a repr that teaches."""
        fmt, instead = self.dtype, "infinite" if self.dtype.has_inf else "nan"
        count = int((np.isinf if fmt.has_inf else np.isnan)(self._data).sum())
        if not count or self.precision.saturate:
            return ""
        from fpsim.rounding.anatomy import largest, overflow_rule  # exact fractions: only for whoever reads this

        limit = f"{fmt.name} ends at {largest(fmt)}{'' if fmt.has_inf else ', has no inf'}"
        return f"\n# {count} of {self.size} {instead}: {limit}, and {overflow_rule(fmt, self.precision.rounding)}"

    # The graph ------------------------------------------------------------------------------------------------------

    def backward(self, gradient: Any = None, retain_graph: bool = False) -> None:
        """Add the gradient of this tensor with respect to every leaf that requires one to the leaf's `grad`.

        Parameters
        ----------
        gradient : array_like, optional
            Of this tensor; needed unless it has one element.
        retain_graph : bool
            Keep what the operations saved, so that backward can run again.
        """
        from fpsim.autograd.engine import backward

        backward(self, gradient, retain_graph)

    def detach(self) -> Tensor:
        """The same values, cut off from the graph."""
        return stored(Tensor(self._data, self.precision), self, "detach")

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Set `requires_grad` of a leaf, in place."""
        if not requires_grad and not self.is_leaf:
            raise GradientError(expected("requires_grad_", "a leaf", "an operation's result", "use detach()"))
        self.requires_grad = requires_grad
        return self

    def retain_grad(self) -> None:
        """Keep this result's gradient in `grad` at the next backward, as leaves do."""
        if self._node is not None:
            self._node.keeps_gradient = self

    def forget_gradient(self, set_to_none: bool = True) -> None:
        """Drop the gradient, and a master's; without `set_to_none` it becomes zeros."""
        if self.master is not None:
            self.master.grad = None
        if set_to_none:
            self.grad = None
        elif self.grad is not None:
            self.grad = Tensor(np.zeros_like(self.grad._data), self.grad.precision)

    def replace_values(self, data: Array) -> None:
        """Take other values, already on the grid, and count the change: a graph made before becomes an error."""
        if data.shape != self.shape:
            got = f"shape={data.shape}"
            raise ShapeError(expected("assignment", f"values of shape {self.shape}", got, "make a new tensor instead"))
        self._data = data
        self._version += 1

    def take(self, values: Any, op: str) -> None:
        """Take other values, rounded once; a master takes them in its own format. `op` is what observers are told."""
        self.replace_values(store(values, self.precision))
        stored(self, values, op)
        self._take_along_master(values)

    def _take_along_master(self, values: Any) -> None:
        """Let the master take the values too, unless it stands for them already: a checkpoint is read in any order."""
        if self.master is not None:
            fmt, given = self.dtype, values._data if isinstance(values, Tensor) else np.asarray(values)
            same = np.array_equal(round_to(self.master._data, fmt), given, equal_nan=True)
            if not same:
                self.master.replace_values(store(given, self.master.precision))
                stored(self.master, values, op="cast")

    def change_in_place(self, result: Tensor) -> Tensor:
        """What ``x += y`` does: the leaf takes the values of `result`, under `no_grad` only."""
        if not self.is_leaf or (self.requires_grad and current().grad_enabled):
            got = "an operation's result" if not self.is_leaf else "a leaf that requires a gradient"
            raise GradientError(
                expected("in-place change", "a leaf under no_grad", got, "write x = x + y, or use `with fp.no_grad():`")
            )
        self.replace_values(store(result._data, self.precision))
        stored(self, result, "cast")
        self._take_along_master(result)
        return self

    def clone(self) -> Tensor:
        """A tensor of its own with the same values, recorded as an operation."""
        return self.to(self.precision, copy=True)

    # Precision ------------------------------------------------------------------------------------------------------

    def to(self, *args: Any, dtype: Any = None, precision: Any = None, copy: bool = False, **ignored: Any) -> Tensor:
        """The values rounded once to another precision; the tensor itself where it has it already.

        Takes a format, ``"storage/accumulate"``, a `Precision`, or PyTorch's device arguments, which are ignored. A
        format alone means: accumulated in the format too.
        """
        from fpsim.autograd.engine import cast

        target = precision if precision is not None else dtype
        for like in args:
            if isinstance(like, Tensor):
                target = like.precision
            elif is_device(like):
                note_device()
            elif not isinstance(like, bool) and like is not None:
                target = like
        if "device" in ignored:
            note_device()
        if target is None:
            return self
        if (integers := integer_type(target)) is not None:
            return as_integers("to", self._data, integers)  # type: ignore[return-value]  # labels
        wanted = Precision.parse(target)
        return self if wanted == self.precision and not copy else cast(self, wanted)

    def half(self) -> Tensor:
        """``to("float16")``."""
        return self.to("float16")

    def float(self) -> Tensor:
        """``to("float32")``."""
        return self.to("float32")

    def double(self) -> Tensor:
        """``to("float64")``."""
        return self.to("float64")

    def long(self) -> Any:
        """The whole parts as an int64 array: labels and indices are no tensors."""
        return self.to(np.int64)

    def bfloat16(self) -> Tensor:
        """``to("bfloat16")``."""
        return self.to("bfloat16")

    # NumPy's functions ----------------------------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        function = _FOR_NUMPY.get(ufunc)
        if method == "__call__" and function is not None:
            if not kwargs:
                return function(*inputs)
            raise _unsupported(f"np.{ufunc.__name__}", f"{', '.join(kwargs)}=", "call it without")
        raise _unsupported(f"np.{ufunc.__name__}", "a tensor", "use x.numpy() to leave the emulation")

    def __array_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        function = _FOR_NUMPY.get(func)
        if function is None:
            raise _unsupported(f"np.{func.__name__}", "a tensor", "use x.numpy() to leave the emulation")
        unknown = kwargs.keys() - signature(function).parameters.keys() if kwargs else ()
        if unknown:
            raise _unsupported(f"np.{func.__name__}", f"{', '.join(sorted(unknown))}=", "call it without")
        return function(*args, **kwargs)


def _unsupported(name: str, got: str, remedy: str) -> ArgumentTypeError:
    return ArgumentTypeError(expected(name, "what fpsim emulates", got, remedy))


def register_numpy(*functions: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let the decorated function answer for NumPy's on tensors."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for numpy_function in functions:
            _FOR_NUMPY[numpy_function] = function
        return function

    return register


def round_into(precision: Precision, values: Array | Wide, out: Array | None = None) -> Array:
    """Round once to the storage format of `precision`, as it says; stochastic rounding draws from the context.

    `out` may be `values` itself, where nobody else has them.
    """
    return round_to(
        values,
        precision.storage,
        precision.rounding,
        saturate=precision.saturate,
        flush_subnormals=precision.flush_subnormals,
        key=draw_key(current().rounding_generator) if precision.rounding == "stochastic" else 0,
        out=out,
    )


def store(values: Any, precision: Precision, op: str = "tensor") -> Array:
    """`values` rounded to nearest (or as the precision says) into its storage format; always a new array."""
    values = as_array(op, values)
    data = round_into(precision, as_floats(op, values))
    return data.copy() if np.may_share_memory(data, values) else data


def chosen_precision(op: str, dtype: Any, accumulate: Any, precision: Any) -> Precision:
    """The precision that the arguments of a constructor ask for; the context's default where none is given."""
    if precision is not None:
        if dtype is not None or accumulate is not None:
            got = f"precision={str(precision)!r} and dtype={dtype!r}, accumulate={accumulate!r}"
            raise ArgumentError(expected(op, "precision or dtype and accumulate", got, "give one of the two"))
        return Precision.parse(precision)
    if dtype is None:
        default = current().default
        return default if accumulate is None else Precision(default.storage, accumulate)
    if isinstance(dtype, Precision) and accumulate is None:
        return dtype
    return Precision(dtype, accumulate)


def tensor(
    data: Any,
    dtype: Any = None,
    accumulate: Any = None,
    requires_grad: bool = False,
    *,
    precision: Any = None,
    device: Any = None,
) -> Tensor:
    """A tensor of `data`, each element rounded once to the storage format.

    Parameters
    ----------
    data : array_like
    dtype : format, optional
        Storage; the default precision's (float32/float32) unless given, whatever the data's own dtype. An integer type
        (``fp.long``, ``np.int64``) gives an array of labels instead of a tensor.
    accumulate : format, optional
        Of sums into the tensor; the storage format unless given.
    precision : Precision or str, optional
        Both at once: ``"float16/float32"``.
    device
        Ignored, with one note.

    Examples
    --------
    >>> import fpsim as fp
    >>> fp.tensor(0.1, dtype="float16")
    tensor(0.0999755859375, float16, accumulates in float16)
    >>> fp.tensor(70000.0, dtype="float16")
    tensor(inf, float16, accumulates in float16)
    # 1 of 1 infinite: float16 ends at 65504, and from 65520 on rounds to inf
    """
    if device is not None:
        note_device()
    if (integers := integer_type(dtype)) is not None:
        given = data._data if isinstance(data, Tensor) else data
        return as_integers("tensor", given, integers)  # type: ignore[return-value]  # labels
    chosen = chosen_precision("tensor", dtype, accumulate, precision)
    source = data
    if isinstance(data, Tensor):
        data = data._data
    elif isinstance(data, list | tuple):
        source = data = [x._data if isinstance(x, Tensor) else x for x in data]
    return stored(Tensor(store(data, chosen), chosen, requires_grad), source, "tensor")


def as_tensor(data: Any, dtype: Any = None, *, precision: Any = None, device: Any = None) -> Tensor:
    """`data` itself if it is a tensor of the precision asked for, else a tensor of it."""
    if isinstance(data, Tensor):
        return data if dtype is precision is None else data.to(dtype=dtype, precision=precision)
    return tensor(data, dtype, precision=precision, device=device)


def is_device(like: Any) -> bool:
    """Whether an argument names one of PyTorch's devices."""
    return isinstance(like, Device) or (
        isinstance(like, str) and like.split(":")[0] in ("cpu", "cuda", "mps", "meta", "xpu")
    )


class Device(str):
    """What ``fp.device("cuda")`` gives: a name that everything accepts and ignores."""

    __slots__ = ()

    @property
    def type(self) -> str:
        """``"cuda"`` of ``"cuda:0"``."""
        return self.split(":")[0]


_NOTED: list[str] = []


def note_device() -> None:
    """Say once that devices are ignored."""
    if not _NOTED:
        import sys

        _NOTED.append("device")
        print("fpsim: devices are accepted and ignored; everything is emulated on the CPU.", file=sys.stderr)
