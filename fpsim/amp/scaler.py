"""Loss scalers: PyTorch's `GradScaler`, the same under other libraries' rules, and a constant scale.

Layer 6. Decides when an optimizer steps. The rule by which the scale moves is `scale_rule`'s.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import numpy as np

from fpsim.amp.scale_rule import ScaleRule, preset_named
from fpsim.amp.scaling import scaled
from fpsim.amp.unscaling import (
    StepReport,
    check_wide_enough,
    first_not_finite,
    gradients_of,
    reciprocal,
    warn_of_changes,
    warn_of_spoiled,
)
from fpsim.autograd.tensor import Tensor
from fpsim.errors import LossScaleUnderflowWarning, ScalerError, expected

__all__ = ["GradScaler", "StaticScaler", "StepReport"]


class Stage(Enum):
    """How far an optimizer is between two `update`s."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


@dataclass
class _Progress:
    """Of one optimizer since the last `update`: its stage, the unscaled gradients, what was not finite, its report."""

    stage: Stage = Stage.READY
    #: each with its parameter's name and how often its values had been replaced when it was unscaled
    unscaled: list[tuple[str, Tensor, int]] = field(default_factory=list)
    found: StepReport | None = None
    report: StepReport | None = None


class GradScaler:
    """PyTorch's dynamic loss scale: small gradients survive float16, steps with inf or nan are skipped.

    ``scaler.scale(loss).backward(); scaler.step(optimizer); scaler.update()``. Where something is not finite the step
    is skipped and the scale multiplied by `backoff_factor`; after `growth_interval` finite steps in a row it grows.

    Parameters
    ----------
    device
        Ignored; a number is taken as `init_scale`.
    init_scale, growth_factor, backoff_factor : float
    growth_interval : int
    enabled : bool
        Where False, every method is the identity and `step` just steps.
    rule : ScaleRule, optional
        In place of the four numbers: floors, ceilings and other libraries' ways (see `GradScaler.preset`).

    Notes
    -----
    Precision: the scale is a float32. Gradients are multiplied by float32(1/scale), rounded once to their own format;
    with master weights the product is rounded once to the master's gradient, and the parameter's own stays scaled.

    Examples
    --------
    >>> import fpsim as fp
    >>> w = fp.tensor([1.0], requires_grad=True)
    >>> optimizer, scaler = fp.optim.SGD([w], lr=0.5), fp.amp.GradScaler(init_scale=8.0)
    >>> scaler.scale((w * 3).sum()).backward()
    >>> w.grad.item(), str(scaler.step(optimizer)), w.item()
    (24.0, 'stepped at scale 8', -0.5)
    """

    def __init__(
        self,
        device: Any = None,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
        *,
        rule: ScaleRule | None = None,
    ) -> None:
        if isinstance(device, int | float):
            init_scale = device
        made = ScaleRule(init_scale, growth_factor, backoff_factor, growth_interval)
        self.rule = made if rule is None else rule
        self._enabled = bool(enabled)
        self._initial = np.float32(self.rule.initial)  # or what was loaded
        self._scale: np.float32 | None = None  # made by the first scale(), like the tracker
        self._tracker = 0
        self._progress: dict[Any, _Progress] = {}

    @classmethod
    def preset(cls, name: str, enabled: bool = True, **changes: Any) -> GradScaler:
        """The scaler of a library: ``torch apex keras tf_keras jmp fp16_utils``; `changes` to its `ScaleRule`.

        >>> import fpsim as fp
        >>> fp.amp.GradScaler.preset("apex", initial=2.0**10).rule.ceiling
        16777216.0
        """
        return GradScaler(enabled=enabled, rule=replace(preset_named(name), **changes))

    def __repr__(self) -> str:
        state = f"scale={self.get_scale():g}" if self._enabled else "enabled=False"
        return f"{type(self).__name__}({state})"

    # The four methods of a training step -----------------------------------------------------------------------------

    def scale(self, outputs: Any) -> Any:
        """A tensor, or tensors nested in iterables, times the scale.

        A 0-d tensor of a format narrower than float32 gives float32, as in PyTorch; others keep their format.

        >>> import fpsim as fp
        >>> loss = fp.tensor(65520.0, requires_grad=True).half()
        >>> fp.amp.GradScaler().scale(fp.tensor(2.0, dtype="float16")).dtype.name
        'float32'
        """
        if not self._enabled:
            return outputs
        scale = self._initial if self._scale is None else self._scale
        result = scaled(outputs, scale)
        self._scale = scale  # not before: what cannot be scaled leaves no trace
        return result

    def unscale_(self, optimizer: Any) -> None:
        """Check the gradients of an optimizer's parameters and divide them by the scale, once, before `step`.

        Needed only where the true gradients are used before the step: to clip them, to look at them.
        """
        if not self._enabled:
            return
        scale = self._scale_for("unscale_")
        gradients = list(gradients_of("unscale_", optimizer))
        progress = self._progress.get(optimizer, _Progress())
        if progress.stage is not Stage.READY:
            did = "unscale_" if progress.stage is Stage.UNSCALED else "step"
            got = f"a second call after {did}()"
            remedy = "call update() at the end of each iteration"
            raise ScalerError(expected("unscale_", "one call per optimizer and update()", got, remedy))
        if not gradients:
            return
        if self.rule.check != "never":
            check_wide_enough(gradients)
        if scale != 1:
            warn_of_changes(gradients, scale)
        new = [g.unscaled(self.rule, scale) for g in gradients]
        found = (first_not_finite(self.rule, g, data, scale) for g, data in zip(gradients, new, strict=True))
        progress.found = next((report for report in found if report is not None), None)
        for g, data in zip(gradients, new, strict=True):
            g.take(data, scale)
            used = g.tensor if g.parameter.master is None else g.parameter.master.grad
            assert used is not None
            progress.unscaled.append((g.name, used, used._version))
        progress.stage = Stage.UNSCALED
        self._progress[optimizer] = progress

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> StepReport:
        """Unscale if that was not done, then ``optimizer.step(...)`` unless a gradient was not finite.

        Returns
        -------
        StepReport
            Whether the step was skipped, and where the first inf or nan stood.
        """
        if not self._enabled:
            optimizer.step(*args, **kwargs)
            return StepReport(False, 1.0, scale_after=1.0)
        if "closure" in kwargs or any(callable(a) for a in args):
            got = "a closure"
            raise ScalerError(expected("step", "an optimizer step without closure", got, "compute the loss before it"))
        scale = self._scale_for("step")
        gradients = list(gradients_of("step", optimizer))
        if optimizer not in self._progress:
            if not gradients:
                got = "none, so nothing was checked"
                remedy = "call backward() on the scaled loss"
                raise ScalerError(expected("step", "parameters with gradients", got, remedy))
            self.unscale_(optimizer)
        progress = self._progress[optimizer]
        if progress.stage is Stage.STEPPED:
            got = "a second call"
            raise ScalerError(expected("step", "one call per optimizer and update()", got, "call update() after it"))
        if progress.found is None:
            if self.rule.check != "never":
                warn_of_spoiled(progress.unscaled)
            optimizer.step(*args, **kwargs)
        progress.stage = Stage.STEPPED
        progress.report = StepReport(False, float(scale)) if progress.found is None else progress.found
        progress.report.scale_after = float(self.rule.moved(scale, self._tracker, self._found)[0])
        return progress.report

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Move the scale, once at the end of each iteration; `new_scale` sets it and leaves the tracker."""
        if not self._enabled:
            return
        scale = self._scale_for("update")
        if new_scale is not None:
            moved, tracker = _as_scale("update", new_scale), self._tracker
        elif self._progress:
            moved, tracker = self.rule.moved(scale, self._tracker, self._found)
        else:
            got = "none since the last update()"
            raise ScalerError(expected("update", "gradients that were checked", got, "call step(optimizer) first"))
        if self.rule.unscale == "multiply" and np.isfinite(reciprocal(scale)) and not np.isfinite(reciprocal(moved)):
            warnings.warn(
                f"update: float32(1/scale) is inf for the scale {moved:g}, so that bad steps are taken from here on, "
                "not skipped; look for what makes every step overflow, or give the scaler a floor.",
                LossScaleUnderflowWarning,
                stacklevel=2,
            )
        self._scale, self._tracker = moved, tracker
        for progress in self._progress.values():
            if progress.report is not None:
                progress.report.scale_after = float(moved)
        self._progress.clear()

    # Looking and saving ----------------------------------------------------------------------------------------------

    def get_scale(self) -> float:
        """The scale in force; 1.0 where the scaler is disabled."""
        if not self._enabled:
            return 1.0
        return float(self._initial if self._scale is None else self._scale)

    def found(self, optimizer: Any) -> StepReport | None:
        """What `unscale_` found in this iteration that is not finite; None where it found nothing, or did not look."""
        progress = self._progress.get(optimizer)
        return None if progress is None else progress.found

    def is_enabled(self) -> bool:
        """Whether the scaler does anything."""
        return self._enabled

    def get_growth_factor(self) -> float:
        """What the scale grows by."""
        return self.rule.growth

    def set_growth_factor(self, new_factor: float) -> None:
        """Let the scale grow by another factor."""
        self.rule = replace(self.rule, growth=new_factor)

    def get_backoff_factor(self) -> float:
        """What the scale is multiplied by after a step that was not finite."""
        return self.rule.backoff

    def set_backoff_factor(self, new_factor: float) -> None:
        """Let the scale back off by another factor."""
        self.rule = replace(self.rule, backoff=new_factor)

    def get_growth_interval(self) -> int:
        """Finite steps in a row before the scale grows."""
        return self.rule.interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Let the scale grow after another number of finite steps."""
        self.rule = replace(self.rule, interval=new_interval)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs; empty where the scaler is disabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self.rule.growth,
            "backoff_factor": self.rule.backoff,
            "growth_interval": self.rule.interval,
            "_growth_tracker": self._tracker,
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a `state_dict`."""
        if not self._enabled:
            return
        if not state_dict:
            remedy = "it was saved from a disabled scaler"
            raise ScalerError(expected("load_state_dict", "a scaler's state", "an empty one", remedy))
        missing = [name for name in self.state_dict() if name not in state_dict]
        if missing:
            got = f"one without {', '.join(missing)}"
            raise ScalerError(expected("load_state_dict", "a scaler's state", got, "load what state_dict() gave"))
        scale = _as_scale("load_state_dict", state_dict["scale"])
        tracker = state_dict.get("_growth_tracker", self._tracker)
        if not isinstance(tracker, int | np.integer) or isinstance(tracker, bool) or tracker < 0:
            got = f"_growth_tracker={tracker!r}"
            remedy = "load what state_dict() gave"
            raise ScalerError(expected("load_state_dict", "a whole number of at least 0", got, remedy))
        rule = replace(
            self.rule,
            growth=state_dict.get("growth_factor", self.rule.growth),  # a constant scale has no such numbers
            backoff=state_dict.get("backoff_factor", self.rule.backoff),
            interval=state_dict.get("growth_interval", self.rule.interval),
        )
        self.rule, self._tracker = rule, int(tracker)
        if self._scale is None:
            self._initial = scale
        else:
            self._scale = scale

    # Inside ----------------------------------------------------------------------------------------------------------

    def _scale_for(self, method: str) -> np.float32:
        if self._scale is None:
            got = "none yet"
            raise ScalerError(
                expected(method, "an earlier scale(loss)", got, "call scaler.scale(loss).backward() first")
            )
        return self._scale

    @property
    def _found(self) -> bool:
        """Whether anything was not finite since the last `update`, in any optimizer."""
        return any(progress.found is not None for progress in self._progress.values())


class StaticScaler(GradScaler):
    """A constant loss scale, with the methods of `GradScaler`: it never checks and never skips.

    Since it never checks, it takes float16 gradients too; what underflows again when they are unscaled in float16 is
    lost, so give the optimizer ``master="float32"``.

    >>> import fpsim as fp
    >>> scaler = fp.amp.StaticScaler(1024.0)
    >>> scaler.scale(fp.tensor(0.5)).item(), scaler.get_scale()
    (512.0, 1024.0)
    """

    def __init__(self, scale: float = 1.0, enabled: bool = True) -> None:
        super().__init__(enabled=enabled, rule=ScaleRule(scale, check="never"))

    def state_dict(self) -> dict[str, Any]:
        """The scale; empty where the scaler is disabled."""
        return {"scale": self.get_scale()} if self._enabled else {}


def _as_scale(method: str, value: Any) -> np.float32:
    if isinstance(value, Tensor | np.ndarray | np.generic):
        value = value.item() if value.size == 1 else value
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        got = f"scale={value!r}" if method != "update" else f"new_scale={value!r}"
        raise ScalerError(expected(method, "a number as new scale", got, "give a float"))
    with np.errstate(over="ignore"):
        return np.float32(value)
