"""How the error of a sum grows with the number of terms, order by order.

Layer 10. Computed by `fpsim.accumulate`, drawn on `fpsim.gallery.canvas`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from fpsim.accumulate import Accumulator
from fpsim.formats import Format
from fpsim.gallery.canvas import canvas
from fpsim.gallery.exhibit import Claim, Exhibit
from fpsim.gallery.sums import uniform
from fpsim.plots.style import colours, legend, tidy

__all__ = ["ERROR_GROWTH"]

ORDERS = ("sequential", "pairwise", "blocked:64", "kahan")
#: From here on growth is measured: blocks of 64 are one sequential sum before.
FROM = 64


def compute(format: str, largest: int, trials: int, seed: int) -> dict[str, Any]:
    """Root mean square of the relative errors of `trials` sums of n numbers in [0, 1], n = 16, 32, ... `largest`."""
    x = Accumulator(Format(format)).round(uniform(largest * trials, seed).reshape(largest, trials))
    sizes = [2**k for k in range(4, largest.bit_length())]
    found: dict[str, Any] = {"n": sizes, "unit_roundoff": Format(format).unit_roundoff, "errors": {}}
    true = [[math.fsum(column) for column in x[:n].T] for n in sizes]
    for order in ORDERS:
        acc = Accumulator(Format(format), order=order)
        errors = []
        for n, exact in zip(sizes, true, strict=True):
            relative = [(s - t) / t for s, t in zip(acc.sum(x[:n], axis=0).tolist(), exact, strict=True)]
            errors.append(math.sqrt(math.fsum(r * r for r in relative) / trials))
        found["errors"][order] = errors
    return found


def growth(n: list[int], errors: list[float]) -> float:
    """The exponent of n in the growth of the errors: the slope of the least squares line of their logarithms."""
    points = [(math.log2(k), math.log2(e)) for k, e in zip(n, errors, strict=True) if k >= FROM]
    x, y = (math.fsum(part) / len(points) for part in zip(*points, strict=True))
    return math.fsum((a - x) * (b - y) for a, b in points) / math.fsum((a - x) ** 2 for a, _ in points)


def check(numbers: dict[str, Any]) -> Iterator[Claim]:
    """Sequential about as sqrt(n); blocked and pairwise flat; compensated lowest."""
    n, errors = numbers["n"], numbers["errors"]
    slopes = {order: growth(n, errors[order]) for order in ORDERS}
    yield Claim(
        "sequential grows about as n^0.5", f"n^{slopes['sequential']:.2f}", abs(slopes["sequential"] - 0.5) < 0.1
    )
    for order in ("pairwise", "blocked:64"):
        yield Claim(f"{order} stays flat", f"n^{slopes[order]:.2f}", abs(slopes[order]) < 0.1)
    lowest = all(errors["kahan"][i] < errors[order][i] for i in range(len(n)) for order in ORDERS[:3])
    yield Claim("compensated is lowest at every n", f"{errors['kahan'][-1]:.2g} at n = {n[-1]}", lowest)


def draw(numbers: dict[str, Any]) -> Any:
    """Errors over n, with the lines ``n u`` and ``sqrt(n) u``."""
    made, axes = canvas(7.6, 4.5)
    palette, n, u = colours().palette, numbers["n"], numbers["unit_roundoff"]
    for label, power, style, at in (("n u, the worst case", 1.0, ":", 7), ("sqrt(n) u", 0.5, "--", len(n) - 1)):
        bound = [k**power * u for k in n]
        axes.plot(n, bound, color=colours().faint, linestyle=style, linewidth=1.2)
        axes.annotate(
            label,
            (n[at], bound[at]),
            (-8, 5),
            textcoords="offset points",
            ha="right",
            fontsize=8,
            color=colours().faint,
        )
    names = {"sequential": "one after the other", "blocked:64": "blocks of 64", "kahan": "compensated (Kahan)"}
    looks = {"sequential": (2, "o"), "blocked:64": (3, "s"), "pairwise": (1, "^"), "kahan": (4, "D")}
    for order, (colour, marker) in looks.items():
        slope = growth(n, numbers["errors"][order])
        label = f"{names.get(order, order)}: n^{slope + 0.0:.2f}".replace("-0.00", "0.00")
        axes.plot(n, numbers["errors"][order], color=palette[colour], marker=marker, markersize=5, label=label)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_ylim(0.2 * u, 2 * n[-1] * u)
    tidy(axes, "", "number of terms n (uniform in [0, 1], float16)", "relative error of the sum (root mean square)")
    legend(axes, loc="upper left", title="measured growth from n = 64 on", title_fontsize=8.5, alignment="left")
    return made


ERROR_GROWTH = Exhibit(
    name="error_growth",
    title="The order of additions decides how the error grows",
    message="The error of a sum taken one after the other grows as the square root of n, far below the worst case n u; "
    "in blocks or in pairs it hardly grows, and compensated summation has the smallest error. u: half an ulp of 1.",
    must_hit="sequential about as sqrt(n), blocked and pairwise flat, compensated lowest",
    source="Higham and Mary (2019); Blanchard, Higham and Mary (2020)",
    compute=compute,
    draw=draw,
    check=check,
    settings={"format": "float16", "largest": 4096, "trials": 100, "seed": 0},
)
