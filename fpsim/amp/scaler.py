"""Loss scalers: PyTorch's `GradScaler`, the same under other libraries' rules, and a constant scale.

Layer 6. Decides when an optimizer steps. The rule by which the scale moves is `scale_rule`'s.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import numpy as np

from fpsim.amp.scale_rule import ScaleRule, preset_named
from fpsim.autograd.engine import apply
from fpsim.autograd.tensor import Tensor, round_into
from fpsim.errors import ArgumentTypeError, ScalerError, expected
from fpsim.formats import float32
from fpsim.ops import elementwise
from fpsim.precision import Precision
from fpsim.rounding.kernel import Array
from fpsim.rounding.work import run, work_for

__all__ = ["GradScaler", "StaticScaler", "StepReport"]


@dataclass(frozen=True)
class StepReport:
    """What one `step` of a scaler did, and why.

    `parameter` and `index` say where the first gradient that was not finite stood, `value` what it was.

    >>> print(StepReport(True, 65536.0, "fc1.weight", (0, 3), float("inf")))
    skipped at scale 65536: the gradient of fc1.weight is inf at (0, 3)
    >>> print(StepReport(False, 32768.0))
    stepped at scale 32768
    """

    skipped: bool
    scale: float
    parameter: str | None = None
    index: tuple[int, ...] | None = None
    value: float | None = None

    @property
    def why(self) -> str | None:
        """The reason for skipping, in words; None where the optimizer stepped."""
        if not self.skipped:
            return None
        if self.index is None:
            return f"the sum of the gradient of {self.parameter} is {self.value:g}"
        return f"the gradient of {self.parameter} is {self.value:g} at {self.index}"

    def __str__(self) -> str:
        return f"skipped at scale {self.scale:g}: {self.why}" if self.skipped else f"stepped at scale {self.scale:g}"


class Stage(Enum):
    """How far an optimizer is between two `update`s."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


