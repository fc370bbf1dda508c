"""Layers and losses as functions, under PyTorch's names: arguments checked and brought into the operations' form.

Layer 5. No arithmetic here; the operations are in `fpsim.ops`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fpsim.autograd.context import current
from fpsim.autograd.tensor import Tensor, store
from fpsim.errors import ArgumentError, ArgumentTypeError, DataError, ShapeError, expected
from fpsim.ops import conv, elementwise, linalg, norm
from fpsim.ops import loss as losses
from fpsim.ops.functions import (
    flatten, gelu, getitem, log_softmax, mean, mul, pad, relu, sigmoid, softmax, sub, sum, tanh, where,
)  # fmt: skip
from fpsim.precision import Precision

__all__ = [
    "avg_pool2d", "batch_norm", "binary_cross_entropy_with_logits", "conv2d", "cross_entropy", "dropout", "embedding",
    "flatten", "gelu", "layer_norm", "linear", "log_softmax", "max_pool2d", "mse_loss", "nll_loss", "pad", "relu",
    "sigmoid", "softmax", "tanh",
]  # fmt: skip

REDUCTIONS = ("mean", "sum", "none")


def _tensor(op: str, x: Any) -> Tensor:
    if not isinstance(x, Tensor):
        raise ArgumentTypeError(expected(op, "a tensor", type(x).__name__, "make one with fp.tensor(x)"))
    return x


def pair(op: str, name: str, value: Any, least: int = 0) -> tuple[int, int]:
    """One integer for both axes, or two."""
    values = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value, value)
    sound = len(values) == 2 and all(isinstance(v, int | np.integer) and not isinstance(v, bool) for v in values)
    if not sound or min(values) < least:
        raise ArgumentError(expected(op, f"one or two integers of at least {least}", f"{name}={value!r}", "correct it"))
    return int(values[0]), int(values[1])


def _reduction(op: str, reduction: str) -> str:
    if reduction not in REDUCTIONS:
        raise ArgumentError(expected(op, f"a reduction of {', '.join(REDUCTIONS)}", f"{reduction!r}", "choose one"))
    return reduction


# Layers --------------------------------------------------------------------------------------------------------------


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x @ weight.T + bias`` over the last axis; the bias is added in the accumulator."""
    x = _tensor("linear", x)
    if x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        got = f"x.shape={x.shape}, weight.shape={weight.shape}"
        raise ShapeError(expected("linear", f"{weight.shape[1]} features in the last axis", got, "flatten the input"))
    return linalg.linear(x, weight, bias)


def conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Tensor:  # fmt: skip
    """Cross-correlation of images (n, channel, row, column), or one image, with kernels (out, channel / groups, ...)."""
    x = _tensor("conv2d", x)
    if x.ndim == 3:
        return conv2d(x.unsqueeze(0), weight, bias, stride, padding, dilation, groups).squeeze(0)
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
    sizes = [n + sum_ - d * (k - 1) for n, sum_, d, k in zip(x.shape[2:], map(_total, border), dilation, kernel, strict=True)]
    if min(sizes) < 1:
        raise ShapeError(expected("conv2d", "images at least as large as the kernel", got, "add padding"))
    return conv.conv2d(x, weight, bias, stride=stride, padding=border, dilation=dilation, groups=groups)


def _total(ends: tuple[int, int]) -> int:
    return ends[0] + ends[1]


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
    x: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> Tensor:
    """The largest of each window, the first of equals; NaN wins."""
    x = _tensor("max_pool2d", x)
    if x.ndim == 3:
        return max_pool2d(x.unsqueeze(0), kernel_size, stride, padding, dilation, ceil_mode).squeeze(0)
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
    x = _tensor("avg_pool2d", x)
    if x.ndim == 3:
        options = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
        return avg_pool2d(x.unsqueeze(0), *options).squeeze(0)
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
    x: Tensor, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None, training: bool = False,
    eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """Normalise each channel by the batch's statistics (training, or none kept) or by the running ones."""
    shape = (1, -1, *[1] * (x.ndim - 2))
    w, b = (None if p is None else p.reshape(shape) for p in (weight, bias))
    if training or running_mean is None:
        axis = (0, *range(2, x.ndim))
        if int(np.prod([x.shape[i] for i in axis])) < 2 and training:
            got = f"x.shape={x.shape}"
            raise ShapeError(expected("batch_norm", "more than one value per channel in training", got, "use eval()"))
        return norm.batch_norm(x, w, b, axis=axis, eps=eps)
    stats = {"mean": running_mean, "var": running_var}
    arrays = {k: (v._data if isinstance(v, Tensor) else np.asarray(v)).reshape(shape) for k, v in stats.items()}
    return norm.normalize_with(x, w, b, **arrays, eps=eps)


