"""Initial weights: drawn once in float64 and rounded once, so every precision starts from the same numbers.

Layer 5. `uniform_by_fan_in` is what layers start from; the functions with an underscore are PyTorch's, in place.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fpsim.autograd.context import current
from fpsim.autograd.tensor import Tensor
from fpsim.errors import ArgumentError, ShapeError, expected
from fpsim.nn.module import Parameter
from fpsim.precision import Precision

__all__ = [
    "constant_", "kaiming_normal_", "kaiming_uniform_", "normal_", "ones_", "source_of", "uniform_",
    "uniform_by_fan_in", "xavier_normal_", "xavier_uniform_", "zeros_",
]  # fmt: skip


def source_of(rng: np.random.Generator | None) -> np.random.Generator:
    """`rng`, or the context's generator."""
    return current().generator if rng is None else rng


def uniform_by_fan_in(
    fan_in: int, precision: Precision, rng: np.random.Generator | None = None
) -> Callable[..., Parameter]:
    """A function from a shape to parameters uniform within ``1 / sqrt(fan_in)``: PyTorch's default for such layers."""
    bound = 1 / math.sqrt(fan_in)
    source = source_of(rng)
    return lambda *shape: Parameter(source.uniform(-bound, bound, shape), precision=precision)


def _filled(x: Tensor, values: Any) -> Tensor:
    values = np.broadcast_to(values, x.shape)
    x.take(values, "init")
    return x


def uniform_(x: Tensor, a: float = 0.0, b: float = 1.0, generator: np.random.Generator | None = None) -> Tensor:
    """Uniform between a and b."""
    return _filled(x, source_of(generator).uniform(a, b, x.shape))


def normal_(x: Tensor, mean: float = 0.0, std: float = 1.0, generator: np.random.Generator | None = None) -> Tensor:
    """Normal with this mean and standard deviation."""
    return _filled(x, source_of(generator).normal(mean, std, x.shape))


def constant_(x: Tensor, val: float) -> Tensor:
    """One value everywhere."""
    return _filled(x, float(val))


def ones_(x: Tensor) -> Tensor:
    """Ones."""
    return constant_(x, 1.0)


def zeros_(x: Tensor) -> Tensor:
    """Zeros."""
    return constant_(x, 0.0)


def _fans(op: str, x: Tensor) -> tuple[int, int]:
    """How many inputs each output has, and outputs each input."""
    if x.ndim < 2:
        raise ShapeError(expected(op, "a weight of at least two axes", f"shape={x.shape}", "use normal_ or zeros_"))
    window = math.prod(x.shape[2:])
    return x.shape[1] * window, x.shape[0] * window


def xavier_uniform_(x: Tensor, gain: float = 1.0, generator: np.random.Generator | None = None) -> Tensor:
    """Uniform within ``gain * sqrt(6 / (fan_in + fan_out))`` (Glorot and Bengio 2010)."""
    bound = gain * math.sqrt(6 / sum(_fans("xavier_uniform_", x)))
    return uniform_(x, -bound, bound, generator)


def xavier_normal_(x: Tensor, gain: float = 1.0, generator: np.random.Generator | None = None) -> Tensor:
    """Normal with standard deviation ``gain * sqrt(2 / (fan_in + fan_out))``."""
    return normal_(x, 0.0, gain * math.sqrt(2 / sum(_fans("xavier_normal_", x))), generator)


def _kaiming_std(op: str, x: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    fan = _fans(op, x)[0 if mode == "fan_in" else 1]
    gains = {"relu": 2.0, "leaky_relu": 2 / (1 + a * a), "linear": 1.0, "sigmoid": 1.0, "tanh": (5 / 3) ** 2}
    if mode not in ("fan_in", "fan_out") or nonlinearity not in gains:
        got = f"mode={mode!r}, nonlinearity={nonlinearity!r}"
        invariant = f"fan_in or fan_out, and one of {', '.join(gains)}"
        raise ArgumentError(expected(op, invariant, got, "choose from these"))
    return math.sqrt(gains[nonlinearity] / fan)


def kaiming_uniform_(
    x: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
    generator: np.random.Generator | None = None,
) -> Tensor:  # fmt: skip
    """Uniform within ``gain * sqrt(3 / fan)`` (He and others 2015)."""
    bound = math.sqrt(3) * _kaiming_std("kaiming_uniform_", x, a, mode, nonlinearity)
    return uniform_(x, -bound, bound, generator)


def kaiming_normal_(
    x: Tensor, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
    generator: np.random.Generator | None = None,
) -> Tensor:  # fmt: skip
    """Normal with standard deviation ``gain / sqrt(fan)``."""
    return normal_(x, 0.0, _kaiming_std("kaiming_normal_", x, a, mode, nonlinearity), generator)
