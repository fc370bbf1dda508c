"""The ten steps on which the classic network meets PyTorch: weights, batches, and a gradient in brief.

Tests only. Imports neither fpsim nor torch.
"""

from __future__ import annotations

from functools import cache

import numpy as np

STEPS = 10
SHAPES = {
    "conv1.weight": (20, 1, 5, 5), "conv1.bias": (20,), "conv2.weight": (64, 20, 5, 5), "conv2.bias": (64,),
    "fc1.weight": (500, 1600), "fc1.bias": (500,), "fc2.weight": (10, 500), "fc2.bias": (10,),
}  # fmt: skip


def weights() -> dict[str, np.ndarray]:
    rs = np.random.RandomState(0)
    return {name: rs.normal(size=shape) * 0.05 for name, shape in SHAPES.items()}


def batches() -> tuple[np.ndarray, np.ndarray]:
    rs = np.random.RandomState(1)
    return rs.normal(size=(STEPS, 64, 1, 32, 32)).astype(np.float32), rs.randint(0, 10, (STEPS, 64))


@cache
def probes(size: int) -> tuple[np.ndarray, np.ndarray]:
    """500 places in a gradient of this size; five directions of length 1, the diagonal and four at random."""
    rs = np.random.RandomState(2)
    places = np.sort(rs.choice(size, 500, replace=False))
    directions = np.vstack([np.ones(size), rs.normal(size=(4, size))])
    return places, directions / np.linalg.norm(directions, axis=1, keepdims=True)


def brief(gradient: np.ndarray) -> dict[str, np.ndarray]:
    """All of a small gradient; of a large one 500 elements, and what the others change too.

    If a gradient is off by a vector e, its length and its five projections are each off by at most ``|e|``.
    """
    if gradient.size <= 1000:
        return {"elements": gradient}
    places, directions = probes(gradient.size)
    g = gradient.ravel().astype(np.float64)
    return {
        "elements": gradient.ravel()[places],
        "largest": np.abs(g).max(),
        "length": np.linalg.norm(g),
        "projections": directions @ g,
    }
