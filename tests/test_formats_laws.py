"""Formats by enumeration: every figure of every small format from its codes, and every sentence about a wrong one.

The definition is here: a code means ``(-1)**s * significand * 2**exponent`` in fractions, less what a format spends
on infinity and NaN. Nothing of fpsim computes it.
"""

# ruff: noqa: E501 (sentences as they are read)
import itertools
import math
import pickle
from fractions import Fraction

import numpy as np
import pytest

import fpsim as fp
from fpsim.errors import FormatError
from fpsim.formats import NAMED, SPECIALS
from tests.oracles.codes import INF, NAN, meaning, usual_bias

TYPED_IN = {
    "float16": (5, 10, 15, "ieee"), "bfloat16": (8, 7, 127, "ieee"), "tfloat32": (8, 10, 127, "ieee"),
    "float32": (8, 23, 127, "ieee"), "float64": (11, 52, 1023, "ieee"), "float8_e3m4": (3, 4, 3, "ieee"),
    "float8_e4m3": (4, 3, 7, "ieee"), "float8_e4m3fn": (4, 3, 7, "fn"), "float8_e4m3fnuz": (4, 3, 8, "fnuz"),
    "float8_e4m3b11fnuz": (4, 3, 11, "fnuz"), "float8_e5m2": (5, 2, 15, "ieee"), "float8_e5m2fnuz": (5, 2, 16, "fnuz"),
    "float8_e8m0fnu": (8, 0, 127, "scale"), "float6_e2m3fn": (2, 3, 1, "finite"), "float6_e3m2fn": (3, 2, 3, "finite"),
    "float4_e2m1fn": (2, 1, 1, "finite"),
}  # fmt: skip
ALIASES = {
    "half": "float16", "fp16": "float16", "f16": "float16", "bf16": "bfloat16", "single": "float32",
    "float": "float32", "fp32": "float32", "f32": "float32", "double": "float64", "fp64": "float64", "f64": "float64",
    "tf32": "tfloat32", "e4m3fn": "float8_e4m3fn", "e4m3fnuz": "float8_e4m3fnuz",
    "e4m3b11fnuz": "float8_e4m3b11fnuz", "e5m2fnuz": "float8_e5m2fnuz", "e8m0fnu": "float8_e8m0fnu",
    "e2m3fn": "float6_e2m3fn", "e3m2fn": "float6_e3m2fn", "e2m1fn": "float4_e2m1fn",
}  # fmt: skip


def fields(fmt):
    return fmt.exponent_bits, fmt.significand_bits, fmt.bias, fmt.specials


def small(widest):
    """Every format of at most so many bits, with the usual bias and with others."""
    for e, m, specials in itertools.product(range(2, 8), range(1, 7), ("ieee", "fn", "fnuz", "finite")):
        if e + m + 1 <= widest:
            for shift in (0, -3, 5):
                bias = usual_bias(e, specials) + shift
                yield fp.Format(exponent_bits=e, significand_bits=m, bias=bias, specials=specials)


def test_the_named_formats_are_those_of_the_standards():
    assert {fmt.name: fields(fmt) for fmt in NAMED} == TYPED_IN
    assert [fmt.name for fmt in NAMED] == list(TYPED_IN)
    for name, figures in TYPED_IN.items():
        assert fields(fp.Format(name)) == fields(getattr(fp, name)) == figures
        assert str(getattr(fp, name)) == name
        assert fp.Format(f"  {name.upper()} ") is getattr(fp, name)
    assert {alias: fp.Format(alias).name for alias in ALIASES} == ALIASES
    assert fp.Format(float) is fp.float64


def test_every_figure_follows_from_the_codes():
    for fmt in small(8):
        values = [meaning(code, *fields(fmt)) for code in range(2**fmt.bits)]
        numbers = sorted({v for v in values if isinstance(v, Fraction)})
        positive = [v for v in numbers if v > 0]
        assert fmt.bits == 1 + fmt.exponent_bits + fmt.significand_bits
        assert (fmt.max, fmt.smallest_subnormal) == (numbers[-1], positive[0])
        normal = [v for v in positive if v >= fmt.smallest_normal]
        # from the smallest normal number on the spacing grows; below it is that of the first binade
        assert {b - a for a, b in itertools.pairwise([Fraction(0), *positive]) if b <= normal[0]} == {positive[0]}
        assert fmt.smallest_normal == 2**fmt.significand_bits * positive[0] == Fraction(2) ** fmt.emin
        assert Fraction(2) ** fmt.emax <= numbers[-1] < Fraction(2) ** (fmt.emax + 1)
        assert fmt.p == fmt.significand_bits + 1
        assert (fmt.eps, fmt.unit_roundoff) == (2.0**-fmt.significand_bits, 2.0 ** -(fmt.significand_bits + 1))
        assert fmt.has_inf == (INF in values)
        assert fmt.has_nan == (NAN in values)
        assert fmt.has_negative_zero == (values.count(0) == 2)
        assert fmt.has_subnormals
        assert fmt.decimal_digits == fmt.p * math.log10(2)
        assert fmt.carrier == np.float32


