"""Plots: results and arrays in, a matplotlib Figure out.

Layer 9. Never trains; matplotlib is imported where a figure is drawn, so `import fpsim` does not need it.
"""

from fpsim.plots.bit_boxes import bits
from fpsim.plots.comparison import comparison, panel
from fpsim.plots.errors import error_budget, error_map, shadow_errors
from fpsim.plots.evaluation import evaluation
from fpsim.plots.histogram import exponents
from fpsim.plots.line_of_numbers import number_line
from fpsim.plots.memory import memory
from fpsim.plots.roofline import roofline
from fpsim.plots.scaling import scaling
from fpsim.plots.sensitivity import sensitivity
from fpsim.plots.spacing import ulp_staircase
from fpsim.plots.sums import error_growth, running_sum
from fpsim.plots.training import deviation, scale_timeline, training_curves
from fpsim.plots.updates import lost_updates, update_ratios

__all__ = [
    "bits",
    "comparison",
    "deviation",
    "error_budget",
    "error_growth",
    "error_map",
    "evaluation",
    "exponents",
    "lost_updates",
    "memory",
    "number_line",
    "panel",
    "roofline",
    "running_sum",
    "scale_timeline",
    "scaling",
    "sensitivity",
    "shadow_errors",
    "training_curves",
    "ulp_staircase",
    "update_ratios",
]
