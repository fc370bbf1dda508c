"""Rounding arrays to a format, the bit patterns of its values, and one number taken apart.

Layer 1. `kernel` rounds, `codes` faces the user, `wide` carries residues. Start reading at `kernel._by_scaling`.
"""

from fpsim.rounding.anatomy import Anatomy, inspect
from fpsim.rounding.codes import all_values, decode, encode, nextafter, round, spacing, ulp
from fpsim.rounding.kernel import round_to

__all__ = [
    "Anatomy",
    "all_values",
    "decode",
    "encode",
    "inspect",
    "nextafter",
    "round",
    "round_to",
    "spacing",
    "ulp",
]
