"""The loops behind the orders of accumulation, in NumPy: the definition that every faster kernel must equal.

Layer 2. An `Arithmetic` does single rounded steps on arrays of independent accumulators; an order is a loop over
them. Nothing here knows axes, batches or tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fpsim.formats import Format, float32, float64
from fpsim.rounding.kernel import Array, _by_magic, _fast_kernel, round_to
from fpsim.rounding.wide import Wide
from fpsim.rounding.work import Work, run, work_for

__all__ = ["Arithmetic", "Terms", "blocked", "kahan", "pairwise", "sequential"]


@dataclass(frozen=True)
class Arithmetic:
    """Single operations, each rounded once to the accumulator's format.

    Parameters
    ----------
    fmt, mode, saturate
        Of the accumulator.
    key : int
        Of stochastic rounding: drawn once for the whole reduction.
    bounded : bool
        The caller has shown that no sum and no product can overflow.
    """

    fmt: Format
    mode: str
    saturate: bool = False
    key: int = 0
    bounded: bool = False

    @property
    def exact_in_carrier(self) -> bool:
        """Whether the carrier's own operations already round as asked."""
        return self.fmt in (float32, float64) and self.mode == "nearest_even" and not self.saturate

    def work(self, formats: list[Format]) -> Work:
        """The arithmetic in which one elementary operation on such inputs may run."""
        return work_for("elementary", self.fmt, formats, self.mode)

    def round(self, x: Array | Wide, index: Array | None = None, out: Array | None = None) -> Array:
        """`x` rounded to the accumulator's format, in its carrier."""
        return round_to(x, self.fmt, self.mode, saturate=self.saturate, key=self.key, index=index, out=out)

    def add(self, s: Array, p: Array, index: Array | None = None) -> Array:
        """``round(s + p)`` for numbers of the format."""
        total = self.round(run(self.work([self.fmt]), np.add, s, p), index)
        # under `down` IEEE 754 makes +0 + -0 negative; a sum that starts at +0 here stays +0
        return np.where(p == 0, s, total) if self.mode == "down" else total

    def fused(self, s: Array, exact: Wide, index: Array | None) -> Array:
        """``round(s + x * y)`` for the exact product of two numbers."""
        total = self.round(run(Wide, np.add, s, exact), index)
        return np.where(exact.hi == 0, s, total) if self.mode == "down" else total

    def subtract(self, s: Array, p: Array) -> Array:
        """``round(s - p)`` for numbers of the format."""
        return self.round(run(self.work([self.fmt]), np.subtract, s, p))

    def adder(self, shape: tuple[int, ...]) -> Callable[[Array, Array, Array | None], None]:
        """A function that does ``s = round(s + p)`` in place, again and again, on arrays of this shape."""
        dtype = self.fmt.carrier
        if self.exact_in_carrier:

            def add_natively(s: Array, p: Array, index: Array | None) -> None:
                np.add(s, p, out=s)

            return add_natively
        work = self.work([self.fmt])
        if self.bounded and self.mode == "nearest_even" and _fast_kernel(dtype, self.fmt) is _by_magic:
            round_in_place = self.rounder(shape, of_sums=True)

            def add(s: Array, p: Array, index: Array | None) -> None:
                np.add(s, p, out=s)
                round_in_place(s)

            return add

        if work is dtype.type and self.mode == "nearest_even":

            def add_in_place(s: Array, p: Array, index: Array | None) -> None:
                np.add(s, p, out=s)
                self.round(s, out=s)

            return add_in_place

        def add_generally(s: Array, p: Array, index: Array | None) -> None:
            s[...] = self.add(s, p, index)

        return add_generally

    def rounder(self, shape: tuple[int, ...], of_sums: bool = False) -> Callable[[Array], None]:
        """Round in place to nearest even, for numbers that cannot overflow and whose zeros' signs do not matter.

        The calls of `_by_magic` that are left then; a sum that starts at +0 never becomes -0. Sums of two numbers of
        the format lie on the grid of the subnormal ones, so below the normal range they need no rounding.
        """
        dtype = self.fmt.carrier
        stored, bias, integer = (23, 127, np.int32) if dtype == np.float32 else (52, 1023, np.int64)
        exponent_field = integer((2 * bias + 1) << stored)
        lowest = integer((self.fmt.emin + bias) << stored)
        to_magic = integer(((stored - self.fmt.significand_bits) << stored) + (1 << (stored - 1)))
        magic = np.empty(shape, integer)
        big = magic.view(dtype)

        def round_in_place(x: Array) -> None:
            np.bitwise_and(x.view(integer), exponent_field, out=magic)
            if not of_sums:
                np.maximum(magic, lowest, out=magic)
            np.add(magic, to_magic, out=magic)
            np.add(x, big, out=x)
            np.subtract(x, big, out=x)

        return round_in_place