@dataclass
class _Progress:
    """Of one optimizer since the last `update`: its stage, how many gradients were met, what was not finite."""

    stage: Stage = Stage.READY
    gradients: int = 0
    found: StepReport | None = None


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
        if self._scale is None:
            self._scale = np.float32(self.rule.initial)
        if isinstance(outputs, Tensor):
            return self._scaled(outputs)
        if isinstance(outputs, Iterable) and not isinstance(outputs, str | bytes):
            scaled = (self.scale(output) for output in outputs)
            return type(outputs)(scaled) if isinstance(outputs, list | tuple) else scaled
        got = type(outputs).__name__
        raise ArgumentTypeError(expected("scale", "a tensor or an iterable of tensors", got, "scale the loss tensor"))

    def unscale_(self, optimizer: Any) -> None:
        """Check the gradients of an optimizer's parameters and divide them by the scale, once, before `step`.

        Needed only where the true gradients are used before the step: to clip them, to look at them.
        """
        if not self._enabled:
            return
        scale, progress = self._scale_for("unscale_"), self._progress_of(optimizer)
        if progress.stage is not Stage.READY:
            did = "unscale_" if progress.stage is Stage.UNSCALED else "step"
            got = f"a second call after {did}()"
            remedy = "call update() at the end of each iteration"
            raise ScalerError(expected("unscale_", "one call per optimizer and update()", got, remedy))
        gradients = list(_gradients(optimizer))
        if self.rule.check != "never":
            _check_wide_enough(gradients)
        for name, p, g in gradients:
            progress.gradients += 1
            target = g if getattr(p, "master", None) is None else p.master
            data = self._unscaled(g, target.precision if target is g else target.precision.gradient, scale)
            if progress.found is None:
                progress.found = self._find(name, g._data, data, float(scale))
            if target is g:
                g.replace_values(data)
            else:
                target.grad = Tensor(data, target.precision.gradient)
        progress.stage = Stage.UNSCALED

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> StepReport:
        """Unscale if that was not done, then ``optimizer.step(...)`` unless a gradient was not finite.

        Returns
        -------
        StepReport
            Whether the step was skipped, and where the first inf or nan stood.
        """
        if not self._enabled:
            optimizer.step(*args, **kwargs)
            return StepReport(False, 1.0)
        if "closure" in kwargs or any(callable(a) for a in args):
            got = "a closure"
            raise ScalerError(expected("step", "an optimizer step without closure", got, "compute the loss before it"))
        scale, progress = self._scale_for("step"), self._progress_of(optimizer)
        if progress.stage is Stage.STEPPED:
            got = "a second call"
            raise ScalerError(expected("step", "one call per optimizer and update()", got, "call update() after it"))
        if progress.stage is Stage.READY:
            self.unscale_(optimizer)
        if not progress.gradients:
            got = "none, so nothing was checked"
            raise ScalerError(expected("step", "parameters with gradients", got, "call backward() on the scaled loss"))
        progress.stage = Stage.STEPPED
        if progress.found is not None:
            return progress.found
        optimizer.step(*args, **kwargs)
        return StepReport(False, float(scale))

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Move the scale, once at the end of each iteration; `new_scale` sets it and leaves the tracker."""
        if not self._enabled:
            return
        scale = self._scale_for("update")
        if new_scale is None:
            checked = [progress for progress in self._progress.values() if progress.gradients]
            if not checked:
                got = "none since the last update()"
                raise ScalerError(expected("update", "gradients that were checked", got, "call step(optimizer) first"))
            found = any(progress.found is not None for progress in checked)
            self._scale, self._tracker = self.rule.moved(scale, self._tracker, found)
        else:
            self._scale = _as_scale(new_scale)
        self._progress.clear()

    # Looking and saving ----------------------------------------------------------------------------------------------

    def get_scale(self) -> float:
        """The scale in force; 1.0 where the scaler is disabled."""
        if not self._enabled:
            return 1.0
        return float(np.float32(self.rule.initial) if self._scale is None else self._scale)

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
        scale = _as_scale(state_dict["scale"])
        self.rule = replace(
            self.rule,
            initial=float(scale) if self._scale is None else self.rule.initial,
            growth=state_dict.get("growth_factor", self.rule.growth),
            backoff=state_dict.get("backoff_factor", self.rule.backoff),
            interval=state_dict.get("growth_interval", self.rule.interval),
        )
        self._scale = None if self._scale is None else scale
        self._tracker = int(state_dict.get("_growth_tracker", 0))

    # Inside ----------------------------------------------------------------------------------------------------------

    def _scale_for(self, method: str) -> np.float32:
        if self._scale is None:
            got = "none yet"
            raise ScalerError(
                expected(method, "an earlier scale(loss)", got, "call scaler.scale(loss).backward() first")
            )
        return self._scale

    def _progress_of(self, optimizer: Any) -> _Progress:
        return self._progress.setdefault(optimizer, _Progress())

    def _scaled(self, x: Tensor) -> Tensor:
        precision = x.precision
        if x.ndim == 0 and not x.dtype.holds(float32):
            accumulate = float32 if float32.holds(x.accumulate) else x.accumulate
            precision = replace(precision, storage=float32, accumulate=accumulate, grad=None, grad_rounding=None)
        # the precision is given, so the scale stays the float32 that it is and the product is rounded once
        return apply(elementwise.multiply, (x, Tensor(np.asarray(self._scale), Precision(float32))), {}, precision)

    def _unscaled(self, g: Tensor, target: Precision, scale: np.float32) -> Array:
        """A gradient divided by the scale, rounded once."""
        formula: np.ufunc = np.divide if self.rule.unscale == "divide" else np.multiply
        with np.errstate(all="ignore"):  # of a scale below 2^-127 the reciprocal is inf
            reciprocal = np.float32(1 / np.float64(scale))
        factor = np.asarray(scale if self.rule.unscale == "divide" else reciprocal)
        work = work_for("elementary", target.storage, [g.dtype, float32], target.rounding)
        return round_into(target, run(work, formula, g._data, factor))

    def _find(self, name: str, scaled: Array, unscaled: Array, scale: float) -> StepReport | None:
        """Where the first gradient that is not finite stands."""
        if self.rule.check == "never":
            return None
        values = unscaled if self.rule.check == "unscaled" else scaled
        if self.rule.check == "sum":
            with np.errstate(all="ignore"):
                total = np.sum(values, dtype=np.float32)
            if np.isfinite(total):
                return None
        elif np.isfinite(values).all():
            return None
        if np.isfinite(values).all():  # only their float32 sum overflows
            return StepReport(True, scale, name, None, float(total))
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        return StepReport(True, scale, name, index, float(values[index]))


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


def _as_scale(value: Any) -> np.float32:
    value = value.item() if isinstance(value, Tensor | np.ndarray | np.generic) else value
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise ScalerError(expected("update", "a number as new scale", f"new_scale={value!r}", "give a float"))
    with np.errstate(over="ignore"):
        return np.float32(value)


def _gradients(optimizer: Any) -> Iterator[tuple[str, Any, Tensor]]:
    """Name, parameter and gradient of each parameter that has one."""
    count = 0
    for group in optimizer.param_groups:
        for p in group["params"]:
            if p.grad is not None:
                yield getattr(p, "name", None) or f"parameter {count}", p, p.grad
            count += 1


def _check_wide_enough(gradients: list[tuple[str, Any, Tensor]]) -> None:
    """Refuse to unscale in place in a format whose range is narrower than float32's: small gradients would vanish."""
    for name, p, g in gradients:
        if getattr(p, "master", None) is None and g.dtype.emin > float32.emin:
            got = f"that of {name} in {g.dtype.name}"
            fp16 = "Attempting to unscale FP16 gradients: " if g.dtype.name == "float16" else ""
            remedy = f"{fp16}keep the weights in float32, or give the optimizer master='float32'"
            raise ScalerError(expected("unscale_", "gradients with float32's range", got, remedy))
