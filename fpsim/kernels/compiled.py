"""All compiled kernels: importing this imports numba. Only `loading` does.

Layer 1.
"""

from fpsim.kernels.arrays import add_scaled, added, is_rounded, largest, round_array, scaled
from fpsim.kernels.counting import sweep, sweep_update
from fpsim.kernels.gelu import gelu, gelu_exponent, gelu_gradient
from fpsim.kernels.images import columns, pool_gradient, relu, relu_gradient
from fpsim.kernels.sums import matmul, matmul_pairwise, spread_taps
from fpsim.kernels.updates import changed, moved

__all__ = [
    "add_scaled", "added", "changed", "columns", "gelu", "gelu_exponent", "gelu_gradient", "is_rounded", "largest",
    "matmul", "matmul_pairwise", "moved", "pool_gradient", "relu", "relu_gradient", "round_array", "scaled",
    "spread_taps", "sweep", "sweep_update",
]  # fmt: skip
