"""Numbers to compute with, the same for every version of NumPy, and the digest of an array.

Layer 10. Made of integers and powers of two alone: no generator's distribution, and nothing that is tested.
"""

from __future__ import annotations

import hashlib
import zlib
from typing import Any

import numpy as np

from fpsim.formats import Format

__all__ = ["digest", "integers", "labels", "real", "values"]


def integers(name: str, count: int) -> np.ndarray:
    """`count` uint64 numbers, the next ones of SplitMix64 (Steele, Lea and Flood 2014) from a seed made of `name`."""
    with np.errstate(over="ignore"):
        z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z += np.uint64(zlib.crc32(name.encode())) << np.uint64(32)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def labels(name: str, count: int, classes: int) -> np.ndarray:
    """`count` integers from 0 to ``classes - 1``."""
    return (integers(name, count) % np.uint64(classes)).astype(np.int64)


def values(name: str, shape: tuple[int, ...], fmt: Format, positive: bool = False) -> np.ndarray:
    """Normal numbers of the format, all its significand bits at random, of magnitude 1/4 to 4, as far as it goes."""
    low, high = max(-2, fmt.emin), min(1, fmt.emax - 1)
    drawn = integers(name, int(np.prod(shape, dtype=int)))
    fraction = (drawn >> np.uint64(11)) & np.uint64(2**fmt.significand_bits - 1)
    exponent = low + (drawn & np.uint64(7)).astype(np.int64) % (high - low + 1)
    sign = 1.0 if positive else 1.0 - 2.0 * ((drawn >> np.uint64(3)) & np.uint64(1)).astype(np.float64)
    magnitude = 2.0**fmt.significand_bits + fraction.astype(np.float64)
    return (sign * np.ldexp(magnitude, exponent - fmt.significand_bits)).reshape(shape)


def real(name: str, count: int, fmt: Format) -> np.ndarray:
    """float64 numbers to be rounded to the format: over and beyond its range, and its midpoints.

    The last of them are zeros, infinities and, where the format has it, NaN.
    """
    drawn = integers(name, count)
    fraction = drawn >> np.uint64(12)
    few = (drawn & np.uint64(3)) == 0  # some have one bit more than the format: midpoints
    fraction = np.where(few, fraction >> np.uint64(max(51 - fmt.significand_bits, 0)), fraction).astype(np.float64)
    place = np.where(few, min(fmt.significand_bits + 1, 52), 52)
    lowest, highest = max(fmt.emin - fmt.significand_bits - 2, -1022), min(fmt.emax + 2, 1023)
    exponent = lowest + (integers(f"{name}, exponents", count) % np.uint64(highest - lowest + 1)).astype(np.int64)
    sign = 1.0 - 2.0 * ((drawn >> np.uint64(2)) & np.uint64(1)).astype(np.float64)
    with np.errstate(over="ignore"):
        x = sign * np.ldexp(1.0 + np.ldexp(fraction, -place), exponent)
    ends = [0.0, -0.0, fmt.max, -fmt.max, fmt.smallest_subnormal, np.inf, -np.inf] + [np.nan] * fmt.has_nan
    return np.concatenate([x, ends])


def digest(*parts: Any) -> str:
    """SHA-256 of arrays (dtype, shape, values in C order, every NaN the same) and of texts."""
    hashed = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            hashed.update(part.encode() + b"\0")
            continue
        x = np.asarray(part, order="C")
        x = x.astype(x.dtype.newbyteorder("<"))
        if x.dtype.kind == "f":
            x = np.where(np.isnan(x), x.dtype.type("nan"), x)  # signs and payloads of NaN are the machine's own
        hashed.update(f"{x.dtype.str}{x.shape}".encode() + np.ascontiguousarray(x).tobytes())
    return hashed.hexdigest()
