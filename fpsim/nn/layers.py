"""The layers, under PyTorch's names and with its arguments.

Layer 5. A layer holds parameters and settings; what it computes is a function of `functional`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from fpsim.autograd.context import current, no_grad, using
from fpsim.autograd.tensor import Tensor, note_device, store
from fpsim.errors import ArgumentError, expected
from fpsim.nn import functional as F
from fpsim.nn import init
from fpsim.nn.module import Module
from fpsim.ops.functions import add, mul
from fpsim.precision import Precision

__all__ = [
    "GELU", "AvgPool2d", "BatchNorm2d", "Conv2d", "Dropout", "Embedding", "Flatten", "Identity", "LayerNorm", "Linear",
    "LogSoftmax", "MaxPool2d", "ModuleList", "ReLU", "Sequential", "Sigmoid", "Softmax", "Tanh",
]  # fmt: skip


def _positive(layer: str, **values: Any) -> None:
    for name, value in values.items():
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
            raise ArgumentError(expected(layer, "whole numbers of at least 1", f"{name}={value!r}", "correct it"))


class _Layer(Module):
    """A layer with parameters: it computes in the context's default precision unless assigned another."""

    def __init__(self, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        if device is not None:
            note_device()
        self._dtype = dtype
        object.__setattr__(self, "precision", current().default)

    def _finish(self) -> None:
        if self._dtype is not None:
            self.to(self._dtype)


class Linear(_Layer):
    """``x @ weight.T + bias``; weight (out_features, in_features)."""

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None,
        *, rng: np.random.Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__(device, dtype)
        _positive("Linear", in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        self.weight = init.uniform_by_fan_in((out_features, in_features), in_features, rng)
        self.register_parameter("bias", init.uniform_by_fan_in((out_features,), in_features, rng) if bias else None)
        self._finish()

    def forward(self, x: Tensor) -> Tensor:
        """The layer's result."""
        return F.linear(x, self.weight, self.bias)

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
        _positive("Conv2d", in_channels=in_channels, out_channels=out_channels, groups=groups)
        if in_channels % groups or out_channels % groups:
            got = f"in_channels={in_channels}, out_channels={out_channels}, groups={groups}"
            raise ArgumentError(expected("Conv2d", "channels that the groups divide", got, "change the groups"))
        if padding_mode != "zeros":
            got = f"padding_mode={padding_mode!r}"
            raise ArgumentError(expected("Conv2d", "padding_mode='zeros'", got, "pad with fp.pad first"))
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = F.pair("Conv2d", "kernel_size", kernel_size, 1)
        self.stride = F.pair("Conv2d", "stride", stride, 1)
        self.padding = padding if isinstance(padding, str) else F.pair("Conv2d", "padding", padding)
        self.dilation = F.pair("Conv2d", "dilation", dilation, 1)
        fan_in = in_channels // groups * self.kernel_size[0] * self.kernel_size[1]
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        self.weight = init.uniform_by_fan_in(shape, fan_in, rng)
        self.register_parameter("bias", init.uniform_by_fan_in((out_channels,), fan_in, rng) if bias else None)
        self._finish()

    def forward(self, x: Tensor) -> Tensor:
        """The layer's result."""
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        """Sizes."""
        return f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"


class MaxPool2d(Module):
    """The largest of each window."""

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        if return_indices:
            got = "return_indices=True"
            raise ArgumentError(expected("MaxPool2d", "values only", got, "leave return_indices out"))
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.dilation, self.ceil_mode = dilation, ceil_mode

    def forward(self, x: Tensor) -> Tensor:
        """The layer's result."""
        return F.max_pool2d(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)

    def extra_repr(self) -> str:
        """Window."""
        return f"kernel_size={self.kernel_size}, stride={self.stride or self.kernel_size}, padding={self.padding}"


class AvgPool2d(Module):
    """The mean of each window."""

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.options = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)

    def forward(self, x: Tensor) -> Tensor:
        """The layer's result."""
        return F.avg_pool2d(x, *self.options)

    def extra_repr(self) -> str:
        """Window."""
        kernel_size, stride, padding = self.options[:3]
        return f"kernel_size={kernel_size}, stride={stride or kernel_size}, padding={padding}"


class BatchNorm2d(_Layer):
    """Normalise each channel over the batch; running statistics are kept in a format of their own.

    The running statistics stay in the precision that the layer was made with, under `half` too.
    """

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(device, dtype)
        _positive("BatchNorm2d", num_features=num_features)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self.register_parameter("weight", init.ones(num_features) if affine else None)
        self.register_parameter("bias", init.zeros(num_features) if affine else None)
        kept = Precision(current().default.storage)
        for name, value in (("running_mean", np.zeros(num_features)), ("running_var", np.ones(num_features))):
            self.register_buffer(name, Tensor(store(value, kept), kept) if track_running_stats else None)
        self.register_buffer("num_batches_tracked", np.int64(0) if track_running_stats else None)
        self._finish()

    def forward(self, x: Tensor) -> Tensor:
        """The layer's result."""
        F._check_images("BatchNorm2d", x)
        if x.shape[1] != self.num_features:
            got = f"x.shape={x.shape}"
            raise ArgumentError(expected("BatchNorm2d", f"{self.num_features} channels", got, "check num_features"))
        use_batch = self.training or not self.track_running_stats
        out = F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, use_batch, self.eps)
        if self.training and self.track_running_stats:
            self._track(x)
        return out

    def _track(self, x: Tensor) -> None:
        """``running += momentum * (batch - running)`` in the statistics' own format; the variance is unbiased."""
        self.num_batches_tracked = np.int64(self.num_batches_tracked + 1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        with no_grad(), using(precision=None):
            kept = self.running_mean.precision
            wide = x.detach().to(Precision(kept.storage)) if not x.dtype.holds(kept.storage) else x.detach()
            for name, batch in (("running_mean", wide.mean(dim=(0, 2, 3))), ("running_var", wide.var(dim=(0, 2, 3)))):
                old = getattr(self, name)
                moved = add(mul(old, 1 - share), mul(batch.to(kept), share))
                self._buffers[name] = moved.to(kept)

    def extra_repr(self) -> str:
        """Settings."""
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}"


