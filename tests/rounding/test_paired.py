"""Pairs of float64 numbers against rational arithmetic: sums and products to 2**-104, exact where `lo` says so."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpsim.rounding.paired import LARGEST, SMALLEST, Paired, in_safe_range
from tests.oracles import draw

NUMBERS = st.floats(-(2.0**60), 2.0**60).filter(lambda x: x == 0 or abs(x) > 2.0**-60)
OPERATIONS = {
    np.add: lambda x, y: x + y, np.subtract: lambda x, y: x - y, np.multiply: lambda x, y: x * y,
    np.divide: lambda x, y: x / y,
}  # fmt: skip


def exactly(x):
    """The number that a pair of one element stands for."""
    return Fraction(float(x.hi[0])) + Fraction(float(np.broadcast_to(x.lo, x.hi.shape)[0]))


def pair(hi, lo=0.0):
    return Paired(np.array([hi]), np.array([lo]))


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda f: f.__name__)
@draw.law(200)
@given(NUMBERS, NUMBERS)
def test_one_operation_on_floats_is_exact_or_good_to_105_bits(operation, x, y):
    if operation is np.divide and y == 0:
        return
    expected, made = OPERATIONS[operation](Fraction(x), Fraction(y)), operation(pair(x), pair(y))
    assert abs(exactly(made) - expected) <= abs(expected) * (Fraction(2) ** -104 if operation is np.divide else 0)
    assert made.hi[0] == float(expected)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda f: f.__name__)
@draw.law(200)
@given(*[st.floats(1.0, 2.0)] * 4)
def test_what_was_left_over_is_taken_into_account(operation, a, b, c, d):
    """Of operands that are products: their `lo` counts."""
    x, y = pair(a) * pair(b), pair(c) * pair(d)
    expected = OPERATIONS[operation](exactly(x), exactly(y))
    scale = abs(exactly(x)) + abs(exactly(y)) if operation in (np.add, np.subtract) else abs(expected)
    assert abs(exactly(operation(x, y)) - expected) <= scale * Fraction(2) ** -101


@draw.law(200)
@given(st.floats(2.0**-60, 2.0**60))
def test_a_root_squared_is_the_number(x):
    root = exactly(np.sqrt(pair(x)))
    assert abs(root * root - Fraction(x)) <= Fraction(x) * Fraction(2) ** -103
    assert exactly(np.square(pair(x))) == Fraction(x) ** 2


def test_the_root_of_zero_has_nothing_left_over():
    root = np.sqrt(pair(0.0))
    assert (root.hi[0], root.lo[0]) == (0.0, 0.0)


def test_signs_choices_and_other_functions_see_both_parts():
    x, y = pair(1.0, 2.0**-60), pair(1.0, -(2.0**-60))
    assert exactly(-x) == -exactly(x)
    assert exactly(+x) == exactly(x)
    chosen = np.where(np.array([True]), x, y), np.where(np.array([False]), x, y)
    assert [exactly(c) for c in chosen] == [exactly(x), exactly(y)]
    assert np.exp(pair(1.0, 2.0**-52)).hi[0] == np.exp(1.0 + 2.0**-52)
    assert (pair(1.0, 2.0**-52) > pair(1.0)).tolist() == [True]
    assert Paired.of(x) is x
    assert (x.shape, x.dtype) == ((1,), np.float64)


def test_the_safe_range_has_its_ends_and_zero():
    x = np.array([0.0, SMALLEST, SMALLEST / 2, LARGEST, LARGEST * 2, -SMALLEST, np.inf])
    assert in_safe_range(x).tolist() == [True, True, False, True, False, True, False]
