"""Gradients too small for float16, and the loss scale that brings them back, bit for bit.

Layer 10. Trained by `fpsim.gallery.networks`, counted by `fpsim.observe`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fpsim.autograd import tensor
from fpsim.formats import float16
from fpsim.gallery.canvas import canvas
from fpsim.gallery.exhibit import Claim, Exhibit
from fpsim.gallery.networks import batches, network
from fpsim.nn.functional import cross_entropy
from fpsim.observe import observe
from fpsim.plots.style import colours, tidy

__all__ = ["LOSS_SCALING"]


def gradients(recipe: str, batch: int, factor: float, scale: float, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """One backward pass of ``loss * factor``, scaled: the weights' gradients, and counts of all float16 gradients."""
    net, _ = network(recipe, 0.01, 0.0, seed)
    ((x, y),) = batches(batch, 1, seed)
    with observe() as report:
        loss = cross_entropy(net(tensor(x)), y)
        (loss * factor * scale).backward()
    counts = report.total(role="*gradient", phase="backward", format="float16")
    found = {
        "elements": counts.elements,
        "nonzero": counts.nonzero,
        "to_zero": counts.to_zero,
        "subnormal": counts.subnormal,
        "exponents": {str(e): n for e, n in counts.exponents.items()},
    }
    return {name: p.grad.numpy() for name, p in net.named_parameters()}, found


def compute(recipe: str, batch: int, log2_factor: int, log2_scale: int, seed: int) -> dict[str, Any]:
    """The plain loss; the loss times a tiny factor; the same with a scale."""
    tiny, scale = 2.0**log2_factor, 2.0**log2_scale
    plain, of_plain = gradients(recipe, batch, 1.0, 1.0, seed)
    small, of_small = gradients(recipe, batch, tiny, 1.0, seed)
    scaled, of_scaled = gradients(recipe, batch, tiny, scale, seed)
    return {
        "weights": sum(g.size for g in plain.values()),
        "plain": of_plain,
        "tiny": {**of_small, "weight_gradients_left": sum(int(np.count_nonzero(g)) for g in small.values())},
        "scaled": {**of_scaled, "same_bits": all(plain[n].tobytes() == scaled[n].tobytes() for n in plain)},
        "factor": tiny,
        "scale": scale,
    }


def check(numbers: dict[str, Any]) -> Iterator[Claim]:
    """All are lost; all come back."""
    tiny, scaled = numbers["tiny"], numbers["scaled"]
    left = tiny["nonzero"] - tiny["to_zero"] + tiny["weight_gradients_left"]
    yield Claim("with the loss x 2^-20 every gradient becomes 0", f"{left} left", left == 0 and tiny["nonzero"] > 0)
    text = "with scale 2^20 the weights' gradients are the plain loss's, bit for bit"
    yield Claim(text, "same bits" if scaled["same_bits"] else "other bits", scaled["same_bits"])


def draw(numbers: dict[str, Any]) -> Any:
    """Three histograms below each other, on one axis of exponents."""
    made, panels = canvas(7.6, 6.6, 3, 1, sharex=True, sharey=True)
    palette = colours().palette
    least = float16.emin - float16.significand_bits  # of a subnormal number; half of it and less becomes 0
    total = sum(numbers["plain"]["exponents"].values())
    shift = round(np.log2(numbers["factor"]))
    plain = numbers["plain"]
    texts = {
        "plain": ("the loss itself", f"{100 * plain['to_zero'] / plain['nonzero']:.2g} % become 0"),
        "tiny": (
            "the loss x 2^-20",
            f"all {numbers['tiny']['nonzero']} gradients of the logits become 0; nothing is left to pass back",
        ),
        "scaled": (
            "the loss x 2^-20, scaled by 2^20",
            "every weight gradient has the bits of the first panel's"
            if numbers["scaled"]["same_bits"]
            else "other bits",
        ),
    }
    for axes, (name, (title, text)) in zip(panels, texts.items(), strict=True):
        axes.axvspan(-60, least - 1, color=palette[2], alpha=0.15, linewidth=0)
        axes.axvspan(least - 1, float16.emin, color=palette[5], alpha=0.15, linewidth=0)
        found = {int(e): 100 * n / total for e, n in numbers[name]["exponents"].items()}
        if name == "tiny":
            lost = {int(e) + shift: 100 * n / total for e, n in plain["exponents"].items()}
            axes.bar(
                [e + 0.5 for e in lost], list(lost.values()), width=0.9, facecolor="none", edgecolor=colours().faint,
                linestyle=":", label="where they would be in exact arithmetic",
            )  # fmt: skip
            axes.legend(fontsize=8, frameon=False, loc="center right")
        else:
            axes.bar([e + 0.5 for e in found], list(found.values()), width=0.9, color=palette[1])
        tidy(axes, f"{title}: {text}", "", "% of gradients")
    panels[-1].set_xlabel("exponent: gradients in [2^e, 2^(e+1))", fontsize=9)
    panels[-1].set_xlim(-56, 0)
    panels[-1].xaxis.get_major_locator().set_params(integer=True)
    top = 1.2 * panels[0].get_ylim()[1]
    panels[0].set_ylim(0, top)
    panels[0].text(-55.5, 0.95 * top, "becomes 0 in float16", fontsize=8.5, va="top")
    panels[0].text(least - 0.7, 0.95 * top, "subnormal", fontsize=8.5, va="top")
    panels[0].text(float16.emin + 0.3, 0.95 * top, "normal", fontsize=8.5, va="top")
    return made


LOSS_SCALING = Exhibit(
    name="loss_scaling",
    title="A loss 2^20 times smaller has no gradients in float16; scaling restores them",
    message="When the loss is 2^20 times smaller the gradients lie below float16's range: those of the logits all "
    "become 0, and so does every gradient behind them; multiplying the loss by 2^20 before the backward pass brings "
    "back the very same gradients.",
    must_hit="with the loss x 2^-20 every gradient becomes 0 at batch 32; scale 2^20 restores the plain loss's "
    "gradients bit for bit",
    source="Micikevicius et al. (2018), section 3.2; network and digits of fpsim",
    compute=compute,
    draw=draw,
    check=check,
    settings={"recipe": "mixed_float16", "batch": 32, "log2_factor": -20, "log2_scale": 20, "seed": 0},
)
