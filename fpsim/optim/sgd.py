"""`SGD`: gradient descent with momentum.

Layer 5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from fpsim.autograd.tensor import Tensor
from fpsim.errors import ArgumentError, expected
from fpsim.formats import Format
from fpsim.optim.optimizer import Optimizer, Roundings
from fpsim.rounding.kernel import Array

__all__ = ["SGD"]


class SGD(Optimizer):
    """``v = momentum * v + (1 - dampening) * g``, ``p = p - lr * v``; weight decay before, Nesterov after the momentum.

    Takes ``master state update_rounding rng`` as every `Optimizer` does.

    Notes
    -----
    Precision: rounds where PyTorch's does: ``momentum * v`` once, each fused multiply-add once, its factor (lr and
    the like) rounded to the format before. The first momentum buffer is a copy of the gradient.

    Examples
    --------
    >>> import fpsim as fp
    >>> w = fp.tensor([1.0], dtype="float16", requires_grad=True)
    >>> w.grad = fp.tensor([1.0], dtype="float16")
    >>> fp.optim.SGD([w], lr=1e-4).step()
    >>> w.item()  # the update is smaller than half an ulp of 1
    1.0
    """

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-3, momentum: float = 0.0, dampening: float = 0.0,
        weight_decay: float = 0.0, nesterov: bool = False, *, maximize: bool = False, master: Any = None,
        state: Any = None, update_rounding: str | None = None, rng: np.random.Generator | None = None,
        foreach: bool | None = None, fused: bool | None = None,
    ) -> None:  # fmt: skip
        defaults = {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov,
            "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults, master=master, state=state, update_rounding=update_rounding, rng=rng)

    def check(self, group: dict[str, Any]) -> None:
        """Refuse settings that make no sense."""
        super().check(group)
        if not group["momentum"] >= 0 or not group["weight_decay"] >= 0:
            got = f"momentum={group['momentum']!r}, weight_decay={group['weight_decay']!r}"
            raise ArgumentError(expected("SGD", "momentum and weight decay of at least 0", got, "correct them"))
        if group["nesterov"] and (not group["momentum"] or group["dampening"]):
            got = f"momentum={group['momentum']!r}, dampening={group['dampening']!r}"
            raise ArgumentError(expected("SGD", "momentum and no dampening with nesterov=True", got, "correct them"))

    def rounded_settings(self, group: dict[str, Any], owner: Tensor) -> tuple[tuple[str, float, Format], ...]:
        """The learning rate is the factor of the last fused multiply-add."""
        return (("lr", group["lr"], owner.dtype),)

    def update(
        self, p: Array, g: Array, group: dict[str, Any], state: dict[str, Any], to: Roundings
    ) -> tuple[Array, Callable[[], Array]]:
        """One step of the formula above."""
        lr, momentum = group["lr"], group["momentum"]
        if group["weight_decay"]:
            g = to.gradient.add(g, p, group["weight_decay"])
        if momentum:
            if "momentum_buffer" in state:
                v = to.state.mul(state["momentum_buffer"]._data, momentum)
                v = to.state.add(v, g, 1 - group["dampening"])
            else:
                v = to.state.copy(g)
            state["momentum_buffer"] = Tensor(v, to.state.precision)
            g = to.gradient.add(g, v, momentum) if group["nesterov"] else v
        return to.parameter.add(p, g, -lr), lambda: -lr * g.astype(np.float64)
