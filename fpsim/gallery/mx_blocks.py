"""One outlier in a tensor: with one scale for all it costs every value its bits, with MX those of its block.

Layer 10. Rounded by `fpsim.mx` and by the quantiser of `fpsim.amp.CurrentScaling`, drawn on `fpsim.gallery.canvas`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from fpsim import mx
from fpsim.amp import CurrentScaling
from fpsim.gallery.canvas import canvas
from fpsim.gallery.exhibit import Claim, Exhibit
from fpsim.gallery.sums import uniform
from fpsim.plots.style import colours, legend, tidy

__all__ = ["MX_BLOCKS"]

FORMATS = ("mxfp8_e4m3", "mxfp6_e3m2", "mxfp4_e2m1")
TENSOR = "float8_e4m3fn"
#: Where the outlier stands: in the first block of 32.
AT, BLOCK = 5, slice(0, 32)


def compute(n: int, largest: int, seed: int) -> dict[str, Any]:
    """Errors of all values but the outlier, and of its 31 neighbours, for outliers 2**0 to 2**largest."""
    x = uniform(12 * n, seed).reshape(n, 12).sum(axis=1) - 6  # near normal, deviation 1, with additions alone
    exponents = list(range(largest + 1))
    neighbours = np.delete(x[BLOCK], AT)
    found: dict[str, Any] = {"outlier": exponents, "largest_neighbour": float(np.abs(neighbours).max()), "n": n}
    others = np.delete(x, AT)
    found["share_of_block"] = math.fsum(neighbours**2) / math.fsum(others**2)
    quantizer = CurrentScaling(TENSOR).quantizer()
    for name in (*FORMATS, TENSOR):
        all_others, block, left = [], [], []
        for exponent in exponents:
            x[AT] = 2.0**exponent
            if name == TENSOR:
                made = quantizer.quantised(x, quantizer.scale_of(x, True), 0)
                y = made.values / np.float64(made.scale)
            else:
                y = mx.round(x, name)
            y, z = np.delete(y, AT), np.delete(x, AT)
            all_others.append(_error(y, z))
            block.append(_error(y[:31], z[:31]))
            left.append(int(np.count_nonzero(y[:31])))
        found[name] = {"all_others": all_others, "neighbours": block, "neighbours_left": left}
    return found


def _error(y: Any, x: Any) -> float:
    """|y - x| / |x|, the squares added in one order everywhere."""
    return math.sqrt(math.fsum((y - x) ** 2) / math.fsum(x**2))


def check(numbers: dict[str, Any]) -> Iterator[Claim]:
    """Where the outlier's block is lost, to the power of two; and what the whole tensor loses."""
    for name in FORMATS:
        element = mx.MXFormat.parse(name).element
        below = element.emax - (element.emin - element.significand_bits) + 1  # from emax to half the least number
        first = math.ceil(math.log2(numbers["largest_neighbour"])) + below
        left = numbers[name]["neighbours_left"]
        got = next((k for k, count in zip(numbers["outlier"], left, strict=True) if count == 0), None)
        yield Claim(f"{name}: all neighbours are 0 from an outlier of 2^{first} on", f"2^{got}", got == first)
        least, worst = numbers[name]["all_others"][0], max(numbers[name]["all_others"])
        most = math.sqrt(least**2 + numbers["share_of_block"])
        text = f"{name}: the tensor loses no more than that block: an error of at most {100 * most:.2f} %"
        yield Claim(text, f"{100 * worst:.2f} %", least < worst <= most)
    lost = numbers[TENSOR]["all_others"][-1]
    yield Claim("one E4M3 scale for all: every other value is lost at the end", lost, lost == 1)


def draw(numbers: dict[str, Any]) -> Any:
    """Errors over the outlier's exponent: of the tensor, and of the outlier's block."""
    made, panels = canvas(7.6, 4.0, 1, 2, sharey=True)
    palette = colours().palette
    looks = {
        "mxfp4_e2m1": ("MXFP4 (E2M1)", 4, "^", "-."), "mxfp6_e3m2": ("MXFP6 (E3M2)", 5, "s", "--"),
        "mxfp8_e4m3": ("MXFP8 (E4M3)", 1, "o", "-"), TENSOR: ("E4M3, one scale for the tensor", 2, "x", ":"),
    }  # fmt: skip
    for axes, what in zip(panels, ("all_others", "neighbours"), strict=True):
        for name, (label, colour, marker, line) in looks.items():
            errors = [100 * e for e in numbers[name][what]]
            axes.plot(numbers["outlier"], errors, line, marker=marker, markersize=4, color=palette[colour], label=label)
        axes.set_yscale("log")
        axes.set_ylim(1.5, 150)
        axes.set_yticks([2, 5, 10, 20, 50, 100], ["2", "5", "10", "20", "50", "100"])
        axes.minorticks_off()
        axes.xaxis.get_major_locator().set_params(integer=True)
    tidy(panels[0], f"all {numbers['n'] - 1} other values", "outlier, exponent of 2", "relative error, %")
    tidy(panels[1], "the 31 values in the outlier's block", "outlier, exponent of 2", "")
    legend(panels[0], loc="upper left", bbox_to_anchor=(0, 0.88))
    return made


MX_BLOCKS = Exhibit(
    name="mx_blocks",
    title="With a scale for each block an outlier spoils 31 values, not the whole tensor",
    message="4096 normal numbers of deviation 1, one of them replaced by an outlier. With one FP8 scale for the tensor "
    "all others are rounded to 0 once the outlier is large enough; in MX, where each 32 share a scale, only the "
    "outlier's block is lost, the earlier the fewer exponents its elements have. The error is in the Euclidean norm, "
    "without the outlier.",
    must_hit="neighbours up to 2^m are all 0 from an outlier of 2^(m+18) in MXFP8, 2^(m+9) in MXFP6 and 2^(m+4) in "
    "MXFP4 on; of the tensor no more than that block is lost",
    source="OCP Microscaling Formats Specification v1.0 (2023), sections 5 and 6.3; Rouhani et al. (2023)",
    compute=compute,
    draw=draw,
    check=check,
    settings={"n": 4096, "largest": 24, "seed": 0},
)
