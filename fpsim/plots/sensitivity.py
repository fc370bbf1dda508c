"""The picture of a sensitivity: layer by role, how far float64 is left, and which roles may be narrow together.

Layer 9. Numbers come from the report alone.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fpsim.errors import ArgumentError, expected
from fpsim.observe.sensitivity_report import Sensitivity
from fpsim.plots.style import figure

__all__ = ["sensitivity"]

_FIELDS = {
    "output": "outputs' relative deviation from float64",
    "loss": "losses' largest relative deviation from float64",
    "gradient": "first gradient's relative deviation from float64",
}


def sensitivity(report: Sensitivity, field: str = "output") -> Any:
    """A heat map, layers down and roles across; a frame marks what the checked assignment keeps narrow.

    Parameters
    ----------
    report : Sensitivity
    field : str
        ``output``, ``loss`` or ``gradient``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    if field not in _FIELDS:
        got = f"field={field!r}"
        raise ArgumentError(expected("sensitivity", f"a field of {', '.join(_FIELDS)}", got, "choose one"))
    layers, roles = report.layers, report.roles
    values = np.array([[getattr(report[layer, role], field) for role in roles] for layer in layers])
    left, right, above, below = 1.5, 1.4, 0.85, 0.55
    width, height = left + right + 1.15 * len(roles) + 0.4, above + below + 0.5 * len(layers)
    made = figure(max(width, 8.2), height)
    width = max(width, 8.2)
    axes = made.add_axes((left / width, below / height, 1 - (left + right) / width, 1 - (above + below) / height))
    image = _cells(axes, report, values)
    bar = made.add_axes((1 - (right - 0.25) / width, below / height, 0.18 / width, 1 - (above + below) / height))
    _scale(made.colorbar(image, cax=bar))
    head = f"One role of one layer in {report.fmt.name}: {_FIELDS[field]}"
    made.suptitle(head, x=0.02, y=1 - 0.12 / height, ha="left", va="top", fontsize=11, fontweight="bold")
    check = report.check
    text = f"framed: {len(check.assignment)} of {len(report.cells)} roles in {report.fmt.name} together; the run "
    text += f"deviates by {check.measured.output:.1e}, tolerance {report.tolerance:g}"
    if not report.checks[0].holds:
        text += f" (first {len(report.checks[0].assignment)}: {report.checks[0].measured.output:.1e}, did not hold)"
    made.text(0.02, 0.18 / height, text, fontsize=8.5)
    return made


def _cells(axes: Any, report: Sensitivity, values: Any) -> Any:
    """The map, each value written in its cell; zero is white, infinity black."""
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm
    from matplotlib.patches import Rectangle

    finite = values[np.isfinite(values) & (values > 0)]
    low = 10.0 ** math.floor(math.log10(finite.min())) if finite.size else 1e-16
    high = 10.0 ** math.ceil(math.log10(finite.max())) if finite.size else 1.0
    colours = colormaps["YlOrRd"].with_extremes(bad="white", under="white", over="black")
    high = max(high, 10 * low)
    norm = LogNorm(low, high)
    drawn = np.where(np.isinf(values), 10 * high, np.where(values > 0, values, low / 10))
    image = axes.imshow(drawn, cmap=colours, norm=norm, aspect="auto")
    for i, layer in enumerate(report.layers):
        for j, role in enumerate(report.roles):
            value = values[i, j]
            dark = math.isinf(value) or (value > 0 and norm(value) > 0.6)
            text = "0" if value == 0 else "not finite" if math.isinf(value) else f"{value:.1e}"
            axes.text(j, i, text, ha="center", va="center", fontsize=8.5, color="white" if dark else "black")
            if (layer, role) in report.check.assignment:
                frame = Rectangle((j - 0.44, i - 0.4), 0.88, 0.8, fill=False, edgecolor="#0072B2", linewidth=1.8)
                axes.add_patch(frame)
    axes.set_xticks(range(len(report.roles)), report.roles)
    axes.set_yticks(range(len(report.layers)), [layer or "(the network)" for layer in report.layers])
    axes.tick_params(labelsize=9, length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    return image


def _scale(bar: Any) -> None:
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    bar.ax.minorticks_off()
