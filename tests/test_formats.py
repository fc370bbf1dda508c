"""Formats: every derived figure, every way to name one, every way to get it wrong.

Expected figures come from NumPy, ml_dtypes and the standards' tables in `tests/oracles/rational.py`.
"""

import dataclasses
import math
import pickle

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fpsim as fp
from fpsim.errors import FormatError, FpsimError
from tests.oracles import draw, rational, tables

NUMPY = ("float16", "float32", "float64")
ML_DTYPES = sorted(name for name in vars(ml_dtypes) if name.startswith(("float", "bfloat")))
INFOS = {name: np.finfo(name) for name in NUMPY} | {n: ml_dtypes.finfo(getattr(ml_dtypes, n)) for n in ML_DTYPES}
FIELDS = (
    "bits eps epsneg iexp machep max maxexp min minexp negep nexp nmant precision resolution "
    "smallest_normal smallest_subnormal tiny"
).split()


# Figures ---------------------------------------------------------------------------------------------------


def test_every_float_format_of_ml_dtypes_has_its_name_here():
    assert [name for name in ML_DTYPES if getattr(fp, name, None) != fp.Format(name)] == []


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("name", INFOS)
def test_finfo_has_the_figures_of_numpy_and_ml_dtypes(name, field):
    assert float(getattr(fp.finfo(name), field)) == float(getattr(INFOS[name], field))


@pytest.mark.parametrize("name", INFOS)
def test_attributes_agree_with_finfo(name):
    fmt, info = fp.Format(name), INFOS[name]
    assert fmt.name == name
    assert (fmt.bits, fmt.exponent_bits, fmt.significand_bits, fmt.p) == (
        info.bits,
        info.iexp,
        info.nmant,
        info.nmant + 1,
    )
    assert (fmt.emin, fmt.emax) == (info.minexp, info.maxexp - 1)
    figures = ("max", "smallest_normal", "smallest_subnormal", "eps")
    assert [getattr(fmt, f) for f in figures] == [float(getattr(info, f)) for f in figures]
    assert fmt.unit_roundoff == float(info.eps) / 2


@pytest.mark.parametrize("name", rational.NAMED)
def test_attributes_are_the_standards(name):
    fmt, law = fp.Format(name), rational.NAMED[name]
    assert (fmt.exponent_bits, fmt.significand_bits, fmt.bits, fmt.emin, fmt.max) == (
        law.exponent_bits,
        law.significand_bits,
        law.exponent_bits + law.significand_bits + 1,
        law.emin,
        law.max,
    )
    assert (fmt.has_inf, fmt.has_nan, fmt.has_negative_zero) == (
        law.has_inf,
        law.has_nan,
        law.has_negative_zero,
    )
    assert fmt.bias == 1 - law.emin
    assert fmt.smallest_subnormal == law.quantum
    assert fmt.has_subnormals


def test_e8m0_is_a_scale_without_zero_sign_infinity_or_subnormals():
    e8m0 = fp.float8_e8m0fnu
    assert (e8m0.bits, e8m0.has_inf, e8m0.has_nan, e8m0.has_subnormals) == (8, False, True, False)
    assert (e8m0.max, e8m0.smallest_normal) == (2.0**127, 2.0**-127)


@pytest.mark.parametrize(("name", "digits"), [("float16", 3.31), ("float32", 7.22), ("float64", 15.95)])
def test_decimal_digits_are_p_log10_2(name, digits):
    fmt = fp.Format(name)
    assert fmt.decimal_digits == fmt.p * math.log10(2)
    assert round(fmt.decimal_digits, 2) == digits


@draw.law(200)
@given(draw.splits())
def test_any_split_has_the_figures_of_ieee_754(name):
    fmt, law = fp.Format(name), rational.grid(name)
    assert (fmt.emin, fmt.emax, fmt.bias) == (law.emin, 1 - law.emin, 1 - law.emin)
    assert (fmt.max, fmt.smallest_normal, fmt.smallest_subnormal) == (
        law.max,
        rational.two(law.emin),
        law.quantum,
    )
    assert (fmt.eps, fmt.bits) == (rational.two(-law.significand_bits), law.bits)


