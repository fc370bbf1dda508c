"""Rounding arrays to a format, and the bit patterns of its values.

Layer 1. `kernel` rounds, `codes` faces the user, `wide` carries residues. Start reading at `kernel._by_scaling`.
"""

from fpsim.rounding.codes import all_values, decode, encode, nextafter, round, spacing, ulp
from fpsim.rounding.kernel import round_to

__all__ = ["all_values", "decode", "encode", "nextafter", "round", "round_to", "spacing", "ulp"]
