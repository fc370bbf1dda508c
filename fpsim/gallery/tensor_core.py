"""The tensor core's sum of a block: exact products, aligned, cut off; and why a larger start may end lower.

Layer 10. Summed by `fpsim.accumulate`, drawn on `fpsim.gallery.canvas`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fpsim.accumulate import Accumulator
from fpsim.formats import float32
from fpsim.gallery.canvas import canvas
from fpsim.gallery.exhibit import Claim, Exhibit
from fpsim.plots.style import colours, legend, tidy

__all__ = ["TENSOR_CORE"]

#: Half an ulp of 1 in float32; an ulp of the numbers below 1.
TINY = 2.0**-24


def compute(orders: list[str], below: int, above: int) -> dict[str, Any]:
    """``start + 4 * 2**-24`` for the float32 numbers around 1, in each order."""
    starts = [1 - k * TINY for k in range(below, 0, -1)] + [1 + 2 * k * TINY for k in range(above + 1)]
    x = np.zeros((len(starts), 8), np.float32)  # the start is the sum of a first block
    x[:, 0], x[:, 4:] = starts, TINY
    found = {order: Accumulator(float32, order=order).matmul(x, np.ones(8, np.float32)) for order in orders}
    return {"start": starts, "sum": found}


def check(numbers: dict[str, Any]) -> Iterator[Claim]:
    """The paper's pair of sums."""
    sums = dict(zip(numbers["start"], numbers["sum"]["tensor_core"], strict=True))
    yield Claim("1 + four times 2^-24 is 1", sums[1.0], sums[1.0] == 1)
    got = sums[1 - TINY]
    yield Claim(
        "(1 - 2^-24) + four times 2^-24 is 1 + 2^-23", f"1 + {(got - 1) * 2**23:g} x 2^-23", got == 1 + 2.0**-23
    )


def draw(numbers: dict[str, Any]) -> Any:
    """The sum over its start, both as distances from 1."""
    made, axes = canvas(7.6, 4.6)
    palette = colours().palette
    start = [(s - 1) / TINY for s in numbers["start"]]
    looks = {
        "exact": ("exact sum, rounded once", "--", "s", palette[0]),
        "sequential": ("one after the other, each sum rounded", ":", "^", palette[1]),
        "tensor_core": ("tensor core: aligned, cut off, added, cut off", "-", "o", palette[2]),
    }
    for order, (label, line, marker, colour) in looks.items():
        sums = [(s - 1) / TINY for s in numbers["sum"][order]]
        axes.plot(start, sums, line, marker=marker, color=colour, label=label, markersize=6, linewidth=1.6)
    axes.axvline(0, color=colours().faint, linewidth=0.8)
    axes.annotate(
        "a larger start,\na smaller sum", (0, 0), (26, -34), textcoords="offset points", fontsize=9, color=palette[2],
        arrowprops={"arrowstyle": "->", "color": palette[2], "shrinkB": 6},
    )  # fmt: skip
    tidy(
        axes,
        "start + 2^-24 + 2^-24 + 2^-24 + 2^-24 in float32",
        "start, as (start - 1) / 2^-24",
        "sum, as (sum - 1) / 2^-24",
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.get_major_locator().set_params(integer=True)
    legend(axes, loc="upper left")
    return made


TENSOR_CORE = Exhibit(
    name="tensor_core",
    title="A tensor core's sum is not monotonic",
    message="A tensor core cuts off what lies below the last bit of the largest operand before it adds: next to 1 four "
    "addends of 2^-24 vanish, next to a number just below 1 they count, and the smaller start gives the larger sum.",
    must_hit="1 + four times 2^-24 is 1, but (1 - 2^-24) + four times 2^-24 is 1 + 2^-23",
    source="Fasi, Higham, Mikaitis and Pranesh (2021); order tensor_core, the V100",
    compute=compute,
    draw=draw,
    check=check,
    settings={"orders": ["exact", "sequential", "tensor_core"], "below": 8, "above": 4},
)
