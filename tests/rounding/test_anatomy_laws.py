"""`inspect` against fractions over all codes and midpoints of small formats in every mode; the sentences and digits."""
# ruff: noqa: E501 (sentences as they are read)

import itertools
import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import fpsim as fp
from fpsim.errors import ArgumentError, ArgumentTypeError, FormatError
from fpsim.rounding import anatomy
from fpsim.rounding.anatomy import _apart, _cut, _digits, _log2, _neat, _power, _spelt, _wide, largest, overflow_rule

MODES = ("nearest_even", "nearest_away", "toward_zero", "up", "down")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["float4_e2m1fn", "e2m1", "e3m1fn", "e2m2fnuz"])
def test_every_figure_is_the_fraction(name, mode):
    fmt = fp.Format(name)
    known = sorted({Fraction(float(v)) for v in fp.all_values(fmt) if np.isfinite(v)})
    points = [*known, *((a + b) / 2 for a, b in itertools.pairwise(known))]
    points += [(2 * a + b) / 3 for a, b in itertools.pairwise(known)] + [known[-1] * 3, known[0] * 3]
    for x in points:
        found = fp.inspect(x, fmt, mode)
        stored = found.stored
        assert found.mode == mode
        assert found.format is fmt
        bits = found.sign + found.exponent + found.significand
        assert (int(bits, 2), len(bits), len(found.exponent)) == (int(found.code, 16), fmt.bits, fmt.exponent_bits)
        assert found.code == f"0x{int(bits, 2):0{-(-fmt.bits // 4)}x}"
        if not math.isfinite(stored):
            assert (found.error, found.error_ulp, found.relative_error, found.ulp, found.exponent_value) == (None,) * 5
            assert found.kind == ("inf" if fmt.has_inf else "nan")
            assert found.binary == str(stored)
            continue
        value = Fraction(stored)
        assert Fraction(found.decimal) == value
        assert found.error == value - x
        weight = Fraction(fp.ulp(stored, fmt))
        assert (found.ulp, found.error_ulp) == (weight, (value - x) / weight)
        assert found.relative_error == ((value - x) / x if x else None)
        normal = abs(value) >= Fraction(fmt.smallest_normal)
        assert found.kind == ("zero" if not value else "normal" if normal else "subnormal")
        e = math.frexp(stored)[1] - 1 if normal else fmt.emin
        assert found.exponent_value == e
        assert found.below == next((v for v in reversed(known) if v < value), -math.inf if fmt.has_inf else None)
        assert found.above == next((v for v in known if v > value), math.inf if fmt.has_inf else None)
        sign = "-" if math.copysign(1, stored) < 0 else "+"
        assert found.binary == (
            f"{sign}{int(normal)}.{found.significand}b x 2**{e} = {sign.strip('+')}{abs(value) / weight} x 2**{math.frexp(weight)[1] - 1}"
        )
        if abs(x) <= known[-1] and value != x:
            a, b = max(v for v in known if v < x), min(v for v in known if v > x)
            first = _neat(float(a))
            second = "-0" if b == 0 and fmt.has_negative_zero else _neat(float(b))
            which = "first" if value == a else "second"
            between = f"between {first} and {second}"
            if not mode.startswith("nearest"):
                assert found.note.endswith(f"{between}: {mode} takes the {which}.")
            elif x - a == b - x:
                why = {"nearest_even": "whose last bit is 0", "nearest_away": "away from zero"}[mode]
                assert found.note.endswith(f"half-way {between}: the {which}, {why}, is taken.")
            else:
                assert found.note.endswith(f"{between}: the {which} is nearer.")
        elif value == x and x:
            assert found.note.endswith("stored exactly.")


