"""The ways of rounding that kernels know, as tuples of constants, and which of them serves a format.

Layer 1. Imports no numba: `steps` gives each way its compiled operations.
"""

from __future__ import annotations

import platform
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from fpsim.formats import Format

__all__ = [
    "Bounded", "Definition", "Dropping", "Fused", "Half", "HalfBounded", "HardwareFused", "Magic", "Native",
    "Stochastic", "Way", "beyond", "bounded", "definition", "dropping", "fused", "half_bounded", "has_fma", "has_half",
    "magic", "stochastic",
]  # fmt: skip


class Native(NamedTuple):
    """The array's own arithmetic rounds as asked."""

    unused: int = 0


class Half(NamedTuple):
    """float16 by the hardware's conversions, in float32 arrays."""

    unused: int = 0


class HalfBounded(NamedTuple):
    """The same for products that do not overflow: they are rounded as `Bounded`, which spreads the work over ports."""

    low: Any
    to_magic: Any


class Magic(NamedTuple):
    """``(x + S) - S`` with ``S = 1.5 * 2**(e + stored - m)``: any format with room in the array's dtype.

    `low` and `high` are the exponent fields of the format's smallest normal and of twice its largest number; added to
    an exponent field, `to_magic` gives S. Beyond `largest`, `beyond` is stored; `zero` is +0 where -0 does not exist.
    """

    low: Any
    high: Any
    to_magic: Any
    largest: Any
    beyond: Any
    zero: Any


class Bounded(NamedTuple):
    """`Magic` where the caller has shown that nothing overflows, and where the sign of a zero does not matter."""

    low: Any
    to_magic: Any


class Dropping(NamedTuple):
    """The array's exponents and fewer significand bits (bfloat16 in float32): add half an ulp to the bits, cut."""

    dropped: Any
    half: Any
    kept: Any
    largest: Any
    beyond: Any


class Fused(NamedTuple):
    """``round(x * y + s)`` in float64 arrays, where x * y is exact: the sum is rounded to odd, then as `Magic` does."""

    low: Any
    high: Any
    to_magic: Any
    largest: Any
    beyond: Any
    zero: Any


class HardwareFused(NamedTuple):
    """``x * y + s`` by the hardware's fused multiply-add in float64 arrays, for float64 itself."""

    unused: int = 0


class Stochastic(NamedTuple):
    """Up with the probability of the fraction passed, for numbers that float64 arrays hold exactly."""

    emin: Any
    emax: Any
    significand_bits: Any
    largest: Any
    beyond: Any
    zero: Any
    key: Any


class Definition(NamedTuple):
    """The defining kernel, one number at a time: any format, residues carried, nearest even or stochastic."""

    emin: Any
    emax: Any
    significand_bits: Any
    largest: Any
    beyond: Any
    zero: Any
    stochastic: bool
    key: Any
    fma: bool


Way = Native | Half | HalfBounded | Magic | Bounded | Dropping | Fused | HardwareFused | Stochastic | Definition

_LAYOUT: dict[type, tuple[int, int, type]] = {np.float32: (23, 127, np.int32), np.float64: (52, 1023, np.int64)}


def has_half() -> bool:
    """Whether the CPU converts float32 to float16 and back by itself."""
    return _cpu_has("f16c")


def has_fma() -> bool:
    """Whether the CPU has a fused multiply-add."""
    return _cpu_has("fma")


@cache
def _cpu_has(feature: str) -> bool:
    """Whether the CPU has a feature that every 64-bit ARM has, and an x86 may have."""
    if platform.machine().lower() in ("aarch64", "arm64"):
        return True
    import llvmlite.binding as llvm

    return bool(llvm.get_host_cpu_features().get(feature, False))


def beyond(fmt: Format, saturate: bool) -> float:
    """What is stored for a number whose rounding exceeds the largest finite one."""
    return fmt.max if saturate or not fmt.has_nan else float("inf") if fmt.has_inf else float("nan")


def _fields(fmt: Format, dtype: type) -> tuple[Any, Any, Any]:
    stored, bias, integer = _LAYOUT[dtype]
    low, high = ((e + bias) << stored for e in (fmt.emin, fmt.emax + 1))
    return integer(low), integer(high), integer(((stored - fmt.significand_bits) << stored) + (1 << (stored - 1)))


def _settling(fmt: Format, saturate: bool, dtype: type) -> tuple[Any, Any, Any]:
    return dtype(fmt.max), dtype(beyond(fmt, saturate)), dtype(-0.0 if fmt.has_negative_zero else 0.0)


@cache
def magic(fmt: Format, dtype: type, saturate: bool) -> Magic:
    """Constants of `Magic` for arrays of `dtype`."""
    return Magic(*_fields(fmt, dtype), *_settling(fmt, saturate, dtype))


@cache
def fused(fmt: Format, saturate: bool) -> Fused:
    """Constants of `Fused`, for float64 arrays."""
    return Fused(*magic(fmt, np.float64, saturate))


@cache
def bounded(fmt: Format, dtype: type) -> Bounded:
    """Constants of `Bounded` for arrays of `dtype`."""
    low, _, to_magic = _fields(fmt, dtype)
    return Bounded(low, to_magic)


@cache
def half_bounded(fmt: Format) -> HalfBounded:
    """Constants of `HalfBounded`; `fmt` is float16."""
    return HalfBounded(*bounded(fmt, np.float32))


@cache
def dropping(fmt: Format, dtype: type, saturate: bool) -> Dropping:
    """Constants of `Dropping` for arrays of `dtype`."""
    stored, _, integer = _LAYOUT[dtype]
    dropped = stored - fmt.significand_bits
    half, kept = (1 << (dropped - 1)) - 1, -1 << dropped
    largest, over, _ = _settling(fmt, saturate, dtype)
    return Dropping(integer(dropped), integer(half), integer(kept), largest, over)


def stochastic(fmt: Format, saturate: bool, key: int) -> Stochastic:
    """Constants of `Stochastic`, for float64 arrays."""
    exponents = np.int64(fmt.emin), np.int64(fmt.emax), np.int64(fmt.significand_bits)
    return Stochastic(*exponents, *_settling(fmt, saturate, np.float64), np.uint64(key))


def definition(fmt: Format, saturate: bool, mode: str, key: int, fma: bool) -> Definition:
    """Constants of `Definition`, for float64 arrays."""
    exponents = np.int64(fmt.emin), np.int64(fmt.emax), np.int64(fmt.significand_bits)
    return Definition(*exponents, *_settling(fmt, saturate, np.float64), mode == "stochastic", np.uint64(key), fma)
