"""The exercises of 03_summation_and_accumulators.

Layer 11. What is right is computed by accumulators, one addition at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fpsim.accumulate import Accumulator
from fpsim.course.checks import Exercise
from fpsim.formats import bfloat16, float16
from fpsim.rounding import round as rounded

__all__ = ["EXERCISES"]

#: What a student's summing function is tried on: terms lost one by one, and a sum that Kahan's way cannot save either.
SERIES = (np.concatenate([[1.0], np.full(1000, 0.0004)]), np.full(3000, 0.1), np.array([1.0, 1e4, 1.0, -1e4]))


def _sums(total: Any) -> list[Any]:
    """What a summing function makes of copies of the three series."""
    return [total(x.copy()) for x in SERIES]


def _of(order: str) -> Any:
    return lambda x: Accumulator(float16, order).sum(x)


EXERCISES = (
    Exercise(
        "ex03.1",
        right=lambda: Accumulator(bfloat16).sum(np.full(10_000, 3.0)),
        hint="the sum stops where the addend falls to half the spacing, or just below. At which power of two is "
        "bfloat16's spacing more than twice the addend, and does a tie stop it earlier?",
        wrong=[
            (256.0, "that is where ones stop. These addends are three times as large: they survive a coarser grid"),
            (768.0, "three times the ones' stop? Spacing changes only at powers of two, not in proportion"),
        ],
        misconception="the point at which a sum stops is proportional to the addend",
    ),
    Exercise(
        "ex03.2",
        right=lambda: "float16/float32",
        hint="a tensor is stored/accumulated. Which of the two did the damage in section 2, and is a wider "
        "storage needed as well?",
        wrong=[
            (
                "float32/float16",
                "the terms are fine now, but the running sum is still kept in few bits: it is swamped as before",
            ),
            (
                "float32/float32",
                "near enough, but its terms take twice the memory they may",
            ),
        ],
        misconception="better numbers to add give a better sum",
    ),
    Exercise(
        "ex03.3",
        right=lambda: _sums(_of("kahan")),
        measure=_sums,
        hint="y = x - c; t = s + y; c = (t - s) - y; s = t, and every one of the four results is rounded to float16 "
        "on its own. c is what the last addition added too much",
        wrong=[
            (
                _of("sequential"),
                "this is the plain running sum: what an addition loses is not carried to the next one",
            ),
            (
                lambda x: rounded(np.sum(x), float16),
                "this sums in float64 and rounds once. Round each single operation, as a float16 unit does",
            ),
        ],
        misconception="compensated summation is a wider accumulator in disguise",
    ),
)
