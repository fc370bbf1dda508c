"""Partial sums, one addition after the other, as exhibits of sums need them.

Layer 10. Adds through `fpsim.accumulate` alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fpsim.accumulate import Accumulator
from fpsim.formats import Format

__all__ = ["last_change", "partial_sums", "spaced", "uniform"]

Array = np.ndarray[Any, Any]


def partial_sums(terms: Array, fmt: str) -> Array:
    """``s_n = round(s_(n-1) + round(x_n))`` for n = 1, 2, ... in a format; order ``sequential``."""
    acc = Accumulator(Format(fmt), order="sequential")
    rounded = acc.round(terms)
    if rounded.dtype == np.float32 and acc.format.name == "float32":
        return np.add.accumulate(rounded)  # adds one after the other, each sum rounded to float32
    sums = np.empty_like(rounded)
    s = np.zeros((), rounded.dtype)
    for n, term in enumerate(rounded):
        s = sums[n] = acc.step(np.add, s, term)
    return sums


def last_change(sums: Array) -> int:
    """The number of the last term that changed the sum (terms are numbered from 1)."""
    changed = np.flatnonzero(np.diff(sums, prepend=sums.dtype.type(0)))
    return int(changed[-1]) + 1 if changed.size else 0


def spaced(n: int) -> list[int]:
    """1, 2, ... and from 16 on one in some 6 % more, up to n: about even on a logarithmic axis."""
    at = [1]
    while at[-1] < n:
        at.append(min(at[-1] + max(1, at[-1] // 16), n))
    return at


def uniform(count: int, seed: int) -> Array:
    """Uniform numbers in [0, 1) from PCG64's raw bits, which NumPy keeps the same from version to version."""
    raw = np.random.PCG64(np.random.SeedSequence(seed)).random_raw(count)
    return (raw >> np.uint64(11)) * 2.0**-53
