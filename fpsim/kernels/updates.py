"""Compiled passes of optimizers over float32 arrays: two operations or three, rounded once.

Layer 1. Each result is carried as an unevaluated sum of two float64 numbers, some 106 bits; where even these cannot
tell which way a tie goes, they say so, and the caller decides. Needs a CPU with fused multiply-add.
"""

import numpy as np
from numba.extending import register_jitable

from fpsim.kernels.compiling import kernel
from fpsim.kernels.steps import bits_of, float_of, multiply_add

__all__ = ["changed", "moved"]

#: Half an ulp below float32's overflow; the exponent fields of its smallest normal number, and of its ulp's half.
LARGEST, LOWEST, HALF = 2.0**128 - 2.0**104, np.int64((1023 - 126) << 52), np.int64(24 << 52)


@register_jitable
def rounded_pair(high, low, size):
    """``high + low`` (off by at most ``size * 2**-100``) as float32, and whether that is in doubt."""
    bits = bits_of(high)
    towards = np.int64(1) if (low > 0) == (high > 0) else np.int64(-1)
    inexact = (abs(low) > 0) & (abs(high) < np.inf) & ((bits & np.int64(1)) == 0)
    value = np.float32(float_of(bits + (towards if inexact else np.int64(0)), high))  # from a number rounded to odd
    half = float_of(max(bits & np.int64(0x7FF0000000000000), LOWEST) - HALF, high)
    at_tie = abs(high - np.float64(np.float32(high))) == half
    largest = (abs(high) >= LARGEST) & (abs(high) < np.inf)
    return value, (at_tie | largest) & (abs(low) <= size * 2.0**-100)


@register_jitable
def product(a, b):
    """``a * b``, exactly, as two numbers."""
    p = a * b
    return p, multiply_add(a, b, -p)


@register_jitable
def quotient(high, low, b):
    """``(high + low) / b`` as two numbers."""
    q = high / b
    return q, (multiply_add(-q, b, high) + low) / b


@register_jitable
def total(a, b, rest):
    """``a + b + rest`` as two numbers, `rest` being small beside b."""
    s = a + b
    part = s - a
    t = (a - (s - part)) + (b - part) + rest
    high = s + t if t == t and t != 0 else s  # -0 stays; beyond infinity there is no rest
    return high, t - (high - s)


@kernel
def moved(form, x, number, out, doubtful, start, stop):
    """``x * number``, ``x / number`` or ``sqrt(x)`` (form 0, 1, 2), rounded once; returns how many are in doubt."""
    x, out, doubtful, count = x[start:stop], out[start:stop], doubtful[start:stop], 0
    for i in range(len(x)):
        a = np.float64(x[i])
        if form == 2:  # (the square root of 24 bits is no tie, and float64's is none unless it is)
            high, low = np.sqrt(a), 0.0
        else:
            high, low = product(a, number) if form == 0 else quotient(a, 0.0, number)
        out[i], unsure = rounded_pair(high, low, abs(high))
        doubtful[i] = unsure
        count += unsure
    return count


@kernel
def changed(form, base, x, y, number, out, doubtful, start, stop):
    """`base` plus ``number * (x - y)``, ``number * x * y`` or ``number * x / y`` (form 0, 1, 2); as `moved`."""
    base, x, y = base[start:stop], x[start:stop], y[start:stop]
    out, doubtful, count = out[start:stop], doubtful[start:stop], 0
    for i in range(len(x)):
        a, b = np.float64(x[i]), np.float64(y[i])
        if form == 0:
            difference, rest = total(a, -b, 0.0)
            high, low = product(number, difference)
            low += number * rest
        else:
            first, rest = product(number, a)
            if form == 1:
                high, low = product(first, b)
                low += rest * b
            else:
                high, low = quotient(first, rest, b)
        size = abs(high)
        high, low = total(np.float64(base[i]), high, low)
        out[i], unsure = rounded_pair(high, low, size + abs(high))
        doubtful[i] = unsure
        count += unsure
    return count
