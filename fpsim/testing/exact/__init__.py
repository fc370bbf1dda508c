"""The oracle: what rounding, sums and functions are in exact arithmetic, for any format.

Layer 13. Rationals (`fractions`) and mpmath alone: nothing of fpsim that rounds or sums is used here, so that it can be
judged by it. Read `grid`, then `sums`.
"""

from fpsim.testing.exact.functions import *  # noqa: F403
from fpsim.testing.exact.functions import __all__ as _functions
from fpsim.testing.exact.grid import MODES, Grid, Real, code, grid_of, neighbours, real, round, ulp
from fpsim.testing.exact.sums import accumulate, add, dot, matmul, mean, polynomial, product, sum, variance

__all__ = [
    "MODES",
    "Grid",
    "Real",
    "accumulate",
    "add",
    "code",
    "dot",
    "grid_of",
    "matmul",
    "mean",
    "neighbours",
    "polynomial",
    "product",
    "real",
    "round",
    "sum",
    "ulp",
    "variance",
]
__all__ += _functions
