"""`scaled_dot_product_attention` under PyTorch's name: arguments checked and brought into the operation's form.

Layer 5. No arithmetic here; the operation is in `fpsim.ops.attention`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fpsim.autograd.context import current
from fpsim.autograd.tensor import Tensor
from fpsim.errors import ArgumentError, ArgumentTypeError, ShapeError, expected
from fpsim.nn.loss_functions import checked_tensor
from fpsim.ops import attention

__all__ = ["scaled_dot_product_attention"]

NAME = "scaled_dot_product_attention"


def scaled_dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False,
    scale: float | None = None,
) -> Tensor:  # fmt: skip
    """``softmax(query @ key.T * scale + attn_mask) @ value``: for each query the mean of the values it attends to.

    Parameters
    ----------
    query : Tensor (..., t, d)
    key : Tensor (..., s, d)
    value : Tensor (..., s, e)
        The leading axes broadcast.
    attn_mask : optional
        Broadcasts to (..., t, s). A bool array: where it is false, a query does not look. A float array or Tensor:
        rounded to the storage format and added to the scores; a Tensor gets a gradient.
    dropout_p : float
        Weights are zero with this probability, else divided by ``1 - dropout_p``: give 0 in evaluation.
    is_causal : bool
        Query i looks at the keys ``j <= i`` alone; not together with `attn_mask`.
    scale : float, optional
        ``1 / sqrt(d)`` unless given.

    Returns
    -------
    Tensor (..., t, e)
        A query that may look nowhere gets zeros, as in PyTorch.

    Raises
    ------
    ShapeError, ArgumentError, ArgumentTypeError

    Notes
    -----
    Precision: scores, scale, mask, each step of the softmax and the sum over the values are rounded to the
    accumulator's format, the result once more to storage.

    Examples
    --------
    >>> import numpy as np, fpsim as fp
    >>> from fpsim.nn import functional as F
    >>> q = k = fp.zeros(1, 3, 2)
    >>> v = fp.tensor(np.arange(6.0).reshape(1, 3, 2))
    >>> F.scaled_dot_product_attention(q, k, v, is_causal=True).numpy().tolist()
    [[[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]]]
    """
    q, k, v = (checked_tensor(NAME, x) for x in (query, key, value))
    shape = _scores_shape(q, k, v)
    keep, mask = _masks(attn_mask, is_causal, shape)
    if not 0 <= dropout_p <= 1:
        raise ArgumentError(expected(NAME, "a probability from 0 to 1", f"dropout_p={dropout_p!r}", "correct it"))
    kept = current().generator.random(shape) >= dropout_p if dropout_p > 0 else None
    return attention.scaled_dot_product_attention(
        q, k, v, mask, keep=keep, causal=bool(is_causal), scale=1 / math.sqrt(q.shape[-1]) if scale is None else scale,
        kept=kept, probability=min(float(dropout_p), 1 - 2**-53),
    )  # fmt: skip


def _scores_shape(q: Tensor, k: Tensor, v: Tensor) -> tuple[int, ...]:
    """(..., t, s)."""
    got = f"query.shape={q.shape}, key.shape={k.shape}, value.shape={v.shape}"
    if min(q.ndim, k.ndim, v.ndim) < 2:
        raise ShapeError(expected(NAME, "at least two axes each, (position, feature)", got, "add an axis"))
    if q.shape[-1] != k.shape[-1] or not q.shape[-1]:
        raise ShapeError(expected(NAME, "queries and keys of as many features, at least one", got, "check both"))
    if k.shape[-2] != v.shape[-2]:
        raise ShapeError(expected(NAME, "one value for each key", got, "check key and value"))
    try:
        batch = np.broadcast_shapes(q.shape[:-2], k.shape[:-2])
        np.broadcast_shapes(batch, v.shape[:-2])
    except ValueError:
        remedy = "make the leading sizes equal or 1"
        raise ShapeError(expected(NAME, "leading sizes that broadcast", got, remedy)) from None
    return (*batch, q.shape[-2], k.shape[-2])


def _masks(attn_mask: Any, is_causal: bool, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """A bool mask, or one to add."""
    if attn_mask is None:
        return None, None
    if is_causal:
        got = "both"
        raise ArgumentError(expected(NAME, "attn_mask or is_causal", got, "put the order into the mask"))
    mask = attn_mask if isinstance(attn_mask, Tensor) else np.asarray(attn_mask)
    kind = "f" if isinstance(mask, Tensor) else mask.dtype.kind
    if kind not in "bf":
        got = f"attn_mask of {mask.dtype}"
        raise ArgumentTypeError(expected(NAME, "a bool mask or one of floats", got, "compare: mask != 0"))
    try:
        fits = np.broadcast_shapes(mask.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        got = f"attn_mask.shape={mask.shape}"
        raise ShapeError(expected(NAME, f"a mask that broadcasts to {shape}", got, "give it (query, key) as last axes"))
    return (mask, None) if kind == "b" else (None, mask)
