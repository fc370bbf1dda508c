"""`autocast`: PyTorch's choice of formats by operation, with its CUDA lists as data.

Layer 6. Answers the engine's question "in what precision does this operation run?"; casts nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any

from fpsim.autograd.context import enter, leave
from fpsim.autograd.op import OPS
from fpsim.autograd.tensor import is_device, note_device
from fpsim.errors import ArgumentError, expected
from fpsim.formats import float16, float32
from fpsim.precision import Precision, promote

__all__ = ["OpLists", "autocast", "op_lists"]

#: fpsim's operations that PyTorch's lists know by another name.
_TORCH_NAME = {
    "bce": "binary_cross_entropy",
    "bce_with_logits": "binary_cross_entropy_with_logits",
    "concatenate": "cat",
    "multiply": "mul",
    "nll": "nll_loss",
    "power": "pow",
    "power_integer": "pow",
    "normalize_with": "batch_norm",
    "quantized_linear": "linear",
}


@dataclass(frozen=True)
class OpLists:
    """PyTorch's autocast lists for CUDA, under PyTorch's names; what is in none runs in its input's format.

    ``str()`` adds which of fpsim's operations fall under which rule.
    """

    #: in the format of autocast
    lower: tuple[str, ...]
    #: in float32
    float32: tuple[str, ...]
    #: in the widest format of their inputs
    promote: tuple[str, ...]
    #: an error under autocast
    banned: tuple[str, ...]

    def rule(self, op: str) -> str:
        """``lower float32 promote banned`` or ``input``, for an operation of fpsim (`Op.name`) or of PyTorch.

        >>> import fpsim as fp
        >>> [fp.amp.op_lists().rule(op) for op in ("conv2d", "log_softmax", "add", "relu")]
        ['lower', 'float32', 'promote', 'input']
        """
        name = self.torch_name(op)
        rules = ("lower", "float32", "promote", "banned")
        return next((rule for rule in rules if name in getattr(self, rule)), "input")

    @staticmethod
    def torch_name(op: str) -> str:
        """What PyTorch's lists call an operation of fpsim."""
        return _TORCH_NAME.get(op, op)

    def __str__(self) -> str:
        lines = []
        for rule, meaning in (
            ("lower", "in the format of autocast"),
            ("float32", "in float32"),
            ("promote", "in the widest of their inputs' formats"),
            ("input", "in their input's format"),
        ):
            ours = sorted(name for name in OPS if name != "cast" and self.rule(name) == rule)
            lines.append(f"{meaning}:")
            lines.append(f"    fpsim    {' '.join(ours)}")
            lines.append(f"    PyTorch  {' '.join(getattr(self, rule, ('everything else',)))}")
        return "\n".join([*lines, f"an error: {' '.join(self.banned)}"])


# PyTorch 2.13, torch/amp, "CUDA Ops that can autocast to float16", "... to float32", "... promote to the widest".
_LISTS = OpLists(
    lower=(
        "addbmm", "addmm", "addmv", "addr", "baddbmm", "bmm", "chain_matmul", "conv1d", "conv2d", "conv3d",
        "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "einsum", "gru_cell", "linear", "lstm_cell",
        "matmul", "mm", "multi_dot", "mv", "prelu", "rnn_cell", "scaled_dot_product_attention",
    ),
    float32=(
        "acos", "asin", "binary_cross_entropy_with_logits", "cdist", "cosh", "cosine_embedding_loss",
        "cosine_similarity", "cross_entropy", "cumprod", "cumsum", "dist", "erfinv", "exp", "expm1", "group_norm",
        "hinge_embedding_loss", "kl_div", "l1_loss", "layer_norm", "log", "log10", "log1p", "log2", "log_softmax",
        "logsumexp", "margin_ranking_loss", "mse_loss", "multi_margin_loss", "multilabel_margin_loss", "nll_loss",
        "norm",  "pdist", "poisson_nll_loss", "pow", "prod", "reciprocal", "renorm", "rms_norm", "rsqrt",
        "sinh", "smooth_l1_loss", "soft_margin_loss", "softmax", "softmin", "softplus", "sum", "tan",
        "triplet_margin_loss",
    ),
    promote=(
        "add", "addcdiv", "addcmul", "atan2", "bilinear", "cat", "cross", "dot", "grid_sample", "index_put", "mul",
        "scatter_add", "stack", "tensordot", "where",
    ),
    banned=("binary_cross_entropy",),
)  # fmt: skip


