"""Order ``exact``: the real sum in Python integers, rounded once, as Kulisch's long accumulator does.

Layer 2. Any floats are integers times one common power of two; integers add and multiply without error.
"""

from __future__ import annotations

import numpy as np

from fpsim.rounding.kernel import Array
from fpsim.rounding.wide import Wide

__all__ = ["exact_matmul", "exact_sum"]


def exact_sum(terms: Array) -> Wide:
    """``sum_k terms[k, r]`` as wide numbers that round like the exact sum; shape (R,)."""
    integers, exponent = _integers(terms)
    total = integers.sum(axis=0) if len(terms) else np.zeros(terms.shape[1], object)
    with np.errstate(invalid="ignore"):  # inf - inf
        return _special(_wide(total, exponent), _specials(terms).sum(axis=0))


def exact_matmul(x: Array, y: Array) -> Wide:
    """``sum_k x[i, k] * y[k, j]`` as wide numbers that round like the exact sum; shape (I, J)."""
    (xi, xe), (yi, ye) = _integers(x), _integers(y)
    total = xi @ yi if x.shape[1] else np.zeros((x.shape[0], y.shape[1]), object)
    result = _wide(total, xe + ye)
    if np.isfinite(x).all() and np.isfinite(y).all():
        return result
    with np.errstate(all="ignore"):  # finite numbers count by their sign and zeroness only: inf * 0 is NaN
        sx, sy = (np.where(np.isfinite(a), np.sign(a), a).astype(np.float64) for a in (x, y))
        return _special(result, sx @ sy)


def _integers(x: Array) -> tuple[Array, int]:
    """Python integers n and one exponent e with ``x == n * 2**e`` (0 in place of infinity and NaN)."""
    significand, exponent = np.frexp(np.where(np.isfinite(x), x, 0.0).astype(np.float64))
    n = np.ldexp(significand, 53).astype(np.int64)
    exponent = exponent - 53
    if not n.any():
        return np.zeros(x.shape, object), 0
    lowest = int(exponent[n != 0].min())
    shift = np.where(n == 0, 0, exponent - lowest)
    trailing = int(np.bitwise_or.reduce(np.abs(n), axis=None))  # a common power of two keeps the integers short
    common = (trailing & -trailing).bit_length() - 1
    return (n >> common).astype(object) << shift.astype(object), lowest + common


def _wide(total: Array, exponent: int) -> Wide:
    """Integers times ``2**exponent``: the leading 53 bits in hi; lo keeps the sign of the rest, and its size."""
    hi, lo, shifts = (np.zeros(total.shape, t) for t in (np.float64, np.float64, np.int64))
    for at, n in np.ndenumerate(total):
        n = int(n)
        dropped = max(n.bit_length() - 53, 0)
        head = n >> dropped  # floor, so the rest is not negative
        rest = n - (head << dropped)
        hi[at], shifts[at] = head, dropped
        if rest:  # its leading 51 bits and a sticky last one: float64 holds them
            cut = max(dropped - 51, 0)
            sticky = (rest & ((1 << cut) - 1)) != 0
            lo[at] = np.ldexp(float(rest >> cut << 1 | sticky), cut - dropped - 1)
    # lo may reach a whole unit of hi's last place: fold it into a hi that is nearest
    s = hi + lo
    return Wide(s, lo - (s - hi), shifts + exponent)


def _specials(x: Array) -> Array:
    return np.where(np.isfinite(x), 0.0, x)


def _special(result: Wide, special: Array) -> Wide:
    """`result`, replaced by the sum of the infinities and NaNs where there were any."""
    plain = np.isfinite(special)
    hi = np.where(plain, result.hi, special)
    return Wide(hi, np.where(plain, result.lo, 0.0), np.where(plain, result.exponent, 0))
