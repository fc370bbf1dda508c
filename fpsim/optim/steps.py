"""The elementary steps of optimizers on arrays, each rounded once, where PyTorch rounds.

Layer 5. An optimizer reads like its algorithm in these steps; they know formats, it does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from fpsim.autograd.context import current
from fpsim.formats import Format, float32, float64
from fpsim.kernels.loading import compiled
from fpsim.kernels.threads import in_parallel, share
from fpsim.kernels.ways import HardwareFused, Way, definition, fused, has_fma
from fpsim.precision import Precision
from fpsim.rounding.codes import draw_key
from fpsim.rounding.kernel import BLOCK, Array, round_to, way_to_nearest
from fpsim.rounding.quiet import quiet
from fpsim.rounding.wide import Wide, _two_product, _two_sum
from fpsim.rounding.work import Work, is_medium, is_small, run, to_work, work_for

__all__ = ["Steps"]

#: A change takes at most two operations and is added by a third: where the sum is at least an eighth of the change,
#: float64 is off by at most 17 units of the sum's last place.
SLACK = 32
#: Numbers and formats within these bounds: no step of float64 overflows or underflows.
LARGEST_EXPONENT, LARGEST_NUMBER = 256, 2.0**300
#: Seconds an element of a fused step takes in NumPy, and a call; other steps by float64; by stochastic rounding.
IN_NUMPY, PER_CALL, IN_NUMPY_BY_FLOAT64, IN_NUMPY_BY_CHANCE = 10e-9, 40e-6, 20e-9, 400e-9
#: Seconds an element takes compiled.
COMPILED, COMPILED_BY_CHANCE = 1e-9, 130e-9


@dataclass(frozen=True)
class Steps:
    """Elementary steps whose results are stored in `precision`; `formats` are those of the arrays that meet in them.

    Hyperparameters are not rounded to the format, but for `alpha` and a number that is added, which PyTorch rounds.
    Where all formats are small (float16, bfloat16, and narrower ones) a step other than `add` is computed in float32,
    its hyperparameters too, as PyTorch does; else every step is computed as if exactly.
    """

    precision: Precision
    formats: tuple[Format, ...]
    rng: np.random.Generator | None = None

    def copy(self, x: Array) -> Array:
        """``x`` in the format."""
        return self._once(lambda x: x, None, (x,))

    def mul(self, x: Array, factor: float) -> Array:
        """``x * factor``."""
        if self._is_native and self._in_format(factor) == factor:  # one operation of the hardware's
            with quiet():
                return x * self.precision.storage.carrier.type(factor)
        if (kernels := self._kernels_in_float32(x.size)) is not None:
            with np.errstate(over="ignore"):
                return self._in_float32(kernels.scaled, x, np.float32(factor))
        return self._once(np.multiply, None, (x,), factor, form=0)

    def div(self, x: Array, divisor: float) -> Array:
        """``x / divisor``."""
        return self._once(np.divide, None, (x,), divisor, form=1)

    def sqrt(self, x: Array) -> Array:
        """Square root."""
        return self._once(np.sqrt, None, (x,), form=2)

    def add(self, x: Array, y: Array, alpha: float = 1.0) -> Array:
        """``x + alpha * y``, fused; alpha is rounded to the format first."""
        if alpha == 1 and self._is_native:
            with quiet():
                return x + y
        alpha = self._in_format(alpha)
        if alpha == 1 and (kernels := self._kernels_in_float32(x.size)) is not None:
            return self._in_float32(kernels.added, x, y)
        if (kernels := self._kernels_to_add(x.size, alpha)) is not None:
            return self._add_compiled(kernels, x, y, alpha)
        return self._in_blocks(lambda place, x, y: self._fused(place, x, y, alpha), x, y)

    def add_number(self, x: Array, number: float) -> Array:
        """``x + number``, the number rounded to the format first."""
        return self.add(x, np.ones_like(x), number)

    def lerp(self, x: Array, end: Array, weight: float) -> Array:
        """``x + weight * (end - x)``; from the nearer end, as PyTorch."""
        if weight >= 0.5:
            x, end, weight = end, x, 1 - weight
        return self._once(lambda end, x, weight: (weight, end - x), x, (end, x), weight, form=0)

    def addcmul(self, x: Array, a: Array, b: Array, value: float) -> Array:
        """``x + value * a * b``."""
        return self._once(lambda a, b, value: (value * a, b), x, (a, b), value, form=1)

    def addcdiv(self, x: Array, a: Array, b: Array, value: float) -> Array:
        """``x + value * a / b``."""
        return self._once(lambda a, b, value: value * a / b, x, (a, b), value, form=2)

    # By compiled kernels ---------------------------------------------------------------------------------------------

    def _kernels_in_float32(self, size: int) -> Any:
        """The compiled kernels, where a sum or product of a small format's numbers is float32's, rounded."""
        p = self.precision
        plain = p.rounding == "nearest_even" and not p.flush_subnormals and p.storage.has_nan
        if not plain or not all(is_small(fmt) for fmt in (p.storage, *self.formats)):
            return None
        return compiled(PER_CALL + size * IN_NUMPY)

    def _in_float32(self, fill: Any, x: Array, other: Any) -> Array:
        """One operation with an array or a number, in float32, rounded: `fill` is the kernel."""
        way = way_to_nearest(np.float32, self.precision.storage, self.precision.saturate)
        flat, out = np.ascontiguousarray(x, np.float32).reshape(-1), np.empty(x.size, np.float32)
        other = np.ascontiguousarray(other).reshape(-1) if np.ndim(other) else other

        def task(start: int, stop: int) -> None:
            fill(way, flat, other, out, start, stop)

        in_parallel(task, share(x.size, x.size * COMPILED, 16))
        return out.reshape(x.shape)

    def _kernels_to_add(self, size: int, alpha: float) -> Any:
        """The compiled kernels, where they can add a multiple of one array to another, and it is worth it."""
        p = self.precision
        if p.flush_subnormals or not p.storage.has_nan:
            return None
        if p.rounding == "stochastic":
            return compiled(PER_CALL + size * IN_NUMPY_BY_CHANCE)
        if p.rounding != "nearest_even":
            return None
        if p.storage == float64 and not p.saturate:
            kernels = compiled(PER_CALL + size * IN_NUMPY)
            return kernels if kernels is not None and has_fma() else None
        # the product exact in float64, and float64's sum, rounded to odd, decides the rounding
        fuses = is_medium(p.storage) and self._fits_float64(alpha)
        return compiled(PER_CALL + size * IN_NUMPY) if fuses else None

    def _add_compiled(self, kernels: Any, x: Array, y: Array, alpha: float) -> Array:
        fmt, saturate = self.precision.storage, self.precision.saturate
        by_chance = self.precision.rounding == "stochastic"
        if by_chance:
            way: Way = definition(fmt, saturate, "stochastic", self._draw_key(), True)
        else:
            way = HardwareFused() if fmt == float64 else fused(fmt, saturate)
        flat = [np.ascontiguousarray(a).reshape(-1) for a in (x, y)]
        out = np.empty(x.size, fmt.carrier)

        def task(start: int, stop: int) -> None:
            kernels.add_scaled(way, *flat, alpha, out, start, stop)

        in_parallel(task, share(x.size, x.size * (COMPILED_BY_CHANCE if by_chance else COMPILED), 16))
        return out.reshape(x.shape)

    def _in_format(self, number: float) -> float:
        # (a cache takes -0 for 0)
        return float(number) if number == 0 else _rounded_number(float(number), self.precision.storage)

    @cached_property
    def _is_native(self) -> bool:
        """Whether the hardware's own operations round as asked."""
        p = self.precision
        plain = p.rounding == "nearest_even" and not (p.saturate or p.flush_subnormals)
        return plain and p.storage in (float32, float64) and all(p.storage.holds(f) for f in self.formats)

    # How they round --------------------------------------------------------------------------------------------------

    def _once(
        self, change: Callable[..., Any], onto: Array | None, arrays: tuple[Array, ...], *numbers: float, form: int = -1
    ) -> Array:
        """``change(*arrays, *numbers)``, added to `onto` if there is one, rounded once; kernels know it by `form`."""
        if form >= 0 and (kernels := self._kernels_for_float32(arrays[0].size, *numbers)) is not None:
            return self._once_compiled(kernels, change, onto, arrays, numbers, form)

        def kernel(place: tuple[int, int], *parts: Array) -> Array:
            base, operands = (None, parts) if onto is None else (parts[0], parts[1:])
            return self._computed(place, change, base, operands, numbers)

        return self._in_blocks(kernel, *arrays if onto is None else (onto, *arrays))

    def _kernels_for_float32(self, size: int, *numbers: float) -> Any:
        """The compiled kernels, where what is stored, and all that meets, is float32 or narrower."""
        p = self.precision
        plain = p.rounding == "nearest_even" and not (p.saturate or p.flush_subnormals)
        if not plain or p.storage != float32 or not self._fits_float64(*numbers):
            return None
        kernels = compiled(PER_CALL + size * IN_NUMPY_BY_FLOAT64)
        return kernels if kernels is not None and has_fma() else None

    def _once_compiled(
        self, kernels: Any, change: Callable[..., Any], onto: Array | None, arrays: tuple[Array, ...],
        numbers: tuple[float, ...], form: int,
    ) -> Array:  # fmt: skip
        given = arrays if onto is None else (onto, *arrays)
        flat = [np.ascontiguousarray(x, np.float32).reshape(-1) for x in given]
        number = float(numbers[0]) if numbers else 1.0
        out, doubtful = np.empty(flat[0].size, np.float32), np.empty(flat[0].size, np.bool_)
        fill = kernels.moved if onto is None else kernels.changed

        def task(start: int, stop: int) -> None:
            fill(form, *flat, number, out, doubtful, start, stop)

        in_parallel(task, share(out.size, out.size * 2 * COMPILED, 16))
        if doubtful.any():
            left = tuple(x[doubtful] for x in flat)
            base, operands = (None, left) if onto is None else (left[0], left[1:])
            with quiet():
                out[doubtful] = self._round((0, 0), _run(Wide, change, base, operands, numbers))
        return out.reshape(arrays[0].shape)

    def _in_blocks(self, kernel: Callable[..., Array], *arrays: Array) -> Array:
        """Block by block, so that every array of a step stays in the cache; a place is (key, index of the first)."""
        key = self._draw_key() if self.precision.rounding == "stochastic" else 0
        flat = [x.reshape(-1) for x in arrays]
        out = np.empty(flat[0].size, self.precision.storage.carrier)
        with quiet():
            for start in range(0, out.size, BLOCK):
                block = slice(start, start + BLOCK)
                out[block] = kernel((key, start), *(x[block] for x in flat))
        return out.reshape(arrays[0].shape)

    def _draw_key(self) -> int:
        return draw_key(current().rounding_generator if self.rng is None else self.rng)

    def _fused(self, place: tuple[int, int], x: Array, y: Array, alpha: float) -> Array:
        """``x + alpha * y`` with one rounding."""
        fmt, mode = self.precision.storage, self.precision.rounding
        if abs(alpha) == 1:
            work = work_for("elementary", fmt, self.formats, mode)
            return self._round(place, run(work, np.add if alpha == 1 else np.subtract, x, y))
        if mode == "nearest_even" and self._fits_float64():
            product = y.astype(np.float64)
            product *= alpha  # exact: two significands of at most 24 bits
            value = x + product
            doubtful = _near_a_tie(value, fmt, slack=0)
            if doubtful.any():
                value[doubtful] = _odd_sum(x[doubtful].astype(np.float64), product[doubtful])
            return self._round(place, value)
        if mode == "nearest_even" and fmt == float64:
            return self._round(place, _fma64(x.astype(np.float64), y.astype(np.float64), alpha))
        return self._round(place, Wide.of(x) + Wide.of(y) * alpha)

    def _computed(
        self, place: tuple[int, int], change: Callable[..., Any], base: Array | None, operands: tuple[Array, ...],
        numbers: tuple[float, ...],
    ) -> Array:  # fmt: skip
        if base is None and all(n == self._in_format(n) for n in numbers):  # one operation on numbers of the format
            work = work_for("elementary", self.precision.storage, self.formats, self.precision.rounding)
            return self._round(place, _run(work, change, base, operands, numbers))
        if self.precision.rounding == "nearest_even":
            if all(is_small(fmt) for fmt in (self.precision.storage, *self.formats)):
                return self._round(place, _run(np.float32, change, base, operands, numbers))
            if self._fits_float64(*numbers):
                return self._by_float64(place, change, base, operands, numbers)
            if self.precision.storage == float64 and base is None:  # one operation, and float64 rounds it
                return self._round(place, _run(np.float64, change, base, operands, numbers))
        return self._round(place, _run(Wide, change, base, operands, numbers))

    def _by_float64(
        self, place: tuple[int, int], change: Callable[..., Any], base: Array | None, operands: tuple[Array, ...],
        numbers: tuple[float, ...],
    ) -> Array:  # fmt: skip
        """Float64 decides, but for the few elements where its own error may: these get twice the bits (Ziv 1991)."""
        moved = _run(np.float64, change, None, operands, numbers)
        value = moved if base is None else base + moved
        rounded = self._round(place, value)
        doubtful = _near_a_tie(value, self.precision.storage, SLACK)
        if base is not None:
            doubtful |= 8 * np.abs(value) < np.abs(moved)
        if doubtful.any():
            base = None if base is None else base[doubtful]
            exact = _run(Wide, change, base, tuple(x[doubtful] for x in operands), numbers)
            rounded = rounded.copy()
            rounded[doubtful] = self._round(place, exact)
        return rounded

    def _fits_float64(self, *numbers: float) -> bool:
        narrow = all(f.p <= 24 and f.emax <= LARGEST_EXPONENT for f in (self.precision.storage, *self.formats))
        return narrow and all(n == 0 or 1 / LARGEST_NUMBER < abs(n) < LARGEST_NUMBER for n in numbers)

    def _round(self, place: tuple[int, int], values: Array | Wide) -> Array:
        key, start = place
        p = self.precision
        index = np.arange(start, start + values.shape[0]) if p.rounding == "stochastic" else None
        return round_to(
            values, p.storage, p.rounding, saturate=p.saturate, flush_subnormals=p.flush_subnormals, key=key,
            index=index,
        )  # fmt: skip


