"""`fp.mx` against exact fractions, against ml_dtypes bit for bit, and against the reference library's rules."""

import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fpsim as fp
from fpsim.testing import exact
from tests.oracles.bits import assert_same

#: Name, ml_dtypes' element type, emax and largest number (OCP MX v1.0, tables 2 to 6).
SPECIFIED = [
    ("mxfp8_e4m3", ml_dtypes.float8_e4m3fn, 8, 448.0),
    ("mxfp8_e5m2", ml_dtypes.float8_e5m2, 15, 57344.0),
    ("mxfp6_e3m2", ml_dtypes.float6_e3m2fn, 4, 28.0),
    ("mxfp6_e2m3", ml_dtypes.float6_e2m3fn, 2, 7.5),
    ("mxfp4_e2m1", ml_dtypes.float4_e2m1fn, 2, 6.0),
]
every_format = pytest.mark.parametrize(("name", "element", "emax", "largest"), SPECIFIED, ids=[s[0] for s in SPECIFIED])


def wild(shape, seed=0, dtype=np.float32):
    """Numbers of very different sizes, zeros of both signs among them; each row around another exponent."""
    rng = np.random.default_rng(seed)
    exponents = rng.integers(-140, 118, (*shape[:-1], 1)) + rng.integers(-20, 9, shape)
    x = np.ldexp(rng.normal(size=shape), exponents).astype(dtype)
    return np.where(rng.random(shape) < 0.1, np.copysign(0, x), x).astype(dtype)


def floor_log2(x: Fraction) -> int:
    e = x.numerator.bit_length() - x.denominator.bit_length()
    return e if x >= Fraction(2) ** e else e - 1


@every_format
def test_blocks_are_what_exact_fractions_say(name, element, emax, largest):
    for row in wild((24, 8)):
        top = max(abs(Fraction(float(v))) for v in row)
        e = max(floor_log2(top) - emax, -127) if top else -127
        wanted = []
        for v in row:
            p = exact.round(Fraction(float(v)) / Fraction(2) ** e, fp.mx.MXFormat.parse(name).element, saturate=True)
            wanted.append(math.copysign(float(Fraction(p) * Fraction(2) ** e), v))
        assert_same(fp.mx.round(row, name, block=8), np.array(wanted, np.float32))


@every_format
def test_codes_are_ml_dtypes_bit_for_bit(name, element, emax, largest):
    x = wild((50, 64), seed=1)
    packed = fp.mx.encode(x, name)
    scales = packed.scales.view(ml_dtypes.float8_e8m0fnu).astype(np.float64)
    over = np.clip(x / np.repeat(scales, 32, axis=1), -largest, largest).astype(np.float32)
    assert_same(packed.codes, over.astype(element).view(np.uint8))
    values = packed.codes.view(element).astype(np.float64) * np.repeat(scales, 32, axis=1)
    assert_same(fp.mx.round(x, name), values.astype(np.float32))
    assert_same(packed.values(), fp.mx.round(x, name))
    assert packed.nbytes == 3200 * fp.mx.MXFormat.parse(name).element.bits // 8 + 100


def by_microxcaling(a, ebits, mbits, emax, max_norm, block):
    """The steps of `_quantize_mx` and `_quantize_elemwise_core` (microsoft/microxcaling v1.1.0, round "even")."""
    a = a.reshape(-1, block).astype(np.float64)
    with np.errstate(all="ignore"):
        top = np.abs(a).max(axis=1, keepdims=True)
        shared = np.floor(np.log2(top + 2.0**-126 * (top == 0))) - emax
        shared[shared > 127] = np.nan
        shared[shared < -127] = -127
        a = a / 2**shared
        private = np.maximum(np.floor(np.log2(np.abs(a) + (a == 0))), 2 - 2.0 ** (ebits - 1))
        out = np.rint(a / 2**private * 2.0**mbits) / 2.0**mbits * 2**private
        return np.clip(out, -max_norm, max_norm) * 2**shared


@every_format
def test_the_reference_library_gives_the_same(name, element, emax, largest):
    fmt = fp.mx.MXFormat.parse(name).element
    x = np.clip(wild((40, 32), seed=2), -1e38, 1e38)
    x[0] = 0.0
    wanted = by_microxcaling(x, fmt.exponent_bits, fmt.significand_bits, emax, largest, 32)
    assert (fp.mx.round(x, name) == wanted).all()


