"""Dot products of FP8 operands summed in 14 bits, with promotion to float32 every 128 terms, and in float32.

Layer 10. Summed by `fpsim.accumulate`, drawn on `fpsim.gallery.canvas`.
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
from fpsim.gallery.sums import uniform
from fpsim.plots.style import colours, legend, tidy
from fpsim.rounding import round as round_array

__all__ = ["PROMOTION"]

#: Terms between promotions, and what DeepSeek-V3's report says of dot products of 4096 terms without it.
BLOCK, PUBLISHED_K, PUBLISHED = 128, 4096, 0.02
#: Products that a group adds without rounding: an FP8 instruction of the H800 has 32.
GROUP = 32
#: Name: format of the accumulator, order, rounding.
WAYS = {
    "nearest": ("e8m13", "sequential", "nearest_even"),
    "cut": ("e8m13", "sequential", "toward_zero"),
    "cut_promoted": ("float32", f"blocked:{BLOCK}@e8m13", "toward_zero"),
    "nearest_promoted": ("float32", f"blocked:{BLOCK}@e8m13", "nearest_even"),
    "float32": ("float32", "sequential", "nearest_even"),
}


def compute(rows: int, sizes: list[int], seed: int) -> dict[str, Any]:
    """The largest and the mean relative error of `rows` squared dot products of E4M3 numbers in [0, 1]."""
    drawn = round_array(uniform(2 * rows * sizes[-1], seed), "float8_e4m3fn").astype(np.float32)
    x, y = drawn.reshape(2, rows, -1)
    found: dict[str, Any] = {"k": sizes, "largest": {}, "mean": {}}
    sums: dict[str, list[Any]] = {name: [] for name in (*WAYS, "cut_groups")}
    exact = []
    for k in sizes:
        # multiples of 2**-18 below 2**13: float64 holds each product and each sum of them
        products = x[:, None, :k].astype(np.float64) * y[None, :, :k]
        exact.append(products.sum(axis=2))
        for name, (fmt, order, rounding) in WAYS.items():
            accumulator = Accumulator(Format(fmt), order=order, rounding=rounding)
            sums[name].append(accumulator.matmul(x[:, :k], y[:, :k].T))
        groups = products.reshape(rows, rows, -1, min(GROUP, k)).sum(axis=3)
        sums["cut_groups"].append(
            Accumulator(Format("e8m13"), "sequential", rounding="toward_zero").sum(groups, axis=2)
        )
    for name, of_name in sums.items():
        errors = [np.abs(s - e) / e for s, e in zip(of_name, exact, strict=True)]
        found["largest"][name] = [float(e.max()) for e in errors]
        found["mean"][name] = [math.fsum(e.ravel()) / e.size for e in errors]
    return found


def _at(numbers: dict[str, Any], name: str, k: int) -> float:
    return float(dict(zip(numbers["k"], numbers["largest"][name], strict=True)).get(k, math.nan))


def check(numbers: dict[str, Any]) -> Iterator[Claim]:
    """Where the published error lies, and what promotion does."""
    groups, nearest, cut = (_at(numbers, name, PUBLISHED_K) for name in ("cut_groups", "nearest", "cut"))
    got = f"{100 * groups:.2g} % and {100 * nearest:.2g} % below it, {100 * cut:.2g} % above"
    holds = max(groups, nearest) < PUBLISHED < cut
    yield Claim("the reported 2 % at k = 4096 lies between rounding to nearest and cutting off", got, holds)
    for how in ("nearest", "cut"):
        alone, promoted = _at(numbers, how, PUBLISHED_K), _at(numbers, f"{how}_promoted", PUBLISHED_K)
        text = f"{how}: promotion makes the error at k = 4096 at least 50 times smaller"
        yield Claim(text, f"{alone / promoted:.0f} times", alone / promoted >= 50)
        first = _at(numbers, how, BLOCK)
        text = f"{how}, promoted: at k = 4096 no larger than at k = {BLOCK}, one block"
        yield Claim(text, f"{100 * promoted:.2g} % and {100 * first:.2g} %", promoted <= first)
    same = [k for k in numbers["k"] if _at(numbers, "nearest", k) == _at(numbers, "nearest_promoted", k)]
    short = [k for k in numbers["k"] if k <= BLOCK]
    yield Claim(f"promoted and not are the same up to k = {BLOCK} alone", f"k = {same}", same == short)
    most = max(numbers["largest"]["float32"])
    yield Claim("float32: below 0.001 % at every k", f"{100 * most:.2g} %", most < 1e-5)


def draw(numbers: dict[str, Any]) -> Any:
    """Largest relative errors over the number of terms."""
    made, axes = canvas(7.6, 4.8)
    palette = colours().palette
    exact = max(k for k, e in zip(numbers["k"], numbers["largest"]["float32"], strict=True) if e == 0)
    looks = {
        "cut": ("14 bits, each addition cut off", 2, "o", "-"),
        "nearest": ("14 bits, each addition rounded to nearest", 1, "s", "-"),
        "cut_groups": (f"14 bits, {GROUP} products at once, cut off", 5, "^", "-"),
        "cut_promoted": (f"14 bits cut off, promoted every {BLOCK}", 2, "o", "--"),
        "nearest_promoted": (f"14 bits to nearest, promoted every {BLOCK}", 1, "s", "--"),
        "float32": (f"float32 (exact up to k = {exact})", 0, "D", ":"),
    }
    for name, (label, colour, marker, line) in looks.items():
        errors = [100 * error or math.nan for error in numbers["largest"][name]]
        face = colours().paper if line == "--" else palette[colour]
        axes.plot(numbers["k"], errors, line, marker=marker, markersize=5, color=palette[colour], markerfacecolor=face,
                  label=label)  # fmt: skip
    axes.plot([PUBLISHED_K], [100 * PUBLISHED], "*", markersize=13, color=palette[3], label="reported of the H800: "
              "nearly 2 %", linewidth=0)  # fmt: skip
    axes.axvline(BLOCK, ymax=0.78, color=colours().faint, linewidth=0.8, linestyle=":")
    axes.set_xscale("log", base=2)
    axes.set_xticks(numbers["k"], list(map(str, numbers["k"])))
    axes.minorticks_off()
    axes.set_yscale("log")
    axes.set_ylim(5e-7, 2e3)
    axes.set_yticks(
        [10.0**e for e in range(-6, 2)], ["0.000001", "0.00001", "0.0001", "0.001", "0.01", "0.1", "1", "10"]
    )
    tidy(axes, "", "terms k of a dot product of E4M3 numbers, uniform in [0, 1]", "largest relative error, %")
    legend(axes, loc="upper left", ncols=2, columnspacing=1.2)
    return made


PROMOTION = Exhibit(
    name="promotion",
    title="A dot product in 14 bits loses digits with its length; promotion every 128 stops it",
    message="Sums of FP8 products kept in 14 bits: the error grows with the number of terms, how fast depends on "
    "how the bits below are dropped; partial sums added in float32 every 128 terms keep the error of one block. "
    "Modelled: 14-bit sums of uniform numbers, one product or exact groups of 32 at a time. Not modelled: how the "
    'machine aligns the products within a group, and the report\'s matrices, of which only "random" is known.',
    must_hit="the reported error of nearly 2 % at k = 4096 lies between the models; promotion makes it at least 50 "
    "times smaller, and no larger than that of one block of 128",
    source="DeepSeek-AI (2024), DeepSeek-V3 Technical Report, arXiv:2412.19437, section 3.3.2",
    compute=compute,
    draw=draw,
    check=check,
    settings={"rows": 16, "sizes": [32, 64, 128, 256, 512, 1024, 2048, 4096], "seed": 0},
)
