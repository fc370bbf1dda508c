"""A dynamic loss scale that starts far too high finds its way down, then the network learns.

Layer 10. Trained by `fpsim.gallery.networks` with `fpsim.amp.GradScaler`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from fpsim import amp
from fpsim.autograd import tensor
from fpsim.gallery.canvas import canvas
from fpsim.gallery.exhibit import Claim, Exhibit
from fpsim.gallery.networks import batches, network
from fpsim.nn.functional import cross_entropy
from fpsim.plots.style import colours, legend, tidy

__all__ = ["DYNAMIC_SCALE"]


def compute(
    recipe: str, log2_scale: int, growth_interval: int, steps: int, batch: int, lr: float, momentum: float, seed: int
) -> dict[str, Any]:
    """The usual loop with a scaler; what scale each step had, which were skipped, and the loss."""
    net, optimizer = network(recipe, lr, momentum, seed)
    scaler = amp.GradScaler(init_scale=2.0**log2_scale, growth_interval=growth_interval)
    found: dict[str, Any] = {"scale": [], "skipped": [], "loss": []}
    for step, (x, y) in enumerate(batches(batch, steps, seed)):
        loss = cross_entropy(net(tensor(x)), y)
        scaler.scale(loss).backward()
        found["scale"].append(scaler.get_scale())
        found["loss"].append(loss.item())
        if scaler.step(optimizer).skipped:
            found["skipped"].append(step)
        scaler.update()
        optimizer.zero_grad()
    return found


def check(numbers: dict[str, Any]) -> Iterator[Claim]:
    """A dozen skipped steps at most before the first one is taken; then the loss falls."""
    skipped, loss = numbers["skipped"], numbers["loss"]
    first = next(step for step in range(len(loss)) if step not in skipped)
    found = f"{first} skipped, then 2^{math.log2(numbers['scale'][first]):.0f}"
    yield Claim("backs off to a working scale within a dozen skipped steps", found, 0 < first <= 12)
    yield Claim("skips a dozen steps at most in all", len(skipped), len(skipped) <= 12)
    start, end = (sum(part) / len(part) for part in (loss[:10], loss[-10:]))
    yield Claim("then learns: the loss falls to less than half", f"{start:.2f} to {end:.2f}", end < start / 2)


def draw(numbers: dict[str, Any]) -> Any:
    """Above the scale with the skipped steps, below the loss."""
    made, (above, below) = canvas(7.6, 5.2, 2, 1, sharex=True, height_ratios=(1.3, 1))
    palette = colours().palette
    exponents = [math.log2(scale) for scale in numbers["scale"]]
    above.step(range(len(exponents)), exponents, where="post", color=palette[1], linewidth=2, label="scale in force")
    skipped = numbers["skipped"]
    above.plot(
        skipped, [exponents[i] for i in skipped], "x", color=palette[2], markersize=8, markeredgewidth=2,
        label="step skipped: a gradient was inf or nan",
    )  # fmt: skip
    above.set_ylim(min(exponents) - 1.5, max(exponents) + 1)
    above.yaxis.get_major_locator().set_params(integer=True)
    tidy(above, "loss scale", "", "log2 of the scale")
    legend(above, loc="upper right")
    below.plot(numbers["loss"], color=palette[0], linewidth=1.5)
    tidy(below, "training loss, before scaling", "step", "loss")
    below.set_ylim(0, None)
    return made


DYNAMIC_SCALE = Exhibit(
    name="dynamic_scale",
    title="A dynamic loss scale finds its own value",
    message="Started far too high, at 2^24, the scale is halved at every overflow until the gradients are finite, a "
    "few skipped steps later, and the network then learns.",
    must_hit="backs off to a working scale within a dozen skipped steps, then learns",
    source="Micikevicius et al. (2018), section 3.2; the rule of torch.amp.GradScaler",
    compute=compute,
    draw=draw,
    check=check,
    settings={
        "recipe": "mixed_float16", "log2_scale": 24, "growth_interval": 50, "steps": 150, "batch": 32, "lr": 0.03,
        "momentum": 0.5, "seed": 0,
    },
)  # fmt: skip
