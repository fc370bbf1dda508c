"""The picture of a comparison: for each scenario the losses, and beside them what parted the recipes.

Layer 9. Numbers come from the results alone.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np

from fpsim.experiments.results import Comparison, Run
from fpsim.experiments.scenario import SCENARIOS
from fpsim.experiments.table import cause, percent
from fpsim.plots.series import moving_mean
from fpsim.plots.style import colour_of, figure, themed, tidy

__all__ = ["comparison", "panel"]


@themed
def comparison(results: Comparison, *, theme: str = "light") -> Any:
    """All scenarios of a comparison, two panels a row, each with its cause below.

    Returns
    -------
    matplotlib.figure.Figure
    """
    names = results.scenarios
    columns = min(2, len(names))
    rows = math.ceil(len(names) / columns)
    made = figure(9.0 * columns, 4.6 * rows)
    subfigures = np.atleast_1d(made.subfigures(rows, columns)).reshape(-1)
    for place, name in zip(subfigures, names, strict=False):
        _draw(place, results.of_scenario(name))
    return made


@themed
def panel(results: Comparison, scenario: str, *, theme: str = "light") -> Any:
    """One scenario of a comparison as a figure of its own."""
    made = figure(9.0, 4.6)
    _draw(made, results.of_scenario(scenario))
    return made


def _draw(place: Any, part: Comparison) -> None:
    name = part.runs[0].scenario
    question = SCENARIOS[name].question if name in SCENARIOS else ""
    left, right = place.subplots(1, 2, gridspec_kw={"width_ratios": (1.25, 1)})
    place.subplots_adjust(left=0.08, right=0.98, top=0.86, bottom=0.3, wspace=0.42)
    place.suptitle(f"{name}: {question}", x=0.08, ha="left", fontsize=12, fontweight="bold")
    _losses(left, part)
    _BESIDE.get(name, _accuracies)(right, part)
    place.text(0.08, 0.035, textwrap.fill(cause(part), 135), fontsize=8.5, va="bottom", linespacing=1.4)


def _judged(part: Comparison) -> str:
    name = part.runs[0].scenario
    return SCENARIOS[name].judged if name in SCENARIOS else "the test part"


def _losses(axes: Any, part: Comparison) -> None:
    """Training loss against the step, smoothed over a fiftieth of the run; a cross where a loss is no longer finite."""
    for place, run in enumerate(part.runs):
        colour, line = colour_of(run.recipe, place)
        loss = np.array(run.loss)
        finite = np.isfinite(loss)
        end = len(loss) if finite.all() else int(np.argmin(finite))
        window = max(1, len(loss) // 50)
        smooth = moving_mean(loss[:end], window)
        label = f"{run.recipe}  {100 * run.accuracy:.1f} %"
        axes.plot(np.arange(len(smooth)), smooth, line, color=colour, linewidth=1.4, label=label)
        if end < len(loss):
            axes.plot([end], [smooth[-1] if end else 0], "x", color=colour, markersize=8)
    tidy(axes, f"training loss, and accuracy on {_judged(part)}", "step", "cross entropy")
    axes.legend(fontsize=7.5, frameon=False)


def _bars(axes: Any, part: Comparison, share: Callable[[Run], float], title: str, x: str) -> None:
    """One bar a recipe, its share written beside it."""
    runs = part.runs[::-1]
    shares = [100 * share(run) for run in runs]
    places = np.arange(len(runs))
    axes.barh(places, shares, color=[colour_of(run.recipe, i)[0] for i, run in enumerate(runs)], height=0.6)
    for place, value in zip(places, shares, strict=True):
        axes.annotate(percent(value / 100), (value, place), (4, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_yticks(places, [run.recipe for run in runs])
    axes.set_xlim(0, max([*shares, 1.0]) * 1.25)
    tidy(axes, title, x)


def _lost_updates(axes: Any, part: Comparison) -> None:
    _bars(axes, part, lambda run: run.lost_updates, "updates that left the weight as it was", "% of nonzero updates")


def _to_zero(axes: Any, part: Comparison) -> None:
    _bars(axes, part, lambda run: run.share("to_zero"), "gradients stored as zero", "% of nonzero gradients")


def _scales(axes: Any, part: Comparison) -> None:
    """Loss scale against the step, skipped steps marked."""
    for place, run in enumerate(part.runs):
        if run.skipped or len(set(run.scale)) > 1:
            colour, line = colour_of(run.recipe, place)
            axes.step(
                np.arange(run.steps), run.scale, line, where="post", color=colour, linewidth=1.4, label=run.recipe
            )
            skipped = [run.scale[i] for i in run.skipped]
            axes.plot(run.skipped, skipped, "v", color=colour, markersize=5, label=f"{len(run.skipped)} steps skipped")
    axes.set_yscale("log", base=2)
    tidy(axes, "loss scale", "step", "scale")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7.5, frameon=False)


def _accuracies(axes: Any, part: Comparison) -> None:
    """Accuracy a recipe; the band is float32's spread over seeds."""
    runs = part.runs[::-1]
    places = np.arange(len(runs))
    seeds = [r.accuracy for r in (*part.runs, *part.references) if r.recipe == "float32"]
    if len(seeds) > 1:
        axes.axvspan(
            100 * min(seeds), 100 * max(seeds), color="#BBBBBB", alpha=0.5, label=f"float32 over {len(seeds)} seeds"
        )
        axes.legend(fontsize=7.5, frameon=False, loc="lower left")
    for place, run in zip(places, runs, strict=True):
        axes.plot([100 * run.accuracy], [place], "o", color=colour_of(run.recipe, int(place))[0], markersize=7)
    axes.set_yticks(places, [run.recipe for run in runs])
    tidy(axes, f"accuracy on {_judged(part)}", "%")


_BESIDE: dict[str, Callable[[Any, Comparison], None]] = {
    "published": _accuracies,
    "rounding": _lost_updates,
    "underflow": _to_zero,
    "overflow": _scales,
    "transformer": _lost_updates,
}