def op_lists() -> OpLists:
    """PyTorch's autocast lists, to read and to print."""
    return _LISTS


@dataclass(frozen=True)
class OpPrecisions:
    """What autocast answers the engine: PyTorch's lists, for one format."""

    lower: Precision

    @property
    def wide(self) -> Precision:
        """Of the operations that run in float32; sums in the order that was chosen."""
        accumulate = self.lower.accumulate if self.lower.accumulate.holds(float32) else float32
        return Precision(float32, accumulate, order=self.lower.order, fma=self.lower.fma)

    def precision_for(self, op: str, inputs: list[Precision]) -> Precision | None:
        """The precision of an operation on inputs of these precisions; None: as without autocast."""
        if not all(float32.holds(p.storage) for p in inputs):
            return None  # float64 is never cast, nor any other format that float32 does not hold
        rule = _LISTS.rule(op)
        if rule == "lower":
            return self.lower
        if rule == "float32":
            return self.wide
        # what makes no choice keeps its input's format; float32 sums it, as it does everything here
        promoted = promote(inputs)
        accumulate = self.lower.accumulate
        return promoted if promoted.accumulate.holds(accumulate) else replace(promoted, accumulate=accumulate)


class autocast:
    """Choose the format of each operation by PyTorch's lists: a ``with`` block, or a decorator.

    Convolutions and products run in the format, sensitive operations in float32, the others in their input's.
    Blocks nest; ``enabled=False`` inside gives the formats that the inputs have. Backward uses the formats of forward.

    Parameters
    ----------
    device_type : str or format, optional
        ``autocast("float16")``; or a device as in PyTorch, ``autocast("cuda", dtype=fp.bfloat16)``, which is ignored:
        the lists are always CUDA's, and the format float16 unless given.
    dtype : format, ``"storage/accumulate"`` or Precision, optional
        Sums are accumulated in float32 unless an accumulator is named: ``autocast("float16/float16")``.
    enabled : bool
    cache_enabled
        Ignored: weights are cast at each use, so they are never stale.

    Notes
    -----
    Precision: each cast rounds once. float64 tensors are never cast. The gradient of a float32 weight that was cast to
    float16 is rounded to float16 on its way and arrives as float32.

    Examples
    --------
    >>> import fpsim as fp
    >>> x, w = fp.ones(2, 3), fp.ones(3, 4)
    >>> with fp.autocast("float16"):
    ...     y = x @ w
    ...     y.precision, y.relu().dtype.name, y.softmax(1).dtype.name
    (Precision('float16/float32'), 'float16', 'float32')
    """

    def __init__(
        self, device_type: Any = None, dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = None
    ) -> None:
        if is_device(device_type):
            note_device()
        elif device_type is not None:
            if dtype is not None:
                got = f"{device_type!r} and dtype={dtype!r}"
                raise ArgumentError(expected("autocast", "one format", got, "give one of the two"))
            dtype = device_type
        precision = self._precision(float16 if dtype is None else dtype)
        self._rules = OpPrecisions(precision) if enabled else None

    @staticmethod
    def _precision(dtype: Any) -> Precision:
        precision = Precision.parse(dtype)
        named = isinstance(dtype, Precision) or (isinstance(dtype, str) and "/" in dtype)
        if not float32.holds(precision.storage):
            got = f"dtype={precision.storage.name}"
            raise ArgumentError(expected("autocast", "a format that float32 holds", got, "use float16 or bfloat16"))
        return precision if named else replace(precision, accumulate=float32)

    @property
    def rules(self) -> OpPrecisions | None:
        """What it puts into force: the answer to the engine; None where it is not enabled."""
        return self._rules

    def __enter__(self) -> autocast:
        enter(autocast=self._rules)
        return self

    def __exit__(self, *exception: Any) -> None:
        leave()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Decorate `function`."""

        @wraps(function)
        def inner(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return inner
