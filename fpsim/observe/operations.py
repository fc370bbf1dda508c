"""What an operation multiplies and what its gradients read, operation by operation.

Layer 7. Tables; `workload` counts with them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from fpsim.autograd.engine import Node

__all__ = ["READ_BY_BACKWARD", "macs", "macs_of_gradient", "read_by_gradient"]

#: What the gradient formula of each argument reads, besides shapes and the gradient that arrives: the number of an
#: argument, the result ``out``, what the forward formula ``saved``, or a mask among the metadata (one byte an element).
#: An operation that is not listed is taken to read everything.
READ_BY_BACKWARD: dict[str, tuple[tuple[int | str, ...], ...]] = {
    "cast": ((),),
    "add": ((), ()),
    "subtract": ((), ()),
    "multiply": ((1,), (0,)),
    "divide": ((1,), (0, 1)),
    "negative": ((),),
    "power": ((0, 1), (0, 1, "out")),
    "power_integer": ((0,),),
    "exp": (("out",),),
    "log": ((0,),),
    "sqrt": (("out",),),
    "tanh": (("out",),),
    "sigmoid": (("out",),),
    "relu": (("out",),),
    "gelu": ((0,),),
    "abs": ((0,),),
    "maximum": ((0, 1), (0, 1)),
    "minimum": ((0, 1), (0, 1)),
    "where": (("condition",), ("condition",)),
    "clip": ((0, 1, 2),),
    "dropout": (("kept",),),
    "reshape": ((),),
    "transpose": ((),),
    "broadcast_to": ((),),
    "getitem": ((),),
    "concatenate": ((),),
    "stack": ((),),
    "pad": ((),),
    "conv2d": ((1,), (0,), ()),
    "max_pool2d": ((0, "out"),),
    "avg_pool2d": ((),),
    "matmul": ((1,), (0,)),
    "linear": ((1,), (0,), ()),
    "quantized_linear": ((1,), (0,), ()),
    "einsum": ((1,), (0,)),
    "sum": ((),),
    "mean": ((),),
    "var": ((0,),),
    "max": ((0, "out"),),
    "min": ((0, "out"),),
    "scaled_dot_product_attention": (
        (1, 2, "saved", "kept"),
        (0, 2, "saved", "kept"),
        ("saved", "kept"),
        (2, "saved", "kept"),
    ),
    "softmax": (("out",),),
    "log_softmax": (("out",),),
    "layer_norm": ((1, "saved"), ("saved",), ()),
    "batch_norm": ((1, "saved"), ("saved",), ()),
    "normalize_with": ((1,), (0,), ()),
    "nll": ((),),
    "cross_entropy": (("saved",),),
    "bce": ((0, 1, 2), (0, 2)),
    "bce_with_logits": ((0, 1, 2, 3), (0, 2, 3)),
}

#: The same of operations that decoders have and fpsim has not (see `decoder_network`). FlashAttention keeps a float for
#: each query and computes the scores again (Dao and others 2022).
READ_BY_FOREIGN: dict[str, tuple[tuple[int | str, ...], ...]] = {
    "flash_attention": ((0, 1, 2, "out", "saved"),) * 3,
    "rms_norm": ((1, "saved"), ("saved",)),
    "rotary": ((),),
    "silu": ((0,),),
}


def read_by_gradient(name: str, argument: int) -> tuple[int | str, ...] | None:
    """What the gradient of one argument reads; None where nobody has said."""
    rules = READ_BY_BACKWARD.get(name) or READ_BY_FOREIGN.get(name)
    return None if rules is None else rules[argument]


#: Multiply-adds of one product, from the shapes of its arguments and result.
_MACS: dict[str, Callable[[Node], int]] = {
    "conv2d": lambda n: n.out.size * math.prod(_shape(n, 1)[1:]),
    "linear": lambda n: n.out.size * _shape(n, 1)[1],
    "quantized_linear": lambda n: n.out.size * _shape(n, 1)[1],
    "matmul": lambda n: n.out.size * _shape(n, 0)[-1],
    # queries by keys, then weights by values; backward each twice, half with the queries' gradient, half with the keys'
    "scaled_dot_product_attention": lambda n: n.saved[0].size * _shape(n, 0)[-1] + n.out.size * _shape(n, 1)[-2],
    "einsum": lambda n: math.prod(
        dict(zip("".join(n.metadata["labels"][:2]), _shape(n, 0) + _shape(n, 1), strict=True)).values()
    ),
    "flash_attention": lambda n: 2 * n.out.size * _shape(n, 1)[-2],
}


def _shape(node: Node, argument: int) -> tuple[int, ...]:
    array = node.arrays[argument]
    assert array is not None
    return array.shape


def macs(node: Node) -> int:
    """Multiply-adds of an operation; 0 of what is no product."""
    count = _MACS.get(node.op.name)
    return 0 if count is None else count(node)


def macs_of_gradient(node: Node, argument: int) -> int:
    """Each of the first two gradients takes as many as the result; FlashAttention's third computes the scores again."""
    if node.op.name == "flash_attention" and argument == 2:
        return macs(node) // 2
    return macs(node) if argument < 2 else 0
