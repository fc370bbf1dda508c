"""Layers and losses as functions, under PyTorch's names: arguments checked and brought into the operations' form.

Layer 5. No arithmetic here; the operations are in `fpsim.ops`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fpsim.autograd.context import current, using
from fpsim.autograd.tensor import Tensor
from fpsim.errors import ArgumentError, ArgumentTypeError, DataError, ShapeError, expected
from fpsim.nn.attention_functions import scaled_dot_product_attention
from fpsim.nn.loss_functions import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    checked_tensor,
    cross_entropy,
    mse_loss,
    nll_loss,
)
from fpsim.ops import conv, elementwise, linalg, norm
from fpsim.ops.functions import (
    add,
    flatten,
    gelu,
    getitem,
    log_softmax,
    mean,
    mul,
    pad,
    relu,
    sigmoid,
    softmax,
    squeeze,
    tanh,
    unsqueeze,
    var,
    where,
)
from fpsim.precision import Precision

__all__ = [
    "avg_pool2d", "batch_norm", "binary_cross_entropy",
    "binary_cross_entropy_with_logits", "conv2d", "cross_entropy", "dropout", "embedding",
    "flatten", "gelu", "layer_norm", "linear", "log_softmax", "max_pool2d", "mse_loss", "nll_loss", "pad", "relu",
    "scaled_dot_product_attention", "sigmoid", "softmax", "tanh",
]  # fmt: skip


def pair(op: str, name: str, value: Any, least: int = 0) -> tuple[int, int]:
    """One integer for both axes, or two."""
    values = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value, value)
    sound = len(values) == 2 and all(isinstance(v, int | np.integer) and not isinstance(v, bool) for v in values)
    if not sound or min(values) < least:
        raise ArgumentError(expected(op, f"one or two integers of at least {least}", f"{name}={value!r}", "correct it"))
    return int(values[0]), int(values[1])


# Layers --------------------------------------------------------------------------------------------------------------


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, quantization: Any = None) -> Tensor:
    """``x @ weight.T + bias`` over the last axis; the bias is added in the accumulator.

    With a `quantization` (see `fp.amp.quantize`) the operands are quantised first, and the gradient in backward.
    """
    x = checked_tensor("linear", x)
    if x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        got = f"x.shape={x.shape}, weight.shape={weight.shape}"
        raise ShapeError(expected("linear", f"{weight.shape[1]} features in the last axis", got, "flatten the input"))
    if quantization is None:
        return linalg.linear(x, weight, bias)
    return linalg.quantized_linear(x, weight, bias, quantized=quantization.of_call())


def conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Tensor:  # fmt: skip
    """Cross-correlation of images (n, channel, row, column), or of one, with kernels (out, channel / groups, ...)."""
    x = checked_tensor("conv2d", x)
    if x.ndim == 3:
        return squeeze(conv2d(unsqueeze(x, 0), weight, bias, stride, padding, dilation, groups), 0)
    stride, dilation = pair("conv2d", "stride", stride, 1), pair("conv2d", "dilation", dilation, 1)
    kernel = weight.shape[2:]
    got = f"x.shape={x.shape}, weight.shape={weight.shape}, groups={groups}"
    if x.ndim != 4 or x.shape[1] != weight.shape[1] * groups or weight.shape[0] % groups:
        invariant = f"images (n, {weight.shape[1] * groups}, row, column)"
        raise ShapeError(expected("conv2d", invariant, got, "check the channels and groups"))
    if padding == "same":
        spans = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        if stride != (1, 1):
            raise ArgumentError(expected("conv2d", "stride 1 with padding='same'", f"stride={stride}", "give numbers"))
        border = tuple((span // 2, span - span // 2) for span in spans)
    else:
        up, left = pair("conv2d", "padding", 0 if padding == "valid" else padding)
        border = ((up, up), (left, left))
    axes = zip(x.shape[2:], border, dilation, kernel, strict=True)
    if min(n + before + after - d * (k - 1) for n, (before, after), d, k in axes) < 1:
        raise ShapeError(expected("conv2d", "images at least as large as the kernel", got, "add padding"))
    return conv.conv2d(x, weight, bias, stride=stride, padding=border, dilation=dilation, groups=groups)


def _windows(
    op: str, x: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> dict[str, Any]:
    """Kernel, stride, dilation and both borders of pooling; `ceil_mode` enlarges the far border to a last window."""
    kernel = pair(op, "kernel_size", kernel, 1)
    stride = kernel if stride is None else pair(op, "stride", stride, 1)
    padding, dilation = pair(op, "padding", padding), pair(op, "dilation", dilation, 1)
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        got = f"padding={padding}, kernel_size={kernel}"
        raise ArgumentError(expected(op, "padding of at most half the kernel", got, "make it smaller"))
    border = []
    for n, k, s, p, d in zip(x.shape[2:], kernel, stride, padding, dilation, strict=True):
        room = n + 2 * p - d * (k - 1) - 1
        if room < 0:
            got = f"x.shape={x.shape}, kernel_size={kernel}"
            raise ShapeError(expected(op, "images at least as large as the window", got, "add padding"))
        more = -room % s if ceil_mode else 0
        if more and (room // s + 1) * s >= n + p:  # the last window must start inside the image or the near border
            more = 0
        border.append((p, p + more))
    return {"kernel": kernel, "stride": stride, "padding": tuple(border), "dilation": dilation}


def max_pool2d(
    x: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:  # fmt: skip
    """The largest of each window, the first of equals; NaN wins."""
    x = checked_tensor("max_pool2d", x)
    if return_indices:
        raise ArgumentError(expected("max_pool2d", "values only", "return_indices=True", "leave it out"))
    if x.ndim == 3:
        return squeeze(max_pool2d(unsqueeze(x, 0), kernel_size, stride, padding, dilation, ceil_mode), 0)
    _check_images("max_pool2d", x)
    return conv.max_pool2d(x, **_windows("max_pool2d", x, kernel_size, stride, padding, dilation, ceil_mode))


def _check_images(op: str, x: Tensor) -> None:
    if x.ndim != 4:
        raise ShapeError(expected(op, "images (n, channel, row, column)", f"x.shape={x.shape}", "reshape them"))


def avg_pool2d(
    x: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """The mean of each window."""
    x = checked_tensor("avg_pool2d", x)
    if x.ndim == 3:
        options = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
        return squeeze(avg_pool2d(unsqueeze(x, 0), *options), 0)
    _check_images("avg_pool2d", x)
    window = _windows("avg_pool2d", x, kernel_size, stride, padding, 1, ceil_mode)
    window.pop("dilation")
    near = pair("avg_pool2d", "padding", padding)
    counted = near if count_include_pad else (0, 0)
    axes = zip(x.shape[2:], window["kernel"], window["stride"], near, counted, window["padding"], strict=True)
    per_axis = []
    for n, k, s, p, c, (_, far) in axes:
        starts = np.arange((n + p + far - k) // s + 1) * s - p
        per_axis.append(np.minimum(starts + k, n + c) - np.maximum(starts, -c))
    divisors = np.outer(*per_axis).astype(np.float64)
    if divisor_override is not None:
        divisors = np.full_like(divisors, pair("avg_pool2d", "divisor_override", divisor_override, 1)[0])
    return conv.avg_pool2d(x, **window, divisors=divisors)


def batch_norm(
    x: Tensor, running_mean: Tensor | None, running_var: Tensor | None, weight: Any = None, bias: Any = None,
    training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """Normalise each channel by the batch's statistics (training, or none kept) or by the running ones.

    In training the running ones move, in place: ``running = (1 - momentum) * running + momentum * batch``, each step
    rounded to their own format, the batch's variance divided by n - 1.
    """
    shape = (1, -1, *[1] * (x.ndim - 2))
    w, b = (None if p is None else p.reshape(shape) for p in (weight, bias))
    if not training and running_mean is not None:
        assert running_var is not None
        mean_, var_ = (kept._data.reshape(shape) for kept in (running_mean, running_var))
        return norm.normalize_with(x, w, b, mean=mean_, var=var_, eps=eps)
    axis = (0, *range(2, x.ndim))
    if training and x.size // max(x.shape[1], 1) < 2:
        got = f"x.shape={x.shape}"
        raise ShapeError(expected("batch_norm", "more than one value per channel in training", got, "use eval()"))
    out = norm.batch_norm(x, w, b, axis=axis, eps=eps)
    if training and running_mean is not None:
        for running, statistic in ((running_mean, mean), (running_var, var)):
            assert running is not None
            _move(running, statistic, x, axis, momentum)
    return out


def _move(running: Tensor, statistic: Callable[..., Tensor], x: Tensor, axis: tuple[int, ...], momentum: float) -> None:
    """Move a running statistic towards the batch's, computed in the wider of its own format and the input's."""
    own = running.precision
    order = (current().precision or x.precision).order
    plain = Precision(own.storage, order=None if order == "blas" else order)
    with using(precision=None, autocast=None, grad_enabled=False):
        batch = statistic(x.detach() if x.dtype.holds(own.storage) else x.detach().to(plain), dim=axis)
        moved = add(mul(running.detach(), 1 - momentum), mul(batch.to(own), momentum))
        running.replace_values(moved.to(own)._data)


def layer_norm(x: Tensor, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    """Normalise over the last axes, of the sizes named."""
    x = checked_tensor("layer_norm", x)
    sizes = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not sizes or x.shape[-len(sizes) :] != sizes:
        got = f"x.shape={x.shape}"
        raise ShapeError(expected("layer_norm", f"last sizes {sizes}", got, "check normalized_shape"))
    return norm.layer_norm(x, weight, bias, axis=tuple(range(x.ndim - len(sizes), x.ndim)), eps=eps)


def embedding(
    indices: Any, weight: Tensor, padding_idx: int | None = None, max_norm: float | None = None,
    norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False,
) -> Tensor:  # fmt: skip
    """Rows of `weight`; the row `padding_idx` gets no gradient."""
    if max_norm is not None or scale_grad_by_freq:
        got = f"max_norm={max_norm!r}, scale_grad_by_freq={scale_grad_by_freq!r}"
        raise ArgumentError(expected("embedding", "rows as they are", got, "leave both out"))
    at = np.asarray(indices)
    if at.dtype.kind not in "iu":
        got = f"dtype={at.dtype}"
        raise ArgumentTypeError(expected("embedding", "integer indices", got, "convert with .astype(int)"))
    if at.size and (at.min() < 0 or at.max() >= len(weight)):
        got = f"indices from {at.min()} to {at.max()}"
        raise DataError(expected("embedding", f"indices from 0 to {len(weight) - 1}", got, "enlarge the embedding"))
    rows = getitem(weight, at)
    if padding_idx is None:
        return rows
    padded = np.broadcast_to((at == padding_idx % len(weight))[..., None], rows.shape)
    return where(padded, rows.detach(), rows)


def dropout(
    x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, *,
    rng: np.random.Generator | None = None,
) -> Tensor:  # fmt: skip
    """In training, zero with probability p, else ``x / (1 - p)``; drawn from the context's generator unless given.

    `inplace` is ignored.
    """
    x = checked_tensor("dropout", x)
    if not 0 <= p <= 1:
        raise ArgumentError(expected("dropout", "a probability from 0 to 1", f"p={p!r}", "correct it"))
    if not training or p == 0:
        return x
    generator = current().generator if rng is None else rng
    kept = generator.random(x.shape) >= p
    return elementwise.dropout(x, kept=kept, probability=min(float(p), 1 - 2**-53))
