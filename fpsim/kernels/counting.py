"""Compiled passes that count what a rounding did; the same numbers as `fpsim.observe.counting` finds in NumPy.

Layer 1. `bits` are the numbers' own bits, of which ``bits >> stored`` without the sign is the exponent field.
"""

import numpy as np

from fpsim.kernels.compiling import kernel

__all__ = ["sweep", "sweep_update"]


#: Elements of a block, which the counting of exponents finds in the cache again.
BLOCK = 4096


@kernel
def sweep(before, after, bits, stored, fields, with_tiny, edge, least):
    """Differing, nonzero, to zero, subnormal, underflow; counts exponent fields into `fields`, of shape (4, n)."""
    differing, nonzero, to_zero, subnormal, underflow = 0, 0, 0, 0, 0
    for start in range(0, len(before), BLOCK):
        stop = min(start + BLOCK, len(before))
        d, n = _changes(before[start:stop], after[start:stop])
        differing, nonzero = differing + d, nonzero + n
        if with_tiny:
            z, s, u = _tiny_ones(before[start:stop], after[start:stop], edge, least)
            to_zero, subnormal, underflow = to_zero + z, subnormal + s, underflow + u
        _count_fields(bits[start:stop], stored, fields)
    return differing, nonzero, to_zero, subnormal, underflow


@kernel
def sweep_update(before, step, after, bits, stored, fields, edge, least):
    """The same of ``before + step``, with the exponent fields of `step`; then updates wanted, lost, and the largest."""
    differing, nonzero, to_zero, subnormal, underflow = 0, 0, 0, 0, 0
    wanted, lost, most, sick = 0, 0, np.float64(0), False
    value = np.empty(BLOCK, step.dtype)
    for start in range(0, len(before), BLOCK):
        stop = min(start + BLOCK, len(before))
        old, change, new, total = before[start:stop], step[start:stop], after[start:stop], value[: stop - start]
        for i in range(len(old)):
            total[i] = old[i] + change[i]
        d, n = _changes(total, new)
        z, s, u = _tiny_ones(total, new, edge, least)
        differing, nonzero = differing + d, nonzero + n
        to_zero, subnormal, underflow = to_zero + z, subnormal + s, underflow + u
        for i in range(len(old)):
            wanted += change[i] != 0
            lost += (change[i] != 0) & (old[i] == new[i])
        for i in range(len(old)):
            most = max(most, abs(new[i]))
            sick |= new[i] != new[i]
        _count_fields(bits[start:stop], stored, fields)
    return differing, nonzero, to_zero, subnormal, underflow, wanted, lost, np.nan if sick else np.float64(most)


@kernel
def _changes(before, after):
    differing, nonzero = 0, 0
    for i in range(len(before)):
        differing += before[i] != after[i]
        nonzero += before[i] != 0
    return differing, nonzero


@kernel
def _tiny_ones(before, after, edge, least):
    to_zero, subnormal, underflow = 0, 0, 0
    for i in range(len(before)):
        to_zero += (before[i] != 0) & (after[i] == 0)
        subnormal += (after[i] != 0) & (abs(after[i]) < least)
        underflow += (before[i] != after[i]) & (abs(before[i]) < edge)
    return to_zero, subnormal, underflow


@kernel
def _count_fields(bits, stored, fields):
    last = len(fields[0]) - 1
    for i in range(len(bits)):  # four histograms, so that equal neighbours need not wait for each other
        fields[i & 3, (bits[i] >> stored) & last] += 1
