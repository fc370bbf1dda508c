"""Codes, neighbours and flags of small formats by enumeration, in fractions; and what is said of wrong arguments."""

# ruff: noqa: E501 (sentences as they are read)
import bisect
import itertools
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

import fpsim as fp
from fpsim.errors import ArgumentError, ArgumentTypeError, FormatError, ShapeError
from fpsim.rounding.codes import as_array, as_floats
from fpsim.rounding.flags import INEXACT, OVERFLOW, UNDERFLOW, is_tiny, raised
from fpsim.rounding.kernel import round_to
from fpsim.rounding.wide import Wide
from tests.oracles.codes import INF, NAN, meaning

SMALL = [
    fp.Format(exponent_bits=e, significand_bits=m, bias=bias, specials=specials)
    for e, m, bias in [(2, 1, None), (2, 3, None), (3, 2, None), (4, 3, 11), (4, 1, -3), (5, 2, None), (3, 4, 6)]
    for specials in ("ieee", "fn", "fnuz", "finite")
]
MODES = ("nearest_even", "nearest_away", "toward_zero", "up", "down")


def fields(fmt):
    return fmt.exponent_bits, fmt.significand_bits, fmt.bias, fmt.specials


def meanings(fmt):
    return [meaning(code, *fields(fmt)) for code in range(2**fmt.bits)]


def numbers(fmt):
    """All of them, ascending, once each."""
    return sorted({v for v in meanings(fmt) if isinstance(v, Fraction)})


@pytest.mark.parametrize("fmt", SMALL, ids=str)
def test_codes_mean_what_the_definition_says(fmt):
    codes = np.arange(2**fmt.bits, dtype=np.int64)
    values = fp.decode(codes, fmt)
    assert values.dtype == np.float32
    for code, value in zip(codes.tolist(), values.tolist(), strict=True):
        expected = meaning(code, *fields(fmt))
        if expected == NAN:
            assert np.isnan(value)
            assert int(fp.encode(value, fmt)) in range(2**fmt.bits)
            continue
        assert value == (float(expected) if not isinstance(expected, Fraction) else expected)
        if isinstance(expected, Fraction) and expected == 0:
            assert np.signbit(value) == (code != 0)
        assert int(fp.encode(value, fmt)) == code
        assert fp.encode(value, fmt).dtype == np.uint8
    if fmt.has_nan:
        quiet = {"ieee": (2 ** (fmt.exponent_bits + 1) - 1) << (fmt.significand_bits - 1)}
        quiet |= {"fn": 2 ** (fmt.bits - 1) - 1, "fnuz": 2 ** (fmt.bits - 1)}
        assert int(fp.encode(np.nan, fmt)) == int(fp.encode(-np.nan, fmt)) == quiet[fmt.specials]


@pytest.mark.parametrize("fmt", SMALL, ids=str)
def test_all_values_ascend_with_minus_zero_before_plus_zero(fmt):
    values = fp.all_values(fmt).tolist()
    found = [v for v in meanings(fmt) if v != NAN]
    expected = sorted(found, key=lambda v: float(v) if not isinstance(v, Fraction) else v)
    assert values == [float(v) for v in expected]
    assert [np.signbit(v) for v in values if v == 0] == [True, False][-found.count(0) :]


@pytest.mark.parametrize("fmt", SMALL, ids=str)
def test_neighbours_are_those_of_the_sorted_numbers(fmt):
    known = numbers(fmt)
    largest, beyond = known[-1], np.inf if fmt.has_inf else np.nan if fmt.has_nan else float(known[-1])
    largest_ulp = Fraction(2) ** (fmt.emax - fmt.significand_bits)
    around = [(a + b) / 2 for a, b in itertools.pairwise(known)]
    points = [*known, *around, 2 * largest, -2 * largest]
    floats = np.array([float(x) for x in points])
    expected = {np.inf: [next((float(v) for v in known if v > x), beyond) for x in points]}
    expected[-np.inf] = [next((float(v) for v in reversed(known) if v < x), -beyond) for x in points]
    for goal, steps in expected.items():
        found = fp.nextafter(floats, goal, fmt)
        np.testing.assert_array_equal(found, steps)
        to_zero = (found == 0) & (floats != 0)
        assert (np.signbit(found[to_zero]) == (floats[to_zero] < 0) & fmt.has_negative_zero).all()
    assert (fp.nextafter(floats, floats, fmt) == floats).all()
    weights = [next((b - a for a, b in itertools.pairwise(known) if a <= abs(x) < b), largest_ulp) for x in points]
    assert fp.ulp(floats, fmt).tolist() == fp.ulp(-floats, fmt).tolist() == weights
    assert np.isnan(fp.ulp([np.inf, -np.inf, np.nan], fmt)).all()
    if fmt.has_nan:
        assert np.isnan(fp.nextafter([np.nan, 1.0, np.nan], [1.0, np.nan, np.nan], fmt)).all()
    own = np.array([float(x) for x in known])
    away = fp.nextafter(own, np.copysign(np.inf, own), fmt)
    np.testing.assert_array_equal(fp.spacing(own, fmt), away - own)