def layer_norm(x: Tensor, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    """Normalise over the last axes, of the sizes named."""
    sizes = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not sizes or x.shape[-len(sizes) :] != sizes:
        got = f"x.shape={x.shape}"
        raise ShapeError(expected("layer_norm", f"last sizes {sizes}", got, "check normalized_shape"))
    return norm.layer_norm(x, weight, bias, axis=tuple(range(x.ndim - len(sizes), x.ndim)), eps=eps)


def embedding(indices: Any, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Rows of `weight`; the row `padding_idx` gets no gradient."""
    at = np.asarray(indices)
    if at.dtype.kind not in "iu":
        raise ArgumentTypeError(expected("embedding", "integer indices", f"dtype={at.dtype}", "convert with .astype(int)"))
    if at.size and (at.min() < 0 or at.max() >= len(weight)):
        got = f"indices from {at.min()} to {at.max()}"
        raise DataError(expected("embedding", f"indices from 0 to {len(weight) - 1}", got, "enlarge the embedding"))
    rows = getitem(weight, at)
    if padding_idx is None:
        return rows
    padded = np.broadcast_to((at == padding_idx % len(weight))[..., None], rows.shape)
    return where(padded, rows.detach(), rows)


def dropout(x: Tensor, p: float = 0.5, training: bool = True, rng: np.random.Generator | None = None) -> Tensor:
    """In training, zero with probability p, else ``x / (1 - p)``; drawn from the context's generator unless given."""
    if not 0 <= p <= 1:
        raise ArgumentError(expected("dropout", "a probability from 0 to 1", f"p={p!r}", "correct it"))
    if not training or p == 0:
        return x
    generator = current().generator if rng is None else rng
    kept = generator.random(x.shape) >= p
    return elementwise.dropout(x, kept=kept, probability=min(float(p), 1 - 2**-53))


# Losses --------------------------------------------------------------------------------------------------------------


def _labels(op: str, x: Tensor, target: Any, ignored: int) -> Any:
    """Integer labels of shape (n, ...) for scores (n, class, ...)."""
    y = target._data if isinstance(target, Tensor) else np.asarray(target)
    if y.dtype.kind == "f" and (y == np.floor(y)).all() and isinstance(target, Tensor):
        y = y.astype(np.int64)  # labels that went through fp.tensor
    if y.dtype.kind not in "iu":
        raise ArgumentTypeError(expected(op, "integer labels", f"dtype={y.dtype}", "give class numbers"))
    wanted = (x.shape[0], *x.shape[2:]) if x.ndim > 1 else ()
    if x.ndim == 0 or y.shape != wanted:
        got = f"input.shape={x.shape}, target.shape={y.shape}"
        raise ShapeError(expected(op, f"labels of shape {wanted}", got, "give one label per sample"))
    if y.size == 0:
        raise DataError(expected(op, "at least one sample", f"input.shape={x.shape}", "skip empty batches"))
    classes = x.shape[1] if x.ndim > 1 else x.shape[0]
    counted = y[y != ignored]
    if counted.size and (counted.min() < 0 or counted.max() >= classes):
        got = f"labels from {counted.min()} to {counted.max()}"
        raise DataError(expected(op, f"labels from 0 to {classes - 1}", got, "number the classes from 0"))
    return y


def _class_loss(op: str, declared: Any, x: Tensor, target: Any, weight: Any, ignored: int, reduction: str, **more: Any) -> Tensor:
    x = _tensor(op, x)
    y = _labels(op, x, target, ignored)
    if x.ndim == 1:
        x, y = x.unsqueeze(0), y.reshape(1)
        out = _class_loss(op, declared, x, y, weight, ignored, reduction, **more)
        return out.squeeze(0) if reduction == "none" else out
    if weight is not None:
        weight = weight._data if isinstance(weight, Tensor) else np.asarray(weight, np.float64)
        if weight.shape != (x.shape[1],):
            got = f"weight.shape={weight.shape}"
            raise ShapeError(expected(op, f"a weight for each of {x.shape[1]} classes", got, "give one each"))
    return declared(x, labels=y, weight=weight, ignored=ignored, reduction=_reduction(op, reduction), **more)


def nll_loss(
    input: Tensor, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"
) -> Tensor:
    """Negative log likelihood of log probabilities (n, class, ...)."""
    return _class_loss("nll_loss", losses.nll, input, target, weight, ignore_index, reduction)


def cross_entropy(
    input: Tensor, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:  # fmt: skip
    """log_softmax over the classes, then negative log likelihood; each step rounded to the accumulator's format."""
    if not 0 <= label_smoothing <= 1:
        got = f"label_smoothing={label_smoothing!r}"
        raise ArgumentError(expected("cross_entropy", "smoothing from 0 to 1", got, "correct it"))
    options = {"smoothing": float(label_smoothing)}
    return _class_loss("cross_entropy", losses.cross_entropy, input, target, weight, ignore_index, reduction, **options)


def _reduce(x: Tensor, reduction: str) -> Tensor:
    return x if reduction == "none" else sum(x) if reduction == "sum" else mean(x)


def _check_alike(op: str, x: Tensor, target: Any) -> None:
    if np.shape(target) != x.shape:
        got = f"input.shape={x.shape}, target.shape={np.shape(target)}"
        raise ShapeError(expected(op, "a target of the input's shape", got, "reshape one"))
    if x.size == 0:
        raise DataError(expected(op, "at least one sample", f"input.shape={x.shape}", "skip empty batches"))


def mse_loss(input: Tensor, target: Any, reduction: str = "mean") -> Tensor:
    """``(input - target)^2``, reduced: a composite of three operations, each stored."""
    x = _tensor("mse_loss", input)
    _check_alike("mse_loss", x, target)
    _reduction("mse_loss", reduction)
    autocast = current().autocast
    if autocast is not None and (listed := autocast.precision_for("mse_loss", [x.precision])) is not None:
        x = x.to(listed)
    difference = sub(x, target)
    return _reduce(mul(difference, difference), reduction)


def binary_cross_entropy_with_logits(
    input: Tensor, target: Any, weight: Any = None, reduction: str = "mean", pos_weight: Any = None
) -> Tensor:
    """Binary cross entropy of sigmoid(input), in the form that does not overflow."""
    x = _tensor("binary_cross_entropy_with_logits", input)
    _check_alike("binary_cross_entropy_with_logits", x, target)
    options = {"reduction": _reduction("binary_cross_entropy_with_logits", reduction)}
    if not isinstance(target, Tensor):
        plain = Precision(x.dtype, x.accumulate)
        target = Tensor(store(np.asarray(target, np.float64), plain), x.precision)
    return losses.bce_with_logits(x, target, weight, pos_weight, **options)
