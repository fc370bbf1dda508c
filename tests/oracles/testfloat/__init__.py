"""Berkeley TestFloat's vectors for IEEE 754 (see README.md here): loading, and their names for the modes.

Tests only. Imports nothing of fpsim.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

#: fpsim's name for each of TestFloat's, in the order of the files' rows.
MODES = {
    "near_even": "nearest_even",
    "minMag": "toward_zero",
    "min": "down",
    "max": "up",
    "near_maxMag": "nearest_away",
}

FLOATS = {"f16": np.float16, "f32": np.float32, "f64": np.float64}


def floats(codes: np.ndarray) -> np.ndarray:
    """Bit patterns as NumPy floats of the same width."""
    return codes.view(f"f{codes.itemsize}")


def vectors(operation: str, mode: str) -> tuple[list[np.ndarray], np.ndarray]:
    """Operands and expected results of e.g. ``f16_add`` in one of fpsim's modes."""
    with np.load(Path(__file__).parent / f"tf_{operation}.npz") as file:
        operands = [floats(file[name]) for name in "abc" if name in file]
        names = [MODES[str(name)] for name in file["modes"]]
        row = names.index(mode) if len(names) > 1 else 0  # one row where the mode makes no difference
        return operands, floats(file["expected"][row])


def flags(operation: str, mode: str) -> np.ndarray:
    """The flags that each of these vectors raises, as a sum of SoftFloat's bits."""
    with np.load(Path(__file__).parent / f"tf_{operation}.npz") as file:
        names = [MODES[str(name)] for name in file["modes"]]
        return file["flags"][names.index(mode) if len(names) > 1 else 0]
