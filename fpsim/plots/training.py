"""Trainings by step: losses of several recipes, their deviation from float64, and the loss scale.

Layer 9. Takes runs (or arrays of losses); trains nothing.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fpsim.errors import ArgumentError, ArgumentTypeError, ShapeError, expected
from fpsim.experiments.results import Comparison
from fpsim.experiments.sweeps.intervals import t_quantile
from fpsim.plots.series import legend_beside, mapping_of, moving_mean, numbers_of, seeds_of
from fpsim.plots.style import PALETTE, colours, figure, lines_of, themed, tidy
from fpsim.rounding.kernel import Array

__all__ = ["deviation", "scale_timeline", "training_curves"]

_BANDS = {"range": "smallest to largest", "interval": "95 % interval of the mean (Student's t)"}


@themed
def training_curves(
    runs: Any,
    *,
    band: str = "range",
    smooth: int | None = None,
    title: str = "training loss",
    y: str = "cross entropy",
    theme: str = "light",
) -> Any:
    """The loss by step of each recipe: the mean over its seeds, in a band of their spread.

    Parameters
    ----------
    runs : mapping of recipe to Run, array of losses, or a list of those, one a seed; or a Comparison of one scenario
    band : str
        ``range``: from the smallest to the largest of the seeds; ``interval``: Student's 95 % interval of the mean.
    smooth : int, optional
        Steps that a moving mean is taken over, of each seed by itself: a fiftieth of the run unless given; 1 for none.
    title, y : str
        Above, and what a loss is.
    theme : str
        ``light`` or ``dark``.

    Returns
    -------
    matplotlib.figure.Figure
        A line ends, in a cross, where the loss of a seed is no longer finite.

    Raises
    ------
    ArgumentError, ArgumentTypeError, ShapeError
        No recipe or no run; something without losses; seeds of different lengths; an unknown band or theme.

    Examples
    --------
    >>> from fpsim.plots import training_curves
    >>> figure = training_curves({"float32": [[2.0, 1.0], [4.0, 2.0]]})
    >>> figure.axes[0].lines[0].get_ydata()
    array([3. , 1.5])
    """
    if band not in _BANDS:
        got = f"band={band!r}"
        raise ArgumentError(expected("training_curves", f"a band of {', '.join(_BANDS)}", got, "choose one"))
    if smooth is not None and (not isinstance(smooth, int) or smooth < 1):
        got = f"smooth={smooth!r}"
        raise ArgumentError(expected("training_curves", "a number of steps, 1 or more", got, "give 1 for none"))
    if isinstance(runs, Comparison):
        runs = _by_recipe(runs)
    made = figure(9.0, 4.4)
    axes = made.subplots()
    banded = False
    runs = mapping_of("training_curves", runs, "recipe to runs")
    for (name, given), style in zip(runs.items(), lines_of(runs), strict=True):
        losses = seeds_of("training_curves", name, given)
        seeds, steps = losses.shape
        ends = [_finite_until(loss) for loss in losses]
        end = min(ends)
        smoothed = moving_mean(losses[:, :end], max(1, steps // 50) if smooth is None else smooth)
        mean = smoothed.mean(axis=0)
        x = np.arange(end)
        axes.plot(
            x, mean, color=style["color"], linestyle=style["linestyle"], linewidth=1.6, label=_label(name, ends, steps)
        )
        if seeds > 1:
            axes.fill_between(x, *_band(smoothed, band), color=style["color"], alpha=0.2, linewidth=0)
            banded = True
        if end < steps:
            axes.plot([end], [mean[-1] if end else 0.0], "X", color=style["color"], markersize=9)
    tidy(axes, title, "step", y)
    legend_beside(
        made, axes, title=f"lines: mean over seeds\nbands: {_BANDS[band]}" if banded else None, title_fontsize=8
    )
    return made


def _by_recipe(results: Comparison) -> dict[str, list[Any]]:
    """The runs of one scenario by recipe, one a seed."""
    if len(results.scenarios) != 1:
        got = f"{len(results.scenarios)}"
        remedy = 'choose one with of_scenario("...")'
        raise ArgumentError(expected("training_curves", "runs of one scenario", got, remedy))
    return {recipe: [run for run in results if run.recipe == recipe] for recipe in results.recipes}


def _finite_until(loss: Array) -> int:
    """The number of steps before the first that is not finite (a step of weights: with any that is not)."""
    finite = np.isfinite(loss).reshape(len(loss), -1).all(axis=1)
    return len(loss) if finite.all() else int(np.argmin(finite))


def _label(name: str, ends: list[int], steps: int) -> str:
    """Name, seeds, and from which step on a seed is no longer finite."""
    failed = [end for end in ends if end < steps]
    text = name if len(ends) == 1 else f"{name}, {len(ends)} seeds"
    if not failed:
        return text
    which = "" if len(ends) == 1 else f"{len(failed)} of them "
    return f"{text},\n{which}not finite from step {min(failed)} on"


def _band(values: Array, band: str) -> tuple[Array, Array]:
    """Lower and upper edge of the band over axis 0."""
    if band == "range":
        return values.min(axis=0), values.max(axis=0)
    n = len(values)
    half = t_quantile(0.975, n - 1) * values.std(axis=0, ddof=1) / math.sqrt(n)
    return values.mean(axis=0) - half, values.mean(axis=0) + half


# Deviation -----------------------------------------------------------------------------------------------------------


@themed
def deviation(runs: Any, reference: Any, *, of: str = "loss", title: str | None = None, theme: str = "light") -> Any:
    """How far each recipe is from float64, step by step, as a relative deviation on a logarithmic axis.

    Parameters
    ----------
    runs : mapping of recipe to Run, array of losses ``(steps,)``, array of weights ``(steps, n)``, or a list of those
        Several are seeds: drawn are their mean and range.
    reference : Run, array, or list of those
        float64's, of the same seeds (or one for all) and shapes.
    of : str
        What an array holds: ``loss`` or ``weights``.
    title : str, optional
    theme : str
        ``light`` or ``dark``.

    Returns
    -------
    matplotlib.figure.Figure
        Losses: ``|L - L64| / |L64|``; weights: ``||w - w64|| / ||w64||``. Nothing is drawn at a step where it is 0; a
        cross stands where it is no longer finite.

    Raises
    ------
    ArgumentError, ArgumentTypeError, ShapeError
        No recipe or no run; something without losses; other numbers of steps or seeds than the reference's.

    Examples
    --------
    >>> from fpsim.plots import deviation
    >>> figure = deviation({"float16": [2.0, 1.5]}, [2.0, 1.0])
    >>> figure.axes[0].lines[0].get_ydata()
    array([nan, 0.5])
    """
    if of not in ("loss", "weights"):
        raise ArgumentError(expected("deviation", "of='loss' or 'weights'", f"of={of!r}", "choose one"))
    ndim = 1 if of == "loss" else 2
    exact = seeds_of("deviation", "reference", reference, ndim)
    made = figure(9.0, 4.4)
    axes = made.subplots()
    several = False
    runs = mapping_of("deviation", runs, "recipe to runs")
    for (name, given), style in zip(runs.items(), lines_of(runs), strict=True):
        found = seeds_of("deviation", name, given, ndim)
        if found.shape[1:] != exact.shape[1:] or len(exact) not in (1, len(found)):
            got = f"{name}.shape={found.shape}, reference.shape={exact.shape}"
            remedy = "train it for as many steps and seeds"
            raise ShapeError(expected("deviation", "a reference of the same steps and seeds", got, remedy))
        relative = _relative(found, np.broadcast_to(exact, found.shape))
        ends = [_finite_until(one) for one in relative]
        end = min(ends)
        mean = np.where(relative[:, :end].mean(axis=0) > 0, relative[:, :end].mean(axis=0), np.nan)
        x = np.arange(end)
        label = _label(name, ends, relative.shape[1]) + (",\nnever deviates" if not (mean > 0).any() and end else "")
        axes.plot(x, mean, color=style["color"], linestyle=style["linestyle"], linewidth=1.6, label=label)
        if len(found) > 1:
            several = True
            low, high = (np.where(edge > 0, edge, np.nan) for edge in _band(relative[:, :end], "range"))
            low = np.where(np.isnan(low), high, low)
            axes.fill_between(x, low, high, color=style["color"], alpha=0.2, linewidth=0)
        if end < relative.shape[1]:
            last = mean[np.isfinite(mean)]
            axes.plot([end], [last[-1] if last.size else 1.0], "X", color=style["color"], markersize=9)
    axes.set_yscale("log")
    what = "|L − L64| / |L64|" if of == "loss" else "‖w − w64‖ / ‖w64‖"
    tidy(
        axes,
        title or f"{'losses' if of == 'loss' else 'weights'}: deviation from float64",
        "step",
        f"relative deviation {what}",
    )
    legend_beside(
        made, axes, title=f"lines: mean over seeds\nbands: {_BANDS['range']}" if several else None, title_fontsize=8
    )
    return made


def _relative(found: Array, exact: Array) -> Array:
    """Relative deviations by seed and step; 0 where both are 0."""
    with np.errstate(all="ignore"):
        if found.ndim == 2:
            apart, size = np.abs(found - exact), np.abs(exact)
        else:
            apart, size = (np.sqrt((x**2).sum(axis=-1)) for x in (found - exact, exact))
        return np.where(apart == 0, 0.0, apart / size)


# The loss scale ------------------------------------------------------------------------------------------------------


@themed
def scale_timeline(run: Any, *, title: str | None = None, theme: str = "light") -> Any:
    """The loss scale by step as a power of two, skipped steps marked, and the loss beneath.

    Parameters
    ----------
    run : Run
        Or anything with ``scale``, ``skipped`` and ``loss``.
    title : str, optional
    theme : str
        ``light`` or ``dark``.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentError, ArgumentTypeError, ShapeError
        A run in which the scale was not written down at every step; a scale that is not above 0.
    """
    missing = [name for name in ("scale", "skipped", "loss") if not hasattr(run, name)]
    if missing:
        got = f"{type(run).__name__} without {missing[0]}"
        raise ArgumentTypeError(expected("scale_timeline", "a Run", got, "pass what fp.train returns"))
    if not len(run.scale):
        remedy = 'train with a scaler, as in recipe="mixed_float16"'
        raise ArgumentError(expected("scale_timeline", "a run with its loss scale", "a run without", remedy))
    scale, loss = (numbers_of("scale_timeline", name, getattr(run, name)) for name in ("scale", "loss"))
    skipped = np.asarray(run.skipped, np.int64)
    if len(scale) != len(loss) or (skipped.size and not 0 <= skipped.min() <= skipped.max() < len(scale)):
        got = f"{len(scale)} scales, {len(loss)} losses, skipped={skipped.tolist()}"
        raise ShapeError(expected("scale_timeline", "a scale and a loss for every step", got, "pass a whole run"))
    if not (scale > 0).all():
        remedy = "pass the scale itself, not its logarithm"
        raise ArgumentError(expected("scale_timeline", "scales above 0", f"{scale.min():g}", remedy))
    made = figure(9.0, 5.2)
    above, below = made.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (1.3, 1)})
    _scales(above, scale, skipped)
    end = _finite_until(loss)
    below.plot(np.arange(len(loss)), np.where(np.isfinite(loss), loss, np.nan), color=PALETTE[1], linewidth=1.3)
    if end < len(loss):
        bad = np.flatnonzero(~np.isfinite(loss))
        below.plot(
            bad, np.full(len(bad), np.nanmax(loss[:end], initial=0.0)), "X", color=PALETTE[2], label="loss not finite"
        )
    for axes in (above, below):
        axes.vlines(skipped, 0, 1, transform=axes.get_xaxis_transform(), color=PALETTE[2], linewidth=0.8, alpha=0.45)
    tidy(above, title or _about(run), "", "loss scale")
    tidy(below, "training loss (before scaling)", "step", "loss")
    below.set_xlim(-0.015 * len(scale), 1.015 * len(scale))
    legend_beside(made, above)
    return made


def _scales(axes: Any, scale: Array, skipped: Array) -> None:
    """A staircase, a triangle at each skipped step."""
    axes.step(np.arange(len(scale)), scale, where="post", color=colours().ink, linewidth=1.5, label="loss scale")
    text = f"{len(skipped)} of {len(scale)} steps skipped"
    axes.plot(skipped, scale[skipped], "v", color=PALETTE[2], markersize=7, label=text)
    axes.set_yscale("log", base=2)
    low, high = math.log2(scale.min()), math.log2(scale.max())
    axes.set_ylim(2 ** (low - 0.06 * (high - low) - 0.6), 2 ** (high + 0.06 * (high - low) + 0.6))


def _about(run: Any) -> str:
    names = [str(getattr(run, name)) for name in ("recipe", "scenario") if hasattr(run, name)]
    return ", ".join(["loss scale and skipped steps", *names])
