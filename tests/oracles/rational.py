"""The law in exact arithmetic: the formats' figures typed in by hand, and `fpsim.testing.exact` over them.

Tests only. Uses of fpsim its oracle alone, which `test_oracles.py` checks against tables, NumPy and ml_dtypes.
"""

from __future__ import annotations

import re
from fractions import Fraction

from fpsim.testing.exact import MODES, Grid, Real, accumulate, add, product, real
from fpsim.testing.exact.grid import around, delivered, floor_log2, two, ulp
from fpsim.testing.exact.grid import round_real as round_exact

__all__ = [
    "MODES", "NAMED", "Fraction", "Grid", "Real", "accumulate", "add", "dot", "floor_log2", "grid", "product", "real",
    "round_exact", "stochastic", "total", "two", "ulp",
]  # fmt: skip

IEEE = (True, True, True)
FN = (False, True, True)
FNUZ = (False, True, False)
FINITE = (False, False, True)

#: Typed in from IEEE 754-2019 table 3.5, OCP 8-bit FP 1.0, OCP MX 1.0 and ml_dtypes' documentation.
NAMED = {
    "float16": Grid(5, 10, -14, Fraction(65504), *IEEE),
    "bfloat16": Grid(8, 7, -126, 255 * two(120), *IEEE),
    "tfloat32": Grid(8, 10, -126, 2047 * two(117), *IEEE),
    "float32": Grid(8, 23, -126, (two(24) - 1) * two(104), *IEEE),
    "float64": Grid(11, 52, -1022, (two(53) - 1) * two(971), *IEEE),
    "float8_e5m2": Grid(5, 2, -14, Fraction(57344), *IEEE),
    "float8_e4m3": Grid(4, 3, -6, Fraction(240), *IEEE),
    "float8_e3m4": Grid(3, 4, -2, Fraction("15.5"), *IEEE),
    "float8_e4m3fn": Grid(4, 3, -6, Fraction(448), *FN),
    "float8_e4m3fnuz": Grid(4, 3, -7, Fraction(240), *FNUZ),
    "float8_e4m3b11fnuz": Grid(4, 3, -10, Fraction(30), *FNUZ),
    "float8_e5m2fnuz": Grid(5, 2, -15, Fraction(57344), *FNUZ),
    "float6_e3m2fn": Grid(3, 2, -2, Fraction(28), *FINITE),
    "float6_e2m3fn": Grid(2, 3, 0, Fraction("7.5"), *FINITE),
    "float4_e2m1fn": Grid(2, 1, 0, Fraction(6), *FINITE),
}


def grid(name: str) -> Grid:
    """A named format, or the IEEE-like one of ``eXmY``."""
    if name in NAMED:
        return NAMED[name]
    exponent_bits, significand_bits = map(int, re.fullmatch(r"e(\d+)m(\d+)", name).groups())
    emax = 2 ** (exponent_bits - 1) - 1
    return Grid(exponent_bits, significand_bits, 1 - emax, (2 - two(-significand_bits)) * two(emax))


def stochastic(value: Fraction, fmt: Grid) -> tuple[float, float, Fraction]:
    """The neighbour toward zero, the one away from it, and the probability of the second."""
    lower, upper, position = around(value, fmt)
    toward, away = (delivered(m, value < 0, fmt, "stochastic", False, False) for m in (lower, upper))
    return toward, away, position


def total(xs, fmt: Grid, **how) -> float:
    """``acc.sum(xs)``."""
    return accumulate(xs, fmt, **how)


def dot(xs, ys, fmt: Grid, **how) -> float:
    """``acc.dot(xs, ys)``."""
    return accumulate([product(x, y) for x, y in zip(xs, ys, strict=True)], fmt, **how)
