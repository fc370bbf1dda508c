"""The harmonic series converges: in every format there is a term too small to change the sum.

Layer 10. Computed by `fpsim.accumulate`, drawn on `fpsim.gallery.canvas`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fpsim.gallery.canvas import canvas
from fpsim.gallery.exhibit import Claim, Exhibit
from fpsim.gallery.sums import last_change, partial_sums, spaced
from fpsim.plots.style import colours, legend, tidy

__all__ = ["HARMONIC"]

#: Format: the first term that is lost, and the sum there.
PUBLISHED = {"float16": (513, 7.0859375), "bfloat16": (65, 5.0625), "float32": (2097152, 15.403682708740234)}


def compute(terms: dict[str, int]) -> dict[str, Any]:
    """Partial sums of 1 + 1/2 + 1/3 + ..., in each format as many terms as `terms` says."""
    at = spaced(max(terms.values()))
    exact = np.add.accumulate(1 / np.arange(1, at[-1] + 1))  # in float64: right to 10 digits, more than can be drawn
    found: dict[str, Any] = {"float64": {"n": at, "sums": exact[np.array(at) - 1]}}
    for name, count in terms.items():
        sums = partial_sums(1 / np.arange(1, count + 1), name)
        at = spaced(count)
        partial = sums[np.array(at) - 1].astype(np.float64)
        found[name] = {"limit": sums[-1], "first_lost": last_change(sums) + 1, "n": at, "sums": partial}
    return found


def check(numbers: dict[str, Any]) -> Iterator[Claim]:
    """Limits and places of the literature."""
    for name, (first_lost, limit) in PUBLISHED.items():
        got = numbers[name]["first_lost"], numbers[name]["limit"]
        text = f"{name} stays at {limit!r} from term {first_lost} on"
        yield Claim(text, f"{got[1]!r} from {got[0]} on", got == (first_lost, limit))


def draw(numbers: dict[str, Any]) -> Any:
    """All sums over the number of terms; a dot where each one stops."""
    made, axes = canvas(7.6, 4.3)
    palette = colours().palette
    axes.plot(
        numbers["float64"]["n"],
        numbers["float64"]["sums"],
        color=colours().faint,
        linestyle=":",
        label="without rounding",
    )
    for name, colour, style in (("float32", 0, "-"), ("float16", 2, "--"), ("bfloat16", 1, "-.")):
        found, ink, narrow = numbers[name], palette[colour], name != "float32"
        axes.plot([*found["n"], 3e6], [*found["sums"], found["limit"]], color=ink, linestyle=style, label=name)
        axes.plot(found["first_lost"], found["limit"], "o", color=ink, markersize=6)
        axes.annotate(
            f"term {found['first_lost']:,} is lost\nsum stays {found['limit']!r}",
            (found["first_lost"], found["limit"]), (0, -8 if narrow else -78), textcoords="offset points", va="top",
            ha="left" if narrow else "right", fontsize=8, color=ink,
            arrowprops=None if narrow else {"arrowstyle": "-", "color": ink, "linewidth": 0.6, "relpos": (1, 1)},
        )  # fmt: skip
    axes.set_xscale("log", base=2)
    tidy(axes, "", "number of terms n", "1 + 1/2 + ... + 1/n, added one after the other")
    axes.set_ylim(0, 17)
    legend(axes, loc="upper left")
    return made


HARMONIC = Exhibit(
    name="harmonic",
    title="1 + 1/2 + 1/3 + ... has a last term that counts, in every format",
    message="The harmonic series diverges, but added up in a format it stops: once 1/n is half an ulp of the sum or "
    "less (exactly half goes to the even number), no further term changes it.",
    must_hit="float16 7.0859375 at 513, bfloat16 5.0625 at 65, float32 15.403682708740234 at 2097152",
    source="Connolly, Higham and Mary (2021)",
    compute=compute,
    draw=draw,
    check=check,
    settings={"terms": {"float16": 2000, "bfloat16": 2000, "float32": 3_000_000}},
)
