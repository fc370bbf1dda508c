"""Mixed precision: policies, recipes, `apply`, `autocast` and loss scalers.

Layer 6. Read `policy`, then `layers`; `scale_rule` is the loss scale, `autocast` the choice by operation.
"""

from fpsim.amp.apply import apply
from fpsim.amp.autocast import OpLists, autocast, op_lists
from fpsim.amp.policy import Policy, policy
from fpsim.amp.recipes import RECIPES, Recipe, recipe
from fpsim.amp.scale_rule import PRESETS, ScaleRule
from fpsim.amp.scaler import GradScaler, StaticScaler, StepReport

__all__ = [
    "PRESETS",
    "RECIPES",
    "GradScaler",
    "OpLists",
    "Policy",
    "Recipe",
    "ScaleRule",
    "StaticScaler",
    "StepReport",
    "apply",
    "autocast",
    "op_lists",
    "policy",
    "recipe",
]
