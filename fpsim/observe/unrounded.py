"""The arithmetic of twins: fpsim's own float64, or NumPy's np.longdouble where that is wider.

Layer 7. Evaluates formulas of `fpsim.ops` and the rules of `fpsim.optim`; knows no tensors.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fpsim.autograd.context import Context
from fpsim.autograd.engine import broadcast_axes, evaluate
from fpsim.autograd.op import Rule
from fpsim.formats import Format, float64
from fpsim.optim.steps import Steps
from fpsim.precision import Precision
from fpsim.rounding.codes import as_array
from fpsim.rounding.kernel import Array, round_to
from fpsim.rounding.wide import Wide

__all__ = ["Arithmetic", "Float64", "LongDouble", "has_longdouble"]


def has_longdouble() -> bool:
    """Whether this platform's np.longdouble holds more than float64."""
    return np.finfo(np.longdouble).nmant > 52


class Arithmetic:
    """How twins are computed."""

    name = ""
    dtype: type = np.float64

    def widened(self, x: Any) -> Any:
        """Stored values in the twin's dtype; what is not floating-point stays."""
        if not isinstance(x, np.ndarray) or x.dtype.kind != "f":
            return x
        return x.astype(self.dtype, copy=False)

    def numbers(self, x: Any) -> Array:
        """What a user gave as data, unrounded."""
        return as_array("shadow", x).astype(self.dtype, copy=False)

    def evaluate(self, rule: Rule, arrays: tuple[Any, ...], metadata: dict[str, Any]) -> Any:
        """The formula's result (and what it saves)."""
        raise NotImplementedError

    def total(self, x: Array, axes: tuple[int, ...]) -> Array:
        """The sum over axes, which stay with size 1."""
        return np.sum(x, axis=axes, keepdims=True)

    def unbroadcast(self, x: Array, shape: tuple[int, ...]) -> Array:
        """Summed over the axes along which an array of `shape` was repeated."""
        axes = broadcast_axes(x.shape, shape)
        return self.total(x, axes).reshape(shape) if axes else x

    def steps(self, fmt: Format) -> Any:
        """The elementary steps of optimizers, for a parameter stored in `fmt`."""
        return Unrounded()


class Float64(Arithmetic):
    """What fpsim itself gives for tensors of float64: a float64 operation's twin has its very bits."""

    name = "float64"
    _precision = Precision(float64)
    _context = Context(_precision)

    def evaluate(self, rule: Rule, arrays: tuple[Any, ...], metadata: dict[str, Any]) -> Any:
        """What the engine computes for float64."""
        formats = [float64] * sum(x is not None for x in arrays)
        mode, metadata = "nearest_even", _unrounded(metadata)
        result = evaluate(rule, arrays, formats, metadata, self._precision, float64, mode, self._context)
        if isinstance(result, tuple):
            return self._rounded(result[0]), result[1]
        return self._rounded(result)

    def _rounded(self, x: Any) -> Array:
        return round_to(x, float64) if isinstance(x, Wide) else np.asarray(x, np.float64)

    def steps(self, fmt: Format) -> Any:
        """Of a float64 parameter its very steps, else float64's plain arithmetic, which is faster."""
        return Steps(self._precision, (float64,)) if fmt == float64 else Unrounded()


class LongDouble(Arithmetic):
    """NumPy's np.longdouble, each step rounded by it; functions that fpsim computes itself are float64's."""

    name = "longdouble"
    dtype = np.longdouble

    def evaluate(self, rule: Rule, arrays: tuple[Any, ...], metadata: dict[str, Any]) -> Any:
        """The formula on arrays of np.longdouble."""
        metadata = _unrounded(metadata)
        options = {**metadata, "acc": Sums()} if rule.takes_accumulator else metadata
        with np.errstate(all="ignore"):
            result = rule.formula(*arrays, **options)
        if isinstance(result, tuple):
            return self._plain(result[0]), result[1]
        return self._plain(result)

    def _plain(self, x: Any) -> Array:
        if isinstance(x, Wide):
            return np.ldexp(x.hi.astype(np.longdouble) + x.lo, x.exponent)
        return np.asarray(x, np.longdouble)


def _unrounded(metadata: dict[str, Any]) -> dict[str, Any]:
    """Metadata that round, as quantised operands do, replaced by such as do not."""
    return {name: getattr(value, "unrounded", value) for name, value in metadata.items()}


class Sums:
    """An accumulator's methods in the dtype of what it is handed."""

    format = float64
    order = None

    def sum(self, x: Array, axis: Any = None, keepdims: bool = False) -> Any:
        """NumPy's sum."""
        return np.sum(x, axis=axis, keepdims=keepdims)

    def matmul(self, x: Array, y: Array) -> Any:
        """NumPy's product."""
        return np.matmul(x, y)

    def step(self, operation: Any, *arrays: Any, into: Array | None = None) -> Array:
        """The operation; the twins' numbers are no array of the formula's own, so nothing is overwritten."""
        return np.asarray(operation(*arrays))

    def round(self, x: Any) -> Array:
        """`x` itself."""
        return np.asarray(x)

    def order_for(self, *arrays: Array) -> str:
        """As BLAS: any order will do."""
        return "blas"


class Unrounded:
    """The elementary steps of optimizers in the dtype of what they are handed, as in `fpsim.optim.steps`."""

    precision = Precision(float64)

    def copy(self, x: Array) -> Array:
        """``x``."""
        return x

    def mul(self, x: Array, factor: float) -> Array:
        """``x * factor``."""
        return x * factor

    def div(self, x: Array, divisor: float) -> Array:
        """``x / divisor``."""
        return x / divisor

    def sqrt(self, x: Array) -> Array:
        """Square root."""
        return np.sqrt(x)

    def add(self, x: Array, y: Array, alpha: float = 1.0) -> Array:
        """``x + alpha * y``."""
        return x + alpha * y

    def add_number(self, x: Array, number: float) -> Array:
        """``x + number``."""
        return x + number

    def lerp(self, x: Array, end: Array, weight: float) -> Array:
        """``x + weight * (end - x)``."""
        return x + weight * (end - x)

    def addcmul(self, x: Array, a: Array, b: Array, value: float) -> Array:
        """``x + value * a * b``."""
        return x + value * a * b

    def addcdiv(self, x: Array, a: Array, b: Array, value: float) -> Array:
        """``x + value * a / b``."""
        return x + value * a / b