def test_a_format_holds_another_where_every_value_is_its_own():
    values = {}
    for fmt in small(6):
        codes = range(2**fmt.bits)
        own = {meaning(code, *fields(fmt)) for code in codes}
        negative_zero = meaning(1 << (fmt.bits - 1), *fields(fmt)) == 0
        values[fmt] = own | ({"-0"} if negative_zero else set())
    some = list(values)[::3]
    for a, b in itertools.product(some, some):
        assert a.holds(b) == (values[a] >= values[b]), (a, b)
    e8m0 = fp.float8_e8m0fnu
    holding = [fmt for fmt in NAMED if fmt.has_nan and fmt.smallest_subnormal <= 2.0**-127 and fmt.max >= 2.0**127]
    assert [fmt for fmt in NAMED if fmt.holds(e8m0)] == holding
    assert not any(e8m0.holds(fmt) for fmt in NAMED if fmt is not e8m0)
    assert e8m0.carrier == np.float32


def test_the_scale_has_one_exponent_field_more():
    e8m0 = fp.float8_e8m0fnu
    assert (e8m0.emin, e8m0.emax, e8m0.bits, e8m0.p) == (-127, 127, 8, 1)
    assert (e8m0.max, e8m0.smallest_normal, e8m0.smallest_subnormal) == (2.0**127, 2.0**-127, 2.0**-127)
    assert (e8m0.has_inf, e8m0.has_nan, e8m0.has_subnormals, e8m0.has_negative_zero) == (False, True, False, False)
    assert fp.finfo(e8m0).min == 2.0**-127


def test_names_are_parsed_back_and_pickled():
    for fmt in [*small(6), *NAMED, fp.Format("e11m30"), fp.Format("e9m1b1fnuz")]:
        if fmt.name not in ("e2m1fn", "e2m3fn", "e3m2fn"):  # which ml_dtypes has given to formats without NaN
            assert fp.Format(fmt.name) is fmt
        assert fp.Format(fmt) is fmt
        assert (
            fp.Format(**dict(zip(("exponent_bits", "significand_bits", "bias", "specials"), fields(fmt), strict=True)))
            is fmt
        )
        assert pickle.loads(pickle.dumps(fmt)) is fmt
    assert fp.Format("e6m9").name == "e6m9"
    assert fp.Format("e3m1b7").name == "e3m1b7"
    assert fp.Format("e3m1b4fnuz").name == "e3m1fnuz"
    assert fp.Format("e3m1fn").name == "e3m1fn"
    assert fp.Format("e3m2finite").name == "float6_e3m2fn"
    assert fields(fp.Format("e5m3b0")) == (5, 3, 0, "ieee")
    assert repr(fp.float8_e4m3) == (
        "Format('float8_e4m3', max=240, eps=0.125, smallest_subnormal=0.00195312; "
        "IEEE-like: OCP's E4M3 is float8_e4m3fn, max 448)"
    )
    assert repr(fp.float16) == "Format('float16', max=65504, eps=0.000976562, smallest_subnormal=5.96046e-08)"


def test_finfo_of_any_format_is_its_figures():
    for fmt in [*small(7), *NAMED, fp.Format("e6m9"), fp.Format("e11m1"), fp.Format("e4m30")]:
        info, m = fp.finfo(fmt), fmt.significand_bits
        assert (info.dtype, info.bits, info.eps, info.iexp, info.nexp) == (
            fmt, fmt.bits, fmt.eps, fmt.exponent_bits, fmt.exponent_bits,
        )  # fmt: skip
        assert (info.machep, info.nmant, info.maxexp, info.minexp) == (-m, m, fmt.emax + 1, fmt.emin)
        assert (info.max, info.smallest_normal, info.tiny) == (fmt.max, fmt.smallest_normal, fmt.smallest_normal)
        assert info.min == (-fmt.max if fmt.specials != "scale" else fmt.smallest_normal)
        assert info.smallest_subnormal == fmt.smallest_subnormal
        # the number below 1
        spacing = fmt.eps / 2 if fmt.emin < 0 else fmt.eps
        assert (info.epsneg, 2.0**info.negep) == (spacing, spacing)
        digits = int(m * math.log10(2))
        assert info.precision == (max(digits, 1) if fmt.has_nan else digits)
        error = abs(info.resolution - 10.0**-info.precision)
        assert error <= max(fmt.eps * 10.0**-info.precision, fmt.smallest_subnormal) / 2


