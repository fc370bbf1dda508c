"""`Adam` and `AdamW`.

Layer 5.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from fpsim.autograd.tensor import Tensor
from fpsim.errors import ArgumentError, ArgumentTypeError, expected
from fpsim.formats import Format
from fpsim.optim.optimizer import Optimizer, Roundings, is_number
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
        weight_decay: float = 0.0, amsgrad: bool = False, *, maximize: bool = False, master: Any = None,
        state: Any = None, update_rounding: str | None = None, rng: np.random.Generator | None = None,
        foreach: bool | None = None, capturable: bool = False, fused: bool | None = None,
    ) -> None:  # fmt: skip
        betas = tuple(betas) if isinstance(betas, list) else betas
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults, master=master, state=state, update_rounding=update_rounding, rng=rng)

    def check(self, group: dict[str, Any]) -> None:
        """Refuse settings that make no sense."""
        super().check(group)
        name, betas = type(self).__name__, group["betas"]
        if not isinstance(betas, tuple | list) or len(betas) != 2 or not all(map(is_number, betas)):
            raise ArgumentTypeError(
                expected(name, "two numbers as betas", f"betas={betas!r}", "the usual are 0.9, 0.999")
            )
        if not all(0 <= b < 1 for b in betas):
            raise ArgumentError(expected(name, "betas from 0 to below 1", f"betas={betas!r}", "correct them"))
        if not group["eps"] >= 0 or not group["weight_decay"] >= 0:
            got = f"eps={group['eps']!r}, weight_decay={group['weight_decay']!r}"
            raise ArgumentError(expected(name, "eps and weight decay of at least 0", got, "correct them"))

    @staticmethod
    def averages(group: dict[str, Any]) -> tuple[str, ...]:
        """The names of the tensors of the state."""
        return ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")[: 3 if group["amsgrad"] else 2]

    def check_state(self, entries: dict[str, Any], group: dict[str, Any]) -> None:
        """Refuse a state that lacks an average, or the number of steps behind it."""
        step, missing = entries.get("step"), [name for name in self.averages(group) if name not in entries]
        whole = isinstance(step, int | np.integer) and step >= 0
        if entries and (missing or not whole):
            got = f"one without {', '.join(missing)}" if missing else f"step={step!r}"
            raise ArgumentError(
                expected("load_state_dict", f"a state of {type(self).__name__}", got, "load what it gave")
            )

    def rounded_settings(self, group: dict[str, Any], owner: Tensor) -> tuple[tuple[str, float, Format], ...]:
        """Epsilon is added in the format of the state."""
        return (("eps", group["eps"], self.state_format or owner.dtype),)

    def update(
        self, p: Array, g: Array, group: dict[str, Any], state: dict[str, Any], to: Roundings
    ) -> tuple[Array, Callable[[], Array]]:
        """One step of the formula above."""
        lr, (beta1, beta2), decay = group["lr"], group["betas"], group["weight_decay"]
        before = p
        if decay and self.decoupled:
            p = to.parameter.mul(p, 1 - lr * decay)
        elif decay:
            g = to.gradient.add(g, p, decay)
        if not state:
            state["step"] = 0
            zero = Tensor(np.zeros(p.shape, to.state.precision.storage.carrier), to.state.precision)
            for name in self.averages(group):
                state[name] = zero
        state["step"] = t = state["step"] + 1
        m = to.state.lerp(state["exp_avg"]._data, g, 1 - beta1)
        v = to.state.addcmul(to.state.mul(state["exp_avg_sq"]._data, beta2), g, g, 1 - beta2)
        state["exp_avg"], state["exp_avg_sq"] = (Tensor(x, to.state.precision) for x in (m, v))
        if group["amsgrad"]:
            v = np.maximum(state["max_exp_avg_sq"]._data, v)
            state["max_exp_avg_sq"] = Tensor(v, to.state.precision)
        size, root = lr / (1 - beta1**t), math.sqrt(1 - beta2**t)
        denominator = to.state.add_number(to.state.div(to.state.sqrt(v), root), group["eps"])
        after = to.parameter.addcdiv(p, m, denominator, -size)

        def change() -> Array:
            with np.errstate(all="ignore"):
                moved = -size * m.astype(np.float64) / denominator
            return moved - (lr * decay * before.astype(np.float64) if decay and self.decoupled else 0.0)

        return after, change


class AdamW(Adam):
    """`Adam` with decoupled weight decay: ``p = p * (1 - lr * weight_decay)`` first (Loshchilov and Hutter 2019)."""

    decoupled = True

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 1e-2, amsgrad: bool = False, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, **options)
