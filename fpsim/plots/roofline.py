"""The picture of a cost: bytes of each policy in training, and its operations under a device's roofs.

Layer 9. Numbers come from the report alone.
"""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np

from fpsim.errors import ArgumentError, expected
from fpsim.observe.cost_report import PARTS, Cost, duration
from fpsim.observe.devices import Device, Rate
from fpsim.observe.workload import Step
from fpsim.plots.style import HATCHES, colours, figure, legend, lines_of, themed, tidy

__all__ = ["roofline"]

#: Of the parts of memory: weights and their company in blues and greens, what grows with the batch in orange.
_OF_PARTS = dict(zip(PARTS, ("#0072B2", "#56B4E9", "#009E73", "#8C510A", "#CC79A7", "#E69F00"), strict=True))


@themed
def roofline(cost: Cost, device: Any = None, mode: str = "training", *, theme: str = "light") -> Any:
    """Bytes by part on the left; on the right every layer's product at its intensity, under the roofs of one device.

    Parameters
    ----------
    cost : Cost
    device : str or Device, optional
        The report's first unless given.
    mode : str
        ``training`` or ``inference``: whose times stand on the right.
    theme : str
        ``light`` or ``dark``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    chosen = _device(cost, device)
    made = figure(12.0, 4.8)
    left, right = made.subplots(1, 2, gridspec_kw={"width_ratios": (1, 1.25)})
    made.subplots_adjust(left=0.12, right=0.985, top=0.84, bottom=0.22, wspace=0.2)
    shape = "x".join(map(str, cost.input_shape))
    head = f"{cost.network}, batches of {shape}, {cost.policies[0].optimizer}"
    made.suptitle(head, x=0.02, ha="left", fontsize=12, fontweight="bold")
    _memory(left, cost)
    _roofs(right, cost, chosen, mode)
    return made


def _device(cost: Cost, like: Any) -> Device:
    if like is None:
        return cost.devices[0]
    found = [d for d in cost.devices if d is like or d.name.lower() == str(like).lower()]
    if not found:
        have = ", ".join(d.name for d in cost.devices)
        raise ArgumentError(expected("roofline", f"a device of {have}", f"device={like!r}", "name it in cost()"))
    return found[0]


def _memory(axes: Any, cost: Cost) -> None:
    """One bar a policy, its parts side by side, the bytes a parameter written behind."""
    policies = cost.policies[::-1]
    places = np.arange(len(policies))
    start = np.zeros(len(policies))
    for part, hatch in zip(PARTS, HATCHES, strict=False):
        size = np.array([one.training[part] / 1e6 for one in policies])
        if size.any():
            colour = colours().shown(_OF_PARTS[part])
            look = {"color": colour, "hatch": hatch, "edgecolor": colours().paper, "linewidth": 0}
            axes.barh(places, size, left=start, height=0.6, label=part, **look)
        start += size
    for place, one in enumerate(policies):
        text = f"{sum(one.bytes_per_parameter().values()):.3g} B a parameter"
        axes.annotate(text, (start[place], place), (4, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_yticks(places, [one.name for one in policies])
    axes.set_xlim(0, start.max() * 1.32)
    axes.set_ylim(-0.6, len(policies) - 0.4)
    tidy(axes, "memory in training", "MB")
    axes.grid(axis="y", visible=False)
    axes.legend(fontsize=7.5, frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.45, -0.12))


def _roofs(axes: Any, cost: Cost, device: Device, mode: str) -> None:
    """Operations a second against operations a byte; what lies on the slope waits for memory.

    The products of the forward pass stand for those of backward, which move the same three arrays.
    """
    slope = device.bandwidth * 1e9
    products = _products(cost, device, mode)
    roofs: dict[float, set[str]] = {}
    for _, _, step, rate in products:
        roofs.setdefault(rate.tflops * 1e12, set()).add(step.storage.name)
    ends = [p[0] for p in products] + [roof / slope for roof in roofs]
    x = np.geomspace(min(ends, default=1.0) / 3, max(ends, default=1.0) * 6, 200)
    for roof, names in roofs.items():
        axes.plot(x, np.minimum(x * slope, roof), color=colours().faint, linewidth=1.0, zorder=1)
        label = f"{', '.join(sorted(names))}: {roof / 1e12:.3g} Tflop/s"
        axes.annotate(label, (x[-1], roof), (-2, 4), textcoords="offset points", ha="right", fontsize=7.5)
    formats = list(dict.fromkeys(step.storage.name for _, _, step, _ in products))
    looks = dict(zip(formats, lines_of(formats), strict=True))
    for intensity, reached, step, _ in products:
        look, first = looks[step.storage.name], step.storage.name == formats[0]
        axes.plot([intensity], [reached], look["marker"], color=look["color"], markersize=6.5, zorder=2)
        under_roof = reached < intensity * slope * 0.999
        # on the slope one format's names stand below it, the others' above
        place: dict[str, Any] = {"xytext": (7, -8) if first else (-7, 4), "ha": "left" if first else "right"}
        if under_roof:
            place = {"xytext": (0, -13), "ha": "center"}
        axes.annotate(step.module, (intensity, reached), textcoords="offset points", fontsize=7.5, **place)
    for name, look in looks.items():
        axes.plot([], [], look["marker"], color=look["color"], markersize=6.5, label=name)
    legend(axes, loc="lower right", handlelength=1.2)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(x[0], x[-1])
    tidy(
        axes,
        f"{device.name}, {device.bandwidth:g} GB/s: each layer's product",
        "operations a byte",
        "operations a second",
    )
    times = ", ".join(
        f"{one.name} {duration(None if (t := one.time(device, mode)) is None else t.seconds)}" for one in cost.policies
    )
    what = "a training step" if mode == "training" else f"inference of {cost.input_shape[0]}"
    text = textwrap.fill(f"{what}, all operations: {times}", 95)
    axes.annotate(text, (0, -0.16), xycoords="axes fraction", va="top", fontsize=8)


def _products(cost: Cost, device: Device, mode: str) -> list[tuple[float, float, Step, Rate]]:
    """Each layer's product in each format: operations a byte, operations a second reached, the step, its roof."""
    found: dict[Any, tuple[float, float, Step, Rate]] = {}
    for one in cost.policies:
        for step in one.steps(mode):
            rate = device.rate(step.storage, step.accumulate) if step.macs and step.phase == "forward" else None
            if rate is None:
                continue
            work, moved = 2 * step.macs, step.read + step.written
            seconds = max(work / (rate.tflops * 1e12), moved / (device.bandwidth * 1e9))
            found.setdefault((step.module, step.storage, rate.tflops), (work / moved, work / seconds, step, rate))
    return list(found.values())
