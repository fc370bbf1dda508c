"""The exercises of 09_property_testing_numerics.

Layer 11. A student's test is tested: on a function that is right, and on four that are not.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fpsim.course.checks import Exercise
from fpsim.formats import float16, float32
from fpsim.rounding import all_values
from fpsim.rounding import round as rounded

__all__ = ["EXERCISES"]

#: A cast that is right; one that truncates, one whose ties go away from zero, one that rounds twice, one that has no
#: subnormal numbers.
CASTS = (
    lambda x: rounded(x, float16),
    lambda x: rounded(x, float16, mode="toward_zero"),
    lambda x: rounded(x, float16, mode="nearest_away"),
    lambda x: rounded(rounded(x, float32), float16),
    lambda x: rounded(x, float16, flush_subnormals=True),
)


def _found(holds: Any) -> list[Any]:
    """What a student's test says about each of the casts; nothing while it has no body."""
    said = [holds(cast) for cast in CASTS]
    return [None if answer is None else bool(answer) for answer in said]


def _on_random_numbers(cast: Any) -> bool:
    x = np.random.default_rng(0).uniform(1, 2, 1000)
    return np.array_equal(cast(x), rounded(x, float16))


def _on_the_grid(cast: Any) -> bool:
    x = all_values(float16).astype(np.float64)
    x = x[np.abs(x) >= float16.smallest_normal]
    return np.array_equal(cast(x), rounded(x, float16))


def _on_middles(cast: Any) -> bool:
    x = all_values(float16).astype(np.float64)
    x = x[np.isfinite(x)]
    middles = (x[:-1] + x[1:]) / 2
    return np.array_equal(cast(middles), rounded(middles, float16))


def _what_three_numbers_do(answer: Any) -> str:
    """``differ``, or why it is no example."""
    if len(answer) != 3:
        return "not three"
    a, b, c = three = [float(x) for x in answer]
    if any(rounded(x, float16) != x for x in three):
        return "not float16"
    if not all(1 <= x < 2 for x in three):
        return "not in [1, 2)"
    left, right = rounded(rounded(a + b, float16) + c, float16), rounded(a + rounded(b + c, float16), float16)
    return "differ" if left != right else "agree"


EXERCISES = (
    Exercise(
        "ex09.1",
        right=lambda: next(n for n in range(100) if np.isinf(rounded(np.exp(float(n)), float16))),
        hint="float16 ends at 65504: what is its logarithm?",
        wrong=[
            (16, "this is the *simplest* by Hypothesis's measure, not the smallest. Try its neighbours"),
            (11, "nearly: exp(11) is 59,874. Is that beyond the end?"),
        ],
        misconception="a shrunk example is the smallest input that fails",
    ),
    Exercise(
        "ex09.2",
        right=lambda: "differ",
        measure=_what_three_numbers_do,
        hint="the sum of two numbers in [1, 2) lies in [2, 4), where the spacing is twice as large: an odd last bit "
        "has to go. Which of the two sums may it go from?",
        wrong=[
            ([1.0, 1.5, 1.25], "these have so few bits that all sums are exact. The last bit of a number must matter"),
            ([1.1, 1.2, 1.3], "these are no float16 numbers: storing them has rounded them already"),
            ([1.0, 2048.0, 1.0], "they show it, but they are not all in [1, 2). It happens there, too"),
            ([1.0, 1.5], "three numbers, as a list"),
        ],
        misconception="addition is not associative only between large and small numbers",
    ),
    Exercise(
        "ex09.3",
        right=lambda: [True, False, False, False, False],
        measure=_found,
        hint="rounding is decided at the middle between two neighbours. Try every middle, what lies directly beside it "
        "on either side (np.nextafter), and the numbers themselves, the smallest included",
        wrong=[
            (
                _on_random_numbers,
                "this finds truncation, nothing else: a random number is never a tie, hardly ever near one, and from 1 "
                "to 2 nothing is subnormal",
            ),
            (
                _on_the_grid,
                "numbers of the format are not rounded at all: every fault but one in the subnormal ones passes, and "
                "that one too, if they are left out",
            ),
            (
                _on_middles,
                "the middles find three of the four. One rounds twice, through float32, and is right at a middle: "
                "where is it wrong?",
            ),
        ],
        misconception="many random numbers test a rounding thoroughly",
    ),
)
