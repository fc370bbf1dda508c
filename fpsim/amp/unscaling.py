"""What a loss scaler does to gradients: find them, look for inf and nan, unscale them; and the report of a step.

Layer 6. Decides nothing: when this happens, and what follows, is `scaler`'s.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fpsim.amp.scale_rule import ScaleRule
from fpsim.autograd.context import stored
from fpsim.autograd.tensor import Tensor, round_into
from fpsim.errors import ArgumentTypeError, ScaledGradientWarning, ScalerError, SpoiledGradientWarning, expected
from fpsim.formats import float32
from fpsim.precision import Precision
from fpsim.rounding.kernel import Array
from fpsim.rounding.work import run, work_for

__all__ = [
    "ScaledGradient",
    "StepReport",
    "check_wide_enough",
    "first_not_finite",
    "gradients_of",
    "reciprocal",
    "warn_of_changes",
    "warn_of_spoiled",
]


@dataclass
class StepReport:
    """What one `step` of a scaler did, and why.

    Attributes
    ----------
    skipped : bool
    scale, scale_after : float
        In force during the step, and what `update` makes of it: as things stand at the step, and for good once
        ``update()`` was called (another optimizer of the same scaler may still meet an inf).
    parameter, index, value
        Where the first gradient that was not finite stood, and what it was; None where all were finite.

    Examples
    --------
    >>> print(StepReport(True, 65536.0, "fc1.weight", (0, 3), float("inf"), scale_after=32768.0))
    skipped at scale 65536, next 32768: the gradient of fc1.weight is inf at (0, 3)
    >>> print(StepReport(False, 32768.0, scale_after=32768.0))
    stepped at scale 32768
    """

    skipped: bool
    scale: float
    parameter: str | None = None
    index: tuple[int, ...] | None = None
    value: float | None = None
    scale_after: float | None = field(default=None, compare=False)

    @property
    def scale_before(self) -> float:
        """The scale in force during the step."""
        return self.scale

    @property
    def why(self) -> str | None:
        """The reason for skipping, in words; None where the optimizer stepped."""
        if not self.skipped:
            return None
        if self.index is None:
            return f"the sum of the gradient of {self.parameter} is {self.value:g}"
        return f"the gradient of {self.parameter} is {self.value:g} at {self.index}"

    def __str__(self) -> str:
        moved = self.scale_after is not None and self.scale_after != self.scale
        at = f"at scale {self.scale:g}" + (f", next {self.scale_after:g}" if moved else "")
        return f"skipped {at}: {self.why}" if self.skipped else f"stepped {at}"


@dataclass(frozen=True)
class ScaledGradient:
    """The gradient of a parameter, still multiplied by the scale."""

    name: str
    parameter: Tensor
    tensor: Tensor

    @property
    def target(self) -> Precision:
        """The precision of the unscaled gradient: the gradient's own, or that of the master's gradient."""
        master = self.parameter.master
        return self.tensor.precision if master is None else master.precision.gradient

    def unscaled(self, rule: ScaleRule, scale: np.float32) -> Array:
        """The values divided by the scale, rounded once."""
        formula: np.ufunc = np.divide if rule.unscale == "divide" else np.multiply
        factor = np.asarray(scale if rule.unscale == "divide" else reciprocal(scale))
        work = work_for("elementary", self.target.storage, [self.tensor.dtype, float32], self.target.rounding)
        return round_into(self.target, run(work, formula, self.tensor._data, factor))

    def take(self, data: Array, scale: np.float32) -> None:
        """Let these be the unscaled values: in place, or, where there is a master, of the master's gradient."""
        before, g = self.tensor._data, self.tensor
        if self.parameter.master is None:
            g.replace_values(data)
        else:
            g = self.parameter.master.grad = Tensor(data, self.target)
        stored(g, self.tensor, "unscale_", lambda g: g / float(scale), before)


def reciprocal(scale: np.float32) -> np.float32:
    """float32(1/scale); infinite for scales below 2^-128."""
    with np.errstate(all="ignore"):
        return np.float32(1 / np.float64(scale))


def gradients_of(method: str, optimizer: Any) -> Iterator[ScaledGradient]:
    """The gradient of each parameter that has one."""
    if not hasattr(optimizer, "param_groups"):
        got = type(optimizer).__name__
        raise ArgumentTypeError(expected(method, "an optimizer", got, f"call scaler.{method}(optimizer)"))
    params = [p for group in optimizer.param_groups for p in group["params"]]
    for number, p in enumerate(params):
        if p.grad is not None:
            yield ScaledGradient(getattr(p, "name", None) or f"parameter {number}", p, p.grad)


def check_wide_enough(gradients: list[ScaledGradient]) -> None:
    """Refuse to unscale in place in a format whose range is narrower than float32's: small gradients would vanish."""
    for g in gradients:
        fmt = g.tensor.dtype
        if g.parameter.master is None and fmt.emin > float32.emin:
            got = f"that of {g.name} in {fmt.name}"
            fp16 = "Attempting to unscale FP16 gradients: " if fmt.name == "float16" else ""
            remedy = f"{fp16}keep the weights in float32, or give the optimizer master='float32'"
            raise ScalerError(expected("unscale_", "gradients with float32's range", got, remedy))


def first_not_finite(rule: ScaleRule, g: ScaledGradient, unscaled: Array, scale: np.float32) -> StepReport | None:
    """Where the first element that is not finite stands, looked for as the rule says; None if there is none."""
    if rule.check == "never":
        return None
    values = unscaled if rule.check == "unscaled" else g.tensor._data
    if rule.check == "sum":
        with np.errstate(all="ignore"):
            total = np.sum(values, dtype=np.float32)
        if np.isfinite(total):
            return None
        if np.isfinite(values).all():  # only their float32 sum overflows
            return StepReport(True, float(scale), g.name, None, float(total))
    bad = ~np.isfinite(values)
    if not bad.any():
        return None
    index = tuple(int(i) for i in np.argwhere(bad)[0])
    return StepReport(True, float(scale), g.name, index, float(values[index]))


def warn_of_changes(gradients: list[ScaledGradient], scale: np.float32) -> None:
    """Where gradients were changed while they were multiplied by the scale: clipped too early, most likely."""
    changed = [g.name for g in gradients if g.tensor._version]
    if changed:
        warnings.warn(
            f"unscale_: the gradient of {changed[0]} was changed after backward, still multiplied by the scale "
            f"{scale:g}; clip after scaler.unscale_(optimizer), and zero_grad() in every iteration.",
            ScaledGradientWarning,
            stacklevel=3,
        )


def warn_of_spoiled(unscaled: list[tuple[str, Tensor, int]]) -> None:
    """Where a gradient that was finite when it was checked is not any more."""
    for name, g, version in unscaled:
        if g._version != version and not np.isfinite(g._data).all():
            warnings.warn(
                f"step: the gradient of {name} was finite when unscale_ checked it and is not any more, so the step is "
                "taken with it; look at what changed it.",
                SpoiledGradientWarning,
                stacklevel=3,
            )
            return
