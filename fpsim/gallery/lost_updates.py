"""Ten thousand small updates of one weight: lost to nearest, kept on average by stochastic rounding.

Layer 10. Updates by `fpsim.optim`, drawn on `fpsim.gallery.canvas`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fpsim import nn, optim
from fpsim.autograd import seed as seeded
from fpsim.autograd import tensor
from fpsim.gallery.canvas import canvas
from fpsim.gallery.exhibit import Claim, Exhibit
from fpsim.plots.style import colours, legend, tidy
from fpsim.rounding import nextafter

__all__ = ["LOST_UPDATES"]


def path(fmt: str, update: float, steps: int, every: int, seed: int = 0, **options: Any) -> list[float]:
    """The weight that starts at 1 and is changed by `update` at each step, every so many steps."""
    with seeded(seed):
        weight = nn.Parameter(tensor([1.0], dtype=fmt))
        optimizer = optim.SGD([weight], lr=1.0, **options)
        gradient = tensor([-update], dtype=fmt)
        values = [1.0]
        for step in range(1, steps + 1):
            weight.grad = gradient
            optimizer.step()
            if step % every == 0:
                values.append(float((weight if weight.master is None else weight.master).item()))
        return values


def compute(update: float, steps: int, every: int, seeds: list[int]) -> dict[str, Any]:
    """The weight over time in float32, float16, float16 with a float32 master, and rounded stochastically."""
    stochastic = [path("float16", update, steps, every, seed, update_rounding="stochastic") for seed in seeds]
    return {
        "step": list(range(0, steps + 1, every)),
        "update": update,
        "float32": path("float32", update, steps, every),
        "float16": path("float16", update, steps, every),
        "float16_masters": path("float16", update, steps, every, master="float32"),
        "float16_stochastic": stochastic,
        "above_one": float(nextafter(1.0, 2.0, "float16")),
        "below_one": float(nextafter(1.0, 0.0, "float16")),
    }


def check(numbers: dict[str, Any]) -> Iterator[Claim]:
    """Where the weight ends."""
    got = numbers["float16"][-1]
    yield Claim("float16 stays 1.0", got, set(numbers["float16"]) == {1.0})
    got = numbers["float32"][-1]
    yield Claim("float32 reaches 2.0002", got, round(got, 4) == 2.0002)
    ends = [values[-1] for values in numbers["float16_stochastic"]]
    # the sum of 10,000 roundings, up by 2**-10 with probability 0.1, has a standard deviation of 0.03
    yield Claim("float16 rounded stochastically reaches about 2.0", ends, all(abs(end - 2) < 0.15 for end in ends))


def draw(numbers: dict[str, Any]) -> Any:
    """Above: one update against the numbers next to 1. Below: the weight over time."""
    made, (line, axes) = canvas(7.6, 5.4, 2, 1, height_ratios=(1, 3.2))
    palette = colours().palette
    below, above, update = numbers["below_one"], numbers["above_one"], numbers["update"]
    line.axvspan((1 + below) / 2, (1 + above) / 2, color=palette[2], alpha=0.18, linewidth=0)
    line.axhline(0, color=colours().faint, linewidth=1)
    for value, name in ((below, f"{below:.5f}"), (1.0, "1"), (above, f"{above:.5f}")):
        line.plot(value, 0, "|", color=palette[0], markersize=22, markeredgewidth=2)
        line.annotate(name, (value, 0), (0, -16), textcoords="offset points", ha="center", va="top", fontsize=8.5)
    line.annotate(
        "",
        (1 + update, 0.35),
        (1, 0.35),
        arrowprops={"arrowstyle": "-|>", "color": palette[1], "shrinkA": 0, "shrinkB": 0},
    )
    line.text(1 + 1.25 * update, 0.35, f"+ {update:g}", va="center", fontsize=8.5)
    line.text((1 + below) / 2 + 2e-5, 0.8, "all of this rounds to 1", va="center", fontsize=8.5)
    line.set_ylim(-1, 1.1)
    line.set_xlim(below - 0.0002, above + 0.0002)
    line.axis("off")
    line.set_title("float16 around 1", loc="left", fontsize=10)
    step = numbers["step"]
    for i, values in enumerate(numbers["float16_stochastic"]):
        label = "float16, rounded stochastically (3 seeds)" if i == 0 else None
        axes.plot(step, values, color=palette[4], linewidth=1.2, alpha=0.9, label=label)
    axes.plot(
        step,
        numbers["float16_masters"],
        color=palette[3],
        linewidth=4,
        alpha=0.5,
        label="float16 with a float32 master",
    )
    name = f"float32, ends at {numbers['float32'][-1]:.4f}"
    axes.plot(step, numbers["float32"], color=palette[0], linestyle="--", label=name)
    axes.plot(step, numbers["float16"], color=palette[2], linewidth=2.2, label="float16, rounded to nearest")
    axes.annotate(
        "all 10,000 updates are lost", (step[-1], 1), (0, 6), textcoords="offset points", ha="right", fontsize=8.5,
        color=palette[2],
    )  # fmt: skip
    tidy(axes, "", f"updates of {update:g} made", "weight")
    legend(axes, loc="upper left")
    return made


LOST_UPDATES = Exhibit(
    name="lost_updates",
    title="Rounded to nearest, an update below half an ulp of the weight is lost",
    message="In float16 a weight of 1 does not move at all under 10,000 updates of 1e-4, each less than half the "
    "distance to the next number; a float32 copy or stochastic rounding keeps them.",
    must_hit="float16 stays 1.0; float32 reaches 2.0002; stochastic rounding about 2.0",
    source="Micikevicius et al. (2018), section 3.1",
    compute=compute,
    draw=draw,
    check=check,
    settings={"update": 1e-4, "steps": 10_000, "every": 100, "seeds": [0, 1, 2]},
)
