"""The exercises of 07_master_weights_and_stochastic_rounding.

Layer 11. What is right is found by rounding.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fpsim.course.checks import Exercise
from fpsim.rounding import all_values, spacing
from fpsim.rounding import round as rounded

__all__ = ["EXERCISES"]

#: Numbers on which a student's stochastic rounding is tried, and a thousand evenly spread draws for each.
BETWEEN = (1.0001, 1.0007, 3.0013, 0.1, -2.7182, 1.5)
DRAWS = (np.arange(1000) + 0.5) / 1000


def _largest_lost(weight: float) -> float:
    """The largest number of float16 whose addition leaves a weight as it is."""
    numbers = all_values("float16").astype(float)
    numbers = numbers[np.isfinite(numbers)]
    return float(numbers[rounded(weight + numbers, "float16") == weight].max())


def _first_change(update: float) -> int:
    """The step at which the float16 copy of a float32 master of 1 is first another number."""
    master, n = np.float32(1), 0
    while rounded(master, "float16") == 1:
        master, n = np.float32(master + np.float32(update)), n + 1
    return n


def _biases(rounding: Any) -> list[Any] | None:
    """How far the mean over all draws is off, in spacings of float16, and how many different results there were."""
    found = []
    for x in BETWEEN:
        result = rounding(np.full(1000, x), DRAWS.copy())
        if result is None:
            return None
        result = np.asarray(result, float)
        bias = (result.mean() - x) / float(spacing(abs(x), "float16"))
        found.append([round(float(bias), 2) + 0.0, len(np.unique(result))])
    return found


def _neighbours(x: Any) -> tuple[Any, Any]:
    return rounded(x, "float16", mode="down"), rounded(x, "float16", mode="up")


def _stochastic(x: Any, draws: Any) -> Any:
    down, up = _neighbours(x)
    return np.where(draws * (up - down) < x - down, up, down)


def _fair(x: Any, draws: Any) -> Any:
    down, up = _neighbours(x)
    return np.where(draws < 0.5, up, down)


def _nearest(x: Any, draws: Any) -> Any:
    return rounded(x, "float16")


EXERCISES = (
    Exercise(
        "ex07.1",
        right=lambda: _largest_lost(0.5),
        hint="half of the spacing above 0.5; and is the update that is exactly half lost, or does the tie go up?",
        wrong=[
            (2.0**-11, "this is the whole spacing above 0.5: it leads to the next number exactly"),
            (2.0**-13, "this is half of the spacing *below* 0.5, where it is finer. The update is added"),
        ],
        misconception="an update is lost only if it is smaller than the smallest number",
    ),
    Exercise(
        "ex07.2",
        right=lambda: _first_change(1e-4),
        hint="the master grows by 0.0001 a step; its copy changes when the master is nearer to the next float16 number "
        "than to 1",
        wrong=[
            (10, "that many steps make up a whole spacing. The copy is rounded to nearest: half of it will do"),
            (4, "after that many the master is still a little nearer to 1"),
            (1, "the master changes at once; its float16 copy has no number between 1 and 1 + 2^-10"),
        ],
        misconception="with a master weight the network sees every update at once",
    ),
    Exercise(
        "ex07.3",
        right=lambda: 0.001 / float(spacing(1.0, "bfloat16")),
        hint="how far is it from 1 to the next bfloat16 number, and which part of that way is 0.001?",
        wrong=[
            (0.5, "this would be a fair coin, and biased: the nearer neighbour has to come up more often"),
            (0.001 / 2**-8, "this divides by half the spacing; but the way to the next number is all of it"),
            (0.001 / 2**-10, "this is the spacing of float16; bfloat16 has three significand bits fewer"),
        ],
        misconception="rounding at random means up or down with equal chances",
        within=1e-6,
    ),
    Exercise(
        "ex07.4",
        right=lambda: _biases(_stochastic),
        measure=_biases,
        hint='fp.round(x, "float16", mode="down") and mode="up" are the neighbours. How often must it be the upper '
        "one, if x lies a tenth of the way above the lower one? And if x is a number of float16?",
        wrong=[
            (_fair, "each of the two neighbours comes up equally often, wherever x lies: on average it is the middle"),
            (_nearest, "this is rounding to nearest: every draw gives the same neighbour. What are the draws for?"),
        ],
        misconception="a random rounding is unbiased whatever its odds",
    ),
)
