"""What two controls show was recorded once, so that they answer at once: running sums, and gradients of a network.

Layer 10. ``python -m fpsim.widgets.recording FOLDER`` writes both files anew, in some minutes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from fpsim.accumulate import Accumulator
from fpsim.autograd import default_precision, tensor, using
from fpsim.autograd.context import Observer, Rounded
from fpsim.data import batches
from fpsim.experiments.scenario import SCENARIOS, ImageScenario
from fpsim.formats import Format
from fpsim.nn.functional import cross_entropy
from fpsim.optim import SGD

__all__ = ["FORMATS", "LENGTHS", "ORDERS", "TERMS", "gradients", "places", "running_sums"]

#: What is added, by its name: the first n terms in float64.
TERMS: dict[str, Callable[[int], Any]] = {
    "1": lambda n: np.ones(n),
    "0.1": lambda n: np.full(n, 0.1),
    "1/k": lambda n: 1 / np.arange(1, n + 1),
}
FORMATS = ("float16", "bfloat16", "float8_e4m3fn", "float32")
ORDERS = ("sequential", "pairwise", "blocked:64", "kahan")
#: Numbers of terms that can be chosen.
LENGTHS = tuple(2**k for k in range(4, 14))
#: Points of each curve.
POINTS = 64
#: Gradients kept, of some 950,000.
KEPT = 8192
ASSETS = Path(__file__).parent / "assets"


def places(n: int) -> Any:
    """After how many of n terms the running sum is shown."""
    return np.arange(1, min(n, POINTS) + 1) * max(1, n // POINTS)


def all_places() -> Any:
    """Every place of every length."""
    return np.unique(np.concatenate([places(n) for n in LENGTHS]))


def record_sums() -> dict[str, Any]:
    """For each kind of terms the running sums ``(format, order, place)``."""
    ends = all_places()
    found: dict[str, Any] = {"places": ends}
    for name, terms in TERMS.items():
        x = terms(int(ends[-1]))
        accumulators = [[Accumulator(Format(fmt), order) for order in ORDERS] for fmt in FORMATS]
        sums = [[[acc.sum(x[:end]) for end in ends] for acc in row] for row in accumulators]
        found[name] = np.array(sums, np.float32)  # which holds every number of the four formats
    return found


class _Magnitudes(Observer):
    """Those of all gradients that are stored, activations' and weights', zeros left out."""

    def __init__(self) -> None:
        self.found: list[Any] = []

    def rounded(self, event: Rounded) -> None:
        if event.role.endswith("gradient"):
            self.found.append(abs(event.after[event.after != 0]).astype(np.float32))


def record_gradients(steps: int = 400) -> Any:
    """Magnitudes of the published network's gradients in float32 after some steps, evenly spaced by rank, descending.

    Of activations and of weights; those that are 0 are left out.
    """
    scenario, watch = SCENARIOS["published"], _Magnitudes()
    assert isinstance(scenario, ImageScenario)
    images = scenario.images()
    with using(rng=np.random.default_rng(0)), default_precision("float64"):
        net = scenario.network()
    net.to("float32")
    optimizer = SGD(net.parameters(), lr=scenario.lr, momentum=scenario.momentum)
    loader = batches(images.train_x, images.train_y, size=scenario.batch, seed=0)
    for step, (x, y) in enumerate(loader.take(steps)):
        optimizer.zero_grad()
        with using(observers=(watch,) if step == steps - 1 else ()):
            cross_entropy(net(tensor(x)), y).backward()
        optimizer.step()
    ranked = np.sort(np.concatenate([found.ravel() for found in watch.found]))[::-1]
    return ranked[np.linspace(0, len(ranked) - 1, KEPT).astype(int)]


@cache
def running_sums() -> dict[str, Any]:
    """What `record_sums` found."""
    with np.load(ASSETS / "running_sums.npz") as recorded:
        return dict(recorded)


@cache
def gradients() -> Any:
    """What `record_gradients` found."""
    with np.load(ASSETS / "gradients.npz") as recorded:
        return recorded["magnitudes"]


def main(folder: str) -> None:
    """Write both files."""
    np.savez_compressed(Path(folder) / "gradients.npz", magnitudes=record_gradients())
    np.savez_compressed(Path(folder) / "running_sums.npz", **record_sums())


if __name__ == "__main__":
    main(*sys.argv[1:])
