"""The exponents of what was rounded, with the bands in which a format loses it: to zero, subnormal, overflow.

Layer 9. Numbers come from a report of `fp.observe` alone.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fpsim.errors import ObserverError, expected
from fpsim.formats import Format
from fpsim.observe.counters import Report
from fpsim.observe.counting import Counts
from fpsim.observe.report_forms import percent
from fpsim.plots.style import figure, tidy

__all__ = ["exponents"]

#: Name of a band, its colour (Okabe and Ito's) and its hatch: told apart without colour, too.
BANDS = (
    ("to zero", "#D55E00", "xx"),
    ("subnormal", "#E69F00", "//"),
    ("normal", "#0072B2", ""),
    ("overflow", "#CC79A7", "\\\\"),
)
#: Binades shown beyond the data, and how much further a format's limit may lie to be shown as well.
MARGIN, REACH = 2, 12
#: Beyond every exponent.
FAR = 2000


def exponents(report: Report, *names: str, **which: Any) -> Any:
    """One panel for each group of a report's roundings: how many values lie in each binade.

    Parameters
    ----------
    report : Report
        Of `fp.observe`.
    *names : str
        What panels are told apart by (default: role): ``report.plot("module")``, ``report.plot("module", "role")``.
        Formats are told apart always.
    **which
        What is drawn: ``role="*gradient"``, ``module="conv*"``, ``step=3``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    chosen = tuple(dict.fromkeys((*(names or ("role",)), "format", "role")))
    groups = [(dict(zip(chosen, key, strict=True)), c) for key, c in report.by(*chosen, **which).items() if c.exponents]
    if not groups:
        got = f"{report.total(**which).elements} elements without one"
        raise ObserverError(expected("plot", "a number that is not zero", got, "choose other values to draw"))
    columns = 1 if len(groups) == 1 else 2
    rows = math.ceil(len(groups) / columns)
    made = figure(6.2 * columns, 2.5 * rows + 0.6)
    grid = made.subplots(rows, columns, squeeze=False).reshape(-1)
    for axes in grid[len(groups) :]:
        axes.set_visible(False)
    several_roles = "role" in names or len({group["role"] for group, _ in groups}) > 1
    ends = []
    for axes, (group, counts) in zip(grid, groups, strict=False):
        fmt = report.format(group["format"])
        title = [str(group[name]).replace("_", " ") or "outside of modules" for name in names if name != "role"]
        title += [group["role"].replace("_", " ")] if several_roles or not title else []
        ends.append(_panel(axes, group["role"] == "update", counts, fmt))
        tidy(
            axes, f"{', '.join(title)} in {fmt.name}\n{_fates(counts, group['role'])}", "exponent of 2", "% of nonzero"
        )
        axes.xaxis.get_major_locator().set_params(integer=True)
    for axes in grid[: len(groups)]:  # one scale for all, so that panels can be compared
        axes.set_xlim(min(start for start, _ in ends), max(end for _, end in ends))
    _legend(made)
    made.tight_layout(rect=(0, 0, 1, 1 - 0.45 / made.get_size_inches()[1]))
    return made


def _panel(axes: Any, of_update: bool, counts: Counts, fmt: Format) -> tuple[float, float]:
    """Bands and bars; where the axis should start and end."""
    exponent, number = (np.array(part) for part in zip(*counts.exponents.items(), strict=True))
    share = 100 * number / number.sum()
    # below half of the smallest number all becomes zero; from half an ulp above the largest one on all overflows
    lowest = fmt.emin - fmt.significand_bits - 1
    highest = math.log2(fmt.max) + math.log2(1 + fmt.eps / 4)
    limits = (-math.inf, lowest, fmt.emin, highest, math.inf)
    for (name, colour, hatch), start, end in zip(BANDS, limits, limits[1:], strict=False):
        inside = (exponent + 0.5 >= start) & (exponent + 0.5 < end)
        if of_update:  # whose changes are added to weights, and only then rounded
            inside, colour, hatch = np.full(exponent.shape, name == "normal"), "#7F7F7F", ""
        elif name != "normal":
            axes.axvspan(max(start, -FAR), min(end, FAR), color=colour, alpha=0.13, linewidth=0)
        axes.bar(
            exponent[inside] + 0.5, share[inside], width=0.86, color=colour, hatch=hatch, edgecolor="white",
            linewidth=0.4,
        )  # fmt: skip
    near = () if of_update else (lowest, fmt.emin)
    return (
        _axis_end(exponent.min(), near, -MARGIN, -REACH),
        _axis_end(exponent.max() + 1, () if of_update else (highest,), MARGIN, REACH),
    )


def _fates(counts: Counts, role: str) -> str:
    """What became of the values, in words."""
    if role == "update":
        return "the changes wanted; what is lost depends on the weight"
    names = ("to_zero", "subnormal", "overflow")
    found = [f"{percent(counts.share(n))} {n.replace('_', ' ')}" for n in names if getattr(counts, n)]
    return ", ".join(found) or "none to zero, subnormal or beyond the range"


def _axis_end(data: float, limits: tuple[float, ...], margin: int, reach: int) -> float:
    """Where the axis ends: beyond the data, and beyond the limits of the format that lie near."""
    near = [limit for limit in limits if abs(limit - data) <= abs(reach) or (limit - data) * reach < 0]
    ends = [data, *near]
    return (min(ends) if margin < 0 else max(ends)) + margin


def _legend(made: Any) -> None:
    from matplotlib.patches import Patch

    patches = [Patch(facecolor=c, hatch=h, edgecolor="white", label=name) for name, c, h in BANDS]
    made.legend(handles=patches, loc="upper left", ncols=4, fontsize=8.5, frameon=False, bbox_to_anchor=(0.005, 1.0))
