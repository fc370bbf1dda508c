"""Failing calls of every assertion, by name: their messages are golden texts in `golden.txt`.

Tests only. ``python -m tests.testing.failures`` writes the file anew: read the difference before you keep it.
"""

from fractions import Fraction
from pathlib import Path

import numpy as np

import fpsim as fp
from fpsim import testing as ft

GOLDEN = Path(__file__).with_name("golden.txt")
h = np.float16
SQUARE = np.array([[1, 2, 3], [4, 5, 6]], h)

FAILURES = {
    "same_bits, one number": lambda: ft.assert_same_bits(h(1.001), h(1)),
    "same_bits, an array": lambda: ft.assert_same_bits(
        np.array([[0, 1, 2], [np.nan, 5, 65504]], h), np.array([[-0.0, 1, 3], [np.inf, 5, np.inf]], h)
    ),
    "same_bits, tensors": lambda: ft.assert_same_bits(fp.tensor([1.5], dtype="bfloat16"), [-1.5]),
    "max_ulp": lambda: ft.assert_max_ulp(np.array([1, 1.004, 3], h), np.array([1, 1, 2.9], h), 2),
    "max_ulp, half of one": lambda: ft.assert_max_ulp(h(0.3335), Fraction(1, 3), 0.5),
    "max_ulp, infinity": lambda: ft.assert_max_ulp(h(np.inf), h(65504), 1),
    "max_ulp, opposite infinities": lambda: ft.assert_max_ulp(h(np.inf), h(-np.inf), 1000),
    "max_ulp, nan": lambda: ft.assert_max_ulp(h(np.nan), h(1), 1000),
    "correctly_rounded": lambda: ft.assert_correctly_rounded(np.array([0.5, 0.3335], h), [Fraction(1, 2), Fraction(1, 3)]),
    "correctly_rounded, overflow": lambda: ft.assert_correctly_rounded(h(65504), 65520, mode="up"),
    "faithful": lambda: ft.assert_faithful(h(0.334), Fraction(1, 3)),
    "faithful, overflow": lambda: ft.assert_faithful(h(np.inf), 65504),
    "representable": lambda: ft.assert_representable(np.array([0.1, 0.5, np.inf, np.nan]), "float6_e3m2fn"),
    "within_bound, a sum": lambda: ft.assert_within_bound(h(21.5), SQUARE, None, "float16"),
    "within_bound, a matrix product": lambda: ft.assert_within_bound(
        np.array([[14, 33], [32, 77]], h), SQUARE, SQUARE.T, "float16/float32"
    ),
    "within_bound, running": lambda: ft.assert_within_bound(h(8.1), h([1, 3]), h([2, 2]), "float16", bound="running"),
    "within_bound, no overflow": lambda: ft.assert_within_bound(h(np.inf), h([1, 3]), None, "float16"),
    "scale_invariant": lambda: ft.assert_scale_invariant(
        lambda x: x / np.sqrt((x * x).sum() + h(1)), h([0.5, 3, 1, 2]), degree=0
    ),
    "layout_invariant": lambda: ft.assert_layout_invariant(lambda x: x.sum(axis=0), np.ones((3000, 2), h)),
    "gradcheck": lambda: ft.gradcheck(lambda x, y: x.detach() * x + y, [np.array([1.0, 2.0]), np.array([3.0, 0.0])]),
    "laws": lambda: ft.laws.summation(lambda x: np.nansum(x), "float16", examples=30),
}  # fmt: skip


def message(name: str) -> str:
    """What the assertion says."""
    try:
        FAILURES[name]()
    except AssertionError as error:
        return str(error)
    return "did not fail"


def text() -> str:
    """Every message under its name."""
    return "\n\n".join(f"== {name}\n{message(name)}" for name in FAILURES) + "\n"


if __name__ == "__main__":
    GOLDEN.write_text(text(), encoding="utf-8")
