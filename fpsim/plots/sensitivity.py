"""The picture of a sensitivity: layer by role, how far float64 is left, and which roles may be narrow together.

Layer 9. Numbers come from the report alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fpsim.errors import ArgumentError, expected
from fpsim.observe.sensitivity_report import Sensitivity
from fpsim.plots.heat import heat_bar, heat_map
from fpsim.plots.style import figure, themed

__all__ = ["sensitivity"]

_FIELDS = {
    "output": "outputs' relative deviation from float64",
    "loss": "losses' largest relative deviation from float64",
    "gradient": "first gradient's relative deviation from float64",
}


@themed
def sensitivity(report: Sensitivity, field: str = "output", *, theme: str = "light") -> Any:
    """A heat map, layers down and roles across; a frame marks what the checked assignment keeps narrow.

    Parameters
    ----------
    report : Sensitivity
    field : str
        ``output``, ``loss`` or ``gradient``.
    theme : str
        ``light`` or ``dark``.

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
    inner = 1 - (above + below) / height
    axes = made.add_axes((left / width, below / height, 1 - (left + right) / width, inner))
    image = heat_map(axes, values, [layer or "(the network)" for layer in layers], roles)
    _frames(axes, report)
    place = (1 - (right - 0.25) / width, below / height, 0.18 / width, inner)
    heat_bar(made, image, place, "relative deviation")
    head = f"One role of one layer in {report.fmt.name}: {_FIELDS[field]}"
    made.suptitle(head, x=0.02, y=1 - 0.12 / height, ha="left", va="top", fontsize=11, fontweight="bold")
    check = report.check
    text = f"framed: {len(check.assignment)} of {len(report.cells)} roles in {report.fmt.name} together; the run "
    text += f"deviates by {check.measured.output:.1e}, tolerance {report.tolerance:g}"
    if not report.checks[0].holds:
        text += f" (first {len(report.checks[0].assignment)}: {report.checks[0].measured.output:.1e}, did not hold)"
    made.text(0.02, 0.18 / height, text, fontsize=8.5)
    return made


def _frames(axes: Any, report: Sensitivity) -> None:
    """A frame around each role that the checked assignment keeps narrow."""
    from matplotlib.patches import Rectangle

    for i, layer in enumerate(report.layers):
        for j, role in enumerate(report.roles):
            if (layer, role) in report.check.assignment:
                frame = Rectangle((j - 0.44, i - 0.4), 0.88, 0.8, fill=False, edgecolor="#0072B2", linewidth=1.8)
                axes.add_patch(frame)
