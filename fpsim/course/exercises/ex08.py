"""The exercises of 08_bfloat16_fp8_and_your_own_format.

Layer 11. What is right is read off the formats.
"""

from __future__ import annotations

import math
from itertools import product

from fpsim.course.checks import Exercise
from fpsim.formats import Format, float4_e2m1fn
from fpsim.rounding import round as rounded

__all__ = ["EXERCISES"]


def _fewest_bits(smallest: int, largest: int, error: float) -> str:
    """The format with fewest bits whose normal numbers reach from 2^smallest to 2^largest, with at most that error."""
    fits = [
        fmt
        for fmt in (Format(f"e{e}m{m}") for e, m in product(range(2, 9), range(1, 11)))
        if fmt.emin <= smallest and fmt.emax >= largest and fmt.unit_roundoff <= error
    ]
    return min(fits, key=lambda fmt: fmt.bits).name


def _block_scale(largest: float) -> float:
    """The scale that OCP's MX gives a block of E2M1."""
    return 2.0 ** (math.floor(math.log2(largest)) - float4_e2m1fn.emax)


EXERCISES = (
    Exercise(
        "ex08.1",
        right=lambda: Format("e6m9").max,
        hint="the largest significand times the largest power of two. Six exponent bits: which codes are left for "
        "numbers, and what is the bias?",
        wrong=[
            (2.0**32, "this is the next power of two, no number of the format: its significand stays below 2"),
            ((2 - 2.0**-9) * 2.0**32, "the highest exponent code is taken: it is for infinity and nan"),
        ],
        misconception="all exponent codes are for numbers",
    ),
    Exercise(
        "ex08.2",
        right=lambda: rounded(300.0, "float8_e4m3fn"),
        hint="300 lies between 256 and 512, where three significand bits make 8 steps. Which of the two neighbours is "
        "nearer?",
        wrong=[
            (300.0, "between 256 and 512 this format has eight numbers; 300 is not one of them"),
            (240.0, "an IEEE-like E4M3 ends there; OCP's makes numbers of the codes for infinity and nan"),
            (math.nan, "OCP's E4M3 has numbers beyond 300: it ends at 448"),
        ],
        misconception="E4M3 is IEEE's layout in 8 bits",
    ),
    Exercise(
        "ex08.3",
        right=lambda: _fewest_bits(-30, 3, 0.01),
        hint="range first: the least exponent of n exponent bits is 2 - 2^(n - 1). Then accuracy: the largest error is "
        "half of the spacing, relative to the number",
        wrong=[
            ("e5m6", "the significand will do; but five exponent bits end at 2^-14, for subnormals lose bits"),
            ("e6m7", "it does, but one bit can go: the error of rounding to nearest is *half* of the spacing"),
            ("e8m6", "it does, but so many exponent bits are not needed to reach 2^-30"),
        ],
        misconception="the error of a rounding is the spacing; subnormal numbers extend the range for free",
    ),
    Exercise(
        "ex08.4",
        right=lambda: _block_scale(100.0),
        hint="2^(floor(log2 largest) - emax). Which power of two is in 100, and which in E2M1's largest number?",
        wrong=[
            (100 / 6, "this takes 100 to the largest number exactly; but a block's scale is a power of two"),
            (64.0, "this takes the block into [1, 2) and leaves the larger numbers of E2M1 unused"),
        ],
        misconception="a block is scaled to 1, like a norm",
        within=1e-9,
    ),
)
