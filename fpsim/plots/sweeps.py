"""Pictures of a sweep over anything: lines with intervals over seeds, heat maps; and which picture fits one.

Layer 9. Numbers come from the sweep alone. The loss scale has a picture of its own: `fpsim.plots.scaling`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fpsim.errors import ArgumentError, expected, nearest
from fpsim.experiments.sweeps.found import MEASURES, Failure, OverSeeds, Sweep, short
from fpsim.plots.scaling import MOST_GROUPS, groups_of, scaling
from fpsim.plots.style import colours, figure, ink_on, legend, line_of, themed, tidy

__all__ = ["heat_map", "lines", "picture", "pictures"]

#: What a measure is called on an axis, by its name in `MEASURES`, and the factor it is shown with.
SHOWN = {
    "final_loss": ("final loss", 1.0),
    "test_loss": ("test loss", 1.0),
    "accuracy": ("accuracy, %", 100.0),
    "to_zero": ("gradients that became zero, %", 100.0),
    "subnormal": ("subnormal gradients, %", 100.0),
    "overflow": ("gradients that overflowed, %", 100.0),
    "lost_updates": ("updates lost, %", 100.0),
    "skipped": ("steps skipped, %", 100.0),
    "last_scale": ("last loss scale", 1.0),
    "seconds": ("seconds of simulation", 1.0),
}
#: Panels of a heat map, lines of one panel, cells with a number in them.
MOST_PANELS, MOST_LINES, MOST_NUMBERS = 6, 8, 260


# Which one -----------------------------------------------------------------------------------------------------------


def picture(sweep: Sweep, kind: str | None = None, *, theme: str = "light") -> Any:
    """The picture that fits, or the one that is asked for: ``panorama``, ``lines`` or ``heat map``.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentError
        A kind that does not exist, or that needs something else to have been swept.
    """
    kinds: dict[str, Callable[..., Any]] = {"panorama": scaling, "lines": lines, "heat map": heat_map}
    if kind is not None and kind not in kinds:
        near = nearest(kind, kinds)
        raise ArgumentError(
            expected("plot", f"a kind of {', '.join(kinds)}", f"kind={kind!r}", f"did you mean {near}?")
        )
    return kinds[kind or _fitting(sweep)[0]](sweep, theme=theme)


def pictures(sweep: Sweep, *, theme: str = "light") -> dict[str, Any]:
    """All pictures that fit, by kind, the most telling first."""
    return {kind: picture(sweep, kind, theme=theme) for kind in _fitting(sweep)}


def _fitting(sweep: Sweep) -> list[str]:
    _check_points(sweep)
    names = _swept(sweep)
    numeric = [name for name in names if _numeric(sweep, name)]
    panorama = bool(sweep.constant) and (len(sweep.constant) > 1 or set(names) <= {"scale"})
    kinds = ["panorama"] if panorama and len(groups_of(sweep)) <= MOST_GROUPS else []
    if len(names) >= 2 and len({repr(g.settings) for g in sweep.over_seeds()}) >= 4:
        kinds.append("heat map")
    if numeric or not kinds:
        kinds.append("lines")
    return kinds


def _check_points(sweep: Sweep) -> None:
    if not sweep.points:
        got = f"none of {len(sweep.failures) + sweep.missing}"
        raise ArgumentError(expected("plot", "points that were trained", got, "see the errors in its table()"))


def _swept(sweep: Sweep) -> list[str]:
    """Names with several values, but for the seed, those with most values first."""
    counts = {name: len(_values(sweep, name)) for name in sweep.names if name != "seed"}
    return sorted((name for name, count in counts.items() if count > 1), key=lambda name: -counts[name])


def _values(sweep: Sweep, name: str) -> list[Any]:
    """The different values of an argument, numbers in order, then the others as they come."""
    settings = [*(point.settings for point in sweep.points), *(failure.settings for failure in sweep.failures)]
    found = dict.fromkeys(one.get(name) for one in settings)
    numbers: list[Any] = [value for value in found if _is_number(value)]
    return [*sorted(numbers), *(value for value in found if not _is_number(value))]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _numeric(sweep: Sweep, name: str) -> bool:
    return sum(map(_is_number, _values(sweep, name))) > 1


def _measure(name: str) -> tuple[str, float]:
    if name not in MEASURES:
        near = nearest(name, MEASURES)
        raise ArgumentError(
            expected("plot", f"a measure of {', '.join(MEASURES)}", repr(name), f"did you mean {near}?")
        )
    return SHOWN[name]


def _about(sweep: Sweep, interval: str = "") -> str:
    """What all points share, in one line."""
    run = sweep.points[0].run
    same = [name for name in ("recipe", "scenario", "steps", "batch", "lr", "seed") if name not in sweep.names]
    seeds = len(_values(sweep, "seed"))
    notes = [f"means of {seeds} seeds{interval}"] if seeds > 1 else []
    notes += [f"{len(sweep.failures)} failed"] if sweep.failures else []
    return ", ".join([f"{name} {short(getattr(run, name))}" for name in same] + notes)


def _names(group: OverSeeds | Failure, names: list[str]) -> str:
    return ", ".join(f"{name} {short(group.settings.get(name))}" for name in names)


# Lines ---------------------------------------------------------------------------------------------------------------


@themed
def lines(
    sweep: Sweep, x: str | None = None, measures: tuple[str, ...] = ("final_loss", "accuracy"), *, theme: str = "light"
) -> Any:
    """Measures against one swept argument, a line for each combination of the others, in a band of their intervals.

    Parameters
    ----------
    sweep : Sweep
    x : str, optional
        The argument on the horizontal axis: the one with most numbers unless given.
    measures : tuple of str
        Of `fpsim.experiments.sweeps.found.MEASURES`, a panel each.
    theme : str
        ``light`` or ``dark``.

    Returns
    -------
    matplotlib.figure.Figure
        Where several seeds were run a line is their mean, the band Student's 95 % interval of it. A line has a gap
        where a mean is not finite.
    """
    _check_points(sweep)
    names = _swept(sweep) or [name for name in sweep.names if name != "seed"] or ["recipe"]
    x = x or next((name for name in names if _numeric(sweep, name)), names[0])
    if x not in names:
        near = nearest(x, names)
        raise ArgumentError(expected("plot", "an argument that was swept", f"x={x!r}", f"choose {near}"))
    shown = [_measure(measure) for measure in measures]
    others = [name for name in names if name != x]
    values = _values(sweep, x)
    groups: dict[str, list[OverSeeds]] = {}
    for group in sweep.over_seeds():
        groups.setdefault(_names(group, others), []).append(group)
    made = figure(6.4 * len(measures), 4.8)
    row = made.subplots(1, len(measures), squeeze=False)[0]
    left_out = f"; {len(groups) - MOST_LINES} of {len(groups)} lines left out" if len(groups) > MOST_LINES else ""
    _headed(made, f"The same training over {x}", _about(sweep, " with 95 % intervals") + left_out)
    for axes, measure, (title, factor) in zip(row, measures, shown, strict=True):
        for place, (label, line) in enumerate(list(groups.items())[:MOST_LINES]):
            _line(axes, line, label, place, x, values, measure, factor)
        tidy(axes, title, x)
    legend(row[0])
    return made


def _headed(made: Any, title: str, about: str) -> None:
    """Title and subtitle above the panels, which share what is left."""
    inch = 1 / made.get_figheight()
    made.set_layout_engine("constrained", rect=(0.01, 0.01, 0.98, 0.99 - 0.72 * inch))
    made.text(0.02, 1 - 0.16 * inch, title, va="top", fontsize=13, fontweight="bold")
    made.text(0.02, 1 - 0.48 * inch, about, va="top", fontsize=9, color=colours().faint)


def _line(
    axes: Any, groups: list[OverSeeds], label: str, place: int, x: str, values: list[Any], measure: str, factor: float
) -> None:
    at = {repr(value): i for i, value in enumerate(values)}
    ordered = sorted(groups, key=lambda group: at[repr(group.settings.get(x))])
    chosen = [group.settings.get(x) for group in ordered]
    only_numbers = all(map(_is_number, values))
    places = np.array(chosen if only_numbers else [at[repr(value)] for value in chosen], float)
    means = factor * np.array([group.means[measure].mean for group in ordered])
    widths = factor * np.nan_to_num([group.means[measure].half_width for group in ordered])
    words = np.array([not _is_number(value) for value in chosen])
    style = line_of(label.partition(" ")[2] or "float32", place)
    for part, linestyle in ((~words, style["linestyle"]), (words, "none")):  # no line leads from word to word
        if part.any():
            axes.plot(places[part], means[part], label=label or None, ms=4, **{**style, "linestyle": linestyle})
            label = ""
    if widths[~words].any():
        low, high = (means - widths)[~words], (means + widths)[~words]
        axes.fill_between(places[~words], low, high, color=style["color"], alpha=0.18, linewidth=0)
    if widths[words].any():
        bars = {"fmt": "none", "ecolor": style["color"], "capsize": 3, "linewidth": 1}
        axes.errorbar(places[words], means[words], widths[words], **bars)
    if not only_numbers:
        own = getattr(ordered[0].points[0].run, x, "own")  # where it was left out, the run knows
        axes.set_xticks(range(len(values)), [str(own) if value is None else short(value) for value in values])
    elif min(values) > 0 and max(values) / min(values) > 20:
        axes.set_xscale("log", base=2 if all(math.log2(value).is_integer() for value in values) else 10)


# Heat maps -----------------------------------------------------------------------------------------------------------


@themed
def heat_map(
    sweep: Sweep, x: str | None = None, y: str | None = None, measure: str = "final_loss", *, theme: str = "light"
) -> Any:
    """A measure over two swept arguments, a panel for each combination of the others.

    Parameters
    ----------
    sweep : Sweep
    x, y : str, optional
        The arguments of the axes: the two with most values unless given.
    measure : str
        Of `fpsim.experiments.sweeps.found.MEASURES`.
    theme : str
        ``light`` or ``dark``.

    Returns
    -------
    matplotlib.figure.Figure
        A cell is the mean over the seeds. One that is not finite, failed or was not run is hatched, and says which.
    """
    _check_points(sweep)
    title, factor = _measure(measure)
    names = _swept(sweep)
    chosen = [name for name in (x, y) if name is not None]
    free = [name for name in names if name not in chosen]
    x, y = (name if name is not None else free.pop(0) if free else None for name in (x, y))
    if x is None or y is None or x == y or not {x, y} <= set(sweep.names):
        got = f"one over {', '.join(sweep.names)}" if not chosen else f"x={x!r}, y={y!r} of {', '.join(sweep.names)}"
        raise ArgumentError(expected("plot", "a sweep over two arguments", got, "draw lines, or sweep another one too"))
    columns, rows = _values(sweep, x), _values(sweep, y)
    others = [name for name in names if name not in (x, y)]
    panels: dict[str, list[OverSeeds]] = {}
    for group in sweep.over_seeds():
        panels.setdefault(_names(group, others), []).append(group)
    drawn = list(panels.items())[:MOST_PANELS]
    means = [factor * g.means[measure].mean for _, groups in drawn for g in groups]
    limits = _limits([mean for mean in means if math.isfinite(mean)] or [0.0])
    made = figure(min(3.2 + max(0.62 * len(columns), 3.0) * len(drawn), 17.0), max(2.6 + 0.34 * len(rows), 3.6))
    row = made.subplots(1, len(drawn), squeeze=False, sharey=True)[0]
    left_out = f"; {len(panels) - MOST_PANELS} of {len(panels)} panels left out" if len(panels) > MOST_PANELS else ""
    _headed(made, f"{title}, over {x} and {y}", _about(sweep) + left_out)
    for axes, (name, groups) in zip(row, drawn, strict=True):
        table = np.full((len(rows), len(columns)), np.nan)
        run, failed = np.zeros(table.shape, bool), np.zeros(table.shape, bool)
        for group in groups:
            cell = rows.index(group.settings.get(y)), columns.index(group.settings.get(x))
            table[cell], run[cell] = factor * group.means[measure].mean, True
        for failure in sweep.failures:
            if _names(failure, others) == name:
                failed[rows.index(failure.settings.get(y)), columns.index(failure.settings.get(x))] = True
        image = _cells(axes, table, run, failed, limits, len(drawn) * table.size <= MOST_NUMBERS)
        tidy(axes, name, x, y if axes is row[0] else "")
        axes.grid(visible=False)
        axes.set_xticks(
            range(len(columns)), [short(value) for value in columns], rotation=60 if len(columns) > 6 else 0
        )
        axes.set_yticks(range(len(rows)), [short(value) for value in rows])
    bar = made.colorbar(image, ax=list(row), fraction=0.03, pad=0.015)
    bar.ax.tick_params(labelsize=8)
    bar.formatter.set_useOffset(False)
    return made


def _limits(finite: list[float]) -> tuple[float, float]:
    """Of the colours: differences of less than one in a thousand have none."""
    low, high = min(finite), max(finite)
    least = max(1e-3 * max(abs(low), abs(high)) - (high - low), 0.0)
    return low - least / 2, high + least / 2


def _cells(axes: Any, table: Any, run: Any, failed: Any, limits: tuple[float, float], numbers: bool) -> Any:
    """One panel's cells, each with its number where there is room."""
    from matplotlib.patches import Rectangle

    finite = np.where(np.isfinite(table), table, np.nan)
    image = axes.imshow(finite, cmap="cividis", vmin=limits[0], vmax=limits[1], aspect="auto")
    for i, j in np.ndindex(table.shape):
        value = table[i, j]
        if math.isfinite(value):
            colour = image.cmap(image.norm(value))[:3]
            text = f"{value:.3g}"
        else:
            box = Rectangle((j - 0.5, i - 0.5), 1, 1, hatch="////", facecolor=colours().pale, linewidth=0)
            axes.add_patch(box)
            colour, text = colours().pale, f"{value:g}" if run[i, j] else "failed" if failed[i, j] else "not run"
        if numbers:
            axes.text(j, i, text, ha="center", va="center", fontsize=7, color=ink_on(colour))
    return image
