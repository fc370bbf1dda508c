"""Equality of floats by bits, NaNs by class, with the first differences spelt out.

Tests only. Imports nothing of fpsim.
"""

from __future__ import annotations

import numpy as np


def same(actual, expected) -> np.ndarray:
    """Elementwise: equal with equal sign, or both NaN."""
    with np.errstate(invalid="ignore"):  # signalling NaNs
        a, e = (np.asarray(v).astype(np.float64) for v in (actual, expected))
    return (np.isnan(a) & np.isnan(e)) | ((a == e) & (np.signbit(a) == np.signbit(e)))


def assert_same(actual, expected, *inputs) -> None:
    """Fail with the first three differences and the inputs (of the same shape) that led to them."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    wrong = np.atleast_1d(~same(actual, expected))
    if wrong.any():
        rows = np.argwhere(wrong)[:3]
        shown = [
            [float(np.atleast_1d(a)[tuple(row)]).hex() for a in (*map(np.asarray, inputs), expected, actual)]
            for row in rows
        ]
        lines = "\n".join(
            f"{row}: inputs {hexes[:-2]} expected {hexes[-2]} got {hexes[-1]}"
            for row, hexes in zip(rows.tolist(), shown, strict=True)
        )
        raise AssertionError(f"{wrong.sum()} of {wrong.size} differ\n{lines}")
