"""Swamping: numbers of one size stop adding up once their sum is some 2**p times as large; blocks cure it.

Layer 10. Computed by `fpsim.accumulate`, drawn on `fpsim.gallery.canvas`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from fpsim.accumulate import Accumulator
from fpsim.formats import Format
from fpsim.gallery.canvas import canvas
from fpsim.gallery.exhibit import Claim, Exhibit
from fpsim.gallery.sums import last_change, partial_sums, uniform
from fpsim.plots.style import colours, legend, tidy

__all__ = ["SWAMPING"]

#: Where sums of such numbers stop: Wang et al.'s 16-bit format of 6 exponent and 9 significand bits, and float16.
STOPS = {"e6m9": 4096.0, "float16": 8192.0}


def compute(n: int, block: int, every: int, seed: int) -> dict[str, Any]:
    """Partial sums of uniform numbers of mean 1 and standard deviation 1, sequentially and in blocks."""
    half_width = math.sqrt(3.0)
    x = (1 - half_width) + 2 * half_width * uniform(n, seed)
    at = list(range(every, n + 1, every))
    found: dict[str, Any] = {"n": at, "true": [math.fsum(x[:k]) for k in at]}
    for name in STOPS:
        sums = partial_sums(x, name)
        in_blocks = Accumulator(Format(name), order=f"blocked:{block}")
        found[name] = {
            "stopped_at": sums[-1],
            "last_change": last_change(sums),
            "sums": sums[np.array(at) - 1].astype(np.float64),
            "blocked": [float(in_blocks.sum(x[:k])) for k in at],
        }
    return found


def check(numbers: dict[str, Any]) -> Iterator[Claim]:
    """Where the sums stop, and how far blocks are from the true sum."""
    for name, stop in STOPS.items():
        got = numbers[name]["stopped_at"]
        yield Claim(f"{name} stops at exactly {stop!r}", got, got == stop)
    for name in STOPS:
        error = abs(numbers[name]["blocked"][-1] / numbers["true"][-1] - 1)
        text = f"{name} in blocks of 64 within 1 % of the true sum at n = {numbers['n'][-1]}"
        yield Claim(text, f"{100 * error:.2g} %", error <= 0.01)


def _apart(numbers: dict[str, Any]) -> float:
    return 100 * abs(numbers["e6m9"]["blocked"][-1] / numbers["true"][-1] - 1)


def draw(numbers: dict[str, Any]) -> Any:
    """Sums over the number of addends."""
    made, axes = canvas(7.6, 4.3)
    palette, n = colours().palette, numbers["n"]
    axes.plot(n, numbers["true"], color=colours().faint, linewidth=5, alpha=0.45, label="true sum")
    axes.plot(
        n,
        numbers["e6m9"]["blocked"],
        color=palette[3],
        linestyle="-.",
        label=f"1-6-9, blocks of 64 ({_apart(numbers):.2g} % from the true sum at the end)",
    )
    for name, label, colour, style in (("float16", "float16", 2, "--"), ("e6m9", "1-6-9 (e6m9)", 1, "-")):
        found = numbers[name]
        axes.plot(n, found["sums"], color=palette[colour], linestyle=style, label=f"{label}, one after the other")
        axes.annotate(
            f"stays at {found['stopped_at']:.0f}", (n[-1], found["stopped_at"]), (0, 5), textcoords="offset points",
            ha="right", fontsize=8.5, color=palette[colour],
        )  # fmt: skip
    tidy(axes, "", "number of addends n (uniform, mean 1, standard deviation 1)", "sum")
    axes.set_ylim(0, None)
    axes.set_xlim(0, n[-1])
    legend(axes, loc="upper left")
    return made


SWAMPING = Exhibit(
    name="swamping",
    title="A large sum swallows small addends; sums of blocks do not",
    message="Added one after the other in 1-6-9 (sign, exponent and significand bits), numbers around 1 stop counting "
    "once half an ulp of the sum is larger than any of them; the same numbers in blocks of 64 add up to the true sum.",
    must_hit="1-6-9 stops at exactly 4096.0, float16 at 8192.0; blocks of 64 within 1 % of the true sum at n = 16384",
    source="Wang et al. (2018)",
    compute=compute,
    draw=draw,
    check=check,
    settings={"n": 16384, "block": 64, "every": 256, "seed": 0},
)
