"""Sums, dot products and matrix products with a chosen accumulator: format, order, rounding.

Layer 2. `accumulator` faces the user, `orders` holds the loops, `exact` the integers. Start at `orders.sequential`.
"""

from fpsim.accumulate.accumulator import Accumulator

__all__ = ["Accumulator"]
