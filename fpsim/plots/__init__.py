"""Plots: results and arrays in, a matplotlib Figure out.

Layer 9. Never trains; matplotlib is imported where a figure is drawn, so `import fpsim` does not need it.
"""

from fpsim.plots.comparison import comparison, panel
from fpsim.plots.errors import error_budget, shadow_errors
from fpsim.plots.evaluation import evaluation
from fpsim.plots.histogram import exponents
from fpsim.plots.roofline import roofline
from fpsim.plots.scaling import scaling
from fpsim.plots.sensitivity import sensitivity

__all__ = [
    "comparison",
    "error_budget",
    "evaluation",
    "exponents",
    "panel",
    "roofline",
    "scaling",
    "sensitivity",
    "shadow_errors",
]
