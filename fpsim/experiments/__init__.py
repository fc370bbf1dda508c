"""Experiments: train a network in a recipe's formats, compare recipes, keep the results.

Layer 8. Read `scenario`, then `training`, then `comparing`.
"""

from fpsim.experiments.comparing import compare
from fpsim.experiments.results import Comparison, Run, load
from fpsim.experiments.scenario import SCENARIOS, Scenario
from fpsim.experiments.training import train

__all__ = ["SCENARIOS", "Comparison", "Run", "Scenario", "compare", "load", "train"]
