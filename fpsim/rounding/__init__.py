"""Rounding arrays to a format, the bit patterns of its values, and one number taken apart.

Layer 1. `kernel` rounds, `codes` faces the user, `wide` carries residues. Start reading at `kernel._by_scaling`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fpsim.rounding.codes import all_values, decode, encode, nextafter, round, spacing, ulp
from fpsim.rounding.kernel import round_to

if TYPE_CHECKING:
    from fpsim.rounding.anatomy import Anatomy, inspect

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


def __getattr__(name: str) -> Any:
    """`inspect` and `Anatomy` on first use: exact fractions take a while to import."""
    if name in ("Anatomy", "inspect"):
        from fpsim.rounding import anatomy

        return getattr(anatomy, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
