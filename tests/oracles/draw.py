"""Hypothesis strategies: formats by name, numbers where they round with difficulty, settings that repeat.

Tests only. Imports nothing of fpsim.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.oracles import rational


def law(examples: int) -> settings:
    """The same examples in every run."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def splits() -> st.SearchStrategy[str]:
    """Any ``eXmY`` that float64 holds: 2 to 11 exponent bits, 1 to 52 significand bits."""
    return st.builds("e{}m{}".format, st.integers(2, 11), st.integers(1, 52))


def formats() -> st.SearchStrategy[str]:
    return st.sampled_from(sorted(rational.NAMED)) | splits()


def fits(x: Fraction) -> float:
    """The float64 nearest to x, infinite past its range."""
    try:
        return float(x)
    except OverflowError:
        return math.inf if x > 0 else -math.inf


@cache
def hard(name: str) -> st.SearchStrategy[float]:
    """A float64 near a number or a midpoint of the format, from below its least to above its largest."""
    fmt = rational.grid(name)
    top = rational.floor_log2(fmt.max)

    def near(e: int, halves: int, sign: int, towards: float) -> float:
        step = rational.two(max(e, fmt.emin) - fmt.significand_bits)
        x = fits(sign * (rational.two(e) + halves * step / 2))
        return float(np.nextafter(x, x if towards == 0 else towards))

    return st.builds(
        near,
        st.integers(fmt.emin - fmt.significand_bits - 2, top + 2) | st.sampled_from([fmt.emin, top]),
        st.integers(0, 2 ** (fmt.significand_bits + 2)),
        st.sampled_from([1, -1]),
        st.sampled_from([0, 0, math.inf, -math.inf]),
    )


@cache
def floats(name: str) -> st.SearchStrategy[float]:
    """Any float64, the hard ones of a format, and the few that everybody forgets; NaN where the format has it."""
    fmt = rational.grid(name)
    ends = [0.0, -0.0, math.inf, -math.inf, float(fmt.quantum), float(fmt.max), -float(fmt.max)]
    return st.floats(allow_nan=fmt.has_nan) | hard(name) | hard(name) | st.sampled_from(ends)


def flags() -> st.SearchStrategy[tuple[str, bool]]:
    """A deterministic mode and saturation."""
    return st.tuples(st.sampled_from(rational.MODES), st.booleans())
