"""How time and memory grow with the length of the sums, with the batch and with the threads: a picture.

Layer: none. ``python -m benchmarks.growth [--out benchmarks/growth.png]``; medians of calls taken in turn.
"""

from __future__ import annotations

import argparse
import os
from typing import Any

import numpy as np

import fpsim as fp
from benchmarks.training_step import medians, peak
from fpsim.nn import functional as F


def product(k: int) -> Any:
    """A float16 product of 256 x k and k x 64."""
    rng = np.random.default_rng(0)
    x, y = (fp.round(rng.normal(size=s).astype(np.float32), "float16") for s in ((256, k), (k, 64)))
    return lambda: fp.Accumulator("float16").matmul(x, y)


def step(recipe: str, batch: int) -> Any:
    """A training step of the classic network."""
    net = fp.nn.LeNet()
    optimizer = fp.optim.SGD(net.parameters(), lr=0.01)
    fp.amp.apply(net, recipe, optimizer)
    rng = np.random.default_rng(0)
    images, labels = fp.tensor(rng.normal(size=(batch, 1, 32, 32))), rng.integers(0, 10, batch)

    def run() -> None:
        F.cross_entropy(net(images), labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    return run


def with_threads(n: int, function: Any) -> Any:
    """`function` with fpsim's threads limited."""

    def run() -> None:
        os.environ["FPSIM_THREADS"] = str(n)
        function()

    return run


def main() -> None:
    """Measure, and draw three panels."""
    import matplotlib.pyplot as plt

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", default="benchmarks/growth.png")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    lengths, batches = [64, 256, 1024, 4096, 16384, 65536], [1, 4, 16, 64, 256]
    threads = list(range(1, len(os.sched_getaffinity(0)) + 1))
    by_length = medians({f"{k}": with_threads(max(threads), product(k)) for k in lengths}, options.rounds)
    by_threads = medians({f"{n}": with_threads(n, product(4096)) for n in threads}, options.rounds)
    os.environ["FPSIM_THREADS"] = str(max(threads))
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    left.loglog(lengths, [1e9 * by_length[f"{k}"] / (256 * 64 * k) for k in lengths], "o-")
    left.set(xlabel="terms of a sum", ylabel="ns a multiply-add", title="float16 product 256 x k x 64, in order")
    memory = middle.twinx()
    for recipe, marker in (("float32", "o"), ("float16/float32", "s"), ("float16", "^")):
        steps = {f"{n}": step(recipe, n) for n in batches}
        taken = medians(steps, options.rounds)
        middle.loglog(batches, [1e3 * taken[f"{n}"] for n in batches], marker + "-", label=recipe)
        peaks = [peak(steps[f"{n}"]) for n in batches]
        memory.loglog(batches, peaks, marker + ":", alpha=0.6)
        print(recipe, {n: (round(1e3 * taken[f"{n}"], 1), round(p, 1)) for n, p in zip(batches, peaks, strict=True)})
    middle.set(xlabel="images a step", ylabel="ms a step (lines)", title="a training step of the classic network")
    memory.set_ylabel("peak MiB beyond weights (dotted)")
    middle.legend()
    right.plot(threads, [by_threads["1"] / by_threads[f"{n}"] for n in threads], "o-")
    right.plot(threads, threads, ":", color="gray")
    right.set(xlabel="threads", ylabel="times as fast as one", title="float16 product 256 x 4096 x 64", xticks=threads)
    for axes in (left, middle, right):
        axes.grid(alpha=0.3)
    figure.savefig(options.out, dpi=120)
    print({k: round(1e9 * by_length[f"{k}"] / (256 * 64 * k), 3) for k in lengths}, by_threads, options.out)


if __name__ == "__main__":
    main()
