"""`inspect`: the fields are the code's, the figures exact, the rounding the oracle's, the sentences right."""

import html
import math
import re
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fpsim as fp
from fpsim.formats import NAMED
from fpsim.rounding.anatomy import overflow_rule
from tests.oracles import draw, rational
from tests.oracles.bits import same

EVEN, AWAY, INF, NAN = "nearest_even", "nearest_away", math.inf, math.nan
NAMES = [fmt.name for fmt in NAMED]

TEACHING = {
    ("0.1", "float16"): """\
0.1 in float16 (1 + 5 + 10 bits), rounded nearest_even
  bits        0 01011 1001100110  (sign exponent significand; code 0x2e66)
  means       +1.1001100110b x 2**-4 = 1638 x 2**-14 (normal)
  stored      0.0999755859375
  given       0.1
  error       -2.44141e-5 = -0.4 ulp, relative -0.000244141
  ulp         2**-14 = 6.10352e-5
  neighbours  0.09991455078125 below, 0.10003662109375 above
  note        between 0.0999755859375 and 0.10003662109375: the first is nearer.""",
    ("70000", "float16"): """\
70000 in float16 (1 + 5 + 10 bits), rounded nearest_even
  bits        0 11111 0000000000  (sign exponent significand; code 0x7c00)
  means       inf
  stored      inf
  given       70000
  neighbours  65504 below, none above
  note        70000 exceeds 65504; from 65520 on rounds to inf.""",
    ("1e-7", "float16"): """\
1e-7 in float16 (1 + 5 + 10 bits), rounded nearest_even
  bits        0 00000 0000000010  (sign exponent significand; code 0x0002)
  means       +0.0000000010b x 2**-14 = 2 x 2**-24 (subnormal)
  stored      0.00000011920928955078125
  given       1e-7
  error       1.92093e-8 = 0.322278 ulp, relative 0.192093
  ulp         2**-24 = 5.96046e-8
  neighbours  5.960464477539063e-08 below, 1.7881393432617188e-07 above
  note        below 2**-14 numbers are subnormal: 2 of 11 significand bits are left; between
              5.960464477539063e-08 and 1.1920928955078125e-07: the second is nearer.""",
    (-0.0, "float16"): """\
-0.0 in float16 (1 + 5 + 10 bits), rounded nearest_even
  bits        1 00000 0000000000  (sign exponent significand; code 0x8000)
  means       -0.0000000000b x 2**-14 = -0 x 2**-24 (zero)
  stored      -0
  given       -0.0
  error       0, exact
  ulp         2**-24 = 5.96046e-8
  neighbours  -5.960464477539063e-08 below, 5.960464477539063e-08 above
  note        zero with its sign bit set; it compares equal to +0.""",
    (math.nan, "float8_e4m3fn"): """\
nan in float8_e4m3fn (1 + 4 + 3 bits), rounded nearest_even
  bits        0 1111 111  (sign exponent significand; code 0x7f)
  means       nan
  stored      nan
  given       nan
  note        not a number: the code of all ones is float8_e4m3fn's NaN.""",
}


@pytest.mark.parametrize(("value", "fmt"), TEACHING, ids=str)
def test_the_text(value, fmt):
    assert repr(fp.inspect(value, fmt)) == TEACHING[value, fmt]


def assert_fields_are_the_code(value: float, fmt: fp.Format, code: int) -> None:
    found = fp.inspect(value, fmt)
    assert int(found.code, 16) == int(found.sign + found.exponent + found.significand, 2)
    assert len(found.sign + found.exponent + found.significand) == fmt.bits
    assert len(found.exponent) == fmt.exponent_bits
    assert len(found.significand) == fmt.significand_bits
    if math.isnan(value):
        assert math.isnan(found.stored)
        assert found.kind == "nan"
        assert (found.error, found.ulp, found.below, found.above) == (None, None, None, None)
        return
    assert int(found.code, 16) == code
    assert same(found.stored, value)
    if math.isinf(value):
        assert (found.kind, found.exponent_value, found.error) == ("inf", None, None)
        return
    assert Fraction(Decimal(found.decimal)) == Fraction(value)
    assert found.error == found.error_ulp == 0
    # the fields mean the number: (-1)**sign * significand * 2**exponent
    bias, field = fmt.bias, int(found.exponent, 2)
    hidden = 1 if field or fmt.specials == "scale" else 0
    significand = hidden + Fraction(int(found.significand or "0", 2), 2**fmt.significand_bits)
    exponent = max(field, 0 if fmt.specials == "scale" else 1) - bias
    assert Fraction(value) == (-1) ** int(found.sign or "0") * significand * Fraction(2) ** exponent
    assert found.exponent_value == exponent
    assert found.kind == ("zero" if value == 0 else "normal" if hidden else "subnormal")


