"""Learning-rate schedules, under PyTorch's names.

Layer 5. They set ``lr`` (and momentum) in the optimizer's groups; learning rates are plain floats, never rounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fpsim.errors import ArgumentError, ArgumentTypeError, expected
from fpsim.optim.optimizer import Optimizer

__all__ = [
    "ConstantLR", "CosineAnnealingLR", "ExponentialLR", "LRScheduler", "LambdaLR", "MultiStepLR", "OneCycleLR",
    "StepLR",
]  # fmt: skip


class LRScheduler:
    """Base: ``step()`` after each epoch (or batch) moves every group's learning rate.

    ``step(report)`` with the report of a loss scaler's step stays where it is if that step was skipped.

    >>> import fpsim as fp
    >>> w = fp.tensor([1.0], requires_grad=True)
    >>> optimizer, scaler = fp.optim.SGD([w], lr=1.0), fp.amp.GradScaler()
    >>> scheduler = fp.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    >>> for factor in (1.0, float("inf"), 1.0):
    ...     optimizer.zero_grad()
    ...     scaler.scale((w * fp.tensor(factor)).sum()).backward()
    ...     scheduler.step(scaler.step(optimizer))
    ...     scaler.update()
    ...     print(scheduler.get_last_lr())
    [0.5]
    [0.5]
    [0.25]
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self.step()

    def get_lr(self) -> list[float]:
        """The learning rate of each group, at `last_epoch`."""
        raise NotImplementedError

    def get_last_lr(self) -> list[float]:
        """The learning rates now in force."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def step(self, report: Any = None) -> None:
        """Go on by one; not at all where `report` tells of a step that a loss scaler skipped."""
        if report is not None and not isinstance(getattr(report, "skipped", None), bool):
            got = f"{report!r}"
            raise ArgumentTypeError(expected("step", "what scaler.step(optimizer) returned", got, "or leave it out"))
        if report is not None and report.skipped:
            return
        self.last_epoch += 1
        for group, lr in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = lr

    def state_dict(self) -> dict[str, Any]:
        """What is needed to go on."""
        return {k: v for k, v in vars(self).items() if k != "optimizer" and not callable(v) and k != "lambdas"}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from the `state_dict` of a schedule of the same kind."""
        own, count = self.state_dict(), len(self.base_lrs)
        fits = isinstance(state_dict, Mapping) and set(state_dict) == set(own)
        if not fits or type(state_dict["last_epoch"]) is not int or len(state_dict["base_lrs"]) != count:
            invariant, got = f"what state_dict() of a {type(self).__name__} gave", "something else"
            raise ArgumentError(expected("load_state_dict", invariant, got, "build the schedule as the saved one"))
        vars(self).update(state_dict)


class LambdaLR(LRScheduler):
    """``initial_lr * function(epoch)``."""

    def __init__(self, optimizer: Optimizer, lr_lambda: Any, last_epoch: int = -1) -> None:
        count = len(optimizer.param_groups)
        self.lambdas: list[Callable[[int], float]] = (
            list(lr_lambda) if isinstance(lr_lambda, Sequence) else [lr_lambda] * count
        )
        if len(self.lambdas) != count:
            got = f"{len(self.lambdas)} functions"
            raise ArgumentError(expected("LambdaLR", f"one for each of {count} groups", got, "give one each"))
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Each group's."""
        return [lr * f(self.last_epoch) for lr, f in zip(self.base_lrs, self.lambdas, strict=True)]


