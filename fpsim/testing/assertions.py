"""Assertions about single results: same bits, ulps apart, rounded correctly, faithfully, representable.

Layer 13. Each compares with exact arithmetic and, where it fails, says what, where and by how much.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from fpsim.testing.exact import Grid, Real, code, grid_of, neighbours
from fpsim.testing.exact import round as round_exactly
from fpsim.testing.failure import Difference, apart, as_reals, elements, format_of, number, pair, report

__all__ = [
    "assert_correctly_rounded",
    "assert_faithful",
    "assert_max_ulp",
    "assert_representable",
    "assert_same_bits",
    "same_bits",
]


def same_bits(actual: Real, desired: Real) -> bool:
    """Equal with equal sign, or both NaN."""
    if actual != actual or desired != desired:
        return actual != actual and desired != desired
    return actual == desired and (actual != 0 or math.copysign(1, actual) == math.copysign(1, desired))


def _distance(actual: Real, desired: Real, grid: Grid) -> Fraction | str:
    """Like `apart`, but that zeros may differ in sign."""
    distance = apart(actual, desired, grid)
    return "zeros of opposite sign" if distance == 0 and not same_bits(actual, desired) else distance


def assert_same_bits(actual: Any, desired: Any, fmt: Any = None) -> None:
    """Check that two results have the same bits: signs of zeros count, any NaN equals any NaN.

    Parameters
    ----------
    actual, desired : tensor, array or number
    fmt : format, optional
        In which bits and ulps are shown; that of `actual` or `desired` unless given.

    Raises
    ------
    AssertionError
        With both values, their bits and the distance of the first elements that differ.

    Examples
    --------
    >>> assert_same_bits([0.1 + 0.2], [0.3], "float64")
    Traceback (most recent call last):
        ...
    AssertionError: assert_same_bits: expected the same bits of float64, which fails.
      index (0,)
        expected  0.3                  0 01111111101 0011001100110011001100110011001100110011001100110011
        got       0.30000000000000004  0 01111111101 0011001100110011001100110011001100110011001100110100
        apart     1 ulp
      smallest slice that holds every failure: [0:1]
    """
    every, size = pair("assert_same_bits", actual, desired)
    fmt = format_of("assert_same_bits", fmt, actual, desired)
    grid = grid_of(fmt)
    wrong = [Difference(i, d, a, _distance(a, d, grid)) for i, a, d in every if not same_bits(a, d)]
    if wrong:
        report("assert_same_bits", f"the same bits of {fmt.name}", wrong, size, fmt)


def assert_max_ulp(actual: Any, desired: Any, maxulp: float = 1, fmt: Any = None) -> None:
    """Check that results are at most `maxulp` units in the last place of `desired` apart.

    Parameters
    ----------
    actual : tensor, array or number
    desired : the same, or fractions of `exact`
        A desired number may be exact: half an ulp from it is then the best that a format can do.
    maxulp : float
    fmt : format, optional
        Whose ulps; that of `actual` or `desired` unless given.

    Notes
    -----
    Infinity is no number of ulps from a finite number, not even from the largest; NaN agrees with NaN alone. The signs
    of zeros do not count.

    Examples
    --------
    >>> import numpy as np
    >>> assert_max_ulp(np.float16(65504), np.float16(np.inf), 5)
    Traceback (most recent call last):
        ...
    AssertionError: assert_max_ulp: expected at most 5 ulps of float16, which fails.
      expected  inf      0 11111 0000000000
      got       65504.0  0 11110 1111111111
      apart     infinity is no number of ulps from a finite number
    """
    every, size = pair("assert_max_ulp", actual, desired)
    fmt = format_of("assert_max_ulp", fmt, actual, desired)
    grid, most = grid_of(fmt), Fraction(maxulp)
    wrong = []
    for i, a, d in every:
        distance = apart(a, d, grid)
        if isinstance(distance, str) or distance > most:
            wrong.append(Difference(i, d, a, distance))
    if wrong:
        what = f"at most {maxulp} {'ulp' if maxulp == 1 else 'ulps'} of {fmt.name}"
        report("assert_max_ulp", what, wrong, size, fmt)


def assert_correctly_rounded(
    actual: Any, exact: Any, fmt: Any = None, mode: str = "nearest_even", saturate: bool = False
) -> None:
    """Check that results are exact numbers, rounded once.

    Parameters
    ----------
    actual : tensor, array or number
    exact : fractions, or floats that are exact
    fmt : format, optional
        That of `actual` unless given.
    mode, saturate
        As for `exact.round`.

    Examples
    --------
    >>> import numpy as np
    >>> assert_correctly_rounded(np.float16(0.1), Fraction(1, 10))
    >>> assert_correctly_rounded(np.float16(0.1), Fraction(1, 10), mode="up")
    Traceback (most recent call last):
        ...
    AssertionError: assert_correctly_rounded: expected the exact value rounded once to float16, up, which fails.
      expected  0.10003662109375  0 01011 1001100111
      got       0.0999755859375   0 01011 1001100110
      apart     1 ulp
      exact     0.1
    """
    every, size = pair("assert_correctly_rounded", actual, exact)
    fmt = format_of("assert_correctly_rounded", fmt, actual)
    grid = grid_of(fmt)
    wrong = []
    for i, a, e in every:
        wanted = round_exactly(e, grid, mode, saturate)
        if not same_bits(a, wanted):
            distance = _distance(a, wanted, grid)
            wrong.append(Difference(i, wanted, a, distance, more=(("exact", number(e)),)))
    if wrong:
        what = f"the exact value rounded once to {fmt.name}, {mode}"
        report("assert_correctly_rounded", what, wrong, size, fmt)


def assert_faithful(actual: Any, exact: Any, fmt: Any = None) -> None:
    """Check that results are one of the two values of the format around the exact number, or the number itself.

    Beyond the largest finite number the neighbours are that number and infinity (NaN in a format without infinity).

    >>> import numpy as np
    >>> assert_faithful(np.float16(0.1), Fraction(1, 10))
    >>> assert_faithful(np.float16(0.125), Fraction(1, 10))
    Traceback (most recent call last):
        ...
    AssertionError: assert_faithful: expected one of the two values of float16 around the exact value, which fails.
      expected  0.1    not a value of the format
      got       0.125  0 01100 0000000000
      apart     409.6 ulps
      below     0.0999755859375
      above     0.10003662109375
    """
    every, size = pair("assert_faithful", actual, exact)
    fmt = format_of("assert_faithful", fmt, actual)
    grid = grid_of(fmt)
    wrong = []
    for i, a, e in every:
        below, above = (e, e) if e != e else neighbours(e, grid)
        if not (same_bits(a, below) or same_bits(a, above) or (a == 0 and e == 0)):
            more = (("below", number(below)), ("above", number(above)))
            wrong.append(Difference(i, e, a, apart(a, e, grid), more=more))
    if wrong:
        report("assert_faithful", f"one of the two values of {fmt.name} around the exact value", wrong, size, fmt)


def assert_representable(actual: Any, fmt: Any) -> None:
    """Check that every element is a value of the format.

    >>> assert_representable([1.0, 1 / 3], "float16")
    Traceback (most recent call last):
        ...
    AssertionError: assert_representable: expected values of float16, which fails for 1 of 2 elements.
      index (1,)
        nearest  0.333251953125      0 01101 0101010101
        got      0.3333333333333333  not a value of the format
        apart    0.333333 ulps
      smallest slice that holds every failure: [1:2]
    """
    numbers, fmt = as_reals(actual), format_of("assert_representable", fmt)
    grid, size = grid_of(fmt), numbers.size
    wrong = []
    for i, x in elements(numbers):
        if isinstance(x, Fraction) and x == round_exactly(x, grid):
            continue
        if isinstance(x, float) and code(x, grid) is not None:
            continue
        nearest = math.nan if x != x else round_exactly(x, grid)
        distance = "the format has no nan" if x != x else _distance(x, nearest, grid)
        wrong.append(Difference(i, nearest, x, distance, names=("nearest", "got")))
    if wrong:
        report("assert_representable", f"values of {fmt.name}", wrong, size, fmt)
