"""Experiments: train a network in a recipe's formats, compare recipes, keep the results.

Layer 8. Read `scenario`, then `training`, then `comparing` and `sweeping`.
"""

from typing import TYPE_CHECKING, Any

from fpsim.experiments.comparing import compare
from fpsim.experiments.results import Comparison, Run, load
from fpsim.experiments.scenario import SCENARIOS, Scenario
from fpsim.experiments.training import train

__all__ = ["SCENARIOS", "Comparison", "Run", "Scenario", "Sweep", "compare", "load", "sweep", "train"]

if TYPE_CHECKING:
    from fpsim.experiments.sweeping import Sweep, sweep


def __getattr__(name: str) -> Any:
    if name in ("Sweep", "sweep"):  # on first use
        from fpsim.experiments import sweeping

        return getattr(sweeping, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
