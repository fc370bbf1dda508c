"""`loss_scale`: gradients recorded in float32, multiplied by a power of two, and what a narrow format makes of them.

Layer 10. The gradients are those of `recording`; nothing is trained here.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from fpsim.formats import Format
from fpsim.plots.style import figure, tidy
from fpsim.rounding import round as round_array
from fpsim.widgets.panel import Frame, Panel, slider
from fpsim.widgets.recording import gradients

__all__ = ["fates", "loss_scale"]

#: The exponents of the scales that can be chosen.
SCALES = range(25)
#: Fate, its colour (Okabe and Ito's) and its hatch, as in `fpsim.plots.exponents`.
FATES = (
    ("normal", "#0072B2", ""),
    ("subnormal", "#E69F00", "//"),
    ("zero", "#D55E00", "xx"),
    ("overflow", "#CC79A7", "\\\\"),
)


def fates(exponent: int, fmt: Any = "float16") -> tuple[Any, Any]:
    """Which fate each recorded gradient meets when it is multiplied by ``2**exponent`` and stored.

    Returns
    -------
    scaled : array (n,)
        Exact.
    fate : array of int (n,)
        Index into `FATES`.

    Examples
    --------
    >>> import numpy as np
    >>> [round(float(np.mean(fates(k)[1] == 2)), 3) for k in (0, 24)]  # the share that becomes 0
    [..., 0.0]
    """
    scaled = np.ldexp(gradients().astype(np.float64), exponent)
    stored = round_array(scaled, fmt)
    conditions = [stored == 0, ~np.isfinite(stored), stored < Format(fmt).smallest_normal]
    return scaled, np.select(conditions, [2, 3, 1], 0)


def frame(exponent: int, fmt: Any = "float16") -> Frame:
    """The histogram of the scaled gradients, coloured by fate."""
    fmt = Format(fmt)
    scaled, fate = fates(exponent, fmt)
    made = figure(7.6, 3.3)
    axes = made.subplots()
    recorded = np.floor(np.log2(gradients().astype(np.float64)))
    edges = np.arange(recorded.min() + SCALES[0], recorded.max() + SCALES[-1] + 2)
    below = np.zeros(len(edges) - 1)
    for k, (name, colour, hatch) in enumerate(FATES):
        share = np.histogram(np.log2(scaled[fate == k]), edges)[0] * (100 / len(scaled))
        axes.stairs(
            below + share, edges, baseline=below, fill=True, facecolor=colour, hatch=hatch, edgecolor="white",
            linewidth=0, label=name,
        )  # fmt: skip
        below = below + share
    for at in (np.log2(fmt.smallest_subnormal) - 1, np.log2(fmt.max)):
        axes.axvline(at, color="#5F5F5F", linewidth=1, linestyle="--")
    tidy(axes, f"gradients times 2^{exponent}, stored in {fmt.name}", "exponent of 2", "% of gradients")
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, 11)
    axes.legend(frameon=False, fontsize=8, ncols=4, loc="upper right")
    made.subplots_adjust(left=0.075, right=0.985, top=0.9, bottom=0.16)
    zero, over, sub = (100 * np.mean(fate == k) for k in (2, 3, 1))
    sentence = (
        f"scale 2^{exponent} = {2**exponent:,}: {zero:.2f} % of the gradients become 0, {sub:.2f} % subnormal, "
        f"{over:.2f} % overflow."
    )
    return Frame(made, sentence)


def loss_scale(format: Any = "float16", exponent: int = 0) -> Panel:
    """Move the loss scale over 2^0 to 2^24, and see which gradients of a network become 0 or overflow.

    Parameters
    ----------
    format : format
        In which the scaled gradients are stored.
    exponent : int
        Where the slider starts.

    Returns
    -------
    Panel

    Examples
    --------
    >>> import fpsim as fp
    >>> fp.widgets.loss_scale().frame(exponent=24).sentence
    'scale 2^24 = 16,777,216: 0.00 % of the gradients become 0, ...'
    """
    control = slider("exponent", "loss scale", SCALES, exponent, [f"2^{k}" for k in SCALES])
    return Panel("loss_scale", [control], partial(frame, fmt=Format(format)))
