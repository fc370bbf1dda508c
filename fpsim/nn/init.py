"""Initial weights: drawn once in float64 and rounded once, so every precision starts from the same numbers.

Layer 5. PyTorch's default distributions.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fpsim.autograd.context import current
from fpsim.nn.module import Parameter

__all__ = ["normal", "ones", "uniform_by_fan_in", "zeros"]


def uniform_by_fan_in(shape: tuple[int, ...], fan_in: int, rng: np.random.Generator | None = None) -> Parameter:
    """Uniform within ``1 / sqrt(fan_in)``: what PyTorch's linear and convolution layers start from."""
    bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
    return Parameter(_generator(rng).uniform(-bound, bound, shape))


def normal(shape: tuple[int, ...], rng: np.random.Generator | None = None) -> Parameter:
    """Standard normal: what PyTorch's embedding starts from."""
    return Parameter(_generator(rng).normal(size=shape))


def ones(shape: Any) -> Parameter:
    """Ones."""
    return Parameter(np.ones(shape))


def zeros(shape: Any) -> Parameter:
    """Zeros."""
    return Parameter(np.zeros(shape))


def _generator(rng: np.random.Generator | None) -> np.random.Generator:
    return current().generator if rng is None else rng
