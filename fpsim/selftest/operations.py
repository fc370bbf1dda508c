"""What is tested of operations: a call of each with its shapes, results and gradients in several precisions.

Layer 10. `CALLS` must have every operation that is registered.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fpsim.amp.quantization import Quantization, QuantizedCall
from fpsim.amp.quantizers import BlockScaling
from fpsim.autograd import Tensor, using
from fpsim.autograd.engine import cast
from fpsim.autograd.op import OPS
from fpsim.errors import FormatError
from fpsim.formats import float32, float64
from fpsim.precision import Precision
from fpsim.selftest.inputs import digest, labels, values

__all__ = ["CALLS", "FUNCTIONS", "PRECISIONS", "operations"]


@dataclass(frozen=True)
class Call:
    """Shapes of an operation's arrays (None: left out), its metadata, and which of the arrays are positive."""

    shapes: tuple[tuple[int, ...] | None, ...]
    metadata: dict[str, Any] = field(default_factory=dict)
    positive: tuple[int, ...] = ()
    #: arrays of numbers from 0 to 1, in eighths or what the format has: targets
    shares: tuple[int, ...] = ()


def _one(*shapes: Any, positive: tuple[int, ...] = (), shares: tuple[int, ...] = (), **metadata: Any) -> list[Call]:
    return [Call(shapes, metadata, positive, shares)]


_MASK = np.arange(35).reshape(7, 5) % 3 != 1
_BORDER = ((1, 1), (0, 2))
_CLASSES = labels("labels", 9, 6)
_LOSS: dict[str, Any] = {"labels": _CLASSES, "weight": None, "ignored": -100}
_STATISTICS: dict[str, Any] = {
    "mean": np.array([0.5, -0.25, 1.5]).reshape(3, 1),
    "var": np.array([1.5, 0.75, 2.0]).reshape(3, 1),
}
_ATTENTION: dict[str, Any] = {"keep": None, "causal": False, "scale": 0.3, "kept": None, "probability": 0.1}
_KEEP = np.arange(21).reshape(3, 7) % 3 != 1
_BINARY = [Call(((7, 5), (7, 5))), Call(((7, 1), (3, 1, 5)))]