def free(x, fmt, mode):
    """`x` rounded with an unbounded exponent."""
    if x == 0:
        return Fraction(0)
    e = 0
    while Fraction(2) ** e > abs(x):
        e -= 1
    while Fraction(2) ** (e + 1) <= abs(x):
        e += 1
    unit = Fraction(2) ** (e - fmt.significand_bits)
    floor = x / unit // 1
    rest = x / unit - floor
    up = {
        "nearest_even": rest > Fraction(1, 2) or (rest == Fraction(1, 2) and floor % 2 == 1),
        "nearest_away": rest > Fraction(1, 2) or (rest == Fraction(1, 2) and x > 0),
        "toward_zero": rest > 0 and x < 0, "up": rest > 0, "down": False,
    }  # fmt: skip
    return (floor + up[mode]) * unit


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fmt", [*[f for f in SMALL if f.bits <= 6][::4], SMALL[1], SMALL[6]], ids=str)
def test_flags_are_those_of_the_definition(fmt, mode):
    """At every number, between all neighbours, and beside the middle by less than float64 sees."""
    known = numbers(fmt)
    ulp, tiny = known[-1] - known[-2], Fraction(2) ** -70
    known += [known[-1] + ulp / 2, known[-1] + ulp, known[-1] + 2 * ulp]
    points = [*known, *((a + b) / 2 for a, b in itertools.pairwise(known))]
    points += [(3 * a + b) / 4 for a, b in itertools.pairwise(known)]
    points = [s * p for p in points for s in (1, -1)]
    wide = [(p, d) for p in points for d in (0, 1, -1) if p or not d]
    hi, lo = (np.array([float(v) for v in column]) for column in zip(*wide, strict=True))
    x = Wide(hi, lo * 2.0**-70, 0)
    for value, exact in ((x, [p + d * tiny for p, d in wide]), (hi, [p for p, _ in wide])):
        rounded = round_to(value, fmt, mode)
        found = raised(value, rounded, fmt, mode)
        assert found.dtype == np.uint8
        for flags, stored, v, is_small in zip(
            found.tolist(), rounded.tolist(), exact, is_tiny(value, fmt, mode), strict=True
        ):
            expected, unbounded = 0, free(v, fmt, mode)
            tininess = v != 0 and abs(unbounded) < Fraction(fmt.smallest_normal)
            assert is_small == tininess
            if not np.isfinite(stored) or abs(unbounded) > Fraction(fmt.max):
                expected |= OVERFLOW | INEXACT
            elif Fraction(stored) != v:
                expected |= INEXACT
            if tininess and expected & INEXACT:
                expected |= UNDERFLOW
            assert flags == expected, (v, stored)


def test_special_results_raise_by_their_operands():
    nan, inf, fmt = np.nan, np.inf, fp.float16
    value, a, b = (
        np.array([inf, inf, nan, nan, 3.0]),
        np.array([1.0, inf, inf, nan, 1.0]),
        np.array([0.0, 1, inf, 1, 2]),
    )
    assert raised(value, value, fmt, "nearest_even", (a, b)).tolist() == [8, 0, 16, 0, 0]
    assert raised(value, value, fmt).tolist() == [0, 0, 0, 0, 0]
    assert raised(Wide.of(value), value, fmt, "nearest_even", (a, b)).tolist() == [8, 0, 16, 0, 0]
    # overflow into NaN is no invalid operation
    e4m3fn = fp.Format("float8_e4m3fn")
    assert raised(np.array([1e3]), np.array([nan]), e4m3fn, "nearest_even", (np.array([1e3]),)).tolist() == [5]
    quiet, signaling = np.array([0x7E00, 0x7D00], np.uint16).view(np.float16)
    both = np.array([quiet, signaling])
    kept = np.array([0x7E00, 0x7D00], np.uint16).view(np.float16)
    assert raised(np.array([nan, nan]), np.array([nan, nan]), fmt, "nearest_even", (kept,)).tolist() == [0, 16]
    assert np.isnan(both).all()
    for dtype, code in ((np.float32, 0x7F800001), (np.float64, 0x7FF0000000000001)):
        one = np.array([code], f"u{np.dtype(dtype).itemsize}").view(dtype)
        assert raised(np.array([nan]), np.array([nan]), fmt, "nearest_even", (one,)).tolist() == [16]
    integers = np.array([1])
    assert raised(np.array([inf]), np.array([inf]), fmt, "nearest_even", (integers,)).tolist() == [8]


