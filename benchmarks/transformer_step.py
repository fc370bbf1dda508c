"""A training step of the small language model in fpsim's recipes, against the same step in plain NumPy.

Layer: none. ``python -m benchmarks.transformer_step``: ratios of medians of steps taken in turn. It must not compare
times of different runs: the machines are noisy.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import numpy as np

import fpsim as fp
import fpsim.nn.functional as F
from benchmarks.plain_transformer import Training
from benchmarks.training_step import PAUSE, Step

#: Sequences in a batch; the model has `nn.TransformerLM`'s usual sizes, 64 features and 64 characters of context.
BATCH = 32
RECIPES = ("float32", "float16/float32", "mixed_float16", "bfloat16/float32", "fp8_current", "mxfp8", "float64")


def model() -> fp.nn.TransformerLM:
    """The network, always from the same weights."""
    with fp.seed(0):
        return fp.nn.TransformerLM(len(fp.data.text().characters))


def batch() -> tuple[np.ndarray, np.ndarray]:
    """Windows of the text and the characters that follow."""
    return next(fp.data.sequences(fp.data.text().train, model().context, BATCH).take(1))


def plain_step() -> Step:
    """The step without fpsim."""
    net = model()
    training = Training({name: p.numpy() for name, p in net.state_dict().items()}, net.blocks[0].attention.heads)
    x, y = batch()
    return lambda: training.step(x, y)


def fpsim_step(recipe: str) -> Step:
    """The same step with a recipe's formats."""
    net = model()
    optimizer = fp.optim.AdamW(net.parameters(), eps=1e-6)  # which float16 holds
    fp.amp.apply(net, recipe, optimizer)
    x, y = batch()

    def step() -> Any:
        loss = F.cross_entropy(net(x).flatten(0, 1), y.ravel())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    return step


def medians(steps: dict[str, Step], rounds: int, clock: Any) -> dict[str, float]:
    """Median seconds of each, taken in turn; five rounds before load and compile what is needed."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for i in range(rounds + 5):
        for name, step in steps.items():
            awake = time.perf_counter() + PAUSE / 5
            while time.perf_counter() < awake:  # (a core that slept starts slowly)
                pass
            start = clock()
            step()
            if i >= 5:
                times[name].append(clock() - start)
    return {name: statistics.median(taken) for name, taken in times.items()}


def measure(rounds: int = 15, clock: Any = time.perf_counter) -> dict[str, dict[str, float]]:
    """Milliseconds and ratios to plain NumPy's step and to fpsim's float32 step, by name."""
    steps = {"plain NumPy float32": plain_step()}
    for recipe in RECIPES:
        try:
            steps[recipe] = fpsim_step(recipe)
        except fp.errors.FpsimError:  # a version without that recipe
            continue
    taken = medians(steps, rounds, clock)
    plain, ours = taken["plain NumPy float32"], taken["float32"]
    return {
        name: {"ms": 1e3 * seconds, "/ plain NumPy": seconds / plain, "/ float32": seconds / ours}
        for name, seconds in taken.items()
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--cpu", action="store_true", help="the process's own time: for a machine that others use")
    args = parser.parse_args()
    clock = time.process_time if args.cpu else time.perf_counter
    for name, row in measure(args.rounds, clock).items():
        figures = f"{row['/ plain NumPy']:6.2f}x plain NumPy  {row['/ float32']:6.2f}x float32"
        print(f"{name:22} {row['ms']:8.1f} ms  {figures}")


if __name__ == "__main__":
    main()
