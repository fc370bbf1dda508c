"""The exponents of what is rounded, with the bands in which a format loses it: to zero, subnormal, overflow.

Layer 9. Numbers come from a report of `fp.observe`, from arrays, or from counts of exponents.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fpsim.errors import ArgumentError, ObserverError, expected
from fpsim.formats import Format
from fpsim.observe.counters import Report
from fpsim.observe.counting import Counts, count
from fpsim.observe.report_forms import percent
from fpsim.plots.series import counts_of, named, numbers_of
from fpsim.plots.style import colours, figure, themed, tidy
from fpsim.rounding.kernel import round_to

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


@dataclass(frozen=True)
class _Panel:
    """One histogram: how many values have which exponent, and what becomes of them in words."""

    title: str
    exponents: dict[int, int]
    fmt: Format
    fates: str
    of_update: bool = False
    #: how far the values were moved by scaling, in binades; their old place is outlined
    moved: float = 0.0


@themed
def exponents(
    data: Any,
    *names: str,
    format: Any = None,
    scale: float = 1.0,
    thresholds: Iterable[int] = (),
    theme: str = "light",
    **which: Any,
) -> Any:
    """How many values lie in each binade, a panel for each group: and in which band of the format.

    Parameters
    ----------
    data : Report, array, mapping of exponent (floor of log2) to count, or mapping of name to either
        A report of `fp.observe`; or what is to be stored, unrounded.
    *names : str
        Of a report, what panels are told apart by (default: role): ``report.plot("module")``,
        ``report.plot("module", "role")``. Formats are told apart always.
    format : format, optional
        Whose bands are drawn: float16 unless given. Of a report, only what is in this format.
    scale : float
        Values are multiplied by it first (a loss scale); where they were without is outlined. Counts take powers of 2.
    thresholds : integers
        Exponents to be marked with a line: ``(-24, -27)``.
    theme : str
        ``light`` or ``dark``.
    **which
        Of a report, what is drawn: ``role="*gradient"``, ``module="conv*"``, ``step=3``.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentError, ArgumentTypeError, ObserverError, ShapeError
        Nothing that is not zero; a scale that is not above 0, or of a report; options of a report for other data.

    Examples
    --------
    >>> from fpsim.plots import exponents
    >>> axes = exponents([1e-8, 1e-6, 1.0], format="float16").axes[0]
    >>> axes.get_title(loc="left").splitlines()[1]
    '33.33 % to zero, 33.33 % subnormal'
    """
    if isinstance(data, Report):
        if scale != 1:
            raise ArgumentError(expected("exponents", "scale=1 for a report", f"scale={scale!r}", "scale the loss"))
        panels = _of_report(data, names, which if format is None else {"format": Format(format).name, **which})
    else:
        if names or which:
            got = ", ".join([*map(repr, names), *which])
            raise ArgumentError(expected("exponents", "names and filters for a report only", got, "leave them out"))
        panels = _of_numbers(data, Format("float16" if format is None else format), scale)
    columns = 1 if len(panels) == 1 else 2
    rows = math.ceil(len(panels) / columns)
    made = figure(6.2 * columns if columns > 1 else 9.0, 2.5 * rows + (0.6 if columns > 1 else 1.0))
    grid = made.subplots(rows, columns, squeeze=False).reshape(-1)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    ends = []
    for axes, panel in zip(grid, panels, strict=False):
        ends.append(_draw(axes, panel))
        for i, threshold in enumerate(thresholds):
            line = ("--", ":", "-.")[i % 3]
            axes.axvline(threshold, color=colours().ink, linestyle=line, linewidth=1.4, label=f"2^{threshold}")
        tidy(axes, f"{panel.title}\n{panel.fates}", "exponent of 2", "% of nonzero")
        axes.xaxis.get_major_locator().set_params(integer=True)
    for axes in grid[: len(panels)]:  # one scale for all, so that panels can be compared
        axes.set_xlim(min(start for start, _ in ends), max(end for _, end in ends))
    for axes, panel in zip(grid, panels, strict=False):
        _name_bands(axes, panel)
    _legend(made, grid[0])
    made.tight_layout(rect=(0, 0, 1, 1 - 0.45 / made.get_size_inches()[1]))
    return made


# What is drawn -------------------------------------------------------------------------------------------------------


def _of_report(report: Report, names: tuple[str, ...], which: dict[str, Any]) -> list[_Panel]:
    chosen = tuple(dict.fromkeys((*(names or ("role",)), "format", "role")))
    groups = [(dict(zip(chosen, key, strict=True)), c) for key, c in report.by(*chosen, **which).items() if c.exponents]
    if not groups:
        got = f"{report.total(**which).elements} elements without one"
        raise ObserverError(expected("plot", "a number that is not zero", got, "choose other values to draw"))
    several_roles = "role" in names or len({group["role"] for group, _ in groups}) > 1
    panels = []
    for group, counts in groups:
        title = [str(group[name]).replace("_", " ") or "outside of modules" for name in names if name != "role"]
        title += [group["role"].replace("_", " ")] if several_roles or not title else []
        fmt, of_update = report.format(group["format"]), group["role"] == "update"
        fates = "the changes wanted; what is lost depends on the weight" if of_update else _fates(counts)
        panels.append(
            _Panel(f"{', '.join(title)} in {fmt.name}", dict(counts.exponents.items()), fmt, fates, of_update)
        )
    return panels


def _of_numbers(data: Any, fmt: Format, scale: float) -> list[_Panel]:
    if isinstance(scale, bool) or not isinstance(scale, int | float | np.number) or not 0 < scale < math.inf:
        got = f"scale={scale!r}"
        raise ArgumentError(expected("exponents", "a scale above 0", got, "give what the loss is multiplied by"))
    panels = []
    for name, given in named("exponents", data, "values").items():
        found, counts = (_counted if isinstance(given, Mapping) else _rounded)(name, given, fmt, scale)
        if not found:
            got = f"none in {name!r}"
            raise ArgumentError(expected("exponents", "a number that is not zero", got, "choose other values to draw"))
        panels.append(
            _Panel(f"{name}{_times(scale)} in {fmt.name}", found, fmt, _fates(counts), moved=math.log2(scale))
        )
    return panels


def _counted(name: str, given: Mapping[Any, Any], fmt: Format, scale: float) -> tuple[dict[int, int], Counts]:
    """Counts of exponents, moved by the scale, and what becomes of whole binades."""
    binades = math.log2(scale)
    if not binades.is_integer():
        remedy = "give the values themselves, or 2**k"
        raise ArgumentError(expected("exponents", "a power of 2 for counts", f"scale={scale!r}", remedy))
    found = {e + int(binades): n for e, n in counts_of("exponents", name, given).items()}
    lowest, normal, highest = _limits_of(fmt)
    return found, Counts(
        nonzero=sum(found.values()),
        to_zero=sum(n for e, n in found.items() if e + 0.5 < lowest),
        subnormal=sum(n for e, n in found.items() if lowest <= e + 0.5 < normal),
        overflow=sum(n for e, n in found.items() if e + 0.5 >= highest),
    )


def _rounded(name: str, given: Any, fmt: Format, scale: float) -> tuple[dict[int, int], Counts]:
    """The exponents of values times the scale, and what rounding does to each of them."""
    values = numbers_of("exponents", name, given, ()).reshape(-1) * scale
    counts = count(values, round_to(values, fmt), fmt)
    return dict(counts.exponents.items()), counts


def _times(scale: float) -> str:
    if scale == 1:
        return ""
    return f" × 2^{int(math.log2(scale))}" if math.log2(scale).is_integer() else f" × {scale:g}"


def _fates(counts: Counts) -> str:
    """What became of the values, in words."""
    names = ("to_zero", "subnormal", "overflow")
    found = [f"{percent(counts.share(n))} {n.replace('_', ' ')}" for n in names if getattr(counts, n)]
    return ", ".join(found) or "none to zero, subnormal or beyond the range"


# How it is drawn -----------------------------------------------------------------------------------------------------


def _limits_of(fmt: Format) -> tuple[float, float, float]:
    """Exponents below which all becomes zero (from half of the smallest number on down), subnormal; of overflow."""
    lowest = fmt.emin - fmt.significand_bits - (1 if fmt.has_subnormals else 0)
    return lowest, fmt.emin, math.log2(fmt.max) + math.log2(1 + fmt.eps / 4)  # half an ulp above the largest number


def _draw(axes: Any, panel: _Panel) -> tuple[float, float]:
    """Bands and bars; where the axis should start and end."""
    exponent, number = (np.array(part) for part in zip(*panel.exponents.items(), strict=True))
    share = 100 * number / number.sum()
    lowest, normal, highest = _limits_of(panel.fmt)
    limits = (-math.inf, lowest, normal, highest, math.inf)
    for (name, colour, hatch), start, end in zip(BANDS, limits, limits[1:], strict=False):
        inside = (exponent + 0.5 >= start) & (exponent + 0.5 < end)
        if panel.of_update:  # whose changes are added to weights, and only then rounded
            inside, colour, hatch = np.full(exponent.shape, name == "normal"), "#7F7F7F", ""
        elif name != "normal":
            axes.axvspan(max(start, -FAR), min(end, FAR), color=colour, alpha=0.16, linewidth=0)
        axes.bar(
            exponent[inside] + 0.5, share[inside], width=0.86, color=colour, hatch=hatch, edgecolor=colours().paper,
            linewidth=0.4,
        )  # fmt: skip
    outlined = exponent
    if panel.moved:
        outlined = np.concatenate([exponent, exponent - panel.moved])
        edges = np.arange(exponent.min(), exponent.max() + 2)
        shares = [share[exponent == e].sum() for e in edges[:-1]]
        axes.stairs(
            shares, edges - panel.moved, color=colours().faint, linestyle="--", linewidth=1.3, label="before scaling"
        )
    near = () if panel.of_update else (lowest, normal)
    return (
        _axis_end(outlined.min(), near, -MARGIN, -REACH),
        _axis_end(outlined.max() + 1, () if panel.of_update else (highest,), MARGIN, REACH),
    )


def _name_bands(axes: Any, panel: _Panel) -> None:
    """The name of each band above it, where four binades or more of it are seen."""
    axes.set_ylim(0, 1.16 * axes.get_ylim()[1])
    if panel.of_update:
        return
    left, right = axes.get_xlim()
    limits = (-math.inf, *_limits_of(panel.fmt), math.inf)
    for (name, _, _), start, end in zip(BANDS, limits, limits[1:], strict=False):
        seen = max(start, left), min(end, right)
        if name != "normal" and seen[1] - seen[0] >= 4:
            axes.text(
                sum(seen) / 2, 0.97, name, transform=axes.get_xaxis_transform(), ha="center", va="top", fontsize=7.5
            )


def _axis_end(data: float, limits: tuple[float, ...], margin: int, reach: int) -> float:
    """Where the axis ends: beyond the data, and beyond the limits of the format that lie near."""
    near = [limit for limit in limits if abs(limit - data) <= abs(reach) or (limit - data) * reach < 0]
    ends = [data, *near]
    return (min(ends) if margin < 0 else max(ends)) + margin


def _legend(made: Any, axes: Any) -> None:
    """The bands, and the lines that a panel has."""
    from matplotlib.patches import Patch

    patches = [Patch(facecolor=c, hatch=h, edgecolor=colours().paper, label=name) for name, c, h in BANDS]
    handles = [*patches, *axes.get_legend_handles_labels()[0]]
    made.legend(
        handles=handles, loc="upper left", ncols=len(handles), fontsize=8.5, frameon=False, bbox_to_anchor=(0.005, 1.0)
    )