class StepLR(LRScheduler):
    """Times `gamma` every `step_size` epochs."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        if step_size < 1:
            got = f"step_size={step_size!r}"
            raise ArgumentError(expected("StepLR", "a step size of at least 1", got, "correct it"))
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Each group's."""
        return [lr * self.gamma ** (self.last_epoch // self.step_size) for lr in self.base_lrs]


class MultiStepLR(LRScheduler):
    """Times `gamma` at each milestone."""

    def __init__(
        self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Each group's."""
        passed = sum(m <= self.last_epoch for m in self.milestones)
        return [lr * self.gamma**passed for lr in self.base_lrs]


class ExponentialLR(LRScheduler):
    """Times `gamma` every epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Each group's."""
        return [lr * self.gamma**self.last_epoch for lr in self.base_lrs]


class ConstantLR(LRScheduler):
    """Times `factor` for the first `total_iters` epochs."""

    def __init__(self, optimizer: Optimizer, factor: float = 1 / 3, total_iters: int = 5, last_epoch: int = -1) -> None:
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Each group's."""
        return [lr * (self.factor if self.last_epoch < self.total_iters else 1.0) for lr in self.base_lrs]


class CosineAnnealingLR(LRScheduler):
    """From the initial rate to `eta_min` along half a cosine of `T_max` epochs, and back (Loshchilov, Hutter 2017)."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Each group's."""
        share = (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
        return [self.eta_min + (lr - self.eta_min) * share for lr in self.base_lrs]


class OneCycleLR(LRScheduler):
    """Up to `max_lr` and down to nearly nothing, momentum the other way (Smith and Topin 2018); one step per batch."""

    def __init__(
        self, optimizer: Optimizer, max_lr: Any, total_steps: int | None = None, epochs: int | None = None,
        steps_per_epoch: int | None = None, pct_start: float = 0.3, anneal_strategy: str = "cos",
        cycle_momentum: bool = True, base_momentum: float = 0.85, max_momentum: float = 0.95, div_factor: float = 25.0,
        final_div_factor: float = 1e4, three_phase: bool = False, last_epoch: int = -1,
    ) -> None:  # fmt: skip
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                got = "neither"
                remedy = "give one of them"
                raise ArgumentError(expected("OneCycleLR", "total_steps, or epochs and steps_per_epoch", got, remedy))
            total_steps = epochs * steps_per_epoch
        if anneal_strategy not in ("cos", "linear"):
            got = f"anneal_strategy={anneal_strategy!r}"
            raise ArgumentError(expected("OneCycleLR", "anneal_strategy cos or linear", got, "choose one"))
        self.total_steps, self.anneal_strategy, self.cycle_momentum = total_steps, anneal_strategy, cycle_momentum
        groups = optimizer.param_groups
        peaks = list(max_lr) if isinstance(max_lr, Sequence) else [max_lr] * len(groups)
        up = float(pct_start * total_steps) - 1
        ends: tuple[float, ...]
        names: tuple[str, ...]
        momenta: tuple[str, ...]
        if three_phase:
            ends, names = (up, 2 * up, total_steps - 1.0), ("initial", "max", "initial", "min")
            momenta = ("max", "base", "max", "max")
        else:
            ends, names, momenta = (up, total_steps - 1.0), ("initial", "max", "min"), ("max", "base", "max")
        self.ends = ends
        self.lrs = []
        for peak in peaks:
            rates = {"initial": peak / div_factor, "max": peak, "min": peak / div_factor / final_div_factor}
            self.lrs.append([rates[name] for name in names])
        self.momenta = [{"base": base_momentum, "max": max_momentum}[name] for name in momenta]
        for group, rates_of in zip(groups, self.lrs, strict=True):
            group["initial_lr"] = rates_of[0]
        super().__init__(optimizer, last_epoch)

    def _between(self, points: Sequence[float]) -> float:
        start = 0.0
        for i, end in enumerate(self.ends):
            if self.last_epoch <= end or i == len(self.ends) - 1:
                share = (self.last_epoch - start) / (end - start)
                a, b = points[i], points[i + 1]
                if self.anneal_strategy == "linear":
                    return (b - a) * share + a
                return b + (a - b) / 2 * (math.cos(math.pi * share) + 1)
            start = end
        raise AssertionError

    def get_lr(self) -> list[float]:
        """Each group's; sets the momentum as well."""
        if self.last_epoch >= self.total_steps:
            got, remedy = f"step {self.last_epoch + 1}", "make the cycle longer"
            raise ArgumentError(expected("OneCycleLR", f"at most {self.total_steps} steps", got, remedy))
        if self.cycle_momentum:
            momentum = self._between(self.momenta)
            for group in self.optimizer.param_groups:
                if "betas" in group:
                    group["betas"] = (momentum, *group["betas"][1:])
                else:
                    group["momentum"] = momentum
        return [self._between(points) for points in self.lrs]
