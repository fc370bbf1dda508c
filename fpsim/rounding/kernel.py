"""Rounding arrays to a format: the one place of fpsim that rounds.

Layer 1. `round_to` picks between the definition (`_by_scaling`: every mode, any residue), two fast kernels for round to
nearest even, and compiled ones where there is much to do; all give the same bits. It knows nothing of tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FormatError, expected
from fpsim.formats import Format, float16, float32, float64
from fpsim.kernels import ways
from fpsim.kernels.loading import compiled
from fpsim.kernels.threads import in_parallel, share
from fpsim.rounding.quiet import quiet
from fpsim.rounding.wide import FARTHEST, Wide

__all__ = ["Array", "hashed_uniform", "is_rounded", "round_to", "way_to_nearest"]

Array = NDArray[Any]
Kernel = Callable[[Array, Format, Array], None]

#: Elements of one cache block, 256 KB of float32: the ufunc calls of a block then find their operands in cache.
BLOCK = 1 << 16

#: Seconds an element takes in NumPy by a fast kernel, in NumPy by the definition, and compiled; and a call in NumPy.
IN_NUMPY, IN_NUMPY_BY_DEFINITION, COMPILED, PER_CALL = 3e-9, 200e-9, 0.7e-9, 25e-6

#: Elements that are not worth asking how many threads to share them among.
SMALL = 1 << 15

_INT: dict[np.dtype[Any], type] = {np.dtype(np.float32): np.int32, np.dtype(np.float64): np.int64}


def round_to(
    x: Array | Wide,
    fmt: Format,
    mode: str = "nearest_even",
    *,
    saturate: bool = False,
    flush_subnormals: bool = False,
    key: int = 0,
    index: Array | None = None,
    out: Array | None = None,
) -> Array:
    """Round float32, float64 or wide values once to `fmt`; the result has the format's carrier dtype.

    Parameters
    ----------
    x : ndarray of float32 or float64, or Wide
        Each value is rounded directly from what it is. Returned itself, not copied, where nothing can change.
    key, index : int, ndarray of integers
        Mode ``stochastic``: an element is decided by a hash of `key` and its index (default: its place in C order).
    out : ndarray, optional
        Where to write, C-contiguous, of a dtype that holds the format; may be `x` itself.

    Notes
    -----
    Overflow gives what IEEE 754 would deliver: infinity (NaN where the format has none), in the directed modes the
    largest finite number on the side of zero. `saturate` gives the largest finite number always.
    """
    if fmt.specials == "scale":
        raise FormatError(
            expected("round", "a format with arithmetic", f"fmt={fmt.name}", "it codes scales: use encode and decode")
        )
    kernel = None if isinstance(x, Wide) or mode != "nearest_even" else _fast_kernel(x.dtype, fmt)
    if kernel is _unchanged and (out is None or out is x) and not (saturate or flush_subnormals):
        assert not isinstance(x, Wide)
        return x if x.dtype == fmt.carrier else x.astype(fmt.carrier)
    if out is None:  # in x's own memory order
        out = np.empty_like(x, fmt.carrier) if isinstance(x, np.ndarray) else np.empty(x.shape, fmt.carrier)
    if not flush_subnormals and fmt.has_nan and isinstance(x, np.ndarray) and index is None:
        kernels = compiled(PER_CALL + x.size * (IN_NUMPY if kernel else IN_NUMPY_BY_DEFINITION))
        way = _way_for(kernel, x.dtype, fmt, mode, saturate, key) if kernels is not None else None
        if way is not None:
            return _round_compiled(kernels, way, x, out)
    with quiet():
        if kernel is None:
            rounded = _by_scaling(Wide.of(x), fmt, mode, key, index)
            _settle(rounded, fmt, saturate, flush_subnormals)
            out[...] = rounded
            return out
        assert not isinstance(x, Wide)
        if kernel is _unchanged:  # what is left to settle is settled in the wider dtype of the two
            x = x.astype(fmt.carrier, copy=False)
        flat_x, flat_out = _flat(x, out)
        for start in range(0, flat_x.size, BLOCK):
            block, target = flat_x[start : start + BLOCK], flat_out[start : start + BLOCK]
            # the kernels work in x's own dtype; only where the carrier differs does the result need a second array
            rounded = target if target.dtype == block.dtype else np.empty_like(block)
            kernel(block, fmt, rounded)
            _settle(rounded, fmt, saturate, flush_subnormals)
            if rounded is not target:
                target[...] = rounded
        if not np.may_share_memory(flat_out, out):
            out[...] = flat_out.reshape(x.shape)
    return out


def way_to_nearest(dtype: Any, fmt: Format, saturate: bool) -> Any:
    """How a compiled kernel rounds numbers of `dtype` to nearest even; None where NumPy does as well."""
    return _way_for(_fast_kernel(np.dtype(dtype), fmt), np.dtype(dtype), fmt, "nearest_even", saturate, 0)


def _way_for(kernel: Kernel | None, dtype: Any, fmt: Format, mode: str, saturate: bool, key: int) -> Any:
    """The way of rounding that the compiled kernels know for this; None where NumPy does as well, or alone."""
    if kernel is _by_magic:
        if fmt == float16 and dtype == np.float32 and not saturate and ways.has_half():
            return ways.Half()
        return ways.magic(fmt, dtype.type, saturate)
    if kernel is _by_dropping_bits:
        return ways.dropping(fmt, dtype.type, saturate)
    if mode == "stochastic" and fmt.exponent_bits <= 10:  # float64 scales its numbers exactly
        return ways.stochastic(fmt, saturate, key)
    return None


def is_rounded(x: Array, fmt: Format) -> bool:
    """Whether every element of float32 or float64 numbers is a value of `fmt`."""
    if not fmt.has_nan and np.isnan(x).any():
        return False
    kernel = _fast_kernel(x.dtype, fmt)
    kernels = (
        compiled(PER_CALL + x.size * IN_NUMPY) if fmt.has_nan and kernel in (_by_magic, _by_dropping_bits) else None
    )
    if kernels is not None:
        return bool(kernels.is_rounded(_way_for(kernel, x.dtype, fmt, "nearest_even", False, 0), x.ravel("K")))
    return bool(np.array_equal(round_to(x, fmt), x, equal_nan=True))


def _round_compiled(kernels: Any, way: Any, x: Array, out: Array) -> Array:
    """`out`, filled by the compiled kernel: in the memory order of both, or in C order where chance depends on it."""
    if isinstance(way, ways.Stochastic):
        flat_x, flat_out = np.ascontiguousarray(x).reshape(-1), np.ascontiguousarray(out).reshape(-1)
    else:
        flat_x, flat_out = _flat(x, out)

    def task(start: int, stop: int) -> None:
        kernels.round_array(way, flat_x, flat_out, start, stop)

    if x.size < SMALL:
        task(0, x.size)
    else:
        in_parallel(task, share(x.size, x.size * COMPILED, 16))
    if not (out.flags.c_contiguous or np.may_share_memory(flat_out, out)):
        out[...] = flat_out.reshape(x.shape)
    return out


def _flat(x: Array, out: Array) -> tuple[Array, Array]:
    """Both as one axis: views, where both are dense in the same memory order, else copies in C order."""
    if x.flags.c_contiguous and out.flags.c_contiguous:
        return x.reshape(-1), out.reshape(-1)
    flat_x, flat_out = x.ravel("K"), out.ravel("K")
    strides = zip(x.shape, x.strides, out.strides, strict=True)
    same_order = all(n == 1 or a * out.itemsize == b * x.itemsize for n, a, b in strides)
    if same_order and np.may_share_memory(flat_x, x) and np.may_share_memory(flat_out, out):
        return flat_x, flat_out
    return np.ascontiguousarray(x).reshape(-1), np.ascontiguousarray(out).reshape(-1)


@cache
def _fast_kernel(dtype: np.dtype[Any], fmt: Format) -> Kernel | None:
    """The kernel for round to nearest even that is proven for this pair, or None."""
    work = float32 if dtype == np.float32 else float64
    if fmt.holds(work):
        return _unchanged
    if fmt == float32:
        return _by_conversion
    same_exponents = (fmt.exponent_bits, fmt.bias, fmt.specials) == (work.exponent_bits, work.bias, "ieee")
    if same_exponents:
        return _by_dropping_bits
    # the magic number 1.5 * 2**(e + stored - m) must not overflow, and must leave a bit to round to; and where the work
    # type's numbers are subnormal, its exponent field no longer says where the format's last place is
    in_range = fmt.emin >= work.emin and fmt.emax + 1 + work.significand_bits <= work.emax
    if in_range and fmt.significand_bits <= work.significand_bits - 2:
        return _by_magic
    return None


def _unchanged(x: Array, fmt: Format, out: Array) -> None:
    out[...] = x


def _by_conversion(x: Array, fmt: Format, out: Array) -> None:
    """From float64 to float32: the hardware's own instruction."""
    out[...] = x.astype(np.float32)