@pytest.mark.parametrize("name", [name for name in NAMES if fp.Format(name).bits <= 8])
def test_fields_put_together_are_the_code_for_every_code(name):
    fmt = fp.Format(name)
    for code in range(2**fmt.bits):
        assert_fields_are_the_code(float(fp.decode(code, fmt)), fmt, code)


@pytest.mark.parametrize("name", ["float16", "bfloat16", "tfloat32", "float32", "float64", "e6m9"])
def test_fields_put_together_are_the_code_for_random_codes(name):
    fmt = fp.Format(name)
    bits = np.random.default_rng(0).integers(0, 2**63, 60, dtype=np.uint64)
    codes = ((bits * 2 + bits % 2) >> np.uint64(64 - fmt.bits)).tolist()
    edges = [0, 1, 2**fmt.significand_bits - 1, 2**fmt.significand_bits, 2 ** (fmt.bits - 1)]
    for code in codes + edges:
        assert_fields_are_the_code(float(fp.decode(code, fmt)), fmt, code)


@pytest.mark.parametrize("name", [name for name in NAMES if fp.Format(name).bits <= 8])
def test_neighbours_are_the_values_beside(name):
    fmt = fp.Format(name)
    values = [v for v in fp.all_values(fmt).tolist() if v or math.copysign(1, v) > 0]
    for below, value, above in zip([None, *values], values, [*values[1:], None], strict=False):
        found = fp.inspect(value, fmt)
        assert (found.below, found.above) == (below, above)


def near(name):
    """Fractions that round with difficulty: a number or midpoint of the format, and what no float can tell from it."""
    tiny = st.sampled_from([Fraction(0), Fraction(1, 10**400), Fraction(-1, 10**400), Fraction(1, 3 * 10**30)])
    finite = draw.hard(name).filter(lambda x: math.isfinite(x) and x != 0)
    return st.builds(lambda x, e: Fraction(x) * (1 + e), finite, tiny)


@draw.law(300)
@given(st.data())
def test_an_exact_value_is_rounded_once_as_the_oracle_says(data):
    name, mode = data.draw(draw.formats()), data.draw(st.sampled_from(rational.MODES))
    value = data.draw(near(name))
    found = fp.inspect(value, name, mode)
    assert same(found.stored, rational.round_exact(value, rational.grid(name), mode))
    if math.isfinite(found.stored):
        assert found.error == Fraction(found.stored) - value
        assert found.error_ulp * Fraction(found.ulp) == found.error
        assert found.relative_error * value == found.error
        if mode.startswith("nearest") and abs(value) <= fp.Format(name).max:
            assert abs(found.error_ulp) <= Fraction(1, 2)


def test_a_string_is_exact_and_a_float_is_its_own_value():
    assert fp.inspect("0.1", "float64").error == Fraction(0.1) - Fraction(1, 10)
    found = fp.inspect(0.1, "float64")
    assert found.error == 0
    assert found.value == found.decimal == "0.1000000000000000055511151231257827021181583404541015625"


@pytest.mark.parametrize(
    "value", ["3", " +3.0 ", "6/2", 3, 3.0, np.float16(3), np.float32(3), np.longdouble(3), np.int8(3), Fraction(3),
              Decimal(3), np.array(3.0), fp.tensor(3.0)],
)  # fmt: skip
def test_every_kind_of_number_is_taken(value):
    assert fp.inspect(value, "float16").stored == 3


