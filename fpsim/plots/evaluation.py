"""The picture of an evaluation: accuracy and agreement by precision, and by class.

Layer 9. Numbers come from the report alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fpsim.experiments.evaluation import Evaluation
from fpsim.plots.style import colour_of, figure, ink_on, themed, tidy

__all__ = ["evaluation"]


@themed
def evaluation(report: Evaluation, *, theme: str = "light") -> Any:
    """Accuracy and agreement with float32 of each precision on the left; on the right the agreement of each class.

    Parameters
    ----------
    report : Evaluation
        Of `fp.evaluate`.
    theme : str
        ``light`` or ``dark``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    n = len(report.formats)
    height = max(3.4, 1.9 + 0.42 * n)
    made = figure(12.0, height)
    left, right = made.subplots(1, 2, gridspec_kw={"width_ratios": (1, 1.1)})
    made.subplots_adjust(left=0.15, right=0.985, top=1 - 0.95 / height, bottom=0.85 / height, wspace=0.35)
    head = f"{report.network} in each precision, {report.samples} samples"
    made.suptitle(head, x=0.02, ha="left", fontsize=12, fontweight="bold")
    _shares(left, report)
    _classes(right, report)
    return made


def _shares(axes: Any, report: Evaluation) -> None:
    """A filled dot for accuracy, a ring for agreement."""
    formats = report.formats[::-1]
    places = np.arange(len(formats))
    for place, one in zip(places, formats, strict=True):
        colour = colour_of(one.name, len(formats) - 1 - int(place))[0]
        if one.accuracy is not None:
            axes.plot([100 * one.accuracy], [place], "o", color=colour, markersize=7)
        if one is not report.formats[0]:
            axes.plot([100 * one.agreement], [place], "o", color=colour, markersize=10, fillstyle="none")
    axes.set_yticks(places, [one.name for one in formats])
    axes.set_ylim(-0.6, len(formats) - 0.4)
    tidy(axes, "accuracy (dots) and agreement with float32 (rings)", "% of samples")


def _classes(axes: Any, report: Evaluation) -> None:
    formats = report.formats[1:] or report.formats
    classes = sorted(formats[0].per_class)
    shares = np.array([[100 * one.per_class[c]["agreement"] for c in classes] for one in formats])
    image = axes.imshow(shares, cmap="RdYlBu", vmin=0, vmax=100, aspect="auto")
    for i in range(len(formats)):
        for j in range(len(classes)):
            share = shares[i, j]
            colour = ink_on(image.cmap(image.norm(share))[:3])
            axes.text(j, i, f"{share:.0f}", ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(len(classes)), [str(c) for c in classes])
    axes.set_yticks(range(len(formats)), [one.name for one in formats])
    tidy(axes, "agreement with float32 by class, %", "class (label)" if report.labelled else "class (float32's)")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
