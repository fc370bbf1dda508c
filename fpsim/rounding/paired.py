"""Pairs of float64 numbers: a formula's rounding error beside its value, at some twenty operations a step.

Layer 1. For asking of many elements at once whether float64 is exact; `wide` answers everything, for numbers of any
size, at many times the price.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from fpsim.rounding.kernel import Array
from fpsim.rounding.wide import _fast_two_sum, _two_product, _two_sum

__all__ = ["Paired", "in_safe_range"]

#: Magnitudes within which four factors and their errors neither overflow nor underflow.
SMALLEST, LARGEST = 2.0**-220, 2.0**220


class Paired(NDArrayOperatorsMixin):
    """Arrays of unevaluated sums ``hi + lo``: ``+ - *`` of two float64 numbers exactly, quotients and roots to 2**-105.

    `lo` is zero exactly where one such operation on float64 numbers needed no rounding (Dekker 1971, Knuth's TwoSum).
    Right where all numbers are in the safe range, or zero. Other functions use float64.
    """

    __slots__ = ("hi", "lo")

    def __init__(self, hi: Array, lo: Array | float = 0.0) -> None:
        self.hi, self.lo = hi, lo

    @classmethod
    def of(cls, x: Any) -> Paired:
        """`x` itself: a Paired, or floats."""
        return x if isinstance(x, Paired) else cls(np.asarray(x, np.float64))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array of numbers."""
        return self.hi.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """What a formula sees: float64."""
        return np.dtype(np.float64)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__" or kwargs:
            return NotImplemented
        paired = _PAIRED.get(ufunc)
        with np.errstate(all="ignore"):
            if paired is not None:
                return paired(*(Paired.of(x) for x in inputs))
            result = ufunc(*(x.hi + x.lo if isinstance(x, Paired) else x for x in inputs))
        return result if result.dtype == bool else Paired.of(result)

    def __array_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if func is np.where and not kwargs:
            condition, x, y = args[0], Paired.of(args[1]), Paired.of(args[2])
            return Paired(np.where(condition, x.hi, y.hi), np.where(condition, x.lo, y.lo))
        return NotImplemented


def in_safe_range(x: Array) -> Array:
    """Where numbers are zero, or neither so large nor so small that the error of their product is lost."""
    size = np.abs(x)
    return np.asarray((size == 0) | ((size >= SMALLEST) & (size <= LARGEST)))


def _add(x: Paired, y: Paired) -> Paired:
    s, t = _two_sum(x.hi, y.hi)
    return Paired(*_fast_two_sum(s, t + (x.lo + y.lo)))


def _multiply(x: Paired, y: Paired) -> Paired:
    p, e = _two_product(x.hi, y.hi)
    return Paired(*_fast_two_sum(p, e + (x.hi * y.lo + x.lo * y.hi)))


def _divide(x: Paired, y: Paired) -> Paired:
    q = x.hi / y.hi
    p, e = _two_product(q, y.hi)
    return Paired(*_fast_two_sum(q, (((x.hi - p) - e) + (x.lo - q * y.lo)) / y.hi))


def _sqrt(x: Paired) -> Paired:
    root = np.sqrt(x.hi)
    p, e = _two_product(root, root)
    rest = (((x.hi - p) - e) + x.lo) / (2 * root)
    return Paired(root, np.where(root == 0, 0.0, rest))


_PAIRED: dict[np.ufunc, Callable[..., Paired]] = {
    np.add: _add,
    np.subtract: lambda x, y: _add(x, Paired(-y.hi, -y.lo)),
    np.multiply: _multiply,
    np.divide: _divide,
    np.sqrt: _sqrt,
    np.square: lambda x: _multiply(x, x),
    np.negative: lambda x: Paired(-x.hi, -x.lo),
    np.positive: lambda x: x,
}
