"""Plots of errors: of each operation against its twin, and of an output by source.

Layer 9. Takes the reports of `fpsim.observe`; measures nothing.
"""

from __future__ import annotations

from typing import Any

from fpsim.plots.style import PALETTE, figure, tidy

__all__ = ["error_budget", "shadow_errors"]


def shadow_errors(report: Any, measure: str = "relative") -> Any:
    """What each line of a shadow's report made and inherited, as bars on a logarithmic axis.

    `measure` is one of ``relative relative_max norm ulp ulp_max``; what is exactly zero has no bar.
    """
    rows = report.rows()
    made = figure(8.0, 1.0 + 0.24 * len(rows))
    axes = made.subplots()
    places = range(len(rows))
    for shift, what, colour in ((-0.2, "made", PALETTE[2]), (0.2, "inherited", PALETTE[1])):
        axes.barh(
            [i + shift for i in places], [row[f"{what}_{measure}"] for row in rows], 0.38, color=colour, label=what
        )
    axes.set_yticks(list(places), [_name(row) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    if any(row[f"{what}_{measure}"] > 0 for row in rows for what in ("made", "inherited")):
        axes.set_xscale("log")
    tidy(axes, report.title(), f"{measure.replace('_', ', ')} error")
    axes.legend(fontsize=8, frameon=False)
    made.tight_layout()
    return made


def _name(row: dict[str, Any]) -> str:
    what = "weight gradient" if row["role"] == "weight_gradient" else row["phase"]
    return " ".join(part for part in (row["module"], row["op"], what, row["format"]) if part)


def error_budget(report: Any) -> Any:
    """The root mean square error from each source alone, their interaction, and the total."""
    rows = report.rows()
    made = figure(6.0, 2.6)
    axes = made.subplots()
    names = [row["source"] for row in rows]
    colours = [PALETTE[0] if name == "total" else PALETTE[1] if name != "interaction" else PALETTE[4] for name in names]
    axes.barh(range(len(rows)), [row["rms"] for row in rows], color=colours)
    axes.set_yticks(range(len(rows)), names)
    axes.invert_yaxis()
    if any(row["rms"] > 0 for row in rows):
        axes.set_xscale("log")
    tidy(axes, report.title(), "root mean square error")
    made.tight_layout()
    return made