# Scales ---------------------------------------------------------------------------------------------------------------


def test_scales_are_the_nearest_powers_of_two():
    e8m0 = fp.float8_e8m0fnu
    powers = [Fraction(2) ** e for e in range(-127, 128)]
    for code, power in enumerate(powers):
        assert float(fp.decode(code, e8m0)) == power
        assert int(fp.encode(float(power), e8m0)) == code
    points = [f * p for p in powers[1:-1] for f in (Fraction(5, 4), Fraction(3, 2), Fraction(7, 4), Fraction(25, 16))]
    for x in points:
        k = bisect.bisect_right(powers, x) - 1
        low, high = powers[k], powers[k + 1]
        nearer = k if x - low < high - x else k + 1 if x - low > high - x else k + k % 2
        assert int(fp.encode(float(x), e8m0)) == nearer, x
    assert fp.encode([2.0**-140, 2.0**-128, 2.0**127 * 1.5, 2.0**128, np.inf, np.nan, 2.0**-127 * 1.5], e8m0).tolist() == [
        0, 0, 254, 255, 255, 255, 0,
    ]  # fmt: skip
    assert int(fp.encode(2.0**127 * 1.49, e8m0)) == 254
    assert np.isnan(fp.decode(255, e8m0))
    assert fp.decode(0, e8m0).dtype == np.float32
    assert fp.encode([1.0], e8m0).dtype == np.uint8
    for bad, where in (([[1.0, 2.0], [0.0, -1.0]], "0.0 at flat index 2"), ([1.0, -3.0], "-3.0 at flat index 1")):
        with pytest.raises(FormatError) as error:
            fp.encode(bad, e8m0)
        assert str(error.value) == (
            f"encode: expected positive values, as float8_e8m0fnu has no others, got {where}; take magnitudes."
        )


# Arguments ------------------------------------------------------------------------------------------------------------


def test_codes_take_the_least_room_and_values_too():
    widths = {"e2m1": 1, "e5m2": 1, "e5m3": 2, "float16": 2, "e6m10": 4, "float32": 4, "e8m24": 8, "float64": 8}
    for name, size in widths.items():
        assert fp.encode([1.0], name).dtype == np.dtype(f"u{size}")
    kept = {"float16": "f2", "bfloat16": "f4", "e5m10": "f2", "float32": "f4", "e9m3": "f8", "e8m24": "f8"}
    for name, dtype in kept.items():
        assert fp.decode([0, 1], name).dtype == np.dtype(dtype)
    assert fp.decode(np.array([], int), "float16").shape == (0,)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: fp.decode([0.5], "float16"), ArgumentTypeError, "decode: expected integer codes, got dtype=float64; encode values first."),
        (lambda: fp.decode([True], "float16"), ArgumentTypeError, "decode: expected integer codes, got dtype=bool; encode values first."),
        (lambda: fp.decode([3, 256], "float8_e5m2"), ArgumentError,
         "decode: expected codes from 0 to 2**8 - 1, got codes from 3 to 256; float8_e5m2 has no others."),
        (lambda: fp.decode([-1, 255], "float8_e5m2"), ArgumentError,
         "decode: expected codes from 0 to 2**8 - 1, got codes from -1 to 255; float8_e5m2 has no others."),
        (lambda: fp.nextafter(np.ones(2), np.ones(3), "float16"), ShapeError,
         "nextafter: expected shapes that broadcast, got (2,), (3,); make the sizes equal or 1."),
        (lambda: fp.all_values("e8m8"), FormatError,
         "all_values: expected a format of at most 16 bits, got e8m8 of 17; sample its codes instead."),
        (lambda: fp.round([[1.0], [1.0, 2.0]], "float16"), ShapeError,
         "round: expected a rectangular array, got rows of different lengths; pad or split them."),
        (lambda: fp.round([1j], "float16"), ArgumentTypeError,
         "round: expected real numbers, got dtype=complex128; convert them to a float array."),
        (lambda: fp.round(1.0, "float16", mode="stochastic"), ArgumentError,
         "round: expected a generator for stochastic rounding, got rng=None; pass rng=np.random.default_rng(seed)."),
        (lambda: fp.round(1.0, "float16", rng=3), ArgumentTypeError,
         "round: expected a np.random.Generator, got rng=3; pass np.random.default_rng(seed)."),
        (lambda: fp.round(1.0, "float16", mode="even"), ArgumentError,
         "round: expected a mode of nearest_even, nearest_away, toward_zero, up, down, stochastic, got mode='even'; choose one of them."),
        (lambda: fp.round([1.0, np.nan], "float4_e2m1fn"), FormatError,
         "round: expected numbers that float4_e2m1fn has, got nan at flat index 1; mask it."),
        (lambda: fp.round(1.0, "float8_e8m0fnu"), FormatError,
         "round: expected a format with arithmetic, got fmt=float8_e8m0fnu; it codes scales: use encode and decode."),
    ],
)  # fmt: skip
def test_the_sentences(call, error, text):
    with pytest.raises(error) as raised_error:
        call()
    assert str(raised_error.value) == text


