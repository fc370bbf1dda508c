"""The exercises of 10_claims_checked.

Layer 11. What is right is measured on the network, or computed as a statistician would.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fpsim import nn
from fpsim.course.checks import Exercise
from fpsim.observe.cost import cost
from fpsim.ops.functions import zeros

__all__ = ["EXERCISES"]

#: Accuracies of two recipes over the same five seeds, in percent, on which a student's interval is tried.
PAIRS = (
    (np.array([84.2, 85.0, 86.1, 83.9, 85.5]), np.array([83.9, 85.1, 85.7, 83.7, 85.0])),
    (np.array([91.0, 88.0, 90.0, 89.5, 92.5]), np.array([90.0, 88.5, 89.5, 88.0, 92.0])),
)
#: Student's t for 95 % and five seeds.
T = 2.776


def _features(size: int) -> int:
    """Numbers for one image after LeNet's convolutions and pools."""
    F, net, x = nn.functional, nn.LeNet(), zeros(1, 1, size, size)
    x = F.max_pool2d(F.relu(net.conv1(x)), 2)
    return int(F.max_pool2d(F.relu(net.conv2(x)), 2).size)


def _bytes_per_parameter() -> float:
    found = cost(nn.Linear(64, 10), (1, 64), "bfloat16_stochastic", optimizer="adam")
    return sum(found["bfloat16_stochastic"].bytes_per_parameter().values())


def _intervals(interval: Any) -> list[Any] | None:
    """Mean difference and half the width of its interval, for each pair."""
    found = [interval(a.copy(), b.copy()) for a, b in PAIRS]
    return None if any(result is None for result in found) else [[float(x) for x in result] for result in found]


def _paired(a: Any, b: Any) -> tuple[Any, Any]:
    d = a - b
    return d.mean(), T * d.std(ddof=1) / np.sqrt(len(d))


def _unpaired(a: Any, b: Any) -> tuple[Any, Any]:
    return (a - b).mean(), T * np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / len(a))


def _of_one_run(a: Any, b: Any) -> tuple[Any, Any]:
    d = a - b
    return d.mean(), T * d.std(ddof=1)


EXERCISES = (
    Exercise(
        "ex10.1",
        right=lambda: _features(24),
        hint="each convolution takes 4 from a side (5x5, no padding), each pool halves it; there are 64 channels",
        wrong=[
            (64 * 4 * 4, "this is for images of 28 x 28; these are smaller still"),
            (64 * 6 * 6, "this only halves twice; without padding a 5x5 window also takes 4 from each side, twice"),
        ],
        misconception="a convolution keeps the size of its image",
    ),
    Exercise(
        "ex10.2",
        right=lambda: 50 * _features(28) // 1600,
        hint="view keeps the numbers and only counts them into rows of 1600. How many numbers are 50 images of 64*4*4?",
        wrong=[
            (50, "one row an image would need 1600 numbers an image; at 28 x 28 there are fewer"),
            (16, "this is what becomes of 25 images; here there are 50"),
        ],
        misconception="the first dimension after a view is the batch",
    ),
    Exercise(
        "ex10.3",
        right=_bytes_per_parameter,
        hint="the weight, its gradient, and Adam's two running means, each in bfloat16; nothing in float32",
        wrong=[
            (16.0, "this is with everything in float32, or with a float32 master and float32 state; here is neither"),
            (6.0, "weight, gradient and one more: Adam keeps two numbers for every weight, m and v"),
        ],
        misconception="half precision halves the memory of training, whatever the recipe",
    ),
    Exercise(
        "ex10.4",
        right=lambda: _intervals(_paired),
        measure=_intervals,
        hint="the seeds are the same for both: what is it whose mean has an interval? And how does the spread of one "
        "value become that of a mean? (sign: a minus b; the half width, not the whole)",
        wrong=[
            (_unpaired, "this takes the two as independent. They share their seeds: look at the differences"),
            (_of_one_run, "this is the spread of single runs; the mean of n of them varies less"),
        ],
        misconception="if two runs differ, their recipes do",
        within=1e-3,
    ),
)