@pytest.mark.parametrize(
    ("value", "fmt", "mode", "stored", "note"),
    [
        ("1.5", "float16", EVEN, 1.5, "stored exactly."),
        ("2049", "float16", EVEN, 2048, "half-way between 2048 and 2050: the first, whose last bit is 0, is taken."),
        ("2049", "float16", AWAY, 2050, "half-way between 2048 and 2050: the second, away from zero, is taken."),
        ("-2049", "float16", "up", -2048, "between -2050 and -2048: up takes the second."),
        ("65519", "float16", EVEN, 65504, "65519 exceeds 65504, but only from 65520 on rounds to inf."),
        ("-70000", "float16", EVEN, -INF, "70000 exceeds 65504; from 65520 on rounds to inf."),
        ("7e4", "float16", "toward_zero", 65504, "7e4 exceeds 65504; toward_zero keeps the largest."),
        ("7e4", "float16", "up", INF, "7e4 exceeds 65504; up gives inf above zero and keeps the largest below."),
        ("7e4", "float16", "down", 65504, "7e4 exceeds 65504; down gives inf below zero and keeps the largest above."),
        ("464", "float8_e4m3fn", EVEN, 448, "464 exceeds 448, but only above 464 rounds to nan."),
        ("464", "float8_e4m3fn", AWAY, NAN, "464 exceeds 448; from 464 on rounds to nan."),
        ("500", "float8_e4m3fnuz", EVEN, NAN, "500 exceeds 240; from 248 on rounds to nan."),
        ("8", "float4_e2m1fn", EVEN, 6,
         "8 exceeds 6; float4_e2m1fn has neither inf nor nan and keeps its largest."),
        ("1e39", "float32", EVEN, INF, "1e39 exceeds 3.402823e+38; from 3.402824e+38 on rounds to inf."),
        ("1e-8", "float16", EVEN, 0, "smaller than 2**-24, the smallest number above 0; "
         "between 0 and 5.960464477539063e-08: the first is nearer."),
        ("1e-400", "float64", "up", 5e-324, "below 2**-1022 numbers are subnormal: 1 of 53 significand bits is left; "
         "between 0 and 5e-324: up takes the second."),
        ("inf", "float16", EVEN, INF, "infinity: exponent bits all ones, significand zero."),
        ("inf", "float8_e4m3fn", EVEN, NAN, "float8_e4m3fn has no infinity: nan is stored."),
        ("-inf", "float6_e2m3fn", EVEN, -7.5,
         "float6_e2m3fn has neither infinity nor NaN: the largest number is stored."),
        ("nan", "float16", EVEN, NAN, "not a number: exponent bits all ones, significand not zero."),
        ("nan", "float8_e5m2fnuz", EVEN, NAN,
         "not a number: what would be -0 is float8_e5m2fnuz's only NaN."),
        ("-0.0", "float8_e5m2fnuz", EVEN, 0, "float8_e5m2fnuz has no -0: +0 is stored."),
        ("3", "float8_e8m0fnu", EVEN, 2, "half-way between 2 and 4: the first, whose last bit is 0, is taken."),
        ("1e99", "float8_e8m0fnu", EVEN, NAN, "1e99 exceeds 1.70141e+38; from 2.55212e+38 on rounds to nan."),
    ],
)  # fmt: skip
def test_the_note_says_what_happened(value, fmt, mode, stored, note):
    found = fp.inspect(value, fmt, mode)
    assert same(found.stored, stored)
    assert found.note == note


@pytest.mark.parametrize("name", [name for name in NAMES if fp.Format(name).has_nan and name != "float8_e8m0fnu"])
@pytest.mark.parametrize("mode", ["nearest_even", "nearest_away"])
def test_the_overflow_rule_names_the_first_number_that_overflows(name, mode):
    fmt, rule = fp.Format(name), overflow_rule(fp.Format(name), mode)
    limit = Fraction(fmt.max) + Fraction(float(fp.ulp(fmt.max, fmt))) / 2
    assert math.isfinite(fp.inspect(limit, fmt, mode).stored) == rule.startswith("above")
    if fmt.bits <= 8 or name == "float16":
        assert Fraction(re.search(r"\d+(\.\d+)?", rule).group()) == limit


def test_stochastic_takes_one_of_the_two():
    rng = np.random.default_rng(0)
    stored = {fp.inspect("2049", "float16", "stochastic", rng=rng).stored for _ in range(40)}
    assert stored == {2048, 2050}


def test_to_dict_is_plain():
    found = fp.inspect("0.1", "float16").to_dict()
    assert found["format"] == "float16"
    assert found["error_ulp"] == -0.4
    assert {type(value) for value in found.values()} <= {str, float, int, type(None)}


@pytest.mark.parametrize("name", NAMES)
def test_html_shows_every_bit_and_every_line_and_loads_nothing(name):
    found = fp.inspect("2.5", name)
    page = found._repr_html_()
    assert re.findall(r">([01])</span>", page) == list(found.sign + found.exponent + found.significand)
    assert all(html.escape(line) in page for _, line in found._rows())
    assert not re.search(r"src=|href=|url\(|<script|<link|@import", page)
