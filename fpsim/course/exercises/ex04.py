"""The exercises of 04_autograd_in_any_precision.

Layer 11. What is right is differentiated, or measured, by fpsim.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fpsim.autograd.tensor import Tensor, tensor
from fpsim.course.checks import Exercise
from fpsim.observe.shadow import shadow
from fpsim.ops import functions as f

__all__ = ["EXERCISES"]

#: Where a student's softplus is tried: where everything works, where exp overflows, and in between.
PLACES = (-20.0, -5.0, -1.0, 0.5, 3.0, 11.0, 12.0, 50.0)


def _gradient_of_tanh(x: float, fmt: str) -> float:
    at = tensor(x, dtype=fmt, requires_grad=True)
    f.tanh(at).backward()
    assert at.grad is not None
    return float(at.grad.item())


def _negligible() -> set[str]:
    """The two smallest parts of the error of a layer whose inputs are pixels."""
    rng = np.random.default_rng(0)
    with shadow() as report:
        x = tensor(rng.integers(0, 256, (32, 64)).astype(float), precision="float16/float32")
        w = tensor(rng.normal(size=(64, 10)) * 0.05, precision="float16/float32", requires_grad=True)
        y = x @ w
    parts = {row["source"]: row["rms"] for row in report.budget(y).rows()}
    return set(sorted(("x", "w", "operations", "accumulation"), key=parts.__getitem__)[:2])


def _judged(softplus: Any) -> list[Any]:
    """For each of the places, whether value and gradient are right; of an empty function None."""
    judged: list[Any] = []
    for place in PLACES:
        x = tensor(place, dtype="float16", requires_grad=True)
        y = softplus(x)
        if y is None:
            return [None]
        if not isinstance(y, Tensor):
            raise TypeError(f"the result must be a tensor, as x is, not {type(y).__name__}")
        y.backward()
        gradient = np.nan if x.grad is None else x.grad.item()
        value, slope = np.logaddexp(0, place), 1 / (1 + np.exp(-place))
        judged.append([abs(y.item() - value) <= max(0.01, 1e-3 * value), abs(gradient - slope) <= 0.01])
    return judged


EXERCISES = (
    Exercise(
        "ex04.1",
        right=lambda: next(n for n in range(1, 20) if _gradient_of_tanh(float(n), "bfloat16") == 0),
        hint="the gradient is 1 - y² of the stored y: it is 0 where tanh is stored as 1. How far below 1 is the next "
        "bfloat16 number, and from where on is tanh nearer to 1 than to it?",
        wrong=[
            (5, "this is float16's. bfloat16 has fewer significand bits below 1, so it reaches 1 earlier or later?"),
            (10, "this is float32's. The two formats share the exponent field; here the significand counts"),
            (45, "that is where the true gradient leaves the range. But it is computed from y, not from x"),
        ],
        misconception="a gradient vanishes where it leaves the range of the format (so bfloat16 is safe)",
    ),
    Exercise(
        "ex04.2",
        right=_negligible,
        hint="which of the four roundings has nothing to round here, and which happens in a format with 13 bits more?",
        wrong=[
            ({"x"}, "true, but there is one more. In which format are the additions rounded?"),
            ({"operations", "accumulation"}, "the result is stored in float16, once: is that exact?"),
            (
                {"x", "w"},
                "one of the two is in the format already and is not changed. The other is rounded like any number",
            ),
        ],
        misconception="every rounding costs the same (or: the sum is always the largest part)",
    ),
    Exercise(
        "ex04.3",
        right=lambda: [[True, True]] * len(PLACES),
        measure=_judged,
        hint="log(1 + exp(x)) = x + log(1 + exp(-x)): which of the two can overflow for positive x, which for "
        "negative? The gradient must come out right as well, without a branch that is infinite",
        wrong=[
            (
                lambda x: f.log(1.0 + f.exp(x)),
                "exp(x) overflows at 12, and infinity over infinity is NaN. Only exp of negative numbers is safe",
            ),
            (lambda x: f.relu(x), "this is right far from 0 only: the logarithm is missing"),
            (
                lambda x: x + f.log(1.0 + f.exp(-x)),
                "right for positive x. But exp(-x) overflows on the other side, from -12 on",
            ),
        ],
        misconception="an infinity in the middle of a formula does no harm if the result is finite",
    ),
)