def test_sixteen_bits_are_few_enough_for_all_values():
    assert len(fp.all_values("e8m7")) == len(fp.all_values("bfloat16")) == 2**16 - 2 * 127


def test_what_floats_are_made_of():
    for x in (np.float32([1]), np.float64([1])):
        assert as_floats("op", x) is x
    assert as_floats("op", np.float16([1.5])).dtype == np.float32
    assert as_floats("op", np.array([1.5], ml_dtypes.bfloat16)).dtype == np.float32
    assert as_floats("op", np.array([True, False])).tolist() == [1.0, 0.0]
    swapped = np.array([1.0, 2.0], ">f8")
    assert as_array("op", swapped).dtype.isnative
    assert as_array("op", swapped).tolist() == [1.0, 2.0]
    with pytest.raises(ArgumentTypeError, match="op: expected real numbers, got dtype="):
        as_floats("op", np.array(["a"]))
    with pytest.raises(ArgumentTypeError, match="op: expected real numbers, got dtype="):
        as_floats("op", np.zeros(1, [("a", "f4")]))
    with pytest.raises(ArgumentTypeError, match="op: expected real numbers, got dtype=timedelta64"):
        as_floats("op", np.array([1, 2], "m8[s]"))
    # integers past 2**53 are kept whole, up to there they are floats
    for dtype in (np.int64, np.uint64):
        exact = [2**53 - 1, 2**53, 2**53 + 1, 2**62 + 1, 2**63 - 1]
        wide = as_floats("op", np.array(exact, dtype))
        assert isinstance(wide, Wide)
        parts = zip(wide.hi.tolist(), wide.lo.tolist(), wide.exponent.tolist(), strict=True)
        assert [(Fraction(h) + Fraction(lo)) * Fraction(2) ** int(e) for h, lo, e in parts] == exact
    assert isinstance(as_floats("op", np.array([2**53], np.int64)), Wide)
    assert isinstance(as_floats("op", np.array([-(2**53)], np.int64)), Wide)
    assert isinstance(as_floats("op", np.array([2**53 - 1], np.int64)), np.ndarray)
    assert isinstance(as_floats("op", np.array([2**31 - 1], np.int32)), np.ndarray)
    wide = as_floats("op", np.array([[2**60 + 1, 5]], np.int64))
    assert wide.shape == (1, 2)
    assert isinstance(as_floats("op", np.longdouble([1.5])), Wide)


def test_the_result_is_the_callers_own_in_the_callers_dtype():
    x = np.float32([1.0, 0.1])
    out = fp.round(x, "float32")
    assert out is not x
    assert not np.shares_memory(out, x)
    assert fp.round(np.float16([1.0]), "float16").dtype == np.float16
    assert fp.round(np.float16([1.0]), "bfloat16").dtype == np.float64
    assert fp.round(np.longdouble([1.0]), "float16").dtype == np.float64
    assert fp.round(np.int32([1]), "float16").dtype == np.float64
    assert fp.round(np.array([1.0], ml_dtypes.bfloat16), "bfloat16").dtype == np.float64


def test_what_overflows_in_the_formats_smallest_ways():
    """Infinity is a code of IEEE-like formats only."""
    for fmt in SMALL:
        out = float(fp.round(1e300, fmt))
        assert (INF in meanings(fmt)) == (out == np.inf)
        assert np.isnan(out) == (fmt.has_nan and not fmt.has_inf)
        assert float(fp.round(-1e300, fmt, saturate=True)) == -fmt.max