def _by_dropping_bits(x: Array, fmt: Format, out: Array) -> None:
    """The work type's exponents, fewer significand bits: add half an ulp (less the last kept bit), drop the rest.

    The carry runs into the exponent by itself: up a binade, out of the subnormal numbers, into infinity.
    """
    dropped = (23 if x.dtype == np.float32 else 52) - fmt.significand_bits
    integer = _INT[x.dtype]
    bits: Array = x.view(integer)
    rounded = bits >> dropped
    rounded &= 1
    rounded += (1 << (dropped - 1)) - 1
    rounded += bits
    rounded &= integer(-1 << dropped)
    np.copyto(rounded, bits, where=np.isnan(x))  # a NaN's payload must not carry
    out.view(integer)[...] = rounded


def _by_magic(x: Array, fmt: Format, out: Array) -> None:
    """``(x + S) - S``, where S is so large that the sum's last bit weighs one ulp of the format at x.

    ``S = 1.5 * 2**(e + stored - m)`` with e the exponent of x, at least emin (so subnormal numbers get their fixed
    ulp), at most emax + 1 (beyond that all overflows anyway). The 1.5 keeps the sum in S's binade for either sign.
    """
    stored, bias = (23, 127) if x.dtype == np.float32 else (52, 1023)
    integer = _INT[x.dtype]
    bits: Array = x.view(integer)
    magic = bits & integer((2 * bias + 1) << stored)
    np.maximum(magic, integer((fmt.emin + bias) << stored), out=magic)
    np.minimum(magic, integer((fmt.emax + 1 + bias) << stored), out=magic)
    magic += integer(((stored - fmt.significand_bits) << stored) + (1 << (stored - 1)))
    sign = bits & integer(-1 << (8 * x.itemsize - 1))
    big = magic.view(x.dtype)
    np.add(x, big, out=out)
    np.subtract(out, big, out=out)
    out.view(integer)[...] |= sign  # a negative number that rounds to zero is -0


