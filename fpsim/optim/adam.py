"""`Adam` and `AdamW`.

Layer 5.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from fpsim.errors import ArgumentError, expected
from fpsim.optim.optimizer import Optimizer
from fpsim.optim.steps import Steps
from fpsim.rounding.kernel import Array

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """``m = lerp(m, g, 1 - b1)``, ``v = b2 * v + (1 - b2) g^2``, ``p = p - lr / c1 * m / (sqrt(v) / sqrt(c2) + eps)``.

    With ``c1 = 1 - b1^t``, ``c2 = 1 - b2^t`` (Kingma and Ba 2015). Takes ``master state update_rounding rng`` as every
    `Optimizer` does.

    Notes
    -----
    Precision: rounds where PyTorch's does: at the end of each of lerp, ``v * b2``, addcmul, sqrt, division, the
    addition of eps (rounded to the format before: 1e-8 is 0 in float16) and addcdiv.
    """

    #: whether weight decay acts on the parameter itself instead of the gradient
    decoupled = False

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float | None = None, amsgrad: bool = False, *, maximize: bool = False, master: Any = None,
        state: Any = None, update_rounding: str | None = None, rng: np.random.Generator | None = None,
        foreach: bool | None = None, fused: bool | None = None,
    ) -> None:  # fmt: skip
        decay = (1e-2 if self.decoupled else 0.0) if weight_decay is None else weight_decay
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": decay, "amsgrad": amsgrad, "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults, master=master, state=state, update_rounding=update_rounding, rng=rng)

    def check(self, group: dict[str, Any]) -> None:
        """Refuse settings that make no sense."""
        super().check(group)
        name = type(self).__name__
        if not all(0 <= b < 1 for b in group["betas"]):
            raise ArgumentError(expected(name, "betas from 0 to below 1", f"betas={group['betas']!r}", "correct them"))
        if not group["eps"] >= 0 or not group["weight_decay"] >= 0:
            got = f"eps={group['eps']!r}, weight_decay={group['weight_decay']!r}"
            raise ArgumentError(expected(name, "eps and weight decay of at least 0", got, "correct them"))

    def update(
        self, p: Array, g: Array, group: dict[str, Any], state: dict[str, Any], steps: Steps
    ) -> tuple[Array, Callable[[], Array]]:
        """One step of the formula above."""
        lr, (beta1, beta2), decay = group["lr"], group["betas"], group["weight_decay"]
        in_state = self.steps_of_state(steps)
        before = p
        if decay and self.decoupled:
            p = self.final(steps).mul(p, 1 - lr * decay)
        elif decay:
            g = steps.add(g, p, decay)
        t = state["step"] = state.get("step", 0) + 1
        zero = np.zeros(p.shape, in_state.fmt.carrier)
        m, v = (state[name]._data if t > 1 else zero for name in ("exp_avg", "exp_avg_sq"))
        m = self.kept(state, "exp_avg", in_state.lerp(m, g, 1 - beta1), steps)
        v = self.kept(state, "exp_avg_sq", in_state.addcmul(in_state.mul(v, beta2), g, g, 1 - beta2), steps)
        if group["amsgrad"]:
            largest = np.maximum(state["max_exp_avg_sq"]._data if t > 1 else zero, v)
            v = self.kept(state, "max_exp_avg_sq", largest, steps)
        size, root = lr / (1 - beta1**t), math.sqrt(1 - beta2**t)
        denominator = in_state.add_number(in_state.div(in_state.sqrt(v), root), group["eps"])
        after = self.final(steps).addcdiv(p, m, denominator, -size)

        def change() -> Array:
            with np.errstate(all="ignore"):
                moved = -size * m.astype(np.float64) / denominator
            return moved - (lr * decay * before.astype(np.float64) if decay and self.decoupled else 0.0)

        return after, change


class AdamW(Adam):
    """`Adam` with decoupled weight decay: ``p = p * (1 - lr * weight_decay)`` first (Loshchilov and Hutter 2019)."""

    decoupled = True
