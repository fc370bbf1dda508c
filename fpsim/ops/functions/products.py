"""Products of matrices: matmul, dot, einsum.

Layer 4. No arithmetic here, only arguments.
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np

from fpsim.autograd.engine import _prepared
from fpsim.autograd.tensor import Tensor, register_numpy
from fpsim.errors import ArgumentTypeError, ShapeError, expected
from fpsim.ops import linalg, reduce, shape
from fpsim.ops.functions.arguments import Numbers, _as_operand, _not_none
from fpsim.ops.functions.shapes import getitem, squeeze, unsqueeze
from fpsim.precision import promote


@register_numpy(np.matmul)
def matmul(x: Numbers, y: Numbers) -> Tensor:
    """``out[..., i, j] = sum_k x[..., i, k] * y[..., k, j]`` by the accumulator, rounded once; batches broadcast."""
    _not_none("matmul", x, y)
    if not isinstance(x, Tensor) and not isinstance(y, Tensor):
        x = _as_operand("matmul", x)
    precision = promote([t.precision for t in (x, y) if isinstance(t, Tensor)])
    x, y = (t if isinstance(t, Tensor) else Tensor(_prepared("matmul", t, precision), precision) for t in (x, y))
    got = f"x.shape={x.shape}, y.shape={y.shape}"
    if x.ndim == 0 or y.ndim == 0:
        raise ShapeError(expected("matmul", "at least one axis", got, "use * to scale"))
    if x.shape[-1] != y.shape[0 if y.ndim == 1 else -2]:
        raise ShapeError(expected("matmul", "inner sizes that agree", got, "transpose one of them"))
    one_row, one_column = x.ndim == 1, y.ndim == 1
    x = unsqueeze(x, 0) if one_row else x
    y = unsqueeze(y, 1) if one_column else y
    try:
        np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    except ValueError:
        remedy = "make the leading sizes equal or 1"
        raise ShapeError(expected("matmul", "batch sizes that broadcast", got, remedy)) from None
    out = linalg.matmul(x, y)
    if one_row:
        out = squeeze(out, -2)
    return squeeze(out, -1) if one_column else out


@register_numpy(np.dot)
def dot(x: Numbers, y: Numbers) -> Tensor:
    """`matmul` of vectors and matrices; beyond two axes `np.dot` means something else."""
    if builtins.max(np.ndim(x), np.ndim(y)) > 2:
        got = f"{np.ndim(x)} and {np.ndim(y)}"
        raise ShapeError(expected("dot", "at most two axes", got, "use matmul, or einsum for np.dot's outer axes"))
    return matmul(x, y)


@register_numpy(np.einsum)
def einsum(equation: str, *operands: Any) -> Tensor:
    """Sums of products over labels, as in NumPy; more than two operands from left to right, each result stored.

    >>> import fpsim as fp
    >>> fp.einsum("ij,j->i", fp.ones(2, 3), fp.ones(3))
    tensor([3., 3.], float32, accumulates in float32)
    """
    xs = [
        _as_operand("einsum", x)
        for x in (operands[0] if len(operands) == 1 and isinstance(operands[0], list | tuple) else operands)
    ]
    of_operands, of_out = _labels(equation, xs)
    diagonals = [_diagonal(x, labels) for x, labels in zip(xs, of_operands, strict=True)]
    xs, of_operands = [x for x, _ in diagonals], [labels for _, labels in diagonals]
    x, of_x = xs[0], of_operands[0]
    for i, (y, of_y) in enumerate(zip(xs[1:], of_operands[1:], strict=True), start=1):
        later = set(of_out).union(*of_operands[i + 1 :])
        kept = "".join(c for c in dict.fromkeys(of_x + of_y) if c in later) if i < len(xs) - 1 else of_out
        x, of_x = linalg.einsum(x, y, labels=(of_x, of_y, kept)), kept
    summed = tuple(i for i, c in enumerate(of_x) if c not in of_out)
    if summed:
        x, of_x = reduce.sum(x, axis=summed, keepdims=False), "".join(c for c in of_x if c in of_out)
    return x if of_x == of_out else shape.transpose(x, axes=tuple(of_x.index(c) for c in of_out))


def _labels(equation: str, xs: Sequence[Tensor]) -> tuple[list[str], str]:
    """The labels of each operand and of the result; an ellipsis becomes labels of its own."""
    if not isinstance(equation, str):
        got = f"equation of type {type(equation).__name__}"
        raise ArgumentTypeError(expected("einsum", "an equation first", got, "write it as text: 'ij,jk->ik'"))
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    of_operands = inputs.split(",")
    got = f"{equation!r} for {', '.join(str(x.shape) for x in xs) or 'no operands'}"
    problem = ShapeError(
        expected("einsum", "one label per axis, equal labels of equal size", got, "check the equation")
    )
    letters = (inputs + output).replace("...", "").replace(",", "")
    if len(of_operands) != len(xs) or (letters and not (letters.isascii() and letters.isalpha())):
        raise problem
    spare = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in equation]
    extra = builtins.max(
        [x.ndim - len(labels.replace("...", "")) for x, labels in zip(xs, of_operands, strict=True)] + [0]
    )
    ellipsis = "".join(spare[:extra])
    of_operands = [
        labels.replace(
            "...", ellipsis[len(ellipsis) - (x.ndim - len(labels.replace("...", ""))) :] if "..." in labels else ""
        )
        for x, labels in zip(xs, of_operands, strict=True)
    ]
    every = "".join(of_operands)
    if not arrow:
        output = ("..." if "..." in inputs else "") + "".join(
            sorted(c for c in set(every) - set(ellipsis) if every.count(c) == 1)
        )
    output = output.replace("...", ellipsis)
    sizes: dict[str, int] = {}
    for x, labels in zip(xs, of_operands, strict=True):
        if len(labels) != x.ndim or builtins.any(
            sizes.setdefault(c, n) != n for c, n in zip(labels, x.shape, strict=True)
        ):
            raise problem
    if not set(output) <= set(every) or len(set(output)) < len(output):
        raise problem
    return of_operands, output


def _diagonal(x: Tensor, labels: str) -> tuple[Tensor, str]:
    """Repeated labels of one operand mean its diagonal."""
    unique = "".join(dict.fromkeys(labels))
    if unique == labels:
        return x, labels
    sizes = dict(zip(labels, x.shape, strict=True))
    grids = np.ix_(*(np.arange(sizes[c]) for c in unique))
    return getitem(x, tuple(grids[unique.index(c)] for c in labels)), unique
