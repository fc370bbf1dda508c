"""Weights, updates and gradients of a network in training, with the thresholds of float16 drawn in.

Layer 10. Trained by `fpsim.gallery.networks`, counted by `fpsim.observe`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fpsim.autograd import tensor
from fpsim.gallery.canvas import canvas
from fpsim.gallery.exhibit import Claim, Exhibit
from fpsim.gallery.networks import batches, network
from fpsim.nn.functional import cross_entropy
from fpsim.observe import observe
from fpsim.plots.style import colours, tidy

__all__ = ["RATIOS"]

#: The smallest float16 number, and what a loss scale of 8 brings up to it.
LEAST, SCALED = -24, -27


def compute(recipe: str, steps: int, every: int, batch: int, lr: float, momentum: float, seed: int) -> dict[str, Any]:
    """Exponents of all gradients of every so many steps, and of the ratios of weights to their updates."""
    net, optimizer = network(recipe, lr, momentum, seed)
    ratios: dict[int, int] = {}
    unchanged = 0
    with observe(every=every) as report:
        for step, (x, y) in enumerate(batches(batch, steps, seed)):
            cross_entropy(net(tensor(x)), y).backward()
            before = [p.numpy().astype(np.float64) for p in net.parameters()]
            optimizer.step()
            optimizer.zero_grad()
            if step % every:
                continue
            for w, p in zip(before, net.parameters(), strict=True):
                update = np.abs(p.numpy() - w)
                unchanged += int(np.count_nonzero(update == 0))
                moved = (update != 0) & (w != 0)
                exponents = np.frexp(np.abs(w[moved]) / update[moved])[1] - 1
                for e, n in zip(*np.unique(exponents, return_counts=True), strict=True):
                    ratios[int(e)] = ratios.get(int(e), 0) + int(n)
    found: dict[str, Any] = {"ratios": {str(e): ratios[e] for e in sorted(ratios)}, "unchanged": unchanged}
    for role in ("weight_gradient", "gradient"):
        counts = report.total(role=role, phase="backward")
        exponents = {str(e): n for e, n in counts.exponents.items()}
        found[role] = {"elements": counts.elements, "nonzero": counts.nonzero, "exponents": exponents}
    return found


def below(exponents: dict[str, int], limit: int) -> float:
    """The share of numbers below ``2**limit``."""
    return sum(n for e, n in exponents.items() if int(e) < limit) / sum(exponents.values())


def check(numbers: dict[str, Any]) -> Iterator[Claim]:
    """What the thresholds part: there is something on both sides of each."""
    for role, name in (("weight_gradient", "weight gradients"), ("gradient", "activation gradients")):
        shares = [below(numbers[role]["exponents"], limit) for limit in (LEAST, SCALED)]
        text = f"{100 * shares[0]:.2g} % below 2^-24, {100 * shares[1]:.2g} % below 2^-27"
        yield Claim(
            f"some {name}, a few percent at most, are below 2^-24, fewer below 2^-27",
            text,
            0 < shares[1] < shares[0] < 0.1,
        )
    # an update is lost if it is less than half an ulp: never below 2**11, always from 2**12 on
    may, must = (1 - below(numbers["ratios"], limit) for limit in (11, 12))
    found = f"{100 * may:.0f} % from 2048 on, {100 * must:.0f} % from 4096 on"
    yield Claim("updates would be lost in float16: ratios of 2048 and more", found, 0.01 < must < may < 1)
    zeros = 1 - numbers["gradient"]["nonzero"] / numbers["gradient"]["elements"]
    yield Claim("activation gradients are exactly zero in large part", f"{100 * zeros:.0f} %", zeros > 0.3)


def draw(numbers: dict[str, Any]) -> Any:
    """Gradients of weights, gradients of activations, ratios."""
    made, panels = canvas(9.6, 3.9, 1, 3)
    palette = colours().palette
    titles = {"weight_gradient": "gradients of weights", "gradient": "gradients of activations"}
    for axes, role in zip(panels, titles, strict=False):
        exponents = {int(e): n for e, n in numbers[role]["exponents"].items()}
        total = sum(exponents.values())
        colour = [palette[2] if e < SCALED else palette[5] if e < LEAST else palette[1] for e in exponents]
        axes.bar([e + 0.5 for e in exponents], [100 * n / total for n in exponents.values()], width=0.9, color=colour)
        top = 1.25 * axes.get_ylim()[1]
        for limit, text, side in (
            (LEAST, "2^-24: least\nof float16", "left"),
            (SCALED, "2^-27: with\nscale 8", "right"),
        ):
            axes.axvline(limit, color=palette[0], linestyle="--", linewidth=1)
            axes.text(limit + (0.5 if side == "left" else -0.5), 0.98 * top, text, fontsize=7.5, va="top", ha=side)
        share = below(numbers[role]["exponents"], LEAST)
        zeros = 1 - numbers[role]["nonzero"] / numbers[role]["elements"]
        axes.set_ylim(0, top)
        axes.set_xlim(max(min(exponents) - 3, -46), max(exponents) + 2)
        tidy(
            axes,
            f"{titles[role]}: {100 * share:.2g} % below\n2^-24; {100 * zeros:.0f} % of all are exactly 0",
            "exponent of 2",
            "% of nonzero",
        )
    axes = panels[2]
    ratios = {int(e): n for e, n in numbers["ratios"].items()}
    total = sum(ratios.values())
    colour = [palette[2] if e > 11 else palette[5] if e == 11 else palette[1] for e in ratios]
    axes.bar([e + 0.5 for e in ratios], [100 * n / total for n in ratios.values()], width=0.9, color=colour)
    top = 1.25 * axes.get_ylim()[1]
    for limit, text, side in (
        (11, "from 2048 on\nmay be lost", "right"),
        (12, "from 4096 on\nlost in float16", "left"),
    ):
        axes.axvline(limit, color=palette[0], linestyle="--", linewidth=1)
        axes.text(limit + (0.4 if side == "left" else -0.4), 0.98 * top, text, fontsize=7.5, va="top", ha=side)
    axes.set_ylim(0, top)
    axes.set_xlim(max(min(ratios), -6), min(max(ratios) + 1, 30))
    share = 1 - below(numbers["ratios"], 11)
    tidy(axes, f"|weight / update|: {100 * share:.0f} %\nare 2048 or more", "exponent of 2", "% of updates")
    for axes in panels:
        axes.xaxis.get_major_locator().set_params(integer=True)
    return made


RATIOS = Exhibit(
    name="ratios",
    title="Gradients fit into float16, but for a tail; updates do not",
    message="In a float32 training of the network only a tail of the gradients is too small for float16, and less with "
    "a loss scale of 8; but a large part of the updates is so small beside the weight that float16 would lose them.",
    must_hit="the paper's thresholds: 2^-24, 2^-27 and a ratio of 2048",
    source="in the manner of figures 2 and 3 of Micikevicius et al. (2018), with fpsim's network: their shares differ",
    compute=compute,
    draw=draw,
    check=check,
    settings={
        "recipe": "float32", "steps": 48, "every": 4, "batch": 32, "lr": 0.01, "momentum": 0.5, "seed": 0,
    },
)  # fmt: skip
