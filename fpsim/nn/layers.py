"""The layers that have parameters, under PyTorch's names and with its arguments.

Layer 5. A layer holds parameters and settings; what it computes is a function of `functional`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fpsim.autograd.context import current
from fpsim.autograd.tensor import Tensor, note_device, store
from fpsim.errors import ArgumentError, ShapeError, expected
from fpsim.nn import functional as F
from fpsim.nn import init
from fpsim.nn.module import Module, Parameter
from fpsim.precision import Precision

__all__ = ["BatchNorm2d", "Conv2d", "Embedding", "LayerNorm", "Linear", "check_sizes"]


def check_sizes(layer: str, **sizes: Any) -> None:
    """Refuse sizes that are not whole numbers from 1 on."""
    for name, size in sizes.items():
        if not isinstance(size, int | np.integer) or isinstance(size, bool) or size < 1:
            raise ArgumentError(expected(layer, "whole numbers of at least 1", f"{name}={size!r}", "correct it"))


class _Layer(Module):
    """A layer with parameters: it computes in the context's default precision, or in `dtype`."""

    precision: Precision

    def __init__(self, device: Any, dtype: Any) -> None:
        super().__init__()
        if device is not None:
            note_device()
        self.precision = current().default if dtype is None else Precision.parse(dtype)


class Linear(_Layer):
    """``y[..., i] = sum_k x[..., k] * weight[i, k] + bias[i]``; weight (out_features, in_features).

    >>> import fpsim as fp
    >>> layer = fp.nn.Linear(3, 2)
    >>> layer(fp.zeros(5, 3)).shape
    (5, 2)
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None,
        *, rng: np.random.Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__(device, dtype)
        check_sizes("Linear", in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        #: how its operands are quantised: see `fp.amp.quantize`
        self.quantization: Any = None
        start = init.uniform_by_fan_in(in_features, self.precision, rng)
        self.weight = start(out_features, in_features)
        self.register_parameter("bias", start(out_features) if bias else None)

    def forward(self, x: Tensor) -> Tensor:
        """The layer's result."""
        return F.linear(x, self.weight, self.bias, quantization=self.quantization)

    def extra_repr(self) -> str:
        """Sizes."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Conv2d(_Layer):
    """Cross-correlation; weight (out_channels, in_channels / groups, row, column)."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        dilation: Any = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros", device: Any = None,
        dtype: Any = None, *, rng: np.random.Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__(device, dtype)
        check_sizes("Conv2d", in_channels=in_channels, out_channels=out_channels, groups=groups)
        if in_channels % groups or out_channels % groups:
            got = f"in_channels={in_channels}, out_channels={out_channels}, groups={groups}"
            raise ArgumentError(expected("Conv2d", "channels that the groups divide", got, "change the groups"))
        if padding_mode != "zeros":
            got = f"padding_mode={padding_mode!r}"
            raise ArgumentError(expected("Conv2d", "padding_mode='zeros'", got, "pad with fp.pad first"))
        if isinstance(padding, str) and padding not in ("same", "valid"):
            got = f"padding={padding!r}"
            raise ArgumentError(expected("Conv2d", "numbers, 'same' or 'valid'", got, "choose one"))
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = F.pair("Conv2d", "kernel_size", kernel_size, 1)
        self.stride = F.pair("Conv2d", "stride", stride, 1)
        self.padding = padding if isinstance(padding, str) else F.pair("Conv2d", "padding", padding)
        self.dilation = F.pair("Conv2d", "dilation", dilation, 1)
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        start = init.uniform_by_fan_in(shape[1] * shape[2] * shape[3], self.precision, rng)
        self.weight = start(*shape)
        self.register_parameter("bias", start(out_channels) if bias else None)

    def forward(self, x: Tensor) -> Tensor:
        """The layer's result."""
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        """Sizes, and what is not as usual."""
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        for name, usual in (("padding", (0, 0)), ("dilation", (1, 1)), ("groups", 1)):
            if getattr(self, name) != usual:
                text += f", {name}={getattr(self, name)}"
        return text if self.bias is not None else f"{text}, bias=False"


