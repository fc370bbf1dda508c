"""`Optimizer`: parameter groups, state, master weights; what SGD and Adam share.

Layer 5. Subclasses give `update`; arithmetic is in `steps`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from fpsim.autograd.context import Updated, current, enable_grad, stored
from fpsim.autograd.tensor import Tensor, store
from fpsim.errors import ArgumentError, ArgumentTypeError, HyperparameterRoundingWarning, ShapeError, expected
from fpsim.formats import Format
from fpsim.optim.steps import Steps
from fpsim.precision import Precision, promote
from fpsim.rounding.codes import checked_mode
from fpsim.rounding.kernel import Array, round_to
from fpsim.rounding.quiet import quiet

__all__ = ["Optimizer", "Roundings", "is_number"]

_REMEDIES = {
    "eps": "nothing then keeps a gradient of 0 from giving nan: use a larger eps, master='float32' or state='float32'",
    "lr": "no weight will move: use a larger lr, or masters of a wider format (master=)",
}
#: Settings that are numbers.
_NUMBERS = ("lr", "momentum", "dampening", "weight_decay", "eps")


def is_number(value: Any) -> bool:
    """Whether a setting is one number; an array or a tensor of one element is."""
    return isinstance(value, int | float | np.number) or (isinstance(value, np.ndarray | Tensor) and value.size == 1)


@dataclass(frozen=True)
class Roundings:
    """The steps of one update, by what they make: a changed gradient, the state, the parameter (or its master)."""

    gradient: Steps
    state: Steps
    parameter: Steps


@lru_cache(maxsize=256)
def _roundings(
    owner: Precision, gradient: Format, state: Format, rounding: str, rng: np.random.Generator | None
) -> Roundings:
    """The steps for a parameter or master of precision `owner`, updated in the mode `rounding`."""
    changed_gradient = promote([Precision(owner.storage), Precision(gradient)])
    formats = (owner.storage, gradient, state)
    parameter = Steps(replace(owner, rounding=rounding), formats, rng)
    return Roundings(Steps(changed_gradient, formats), Steps(Precision(state), formats), parameter)


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
        groups: list[Any] = list(params)
        if not groups:
            raise ArgumentError(expected(name, "at least one parameter", "none", "pass net.parameters()"))
        if update_rounding is not None:
            checked_mode(name, update_rounding, rng, needs_rng=False)
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[Any, dict[str, Any]] = {}
        self.state_format = None if state is None else Format(state)
        self.master_format = None if master is None else Format(master)
        self.update_rounding = update_rounding
        self.rng = rng
        self._warned: set[tuple[str, Format]] = set()
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def add_param_group(self, group: dict[str, Any]) -> None:
        """Add parameters with settings of their own."""
        name = type(self).__name__
        if "params" not in group:
            got = f"keys {', '.join(map(repr, group))}"
            raise ArgumentError(expected(name, "a group with params", got, "add params=[...]"))
        unknown = [key for key in group if key not in self.defaults and key != "params"]
        if unknown:
            got = ", ".join(f"{key}={group[key]!r}" for key in unknown)
            raise ArgumentError(expected(name, f"settings of {', '.join(self.defaults)}", got, "use one of those"))
        given: list[Any] = [group["params"]] if isinstance(group["params"], Tensor) else list(group["params"])
        params: list[Tensor] = [p[1] if isinstance(p, tuple) and len(p) == 2 else p for p in given]
        known = {id(p) for other in self.param_groups for p in other["params"]}
        for p in params:
            if not isinstance(p, Tensor) or not p.is_leaf:
                got = type(p).__name__ if not isinstance(p, Tensor) else "an operation's result"
                raise ArgumentTypeError(expected(name, "leaf tensors", got, "pass net.parameters()"))
            if id(p) in known:
                raise ArgumentError(expected(name, "each parameter once", "one twice", "remove it from one group"))
            known.add(id(p))
        added = {**self.defaults, **group, "params": params}
        self.check(added)
        self.param_groups.append(added)
        if self.master_format is not None:
            for p in params:
                p.master = self._master_of(p)

    def check(self, group: dict[str, Any]) -> None:
        """Refuse settings that make no sense."""
        name = type(self).__name__
        for setting in (s for s in _NUMBERS if s in group and not is_number(group[s])):
            got = f"{setting}={group[setting]!r}"
            raise ArgumentTypeError(expected(name, f"a number as {setting}", got, "give a float"))
        if not group["lr"] >= 0:
            got = f"lr={group['lr']!r}"
            raise ArgumentError(expected(name, "a learning rate of at least 0", got, "correct it"))

    def use_masters(self, fmt: Any = "float32") -> None:
        """Keep copies of the parameters in `fmt`, made from the values that they have now."""
        self.master_format = Format(fmt)
        for group in self.param_groups:
            for p in group["params"]:
                p.master = self._master_of(p)

    def _master_of(self, p: Tensor) -> Tensor:
        assert self.master_format is not None
        precision = Precision(self.master_format)
        return stored(Tensor(store(p._data, precision), precision), p, "cast")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients, the masters' too; without `set_to_none` those of the parameters become zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                p.forget_gradient(set_to_none)

    # The step --------------------------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; with a `closure` call it first, and return its loss."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        self._check_gradients()
        self._warn_of_zeros()
        number = 0
        with quiet():
            for group in self.param_groups:
                for p in group["params"]:
                    self._step_one(p, group, getattr(p, "name", None) or f"parameter {number}")
                    number += 1
        return loss

    def _check_gradients(self) -> None:
        """Refuse gradients that are not of their parameters' shapes, before the step, so that nothing changes."""
        for number, p in enumerate(self._parameters()):
            for g in (p.grad, None if p.master is None else p.master.grad):
                if g is not None and (not isinstance(g, Tensor) or g.shape != p.shape):
                    name = getattr(p, "name", None) or f"parameter {number}"
                    got = f"shape={g.shape}" if isinstance(g, Tensor) else type(g).__name__
                    raise ShapeError(
                        expected(type(self).__name__, f"a tensor of shape {p.shape} as gradient of {name}", got,
                                 "let backward() make it")
                    )  # fmt: skip

    def rounded_settings(self, group: dict[str, Any], owner: Tensor) -> tuple[tuple[str, float, Format], ...]:
        """The settings that are useless as 0 and are rounded before use: name, value, format."""
        return ()

    def _warn_of_zeros(self) -> None:
        """Warn, once each, where such a setting becomes 0; before the step, so that an error would change nothing."""
        settings = (
            setting
            for group in self.param_groups
            for p in group["params"]
            if p.grad is not None
            for setting in self.rounded_settings(group, p if p.master is None else p.master)
        )
        for name, value, fmt in settings:
            if value == 0 or value >= fmt.smallest_normal or (name, fmt) in self._warned:
                continue
            if round_to(np.asarray(value, np.float64), fmt) == 0:
                least = f"{fmt.smallest_subnormal if fmt.has_subnormals else fmt.smallest_normal:.3g}"
                warnings.warn(
                    f"{type(self).__name__}: {name}={value:g} becomes 0 in {fmt.name}, whose smallest number is "
                    f"{least}; {_REMEDIES[name]}.",
                    HyperparameterRoundingWarning,
                    stacklevel=3,
                )
                self._warned.add((name, fmt))

    def _step_one(self, p: Tensor, group: dict[str, Any], name: str) -> None:
        owner = p if p.master is None else p.master
        gradient = p.grad if owner.grad is None else owner.grad
        if gradient is None:
            return
        g = -gradient._data if group.get("maximize") else gradient._data
        before, roundings = owner._data, self._roundings(owner, gradient)
        state, context = self.state.setdefault(p, {}), current()
        state_before = dict(state) if context.observers else None
        after, change = self.update(before, g, group, state, roundings)
        owner.replace_values(after)
        if context.observers:

            def again(p: Array, g: Array, state: dict[str, Any], steps: Any) -> Array:
                return self.update(p, -g if group.get("maximize") else g, group, state, Roundings(steps, steps, steps))[
                    0
                ]

            step = np.asarray(change(), np.float64)
            op = type(self).__name__
            event = Updated(name, before, step, after, owner.dtype, op, owner, gradient, state_before, state, again)
            context.tell("updated", event)
        if p.master is not None:
            p.replace_values(store(after, p.precision))
            stored(p, p.master, "cast")

    def _roundings(self, owner: Tensor, gradient: Tensor) -> Roundings:
        rounding = self.update_rounding or owner.precision.rounding
        return _roundings(owner.precision, gradient.dtype, self.state_format or owner.dtype, rounding, self.rng)

    def update(
        self, p: Array, g: Array, group: dict[str, Any], state: dict[str, Any], to: Roundings
    ) -> tuple[Array, Callable[[], Array]]:
        """The new values of one parameter, and a function that gives the change that was wanted, unrounded."""
        raise NotImplementedError

    # Saving ----------------------------------------------------------------------------------------------------------

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def state_dict(self) -> dict[str, Any]:
        """Settings, state and masters; parameters stand as their numbers."""
        params = self._parameters()
        number_of = {id(p): i for i, p in enumerate(params)}
        return {
            "state": {i: dict(self.state[p]) for i, p in enumerate(params) if p in self.state},
            "param_groups": [{**g, "params": [number_of[id(p)] for p in g["params"]]} for g in self.param_groups],
            "masters": {i: p.master.detach() for i, p in enumerate(params) if p.master is not None},
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from the `state_dict` of an optimizer of the same parameters; nothing changes where it does not fit."""
        params = self._parameters()
        try:
            sizes = [len(g["params"]) for g in state_dict["param_groups"]]
            states = {int(i): dict(entries) for i, entries in state_dict["state"].items()}
            masters = {int(i): master for i, master in state_dict.get("masters", {}).items()}
        except (KeyError, TypeError, AttributeError, ValueError):
            got = "something else"
            raise ArgumentError(
                expected("load_state_dict", "what state_dict() gave", got, "load an optimizer's state")
            ) from None
        own = [len(g["params"]) for g in self.param_groups]
        if sizes != own:
            remedy = "build the optimizer as the saved one"
            raise ArgumentError(expected("load_state_dict", f"groups of {own} parameters", str(sizes), remedy))
        settings = [{k: v for k, v in group.items() if k != "params"} for group in state_dict["param_groups"]]
        groups = [{**group, **loaded} for group, loaded in zip(self.param_groups, settings, strict=True)]
        for group in groups:
            self.check(group)
        _check_state(states, masters, params)
        group_of = [group for group, size in zip(groups, sizes, strict=True) for _ in range(size)]
        for i, entries in states.items():
            self.check_state(entries, group_of[i])
        for group, loaded in zip(self.param_groups, settings, strict=True):
            group.update(loaded)
        self.state = {params[i]: entries for i, entries in states.items()}
        for i, master in masters.items():
            params[i].master = master.detach()
            params[i].replace_values(store(master._data, params[i].precision))
            stored(params[i], params[i].master, "cast")

    def check_state(self, entries: dict[str, Any], group: dict[str, Any]) -> None:
        """Refuse a loaded state of one parameter that `update` could not go on from."""

    def __repr__(self) -> str:
        settings = {k: v for k, v in self.param_groups[0].items() if k != "params"}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in settings.items())})"


def _check_state(states: dict[int, dict[str, Any]], masters: dict[int, Any], params: list[Tensor]) -> None:
    """Refuse a loaded state of other parameters."""
    remedy = "check the network"
    for i in (i for i in (*states, *masters) if not 0 <= i < len(params)):
        got = f"state of parameter {i}"
        raise ArgumentError(expected("load_state_dict", f"state of {len(params)} parameters", got, remedy))
    entries = [(i, name, value) for i, state in states.items() for name, value in state.items() if name != "step"]
    for i, name, value in [*entries, *((i, "master", master) for i, master in masters.items())]:
        if not isinstance(value, Tensor) or value.shape != params[i].shape:
            what = f"shape {value.shape}" if isinstance(value, Tensor) else f"type {type(value).__name__}"
            got = f"{name} of parameter {i} with {what}"
            raise ShapeError(expected("load_state_dict", "state of the parameters' shapes", got, remedy))
