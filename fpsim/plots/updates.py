"""Updates of weights: which are lost, and how small they are beside their weights.

Layer 9. Takes shares and ratios; updates nothing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fpsim.errors import ArgumentError, ShapeError, expected
from fpsim.formats import Format
from fpsim.observe.report_forms import percent
from fpsim.plots.bit_boxes import formats_of
from fpsim.plots.series import counts_of, legend_beside, mapping_of, named, numbers_of
from fpsim.plots.style import HATCHES, PALETTE, colours, figure, lines_of, themed, tidy
from fpsim.rounding.kernel import Array

__all__ = ["lost_updates", "update_ratios"]


@themed
def lost_updates(shares: Any, *, steps: Any = None, title: str | None = None, theme: str = "light") -> Any:
    """Share of the nonzero updates that left their weight as it was, by layer and recipe: bars, or lines over steps.

    Parameters
    ----------
    shares : mapping of recipe to mapping of layer to a share from 0 to 1, or to an array of shares, one a step
    steps : array, optional
        The steps that the arrays belong to; 0, 1, 2, ... unless given.
    title : str, optional
    theme : str
        ``light`` or ``dark``.

    Returns
    -------
    matplotlib.figure.Figure
        Of shares, one group of bars a layer; of arrays, one panel a layer with a line a recipe.

    Raises
    ------
    ArgumentError, ArgumentTypeError, ShapeError
        No recipe or no layer; recipes with different layers; shares outside of 0 to 1.

    Examples
    --------
    >>> from fpsim.plots import lost_updates
    >>> axes = lost_updates({"float16": {"fc1": 0.25, "fc2": 0.5}}).axes[0]
    >>> [text.get_text() for text in axes.texts]
    ['25.00 %', '50.00 %']
    """
    found: dict[str, dict[str, Array]] = {}
    for recipe, of_layer in mapping_of("lost_updates", shares, "recipe to layers").items():
        layers = mapping_of("lost_updates", of_layer, "layer to share")
        found[recipe] = {layer: _shares(layer, value) for layer, value in layers.items()}
    layers = dict.fromkeys(layer for of_layer in found.values() for layer in of_layer)
    sizes = {value.shape for of_layer in found.values() for value in of_layer.values()}
    if any(set(of_layer) != set(layers) for of_layer in found.values()) or len(sizes) > 1:
        got = "; ".join(f"{recipe}: {', '.join(of_layer)}" for recipe, of_layer in found.items())
        remedy = "give every recipe all layers, and all as many steps"
        raise ShapeError(expected("lost_updates", "the same layers and steps for every recipe", got, remedy))
    head = title or "updates that left the weight as it was"
    if sizes == {()}:
        return _bars(found, list(layers), head)
    (count,) = next(iter(sizes))
    x = np.arange(count) if steps is None else numbers_of("lost_updates", "steps", steps)
    if len(x) != count:
        got = f"{len(x)} steps for {count} shares"
        raise ShapeError(expected("lost_updates", "a step for each share", got, "give as many"))
    return _lines(found, list(layers), x, head)


def _shares(layer: str, value: Any) -> Array:
    share = np.asarray(value, np.float64) if np.ndim(value) == 0 else numbers_of("lost_updates", layer, value)
    if not ((share >= 0) & (share <= 1)).all():
        got = f"{layer}={value!r}"
        raise ArgumentError(
            expected("lost_updates", "shares from 0 to 1", got, "divide the lost by the nonzero updates")
        )
    return share


def _bars(found: dict[str, dict[str, Array]], layers: list[str], title: str) -> Any:
    """A group a layer, a bar a recipe, its share written behind."""
    n = len(found)
    made = figure(9.0, 1.3 + 0.26 * (n + 0.6) * len(layers))
    axes = made.subplots()
    places = np.arange(len(layers)) * (n + 0.6)
    longest = max(float(share) for of_layer in found.values() for share in of_layer.values())
    looks = lines_of(found)
    for i, (recipe, of_layer) in enumerate(found.items()):
        values = [100 * float(of_layer[layer]) for layer in layers]
        axes.barh(
            places + i, values, 0.86, color=looks[i]["color"], hatch=HATCHES[i % len(HATCHES)], label=recipe,
            edgecolor=colours().paper, linewidth=0,
        )  # fmt: skip
        for place, value in zip(places + i, values, strict=True):
            axes.annotate(
                percent(value / 100), (value, place), (4, 0), textcoords="offset points", va="center", fontsize=8
            )
    axes.set_yticks(places + (n - 1) / 2, layers)
    axes.set_ylim(places[-1] + n - 0.3, -0.7)
    axes.set_xlim(0, max(118 * longest, 1.0))
    tidy(axes, title, "% of nonzero updates", "layer")
    axes.grid(axis="y", visible=False)
    legend_beside(made, axes)
    return made


def _lines(found: dict[str, dict[str, Array]], layers: list[str], steps: Array, title: str) -> Any:
    """A panel a layer, a line a recipe."""
    columns = min(3, len(layers))
    rows = math.ceil(len(layers) / columns)
    made = figure(3.1 * columns + 2.4, 2.3 * rows + 0.7)
    grid = made.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    panels = grid.reshape(-1)
    for axes in panels[len(layers) :]:
        axes.set_visible(False)
    looks = lines_of(found)
    every = max(1, len(steps) // 8)
    for k, (axes, layer) in enumerate(zip(panels, layers, strict=False)):
        for i, (recipe, of_layer) in enumerate(found.items()):
            axes.plot(
                steps,
                100 * of_layer[layer],
                label=recipe,
                linewidth=1.4,
                markersize=4,
                markevery=every,
                **looks[i],
            )
        below = k + columns >= len(layers)
        tidy(axes, layer, "step" if below else "", "% of nonzero updates" if k % columns == 0 else "")
        axes.tick_params(labelbottom=below)
    panels[0].set_ylim(-4, 104)
    made.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    legend_beside(made, panels[columns - 1])
    return made


# Ratios --------------------------------------------------------------------------------------------------------------


@themed
def update_ratios(ratios: Any, *, formats: Any = ("float16",), title: str | None = None, theme: str = "light") -> Any:
    """A histogram of ``|weight| / |update|`` by powers of two, with the ratios from which an update is lost.

    An update below half an ulp of its (normal) weight leaves it as it is: with p bits of significand that may happen
    from a ratio of ``2**p`` on (2048 in float16) and always happens beyond ``2**(p + 1)``.

    Parameters
    ----------
    ratios : array of ratios, mapping of exponent (floor of log2) to count, or a mapping of name to either
        Ratios of updates that are 0 (infinite) and of weights that are 0 are left out, and how many they are is said.
    formats : format or sequence of formats
        Whose thresholds are drawn.
    title : str, optional
    theme : str
        ``light`` or ``dark``.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentError, ArgumentTypeError, ShapeError
        No series or format; something else than ratios, or none that is finite and above 0.

    Examples
    --------
    >>> from fpsim.plots import update_ratios
    >>> axes = update_ratios([100.0, 3000.0, 5000.0, 1e9]).axes[0]
    >>> axes.get_legend_handles_labels()[1][0]
    'ratios: 75.00 % from 2^11 on'
    """
    several = formats_of("update_ratios", formats)
    series = {name: _binades(name, given) for name, given in named("update_ratios", ratios, "ratios").items()}
    first, end = several[0], max(several[0].p + 3, *(max(counts) + 2 for counts, _ in series.values()))
    made = figure(9.0, 4.4)
    axes = made.subplots()
    top = 0.0
    for i, ((name, (counts, left_out)), style) in enumerate(zip(series.items(), lines_of(series), strict=True)):
        edges = np.arange(min(counts), max(counts) + 2)
        total = sum(counts.values())
        values = np.array([100 * counts.get(int(e), 0) / total for e in edges[:-1]])
        beyond = sum(number for e, number in counts.items() if e >= first.p) / total
        label = f"{name}: {percent(beyond)} from 2^{first.p} on"
        label += f"\n({percent(left_out)} without a ratio)" if left_out else ""
        filled = 0.55 if len(series) == 1 else 0.3
        look = {"color": style["color"], "zorder": 2.5}
        axes.stairs(values, edges, fill=True, alpha=filled, hatch=HATCHES[i % len(HATCHES)], **look)
        axes.stairs(values, edges, linestyle=style["linestyle"], linewidth=1.8, label=label, **look)
        top = max(top, values.max())
    _thresholds(axes, several, end)
    axes.set_xlim(min(first.p - 2, *(min(counts) - 1 for counts, _ in series.values())), end)
    axes.set_ylim(0, 1.2 * top)
    tidy(axes, title or "weights beside their updates", "log2 (|weight| / |update|)", "% of updates, by power of two")
    axes.xaxis.get_major_locator().set_params(integer=True)
    legend_beside(made, axes)
    return made


def _thresholds(axes: Any, formats: list[Format], end: float) -> None:
    """A line a format at ``2**p``; of the first, the ratios beyond as areas."""
    for fmt, line in zip(formats, itertools.cycle(("--", "-.", ":"))):
        label = f"{fmt.name}: 2^{fmt.p} = {2**fmt.p}"
        axes.axvline(fmt.p, color=colours().ink, linestyle=line, linewidth=1.5, zorder=3, label=label)
    first = formats[0]
    may, always = f"may be lost in {first.name}", f"always lost in {first.name}"
    axes.axvspan(first.p, first.p + 1, color=PALETTE[5], alpha=0.2, linewidth=0, zorder=0.5, label=may)
    hatched = {"facecolor": (PALETTE[2], 0.2), "edgecolor": (colours().ink, 0.3), "hatch": "//", "linewidth": 0}
    axes.axvspan(first.p + 1, end, zorder=0.5, label=always, **hatched)


def _binades(name: str, given: Any) -> tuple[dict[int, int], float]:
    """How many ratios lie in each binade, and the share of those that lie in none."""
    if isinstance(given, Mapping):
        counts, left_out = counts_of("update_ratios", name, given), 0.0
    else:
        values = np.abs(numbers_of("update_ratios", name, given, ()))
        usable = values[np.isfinite(values) & (values > 0)]
        exponents, numbers = np.unique(np.frexp(usable)[1] - 1, return_counts=True)
        counts, left_out = dict(zip(exponents.tolist(), numbers.tolist(), strict=True)), 1 - usable.size / values.size
    if not counts:
        got = f"none of {name!r}"
        raise ArgumentError(expected("update_ratios", "a finite ratio above 0", got, "divide |weights| by |updates|"))
    return counts, left_out