@dataclass(frozen=True)
class Terms:
    """The terms of many sums at once: ``term(k)`` is an array of shape `shape`, one term for each sum.

    `exact(k)` gives the same before rounding, for the fused orders; `first_index` is the place of a sum's step 0 in
    the hash of stochastic rounding, of shape `shape`: step k uses ``2 * k`` for the product, ``2 * k + 1`` for the sum.
    """

    length: int
    shape: tuple[int, ...]
    term: Callable[[int], Array]
    exact: Callable[[int], Wide]
    first_index: Array | None = None

    def index(self, k: int, of_sum: bool) -> Array | None:
        """The place of step `k` in the hash, None where the mode is not stochastic."""
        return None if self.first_index is None else self.first_index + np.uint64(2 * k + of_sum)


def sequential(terms: Terms, a: Arithmetic, fma: bool, start: int = 0, stop: int | None = None) -> Array:
    """``s = +0``; then ``s = round(s + p)``, or with `fma` ``s = round(x * y + s)``, for k from `start` to `stop`."""
    s = np.zeros(terms.shape, a.fmt.carrier)
    add = a.adder(terms.shape)
    for k in range(start, terms.length if stop is None else stop):
        if fma:
            s = a.fused(s, terms.exact(k), terms.index(k, of_sum=True))
        else:
            add(s, terms.term(k), terms.index(k, of_sum=True))
    return s


def blocked(terms: Terms, a: Arithmetic, fma: bool, block: int) -> Array:
    """Blocks of `block` summed sequentially from +0; their sums summed sequentially from +0.

    The addition of a block's sum has the place in the hash of the block's first step, which itself (+0 plus a
    number of the format) is never rounded.
    """
    s = np.zeros(terms.shape, a.fmt.carrier)
    for start in range(0, terms.length, block):
        part = sequential(terms, a, fma, start, min(start + block, terms.length))
        s = a.add(s, part, terms.index(start, of_sum=True))
    return s


def kahan(terms: Terms, a: Arithmetic) -> Array:
    """Compensated summation (Kahan 1965), literally; the compensation is lost to NaN after an overflow."""
    s = np.zeros(terms.shape, a.fmt.carrier)
    c = np.zeros(terms.shape, a.fmt.carrier)
    for k in range(terms.length):
        y = a.subtract(terms.term(k), c)
        t = a.add(s, y)
        c = a.subtract(a.subtract(t, s), y)
        s = t
    return s


def pairwise(terms: Terms, a: Arithmetic) -> Array:
    """Split ``[0, n)`` at ``n // 2``, recursively down to single terms; round at each addition.

    Level by level: the segments of one depth differ in length by at most one, so all of a depth are added at once.
    The addition that joins ``[lo, mid)`` and ``[mid, hi)`` has the place of step `mid` in the hash.
    """
    n = terms.length
    if n == 0:
        return np.zeros(terms.shape, a.fmt.carrier)
    levels = [(np.array([0]), np.array([n]))]
    while (levels[-1][1] - levels[-1][0]).max() > 1:
        lo, hi = levels[-1]
        mid = (lo + hi) // 2
        split = hi - lo > 1
        starts = np.where(split[:, None], np.stack([lo, mid], 1), np.stack([lo, hi], 1)).reshape(-1)
        ends = np.where(split[:, None], np.stack([mid, hi], 1), np.stack([hi, hi], 1)).reshape(-1)
        keep = ends > starts
        levels.append((starts[keep], ends[keep]))
    values = np.empty((n, *terms.shape), a.fmt.carrier)
    for k in range(n):
        values[k] = terms.term(k)
    for lo, hi in reversed(levels[:-1]):
        split = hi - lo > 1
        at = np.cumsum(1 + split) - (1 + split)  # where each segment's part, or first part, stands one level down
        joined = values[at].copy()
        left, right = values[at[split]], values[at[split] + 1]
        index = None
        if terms.first_index is not None:
            mid = ((lo + hi) // 2)[split].reshape(-1, *[1] * len(terms.shape))
            index = terms.first_index + (2 * mid + 1).astype(np.uint64)
        joined[split] = a.add(left, right, index)
        values = joined
    return values[0]
