"""The exercises of 00_tour.

Layer 11. What is right is rounded, or summed, by fpsim.
"""

from __future__ import annotations

import numpy as np

from fpsim.accumulate import Accumulator
from fpsim.course.checks import Exercise
from fpsim.formats import float16
from fpsim.rounding import round as rounded

__all__ = ["EXERCISES"]


def _largest_square_root() -> int:
    return max(n for n in range(300) if np.isfinite(rounded(float(n) ** 2, float16)))


def _only_scale() -> int:
    scales = [k for k in range(40) if 1e-9 * 2.0**k >= float16.smallest_normal and 0.5 * 2.0**k <= float16.max]
    return scales[0]


EXERCISES = (
    Exercise(
        "ex00.1",
        right=_largest_square_root,
        hint="float16 ends at 65504. Which squares are below, and which is the first above?",
        wrong=[
            (256, "its square is 65536, a little more than 65504: that is rounded to infinity"),
            (65504, "this is the largest number itself. What is its square?"),
            (299, "300 is an example, not the border: try a number in the middle"),
        ],
        misconception="if the inputs are far inside the range, so is the result",
    ),
    Exercise(
        "ex00.2",
        right=lambda: Accumulator(float16).sum(np.concatenate([[1.0], np.full(1000, -0.0003)])),
        hint="do one step in float16: which numbers lie below 1, how far apart are they, and to which of them is the "
        "result rounded? Then a loop",
        wrong=[
            (
                1.0,
                "the step is more than half of the spacing below 1, so it is not lost. What is 1 - 0.0003 rounded to?",
            ),
            (0.7, "this is the exact result. Every step is rounded, and every time to the same side: which one?"),
        ],
        misconception="rounding only loses small updates (it can also make them larger)",
    ),
    Exercise(
        "ex00.3",
        right=_only_scale,
        hint="the smallest gradient must be lifted to 2^-14, and the largest must stay below 65504",
        wrong=[
            (5, "there the smallest gradient is no longer 0, but it is subnormal: one bit of it is left"),
            (17, "there the smallest is safe, but 0.5 becomes 65536. Where does float16 end?"),
        ],
        misconception="a gradient that is not 0 has survived",
    ),
)