def _by_scaling(x: Wide, fmt: Format, mode: str, key: int = 0, index: Array | None = None) -> Array:
    """Every mode, by definition: scale so that an ulp of the format weighs 1, decide whether to keep the fraction.

    Works on magnitudes, with the fraction above the integer part as the unevaluated sum ``above + rest``: exact for
    every format. The exponent is capped at emax: beyond the largest number the grid is that of the last binade.
    """
    finite, negative = np.isfinite(x.hi), np.signbit(x.hi)
    lo = np.where(negative, -x.lo, x.lo)
    # where hi is a power of two and lo pulls towards zero, the number lies in the binade below
    exponent = x.exponent - ((np.abs(x.hi) == 0.5) & (lo < 0))
    last_place = np.clip(exponent - 1, fmt.emin, fmt.emax) - fmt.significand_bits
    shift = np.maximum(x.exponent - last_place, FARTHEST)
    scaled = np.where(finite, np.ldexp(np.abs(x.hi), shift), 0.0)
    whole = np.floor(scaled)
    above, rest = scaled - whole, np.ldexp(lo, shift)
    borrow = (above == 0) & (rest < 0)
    whole, above = whole - borrow, above + borrow
    inexact = (above != 0) | (rest != 0)
    if mode == "toward_zero":
        away = np.zeros_like(negative)
    elif mode in ("up", "down"):
        away = inexact & (negative == (mode == "down"))
    elif mode == "stochastic":
        index = np.arange(scaled.size).reshape(scaled.shape) if index is None else index
        away = hashed_uniform(key, index) < above + rest
    else:
        half = (above - 0.5) + rest  # its sign is exact
        away = (half > 0) | ((half == 0) & ((np.fmod(whole, 2) != 0) | (mode == "nearest_away")))
    rounded = np.ldexp(whole + away, last_place)
    if mode in ("down", "up", "toward_zero"):  # towards zero the largest number stays
        stays = (mode == "toward_zero") | (negative == (mode == "up"))
        rounded = np.where(stays, np.minimum(rounded, fmt.max), rounded)
    rounded = np.copysign(rounded, x.hi)
    if mode == "down" and x.cancelled is not None:
        rounded = np.where(x.cancelled, -0.0, rounded)
    return np.where(finite, rounded, x.hi)


def _settle(rounded: Array, fmt: Format, saturate: bool, flush_subnormals: bool) -> None:
    """Replace, in place, what the format cannot hold: overflow, infinities, NaN, -0, unwanted subnormal numbers."""
    if rounded.size == 0:
        return
    if flush_subnormals:
        np.copyto(rounded, np.copysign(0.0, rounded), where=np.abs(rounded) < fmt.smallest_normal)
    saturate = saturate or not fmt.has_nan
    # one pass decides whether the rest is needed; a NaN makes the comparison false
    limit = fmt.max if saturate or not fmt.has_inf else _largest_kept(rounded.dtype, fmt)
    if not max(rounded.max(), -rounded.min()) <= limit:
        if not fmt.has_nan and np.isnan(rounded).any():
            where = int(np.flatnonzero(np.isnan(rounded))[0])
            raise FormatError(
                expected("round", f"numbers that {fmt.name} has", f"nan at flat index {where}", "mask it")
            )
        over = np.abs(rounded) > fmt.max
        instead = fmt.max if saturate else np.inf if fmt.has_inf else np.nan
        np.copyto(rounded, np.copysign(instead, rounded), where=over)
    if not fmt.has_negative_zero:
        rounded += 0.0


@cache
def _largest_kept(dtype: np.dtype[Any], fmt: Format) -> float:
    """The work type's own infinity needs no replacing where its range is the format's."""
    return np.inf if fmt.max * 2 > np.finfo(dtype).max else fmt.max


def hashed_uniform(key: int, index: Array) -> Array:
    """Numbers in [0, 1), multiples of 2**-53, from a hash of (key, index): the same on every machine and thread.

    SplitMix64 (Steele, Lea and Flood 2014) seeded with `key`, read at position `index`.
    """
    with np.errstate(over="ignore"):
        z = index.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(key)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53
