"""The picture of what fits: bytes of each policy in training and inference, and how much the devices have.

Layer 9. Numbers come from the report alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fpsim.observe.cost_report import PARTS
from fpsim.plots.style import HATCHES, colours, figure, themed, tidy

__all__ = ["memory"]

#: The colours of `roofline`, and one for the cache.
_COLOURS = dict(zip(PARTS, ("#0072B2", "#56B4E9", "#009E73", "#8C510A", "#CC79A7", "#E69F00"), strict=True))
_COLOURS["kv cache"] = "#D55E00"
_HATCHES = dict(zip(_COLOURS, (*HATCHES, *HATCHES), strict=False))

_SHOWN = {"training": PARTS, "inference": ("weights", "kv cache", "activations")}


@themed
def memory(report: Any, *, theme: str = "light") -> Any:
    """One bar a policy, its parts side by side: training on the left, inference on the right; devices as lines.

    Parameters
    ----------
    report : DecoderReport or Fits
    theme : str
        ``light`` or ``dark``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    made = figure(12.0, 2.6 + 0.42 * len(report.policies))
    height = made.get_figheight()
    made.subplots_adjust(left=0.145, right=0.985, top=1 - 1.15 / height, bottom=1.05 / height, wspace=0.38)
    batch, tokens = report.input_shape if hasattr(report, "input_shape") else report.shape
    head = f"{report.network}: memory for {batch} x {tokens} tokens"
    made.suptitle(head, x=0.02, ha="left", fontsize=12, fontweight="bold")
    for axes, mode in zip(made.subplots(1, 2), _SHOWN, strict=True):
        _bars(axes, report, mode)
        _devices(axes, report.devices)
        tidy(axes, "", "GB")
        axes.set_title(mode, loc="left", fontsize=10, pad=40)
        axes.grid(axis="y", visible=False)
        below = (0.45, -0.4 / (height - 2.2))
        axes.legend(fontsize=7.5, frameon=False, ncols=3, loc="upper center", bbox_to_anchor=below)
    return made


def _bars(axes: Any, report: Any, mode: str) -> None:
    """From the report's first policy at the top to its last."""
    policies = report.policies[::-1]
    places = np.arange(len(policies))
    start = np.zeros(len(policies))
    for part in _SHOWN[mode]:
        size = np.array([getattr(one, mode)[part] / 1e9 for one in policies])
        if size.any():
            look = {"color": colours().shown(_COLOURS[part]), "hatch": _HATCHES[part], "edgecolor": colours().paper}
            axes.barh(places, size, left=start, height=0.6, label=part, linewidth=0, **look)
        start += size
    for place, total in zip(places, start, strict=True):
        box: dict[str, Any] = {"facecolor": colours().paper, "edgecolor": "none", "pad": 0.8}
        axes.annotate(
            f"{total:,.3g} GB", (total, place), (4, 0), textcoords="offset points", va="center", fontsize=8, bbox=box,
            zorder=3,
        )  # fmt: skip
    axes.set_yticks(places, [one.name for one in policies])
    axes.set_xlim(0, start.max() * 1.25)
    axes.set_ylim(-0.6, len(policies) - 0.4)


def _devices(axes: Any, devices: Any) -> None:
    """A line at the memory of each device that the axis reaches; the names stand above, each as low as it has room."""
    names: dict[float, list[str]] = {}
    for device in devices:
        names.setdefault(device.memory, []).append(device.name)
    reach = axes.get_xlim()[1]
    ends: list[float] = []  # where the words of each row end
    for size, found in sorted(names.items()):
        if size > reach:
            continue
        label = f"{', '.join(found[:2])}{' ...' if len(found) > 2 else ''} {size:g}"
        place = size / reach
        row = next((i for i, end in enumerate(ends) if end <= place), len(ends))
        ends[row : row + 1] = [place + 0.0125 * (len(label) + 2)]
        axes.axvline(size, color=colours().ink, linewidth=0.9, linestyle=(0, (4, 2)), zorder=2)
        axes.annotate(
            label, (size, 1), (0, 3 + 9 * row), xycoords=("data", "axes fraction"), textcoords="offset points",
            fontsize=7, va="bottom",
        )  # fmt: skip