# Names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("fp16", "float16"), ("half", "float16"), ("fp32", "float32"), ("single", "float32"),
        ("fp64", "float64"), ("double", "float64"), ("bf16", "bfloat16"), ("tf32", "tfloat32"),
        ("e5m10", "float16"), ("e8m7", "bfloat16"), ("e8m10", "tfloat32"), ("e8m23", "float32"),
        ("e11m52", "float64"), ("e5m2", "float8_e5m2"), ("e4m3", "float8_e4m3"), ("e3m4", "float8_e3m4"),
        (np.float16, "float16"), (np.float64, "float64"), (np.dtype("float32"), "float32"),
        (np.dtype(">f4"), "float32"), (ml_dtypes.bfloat16, "bfloat16"),
        (np.dtype(ml_dtypes.float8_e4m3fn), "float8_e4m3fn"),
    ],
    ids=str,
)  # fmt: skip
def test_every_spelling_is_the_same_format(spelling, name):
    fmt = fp.Format(spelling)
    assert fmt == getattr(fp, name)
    assert fmt.name == name
    assert hash(fmt) == hash(getattr(fp, name))
    assert fp.Format(fmt) == fmt


@pytest.mark.parametrize("name", ML_DTYPES)
def test_ml_dtypes_types_and_dtypes_are_parsed(name):
    scalar_type = getattr(ml_dtypes, name)
    assert fp.Format(scalar_type) == fp.Format(np.dtype(scalar_type)) == fp.Format(name)


def test_keywords_are_the_split():
    assert fp.Format(exponent_bits=5, significand_bits=10) == fp.float16
    assert fp.Format(exponent_bits=np.int64(6), significand_bits=9) == fp.Format("e6m9")
    assert fp.Format("e6m9").name == "e6m9"


def test_formats_are_equal_by_value_only():
    names = [*rational.NAMED, "float8_e8m0fnu", "e2m1", "e3m2", "e2m3"]
    assert len({fp.Format(name) for name in names}) == len(names)
    assert fp.float16 != "float16"
    assert pickle.loads(pickle.dumps(fp.float8_e4m3fn)) == fp.float8_e4m3fn


def test_formats_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        fp.float16.significand_bits = 11
    with pytest.raises((AttributeError, TypeError)):
        fp.float16.max = 1.0


def test_repr_of_e4m3_points_to_ocps():
    text = repr(fp.Format("e4m3"))
    assert "240" in text
    assert "float8_e4m3fn" in text
    assert "448" in text
    assert "448" in repr(fp.float8_e4m3fn)
    assert "float8_e4m3fn" not in repr(fp.Format("e5m2"))


# Wrong names -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("float17", "float16"), ("flaot32", "float32"), ("bloat16", "bfloat16"),
        ("float8_e4m3f", "float8_e4m3fn"), ("tfloat23", "tfloat32"), ("fp61", "fp16"),
    ],
)  # fmt: skip
def test_a_wrong_name_is_answered_with_the_nearest_ones(wrong, nearest):
    with pytest.raises(FormatError, match=rf"^Format: expected .+, got '{wrong}'; .*\b{nearest}\b.*\.$"):
        fp.Format(wrong)


@pytest.mark.parametrize(
    "nonsense",
    [
        "e0m3", "e1m3", "e12m3", "e5m60", "e5m53", "e-5m10", "e5m-1", "e5", "m10", "em", "", "e5m10x", "5-10",
        None, 3.5, 16, True, [], np.int32, np.dtype("int8"), np.complex64, int,
        pytest.param(object(), id="object"), np.float16(1),
    ],
    ids=repr,
)  # fmt: skip
def test_nonsense_is_a_format_error(nonsense):
    with pytest.raises(FormatError, match=r"^Format: expected .+, got .+; .+\.$") as error:
        fp.Format(nonsense)
    assert isinstance(error.value, ValueError)


