"""The elementary steps of optimizers on arrays, rounded where PyTorch rounds: once, at the end of each.

Layer 5. An optimizer reads like its algorithm in these steps; they know formats, it does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fpsim.autograd.context import current
from fpsim.formats import Format, float32, float64
from fpsim.rounding.codes import draw_key
from fpsim.rounding.kernel import BLOCK, Array, round_to
from fpsim.rounding.wide import Wide
from fpsim.rounding.work import is_medium

__all__ = ["Steps"]

#: A formula of up to four float64 operations is off by less than this many units of float64's last place.
SLACK = 8


@dataclass(frozen=True)
class Steps:
    """Elementary steps whose results are values of one format.

    Hyperparameters are not rounded, but for the `alpha` of `add` and a number added: as in PyTorch these are rounded
    to the format first.
    """

    fmt: Format
    mode: str = "nearest_even"
    rng: np.random.Generator | None = None

    def rounding(self, mode: str | None, rng: np.random.Generator | None) -> Steps:
        """The same with another mode (None: nearest even)."""
        return replace(self, mode=mode or "nearest_even", rng=rng)

    def copy(self, x: Array) -> Array:
        """``x`` in the format."""
        return self._once(lambda x: x, x)

    def mul(self, x: Array, factor: float) -> Array:
        """``x * factor``."""
        return self._once(lambda x: x * factor, x)

    def div(self, x: Array, divisor: float) -> Array:
        """``x / divisor``."""
        return self._once(lambda x: x / divisor, x)

    def sqrt(self, x: Array) -> Array:
        """Square root."""
        return self._once(np.sqrt, x)

    def add(self, x: Array, y: Array, alpha: float = 1.0) -> Array:
        """``x + alpha * y``, fused: alpha is rounded to the format first."""
        alpha = self._hyper(alpha)
        if alpha == 1:
            return self._once(lambda x, y: x + y, x, y)
        if self.fmt == float64 and self.mode == "nearest_even":
            return _fma64(x, y, alpha)
        return self._once(lambda x, y: x + alpha * y, x, y)

    def add_number(self, x: Array, number: float) -> Array:
        """``x + number``, the number rounded to the format first."""
        number = self._hyper(number)
        return self._once(lambda x: x + number, x)

    def lerp(self, x: Array, end: Array, weight: float) -> Array:
        """``x + weight * (end - x)``."""
        return self._once(lambda x, end: x + weight * (end - x), x, end)

    def addcmul(self, x: Array, a: Array, b: Array, value: float) -> Array:
        """``x + value * a * b``."""
        return self._once(lambda x, a, b: x + value * a * b, x, a, b)

    def addcdiv(self, x: Array, a: Array, b: Array, value: float) -> Array:
        """``x + value * a / b``."""
        return self._once(lambda x, a, b: x + value * a / b, x, a, b)

    def _hyper(self, number: float) -> float:
        return float(round_to(np.asarray(number, np.float64), self.fmt))

    def _once(self, formula: Callable[..., Any], *arrays: Array) -> Array:
        """The formula as if exact, rounded once.

        Float64 decides, but for the few elements that it leaves within its own error of a tie of the format: those
        are computed again with twice the bits.
        """
        if self.mode == "nearest_even" and is_medium(self.fmt):
            return self._in_blocks(lambda *parts: self._by_float64(formula, *parts), arrays)
        if self.mode == "nearest_even" and self.fmt == float64 and len(arrays) == 1:
            with np.errstate(all="ignore"):  # one operation: float64's own rounding is the one
                return np.asarray(formula(arrays[0].astype(np.float64)))
        key = 0
        if self.mode == "stochastic":
            key = draw_key(current().rounding_generator if self.rng is None else self.rng)
        exact = formula(*(Wide.of(x) for x in arrays))
        return round_to(exact, self.fmt, self.mode, key=key)

    def _in_blocks(self, kernel: Callable[..., Array], arrays: tuple[Array, ...]) -> Array:
        shape = arrays[0].shape
        if arrays[0].size <= BLOCK:
            return kernel(*arrays)
        flat = [x.reshape(-1) for x in arrays]
        out = np.empty(flat[0].size, self.fmt.carrier)
        for start in range(0, out.size, BLOCK):
            out[start : start + BLOCK] = kernel(*(x[start : start + BLOCK] for x in flat))
        return out.reshape(shape)

    def _by_float64(self, formula: Callable[..., Any], *arrays: Array) -> Array:
        with np.errstate(all="ignore"):
            value = np.asarray(formula(*(x.astype(np.float64) for x in arrays)))
            rounded = value.astype(np.float32) if self.fmt == float32 else round_to(value, self.fmt)
            doubtful = self._near_a_tie(value)
        if doubtful.any():
            rounded = rounded.copy()
            exact = formula(*(Wide.of(x[doubtful]) for x in arrays))
            rounded[doubtful] = round_to(exact, self.fmt)
        return rounded

    def _near_a_tie(self, value: Array) -> Array:
        """Where float64's error may decide: the bits that rounding drops are half of the last kept one, or nearly."""
        dropped = 52 - self.fmt.significand_bits
        bits = value.view(np.int64)
        tail = bits & ((1 << dropped) - 1)
        tail -= (1 << (dropped - 1)) - SLACK
        near = tail.view(np.uint64) <= np.uint64(2 * SLACK)
        # subnormal results drop more bits than that; there are few
        tiny = np.abs(value) < self.fmt.smallest_normal
        if tiny.any():
            near |= tiny & (value != 0) & (round_to(value, self.fmt) != value)
        return near


def _fma64(x: Array, y: Array, alpha: float) -> Array:
    """``x + alpha * y`` in float64 with one rounding (after Boldo and Melquiond 2008), block by block."""
    flat_x, flat_y = (a.reshape(-1).astype(np.float64, copy=False) for a in (x, y))
    out = np.empty(flat_x.size)
    with np.errstate(all="ignore"):
        for start in range(0, out.size, BLOCK // 2):
            block = slice(start, start + BLOCK // 2)
            out[block] = _fma64_block(flat_x[block], flat_y[block], alpha)
    return out.reshape(x.shape)


def _fma64_block(x: Array, y: Array, alpha: float) -> Array:
    product, low = _two_product(y, alpha)
    s, t = _two_sum(x, product)
    u, v = _two_sum(t, low)
    r = s + u
    w = u - (r - s)
    # exact is r + w + v: r is right unless w and v together reach half an ulp of r
    bound = np.spacing(np.abs(r)) * 0.25  # a quarter: below a power of two the ulp halves
    sure = np.abs(w) + np.abs(v) < bound
    sure |= (v == 0) & np.isfinite(w)
    sure &= (np.abs(product) > 2.0**-900) | (y == 0)
    sure |= ~np.isfinite(x) | ~np.isfinite(y)
    r = np.where(np.isfinite(x) & np.isfinite(y) & np.isfinite(r), r, x + alpha * y)
    if not sure.all():
        doubtful = ~sure
        r[doubtful] = round_to(Wide.of(x[doubtful]) + Wide.of(y[doubtful]) * alpha, float64)
    return r


def _two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    s = a + b
    part = s - a
    return s, (a - (s - part)) + (b - part)


def _two_product(a: Array, b: float) -> tuple[Array, Array]:
    p = a * b
    c = a * 134217729.0
    a1 = c - (c - a)
    a2 = a - a1
    d = b * 134217729.0
    b1 = d - (d - b)
    b2 = b - b1
    return p, ((a1 * b1 - p) + a1 * b2 + a2 * b1) + a2 * b2
