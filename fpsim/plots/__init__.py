"""Plots: results and arrays in, a matplotlib Figure out.

Layer 9. Never trains; matplotlib is imported where a figure is drawn, so `import fpsim` does not need it.
"""

from fpsim.plots.comparison import comparison, panel

__all__ = ["comparison", "panel"]