@pytest.mark.parametrize(
    ("value", "fmt", "mode", "note"),
    [
        ("0", "float16", "up", "stored exactly."),
        ("-0", "float16", "up", "zero with its sign bit set; it compares equal to +0."),
        ("-0", "float8_e4m3fnuz", "up", "float8_e4m3fnuz has no -0: +0 is stored."),
        ("inf", "float16", "up", "infinity: exponent bits all ones, significand zero."),
        ("-inf", "float8_e4m3fn", "up", "float8_e4m3fn has no infinity: nan is stored."),
        ("inf", "float4_e2m1fn", "up", "float4_e2m1fn has neither infinity nor NaN: the largest number is stored."),
        ("nan", "float16", "up", "not a number: exponent bits all ones, significand not zero."),
        ("nan", "float8_e5m2fnuz", "up", "not a number: what would be -0 is float8_e5m2fnuz's only NaN."),
        ("nan", "float8_e8m0fnu", "nearest_even", "not a number: the code of all ones is float8_e8m0fnu's NaN."),
        ("1e-9", "float16", "nearest_even", "smaller than 2**-24, the smallest number above 0; between 0 and 5.960464477539063e-08: the first is nearer."),
        ("3/33554432", "float16", "nearest_even", "below 2**-14 numbers are subnormal: 2 of 11 significand bits are left; half-way between 5.960464477539063e-08 and 1.1920928955078125e-07: the second, whose last bit is 0, is taken."),
        (2.0**-24, "float16", "nearest_even", "below 2**-14 numbers are subnormal: 1 of 11 significand bits is left; stored exactly."),
        ("65510", "float16", "nearest_even", "65510 exceeds 65504, but only from 65520 on rounds to inf."),
        ("-70000", "float16", "nearest_even", "70000 exceeds 65504; from 65520 on rounds to inf."),
        ("70000", "float16", "toward_zero", "70000 exceeds 65504; toward_zero keeps the largest."),
        ("70000", "float16", "up", "70000 exceeds 65504; up gives inf above zero and keeps the largest below."),
        ("70000", "float16", "down", "70000 exceeds 65504; down gives inf below zero and keeps the largest above."),
        ("450", "float8_e4m3fn", "nearest_even", "450 exceeds 448, but only above 464 rounds to nan."),
        ("450", "float8_e4m3fn", "nearest_away", "450 exceeds 448, but only from 464 on rounds to nan."),
        ("7", "float4_e2m1fn", "nearest_even", "7 exceeds 6; float4_e2m1fn has neither inf nor nan and keeps its largest."),
    ],
)  # fmt: skip
def test_the_note(value, fmt, mode, note):
    assert fp.inspect(value, fmt, mode).note == note


def test_stochastic_overflow_and_the_largest():
    assert overflow_rule(fp.float16, "stochastic") == "stochastic rounding may give inf"
    assert overflow_rule(fp.float8_e4m3fn, "up") == "up gives nan above zero and keeps the largest below"
    assert overflow_rule(fp.float8_e5m2fnuz) == "from 61440 on rounds to nan"
    assert overflow_rule(fp.float32) == "from 3.402824e+38 on rounds to inf"
    assert (largest(fp.float16), largest(fp.float32), largest(fp.float8_e4m3fn)) == ("65504", "3.402823e+38", "448")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0.1", "0.1"), (" 0.10 ", "0.10"), ("1/3", "1/3"), (0.1, "0.1000000000000000055511151231257827021181583404541015625"),
        (1, "1"), (-3, "-3"), (Fraction(1, 3), "1/3"), (Fraction(-1, 8), "-0.125"), (Decimal("0.1"), "0.1"),
        (np.float32(0.1), "0.100000001490116119384765625"), (True, "1"), (0, "0"), (0.0, "0"), (-0.0, "-0.0"),
        ("-0", "-0"), ("+inf", "inf"), ("-Infinity", "-inf"), (math.inf, "inf"), (2**70, "1180591620717411303424"),
        (10**20, "100000000000000000000"), (2.0**-40, "9.094947017729282379150390625e-13"),
        (2.0**-33, "0.000000000116415321826934814453125"), ("1e1000", "1e1000"), ("1e-1000", "1e-1000"),
    ],
)  # fmt: skip
def test_what_was_given_is_spelt(value, text):
    assert fp.inspect(value, "float64").value == text


@pytest.mark.parametrize("value", ["1e1001", "1e-1001", 10**1030, Fraction(1, 10**1030), "1e999999999", "-1e1001"])
def test_numbers_far_outside_are_refused(value):
    with pytest.raises(ArgumentError) as error:
        fp.inspect(value, "float64")
    assert str(error.value) == (
        "inspect: expected a number between 1e-1000 and 1e1000, got one far outside; no format reaches that far."
    )


