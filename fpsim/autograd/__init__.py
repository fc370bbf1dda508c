"""The autograd engine: tensors whose precision is data, operations as formulas with their gradients beside them.

Layer 3. Read `op`, then `engine`, then any file of `fpsim.ops`.
"""

from fpsim.autograd.context import Context, current, default_precision, enable_grad, manual_seed, no_grad, seed, using
from fpsim.autograd.op import OPS, Kind, Op, op
from fpsim.autograd.tensor import Tensor, as_tensor, tensor

__all__ = [
    "OPS",
    "Context",
    "Kind",
    "Op",
    "Tensor",
    "Variable",
    "as_tensor",
    "current",
    "default_precision",
    "enable_grad",
    "manual_seed",
    "no_grad",
    "op",
    "seed",
    "tensor",
    "using",
]


def Variable(data: Tensor, requires_grad: bool = False) -> Tensor:
    """The tensor itself: PyTorch's wrapper of old, for snippets that still use it."""
    return data.requires_grad_() if requires_grad else data
