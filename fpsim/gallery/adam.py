"""Adam in float16: an epsilon that is 0, a second moment that vanishes, a running mean that never arrives.

Layer 10. Steps by `fpsim.optim`, drawn on `fpsim.gallery.canvas`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from fpsim import nn, optim
from fpsim.autograd import tensor
from fpsim.errors import HyperparameterRoundingWarning
from fpsim.gallery.canvas import canvas
from fpsim.gallery.exhibit import Claim, Exhibit
from fpsim.plots.style import colours, legend, tidy
from fpsim.rounding import all_values, encode

__all__ = ["ADAM"]


def adam(fmt: str, size: int, beta: float, eps: float) -> tuple[nn.Parameter, optim.Adam]:
    """Weights of 0 and their optimizer; its learning rate of 1 makes the update the step itself."""
    weight = nn.Parameter(tensor(np.zeros(size), dtype=fmt))
    return weight, optim.Adam([weight], lr=1.0, betas=(0.9, beta), eps=eps)


def first_steps(fmt: str, gradients: np.ndarray, beta: float, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """For each gradient the first update, per learning rate, and the second moment."""
    weight, optimizer = adam(fmt, gradients.size, beta, eps)
    weight.grad = tensor(gradients, dtype=fmt)
    optimizer.step()
    (state,) = optimizer.state.values()
    return weight.numpy().astype(np.float64), state["exp_avg_sq"].numpy().astype(np.float64)


def running_mean(fmt: str, steps: int, every: int, beta: float, eps: float) -> list[float]:
    """The running mean of squares of gradients that are all 1, every so many steps."""
    weight, optimizer = adam(fmt, 1, beta, eps)
    weight.grad = tensor([1.0], dtype=fmt)
    values = [0.0]
    for step in range(1, steps + 1):
        optimizer.step()
        if step % every == 0:
            (state,) = optimizer.state.values()
            values.append(state["exp_avg_sq"].item())
    return values


def compute(beta: float, eps: float, steps: int, every: int) -> dict[str, Any]:
    """First updates for gradients from 0 to 1, and the running mean over time, in float16 and float32."""
    halves = all_values("float16")
    positive = halves[(halves >= 0) & (halves <= 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HyperparameterRoundingWarning)  # which says just what is shown here
        update, second = first_steps("float16", positive, beta, eps)
        shown = np.array([2.0**-e for e in range(24, -1, -1)])
        found = {
            "eps_in_float16": float(tensor([eps], dtype="float16").item()),
            "update_of_zero": update[0],
            "smallest_gradient_squared": float(positive[np.flatnonzero(second)[0]]),
            "infinite_updates": int(np.isinf(update).sum()),
            "gradient": shown,
            "step": list(range(0, steps + 1, every)),
        }
        for fmt in ("float16", "float32"):
            mean = running_mean(fmt, steps, every, beta, eps)
            found[fmt] = {"update": first_steps(fmt, shown, beta, eps)[0], "running_mean": mean}
    found["mean_code_apart"] = int(encode(1.0, "float16")) - int(
        encode(found["float16"]["running_mean"][-1], "float16")
    )
    return found


def check(numbers: dict[str, Any]) -> Iterator[Claim]:
    """Epsilon, nan, and where the mean stands still."""
    yield Claim("eps 1e-8 is 0 in float16", numbers["eps_in_float16"], numbers["eps_in_float16"] == 0)
    got = numbers["update_of_zero"]
    yield Claim("a gradient of 0 gives nan", got, got == "nan")
    mean = numbers["float16"]["running_mean"]
    yield Claim("a running mean with beta 0.999 never reaches 1", f"stays at {mean[-1]}", mean[-1] == mean[-2] < 1)
    wide = numbers["float32"]["running_mean"][-1]
    yield Claim("in float32 it does, to 1 %", wide, abs(wide - 1) < 0.01)


def draw(numbers: dict[str, Any]) -> Any:
    """Left: the first update over the gradient. Right: the running mean over the steps."""
    made, (left, right) = canvas(9.4, 4.3, 1, 2)
    palette = colours().palette
    gradient, least = numbers["gradient"], numbers["smallest_gradient_squared"]
    left.axvspan(gradient[0] / 8, least, color=palette[2], alpha=0.15, linewidth=0)
    left.text(
        gradient[0] / 6, 1.92,
        "float16: the square of the gradient,\ntimes 0.001, is 0: infinite update\n(nan where the gradient is 0)",
        fontsize=8.5, color=palette[2], va="top",
    )  # fmt: skip
    wide = [-u for u in numbers["float32"]["update"]]
    half = [-float(u) for u in numbers["float16"]["update"]]
    left.plot(gradient, wide, color=palette[0], linestyle="--", label="float32")
    finite = [(g, u) for g, u in zip(gradient, half, strict=True) if np.isfinite(u)]
    left.plot(*zip(*finite, strict=True), "o-", color=palette[2], markersize=4, label="float16, where finite")
    left.set_xscale("log", base=2)
    left.set_ylim(0, 2)
    left.set_xlim(gradient[0] / 8, 1)
    tidy(left, "the first step, eps = 1e-8", "gradient", "size of the update / learning rate")
    legend(left, loc="lower right")
    right.axhline(1, color=colours().faint, linestyle=":", linewidth=1.2)
    for fmt, colour, style in (("float32", 0, "--"), ("float16", 2, "-")):
        mean = numbers[fmt]["running_mean"]
        right.plot(numbers["step"], mean, color=palette[colour], linestyle=style, linewidth=2, label=fmt)
    right.annotate(
        f"stays at {mean[-1]:.4f}: what is\nadded rounds away again", (numbers["step"][-1], mean[-1]), (0, -8),
        textcoords="offset points", ha="right", va="top", fontsize=8.5, color=palette[2],
    )  # fmt: skip
    tidy(right, "v = 0.999 v + 0.001 g^2, all gradients 1", "step", "running mean of squares v")
    right.set_ylim(0, 1.08)
    legend(right, loc="lower right")
    return made


ADAM = Exhibit(
    name="adam",
    title="Adam does not survive in float16 alone",
    message="In float16 Adam's epsilon of 1e-8 is 0 and the squares of small gradients vanish, so that it divides by "
    "zero; and its running mean of squares, all of them 1, stops short of 1.",
    must_hit="eps 1e-8 is 0: nan at gradient 0; a running mean with beta 0.999 never reaches 1",
    source="the rounding points of torch.optim.Adam; Micikevicius et al. (2018) keep such state in float32",
    compute=compute,
    draw=draw,
    check=check,
    settings={"beta": 0.999, "eps": 1e-8, "steps": 5000, "every": 50},
)
