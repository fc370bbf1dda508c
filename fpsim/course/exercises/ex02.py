"""The exercises of 02_rounding_and_cancellation.

Layer 11. What is right is rounded once, or compared with float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fpsim.autograd.tensor import Tensor, tensor
from fpsim.course.checks import Exercise
from fpsim.formats import float16
from fpsim.observe import observe
from fpsim.rounding import nextafter
from fpsim.rounding import round as rounded

__all__ = ["EXERCISES"]

#: From where everything cancels to where nothing does.
PLACES = (0.001, 0.01, 0.3, 4.0, 100.0)


def _judged(root_minus_one: Any) -> list[Any]:
    """The formats that were used, then for each place whether the result is right; of an empty function None."""
    judged: list[Any] = [set()]
    for place in PLACES:
        x = tensor(place, dtype="float16")
        with observe() as report:
            result = root_minus_one(x)
        if result is None:
            return [None]
        if not isinstance(result, Tensor):
            raise TypeError(f"the result must be a tensor, as x is, not {type(result).__name__}")
        true = x.item() / (np.sqrt(1 + x.item()) + 1)
        judged[0] |= {row["format"] for row in report.rows()}
        judged.append(abs(result.item() - true) <= 0.003 * true)
    return judged


EXERCISES = (
    Exercise(
        "ex02.1",
        right=lambda: rounded(8204.0, float16),
        hint="write the two neighbours as multiples of 8. Which multiple is even?",
        wrong=[
            (
                8200.0,
                "both neighbours are even numbers; it is the last significand bit that must be 0. 8200 / 8 is odd",
            ),
            (8204.0, "numbers are 8 apart here, and this is not a multiple of 8: it cannot be stored"),
        ],
        misconception="'to even' means that the number is even",
    ),
    Exercise(
        "ex02.2",
        right=lambda: nextafter(2.0**-11, 1.0, float16),
        hint="between 1 and the next number, 1 + 2^-10, lies the middle. What happens to x beside it, below and above?",
        wrong=[
            (2.0**-10, "this is the distance from 1 to the next number. Smaller x do it, too: the sum is rounded"),
            (2.0**-11, "this is the middle exactly. A tie goes to the even neighbour: which one is that?"),
            (2.0**-24, "the smallest number that can be stored. But can it be added to 1?"),
        ],
        misconception="eps is the smallest number that changes 1 when it is added",
    ),
    Exercise(
        "ex02.3",
        right=lambda: [{"float16"}, *[True] * len(PLACES)],
        measure=_judged,
        hint="(sqrt(1 + x) - 1) (sqrt(1 + x) + 1) is a difference of squares. What is it, and what divides it?",
        wrong=[
            (lambda x: (1.0 + x).sqrt() - 1.0, "this still subtracts 1 from a number near 1: for x = 0.001 it gives 0"),
            (
                lambda x: x * 0.5,
                "right for small x only, where the root is nearly 1 + x / 2. Look for a formula for all x",
            ),
            (
                lambda x: ((1.0 + x.to("float32")).sqrt() - 1.0).to("float16"),
                "a wider format hides the cancellation until x is smaller still. Float16 will do with a better formula",
            ),
        ],
        misconception="what cancels needs a wider format (rather than another formula)",
    ),
)
