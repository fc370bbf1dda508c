"""All compiled kernels: importing this imports numba. Only `loading` does.

Layer 1.
"""

from fpsim.kernels.arrays import add_scaled, is_rounded, largest, round_array
from fpsim.kernels.counting import sweep, sweep_update
from fpsim.kernels.images import columns, pool_gradient, relu, relu_gradient
from fpsim.kernels.sums import matmul, matmul_pairwise, spread_taps

__all__ = [
    "add_scaled", "columns", "is_rounded", "largest", "matmul", "matmul_pairwise", "pool_gradient", "relu",
    "relu_gradient", "round_array", "spread_taps", "sweep", "sweep_update",
]  # fmt: skip
