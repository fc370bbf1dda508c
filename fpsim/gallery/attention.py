"""Two troubles of transformers in narrow formats: scores without 1/sqrt(d) overflow, large streams absorb additions.

Layer 10. Products by `fpsim.accumulate`, stored by `fpsim.rounding`; drawn on `fpsim.gallery.canvas`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from fpsim.accumulate import Accumulator
from fpsim.formats import Format, float16, float32
from fpsim.gallery.canvas import canvas
from fpsim.gallery.exhibit import Claim, Exhibit
from fpsim.gallery.sums import uniform
from fpsim.plots.style import colours, legend, tidy
from fpsim.rounding import round as round_array

__all__ = ["ATTENTION"]

FORMATS = ("bfloat16", "float16", "float32")
#: Half the width of a uniform distribution of deviation 1.
HALF = math.sqrt(3.0)


def compute(positions: int, magnitude: float, features: list[int], streams: list[int], values: int, seed: int) -> Any:
    """Shares of scores that are infinite in float16; shares of streams that an addition leaves as they were."""
    drawn = HALF * (2 * uniform(2 * positions * features[-1], seed) - 1)
    q, k = round_array(magnitude * drawn.reshape(2, positions, -1), float16)
    accumulator = Accumulator(float32, order="sequential")
    found: dict[str, Any] = {"features": features, "infinite": {"without": [], "with": []}, "magnitude": magnitude}
    for d in features:
        for how, factor in (("without", 1.0), ("with", 1 / math.sqrt(d))):
            scaled = round_array(q[:, :d] * np.float32(factor), float16)
            scores = round_array(accumulator.matmul(scaled, k[:, :d].T), float16)
            found["infinite"][how].append(float(np.isinf(scores).mean()))
    added, places = (uniform(values, seed + s) for s in (1, 2))
    found |= {"stream": streams, "absorbed": {name: [] for name in FORMATS}}
    for exponent in streams:
        for name in FORMATS:
            stream = round_array(2.0**exponent * (1 + places), name)
            sums = round_array(stream.astype(np.float64) + HALF * (2 * added - 1), name)
            found["absorbed"][name].append(float(np.mean(sums == stream)))
    return found


def expected_infinite(magnitude: float, d: int) -> float:
    """Of scores that are normally distributed, as sums of d products of deviation `magnitude` ** 2 nearly are."""
    return math.erfc(65520 / (magnitude**2 * math.sqrt(2 * d)))


def expected_absorbed(name: str, exponent: int) -> float:
    """Of uniform additions of deviation 1: those of at most half the distance of the numbers there."""
    return min(1.0, 2.0**exponent * Format(name).eps / 2 / HALF)


def check(numbers: dict[str, Any]) -> Iterator[Claim]:
    """What the distribution of the scores and the distance of the numbers say."""
    for d, share in zip(numbers["features"], numbers["infinite"]["without"], strict=True):
        if d >= 64:
            wanted = expected_infinite(numbers["magnitude"], d)
            text = f"d = {d}: {100 * wanted:.2g} % infinite without the factor, within 1 point"
            yield Claim(text, f"{100 * share:.2f} %", abs(share - wanted) < 0.01)
    most = max(numbers["infinite"]["with"])
    yield Claim("none with the factor 1/sqrt(d), at any d", most, most == 0)
    for name, exponent in (("float16", 11), ("bfloat16", 8)):
        share = numbers["absorbed"][name][numbers["stream"].index(exponent)]
        wanted = expected_absorbed(name, exponent)
        text = f"{name} from 2^{exponent} on, 2 apart: {100 * wanted:.3g} % of additions are lost, within 2 points"
        yield Claim(text, f"{100 * share:.2f} %", abs(share - wanted) < 0.02)
    most = max(numbers["absorbed"]["float32"])
    yield Claim("float32 loses less than 0.2 %", most, most < 0.002)


def draw(numbers: dict[str, Any]) -> Any:
    """Infinite scores over d, and lost additions over the stream's magnitude."""
    made, (left, right) = canvas(7.6, 3.9, 1, 2)
    palette = colours().palette
    d = numbers["features"]
    for how, label, colour, marker, line in (
        ("without", "scores q k", 2, "o", "-"), ("with", "scores q k / sqrt(d)", 3, "s", "--"),
    ):  # fmt: skip
        shares = [100 * share for share in numbers["infinite"][how]]
        left.plot(d, shares, line, marker=marker, markersize=5, color=palette[colour], label=label)
    left.set_xscale("log", base=2)
    left.set_xticks(d, list(map(str, d)))
    left.minorticks_off()
    tidy(left, "attention scores that are infinite in float16", "features d of a head", "%")
    looks = {"bfloat16": (6, "^", "-."), "float16": (2, "o", "-"), "float32": (0, "s", "--")}
    for name, (colour, marker, line) in looks.items():
        shares = [100 * share for share in numbers["absorbed"][name]]
        right.plot(numbers["stream"], shares, line, marker=marker, markersize=5, color=palette[colour], label=name)
    right.axvline(11, color=colours().faint, linewidth=0.8, linestyle=":")
    right.annotate("2048", (11, 100), (3, 3), textcoords="offset points", fontsize=8, color=colours().faint)
    tidy(right, "what a block adds (about 1) and is lost", "residual stream from 2^e to 2^(e+1), e", "%")
    right.xaxis.get_major_locator().set_params(integer=True)
    for axes in (left, right):
        legend(axes, loc="upper left")
        axes.set_ylim(-3, 109)
    left.set_ylim(-1.5, 54)
    return made


ATTENTION = Exhibit(
    name="attention",
    title="Transformers in float16: scores overflow, residual streams stop adding up",
    message="Queries and keys of deviation 48, chosen as of badly normalised layers: without 1/sqrt(d) ever more "
    "scores pass float16's largest number, 65504, and their softmax is nan; with it, applied to q before the product, "
    "none do. A residual stream beyond 2048 in float16, or 256 in bfloat16, where numbers are 2 apart, swallows most "
    "of what a block adds; in float32 it does not.",
    must_hit="the normal distribution's share of scores beyond 65520, within 1 point, and none with 1/sqrt(d); 57.7 % "
    "of additions of deviation 1 lost where numbers are 2 apart, within 2 points",
    source="Vaswani et al. (2017), section 3.2.1, for the factor; IEEE 754-2019 for the numbers",
    compute=compute,
    draw=draw,
    check=check,
    settings={
        "positions": 96, "magnitude": 48.0, "features": [16, 32, 64, 128, 256, 512, 1024],
        "streams": list(range(4, 15)), "values": 4096, "seed": 0,
    },
)  # fmt: skip
