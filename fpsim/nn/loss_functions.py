"""The losses as functions, under PyTorch's names: targets checked and brought into the operations' form.

Layer 5. No arithmetic here; the operations are in `fpsim.ops.loss`. Users reach these through `functional`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fpsim.autograd.context import current, stored
from fpsim.autograd.tensor import Tensor, store
from fpsim.errors import ArgumentError, ArgumentTypeError, DataError, PrecisionError, ShapeError, expected
from fpsim.ops import loss
from fpsim.ops.functions import mean, mul, squeeze, sub, sum, unsqueeze
from fpsim.precision import Precision

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "checked_tensor",
    "cross_entropy",
    "mse_loss",
    "nll_loss",
]

REDUCTIONS = ("mean", "sum", "none")


def checked_tensor(op: str, x: Any) -> Tensor:
    """`x`, which must be a tensor."""
    if not isinstance(x, Tensor):
        raise ArgumentTypeError(expected(op, "a tensor", type(x).__name__, "make one with fp.tensor(x)"))
    return x


def _reduction(op: str, reduction: str, size_average: bool | None, reduce: bool | None) -> str:
    if size_average is not None or reduce is not None:
        got = f"size_average={size_average!r}, reduce={reduce!r}"
        raise ArgumentError(expected(op, "reduction= in place of PyTorch's former arguments", got, "leave both out"))
    if reduction not in REDUCTIONS:
        raise ArgumentError(expected(op, f"a reduction of {', '.join(REDUCTIONS)}", f"{reduction!r}", "choose one"))
    return reduction


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


def _class_loss(op: str, declared: Any, x: Tensor, target: Any, weight: Any, ignored: int, **options: Any) -> Tensor:
    x = checked_tensor(op, x)
    y = _labels(op, x, target, ignored)
    if x.ndim == 1:
        out = _class_loss(op, declared, unsqueeze(x, 0), y.reshape(1), weight, ignored, **options)
        return squeeze(out, 0) if options["reduction"] == "none" else out
    if weight is not None:
        weight = weight._data if isinstance(weight, Tensor) else np.asarray(weight, np.float64)
        if weight.shape != (x.shape[1],):
            got = f"weight.shape={weight.shape}"
            raise ShapeError(expected(op, f"a weight for each of {x.shape[1]} classes", got, "give one each"))
    return declared(x, labels=y, weight=weight, ignored=ignored, **options)


def nll_loss(
    input: Tensor, target: Any, weight: Any = None, size_average: bool | None = None, ignore_index: int = -100,
    reduce: bool | None = None, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """Negative log likelihood of log probabilities (n, class, ...) under integer labels (n, ...)."""
    reduction = _reduction("nll_loss", reduction, size_average, reduce)
    return _class_loss("nll_loss", loss.nll, input, target, weight, ignore_index, reduction=reduction)


def cross_entropy(
    input: Tensor, target: Any, weight: Any = None, size_average: bool | None = None, ignore_index: int = -100,
    reduce: bool | None = None, reduction: str = "mean", label_smoothing: float = 0.0,
) -> Tensor:  # fmt: skip
    """log_softmax over the classes, then negative log likelihood; each step rounded to the accumulator's format."""
    if not 0 <= label_smoothing <= 1:
        got = f"label_smoothing={label_smoothing!r}"
        raise ArgumentError(expected("cross_entropy", "smoothing from 0 to 1", got, "correct it"))
    options = {
        "smoothing": float(label_smoothing),
        "reduction": _reduction("cross_entropy", reduction, size_average, reduce),
    }
    return _class_loss("cross_entropy", loss.cross_entropy, input, target, weight, ignore_index, **options)


def _reduce(x: Tensor, reduction: str) -> Tensor:
    return x if reduction == "none" else sum(x) if reduction == "sum" else mean(x)


def _check_alike(op: str, x: Tensor, target: Any) -> None:
    if np.shape(target) != x.shape:
        got = f"input.shape={x.shape}, target.shape={np.shape(target)}"
        raise ShapeError(expected(op, "a target of the input's shape", got, "reshape one"))
    if x.size == 0:
        raise DataError(expected(op, "at least one sample", f"input.shape={x.shape}", "skip empty batches"))


def mse_loss(
    input: Tensor, target: Any, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
) -> Tensor:
    """``(input - target)^2``, reduced: a composite of three operations, each stored."""
    x = checked_tensor("mse_loss", input)
    _check_alike("mse_loss", x, target)
    reduction = _reduction("mse_loss", reduction, size_average, reduce)
    autocast = current().autocast
    if autocast is not None and (listed := autocast.precision_for("mse_loss", [x.precision])) is not None:
        x = x.to(listed)
    difference = sub(x, target)
    return _reduce(mul(difference, difference), reduction)


def binary_cross_entropy(
    input: Tensor, target: Any, weight: Any = None, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """``-(y log p + (1 - y) log(1 - p))`` of probabilities, logarithms at least -100.

    Refused under autocast, as in PyTorch: a probability near 1 is 1 in float16, whatever the logit.
    """
    p = checked_tensor("binary_cross_entropy", input)
    if current().autocast is not None:
        got, remedy = "autocast", "use binary_cross_entropy_with_logits, or leave autocast for it (enabled=False)"
        raise PrecisionError(expected("binary_cross_entropy", "probabilities that no autocast chose", got, remedy))
    _check_alike("binary_cross_entropy", p, target)
    reduction = _reduction("binary_cross_entropy", reduction, size_average, reduce)
    if ((p._data < 0) | (p._data > 1)).any():
        got = f"input from {np.nanmin(p._data):g} to {np.nanmax(p._data):g}"
        raise DataError(expected("binary_cross_entropy", "probabilities from 0 to 1", got, "apply sigmoid first"))
    return loss.bce(p, target, weight, reduction=reduction)


def binary_cross_entropy_with_logits(
    input: Tensor, target: Any, weight: Any = None, size_average: bool | None = None, reduce: bool | None = None,
    reduction: str = "mean", pos_weight: Any = None,
) -> Tensor:  # fmt: skip
    """Binary cross entropy of sigmoid(input), in the form that does not overflow."""
    x = checked_tensor("binary_cross_entropy_with_logits", input)
    _check_alike("binary_cross_entropy_with_logits", x, target)
    options = {"reduction": _reduction("binary_cross_entropy_with_logits", reduction, size_average, reduce)}
    if not isinstance(target, Tensor):
        plain = Precision(x.dtype, x.accumulate)
        values = np.asarray(target, np.float64)
        target = stored(Tensor(store(values, plain), x.precision), values, "tensor")
    return loss.bce_with_logits(x, target, weight, pos_weight, **options)
