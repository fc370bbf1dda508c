"""What happens inside an accumulator: additions that leave a sum as it was, and overflows, counted step by step.

Layer 2. `Counting` sums as any accumulator does, then once more in plain NumPy to look at every step, for observers
that ask for it. The second time gives the same bits; only for ``blas``, whose steps nobody knows, it is sequential.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from fpsim.accumulate import orders
from fpsim.accumulate.accumulator import TILE, Accumulator, _axes, _product_work, parse_order
from fpsim.accumulate.orders import Arithmetic, Terms
from fpsim.accumulate.promoted import Promoted
from fpsim.formats import float16
from fpsim.rounding.flags import OVERFLOW, raised
from fpsim.rounding.kernel import Array
from fpsim.rounding.wide import Wide
from fpsim.rounding.work import run

__all__ = ["Counting", "Tally", "counting"]


@dataclass
class Tally:
    """Steps inside accumulators.

    Attributes
    ----------
    additions, absorbed : int
        Additions ``s + p`` of a nonzero p; those that gave s.
    overflow : int
        Products, terms, sums and elementary steps beyond the format's largest number, out of finite numbers.
    """

    additions: int = 0
    absorbed: int = 0
    overflow: int = 0

    def added(self, s: Array, p: Array, total: Array) -> None:
        """Take note of ``total = s + p``, many at once."""
        adds = p != 0
        self.additions += int(np.count_nonzero(adds))
        self.absorbed += int(np.count_nonzero(adds & (total == s) & np.isfinite(s)))


@dataclass(frozen=True)
class CountingArithmetic(Arithmetic):
    """Single rounded operations, each of which is noted in `tally`."""

    tally: Tally = field(default_factory=Tally)

    def add(self, s: Array, p: Array, index: Array | None = None) -> Array:
        """``round(s + p)``."""
        total = super().add(s, p, index)
        self.tally.added(s, p, total)
        self.note_overflow(total, lambda: run(self.work([self.fmt]), np.add, s, p), s, p)
        return total

    def subtract(self, s: Array, p: Array) -> Array:
        """``round(s - p)``."""
        total = super().subtract(s, p)
        self.note_overflow(total, lambda: run(self.work([self.fmt]), np.subtract, s, p), s, p)
        return total

    def fused(self, s: Array, exact: Wide, index: Array | None) -> Array:
        """``round(s + x * y)``."""
        total = super().fused(s, exact, index)
        self.tally.added(s, exact.hi, total)
        self.note_overflow(total, lambda: run(Wide, np.add, s, exact), s, exact.hi)
        return total

    def adder(self, shape: tuple[int, ...]) -> Callable[[Array, Array, Array | None], None]:
        """A function that does ``s = round(s + p)`` in place."""

        def add(s: Array, p: Array, index: Array | None) -> None:
            s[...] = self.add(s, p, index)

        return add

    def note_overflow(self, rounded: Array, value: Callable[[], Array | Wide], *operands: Array) -> None:
        """Count what overflowed; `value` is only asked for where a result is as large as that."""
        if rounded.size == 0 or np.abs(rounded).max() < self.fmt.max:
            return
        before = value()
        beyond = (raised(before, rounded, self.fmt, self.mode) & OVERFLOW) != 0
        beyond |= ~np.isfinite(before.hi if isinstance(before, Wide) else before)  # even the work type's own range
        for x in operands:
            beyond &= np.isfinite(x)
        self.tally.overflow += int(np.count_nonzero(beyond))


@dataclass(frozen=True)
class Counting(Accumulator):
    """An accumulator that calls `tell` with a `Tally` after every sum, product of matrices and elementary step."""

    tell: Callable[[Tally], None] = lambda tally: None

    def sum(self, x: Any, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Any:
        """``sum_k x_k``."""
        again = self._copy()
        result = super().sum(x, axis, keepdims)
        (x,) = self._arrays("sum", x)
        axes = _axes("sum", axis, x.ndim)
        kept = tuple(i for i in range(x.ndim) if i not in axes)
        length, width = (math.prod(x.shape[i] for i in part) for part in (axes, kept))
        order = self._order("sum", x)
        if order == "exact" or order.startswith("tensor_core"):  # no sum but the last one is a number of the format
            self._tell_of_result(result, x)
        elif "@" in order:
            terms = x.transpose(axes + kept).reshape(length, width)
            again.count_blocks(order, length, (width,), lambda inner, k: inner.count_sum(terms[k], "sequential"))
        else:
            again.count_sum(x.transpose(axes + kept).reshape(length, width), order)
        return result

    def matmul(self, x: Any, y: Any) -> Any:
        """``out[..., i, j] = sum_k x[..., i, k] * y[..., k, j]``."""
        again = self._copy()
        result = super().matmul(x, y)
        x, y = self._arrays("matmul", x, y)
        x, y = x[None, :] if x.ndim == 1 else x, y[:, None] if y.ndim == 1 else y
        order = self._order("matmul", x, y)
        if order == "exact" or order.startswith("tensor_core"):  # no sum but the last one is a number of the format
            self._tell_of_result(result, x, y)
        elif "@" in order:
            shape = (*np.broadcast_shapes(x.shape[:-2], y.shape[:-2]), x.shape[-2], y.shape[-1])

            def part(inner: Counting, k: slice) -> Array:
                return inner.count_matmul(x[..., k], y[..., k, :], "sequential")

            again.count_blocks(order, y.shape[-2], shape, part)
        else:
            again.count_matmul(x, y, order)
        return result

    def spread_taps(self, *arrays_and_sizes: Any) -> None:
        """None: the kernel of convolutions does not count, the product of matrices in its place does."""

    def step(self, operation: np.ufunc, *arrays: Any, into: Array | None = None) -> Array:
        """One elementary step of a longer formula; its operands are looked at afterwards, so none is overwritten."""
        result = super().step(operation, *arrays)
        self._tell_of_result(result, *arrays)
        return result

    def _tell_of_result(self, result: Any, *arrays: Any) -> None:
        """Where there is one rounding only: infinite, NaN, or the largest number where nothing is larger."""
        if np.size(result) == 0 or np.abs(result).max() < self.format.max:
            return
        never = self.saturate or not self.format.has_nan  # (infinite or NaN)
        beyond = np.abs(result) >= self.format.max if never else ~np.isfinite(result)
        if all(np.isfinite(x).all() for x in arrays):
            self.tell(Tally(overflow=int(np.count_nonzero(beyond))))

    def _copy(self) -> Counting:
        """The same with a generator that will draw what this one's draws next."""
        return self if self.rng is None else replace(self, rng=copy.deepcopy(self.rng))

    # Once more, looking ---------------------------------------------------------------------------------------------

    def count_sum(self, x: Array, order: str) -> Array:
        """``sum_k x[k, r]``, counted."""
        a = self._counting_arithmetic()
        length, width = x.shape
        first = np.arange(width, dtype=np.uint64) * np.uint64(2 * length) if self.rounding == "stochastic" else None

        def terms(k: slice) -> Array:
            steps = np.arange(*k.indices(length), dtype=np.uint64)[:, None]
            rounded = a.round(x[k], None if first is None else first + np.uint64(2) * steps)
            a.note_overflow(rounded, lambda: x[k], x[k])
            return rounded

        with np.errstate(all="ignore"):
            out = self._counted(a, order, length, (width,), terms, lambda k: Wide.of(x[k]), first)
        self.tell(a.tally)
        return out

    def count_matmul(self, x: Array, y: Array, order: str) -> Array:
        """Matrix products (..., I, K) @ (..., K, J), counted."""
        a, formats = self._counting_arithmetic(), self._formats(x, y)
        work = _product_work(self.format, formats, x, y, self.rounding)
        batch = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
        (rows, length), columns = x.shape[-2:], y.shape[-1]
        count = math.prod(batch)
        xs = np.broadcast_to(x, (*batch, rows, length)).reshape(count, rows, length)
        ys = np.broadcast_to(y, (*batch, length, columns)).reshape(count, length, columns)
        out = np.zeros((len(xs), rows, columns), self.format.carrier)
        for i, part in _tiles(len(xs), rows, columns):
            left, right = xs[i, part].T, ys[i]  # (K, rows of the part), (K, J)
            first = None
            if self.rounding == "stochastic":
                place = np.arange(rows * columns, dtype=np.uint64).reshape(rows, columns)[part]
                first = (place + np.uint64(i * rows * columns)) * np.uint64(2 * length)

            def terms(k: slice, left: Array = left, right: Array = right, first: Array | None = first) -> Array:
                factors = left[k, :, None], right[k, None, :]
                steps = np.arange(*k.indices(length), dtype=np.uint64)[:, None, None]
                value = run(work, np.multiply, *factors)
                rounded = a.round(value, None if first is None else first + np.uint64(2) * steps)
                a.note_overflow(rounded, lambda: value, *factors)
                return rounded

            def exact(k: int, left: Array = left, right: Array = right) -> Wide:
                return np.multiply(Wide.of(left[k, :, None]), Wide.of(right[k]))  # type: ignore[call-overload]

            with np.errstate(all="ignore"):
                shape = (left.shape[1], columns)
                out[i, part] = self._counted(a, order, length, shape, terms, exact, first)
        self.tell(a.tally)
        return out.reshape(*batch, rows, columns)

    def count_blocks(
        self, order: str, length: int, shape: tuple[int, ...], part: Callable[[Counting, slice], Array]
    ) -> None:
        """Sums of blocks in a format of their own, by the accumulator that counts them, then the sums of these."""
        inner = counting(self._of_blocks(order), self.tell)
        a = self._counting_arithmetic()
        with np.errstate(all="ignore"):
            zeros = np.zeros(shape, self.format.carrier)
            Promoted.parse(order).total(length, zeros, lambda k: part(inner, k), a)
        self.tell(a.tally)

    def _counting_arithmetic(self) -> CountingArithmetic:
        plain = self._arithmetic()
        return CountingArithmetic(plain.fmt, plain.mode, plain.saturate, plain.key)

    def _counted(
        self, a: CountingArithmetic, order: str, length: int, shape: tuple[int, ...], terms: Callable[[slice], Array],
        exact: Callable[[int], Wide], first: Array | None,
    ) -> Array:  # fmt: skip
        order = "sequential" if order == "blas" else order
        if order == "sequential" and not self.fma and _adds_natively(a):
            return _native_sequential(a, length, shape, terms)
        each = Terms(length, shape, lambda k: terms(slice(k, k + 1))[0], exact, first)
        name, block = parse_order(order)
        if name == "pairwise":
            return orders.pairwise(each, a)
        if name == "kahan":
            return orders.kahan(each, a)
        return orders.blocked(each, a, self.fma, block) if block else orders.sequential(each, a, self.fma)


