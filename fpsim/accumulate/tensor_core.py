"""Order ``tensor_core``: blocks of exact products, aligned and truncated, as NVIDIA's matrix units add them.

Layer 2. A loop over blocks on arrays of independent sums; knows neither axes nor batches.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from fpsim.accumulate.orders import Arithmetic
from fpsim.errors import ArgumentError, PrecisionError, expected
from fpsim.formats import float32
from fpsim.rounding.kernel import Array, is_rounded

__all__ = ["TensorCore"]

#: Fraction bits that alignment keeps below the largest exponent: float32's, whatever the accumulator.
FRACTION = 23
#: Blocks and extra bits so large that float64 still adds the aligned integers without error.
LONGEST, MOST_EXTRA = 1024, 12
#: Products held at once.
HELD = 1 << 18
#: In place of the exponent of zero: below every other.
NEVER = -(1 << 20)


@dataclass(frozen=True)
class TensorCore:
    """A block's fused sum: how many products it takes, and how many bits more than float32 alignment keeps.

    For each block of products, in order, with the accumulator ``s`` (at first +0)::

        e = max(exponent of s, exponent of x_k + exponent of y_k)      of those that are not zero
        q = 2**(e - 23 - extra)
        s = round((trunc(s / q) + sum_k trunc(x_k * y_k / q)) * q)

    ``exponent of v`` is ``floor(log2 |v|)``: a product is not normalised before alignment. Products are exact; `trunc`
    drops what lies below ``q``, toward zero; the integers add exactly, in any order. `round` is truncation to the
    format for an accumulator of float32's 24 bits, and to nearest even for a narrower one.

    Parameters
    ----------
    block : int
        4 for V100 and T4, 8 for A100 (float16 inputs), 16 for H100.
    extra : int
        Extra alignment bits: 0 for V100, 1 for A100, 2 for H100.

    Notes
    -----
    From Fasi, Higham, Mikaitis and Pranesh (2021, PeerJ Computer Science 7:e330), who found this by experiment on V100:
    exact products, no guard bits, truncation, no normalisation between the additions, subnormal numbers kept, rounding
    to nearest of a float16 result. The unnormalised exponents, the later machines' blocks and extra bits, and infinity
    on overflow are those of Khattak and Mikaitis's models (2025, arXiv:2512.07004), which they compared with the
    machines bit for bit. Where fpsim decides: a subnormal input has its own exponent, not the format's least;
    accumulators that no machine has (anything but float32 and float16) follow the same formula.
    """

    block: int = 4
    extra: int = 0

    @classmethod
    def parse(cls, order: str) -> TensorCore:
        """``tensor_core``, ``tensor_core:B`` or ``tensor_core:B+E``: block length and extra bits.

        >>> TensorCore.parse("tensor_core"), TensorCore.parse("tensor_core:8+1")
        (TensorCore(block=4, extra=0), TensorCore(block=8, extra=1))
        """
        found = re.fullmatch(r"tensor_core(?::(\d{1,6})(?:\+(\d{1,6}))?)?", order)
        made = cls(int(found[1] or 4), int(found[2] or 0)) if found else cls(0)
        if not (1 <= made.block <= LONGEST and made.extra <= MOST_EXTRA):
            invariant = f"tensor_core, or tensor_core:B+E with B from 1 to {LONGEST} and E up to {MOST_EXTRA}"
            remedy = "tensor_core:8+1 has blocks of 8 and 1 extra bit"
            raise ArgumentError(expected("Accumulator", invariant, f"order={order!r}", remedy))
        return made

    def sum(self, x: Array, a: Arithmetic) -> Array:
        """``sum_k x[k, r]``: products with one. The terms are rounded to the format first, as in every order."""
        return self.matmul(np.ones((1, len(x)), np.float32), a.round(x), a)[0]

    def matmul(self, x: Array, y: Array, a: Arithmetic) -> Array:
        """``sum_k x[i, k] * y[k, j]`` for values that float32 holds, so that float64 holds their products."""
        x, y = (self._factors(z) for z in (x, y))
        out = np.empty((len(x), y.shape[1]), a.fmt.carrier)
        high = max(HELD // max(self.block * y.shape[1], 1), 1)
        with np.errstate(all="ignore"):
            ex, ey = _exponent(x), _exponent(y)
            for top in range(0, len(x), high):
                rows = slice(top, top + high)
                out[rows] = self._rows(x[rows], y, ex[rows], ey, a)
        return out

    def _factors(self, x: Array) -> Array:
        if x.dtype != np.float32 and not is_rounded(x, float32):
            got = "values that it does not hold"
            raise PrecisionError(
                expected("tensor_core", "factors that float32 holds", got, "round them first, as with fp.round")
            )
        return x.astype(np.float64)

    def _rows(self, x: Array, y: Array, ex: Array, ey: Array, a: Arithmetic) -> Array:
        """Some rows of the product, block by block."""
        s = np.zeros((len(x), y.shape[1]))
        for start in range(0, len(y), self.block):
            k = slice(start, start + self.block)
            products = x[:, k, None] * y[None, k]
            exponents = ex[:, k, None] + ey[None, k]
            s = self._add(s, products, exponents, a)
        return s.astype(a.fmt.carrier)

    def _add(self, s: Array, products: Array, exponents: Array, a: Arithmetic) -> Array:
        """One block added to s: products (I, B, J) along their middle axis."""
        e = np.maximum(exponents.max(axis=1), _exponent(s))
        below = FRACTION + self.extra - e  # q = 2**-below
        total = np.trunc(np.ldexp(s, below)) + np.trunc(np.ldexp(products, below[:, None])).sum(axis=1)
        total += 0.0  # a sum of zeros is +0
        if a.fmt.p > FRACTION:
            total = _truncated(total, below, a)
        rounded = a.round(np.ldexp(total, -below)).astype(np.float64)
        if np.isfinite(products).all() and np.isfinite(s).all():
            return rounded
        specials = np.where(np.isfinite(s), 0, s) + np.where(np.isfinite(products), 0, products).sum(axis=1)
        return np.where(np.isfinite(specials) & (specials == 0), rounded, a.round(specials))


def _exponent(x: Array) -> Array:
    """``floor(log2 |x|)``; of zero, infinity and NaN one that never is the largest."""
    return np.where((x != 0) & np.isfinite(x), np.frexp(x)[1] - 1, NEVER)


def _truncated(total: Array, below: Array, a: Arithmetic) -> Array:
    """Integers ``total``, of ``total * 2**-below``, without the bits that the format has no room for."""
    place = np.frexp(total)[1] - a.fmt.p  # of the last bit kept, among normal numbers and then among all
    place = np.maximum(place, a.fmt.emin - a.fmt.significand_bits + below)
    place = np.where(total == 0, 0, place)
    return np.ldexp(np.trunc(np.ldexp(total, -place)), place)
