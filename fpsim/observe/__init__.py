"""Seeing what a format did: counts of overflow, underflow and rounding, collected where the engine rounds.

Layer 7. Observers only look: with one on or off, every result has the same bits.
"""

from fpsim.observe.counters import Counts, Report, observe

__all__ = ["Counts", "Report", "observe"]
