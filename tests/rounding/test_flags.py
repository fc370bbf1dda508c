"""IEEE 754's flags: all of TestFloat's vectors, and what no vector has: other formats, saturation, float64's edges."""

import operator
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fpsim as fp
from fpsim.rounding.flags import FLAGS, INEXACT, INVALID, OVERFLOW, UNDERFLOW, is_tiny, raised
from fpsim.rounding.kernel import round_to
from fpsim.rounding.wide import Wide
from tests.oracles import rational, testfloat

OPERATIONS = {
    "f16_add": operator.add,
    "f16_sub": operator.sub,
    "f16_mul": operator.mul,
    "f16_div": operator.truediv,
    "f16_sqrt": np.sqrt,
    "f16_mulAdd": lambda a, b, c: a * b + c,
    "f32_to_f16": operator.pos,
    "f64_to_f16": operator.pos,
    "f64_to_f32": operator.pos,
    "f16_to_f32": operator.pos,
}
NAMES = {"f16": "float16", "f32": "float32", "f64": "float64"}


@pytest.mark.parametrize("mode", rational.MODES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_flags_are_ieee_754s(name, mode):
    operands, _ = testfloat.vectors(name, mode)
    fmt = fp.Format(NAMES[name[-3:] if "_to_" in name else "f16"])
    with np.errstate(invalid="ignore"):  # signaling NaNs
        carried = [x.astype(np.float32) if x.dtype == np.float16 else x for x in operands]
        exact = OPERATIONS[name](*map(Wide.of, carried))
    found = raised(exact, round_to(exact, fmt, mode), fmt, mode, carried)
    np.testing.assert_array_equal(found, testfloat.flags(name, mode))


def by_definition(x, fmt, mode):
    """Overflow, underflow and inexact of one finite number, in rational numbers."""
    exact, flags = Fraction(float(x)), 0
    rounded = float(fp.round(np.float64(x), fmt, mode=mode))
    unbounded = fp.Format(f"e11m{fmt.significand_bits}")  # as good as unbounded for the numbers drawn here
    free = Fraction(float(fp.round(np.float64(x), unbounded, mode=mode)))
    if not np.isfinite(rounded) or Fraction(rounded) != exact:
        flags |= INEXACT
    if abs(free) > Fraction(fmt.max):
        flags |= OVERFLOW | INEXACT
    if exact and abs(free) < Fraction(fmt.smallest_normal) and flags & INEXACT:
        flags |= UNDERFLOW
    return flags


def near(fmt):
    """Numbers around the bounds of a format: neighbours, midpoints and their neighbours."""
    half_ulp = 2.0 ** (fmt.emax - fmt.significand_bits - 1)
    bounds = [fmt.smallest_normal, fmt.smallest_normal / 2, fmt.max, fmt.max + half_ulp, 2 * fmt.max, 1.0]
    steps = [k * 2.0**-j for k in range(-3, 4) for j in (fmt.p - 1, fmt.p, fmt.p + 1, fmt.p + 2, 45)]
    x = np.array([b * (1 + s) for b in bounds for s in steps])
    return np.concatenate([x, -x, [0.0, -0.0]])


@pytest.mark.parametrize("mode", rational.MODES)
@pytest.mark.parametrize("name", ["float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float6_e3m2fn", "e5m12"])
def test_around_the_bounds_flags_are_what_the_definition_says(name, mode):
    fmt = fp.Format(name)
    x = near(fmt)
    found = raised(x, round_to(x, fmt, mode), fmt, mode)
    assert found.tolist() == [by_definition(v, fmt, mode) for v in x]
    np.testing.assert_array_equal(raised(Wide.of(x), round_to(x, fmt, mode), fmt, mode), found)


@given(st.floats(allow_nan=False, allow_infinity=False, width=32), st.sampled_from(rational.MODES))
def test_any_number_raises_what_the_definition_says(x, mode):
    fmt = fp.float16
    x = np.array([x], np.float32)
    assert raised(x, round_to(x, fmt, mode), fmt, mode)[0] == by_definition(x[0], fmt, mode)


def test_saturation_hides_no_overflow():
    x = np.array([65519.0, 65520.0, 1e30])
    assert raised(x, round_to(x, fp.float16, saturate=True), fp.float16).tolist() == [1, 5, 5]


def test_float64_underflows_where_half_of_its_smallest_numbers_is_lost():
    x, y = np.float64(2.0**-600), np.float64(2.0**-500 * (1 + 2.0**-52))
    exact = Wide.of(np.array([x])) * Wide.of(np.array([y]))
    assert raised(exact, round_to(exact, fp.float64), fp.float64).tolist() == [INEXACT | UNDERFLOW]
    least = Wide.of(np.array([2.0**-600])) * Wide.of(np.array([2.0**-422]))
    assert raised(least, round_to(least, fp.float64), fp.float64).tolist() == [0]


def test_a_value_just_below_the_smallest_normal_is_tiny_by_its_rounding():
    edge = fp.float16.smallest_normal * (1 - 2.0**-12)
    x = np.array([np.nextafter(edge, 0), edge, fp.float16.smallest_normal, 0.0])
    assert is_tiny(x, fp.float16).tolist() == [True, False, False, False]
    assert is_tiny(x, fp.float16, "toward_zero").tolist() == [True, True, False, False]


def test_without_operands_infinities_and_nans_came_in():
    x = np.array([np.inf, np.nan])
    assert raised(x, x, fp.float64).tolist() == [0, 0]
    assert raised(x, x, fp.float64, operands=[np.array([1.0, 1.0])]).tolist() == [8, INVALID]


def test_a_signaling_nan_is_invalid():
    x = np.array([0x7FF0000000000001, 0x7FF8000000000000], np.uint64).view(np.float64)
    assert raised(x, x, fp.float64, operands=[x]).tolist() == [INVALID, 0]


def test_names_and_bits_are_softfloats():
    assert FLAGS == {"inexact": 1, "underflow": 2, "overflow": 4, "divide_by_zero": 8, "invalid": 16}
