"""A heat map on a logarithmic scale with each value written in its cell, as several plots need it.

Layer 9. Draws into axes that it is handed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fpsim.plots.style import colours, ink_on

__all__ = ["heat_bar", "heat_map"]


def heat_map(axes: Any, values: Any, rows: Sequence[str], columns: Sequence[str]) -> Any:
    """Draw positive values from pale (small) to dark red; 0 as the paper, infinity as the ink, NaN as no cell at all.

    Parameters
    ----------
    axes : matplotlib Axes
    values : ndarray, shape ``(len(rows), len(columns))``
    rows, columns : sequence of str

    Returns
    -------
    matplotlib AxesImage
    """
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm

    values, theme = np.asarray(values, np.float64), colours()
    finite = values[np.isfinite(values) & (values > 0)]
    low = 10.0 ** math.floor(math.log10(finite.min())) if finite.size else 1e-16
    high = max(10.0 ** math.ceil(math.log10(finite.max())) if finite.size else 1.0, 10 * low)
    shades = colormaps["YlOrRd"].with_extremes(bad=theme.paper, under=theme.paper, over=theme.ink)
    norm = LogNorm(low, high)
    drawn = np.where(np.isinf(values), 10 * high, np.where(values == 0, low / 10, values))
    image = axes.imshow(np.ma.masked_invalid(drawn), cmap=shades, norm=norm, aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        if math.isnan(value):
            axes.text(j, i, "–", ha="center", va="center", fontsize=8.5, color=theme.faint)
            continue
        text = "0" if value == 0 else "not finite" if math.isinf(value) else f"{value:.1e}"
        axes.text(j, i, text, ha="center", va="center", fontsize=8.5, color=ink_on(shades(norm(drawn[i, j]))[:3]))
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(labelsize=9, length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    return image


def heat_bar(made: Any, image: Any, place: tuple[float, float, float, float], name: str) -> Any:
    """The map's scale with its name, in a part of the figure (left, bottom, width, height)."""
    bar = made.colorbar(image, cax=made.add_axes(place, label="<colorbar>"))
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    bar.ax.minorticks_off()
    bar.ax.set_ylabel(name, fontsize=8)
    return bar
