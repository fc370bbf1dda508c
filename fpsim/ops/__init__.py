"""The operations: one block each, forward beside its gradients.

Layer 4. `functions` is what users call; the other files hold the formulas.
"""

from fpsim.autograd.op import check_gradients
from fpsim.ops import attention, conv, elementwise, functions, gelu, linalg, loss, norm, reduce, shape

__all__ = ["attention", "conv", "elementwise", "functions", "gelu", "linalg", "loss", "norm", "reduce", "shape"]

check_gradients()
