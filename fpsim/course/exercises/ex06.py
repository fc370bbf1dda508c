"""The exercises of 06_loss_scaling.

Layer 11. What is right is found with the scaler and the rounding themselves.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fpsim.amp import GradScaler
from fpsim.autograd.tensor import tensor
from fpsim.course.checks import Exercise
from fpsim.optim import SGD
from fpsim.rounding import round as rounded

__all__ = ["EXERCISES"]

#: Gradients on which a student's rule is tried, an interval of 3 steps: both kinds of bad step, and growth between.
GRADIENTS = (
    [1.0, -2.0], [0.0, 1.0], [np.inf, 1.0], [3.0, 4.0], [5.0, 6.0], [1.0, 1.0], [np.nan, 0.0], [1.0, 2.0],
    [1.0, -np.inf],
)  # fmt: skip


def _smallest_scale(gradient: float) -> float:
    """The least power of two that keeps it from being stored as 0."""
    scale = 1.0
    while rounded(gradient * scale, "float16") == 0:
        scale *= 2
    return scale


def _scale_after(outcomes: str) -> float:
    """What PyTorch's rule makes of good (G) and bad (B) steps, from 1024 on, growing every 3."""
    w = tensor([1.0], requires_grad=True)
    optimizer, scaler = SGD([w], lr=0.1), GradScaler(init_scale=1024.0, growth_interval=3)
    for outcome in outcomes:
        optimizer.zero_grad()
        scaler.scale((w * (np.inf if outcome == "B" else 1.0)).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
    return scaler.get_scale()


def _trail(rule: Any) -> list[Any] | None:
    """Scale and number of good steps after each of the steps."""
    scale, good, trail = 8.0, 0, []
    for gradients in GRADIENTS:
        result = rule(scale, good, np.array(gradients))
        if result is None:
            return None
        scale, good = result
        trail.append([scale, good])
    return trail


def _rule(scale: float, good: int, gradients: Any) -> tuple[float, int]:
    """PyTorch's rule for the dynamic scale, growing every 3."""
    if not np.isfinite(gradients).all():
        return scale / 2, 0
    return (scale * 2, 0) if good + 1 == 3 else (scale, good + 1)


def _misses_infinities(scale: float, good: int, gradients: Any) -> tuple[float, int]:
    return _rule(scale, good, np.nan_to_num(gradients, nan=np.nan))


def _counts_on(scale: float, good: int, gradients: Any) -> tuple[float, int]:
    return _rule(scale, good, gradients) if np.isfinite(gradients).all() else (scale / 2, good)


EXERCISES = (
    Exercise(
        "ex06.1",
        right=lambda: _smallest_scale(3e-9),
        hint="multiply by 2 until float16 does not store 0 any more. From where on is a number rounded up to the "
        "smallest one, 2^-24?",
        wrong=[
            (32.0, "this takes it to 2^-24 or more; but rounding is to nearest: less is enough"),
            (32768.0, "this makes a normal number of it. Subnormal numbers are not 0 either, only less accurate"),
        ],
        misconception="what is smaller than the smallest number is stored as 0",
    ),
    Exercise(
        "ex06.2",
        right=lambda: _scale_after("GGBGGBGG"),
        hint="a bad step halves at once. Growth needs three good steps *in a row*",
        wrong=[
            (1024.0, "a bad step in between makes the counting of good steps start again"),
            (16384.0, "not every good step doubles the scale: three in a row do"),
        ],
        misconception="good and bad steps weigh the same",
    ),
    Exercise(
        "ex06.3",
        right=lambda: 1 / 1024,
        hint="follow the norm: after backward the gradient is 1024 times too long; then it is clipped; then divided",
        wrong=[
            (1.0, "this is what clipping was meant to give; but the division by the scale comes after it"),
            (10 / 1024, "clipping saw a gradient much longer than 1 and cut it, before the division"),
        ],
        misconception="clipping and unscaling can change places",
        within=1e-6,
    ),
    Exercise(
        "ex06.4",
        right=lambda: _trail(_rule),
        measure=_trail,
        hint="return two numbers, the new scale and the new count. Try it by hand: which gradients are bad (there are "
        "two kinds), at which good step does it double, and what is the count after it has?",
        wrong=[
            (_misses_infinities, "what about gradients that are infinite? They are no nan, not yet"),
            (_counts_on, "a bad step must end the row of good ones: three *in a row*"),
        ],
        misconception="overflow shows itself as nan",
    ),
)
