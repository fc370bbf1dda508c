"""Mixed precision: policies, recipes, `apply`, `autocast` and loss scalers.

Layer 6. Read `policy`, then `layers`; `scale_rule` is the loss scale, `autocast` the choice by operation.
"""

from typing import TYPE_CHECKING, Any

from fpsim.amp.apex import apex
from fpsim.amp.apply import apply
from fpsim.amp.autocast import OpLists, autocast, op_lists
from fpsim.amp.copying import in_formats
from fpsim.amp.policy import Policy, policy
from fpsim.amp.quantization import Quantization, quantize
from fpsim.amp.quantizers import BlockScaling, CurrentScaling, DelayedScaling
from fpsim.amp.recipes import RECIPES, Recipe, recipe
from fpsim.amp.scale_rule import PRESETS, ScaleRule
from fpsim.amp.scaler import GradScaler, StaticScaler
from fpsim.amp.unscaling import StepReport

__all__ = [
    "PRESETS",
    "RECIPES",
    "BlockScaling",
    "CurrentScaling",
    "DelayedScaling",
    "GradScaler",
    "OpLists",
    "Policy",
    "Quantization",
    "Recipe",
    "ScaleRule",
    "StaticScaler",
    "StepReport",
    "apex",
    "apply",
    "autocast",
    "in_formats",
    "initialize",
    "jmp",
    "keras",
    "master_params",
    "op_lists",
    "policy",
    "quantize",
    "recipe",
    "scale_loss",
]

if TYPE_CHECKING:
    from fpsim.amp import jmp, keras
    from fpsim.amp.apex_training import initialize, master_params, scale_loss


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in ("jmp", "keras"):  # on first use, like the next
        return import_module(f"fpsim.amp.{name}")
    if name in ("initialize", "master_params", "scale_loss"):
        return getattr(import_module("fpsim.amp.apex_training"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
