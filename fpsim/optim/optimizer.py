"""`Optimizer`: parameter groups, state, master weights; what SGD and Adam share.

Layer 5. Subclasses give `update`; arithmetic is in `steps`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from fpsim.autograd.context import Updated, current
from fpsim.autograd.tensor import Tensor, store
from fpsim.errors import ArgumentError, ArgumentTypeError, expected
from fpsim.formats import Format
from fpsim.optim.steps import Steps
from fpsim.precision import Precision
from fpsim.rounding.codes import checked_mode
from fpsim.rounding.kernel import Array

__all__ = ["Optimizer"]


class Optimizer:
    """Base of the optimizers.

    Parameters
    ----------
    params : iterable of tensors, or of dicts with ``params`` and settings of their own
    defaults : dict
        Settings by name.
    master : format, optional
        Update copies of the parameters in this format, and round them into the parameters after each step.
    state : format, optional
        Of the optimizer's own state; the master's, else the parameter's, unless given.
    update_rounding : str, optional
        Rounding mode of the updated parameter (or master): ``"stochastic"`` lets small updates survive on average.
    rng : np.random.Generator, optional
        For stochastic rounding; the context's unless given.
    """

    def __init__(
        self,
        params: Iterable[Any],
        defaults: dict[str, Any],
        *,
        master: Any = None,
        state: Any = None,
        update_rounding: str | None = None,
        rng: np.random.Generator | None = None,
    ) -> None:
        name = type(self).__name__
        if isinstance(params, Tensor):
            raise ArgumentTypeError(expected(name, "an iterable of tensors", "a tensor", "pass [parameter]"))
        groups = list(params)
        if not groups:
            raise ArgumentError(expected(name, "at least one parameter", "none", "pass net.parameters()"))
        if update_rounding is not None:
            checked_mode(name, update_rounding, rng, needs_rng=False)
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[Any, dict[str, Any]] = {}
        self.state_format = None if state is None else Format(state)
        self.update_rounding = update_rounding
        self.rng = rng
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)
        if master is not None:
            self.use_masters(master)

    def add_param_group(self, group: dict[str, Any]) -> None:
        """Add parameters with settings of their own."""
        name = type(self).__name__
        params = group["params"]
        params = [params] if isinstance(params, Tensor) else list(params)
        known = {id(p) for other in self.param_groups for p in other["params"]}
        for p in params:
            if not isinstance(p, Tensor) or not p.is_leaf:
                got = type(p).__name__ if not isinstance(p, Tensor) else "an operation's result"
                raise ArgumentTypeError(expected(name, "leaf tensors", got, "pass net.parameters()"))
            if id(p) in known:
                raise ArgumentError(expected(name, "each parameter in one group", "one twice", "remove it from one"))
        added = {**self.defaults, **group, "params": params}
        self.check(added)
        self.param_groups.append(added)

    def check(self, group: dict[str, Any]) -> None:
        """Refuse settings that make no sense."""
        if not group["lr"] >= 0:
            got = f"lr={group['lr']!r}"
            raise ArgumentError(expected(type(self).__name__, "a learning rate of at least 0", got, "correct it"))

    def use_masters(self, fmt: Any = "float32") -> None:
        """Keep copies of the parameters in `fmt`, made from the values that they have now."""
        precision = Precision(fmt)
        for group in self.param_groups:
            for p in group["params"]:
                p.master = Tensor(store(p._data, precision), precision)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients, the masters' too."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None
                if getattr(p, "master", None) is not None:
                    p.master.grad = None

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient."""
        loss = None
        if closure is not None:
            loss = closure()
        number = 0
        for group in self.param_groups:
            for p in group["params"]:
                self._step_one(p, group, getattr(p, "name", None) or f"parameter {number}")
                number += 1
        return loss

    def _step_one(self, p: Tensor, group: dict[str, Any], name: str) -> None:
        master = getattr(p, "master", None)
        owner = p if master is None else master
        gradient = p.grad if master is None or master.grad is None else master.grad
        if gradient is None:
            return
        precision = owner.precision
        steps = Steps(precision.storage)
        g = gradient._data
        if not precision.storage.holds(gradient.dtype):
            g = steps.copy(g)
        if group.get("maximize"):
            g = -g
        state = self.state.setdefault(p, {})
        before = owner._data
        after, change = self.update(before, g, group, state, steps)
        owner.replace_values(after)
        for observer in current().observers:
            observer.updated(Updated(name, before, np.asarray(change(), np.float64), after, precision.storage))
        if master is not None:
            p.replace_values(store(after, p.precision))

    def update(
        self, p: Array, g: Array, group: dict[str, Any], state: dict[str, Any], steps: Steps
    ) -> tuple[Array, Callable[[], Array]]:
        """The new values of one parameter, and a function that gives the change wanted, unrounded."""
        raise NotImplementedError

    def final(self, steps: Steps) -> Steps:
        """The step that stores the parameter: rounded as `update_rounding` says."""
        return steps.rounding(self.update_rounding, self.rng)

    def steps_of_state(self, steps: Steps) -> Steps:
        """Steps whose results are the optimizer's own state."""
        return steps if self.state_format is None else Steps(self.state_format)

    def kept(self, state: dict[str, Any], name: str, values: Array, steps: Steps) -> Array:
        """Keep values as part of the state."""
        state[name] = Tensor(values, Precision(self.steps_of_state(steps).fmt))
        return values

    # Saving ----------------------------------------------------------------------------------------------------------

    def _numbered(self) -> dict[int, Any]:
        params = [p for group in self.param_groups for p in group["params"]]
        return dict(enumerate(params))

    def state_dict(self) -> dict[str, Any]:
        """Settings, state and masters by the parameters' numbers."""
        numbered = self._numbered()
        number_of = {id(p): i for i, p in numbered.items()}
        state = {i: dict(self.state[p]) for i, p in numbered.items() if p in self.state}
        groups = [{**g, "params": [number_of[id(p)] for p in g["params"]]} for g in self.param_groups]
        masters = {i: p.master.detach() for i, p in numbered.items() if getattr(p, "master", None) is not None}
        return {"state": state, "param_groups": groups, "masters": masters}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a `state_dict` of an optimizer of the same parameters."""
        numbered = self._numbered()
        try:
            groups, states = state_dict["param_groups"], state_dict["state"]
            same = [len(g["params"]) for g in groups] == [len(g["params"]) for g in self.param_groups]
        except (KeyError, TypeError):
            same = False
        if not same:
            got = "one of other groups, or something else"
            raise ArgumentError(expected("load_state_dict", "an optimizer's state of these parameters", got, "check it"))
        for own, loaded in zip(self.param_groups, groups, strict=True):
            own.update({k: v for k, v in loaded.items() if k != "params"})
        self.state = {numbered[int(i)]: dict(s) for i, s in states.items()}
        for i, master in state_dict.get("masters", {}).items():
            numbered[int(i)].master = master.detach()

    def __repr__(self) -> str:
        settings = {k: v for k, v in self.param_groups[0].items() if k != "params"}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in settings.items())})"
