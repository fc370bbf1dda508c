"""`amax_history`: tensors of one step after the other, an outlier among them, and the FP8 scale made from the past.

Layer 10. Scales and rounds by the quantisers of `fpsim.amp`; the tensors have the shape of `recording`'s gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from fpsim.amp import CurrentScaling, DelayedScaling
from fpsim.errors import ArgumentError, expected
from fpsim.formats import Format
from fpsim.plots.style import PALETTE, figure, legend, tidy
from fpsim.widgets.panel import Frame, Panel, choice, slider
from fpsim.widgets.recording import gradients

__all__ = ["amax_history", "scaled_steps", "simulated"]

FORMATS = ("float8_e4m3fn", "float8_e5m2")
LENGTHS, RULES, MARGINS = (1, 4, 8, 16), ("max", "most_recent"), (0, 1, 2)
#: Of the simulated tensors: how many, from where on they grow, and where the outlier is (counted from 0).
STEPS, GROWING, OUTLIER = 40, 30, 12
#: Every so many recorded gradients make a tensor.
EVERY = 16


def simulated(outlier: float = 64.0) -> Any:
    """Largest magnitudes of 40 steps: about 2^-4, one outlier, and in the last ten a quarter more each step.

    >>> amax = simulated(64.0)
    >>> int(amax.argmax()), bool(amax[12] > 40 * amax[11])
    (12, True)
    """
    steps = np.arange(STEPS)
    amax = 2.0**-4 * (1 + 0.15 * np.sin(2.4 * steps)) * 1.25 ** np.maximum(steps - GROWING, 0)
    amax[OUTLIER] *= outlier
    return amax


def scaled_steps(
    amax: Sequence[float], format: Any = "float8_e4m3fn", length: int = 16, rule: str = "max", margin: int = 0
) -> dict[str, dict[str, Any]]:
    """What delayed scaling makes of tensors of these largest magnitudes, and what current scaling does.

    Each tensor has the shape of a network's gradients. Of both rules: the scale in force at each step, the share of
    values that saturate, and the share of those that become 0.

    Examples
    --------
    >>> found = scaled_steps([1.0, 1.0, 64.0, 1.0], length=2)
    >>> found["delayed"]["scale"].tolist(), found["current"]["scale"].tolist()
    ([1.0, 448.0, 448.0, 7.0], [448.0, 448.0, 7.0, 448.0])
    """
    steps = tuple(map(float, amax))
    delayed = DelayedScaling(format, margin=margin, amax_history_len=length, amax_compute_algo=rule)
    return {"delayed": _run(delayed, steps), "current": _run(CurrentScaling(format, margin=margin), steps)}


@cache
def _run(scaling: Any, amax: tuple[float, ...]) -> dict[str, Any]:
    """Tensor by tensor through one quantiser, as a layer does it."""
    quantizer, fmt = scaling.quantizer(), scaling.forward
    beyond = fmt.max + fmt.eps * 2.0**fmt.emax / 2  # what would be rounded to more than the largest number
    shape = gradients()[::EVERY] / gradients()[0]
    found: dict[str, list[float]] = {"scale": [], "saturated": [], "zero": []}
    for level in amax:
        x = shape * np.float32(level)
        scale = quantizer.scale_of(x, True)
        made = quantizer.quantised(x, scale, 0)
        found["scale"].append(float(scale))
        found["saturated"].append(float(np.mean(made.before > beyond)))
        found["zero"].append(float(np.mean((made.after == 0) & (made.before != 0))))
    return {name: np.array(values) for name, values in found.items()}


def frame(format: str, length: int, rule: str, margin: int, amax: tuple[float, ...]) -> Frame:
    """Largest magnitudes and what fits, the scales, and the values that are lost, step by step."""
    fmt, found = Format(format), scaled_steps(amax, format, length, rule, margin)
    delayed, current = found["delayed"], found["current"]
    steps = np.arange(1, len(amax) + 1)
    made = figure(7.6, 4.4)
    (fits, saturated), (scales, zero) = made.subplots(2, 2, sharex=True)
    edges = np.arange(len(amax) + 1) + 0.5
    fits.plot(steps, np.log2(amax), "o", color=PALETTE[0], markersize=3, label="largest magnitude (amax)")
    looks = {"facecolor": "none", "linewidth": 1.5, "baseline": None}
    late = {**looks, "edgecolor": PALETTE[2]}
    now = {**looks, "edgecolor": PALETTE[1], "linestyle": "--", "label": "current"}
    fits.stairs(np.log2(fmt.max / delayed["scale"]), edges, label=f"what fits: {fmt.max:g} / scale", **late)
    scales.stairs(np.log2(delayed["scale"]), edges, label="delayed", **late)
    scales.stairs(np.log2(current["scale"]), edges, **now)
    for axes, what in ((saturated, "saturated"), (zero, "zero")):
        axes.stairs(100 * delayed[what], edges, fill=True, color=PALETTE[2], alpha=0.75, label="delayed")
        axes.stairs(100 * current[what], edges, **now)
        axes.set_ylim(0, max(1.0, 118 * delayed[what].max()))
    tidy(fits, "largest magnitude of each step", "", "exponent of 2")
    tidy(scales, "scale in force", "step", "exponent of 2")
    tidy(saturated, "values that saturate", "", "%")
    tidy(zero, "values that become 0", "step", "%")
    for axes, at in ((fits, "upper right"), (scales, "lower right"), (saturated, "upper right"), (zero, "upper right")):
        axes.locator_params(nbins=5)
        legend(axes, fontsize=7.5, loc=at)
    made.subplots_adjust(left=0.08, right=0.985, top=0.93, bottom=0.11, hspace=0.33, wspace=0.2)
    history = f"max of the last {length}" if rule == "max" else f"the last alone of {length}"
    return Frame(made, f"{fmt.name}, {history} amax, margin {margin}: {_in_words(amax, delayed, current)}")


def _in_words(amax: tuple[float, ...], delayed: Any, current: Any) -> str:
    """The largest step, what follows it, and all steps together."""
    at = int(np.argmax(amax[: GROWING + 1]))
    after = slice(at + 1, at + 5)
    percent = {(rule, what): f"{100 * found[what].mean():.2f} %" for rule, found in (("delayed", delayed),
               ("current", current)) for what in ("saturated", "zero")}  # fmt: skip
    return (
        f"at step {at + 1} amax is {amax[at]:.3g} and the scale in force {delayed['scale'][at]:.4g} where "
        f"{current['scale'][at]:.4g} would fit, so {100 * delayed['saturated'][at]:.2f} % saturate; in the four steps "
        f"after it {100 * delayed['zero'][after].mean():.1f} % become 0 (current scaling: "
        f"{100 * current['zero'][after].mean():.1f} %). All steps: {percent['delayed', 'saturated']} saturate and "
        f"{percent['delayed', 'zero']} become 0, with current scaling {percent['current', 'saturated']} and "
        f"{percent['current', 'zero']}."
    )


def amax_history(
    amax: Sequence[float] | None = None,
    *,
    outlier: float = 64.0,
    format: str = "float8_e4m3fn",
    length: int = 16,
    rule: str = "max",
    margin: int = 0,
) -> Panel:
    """Choose how an FP8 scale is made from the largest magnitudes of earlier steps; see what an outlier does to it.

    Parameters
    ----------
    amax : sequence of float, optional
        Recorded largest magnitudes, one a step; simulated ones unless given, of 40 steps.
    outlier : float
        How many times as large the thirteenth simulated step is.
    format, length, rule, margin
        Where the controls start: as `fpsim.amp.DelayedScaling`'s `forward`, `amax_history_len`, `amax_compute_algo`
        and `margin`.

    Returns
    -------
    Panel

    Raises
    ------
    ArgumentError
        Fewer than two steps, or magnitudes that are negative or not finite.

    Examples
    --------
    >>> import fpsim as fp
    >>> fp.widgets.amax_history().frame(length=4).sentence
    'float8_e4m3fn, max of the last 4 amax, margin 0: at step 13 amax is 3.7 and the scale in force ...'
    """
    given = simulated(outlier) if amax is None else np.asarray(amax, np.float64)
    if given.ndim != 1 or given.size < 2 or not (np.isfinite(given) & (given > 0)).all():
        got = f"{'outlier' if amax is None else 'amax'}={outlier if amax is None else amax!r}"
        remedy = "choose one above 0" if amax is None else "record one a step"
        raise ArgumentError(expected("amax_history", "two or more positive, finite magnitudes", got, remedy))
    controls = [
        choice("format", "format", FORMATS, format),
        choice("rule", "scale from", RULES, rule),
        slider("length", "length of the history", LENGTHS, length),
        slider("margin", "margin, powers of 2", MARGINS, margin),
    ]
    return Panel("amax_history", controls, partial(frame, amax=tuple(given.tolist())))
