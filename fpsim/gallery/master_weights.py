"""Master weights: the scenario `rounding` of `fpsim compare`, over several seeds.

Layer 10. Trained by `fpsim.experiments`, drawn on `fpsim.gallery.canvas`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fpsim.experiments import train
from fpsim.gallery.canvas import canvas
from fpsim.gallery.exhibit import Claim, Exhibit
from fpsim.observe import observe
from fpsim.plots.style import colour_of, legend, tidy

__all__ = ["MASTER_WEIGHTS"]

RECIPES = ("float32", "float16_masters", "float16_stochastic", "float16")
NAMES = {
    "float32": "float32",
    "float16_masters": "float16 with float32 masters",
    "float16_stochastic": "float16, updates rounded stochastically",
    "float16": "pure float16",
}
#: Steps over which the loss is averaged.
WINDOW = 100


def compute(
    scenario: str, recipes: list[str], steps: int, order: str, seeds: list[int], counted: int
) -> dict[str, Any]:
    """Losses, averaged over windows, and the share of updates lost in so many counted steps, per recipe and seed."""
    found: dict[str, Any] = {}
    for recipe in recipes:
        runs = []
        for seed in seeds:
            with observe(every=max(1, steps // counted)) as report:
                run = train(recipe, steps, seed, scenario=scenario, order=order)
            windows = range(0, steps - WINDOW + 1, WINDOW)
            loss = [sum(run.loss[start : start + WINDOW]) / WINDOW for start in windows]
            runs.append({"loss": loss, "accuracy": run.accuracy, "lost_updates": report.lost_updates})
        found[recipe] = runs
    return {"step": [start + WINDOW for start in range(0, steps - WINDOW + 1, WINDOW)], "runs": found}


def ends(numbers: dict[str, Any], recipe: str, what: str = "loss") -> list[float]:
    """The last loss of each seed, or another number of it."""
    return [run["loss"][-1] if what == "loss" else run[what] for run in numbers["runs"][recipe]]


def check(numbers: dict[str, Any]) -> Iterator[Claim]:
    """Three agree, one is far behind."""
    last = {recipe: ends(numbers, recipe) for recipe in RECIPES}
    for recipe in RECIPES[1:3]:
        apart = max(abs(a / b - 1) for a, b in zip(last[recipe], last["float32"], strict=True))
        yield Claim(f"{NAMES[recipe]} ends within 1 % of float32's loss", f"{100 * apart:.2g} %", apart < 0.01)
    fallen = {recipe: [run["loss"][0] - run["loss"][-1] for run in numbers["runs"][recipe]] for recipe in RECIPES}
    share = max(a / b for a, b in zip(fallen["float16"], fallen["float32"], strict=True))
    yield Claim(
        "pure float16 far behind: its loss falls less than half as far", f"{100 * share:.0f} %", 0 < share < 0.5
    )
    lost = min(ends(numbers, "float16", "lost_updates"))
    yield Claim("pure float16 loses more than half of its updates", f"{100 * lost:.0f} %", lost > 0.5)


def draw(numbers: dict[str, Any]) -> Any:
    """Left: the loss, a band from the lowest to the highest seed. Right: the share of updates that were lost."""
    made, (axes, bars) = canvas(9.0, 4.2, 1, 2, width_ratios=(2.2, 1))
    for place, recipe in enumerate(RECIPES):
        colour, line = colour_of(recipe)
        losses = list(zip(*(run["loss"] for run in numbers["runs"][recipe]), strict=True))
        mean = [sum(at) / len(at) for at in losses]
        axes.fill_between(
            numbers["step"], list(map(min, losses)), list(map(max, losses)), color=colour, alpha=0.18, linewidth=0
        )
        axes.plot(numbers["step"], mean, color=colour, linestyle=line, linewidth=2, label=NAMES[recipe])
        share = ends(numbers, recipe, "lost_updates")
        height = 100 * sum(share) / len(share)
        bars.bar(place, height, color=colour, width=0.7)
        accuracy = ends(numbers, recipe, "accuracy")
        bars.annotate(
            f"{height:.0f} %" if height >= 0.5 or height == 0 else f"{height:.1g} %", (place, height), (0, 3),
            textcoords="offset points", ha="center", fontsize=9,
        )  # fmt: skip
        if recipe in ("float32", "float16"):
            axes.annotate(
                f"{100 * sum(accuracy) / len(accuracy):.0f} % of test\nimages right", (numbers["step"][-1], mean[-1]),
                (-4, -8), textcoords="offset points", fontsize=8.5, color=colour, va="top", ha="right",
            )  # fmt: skip
    tidy(axes, "loss (mean and range over 3 seeds)", "step", "training loss, mean of 100 steps")
    axes.margins(x=0)
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.15 * (high - low), high)
    legend(axes, loc="lower left")
    title = "updates lost (stochastic: the others\nmove a whole ulp, right on average)"
    tidy(bars, title, "", "% of nonzero updates that change nothing")
    bars.set_xticks(range(4), ["float32", "masters", "stochastic", "float16"], rotation=20)
    bars.set_ylim(0, 100)
    return made


MASTER_WEIGHTS = Exhibit(
    name="master_weights",
    title="One float32 copy of the weights, or stochastic rounding, rescues float16",
    message="A network whose weights are float16 loses most of its updates and falls far behind; with float32 master "
    "weights, or with stochastic rounding, float16 learns as float32 does.",
    must_hit="float32, masters and stochastic rounding agree; pure float16 far behind, with its share of lost updates",
    source="Micikevicius et al. (2018), section 3.1; the rounding scenario of fpsim compare",
    compute=compute,
    draw=draw,
    check=check,
    settings={
        "scenario": "rounding", "recipes": list(RECIPES), "steps": 6000, "order": "sequential", "seeds": [0, 1, 2],
        "counted": 60,
    },
)  # fmt: skip
