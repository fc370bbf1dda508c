"""The layers without parameters, under PyTorch's names and with its arguments.

Layer 5. A layer holds its settings; what it computes is a function of `functional`. ``inplace`` is ignored.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fpsim.autograd.tensor import Tensor
from fpsim.errors import ArgumentError, expected
from fpsim.nn import functional as F
from fpsim.nn.module import Module

__all__ = [
    "GELU", "AvgPool2d", "Dropout", "Flatten", "Identity", "LogSoftmax", "MaxPool2d", "ReLU", "Sigmoid", "Softmax",
    "Tanh",
]  # fmt: skip


class _Plain(Module):
    """Settings by name; those in `shown` stand between the brackets of the repr."""

    shown: tuple[str, ...] = ()

    def extra_repr(self) -> str:
        """The settings."""
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in self.shown)


class MaxPool2d(_Plain):
    """The largest of each window, the first of equals; NaN wins."""

    shown = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        if return_indices:
            raise ArgumentError(expected("MaxPool2d", "values only", "return_indices=True", "leave it out"))
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation, self.ceil_mode = padding, dilation, ceil_mode

    def forward(self, x: Tensor) -> Tensor:
        """The layer's result."""
        return F.max_pool2d(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)


class AvgPool2d(_Plain):
    """The mean of each window."""

    shown = ("kernel_size", "stride", "padding")

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def forward(self, x: Tensor) -> Tensor:
        """The layer's result."""
        options = (self.ceil_mode, self.count_include_pad, self.divisor_override)
        return F.avg_pool2d(x, self.kernel_size, self.stride, self.padding, *options)


class Dropout(_Plain):
    """In training, zero with probability p, else ``x / (1 - p)``."""

    shown = ("p", "inplace")

    def __init__(self, p: float = 0.5, inplace: bool = False, *, rng: np.random.Generator | None = None) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ArgumentError(expected("Dropout", "a probability from 0 to 1", f"p={p!r}", "correct it"))
        self.p, self.inplace, self.rng = p, inplace, rng

    def forward(self, x: Tensor) -> Tensor:
        """The layer's result."""
        return F.dropout(x, self.p, self.training, rng=self.rng)


class Flatten(_Plain):
    """The axes from `start_dim` to `end_dim` as one."""

    shown = ("start_dim", "end_dim")

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Tensor) -> Tensor:
        """The layer's result."""
        return F.flatten(x, self.start_dim, self.end_dim)


class Identity(Module):
    """The input itself; takes and ignores any arguments."""

    def __init__(self, *ignored: Any, **also_ignored: Any) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """The input."""
        return x


class ReLU(Module):
    """``x`` where positive, else 0."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        """The layer's result."""
        return F.relu(x)

    def extra_repr(self) -> str:
        """Whether in place."""
        return "inplace=True" if self.inplace else ""


class Tanh(Module):
    """Hyperbolic tangent."""

    def forward(self, x: Tensor) -> Tensor:
        """The layer's result."""
        return F.tanh(x)


class Sigmoid(Module):
    """``1 / (1 + exp(-x))``."""

    def forward(self, x: Tensor) -> Tensor:
        """The layer's result."""
        return F.sigmoid(x)


class GELU(_Plain):
    """``x * Phi(x)`` with the normal distribution function Phi (the erf form)."""

    shown = ("approximate",)

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        """The layer's result."""
        return F.gelu(x, self.approximate)


class Softmax(_Plain):
    """``e / sum e`` with ``e = exp(x - max x)`` along an axis."""

    shown = ("dim",)

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """The layer's result."""
        return F.softmax(x, self.dim)


class LogSoftmax(_Plain):
    """``x - max x - log sum exp(x - max x)`` along an axis."""

    shown = ("dim",)

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """The layer's result."""
        return F.log_softmax(x, self.dim)