def counting(acc: Accumulator, tell: Callable[[Tally], None]) -> Counting:
    """An accumulator that sums as `acc` does, and tells what happened inside.

    >>> import numpy as np, fpsim as fp
    >>> tallies = []
    >>> float(counting(fp.Accumulator("float16"), tallies.append).sum(np.ones(3000)))
    2048.0
    >>> tallies
    [Tally(additions=3000, absorbed=952, overflow=0)]
    """
    return Counting(**{f.name: getattr(acc, f.name) for f in fields(Accumulator)}, tell=tell)


def _tiles(count: int, rows: int, columns: int) -> Iterator[tuple[int, slice]]:
    """Rows of every product, so many at once that the sums of a tile share the cache."""
    high = max(TILE // max(columns, 1), 1)
    return ((i, slice(start, start + high)) for i in range(count) for start in range(0, rows, high))


def _adds_natively(a: Arithmetic) -> bool:
    """Whether NumPy's own addition rounds as asked: float16's is correctly rounded, too."""
    return a.exact_in_carrier or (a.fmt == float16 and a.mode == "nearest_even" and not a.saturate)


def _native_sequential(
    a: CountingArithmetic, length: int, shape: tuple[int, ...], terms: Callable[[slice], Array]
) -> Array:
    """``s = s + p`` in NumPy's own arithmetic, many steps at once: all partial sums of a stretch, then the next one."""
    dtype: Any = np.float16 if a.fmt == float16 else a.fmt.carrier
    s = np.zeros((1, *shape), dtype)
    steps = max(TILE // max(math.prod(shape), 1), 1)
    for start in range(0, length, steps):
        p = terms(slice(start, min(start + steps, length))).astype(dtype, copy=False)
        sums = np.add.accumulate(np.concatenate([s, p]), axis=0)
        a.tally.added(sums[:-1], p, sums[1:])
        if not np.isfinite(sums[-1]).all():
            beyond = ~np.isfinite(sums[1:]) & np.isfinite(sums[:-1]) & np.isfinite(p)
            a.tally.overflow += int(np.count_nonzero(beyond))
        s = sums[-1:]
    return s[0].astype(a.fmt.carrier, copy=False)