@pytest.mark.parametrize("value", ["one", "1/0", "", None, [1.0, 2.0], 1j, object])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(ArgumentTypeError) as error:
        fp.inspect(value, "float64")
    assert str(error.value) == f'inspect: expected one real number, got value={value!r}; write it like 0.1 or "0.1".'


def test_scales():
    for x, code in (
        ("1", 127),
        ("0.75", 126),
        ("0.7501", 127),
        ("1.5", 128),
        ("3", 128),
        ("1e-900", 0),
        ("1e900", 255),
    ):
        found = fp.inspect(x, "float8_e8m0fnu")
        assert (int(found.code, 16), found.sign, found.significand) == (code, "", "")
    found = fp.inspect("1", "float8_e8m0fnu")
    assert (found.below, found.above, found.kind, found.binary) == (0.5, 2.0, "normal", "+1b x 2**0 = 1 x 2**0")
    lowest, highest = fp.inspect(2.0**-127, "float8_e8m0fnu"), fp.inspect(2.0**127, "float8_e8m0fnu")
    assert (lowest.below, lowest.above, highest.below, highest.above) == (None, 2.0**-126, 2.0**126, None)
    assert (fp.inspect("nan", "float8_e8m0fnu").below, fp.inspect("nan", "float8_e8m0fnu").above) == (None, None)
    just_above = Fraction(3, 2) + Fraction(1, 2**80)
    assert int(fp.inspect(just_above / 2, "float8_e8m0fnu").code, 16) == 127
    assert int(fp.inspect(just_above, "float8_e8m0fnu").code, 16) == 128
    assert int(fp.inspect(Fraction(3, 2) * 2 + Fraction(1, 2**80), "float8_e8m0fnu").code, 16) == 129
    with pytest.raises(FormatError) as error:
        fp.inspect("-1", "float8_e8m0fnu")
    assert (
        str(error.value) == "inspect: expected a positive value for float8_e8m0fnu, got value=-1; it codes scales only."
    )
    with pytest.raises(FormatError):
        fp.inspect("0", "float8_e8m0fnu")
    with pytest.raises(ArgumentError) as error:
        fp.inspect("1", "float8_e8m0fnu", "up")
    assert str(error.value) == (
        "inspect: expected mode='nearest_even' for float8_e8m0fnu, got mode='up'; it codes scales only."
    )
    with pytest.raises(FormatError) as error:
        fp.inspect("nan", "float4_e2m1fn")
    assert (
        str(error.value)
        == "inspect: expected a number that float4_e2m1fn has, got value=nan; choose a format with NaN."
    )


def test_numbers_as_text():
    assert [_log2(Fraction(x)) for x in ("1", "3/2", "2", "1/3", "-1/4", "7/8", "255/256", "1e30")] == [
        0,
        0,
        1,
        -2,
        -2,
        -1,
        -1,
        99,
    ]
    for x in (Fraction(1, 3), Fraction(-10, 7), Fraction(2) ** 900 / 3, 1 + Fraction(1, 2**53) + Fraction(1, 2**300)):
        wide = _wide(x)
        found = (Fraction(float(wide.hi)) + Fraction(float(wide.lo))) * Fraction(2) ** int(wide.exponent)
        assert 0 < abs(found - x) < abs(x) / 2**105
    assert int(_wide(Fraction(10) ** 400).exponent) <= 1101
    digits = {
        "1/3": "0.333333", "12345": "12345", "123456789": "123457000", "1234567890": "1.23457e+9", "1/8": "0.125",
        "-1/30000": "-3.33333e-5", "1/3000": "0.000333333", "1/300000": "3.33333e-6", "1/16384": "6.10352e-5", "1e9": "1e+9",
    }  # fmt: skip
    assert {x: _digits(Fraction(x)) for x in digits} == digits
    assert _apart(Fraction(65504), Fraction(65520)) == ("65504", "65520")
    assert _apart(Fraction("1.0000000001"), Fraction(1)) == ("1.0000000001", "1")
    assert [_power(x) for x in (1.0, 0.5, 2.0**-1074)] == ["2**0", "2**-1", "2**-1074"]
    long = "1." + "3" * 100
    assert _cut(long) == "1." + "3" * 70 + "..."
    assert _cut("1" * 88) == "1" * 88
    assert _cut("1" + "2" * 99) == "1." + "2" * 70 + "...e+99"
    assert _cut("-1" + "2" * 99) == "-1." + "2" * 69 + "...e+99"
    assert _cut(long + "e-7") == "1." + "3" * 70 + "...e-7"
    assert _cut(long, 24) == "1." + "3" * 22 + "..."
    assert _cut("1" * 100 + "/" + "3" * 10) == "1" * 72 + "..."
    assert _neat(0.1 + 0.2) == "0.30000000000000004"
    assert _neat(0.5) == "0.5"
    assert _spelt(Fraction(1, 3)) == "1/3"
    assert _spelt(Fraction(10**20)) == "1" + "0" * 20
    assert _spelt(Fraction(1, 2**10)) == "0.0009765625"


