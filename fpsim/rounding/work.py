"""In which arithmetic may a formula run so that one rounding at its end is the only one that counts?

Layer 1. `work_for` answers from the formats alone; the engine and the accumulator obey it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from fpsim.formats import Format, bfloat16, float32, float64
from fpsim.rounding.quiet import quiet
from fpsim.rounding.wide import Wide

__all__ = ["Work", "is_small", "sum_to_odd", "to_work", "work_for"]

#: What a formula consists of: one ``+ - * /`` or square root; several of these; several whose last one may be all that
#: breaks a tie, by less than float64 holds; or a library function among them.
STEPS = ("elementary", "formula", "long formula", "function")

Work = type[np.float32] | type[np.float64] | type[Wide]


@functools.cache
def is_small(fmt: Format) -> bool:
    """Whether one float32 operation on values of `fmt`, rounded to nearest in `fmt`, is rounded as if once.

    float32 has 24 bits, and ``24 >= 2 * 11 + 2`` makes the second rounding innocuous (Figueroa 1995); the exponents
    leave room for products. bfloat16 shares float32's range, but its 16-bit products meet no harmful case there.
    """
    return (fmt.p <= 11 and fmt.emin - fmt.significand_bits >= -74 and fmt.emax <= 64) or fmt == bfloat16


@functools.cache
def is_medium(fmt: Format) -> bool:
    """The same for float64: ``53 >= 2 * 25 + 2``, and exponents that leave room for products."""
    return fmt.p <= 25 and fmt.emin - fmt.significand_bits >= -537 and fmt.emax <= 512


def covers(target: Format, fmt: Format) -> bool:
    """Whether every number of `fmt` lies on the grid of `target`, overflow aside.

    Else an input may sit on a midpoint of the target, and float64 would lose what pushes it to one side.
    """
    last = fmt.emin - fmt.significand_bits
    return target.p >= fmt.p and target.emin - target.significand_bits <= last


def work_for(steps: str, target: Format, formats: Iterable[Format], mode: str) -> Work:
    """The arithmetic for a formula whose inputs have `formats` and whose result is rounded to `target` by `mode`.

    >>> import fpsim as fp
    >>> work_for("elementary", fp.float16, [fp.float16, fp.float16], "nearest_even").__name__
    'float32'
    >>> work_for("elementary", fp.float16, [fp.float16, fp.float16], "up").__name__
    'Wide'
    """
    return _work_for(steps, target, frozenset(formats), mode)


@functools.cache
def _work_for(steps: str, target: Format, formats: frozenset[Format], mode: str) -> Work:
    if steps == "function":
        return np.float64
    if steps == "long formula":
        return Wide
    if mode == "nearest_even" and steps == "elementary":
        if target == float32 and all(float32.holds(f) for f in formats):
            return np.float32
        if target == float64:
            return np.float64
    if mode in ("nearest_even", "nearest_away") and all(covers(target, f) for f in formats):
        if steps == "elementary" and is_small(target):
            return np.float32
        if is_medium(target):
            return np.float64
    return Wide


def to_work(work: Work, x: Any) -> Any:
    """`x` in the arithmetic `work`, without a copy where it is there already."""
    if work is Wide:
        return Wide.of(x)
    if isinstance(x, Wide):
        return x.value()
    return x.astype(work, copy=False)


def sum_to_odd(x: Any, y: Any) -> Any:
    """``x + y`` of float64 numbers, rounded to odd: where it is inexact, the last bit is 1.

    Rounded to nearest in a format of at most 51 bits, that gives what the exact sum would (Boldo and Melquiond 2008).
    """
    with quiet():
        s = np.add(x, y, dtype=np.float64)
        of_y = s - x
        rest = (x - (s - of_y)) + (y - of_y)  # what the sum leaves out, exactly (Knuth's TwoSum)
        even = (s.view(np.int64) & 1) == 0
        return np.where((rest != 0) & even & np.isfinite(rest), np.nextafter(s, np.copysign(np.inf, rest)), s)


def run(work: Work, formula: Callable[..., Any], *arrays: Any, **metadata: Any) -> Any:
    """``formula(*arrays, **metadata)`` in the arithmetic `work`, without floating-point warnings."""
    with quiet():
        return formula(*(to_work(work, x) for x in arrays), **metadata)
