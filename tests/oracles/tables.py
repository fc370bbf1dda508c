"""The law by looking things up: formats of at most 16 bits as sorted tables of their numbers.

Tests only. Rounding is a search in the table: no exponent or significand arithmetic. `test_oracles.py` checks it
against the rational oracle. Imports nothing of fpsim.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from tests.oracles import rational

#: Every ml_dtypes format with arithmetic, and splits around them. e11mY is left to the rational oracle: the number
#: after its largest is not a float64.
NAMED = tuple(name for name, fmt in rational.NAMED.items() if fmt.bits <= 16)
SPLITS = ("e2m1", "e2m5", "e3m2", "e4m11", "e5m6", "e6m9", "e7m8", "e8m4", "e10m5")
FORMATS = NAMED + SPLITS


@cache
def magnitudes(name: str) -> np.ndarray:
    """Every finite number without a sign, in order of its code: 0, subnormal ones, normal ones."""
    fmt = rational.grid(name)
    m = fmt.significand_bits
    code = np.arange(2 ** (fmt.bits - 1))
    exponent, fraction = np.maximum(code >> m, 1), code & (2**m - 1)
    significand = fraction + np.where(code >> m, 2**m, 0)
    with np.errstate(over="ignore"):
        values = np.ldexp(significand.astype(float), exponent - 1 + fmt.emin - m)
    return values[values <= float(fmt.max)]


def decode(codes: np.ndarray, name: str) -> np.ndarray:
    """Codes (sign, exponent, significand) as float64."""
    fmt, table = rational.grid(name), magnitudes(name)
    sign_bit = 2 ** (fmt.bits - 1)
    codes = np.asarray(codes).astype(np.int64)
    magnitude = codes % sign_bit
    values = np.append(table, np.nan)[np.minimum(magnitude, table.size)]
    if fmt.has_inf:
        values[magnitude == table.size] = np.inf
    values = np.where(codes >= sign_bit, -values, values)
    return values if fmt.has_negative_zero else np.where(codes == sign_bit, np.nan, values)


class Located:
    """Where each x stands among a format's numbers, found once for all modes."""

    def __init__(self, x: np.ndarray, name: str) -> None:
        self.fmt, self.table = rational.grid(name), magnitudes(name)
        wide = np.asarray(x).astype(np.float64)
        self.nan, self.infinite, self.negative = np.isnan(wide), np.isinf(wide), np.signbit(wide)
        size = np.abs(wide)
        # One number past the largest, where the unbounded grid goes on.
        ladder = np.append(self.table, float(self.fmt.max + rational.ulp(self.fmt.max, self.fmt)))
        self.lower = np.clip(np.searchsorted(ladder, size, side="right") - 1, 0, self.table.size - 1)
        middle = (ladder[self.lower] + ladder[self.lower + 1]) / 2
        self.exact = size == ladder[self.lower]
        self.past_middle, self.tie = size > middle, size == middle
        self.beyond = size >= ladder[-1]

    def rounded(self, mode: str, saturate: bool = False, flush: bool = False) -> np.ndarray:
        fmt, table = self.fmt, self.table
        if mode == "nearest_even":
            away = self.past_middle | (self.tie & (self.lower % 2 == 1))
        elif mode == "nearest_away":
            away = self.past_middle | self.tie
        else:
            outward = {"toward_zero": False, "up": ~self.negative, "down": self.negative}[mode]
            away = ~self.exact & outward
        at = np.where(self.beyond & away, table.size, self.lower + away)
        inward = (mode == "toward_zero") | ((mode == "up") & self.negative) | ((mode == "down") & ~self.negative)
        overflow = (at == table.size) | (self.beyond & ~inward)
        past = table[-1] if saturate or not fmt.has_nan else np.inf if fmt.has_inf else np.nan
        out = np.where(overflow, past, table[np.minimum(at, table.size - 1)])
        out = np.where(self.infinite, past, out)
        if flush:
            out = np.where(out < float(rational.two(fmt.emin)), 0.0, out)
        out = np.where(self.negative, -out, out)
        out = np.where(self.nan, np.nan, out)
        return out if fmt.has_negative_zero else np.where(out == 0, 0.0, out)


def probes(name: str, dtype: type) -> np.ndarray:
    """Every number and midpoint of a format, their neighbours in `dtype`, the overflow edge; both signs."""
    table = magnitudes(name)
    step = table[-1] - table[-2]
    edge = table[-1] + step * np.array([0.5, 1, 1.5, 2, 64])
    points = np.concatenate([table, (table[:-1] + table[1:]) / 2, edge, [np.finfo(dtype).max, np.inf]])
    with np.errstate(over="ignore", under="ignore"):
        points = points.astype(dtype)
        points = np.concatenate([points, np.nextafter(points, dtype(0)), np.nextafter(points, dtype(np.inf))])
    points = np.unique(points[points >= 0])
    specials = [np.nan] if rational.grid(name).has_nan else []
    return np.concatenate([points, -points, np.array(specials, dtype)])