def test_the_dictionary_and_the_names():
    found = fp.inspect("1/3", "float16")
    plain = found.to_dict()
    assert set(plain) == {
        "value", "format", "mode", "stored", "decimal", "kind", "sign", "exponent", "significand", "code",
        "exponent_value", "error", "error_ulp", "relative_error", "ulp", "below", "above", "note",
    }  # fmt: skip
    assert (plain["format"], plain["error"], plain["error_ulp"]) == (
        "float16",
        float(found.error),
        float(found.error_ulp),
    )
    assert anatomy._nearest(-(Fraction(10) ** 400)) == -math.inf
    far = fp.inspect("1e1000", "float16", "toward_zero").to_dict()
    assert (far["stored"], far["error"], far["relative_error"]) == (65504.0, -math.inf, -1.0)
    assert fp.inspect("-1e1000", "float16", "toward_zero").to_dict()["error"] == math.inf
    with pytest.raises(AttributeError):
        found.value = "2"
    assert fp.rounding.inspect is fp.inspect
    with pytest.raises(AttributeError, match=r"module 'fpsim.rounding' has no attribute 'nothing'"):
        fp.rounding.nothing  # noqa: B018


GOLDEN = """\
-12.6 in float8_e5m2 (1 + 5 + 2 bits), rounded up
  bits        1 10010 10  (sign exponent significand; code 0xca)
  means       -1.10b x 2**3 = -6 x 2**1 (normal)
  stored      -12
  given       -12.6
  error       0.6 = 0.3 ulp, relative -0.047619
  ulp         2**1 = 2
  neighbours  -14 below, -10 above
  note        between -14 and -12: up takes the second."""


def test_the_text_and_the_html():
    found = fp.inspect("-12.6", "float8_e5m2", "up")
    assert repr(found) == GOLDEN
    page = found._repr_html_()
    assert page.count('<span style="display:inline-block;width:1.2em') == 8
    assert page.count(">1</span>") + page.count(">0</span>") == 8
    assert [page.count(colour) for colour in ("#E69F00", "#56B4E9", "#5FC9A5")] == [1, 5, 2]
    assert page.count("<tr") == page.count("</tr>") == 8
    for text in (
        "sign</span>",
        "exponent</span>",
        "significand</span>",
        "0xca</td>",
        "<b>-12.6 in float8_e5m2 (1 + 5 + 2 bits), rounded up</b>",
    ):
        assert text in page
    scale = fp.inspect("2", "float8_e8m0fnu")._repr_html_()
    assert (scale.count("#E69F00"), scale.count("#56B4E9"), scale.count("#5FC9A5")) == (0, 8, 0)
    assert "float8_e8m0fnu (8 + 0 bits)" in repr(fp.inspect("2", "float8_e8m0fnu"))
    assert "(exponent; code 0x80)" in repr(fp.inspect("2", "float8_e8m0fnu"))
    assert "  neighbours  65504 below, none above" in repr(fp.inspect("inf", "float16"))
    assert "neighbours" not in repr(fp.inspect("nan", "float16"))
    lines = repr(fp.inspect("1e-300/3".replace("/3", ""), "float64")).splitlines()
    assert [line.split()[0] for line in lines[1:8]] == [
        "bits",
        "means",
        "stored",
        "given",
        "error",
        "ulp",
        "neighbours",
    ]
    assert max(map(len, lines[2:3])) > 100