@every_format
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_make_the_whole_block_nan(name, element, emax, largest, bad):
    """microxcaling, mx/tests/test_corners_mx.py, test_mx_nans: [val, 0, 2**127, 0] becomes all NaN."""
    x = np.array([bad, 0, 2.0**127, 0, 1, 1, 1, 1], np.float32)
    packed = fp.mx.encode(x, name, block=4)
    assert packed.scales[0] == 255
    assert np.isnan(packed.values()[:4]).all()
    assert_same(packed.values()[4:], np.ones(4, np.float32))
    assert_same(fp.mx.round(x, name, block=4)[4:], np.ones(4, np.float32))


@every_format
def test_ends_of_the_scale(name, element, emax, largest):
    """E8M0: code 0 is 2**-127, 254 is 2**127, 255 NaN (OCP MX v1.0, table 7)."""
    assert fp.mx.encode(np.zeros(32), name).scales.tolist() == [0]
    assert fp.mx.encode(np.full(32, 2.0**-149), name).scales.tolist() == [0]
    assert fp.mx.encode(np.full(32, 1.0), name).scales.tolist() == [127 - emax]
    top = fp.mx.encode(np.full(32, 2.0 ** (127 + emax)), name)
    assert top.scales.tolist() == [254]
    assert (top.values() == 2.0 ** (127 + emax)).all()
    beyond = fp.mx.encode(np.full(32, 2.0 ** (128 + emax)), name)
    assert beyond.scales.tolist() == [255]
    assert np.isnan(fp.mx.round(np.full(32, 2.0 ** (128 + emax)), name)).all()


@every_format
def test_the_top_of_a_binade_saturates(name, element, emax, largest):
    x = np.zeros(32)
    x[0], x[1] = np.nextafter(2.0, 0), -np.nextafter(2.0, 0)
    assert fp.mx.round(x, name)[:2].tolist() == [largest / 2**emax, -largest / 2**emax]


@settings(max_examples=30)
@given(st.sampled_from([s[0] for s in SPECIFIED]), st.integers(0, 2), st.sampled_from([1, 2, 4]), st.integers(0, 99))
def test_any_axis_block_and_layout(name, axis, block, seed):
    x = wild((4, 8, 12), seed)
    rounded = fp.mx.round(x, name, axis=axis, block=block)
    moved = np.moveaxis(x, axis, -1)
    flat = np.concatenate([fp.mx.round(b, name, block=block) for b in moved.reshape(-1, block)])
    assert_same(np.moveaxis(rounded, axis, -1), flat.reshape(moved.shape))
    assert_same(fp.mx.round(np.asfortranarray(x), name, axis=axis - 3, block=block), rounded)
    assert_same(fp.mx.encode(x, name, axis=axis, block=block).values(), rounded)
    assert_same(fp.mx.round(rounded, name, axis=axis, block=block), rounded)  # once rounded, nothing changes


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ml_dtypes.bfloat16, np.longdouble, int])
def test_values_of_any_dtype_are_rounded_from_what_they_are(dtype):
    x = (np.arange(-16, 16) * 37).astype(dtype)
    wanted = fp.mx.round(np.arange(-16, 16) * 37.0, "mxfp6_e2m3")
    rounded = fp.mx.round(x, "mxfp6_e2m3")
    assert rounded.dtype == (dtype if dtype in ("float16", "float32", "float64") else np.float64)
    assert (rounded == wanted).all()


def test_padding_changes_no_value():
    x = wild((3, 50), seed=3)
    padded = np.pad(x, [(0, 0), (0, 14)])
    assert_same(fp.mx.round(x, "mxfp4", pad=True), fp.mx.round(padded, "mxfp4")[:, :50])
    packed = fp.mx.encode(x, "mxfp4", pad=True)
    assert packed.scales.shape == (3, 2)
    assert_same(packed.values(), fp.mx.round(x, "mxfp4", pad=True))
    assert fp.mx.round(np.zeros((3, 0)), "mxfp4").shape == (3, 0)


def test_formats_by_name_and_of_ones_own():
    parse = fp.mx.MXFormat.parse
    assert [parse(alias).name for alias in ("mxfp8", "MXFP6", "mxfp4")] == ["mxfp8_e4m3", "mxfp6_e3m2", "mxfp4_e2m1"]
    assert [parse(name).bits_per_element for name in fp.mx.NAMES] == [8.25, 8.25, 6.25, 6.25, 4.25]
    own = fp.mx.MXFormat("e3m4", block=16)
    assert repr(own) == "MXFormat('float8_e3m4', block=16)"
    x = wild((2, 32), seed=4)
    elements = fp.round(x[0, :16] / np.exp2(float(np.frexp(abs(x[0, :16]).max())[1] - 1 - 3)), "e3m4", saturate=True)
    scale = np.exp2(float(np.frexp(abs(x[0, :16]).max())[1] - 1 - 3))
    assert_same(fp.mx.round(x, own)[0, :16], (elements * scale).astype(np.float32))