# Wrong ones -----------------------------------------------------------------------------------------------------------

SPLIT = "exponent_bits from 2 to 11 and significand_bits from 1 to 52"
REMEDY = "choose a split that float64 holds"
RANGE = "a range that float64 holds exactly"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"exponent_bits": 1, "significand_bits": 4}, f"{SPLIT}, got exponent_bits=1; {REMEDY}"),
        ({"exponent_bits": 12, "significand_bits": 4}, f"{SPLIT}, got exponent_bits=12; {REMEDY}"),
        ({"exponent_bits": 5, "significand_bits": 0}, f"{SPLIT}, got significand_bits=0; {REMEDY}"),
        ({"exponent_bits": 5, "significand_bits": 53}, f"{SPLIT}, got significand_bits=53; {REMEDY}"),
        ({"exponent_bits": True, "significand_bits": 3}, f"{SPLIT}, got exponent_bits=True; {REMEDY}"),
        ({"exponent_bits": 5, "significand_bits": True}, f"{SPLIT}, got significand_bits=True; {REMEDY}"),
        ({"exponent_bits": 5}, f"{SPLIT}, got significand_bits=None; {REMEDY}"),
        ({"like": "float16", "exponent_bits": 5}, "a name or keywords, got 'float16' and keywords; give only one of them"),
        ({"like": "float16", "significand_bits": 5}, "a name or keywords, got 'float16' and keywords; give only one of them"),
        ({"like": "float16", "bias": 5}, "a name or keywords, got 'float16' and keywords; give only one of them"),
        (
            {"exponent_bits": 5, "significand_bits": 2, "specials": "none"},
            f"specials in {SPECIALS}, got specials='none'; choose one",
        ),
        (
            {"exponent_bits": 8, "significand_bits": 0, "bias": 126, "specials": "scale"},
            "e8m0 as the only scale, got e8m0 with specials='scale'; take float8_e8m0fnu",
        ),
        (
            {"exponent_bits": 7, "significand_bits": 0, "specials": "scale"},
            "e8m0 as the only scale, got e7m0 with specials='scale'; take float8_e8m0fnu",
        ),
        ({"exponent_bits": 11, "significand_bits": 52, "bias": 1022}, f"{RANGE}, got bias=1022; use fewer exponent bits"),
        ({"exponent_bits": 5, "significand_bits": 2, "bias": 2.5}, f"{RANGE}, got bias=2.5; use fewer exponent bits"),
        (
            {"like": "float17"},
            "a floating-point format, got 'float17'; did you mean float16, float, bfloat16, float64? Or a split like e5m10",
        ),
        (
            {"like": 7},
            "a floating-point format, got 7; did you mean float16, bfloat16, tfloat32, float32, float64? "
            "Or a split like e5m10",
        ),
    ],
)  # fmt: skip
def test_the_sentence_about_a_wrong_one(arguments, text):
    with pytest.raises(FormatError) as error:
        fp.Format(**arguments)
    assert str(error.value) == f"Format: expected {text}."


@pytest.mark.parametrize(("specials", "reserved"), [("ieee", 2), ("fn", 1), ("fnuz", 1), ("finite", 1)])
def test_the_ends_of_float64_are_the_ends_of_every_format(specials, reserved):
    """The last bias whose largest binade float64 has, and the last whose smallest number it has."""
    for e, m in ((5, 3), (8, 10), (11, 51), (11, 1)):
        lowest, highest = 2**e - reserved - 1023, 1075 - m
        assert fp.Format(exponent_bits=e, significand_bits=m, bias=lowest, specials=specials).emax == 1023
        made = fp.Format(exponent_bits=e, significand_bits=m, bias=np.int64(highest), specials=specials)
        assert (made.smallest_subnormal, type(made.bias)) == (2.0**-1074, int)
        for bias in (lowest - 1, highest + 1):
            with pytest.raises(FormatError, match="a range that float64 holds exactly"):
                fp.Format(exponent_bits=e, significand_bits=m, bias=bias, specials=specials)
