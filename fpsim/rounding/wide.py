"""Numbers held more exactly than float64: for rounding modes that must see what float64 leaves out.

Layer 1. A formula written for arrays runs on `Wide` unchanged. It does not round to formats; `kernel` does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

from fpsim.rounding.quiet import quiet

__all__ = ["Wide"]

Array = NDArray[Any]

#: The exponent of zero: below every other, so that zero never decides an alignment.
ZERO_EXPONENT = -1_000_000
#: Alignment stops here: a number 2**-300 below another still shows its sign, and no subnormal number interferes.
FARTHEST = -300


class Wide(NDArrayOperatorsMixin):
    """Arrays of numbers ``(hi + lo) * 2**exponent``, with hi in [0.5, 1) in magnitude, 0, infinite or NaN.

    One ``+ - * /`` or square root of float64 numbers leaves out at most what `lo` holds with its right sign: sums and
    products are exact (Dekker 1971, Knuth's TwoSum), quotients and roots correct to some 2**-105. Longer formulas
    keep about twice float64's precision. Neither overflow nor underflow exists here. Other functions use float64.

    `cancelled` marks sums that are exactly zero though their terms have opposite signs: IEEE 754 gives them the sign
    of the rounding mode.
    """

    __slots__ = ("cancelled", "exponent", "hi", "lo")

    def __init__(self, hi: Array, lo: Array | float, exponent: Array | int, cancelled: Array | None = None) -> None:
        self.hi, shift = np.frexp(hi)
        finite = np.isfinite(self.hi)
        self.lo: Array = np.where(finite & (self.hi != 0), np.ldexp(lo, -shift), 0.0)
        self.exponent: Array = np.where(self.hi == 0, ZERO_EXPONENT, np.where(finite, exponent + shift, 0))
        self.cancelled = cancelled

    @classmethod
    def of(cls, x: Any) -> Wide:
        """`x` itself: a Wide, floats of any width, or integers that float64 holds."""
        if isinstance(x, Wide):
            return x
        x = np.asarray(x)
        if x.dtype.kind == "f" and x.dtype.itemsize > 8:  # np.longdouble: more bits and a larger exponent range
            significand, exponent = np.frexp(x)
            hi = significand.astype(np.float64)
            with np.errstate(invalid="ignore"):
                return cls(hi, np.where(np.isfinite(hi), significand - hi, 0.0).astype(np.float64), exponent)
        return cls(x.astype(np.float64), 0.0, 0)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array of numbers."""
        return self.hi.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """What a formula sees: float64."""
        return np.dtype(np.float64)

    def reshape(self, *shape: Any) -> Wide:
        """In another shape."""
        return Wide(*(part.reshape(*shape) for part in (self.hi, self.lo, self.exponent)))

    def value(self) -> Array:
        """The nearest float64 (to one rounding of the last place)."""
        return np.ldexp(self.hi + self.lo, self.exponent)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__" or kwargs:
            return NotImplemented
        exact = _EXACT.get(ufunc)
        with quiet():
            if exact is not None:
                return exact(*(Wide.of(x) for x in inputs))
            result = ufunc(*(x.value() if isinstance(x, Wide) else x for x in inputs))
        return result if result.dtype == bool else Wide.of(result)

    def __array_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if func is np.where and not kwargs:
            condition, x, y = args[0], Wide.of(args[1]), Wide.of(args[2])
            choose = [np.where(condition, getattr(x, part), getattr(y, part)) for part in ("hi", "lo", "exponent")]
            return Wide(*choose)
        if func is np.broadcast_to:
            shape = args[1]
            return Wide(*(np.broadcast_to(getattr(self, part), shape) for part in ("hi", "lo", "exponent")))
        return NotImplemented


def _two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    s = a + b
    part = s - a
    return s, (a - (s - part)) + (b - part)


def _split(a: Array) -> tuple[Array, Array]:
    c = a * 134217729.0  # 2**27 + 1: Veltkamp's splitting
    high = c - (c - a)
    return high, a - high


def _two_product(a: Array, b: Array) -> tuple[Array, Array]:
    p = a * b
    (a1, a2), (b1, b2) = _split(a), _split(b)
    return p, ((a1 * b1 - p) + a1 * b2 + a2 * b1) + a2 * b2


def _fast_two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    s = a + b
    return s, b - (s - a)


def _add(x: Wide, y: Wide) -> Wide:
    exponent = np.maximum(x.exponent, y.exponent)
    to_x, to_y = (np.maximum(n.exponent - exponent, FARTHEST) for n in (x, y))
    s, t = _two_sum(np.ldexp(x.hi, to_x), np.ldexp(y.hi, to_y))
    t = np.where(np.isfinite(s), t, 0.0) + (np.ldexp(x.lo, to_x) + np.ldexp(y.lo, to_y))
    hi, lo = _fast_two_sum(s, t)
    hi = np.where(t == 0, s, hi)  # keeps -0
    cancelled = (hi == 0) & (np.signbit(x.hi) != np.signbit(y.hi))
    return Wide(hi, lo, exponent, cancelled)


def _subtract(x: Wide, y: Wide) -> Wide:
    return _add(x, _negative(y))


def _multiply(x: Wide, y: Wide) -> Wide:
    p, e = _two_product(x.hi, y.hi)
    e = e + (x.hi * y.lo + x.lo * y.hi)
    hi, lo = _fast_two_sum(p, np.where(np.isfinite(p), e, 0.0))
    return Wide(np.where(p == 0, p, hi), lo, x.exponent + y.exponent)


def _divide(x: Wide, y: Wide) -> Wide:
    q = x.hi / y.hi
    p, e = _two_product(q, y.hi)
    rest = (((x.hi - p) - e) + (x.lo - q * y.lo)) / y.hi
    hi, lo = _fast_two_sum(q, np.where(np.isfinite(rest), rest, 0.0))
    plain = (q == 0) | ~np.isfinite(q) | np.isinf(y.hi)
    return Wide(np.where(plain, q, hi), lo, x.exponent - y.exponent)


def _sqrt(x: Wide) -> Wide:
    odd = x.exponent % 2
    hi, lo = np.ldexp(x.hi, -odd), np.ldexp(x.lo, -odd)
    root = np.sqrt(hi)
    p, e = _two_product(root, root)
    rest = (((hi - p) - e) + lo) / (2 * root)
    new_hi, new_lo = _fast_two_sum(root, np.where(np.isfinite(rest), rest, 0.0))
    plain = (root == 0) | ~np.isfinite(root)
    return Wide(np.where(plain, root, new_hi), new_lo, (x.exponent + odd) // 2)


def _negative(x: Wide) -> Wide:
    return Wide(-x.hi, -x.lo, x.exponent)


def _absolute(x: Wide) -> Wide:
    negative = np.signbit(x.hi)
    return Wide(np.abs(x.hi), np.where(negative, -x.lo, x.lo), x.exponent)


_EXACT: dict[np.ufunc, Callable[..., Wide]] = {
    np.add: _add,
    np.subtract: _subtract,
    np.multiply: _multiply,
    np.divide: _divide,
    np.sqrt: _sqrt,
    np.square: lambda x: _multiply(x, x),
    np.negative: _negative,
    np.absolute: _absolute,
    np.positive: lambda x: x,
}