@lru_cache(maxsize=256)
def _rounded_number(number: float, fmt: Format) -> float:
    return float(round_to(np.asarray(number, np.float64), fmt))


def _run(
    work: Work, change: Callable[..., Any], base: Array | None, operands: tuple[Array, ...], numbers: tuple[float, ...]
) -> Any:
    """``base + change(*operands, *numbers)`` in the arithmetic `work`; a change of two factors is their product."""
    moved = change(*(to_work(work, x) for x in (*operands, *(np.asarray(n, np.float64) for n in numbers))))
    if isinstance(moved, tuple):
        left, right = moved
        if work is np.float32 and base is not None:  # there PyTorch fuses it with the sum; float64 holds it exactly
            return (base + np.multiply(left, right, dtype=np.float64)).astype(np.float32)
        moved = left * right
    return moved if base is None else to_work(work, base) + moved


def _near_a_tie(value: Array, fmt: Format, slack: int) -> Array:
    """Where `value` is within `slack` units of its last place of half a unit of the last place kept by `fmt`."""
    dropped = 52 - fmt.significand_bits
    bits: Array = value.view(np.int64) + (slack - (1 << (dropped - 1)))
    bits &= (1 << dropped) - 1
    near: Array = bits <= 2 * slack
    subnormal = np.abs(value) < fmt.smallest_normal  # there rounding drops more bits than that
    if subnormal.any():
        near |= subnormal & (value != 0)
    return near


