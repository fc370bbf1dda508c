"""A training step of the classic network, batch 64, in fpsim's formats, against the same step in plain NumPy.

Layer: none. ``python -m benchmarks.training_step``: ratios of medians of steps taken in turn, and peak memory.
It must not compare times of different runs: the machines are noisy.
"""

from __future__ import annotations

import argparse
import statistics
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

import fpsim as fp
import fpsim.nn.functional as F
from benchmarks import plain_numpy
from tests.oracles.classic_network import batches, weights

Step = Callable[[], Any]
#: Seconds before each step, in which the last one's BLAS threads stop spinning and leave their core.
PAUSE = 0.1


def plain_step(dtype: str) -> Step:
    """The step without fpsim."""
    p = {name: w.astype(dtype) for name, w in weights().items()}
    velocity = {name: np.zeros_like(w) for name, w in p.items()}
    x, y = batches()
    x = x.astype(dtype)
    return lambda: plain_numpy.step(p, velocity, x[0], y[0])


def fpsim_step(recipe: str, observed: bool = False) -> Step:
    """The same step with a recipe's formats."""
    with fp.default_precision("float64"):
        net = fp.nn.LeNet()
    net.load_state_dict(weights())
    optimizer = fp.optim.SGD(net.parameters(), lr=0.01, momentum=0.5)
    fp.amp.apply(net, recipe, optimizer)
    x, y = batches()
    images = fp.tensor(x[0])

    def step() -> Any:
        loss = F.cross_entropy(net(images), y[0])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    def counted() -> Any:
        with fp.observe():
            return step()

    return counted if observed else step


def torch_step(dtype: str) -> Step | None:
    """The same step in PyTorch on the CPU, float16 throughout but for the loss; None without torch."""
    try:
        import torch
    except ImportError:
        return None
    nn, f = torch.nn, torch.nn.functional
    torch.manual_seed(0)
    layers = nn.ModuleList([nn.Conv2d(1, 20, 5), nn.Conv2d(20, 64, 5), nn.Linear(1600, 500), nn.Linear(500, 10)])
    layers.to(getattr(torch, dtype))
    optimizer = torch.optim.SGD(layers.parameters(), lr=0.01, momentum=0.5)
    x, y = batches()
    images, labels = torch.tensor(x[0]).to(getattr(torch, dtype)), torch.tensor(y[0]).long()

    def step() -> Any:
        h = f.max_pool2d(f.relu(layers[0](images)), 2)
        h = f.max_pool2d(f.relu(layers[1](h)), 2).flatten(1)
        loss = f.cross_entropy(layers[3](f.relu(layers[2](h))).float(), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    return step


def medians(steps: dict[str, Step], rounds: int) -> dict[str, float]:
    """Median seconds of each, taken in turn so that a slow moment hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()
    for _ in range(rounds):
        for name, step in steps.items():
            awake = time.perf_counter() + PAUSE
            while time.perf_counter() < awake:  # (a core that slept starts slowly)
                pass
            start = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(taken) for name, taken in times.items()}


def peak(step: Step) -> float:
    """Peak MiB that a step allocates beyond what it started with."""
    step()
    tracemalloc.start()
    step()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most / 2**20


def measure(rounds: int = 15) -> dict[str, dict[str, float]]:
    """Milliseconds, ratio to plain NumPy's float32 step, and peak MiB, by name."""
    steps = {
        "plain NumPy float32": plain_step("float32"),
        "float32": fpsim_step("float32"),
        "float16/float32": fpsim_step("float16/float32"),
        "float16/float32, counted": fpsim_step("float16/float32", observed=True),
        "mixed_float16": fpsim_step("mixed_float16"),
        "float16": fpsim_step("float16"),
        "plain NumPy float64": plain_step("float64"),
        "float64": fpsim_step("float64"),
    }
    for dtype in ("float32", "float16"):
        step = torch_step(dtype)
        if step is not None:
            steps[f"PyTorch {dtype}"] = step
    taken = medians(steps, rounds)
    base = taken["plain NumPy float32"]
    return {
        name: {"ms": 1e3 * taken[name], "ratio": taken[name] / base, "peak_mib": peak(step)}
        for name, step in steps.items()
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    for name, row in measure(parser.parse_args().rounds).items():
        print(f"{name:26} {row['ms']:8.1f} ms  {row['ratio']:6.2f}x  {row['peak_mib']:7.1f} MiB")


if __name__ == "__main__":
    main()