class LayerNorm(_Layer):
    """Normalise over the last axes."""

    def __init__(
        self, normalized_shape: Any, eps: float = 1e-5, elementwise_affine: bool = True, bias: bool = True,
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(device, dtype)
        sizes = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.normalized_shape, self.eps = sizes, eps
        self.register_parameter("weight", init.ones(sizes) if elementwise_affine else None)
        self.register_parameter("bias", init.zeros(sizes) if elementwise_affine and bias else None)
        self._finish()

    def forward(self, x: Tensor) -> Tensor:
        """The layer's result."""
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """Settings."""
        return f"{self.normalized_shape}, eps={self.eps}"


class Embedding(_Layer):
    """Rows of a table by integer index; weight (num_embeddings, embedding_dim)."""

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None, device: Any = None,
        dtype: Any = None, *, rng: np.random.Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__(device, dtype)
        _positive("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        self.num_embeddings, self.embedding_dim, self.padding_idx = num_embeddings, embedding_dim, padding_idx
        self.weight = init.normal((num_embeddings, embedding_dim), rng)
        if padding_idx is not None:
            rows = self.weight._data.copy()
            rows[padding_idx] = 0
            self.weight.replace_values(rows)
        self._finish()

    def forward(self, indices: Any) -> Tensor:
        """The rows."""
        return F.embedding(indices, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        """Sizes."""
        return f"{self.num_embeddings}, {self.embedding_dim}"


class Dropout(Module):
    """In training, zero with probability p, else ``x / (1 - p)``."""

    def __init__(self, p: float = 0.5, inplace: bool = False, *, rng: np.random.Generator | None = None) -> None:
        super().__init__()
        self.p, self.rng = p, rng

    def forward(self, x: Tensor) -> Tensor:
        """The layer's result."""
        return F.dropout(x, self.p, self.training, self.rng)

    def extra_repr(self) -> str:
        """Probability."""
        return f"p={self.p}"


class Flatten(Module):
    """The axes from `start_dim` to `end_dim` as one."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Tensor) -> Tensor:
        """The layer's result."""
        return F.flatten(x, self.start_dim, self.end_dim)


class Identity(Module):
    """The input itself."""

    def __init__(self, *ignored: Any, **also_ignored: Any) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """The input."""
        return x


class ReLU(Module):
    """``x`` where positive, else 0."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """The layer's result."""
        return F.relu(x)


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


class GELU(Module):
    """``x * Phi(x)``, the erf form."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        """The layer's result."""
        return F.gelu(x, self.approximate)


class Softmax(Module):
    """``exp(x - max) / sum`` along an axis."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """The layer's result."""
        return F.softmax(x, self.dim)

    def extra_repr(self) -> str:
        """Axis."""
        return f"dim={self.dim}"


class LogSoftmax(Softmax):
    """``x - max - log(sum)`` along an axis."""

    def forward(self, x: Tensor) -> Tensor:
        """The layer's result."""
        return F.log_softmax(x, self.dim)


class Sequential(Module):
    """Modules one after the other: arguments, or an OrderedDict of names."""

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        named = len(modules) == 1 and isinstance(modules[0], dict | OrderedDict)
        for name, module in modules[0].items() if named else enumerate(modules):
            self.add_module(str(name), module)

    def forward(self, x: Any) -> Any:
        """The last module's result."""
        for module in self.children():
            x = module(x)
        return x

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    def __getitem__(self, index: Any) -> Any:
        parts = list(self.children())[index]
        return type(self)(*parts) if isinstance(index, slice) else parts

    def append(self, module: Module) -> Sequential:
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self


class ModuleList(Module):
    """A list whose modules belong to the network."""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self.extend(modules)

    def append(self, module: Module) -> ModuleList:
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> ModuleList:
        """Add modules at the end."""
        for module in modules:
            self.append(module)
        return self

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    def __getitem__(self, index: Any) -> Any:
        parts = list(self.children())[index]
        return ModuleList(parts) if isinstance(index, slice) else parts


