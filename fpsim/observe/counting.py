"""`count`: what one rounding did to each of its elements, as a few numbers and a histogram of exponents.

Layer 7. The only place that looks at every element, so the price of observing is decided here. `sweep` is the one pass
over memory; everything else looks at the elements that are special, where there are any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fpsim.autograd.exactness import Exact
from fpsim.formats import Format
from fpsim.kernels.loading import compiled
from fpsim.observe.counts import Counts, Exponents
from fpsim.rounding import flags as ieee
from fpsim.rounding.kernel import Array, _flat

__all__ = ["Counts", "Exponents", "count", "exponents_of", "sweep"]

#: Elements of a block: its exponents are counted in pairs, in 65536 bins, which should be fewer than the elements.
BLOCK = 1 << 18


#: Seconds an element that a sweep takes in NumPy.
IN_NUMPY, PER_CALL = 2.5e-9, 25e-6
#: Relative distance within which a formula in float64 may be from its exact value.
CLOSE = 2.0**-40


def count(
    before: Array,
    after: Array,
    fmt: Format,
    operands: Sequence[Array] = (),
    *,
    mode: str = "nearest_even",
    pointwise: bool = False,
    exact: Exact | None = None,
) -> Counts:
    """What rounding `before` to `after` did.

    Parameters
    ----------
    before : ndarray of float32 or float64
        The values handed over.
    after : ndarray of the same shape
        The values stored.
    fmt, mode
        The rounding.
    operands : sequence of ndarray
        What the operation had; ``pointwise`` if its elements are those of the result (they broadcast).
    exact : Exact, optional
        Knows the exact values, where `before` may be their neighbours.

    Examples
    --------
    >>> import numpy as np, fpsim as fp
    >>> x = np.array([1.0, 0.1, 1e-6, 1e-9, 70000.0])
    >>> counts = count(x, fp.round(x, "float16"), fp.float16)
    >>> counts.exact, counts.inexact, counts.subnormal, counts.to_zero, counts.overflow
    (1, 4, 1, 1, 1)
    """
    same = before is after
    after = np.atleast_1d(after)
    before = after if same else np.atleast_1d(before)
    if after.size == 0:
        return Counts()
    if before.dtype not in _BIAS:
        before = before.astype(np.float64)
    with np.errstate(all="ignore"):
        nearest = mode in ("nearest_even", "nearest_away")
        flat = _flat(before, after) if before is not after else (before.ravel("K"),) * 2
        swept = sweep(*flat, fmt if nearest else None)
        counts = swept.counts(after.size)
        counts.exponents = exponents = _as_exponents(before, swept.by_field, swept.nonzero)
        large = swept.by_field[-1] or (exponents and exponents.highest >= fmt.emax)
        tiny = not nearest and bool(exponents) and exponents.lowest < fmt.emin
        if large or tiny or exact is not None:
            _count_special(counts, before, after, fmt, operands, mode, pointwise, exact)
    return counts


def count_update(before: Array, step: Array, after: Array, fmt: Format) -> tuple[Counts, int, int]:
    """What rounding ``before + step`` to `after` did, with the exponents of `step`; the updates wanted, and those lost.

    `step` is float64, and the sum is its; an update is wanted where it is not zero, lost where `after` is `before`.
    """
    p, change, stored = (np.ascontiguousarray(x).reshape(-1) for x in (before, step, after))
    with np.errstate(all="ignore"):
        kernels = compiled(PER_CALL + after.size * IN_NUMPY)
        if kernels is None:
            found, wanted, lost, largest = sweep_update_in_numpy(p, change, stored, fmt)
        else:
            by_field, least = np.zeros((4, 2048), np.int64), stored.dtype.type(fmt.smallest_normal)
            *fates, wanted, lost, largest = kernels.sweep_update(
                p, change, stored, *_bits(change), by_field, _edge(fmt), least
            )
            found = Swept(by_field.sum(axis=0), *fates)
        if after.size and not largest < fmt.max:
            counts = count(before + step, after, fmt, (before, step), pointwise=True)
        else:
            counts = found.counts(after.size)
        counts.exponents = _as_exponents(change, found.by_field, wanted)
    return counts, wanted, lost


def sweep_update_in_numpy(before: Array, step: Array, after: Array, fmt: Format) -> tuple[Swept, int, int, float]:
    """`sweep` of ``before + step``, with the exponent fields of `step`; updates wanted, lost; the largest stored."""
    found, wanted, lost, largest = Swept(np.zeros(2048, np.int64)), 0, 0, 0.0
    for start in range(0, after.size, BLOCK):
        old, change, stored = (x[start : start + BLOCK] for x in (before, step, after))
        found.by_field += _by_field(change)
        is_wanted = change != 0
        wanted += int(np.count_nonzero(is_wanted))
        lost += int(np.count_nonzero(is_wanted & (old == stored)))
        value = old + change
        found.differing += int(np.count_nonzero(value != stored))
        found.nonzero += value.size - _count_tiny(found, value, stored, fmt)
        largest = float(np.maximum(largest, np.abs(stored).max()))  # NaN stays
    return found, wanted, lost, largest


#: Exponent bias of the two types in which values are handed over.
_BIAS = {np.dtype(np.float32): 127, np.dtype(np.float64): 1023}


@dataclass
class Swept:
    """What one pass found; the last three only where it was told the format."""

    by_field: Array
    differing: int = 0
    nonzero: int = 0
    to_zero: int = 0
    subnormal: int = 0
    underflow: int = 0

    def counts(self, elements: int) -> Counts:
        """The same as counts, without a histogram."""
        return Counts(
            elements, self.nonzero, to_zero=self.to_zero, subnormal=self.subnormal, inexact=self.differing,
            underflow=self.underflow,
        )  # fmt: skip


def sweep(before: Array, after: Array, fmt: Format | None = None) -> Swept:
    """How many elements differ, how many of `before` are not zero, and how many have each value of the exponent field.

    One pass over two flat arrays (or one, where nothing changed), in blocks that stay in the cache. NaN differs from
    itself. With `fmt`, and `before` rounded to nearest, also what became of the tiny ones.
    """
    kernels = compiled(PER_CALL + before.size * IN_NUMPY)
    if kernels is not None:
        fields = np.zeros((4, 256 if before.dtype == np.float32 else 2048), np.int64)
        least = after.dtype.type(0 if fmt is None else fmt.smallest_normal)
        edge = before.dtype.type(0 if fmt is None else _edge(fmt))
        found = kernels.sweep(before, after, *_bits(before), fields, fmt is not None, edge, least)
        return Swept(fields.sum(axis=0), *found)
    return sweep_in_numpy(before, after, fmt)


def sweep_in_numpy(before: Array, after: Array, fmt: Format | None = None) -> Swept:
    """The definition of `sweep`."""
    found = Swept(np.zeros(256 if before.dtype == np.float32 else 2048, np.int64))
    for start in range(0, before.size, BLOCK):
        block, stored = before[start : start + BLOCK], after[start : start + BLOCK]
        by_field = _by_field(block)
        nonzero = block.size if by_field[0] == 0 else int(np.count_nonzero(block != 0))
        found.nonzero += nonzero
        found.by_field += by_field
        if before is not after or by_field[-1]:
            found.differing += int(np.count_nonzero(block != stored))
        if fmt is not None and _has_tiny(by_field, nonzero, fmt.emin):
            _count_tiny(found, block, stored, fmt)
    return found


def _count_tiny(found: Counts | Swept, block: Array, stored: Array, fmt: Format) -> int:
    """What became of the tiny ones of a block, rounded to nearest; returns how many of its elements are zero."""
    least = stored.dtype.type(fmt.smallest_normal)
    size = np.abs(stored)
    small = size <= least  # as zeros and tiny ones are stored
    if np.count_nonzero(small) < small.size // 8:
        chosen = np.flatnonzero(small)
        block, stored, size = block[chosen], stored[chosen], size[chosen]
    zeros, zeros_stored = (x.size - int(np.count_nonzero(x != 0)) for x in (block, stored))
    edge = block.dtype.type(_edge(fmt))
    found.underflow += int(np.count_nonzero((np.abs(block) < edge) & (block != stored)))
    found.to_zero += zeros_stored - zeros
    found.subnormal += int(np.count_nonzero(size < least)) - zeros_stored
    return zeros


def _edge(fmt: Format) -> float:
    """Below it a number is tiny: a tie between the largest tiny number and the smallest normal one goes up."""
    return fmt.smallest_normal * (1 - 2.0 ** -(fmt.p + 1))


def _bits(x: Array) -> tuple[Array, int]:
    """The bits of floats, and how many of them lie below the exponent."""
    return (x.view(np.uint32), 23) if x.dtype == np.float32 else (x.view(np.uint64), 52)


def _has_tiny(by_field: Array, nonzero: int, emin: int) -> bool:
    """Whether any number is below ``2**emin``."""
    bias = len(by_field) // 2 - 1
    return bool(nonzero > by_field[1:].sum() or by_field[1 : max(emin + bias, 1)].any())


def _by_field(block: Array) -> Array:
    """How many elements of a block have each value of the exponent field."""
    if block.dtype == np.float64:
        return _by_long_field(block)
    field = block.view(np.uint32) << 1
    field >>= 24
    return _bincount_of_bytes(field.astype(np.uint8))


def _by_long_field(block: Array) -> Array:
    """The same for float64: of its 2048 values nearly always only zero and the 255 around 2**0 occur."""
    field = block.view(np.uint32)[_UPPER::2] << 1
    field >>= 21
    near = field - np.uint32(_NEAR)  # what is below wraps around to large numbers
    inside = near < 255
    near += 1
    counted = _bincount_of_bytes(near.astype(np.uint8) * inside.view(np.uint8))
    if counted[0] > block.size - np.count_nonzero(block != 0):
        return np.bincount(field, minlength=2048)
    by_field = np.zeros(2048, np.int64)
    by_field[0], by_field[_NEAR : _NEAR + 255] = counted[0], counted[1:]
    return by_field


#: Which half of a float64 holds its exponent, and the first of the fields that `_by_long_field` counts.
_UPPER, _NEAR = int(np.little_endian), 1023 - 127


def _bincount_of_bytes(x: Array) -> Array:
    """`np.bincount`, two at a time: half as many increments.

    The values nearly always are zero and a short range: moved next to zero, their pairs need few bins.
    """
    counted = np.zeros(256, np.int64)
    if x.size < BLOCK // 32:
        counted += np.bincount(x, minlength=256)
        return counted
    below = int((x - np.uint8(1)).min())  # the smallest value that is not zero, less 1: zero wraps around to 255
    span = max(int(x.max()) - below, 0)
    near = (x - np.uint8(below)) * (x != 0).view(np.uint8)
    even = x.size - x.size % 2
    pairs = np.bincount(near[:even].view(np.uint16), minlength=(span + 1) << 8).reshape(span + 1, 256)
    found = pairs.sum(axis=0)[: span + 1] + pairs.sum(axis=1) + np.bincount(near[even:], minlength=span + 1)
    counted[0], counted[below + 1 : below + 1 + span] = found[0], found[1:]
    return counted


def _as_exponents(x: Array, by_field: Array, nonzero: int) -> Exponents:
    """The histogram of exponents from that of exponent fields: 0 is of zeros and subnormals, the last of no numbers."""
    bias = _BIAS[x.dtype]
    exponents = Exponents(1 - bias, by_field[1:-1])
    if nonzero > by_field[1:].sum():
        tiny = np.abs(x)
        subnormal = np.frexp(tiny[(tiny < np.finfo(x.dtype).smallest_normal) & (tiny != 0)])[1] - 1
        exponents += Exponents(int(subnormal.min()), np.bincount(subnormal - subnormal.min()))
    return exponents


def exponents_of(x: Array) -> Exponents:
    """The histogram of the exponents of any floats."""
    x = np.asarray(x)
    x = np.ascontiguousarray(x if x.dtype in _BIAS else x.astype(np.float64)).reshape(-1)
    if x.size == 0:
        return Exponents()
    by_field = np.sum([_by_field(x[start : start + BLOCK]) for start in range(0, x.size, BLOCK)], axis=0)
    return _as_exponents(x, by_field, int(np.count_nonzero(x)))


def _count_special(
    counts: Counts, before: Array, after: Array, fmt: Format, operands: Sequence[Array], mode: str, pointwise: bool,
    exact: Exact | None,
) -> None:  # fmt: skip
    """Correct the counts for the elements that are large or special, or may not be what they seem to be."""
    nearest = mode in ("nearest_even", "nearest_away")
    chosen = _doubtful(counts, before, after, fmt, nearest, exact)
    if np.isnan(before).any():
        chosen &= ~_known_nan(counts, before, operands, pointwise)
    given, stored = before[chosen], after[chosen]
    if not given.size:
        return
    value = given if exact is None else exact.wide(chosen)
    met = [np.broadcast_to(x, before.shape)[chosen] for x in operands] if pointwise else []
    flags = ieee.raised(value, stored, fmt, mode, met)
    no_nan = _without_nan(stored, met if pointwise else operands, pointwise)
    if pointwise:
        if exact is None:  # a function: infinite at a pole, which has a zero operand, or beyond float64's range
            beyond = (flags & ieee.DIVIDE_BY_ZERO != 0) & ~_any_zero(given.shape, met)
            flags[beyond] = ieee.OVERFLOW | ieee.INEXACT
    else:
        new = np.isnan(stored) & (flags & ieee.OVERFLOW == 0) & no_nan
        flags[new] |= ieee.INVALID
    nonzero = (given if isinstance(value, np.ndarray) else value.hi) != 0
    size = np.abs(stored)
    if nearest:  # what the sweep found of these
        known = Swept(np.zeros(0))
        _count_tiny(known, given, stored, fmt)
        counts.underflow -= known.underflow
        counts.to_zero -= known.to_zero
        counts.subnormal -= known.subnormal
    counts.inexact += _number(flags & ieee.INEXACT) - _number(given != stored)
    counts.overflow = _number(flags & ieee.OVERFLOW)
    counts.underflow += _number(flags & ieee.UNDERFLOW)
    counts.divide_by_zero = _number(flags & ieee.DIVIDE_BY_ZERO)
    counts.invalid += _number(flags & ieee.INVALID)
    counts.nan += _number((flags & ieee.INVALID != 0) & no_nan)
    counts.infinite = _number(np.isinf(stored))
    counts.to_zero += _number(nonzero & (stored == 0))
    counts.subnormal += _number((size != 0) & (size < fmt.smallest_normal))
    counts.nonzero += _number(nonzero & (given == 0))


def _known_nan(counts: Counts, before: Array, operands: Sequence[Array], pointwise: bool) -> Array:
    """The NaNs that raise no flag, or one for all, counted: where a training has failed, nearly all elements are."""
    nan = np.isnan(before)
    came_in = [np.isnan(x) for x in operands]
    if pointwise:
        if not all(ieee.are_quiet(x, which) for x, which in zip(operands, came_in, strict=True)):
            return np.zeros(before.shape, bool)
        any_came_in = np.zeros(before.shape, bool)
        for which in came_in:  # (they broadcast)
            any_came_in |= which
        nan &= any_came_in
    elif not any(which.any() for which in came_in):
        counts.invalid = counts.nan = _number(nan)
    counts.inexact -= _number(nan)  # as which the sweep took them
    return nan


def _doubtful(
    counts: Counts, before: Array, after: Array, fmt: Format, nearest: bool, exact: Exact | None
) -> Array:  # fmt: skip
    """The elements that a sweep may have misjudged; counts those that seem exact and surely are not."""
    magnitude, of_type = np.abs(before), before.dtype.type
    lowest, highest = of_type(fmt.smallest_normal), of_type(fmt.max)
    if exact is None:
        chosen = ~(magnitude < highest)
        return chosen if nearest else chosen | ((magnitude < lowest) & (magnitude != 0))
    # float64's neighbour may lie on the other side of a bound, or be the number stored, without its value being that
    chosen = ~(magnitude < highest * (1 - CLOSE))
    same = before == after
    if not nearest:
        return chosen | same | (magnitude <= lowest * (1 + CLOSE))
    chosen |= (magnitude <= lowest * (1 + CLOSE)) & (magnitude >= lowest * (1 - 2.0**-fmt.p - CLOSE))
    same &= ~chosen
    if exact.is_narrow:
        same &= before != 0
    differs, unsure = exact.judged(same)
    unsure |= differs & (magnitude[same] < lowest)  # an underflow
    counts.inexact += _number(differs & ~unsure)
    chosen[same] = unsure
    return chosen


def _number(which: Array) -> int:
    return int(np.count_nonzero(which))


def _without_nan(stored: Array, operands: Sequence[Array], pointwise: bool) -> Array:
    """Where no NaN came in; without elements of their own, a NaN anywhere comes in everywhere."""
    if not np.isnan(stored).any():
        return np.ones(stored.shape, bool)
    if not pointwise:
        return np.full(stored.shape, not any(np.isnan(x).any() for x in operands))
    return ~np.logical_or.reduce([np.zeros(stored.shape, bool), *(np.isnan(x) for x in operands)])


def _any_zero(shape: tuple[int, ...], operands: Sequence[Array]) -> Array:
    return np.logical_or.reduce([np.zeros(shape, bool), *(x == 0 for x in operands)])
