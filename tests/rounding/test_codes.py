"""Values and integer codes: every code of every format of at most 16 bits, wide ones by samples."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fpsim as fp
from fpsim.errors import FormatError, FpsimError
from tests.oracles import draw, rational, tables
from tests.oracles.bits import assert_same

SENTENCE = r"^{}: expected .+, got .+; .+\.$"


def all_codes(name: str) -> np.ndarray:
    bits = fp.Format(name).bits
    return np.arange(2**bits, dtype=np.uint16 if bits > 8 else np.uint8)


@pytest.mark.parametrize("name", tables.FORMATS)
def test_every_code_decodes_to_its_value_and_encodes_back(name):
    codes = all_codes(name)
    values = fp.decode(codes, name)
    assert_same(values, tables.decode(codes, name), codes)
    back = fp.encode(values, name)
    assert back.dtype == codes.dtype
    number = ~np.isnan(values)
    assert np.array_equal(back[number], codes[number])
    assert np.isnan(fp.decode(back[~number], name)).all()


@pytest.mark.parametrize("name", [*tables.NAMED, "float8_e8m0fnu"])
def test_every_code_decodes_as_in_ml_dtypes(name):
    codes = all_codes(name)
    with np.errstate(invalid="ignore"):
        values = codes.view(getattr(ml_dtypes, name, name)).astype(np.float64)
    assert_same(fp.decode(codes, name), values, codes)


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_wide_codes_are_the_bits_of_numpy(name):
    codes = np.random.default_rng(0).integers(0, 2**63, 10_000, dtype=np.uint64)
    codes = (codes * 2 + (codes >> 5) % 2).astype(np.uint64).view(np.dtype(name).str.replace("f", "u"))
    values = codes.view(name)
    number = ~np.isnan(values)
    assert_same(fp.decode(codes, name), values)
    assert np.array_equal(fp.encode(values, name)[number], codes[number])


@draw.law(200)
@given(st.data())
def test_codes_of_any_split_count_its_numbers_in_order(data):
    name = data.draw(draw.splits())
    fmt = rational.grid(name)
    top = (2**fmt.exponent_bits - 1) << fmt.significand_bits
    code = data.draw(st.integers(0, top - 1))
    value = fp.decode(code, name)
    step = rational.ulp(rational.Fraction(float(value)), fmt) if value else fmt.quantum
    following = rational.Fraction(float(value)) + step
    assert int(fp.encode(value, name)) == code
    assert fp.decode(code + 1, name) == (np.inf if code + 1 == top else float(following))
    assert fp.decode(code + 2 ** (fmt.bits - 1), name) == -value


@pytest.mark.parametrize("name", tables.FORMATS)
def test_codes_of_zero_and_infinity(name):
    fmt = rational.grid(name)
    sign = 2 ** (fmt.bits - 1)
    assert fp.encode(0.0, name) == 0
    assert fp.encode(-0.0, name) == (sign if fmt.has_negative_zero else 0)
    if fmt.has_inf:
        assert fp.encode(-np.inf, name) == sign + ((2**fmt.exponent_bits - 1) << fmt.significand_bits)


def test_shapes_and_scalars_are_kept():
    x = np.arange(6.0).reshape(2, 3)
    assert fp.encode(x, "float16").shape == (2, 3)
    assert np.ndim(fp.encode(1.0, "float16")) == 0
    assert np.array_equal(fp.decode(fp.encode(x.T, "float16"), "float16"), x.T)
    assert fp.encode(np.zeros((0, 2)), "bfloat16").shape == (0, 2)


# The scale of OCP MX ---------------------------------------------------------------------------------------


def test_e8m0_codes_are_the_powers_of_two():
    powers = 2.0 ** np.arange(-127, 128)
    assert np.array_equal(fp.encode(powers, "float8_e8m0fnu"), np.arange(255))
    assert np.array_equal(fp.decode(np.arange(255), "float8_e8m0fnu"), powers)
    assert np.isnan(fp.decode(255, "float8_e8m0fnu"))
    assert fp.encode(np.nan, "float8_e8m0fnu") == 255


@pytest.mark.parametrize("x", [0.0, -0.0, -1.0, [1.0, -2.0], -np.inf])
def test_e8m0_has_no_code_for_what_is_not_positive(x):
    with pytest.raises(FormatError, match=SENTENCE.format("encode")):
        fp.encode(x, "float8_e8m0fnu")


def test_e8m0_has_no_arithmetic():
    with pytest.raises(FormatError, match=SENTENCE.format("round")):
        fp.round(1.0, "float8_e8m0fnu")
    with pytest.raises(FpsimError, match=SENTENCE.format(r"\w+")):
        fp.Accumulator("float8_e8m0fnu")


# Refusals --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codes", "fmt"),
    [(1.5, "float16"), (-1, "float16"), (65536, "float16"), (64, "float6_e2m3fn"), ("a", "float16")],
)
def test_what_is_not_a_code_is_refused(codes, fmt):
    with pytest.raises(FpsimError, match=SENTENCE.format("decode")):
        fp.decode(codes, fmt)


@pytest.mark.parametrize("fmt", ["float6_e3m2fn", "float6_e2m3fn", "float4_e2m1fn"])
def test_formats_without_nan_have_no_code_for_it(fmt):
    with pytest.raises(FormatError, match=SENTENCE.format("(encode|round)")):
        fp.encode([1.0, np.nan], fmt)