CALLS: dict[str, list[Call]] = {
    "cast": _one((7, 5)),
    **{name: _BINARY for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum")},
    "power": _one((7, 5), (5,), positive=(0,)),
    "power_integer": [*_one((7, 5), n=3), *_one((7, 5), n=-2)],
    **{name: _one((7, 5)) for name in ("negative", "exp", "tanh", "sigmoid", "gelu", "relu", "abs")},
    **{name: _one((7, 5), positive=(0,)) for name in ("log", "sqrt")},
    "where": _one((7, 5), (5,), condition=_MASK),
    "clip": _one((7, 5), (), ()),
    "dropout": _one((7, 5), kept=_MASK, probability=0.3),
    "sum": [*_one((7, 5), axis=(0,), keepdims=False), *_one((3, 4, 5), axis=(0, 2), keepdims=True)],
    "mean": [*_one((7, 5), axis=(1,), keepdims=False), *_one((3, 4, 5), axis=(0, 1, 2), keepdims=False)],
    "var": _one((7, 5), axis=(0,), keepdims=False, correction=1),
    **{name: _one((7, 5), axis=(1,), keepdims=False) for name in ("max", "min")},
    "reshape": _one((7, 6), shape=(14, 3)),
    "transpose": _one((3, 4, 5), axes=(2, 0, 1)),
    "broadcast_to": _one((5, 1), shape=(3, 5, 4)),
    "getitem": _one((7, 5), index=np.array([0, 3, 3, -1, 3])),
    "concatenate": _one((2, 5), (4, 5), axis=0),
    "stack": _one((2, 5), (2, 5), axis=1),
    "pad": _one((4, 5), widths=_BORDER, value=0.5),
    "matmul": [*_one((7, 19), (19, 5)), *_one((2, 3, 7), (2, 7, 4))],
    "linear": [*_one((6, 19), (5, 19), (5,)), *_one((2, 3, 7), (4, 7), None)],
    "quantized_linear": _one((6, 19), (5, 19), (5,), quantized=QuantizedCall(Quantization(BlockScaling(block=8)))),
    "einsum": _one((3, 4, 5), (3, 6), labels=("bij", "bk", "ik")),
    "conv2d": [
        *_one((3, 2, 6, 6), (4, 2, 3, 3), (4,), stride=(1, 1), padding=_BORDER, dilation=(1, 1), groups=1),
        *_one((2, 4, 7, 6), (6, 2, 2, 3), None, stride=(2, 1), padding=((0, 0),) * 2, dilation=(1, 2), groups=2),
    ],
    "max_pool2d": _one((2, 3, 6, 6), kernel=(2, 2), stride=(2, 2), padding=((0, 0),) * 2, dilation=(1, 1)),
    "avg_pool2d": _one(
        (2, 3, 6, 6), kernel=(3, 3), stride=(3, 3), padding=((0, 0),) * 2, divisors=np.full((2, 2), 9.0)
    ),
    **{name: _one((5, 7), axis=1) for name in ("softmax", "log_softmax")},
    "scaled_dot_product_attention": [
        *_one((2, 5, 4), (2, 5, 4), (2, 5, 3), None, **{**_ATTENTION, "causal": True}),
        *_one((3, 4), (7, 4), (2, 7, 3), (7,), **{**_ATTENTION, "keep": _KEEP, "kept": _MASK[:3, 0:1]}),
    ],
    "layer_norm": _one((5, 7), (7,), (7,), axis=(1,), eps=1e-5),
    "batch_norm": _one((5, 3, 4), (1, 3, 1), (1, 3, 1), axis=(0, 2), eps=1e-5),
    "normalize_with": _one((5, 3, 4), (3, 1), (3, 1), eps=1e-5, **_STATISTICS),
    "nll": _one((9, 6), reduction="mean", **_LOSS),
    "cross_entropy": _one((9, 6), reduction="mean", smoothing=0.1, **_LOSS),
    "bce": _one((7, 5), (7, 5), (5,), positive=(2,), shares=(0, 1), reduction="none"),
    "bce_with_logits": _one((7, 5), (7, 5), (5,), (5,), positive=(2, 3), shares=(1,), reduction="mean"),
}

#: Operations that take exp, log, tanh, erf or pow from the platform's library: in float64 its last bit is its own.
FUNCTIONS = frozenset(
    "power power_integer exp log tanh sigmoid gelu softmax log_softmax cross_entropy bce bce_with_logits "
    "scaled_dot_product_attention".split()
)


def _in_order(storage: Any, accumulate: Any = None, order: str = "sequential", **more: Any) -> Precision:
    return Precision(storage, accumulate, order=order, **more)


_PARTLY: dict[str, Any] = {
    "rounding": "up",
    "acc_rounding": "down",
    "grad_rounding": "toward_zero",
    "fma": True,
    "saturate": True,
}
PRECISIONS: dict[str, Precision] = {
    **{
        str(p): p
        for p in (
            _in_order(*pair.split("/"))
            for pair in (
                "float16", "bfloat16", "float32", "float64", "tfloat32", "float8_e4m3fn", "float8_e5m2",
                "float4_e2m1fn", "e8m16", "float16/float32", "float8_e4m3fn/float32", "float32/float16",
            )
        )
    },
    "float16 pairwise": _in_order("float16", order="pairwise", grad=float32),
    "float32 exact": _in_order("float32", order="exact"),
    "bfloat16 kahan": _in_order("bfloat16", order="kahan", rounding="nearest_away"),
    "float16 directed": _in_order("float16", **_PARTLY),
    "float16 stochastic": _in_order("float16", rounding="stochastic", acc_rounding="stochastic"),
}  # fmt: skip


def operations() -> Iterator[tuple[str, str]]:
    """Every operation's results and gradients, but for float64's platform functions."""
    for name in sorted(OPS):
        for called, precision in PRECISIONS.items():
            if name in FUNCTIONS and float64 in (precision.storage, precision.accumulate):
                continue
            arrays: list[Any] = []
            try:
                arrays += (array for call in CALLS[name] for array in _results(name, call, precision))
            except FormatError:  # a NaN in a format without
                arrays.append("FormatError")
            yield f"{name}, {called}", digest(*arrays)


def _results(name: str, call: Call, precision: Precision) -> Iterator[np.ndarray]:
    """The result, and the gradient of each argument that has one."""
    source = Precision(float64) if name == "cast" else precision
    tensors: list[Any] = []
    for i, shape in enumerate(call.shapes):
        if shape is None:
            tensors.append(None)
            continue
        x = values(f"{name}, argument {i}", shape, source.storage, positive=i in call.positive)
        if i in call.shares:
            part = max(source.storage.eps, source.storage.smallest_subnormal, 1 / 8)
            x = labels(f"{name}, argument {i}", x.size, int(1 / part) + 1).reshape(shape) * part
        tensors.append(Tensor(x.astype(source.storage.carrier), source))
        tensors[i].requires_grad = OPS[name].vjp_of(i) is not None
    with using(rng=np.random.default_rng(3)), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out = cast(tensors[0], precision) if name == "cast" else OPS[name](*tensors, **call.metadata)
        out.backward(values(f"{name}, gradient", out.shape, out.precision.gradient.storage))
    yield out._data
    yield from (x.grad._data for x in tensors if x is not None and x.grad is not None)
