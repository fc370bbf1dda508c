"""The panorama of a sweep over loss scales: gradients lost, steps skipped, the loss, and the gradients' exponents.

Layer 9. Numbers come from the sweep alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fpsim.errors import ArgumentError, FormatError, expected
from fpsim.experiments.sweeps.found import OverSeeds, Point, Sweep, short
from fpsim.formats import Format, float16
from fpsim.plots.style import colours, figure, legend, themed, tidy

__all__ = ["MOST_GROUPS", "groups_of", "scaling"]

#: What is counted, its name in the picture, its colour.
FATES = (
    ("to_zero", "became zero", "#D55E00"),
    ("subnormal", "subnormal", "#E69F00"),
    ("overflow", "overflow", "#0072B2"),
)
DYNAMIC = "#009E73"
LINES = ("-", "--", ":", "-.")
#: Combinations of the other arguments that are told apart by their lines.
MOST_GROUPS = len(LINES)

#: Points that differ in the scale alone: their name, those with a constant scale, those with a dynamic one.
Group = tuple[str, list[OverSeeds], list[OverSeeds]]


@themed
def scaling(sweep: Sweep, *, theme: str = "light") -> Any:
    """Four panels: shares of gradients lost, steps skipped and the final loss, all over the scale; and exponents.

    Parameters
    ----------
    sweep : Sweep
        Over constant loss scales.
    theme : str
        ``light`` or ``dark``.

    Returns
    -------
    matplotlib.figure.Figure
        Of several seeds the means, and bands of their 95 % intervals.
    """
    if not sweep.constant:
        got = f"one over {', '.join(sweep.names)}"
        raise ArgumentError(expected("plot", "a sweep over constant loss scales", got, "sweep {'scale': [...]}"))
    run = sweep.constant[0].run
    groups = groups_of(sweep)
    made = figure(13.0, 8.4)
    (shares, exponents), (skipped, losses) = made.subplots(2, 2)
    made.subplots_adjust(left=0.065, right=0.985, top=0.87, bottom=0.075, hspace=0.34, wspace=0.17)
    same = [name for name in ("recipe", "scenario", "steps", "batch", "seed") if name not in sweep.names]
    about = [f"{name} {getattr(run, name)}" for name in same]
    if (seeds := max(group.means["final_loss"].n for group in sweep.over_seeds())) > 1:
        about.append(f"means of {seeds} seeds with 95 % intervals")
    if len(groups) > MOST_GROUPS:
        about.append(f"{MOST_GROUPS} of {len(groups)} combinations are shown")
    made.suptitle("What the loss scale does to gradients", x=0.065, ha="left", fontsize=14, fontweight="bold")
    made.text(0.065, 0.925, ", ".join(about), fontsize=9.5, color=colours().faint)
    _shares(shares, groups[:MOST_GROUPS])
    _skipped(skipped, groups[:MOST_GROUPS])
    _losses(losses, groups[:MOST_GROUPS], sweep.reference)
    _exponents(exponents, sweep)
    for axes in (shares, skipped, losses):
        axes.set_xlim(*_limits(sweep))
    return made


def groups_of(sweep: Sweep) -> list[Group]:
    """The points by all that was set but scale and seed, each point over its seeds."""
    found: dict[str, Group] = {}
    for group in sweep.over_seeds():
        name = ", ".join(f"{name}={short(value)}" for name, value in group.settings.items() if name != "scale")
        _, constant, dynamic = found.setdefault(name, (name, [], []))
        if group.scale is not None:
            constant.append(group)
        elif isinstance(group.settings.get("scale"), str):
            dynamic.append(group)
    for _, constant, _ in found.values():
        constant.sort(key=lambda group: group.scale or 0.0)
    return list(found.values())


def _scale_axis(axes: Any, title: str, y: str) -> None:
    axes.set_xscale("log", base=2)
    tidy(axes, title, "loss scale", y)


def _limits(sweep: Sweep) -> tuple[float, float]:
    scales = [p.scale or 1.0 for p in sweep.constant] + [p.run.scale[-1] for p in sweep.dynamic]
    return min(s for s in scales if s > 0) / 1.6, max(scales) * 1.6


def _named(what: str, group: str) -> str:
    return f"{what} ({group})" if group else what


def _line(axes: Any, points: list[OverSeeds], what: str, factor: float, **style: Any) -> None:
    """One measure over the scale, with a band of its intervals where there are several seeds."""
    scales = [p.scale for p in points]
    means = factor * np.array([p.means[what].mean for p in points])
    widths = factor * np.nan_to_num([p.means[what].half_width for p in points])
    axes.plot(scales, means, **style)
    if widths.any():
        low, high = means - widths, means + widths
        if axes.get_yscale() == "log":
            low = np.maximum(low, means / 100)  # an interval may reach below zero, a logarithm does not
        axes.fill_between(scales, low, high, color=style["color"], alpha=0.16, linewidth=0)


# Panels over the scale -----------------------------------------------------------------------------------------------


def _shares(axes: Any, groups: list[Group]) -> None:
    """Shares of the nonzero gradients, on a logarithmic axis: one in a million may be the one that skips the step."""
    axes.set_yscale("log")
    for line, (group, points, dynamic) in zip(LINES, groups, strict=False):
        for what, name, colour in FATES:
            seen = [p for p in points if p.means[what].mean > 0]
            style = {"linestyle": line, "marker": "o", "color": colour, "ms": 3.5}
            _line(axes, seen, what, 100, label=_named(name, group), **style)
            for p in dynamic:
                if p.means[what].mean > 0:
                    at = [p.means["last_scale"].mean], [100 * p.means[what].mean]
                    axes.plot(*at, "D", mfc=colours().paper, color=colour, ms=7)
    if any(dynamic for _, _, dynamic in groups):
        axes.plot([], [], "D", mfc=colours().paper, color=colours().faint, ms=7, label="dynamic, at its last scale")
    _scale_axis(axes, "gradients lost (none where a line stops)", "% of nonzero gradients")
    legend(axes, frameon=True, framealpha=0.75, edgecolor="none")


def _skipped(axes: Any, groups: list[Group]) -> None:
    """Share of the steps that were skipped."""
    for i, (group, points, dynamic) in enumerate(groups):
        style = {"linestyle": LINES[i], "marker": "o", "color": colours().palette[i], "ms": 4}
        _line(axes, points, "skipped", 100, label=_named("constant scale", group), **style)
        for p in dynamic:
            last, share = p.means["last_scale"].mean, 100 * p.means["skipped"].mean
            text = f"dynamic, ends at {f'2**{np.log2(last):.3g}'}: {_of_steps(p)} steps skipped"
            axes.plot([last], [share], "D", mfc=colours().paper, color=DYNAMIC, ms=8, label=_named(text, group))
    axes.set_ylim(-4, 104)
    _scale_axis(axes, "steps skipped", "% of steps")
    legend(axes, loc="upper left")


def _of_steps(group: OverSeeds) -> str:
    run = group.points[0].run
    if len(group.points) == 1:
        return f"{len(run.skipped)} of {run.steps}"
    return f"{group.means['skipped'].mean * run.steps:.3g} of {run.steps}"


def _losses(axes: Any, groups: list[Group], reference: Point | None) -> None:
    """Mean loss of the last tenth of the steps."""
    for i, (group, points, dynamic) in enumerate(groups):
        style = {"linestyle": LINES[i], "marker": "o", "color": colours().palette[i], "ms": 4}
        _line(axes, points, "final_loss", 1, label=_named("constant scale", group), **style)
        for p in dynamic:
            found = p.means["final_loss"]
            label = _named("dynamic scale", group)
            axes.axhline(found.mean, color=DYNAMIC, linestyle=LINES[(i + 1) % 4], linewidth=1.2, label=label)
            if np.isfinite(found.half_width):
                band = found.mean - found.half_width, found.mean + found.half_width
                axes.axhspan(*band, color=DYNAMIC, alpha=0.1, linewidth=0)
    if reference is not None:
        loss, several = reference.run.final_loss, any(len(p.points) > 1 for _, points, _ in groups for p in points)
        label = "float32, not scaled" + (f" (seed {reference.run.seed} alone)" if several else "")
        axes.axhline(loss, color=colours().faint, linestyle=":", linewidth=1.6, label=label)
    _scale_axis(axes, "final loss (mean of the last tenth of the steps)", "cross entropy")
    legend(axes, frameon=True, framealpha=0.75, edgecolor="none")


# Exponents -----------------------------------------------------------------------------------------------------------


def _exponents(axes: Any, sweep: Sweep) -> None:
    """How many gradients have which exponent, before and after scaling, and the bands of their format."""
    after = (sweep.dynamic or [min(sweep.constant, key=_lost)])[0]
    before = sweep.reference or sweep.constant[0]
    fmt = _format_of(after)
    kind = "dynamic scale" if after in sweep.dynamic else f"scale 2**{np.log2(after.scale or 1.0):g}"
    first = "before scaling" if sweep.reference is not None else f"at scale {before.scale:g}"
    for point, name, fate, style in (
        (before, first, "would become 0", {"color": colours().pale, "alpha": 0.75, "linewidth": 0, "fill": True}),
        (after, f"after ({kind})", "become 0", {"color": DYNAMIC, "linewidth": 1.8}),
    ):
        edges, shares = _histogram(point.exponents)
        below = sum(n for e, n in point.exponents.items() if e < _zero_below(fmt))
        lost = 100 * below / max(1, sum(point.exponents.values()))
        axes.stairs(100 * shares, edges, label=f"{name}: {lost:.2g} % {fate}", **style)
    low, high = _zero_below(fmt) - 12, max(axes.get_xlim()[1], fmt.emax + 5)
    subnormal, overflow = (FATES[1][2], FATES[2][2])
    for start, end, colour, text in (
        (low, _zero_below(fmt), FATES[0][2], "to zero"),
        (_zero_below(fmt), fmt.emin, subnormal, "subnormal"),
        (fmt.emax + 1, high, overflow, "overflow"),
    ):
        axes.axvspan(start, end, color=colour, alpha=0.13, linewidth=0)
        place = (start + end) / 2
        axes.text(
            place, 0.985, text, transform=axes.get_xaxis_transform(), ha="center", va="top", fontsize=8, color=colour
        )
    axes.set_xlim(low, high)
    axes.set_ylim(0, axes.get_ylim()[1] * 1.25)
    tidy(
        axes,
        f"exponents of the gradients, and what {fmt.name} makes of them",
        "log2 |gradient|",
        "% of nonzero gradients",
    )
    legend(axes, loc="upper left", bbox_to_anchor=(0.0, 0.93))


def _lost(point: Point) -> float:
    return point.run.share("to_zero") + len(point.run.skipped)


def _format_of(point: Point) -> Format:
    """The narrow format that the gradients are stored in, as the recipe's columns name it."""
    for word in point.run.columns["compute"].replace(",", " ").split():
        try:
            return Format(word)
        except FormatError:
            continue
    return float16


def _zero_below(fmt: Format) -> int:
    """The exponent below which everything is stored as zero: half of the smallest number is, being a tie."""
    least = fmt.smallest_subnormal if fmt.has_subnormals else fmt.smallest_normal
    return int(np.log2(least)) - 1


def _histogram(exponents: dict[int, int]) -> tuple[Any, Any]:
    """Edges and shares of one bin an exponent, ``[e, e + 1)``."""
    if not exponents:
        return np.array([0, 1]), np.zeros(1)
    first, last = min(exponents), max(exponents)
    counts = np.array([exponents.get(e, 0) for e in range(first, last + 1)], np.float64)
    return np.arange(first, last + 2), counts / counts.sum()