def _odd_sum(a: Array, b: Array) -> Array:
    """``a + b`` of float64 numbers, rounded to odd: exact, or the one neighbour whose last bit is 1."""
    s, t = _two_sum(a, b)
    inexact = np.abs(t) > 0  # (false where s is infinite or NaN)
    bits = s.view(np.int64)
    bits -= inexact & (np.signbit(t) != np.signbit(s))  # to the neighbour nearer to zero
    bits |= inexact
    return s


def _fma64(x: Array, y: Array, alpha: float) -> Array:
    """``x + alpha * y`` in float64 with one rounding (Boldo and Melquiond 2008, algorithm 5)."""
    high, low = _two_product(y, np.asarray(alpha, np.float64))
    to_x, rest = _two_sum(x, low)
    total, rest_of_total = _two_sum(high, to_x)
    result = total + _odd_sum(rest, rest_of_total)
    np.copyto(result, x + high, where=result == 0)  # which has the sign of a zero
    size = np.maximum(np.abs(high), np.abs(x))
    doubtful = ~(size < LARGEST_NUMBER) | (abs(alpha) > LARGEST_NUMBER) | (np.abs(y) > LARGEST_NUMBER)
    doubtful |= (np.abs(high) < 1 / LARGEST_NUMBER) & (y != 0) & (alpha != 0)  # where `low` underflows
    if doubtful.any():
        result[doubtful] = round_to(Wide.of(x[doubtful]) + Wide.of(y[doubtful]) * alpha, float64)
    return result
