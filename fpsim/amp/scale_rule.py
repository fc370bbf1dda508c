"""`ScaleRule`: how a dynamic loss scale moves; one state machine whose parameters are six libraries' scalers.

Layer 6. Numbers only: `scaler` holds the gradients and the optimizers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fpsim.errors import ArgumentError, expected, nearest

__all__ = ["PRESETS", "ScaleRule", "preset_named"]

CHECKS = ("scaled", "sum", "unscaled", "never")
UNSCALES = ("multiply", "divide")


@dataclass(frozen=True)
class ScaleRule:
    """Where a loss scale starts, when it moves, and how gradients are checked and unscaled.

    Parameters
    ----------
    initial : float
        The first scale; like every scale after it a float32.
    growth, backoff : float
        Factors after `interval` finite steps in a row, and after a step that was not finite.
    interval : int
        Finite steps in a row before the scale grows.
    floor, ceiling : float
        The scale is never moved below or above them.
    grows_to_infinity : bool
        Whether growth may leave float32's range; else the scale stays where it is.
    check : str
        What is tested for inf and nan: the ``scaled`` gradients, their ``sum``, the ``unscaled`` ones; or ``never``:
        then the scale is constant too.
    unscale : str
        ``multiply`` by float32(1/scale), or ``divide`` by the scale.

    Examples
    --------
    >>> rule = ScaleRule(initial=1024.0, interval=2)
    >>> rule.moved(np.float32(1024), tracker=1, found=False)
    (np.float32(2048.0), 0)
    >>> rule.moved(np.float32(1024), tracker=1, found=True)
    (np.float32(512.0), 0)
    """

    initial: float = 2.0**16
    growth: float = 2.0
    backoff: float = 0.5
    interval: int = 2000
    floor: float = 0.0
    ceiling: float = math.inf
    grows_to_infinity: bool = False
    check: str = "scaled"
    unscale: str = "multiply"

    def __post_init__(self) -> None:
        for name, value in (("scale", self.initial), ("growth_factor", self.growth), ("backoff_factor", self.backoff)):
            if isinstance(value, bool) or not isinstance(value, int | float | np.number):
                raise ArgumentError(expected("scaler", "numbers", f"{name}={value!r}", "give a float"))
        initial, interval = float(self.initial), self.interval
        with np.errstate(over="ignore"):
            held = np.float32(initial)
        whole = isinstance(interval, int | np.integer) and not isinstance(interval, bool) and interval >= 1
        for holds, invariant, got, remedy in (
            (0 < held < np.inf, "a scale that float32 holds, above 0", f"scale={initial!r}", "try 65536.0"),
            (self.growth > 1, "growth_factor > 1", f"growth_factor={self.growth!r}", "2.0 is usual"),
            (
                0 < self.backoff < 1,
                "backoff_factor between 0 and 1",
                f"backoff_factor={self.backoff!r}",
                "0.5 is usual",
            ),
            (whole, "a growth_interval of at least 1 step", f"growth_interval={interval!r}", "2000 is usual"),
            (
                0 <= self.floor <= self.ceiling,
                "0 <= floor <= ceiling",
                f"floor={self.floor!r}, ceiling={self.ceiling!r}",
                "exchange them",
            ),
            (self.check in CHECKS, f"check in {CHECKS}", f"check={self.check!r}", "choose one"),
            (self.unscale in UNSCALES, f"unscale in {UNSCALES}", f"unscale={self.unscale!r}", "choose one"),
        ):
            if not holds:
                raise ArgumentError(expected("scaler", invariant, got, remedy))
        object.__setattr__(self, "initial", initial)
        object.__setattr__(self, "interval", int(interval))

    def moved(self, scale: np.float32, tracker: int, found: bool) -> tuple[np.float32, int]:
        """The scale and the count of finite steps after a step in which something not finite was `found`, or not."""
        if self.check == "never":
            return scale, tracker
        if found:
            return np.float32(max(self.floor, float(scale) * self.backoff)), 0
        if tracker + 1 != self.interval:
            return scale, tracker + 1
        with np.errstate(over="ignore"):
            grown = np.float32(min(self.ceiling, float(scale) * self.growth))
        return (grown if np.isfinite(grown) or self.grows_to_infinity else scale), 0


#: The libraries' scalers, as read in PyTorch 2.13, Apex's last `apex.amp`, Keras 3.15, tf-keras, jmp 0.0.4 and
#: Apex's older fp16_utils (its scale is a Python float; here it is a float32 like all).
PRESETS: dict[str, ScaleRule] = {
    "torch": ScaleRule(),
    "apex": ScaleRule(ceiling=2.0**24),
    "keras": ScaleRule(initial=2.0**15, grows_to_infinity=True, unscale="divide"),
    "tf_keras": ScaleRule(initial=2.0**15, floor=1.0, check="unscaled"),
    "jmp": ScaleRule(initial=2.0**15, floor=1.0, check="unscaled"),
    "fp16_utils": ScaleRule(initial=2.0**32, interval=1000, floor=1.0, grows_to_infinity=True, check="sum"),
}


def preset_named(name: Any) -> ScaleRule:
    """The rule of a library's scaler."""
    if name not in PRESETS:
        near = nearest(name, PRESETS, 2)
        got = f"preset={name!r}"
        raise ArgumentError(expected("scaler", "a library's name", got, f"did you mean {near}?"))
    return PRESETS[name]
