"""The picture of a sweep over loss scales: gradients lost, steps skipped, the loss, and the gradients' exponents.

Layer 9. Numbers come from the sweep alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fpsim.errors import ArgumentError, FormatError, expected
from fpsim.experiments.sweeping import Point, Sweep
from fpsim.formats import Format, float16
from fpsim.plots.style import PALETTE, figure, tidy

__all__ = ["scaling"]

#: What is counted, its name in the picture, its colour.
FATES = (
    ("to_zero", "became zero", "#D55E00"),
    ("subnormal", "subnormal", "#E69F00"),
    ("overflow", "overflow", "#0072B2"),
)
DYNAMIC, REFERENCE = "#009E73", "#7F7F7F"
LINES = ("-", "--", ":", "-.")


def scaling(sweep: Sweep) -> Any:
    """Four panels: shares of gradients lost, steps skipped and the final loss, all over the scale; and exponents.

    Returns
    -------
    matplotlib.figure.Figure
    """
    if not sweep.constant:
        got = f"one over {', '.join(sweep.names)}"
        raise ArgumentError(expected("plot", "a sweep over constant loss scales", got, "sweep {'scale': [...]}"))
    run = sweep.constant[0].run
    made = figure(13.0, 8.4)
    (shares, exponents), (skipped, losses) = made.subplots(2, 2)
    made.subplots_adjust(left=0.065, right=0.985, top=0.87, bottom=0.075, hspace=0.34, wspace=0.17)
    same = [name for name in ("recipe", "scenario", "steps", "batch", "seed") if name not in sweep.names]
    about = ", ".join(f"{name} {getattr(run, name)}" for name in same)
    made.suptitle("What the loss scale does to gradients", x=0.065, ha="left", fontsize=14, fontweight="bold")
    made.text(0.065, 0.925, about, fontsize=9.5, color="#555555")
    _shares(shares, sweep)
    _skipped(skipped, sweep)
    _losses(losses, sweep)
    _exponents(exponents, sweep)
    return made


def _groups(sweep: Sweep) -> list[tuple[str, list[Point], list[Point]]]:
    """Points that differ in the scale alone: their name, those with a constant scale, those with a dynamic one."""
    others = {
        id(p): ", ".join(f"{name}={value}" for name, value in p.settings.items() if name != "scale")
        for p in sweep.points
    }
    return [
        (
            name,
            [p for p in sweep.constant if others[id(p)] == name],
            [p for p in sweep.dynamic if others[id(p)] == name],
        )
        for name in dict.fromkeys(others.values())
    ]


def _scale_axis(axes: Any, title: str, y: str) -> None:
    axes.set_xscale("log", base=2)
    tidy(axes, title, "loss scale", y)


def _shares(axes: Any, sweep: Sweep) -> None:
    """Shares of the nonzero gradients, on a logarithmic axis: one in a million may be the one that skips the step."""
    for line, (group, points, dynamic) in zip(LINES, _groups(sweep), strict=False):
        for what, name, colour in FATES:
            found = [(p.scale, 100 * p.run.share(what)) for p in points if p.run.share(what) > 0]
            label = name + (f" ({group})" if group else "")
            axes.plot(*zip(*found, strict=True) if found else ([], []), line + "o", color=colour, ms=3.5, label=label)
            for p in dynamic:
                if p.run.share(what) > 0:
                    axes.plot([p.run.scale[-1]], [100 * p.run.share(what)], "D", mfc="white", color=colour, ms=7)
    if sweep.dynamic:
        axes.plot([], [], "D", mfc="white", color="#333333", ms=7, label="dynamic, at its last scale")
    axes.set_yscale("log")
    axes.set_xlim(*_limits(sweep))
    _scale_axis(axes, "gradients lost (none where a line stops)", "% of nonzero gradients")
    axes.legend(fontsize=8, frameon=False)


def _limits(sweep: Sweep) -> tuple[float, float]:
    scales = [p.scale or 1.0 for p in sweep.constant] + [p.run.scale[-1] for p in sweep.dynamic]
    return min(s for s in scales if s > 0) / 1.6, max(scales) * 1.6


def _skipped(axes: Any, sweep: Sweep) -> None:
    """Share of the steps that were skipped."""
    for i, (group, points, dynamic) in enumerate(_groups(sweep)):
        colour, line = PALETTE[i % len(PALETTE)], LINES[i % len(LINES)]
        shares = [100 * len(p.run.skipped) / p.run.steps for p in points]
        label = f"constant scale{f' ({group})' if group else ''}"
        axes.plot([p.scale for p in points], shares, line + "o", color=colour, ms=4, label=label)
        for p in dynamic:
            count = len(p.run.skipped)
            text = f"dynamic, ends at 2**{np.log2(p.run.scale[-1]):g}: {count} of {p.run.steps} steps skipped"
            text += f" ({group})" if group else ""
            at = 100 * count / p.run.steps
            axes.plot([p.run.scale[-1]], [at], "D", mfc="white", color=DYNAMIC, ms=8, label=text)
    axes.set_ylim(-4, 104)
    axes.set_xlim(*_limits(sweep))
    _scale_axis(axes, "steps skipped", "% of steps")
    axes.legend(fontsize=8, frameon=False, loc="upper left")


def _losses(axes: Any, sweep: Sweep) -> None:
    """Mean loss of the last tenth of the steps."""
    for i, (group, points, dynamic) in enumerate(_groups(sweep)):
        colour, line = PALETTE[i % len(PALETTE)], LINES[i % len(LINES)]
        losses = [p.run.final_loss for p in points]
        label = f"constant scale{f' ({group})' if group else ''}"
        axes.plot([p.scale for p in points], losses, line + "o", color=colour, ms=4, label=label)
        for p in dynamic:
            axes.axhline(
                p.run.final_loss,
                color=DYNAMIC,
                linestyle="--",
                linewidth=1.2,
                label=f"dynamic scale{f' ({group})' if group else ''}",
            )
    if sweep.reference is not None:
        loss = sweep.reference.run.final_loss
        axes.axhline(loss, color=REFERENCE, linestyle=":", linewidth=1.6, label="float32, not scaled")
    axes.set_xlim(*_limits(sweep))
    _scale_axis(axes, "final loss (mean of the last tenth of the steps)", "cross entropy")
    axes.legend(fontsize=8, frameon=False)


# Exponents -----------------------------------------------------------------------------------------------------------


def _exponents(axes: Any, sweep: Sweep) -> None:
    """How many gradients have which exponent, before and after scaling, and the bands of their format."""
    after = (sweep.dynamic or [min(sweep.constant, key=_lost)])[0]
    before = sweep.reference or sweep.constant[0]
    fmt = _format_of(after)
    kind = "dynamic scale" if after in sweep.dynamic else f"scale 2**{np.log2(after.scale or 1.0):g}"
    first = "before scaling" if sweep.reference is not None else f"at scale {before.scale:g}"
    for point, name, fate, style in (
        (before, first, "would become 0", {"color": "#999999", "alpha": 0.55, "linewidth": 0, "fill": True}),
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
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(0.0, 0.93))


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
