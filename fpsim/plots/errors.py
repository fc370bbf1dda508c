"""Plots of errors: of each operation against its twin, and of an output by source.

Layer 9. Takes the reports of `fpsim.observe`; measures nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fpsim.errors import ArgumentError, ArgumentTypeError, ObserverError, expected
from fpsim.plots.heat import heat_bar, heat_map
from fpsim.plots.style import PALETTE, colours, figure, themed, tidy

__all__ = ["error_budget", "error_map", "shadow_errors"]


@themed
def shadow_errors(report: Any, measure: str = "relative", *, theme: str = "light") -> Any:
    """What each line of a shadow's report made and inherited, as bars on a logarithmic axis.

    `measure` is one of ``relative relative_max norm ulp ulp_max``; what is exactly zero has no bar.
    """
    rows = report.rows()
    made = figure(8.0, 1.0 + 0.24 * len(rows))
    axes = made.subplots()
    places = range(len(rows))
    for shift, what, colour, hatch in ((-0.2, "made", PALETTE[2], ""), (0.2, "inherited", PALETTE[1], "///")):
        look = {"color": colour, "hatch": hatch, "edgecolor": colours().paper, "linewidth": 0, "label": what}
        axes.barh([i + shift for i in places], [row[f"{what}_{measure}"] for row in rows], 0.38, **look)
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


@themed
def error_budget(report: Any, *, theme: str = "light") -> Any:
    """The root mean square error from each source alone, their interaction, and the total."""
    rows = report.rows()
    made = figure(6.0, 2.6)
    axes = made.subplots()
    names = [row["source"] for row in rows]
    own = {"total": colours().ink, "interaction": PALETTE[4]}
    axes.barh(range(len(rows)), [row["rms"] for row in rows], color=[own.get(name, PALETTE[1]) for name in names])
    axes.set_yticks(range(len(rows)), names)
    axes.invert_yaxis()
    if any(row["rms"] > 0 for row in rows):
        axes.set_xscale("log")
    tidy(axes, report.title(), "root mean square error")
    made.tight_layout()
    return made


# The map -------------------------------------------------------------------------------------------------------------

#: What is seen of a shadow's lines, from left to right: their role and phase.
PASSES = {
    ("activation", "forward"): "activation",
    ("gradient", "backward"): "gradient",
    ("weight_gradient", "backward"): "weight gradient",
    ("weight", "update"): "updated weight",
}


@themed
def error_map(
    report: Any, *, measure: str = "relative", what: str = "made", title: str | None = None, theme: str = "light"
) -> Any:
    """Where errors arise: a heat map of modules down and passes across, each error written in its cell.

    Parameters
    ----------
    report : ShadowReport, or mapping of module to mapping of pass to error
        Of `fp.shadow`; lines of one module and pass are put together.
    measure : str
        Of a report: ``relative relative_max norm ulp ulp_max``.
    what : str
        Of a report: ``made`` there, ``inherited`` from before, or the ``total``.
    title : str, optional
    theme : str
        ``light`` or ``dark``.

    Returns
    -------
    matplotlib.figure.Figure
        0 is a cell of the paper's colour; a dash: the module takes no part in the pass.

    Raises
    ------
    ArgumentError, ArgumentTypeError, ObserverError
        No such measure; something else than a report or a mapping of mappings; one in which nothing ran.

    Examples
    --------
    >>> from fpsim.plots import error_map
    >>> axes = error_map({"fc1": {"forward": 1e-3, "backward": 0.0}, "fc2": {"forward": 2e-4}}).axes[0]
    >>> [text.get_text() for text in axes.texts]
    ['1.0e-03', '0', '2.0e-04', '–']
    """
    found = _by_module(report, measure, what) if hasattr(report, "lines") else _checked_map(report)
    rows, columns = list(found), _columns(found)
    values = np.array([[found[row].get(column, np.nan) for column in columns] for row in rows])
    longest = max(len(row) for row in rows)
    left, right, above, below = 0.35 + 0.075 * longest, 1.1, 0.75, 0.2
    width, height = max(left + right + 1.3 * len(columns), 6.4), above + below + 0.42 * len(rows)
    made = figure(width, height)
    inner = 1 - (above + below) / height
    axes = made.add_axes((left / width, below / height, 1 - (left + right) / width, inner))
    image = heat_map(axes, values, rows, columns)
    heat_bar(made, image, (1 - (right - 0.15) / width, below / height, 0.16 / width, inner), "error")
    of = {"made": "made in", "inherited": "inherited by", "total": "of"}.get(what, what)
    if title is None:
        measured = f"{measure.replace('_', ', ')} error {of} each module"
        title = measured if hasattr(report, "lines") else "error by module"
    made.suptitle(title, x=0.02, y=1 - 0.12 / height, ha="left", va="top", fontsize=11, fontweight="bold")
    return made


def _by_module(report: Any, measure: str, what: str) -> dict[str, dict[str, float]]:
    """The errors of a shadow's report by module and pass."""
    measures = ("relative", "relative_max", "norm", "ulp", "ulp_max")
    for name, value, choices in (("measure", measure, measures), ("what", what, ("made", "inherited", "total"))):
        if value not in choices:
            got = f"{name}={value!r}"
            raise ArgumentError(expected("error_map", f"a {name} of {', '.join(choices)}", got, "choose one"))
    merged: dict[str, dict[str, Any]] = {}
    for (role, phase, module, _, _), errors in report.lines.items():
        if (role, phase) in PASSES:
            of_pass = merged.setdefault(module or "(outside of modules)", {})
            column = PASSES[role, phase]
            of_pass.setdefault(column, type(errors)())
            of_pass[column] += errors
    if not merged:
        raise ObserverError(expected("error_map", "a report of something that ran", "none", "run the network in it"))
    return {
        module: {name: float(getattr(getattr(e, what), measure)) for name, e in _in_order(of_pass)}
        for module, of_pass in merged.items()
    }


def _columns(found: dict[str, dict[str, float]]) -> list[str]:
    """All passes: a shadow's in the order of a training step, others as they come."""
    names = dict.fromkeys(name for of_pass in found.values() for name in of_pass)
    return list(names) if set(names) - set(PASSES.values()) else [n for n in PASSES.values() if n in names]


def _in_order(of_pass: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(name, of_pass[name]) for name in PASSES.values() if name in of_pass]


def _checked_map(errors: Any) -> dict[str, dict[str, float]]:
    if not isinstance(errors, Mapping) or not all(isinstance(v, Mapping) for v in errors.values()):
        got = type(errors).__name__
        remedy = "pass fp.shadow()'s report, or {module: {pass: error}}"
        raise ArgumentTypeError(expected("error_map", "a report or a mapping of mappings", got, remedy))
    if not any(errors.values()):
        raise ArgumentError(expected("error_map", "an error, at least one", "none", "pass {module: {pass: error}}"))
    return {str(m): {str(p): float(e) for p, e in of_pass.items()} for m, of_pass in errors.items()}