@pytest.mark.parametrize(
    "keywords",
    [
        {"exponent_bits": 5}, {"significand_bits": 3}, {"exponent_bits": 0, "significand_bits": 3},
        {"exponent_bits": 12, "significand_bits": 3}, {"exponent_bits": 5, "significand_bits": 53},
        {"exponent_bits": -5, "significand_bits": 3}, {"exponent_bits": 5, "significand_bits": -1},
        {"exponent_bits": 5.0, "significand_bits": 10}, {"exponent_bits": "5", "significand_bits": 10},
    ],
    ids=str,
)  # fmt: skip
def test_a_split_that_float64_cannot_hold_is_a_format_error(keywords):
    with pytest.raises(FormatError, match=r"^Format: expected .+, got .+; .+\.$"):
        fp.Format(**keywords)


# Relations and contents ------------------------------------------------------------------------------------


@pytest.mark.parametrize("wide", tables.FORMATS)
@pytest.mark.parametrize("narrow", ["float16", "bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float6_e2m3fn", "e4m3"])
def test_a_format_holds_another_when_rounding_into_it_changes_nothing(wide, narrow):
    fmt = rational.grid(narrow)
    with np.errstate(over="ignore"):
        values = tables.decode(np.arange(2**fmt.bits), narrow)
    if np.isnan(values).any() and not rational.grid(wide).has_nan:
        unchanged = False
    else:
        rounded = tables.Located(values, wide).rounded("nearest_even")
        unchanged = np.array_equal(rounded, values, equal_nan=True) and np.array_equal(
            np.signbit(rounded[rounded == 0]), np.signbit(values[values == 0])
        )
    assert fp.Format(wide).holds(fp.Format(narrow)) == unchanged


def test_float64_holds_every_format_and_float32_all_but_wider_ones():
    for name in tables.FORMATS:
        assert fp.float64.holds(fp.Format(name))
    assert not fp.float32.holds(fp.float64)
    assert not fp.float32.holds(fp.Format("e10m5"))
    assert fp.float32.holds(fp.tfloat32)


@pytest.mark.parametrize("name", tables.FORMATS)
def test_all_values_are_all_finite_numbers_and_the_specials_the_format_has(name):
    values = np.asarray(fp.all_values(name), dtype=np.float64)
    fmt, law = fp.Format(name), tables.magnitudes(name)
    finite = values[np.isfinite(values)]
    assert np.array_equal(np.unique(finite), np.unique(np.concatenate([law, -law])))
    assert np.isinf(values).any() == fmt.has_inf
    assert np.all(np.diff(values[~np.isnan(values)]) >= 0), "in ascending order"


@pytest.mark.parametrize("name", ["float32", "float64", "tfloat32", "e8m8"])
def test_all_values_refuses_formats_of_more_than_16_bits(name):
    with pytest.raises(FpsimError, match=r"^all_values: expected .+, got .+; .+\.$"):
        fp.all_values(name)


@draw.law(100)
@given(st.sampled_from(sorted(rational.NAMED)), st.sampled_from(sorted(rational.NAMED)))
def test_formats_that_hold_each_other_are_equal(a, b):
    if fp.Format(a).holds(fp.Format(b)) and fp.Format(b).holds(fp.Format(a)):
        assert fp.Format(a) == fp.Format(b)


@pytest.mark.parametrize(
    ("keywords", "emin", "emax", "largest"),
    [
        ({"exponent_bits": 2, "significand_bits": 1, "bias": 10}, -9, -8, 1.5 * 2.0**-8),
        ({"exponent_bits": 2, "significand_bits": 1, "bias": -10}, 11, 12, 1.5 * 2.0**12),
        ({"exponent_bits": 3, "significand_bits": 1, "specials": "fn"}, -2, 4, 16.0),
        ({"exponent_bits": 3, "significand_bits": 1, "specials": "fnuz"}, -3, 3, 12.0),
    ],
)
def test_a_bias_moves_the_range_and_specials_take_codes_from_its_top(keywords, emin, emax, largest):
    fmt = fp.Format(**keywords)
    assert (fmt.emin, fmt.emax, fmt.max) == (emin, emax, largest)
    assert fp.all_values(fmt)[np.isfinite(fp.all_values(fmt))].max() == largest