class BatchNorm2d(_Layer):
    """Normalise each channel over the batch in training, by the running statistics in evaluation.

    Notes
    -----
    Precision: the running statistics stay in the format that the layer was made with, under `half` too, and move by
    PyTorch's rule ``(1 - momentum) * running + momentum * batch``, each step rounded to it (``momentum=None``: the
    plain average so far).
    """

    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: np.int64

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True, device: Any = None, dtype: Any = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(device, dtype)
        check_sizes("BatchNorm2d", num_features=num_features)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        ones, zeros = np.ones(num_features), np.zeros(num_features)
        self.register_parameter("weight", Parameter(ones, precision=self.precision) if affine else None)
        self.register_parameter("bias", Parameter(zeros, precision=self.precision) if affine and bias else None)
        kept = Precision(self.precision.storage)
        for name, value in (("running_mean", zeros), ("running_var", ones)):
            self.register_buffer(name, Tensor(store(value, kept), kept) if track_running_stats else None)
        self.register_buffer("num_batches_tracked", np.int64(0) if track_running_stats else None)

    def forward(self, x: Tensor) -> Tensor:
        """The layer's result."""
        if x.ndim != 4 or x.shape[1] != self.num_features:
            invariant = f"images (n, {self.num_features}, row, column)"
            raise ShapeError(expected("BatchNorm2d", invariant, f"x.shape={x.shape}", "check num_features"))
        tracks = self.track_running_stats
        momentum = 0.0 if self.momentum is None else self.momentum
        if self.training and tracks:
            self.num_batches_tracked = np.int64(self.num_batches_tracked + 1)
            if self.momentum is None:
                momentum = 1 / float(self.num_batches_tracked)
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.training or not tracks, momentum,
            self.eps,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """Settings."""
        settings = f"eps={self.eps}, momentum={self.momentum}, affine={self.affine}, bias={self.bias is not None}"
        return f"{self.num_features}, {settings}, track_running_stats={self.track_running_stats}"


class LayerNorm(_Layer):
    """Normalise over the last axes, of the sizes `normalized_shape`."""

    def __init__(
        self, normalized_shape: Any, eps: float = 1e-5, elementwise_affine: bool = True, bias: bool = True,
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(device, dtype)
        sizes = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        for size in sizes:
            check_sizes("LayerNorm", normalized_shape=size)
        self.normalized_shape, self.eps, self.elementwise_affine = sizes, eps, elementwise_affine
        ones, zeros = np.ones(sizes), np.zeros(sizes)
        self.register_parameter("weight", Parameter(ones, precision=self.precision) if elementwise_affine else None)
        has_bias = elementwise_affine and bias
        self.register_parameter("bias", Parameter(zeros, precision=self.precision) if has_bias else None)

    def forward(self, x: Tensor) -> Tensor:
        """The layer's result."""
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Settings."""
        affine = f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        return f"{self.normalized_shape}, eps={self.eps}, {affine}"


class Embedding(_Layer):
    """Rows of a table by integer index; weight (num_embeddings, embedding_dim)."""

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None, max_norm: float | None = None,
        norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False, _weight: Any = None,
        _freeze: bool = False, device: Any = None, dtype: Any = None, *, rng: np.random.Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__(device, dtype)
        check_sizes("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        if max_norm is not None or scale_grad_by_freq:
            got = f"max_norm={max_norm!r}, scale_grad_by_freq={scale_grad_by_freq!r}"
            raise ArgumentError(expected("Embedding", "rows as they are", got, "leave both out"))
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            got = f"padding_idx={padding_idx}"
            raise ArgumentError(expected("Embedding", f"a row below {num_embeddings}", got, "correct it"))
        self.num_embeddings, self.embedding_dim, self.padding_idx = num_embeddings, embedding_dim, padding_idx
        if _weight is None:
            rows = init.source_of(rng).normal(size=(num_embeddings, embedding_dim))
            if padding_idx is not None:
                rows[padding_idx] = 0
        else:
            rows = np.asarray(_weight)
        self.weight = Parameter(rows, requires_grad=not _freeze, precision=self.precision)

    def forward(self, indices: Any) -> Tensor:
        """The rows."""
        return F.embedding(indices, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        """Sizes."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
