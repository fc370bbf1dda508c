"""`fp.round` against two oracles: every number and midpoint of formats of at most 16 bits, Hypothesis beyond.

Both oracles live in `tests/oracles` and share nothing with fpsim.
"""

from functools import cache

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fpsim as fp
from fpsim.errors import FormatError, FpsimError
from tests.oracles import draw, rational, tables
from tests.oracles.bits import assert_same

SENTENCE = r"^round: expected .+, got .+; .+\.$"
FLOATS = (np.float16, np.float32, np.float64)
OPTIONS = [(False, False), (True, False), (False, True), (True, True)]


def oracle(x, name: str, mode: str = "nearest_even", saturate=False, flush=False) -> np.ndarray:
    fmt = rational.grid(name)
    return np.array([rational.round_exact(rational.real(v), fmt, mode, saturate, flush) for v in x])


# Exhaustive ------------------------------------------------------------------------------------------------


@cache
def located(name: str, dtype: type) -> tuple[np.ndarray, tables.Located]:
    """The probes of a format and where they stand; of float16 input, everything there is."""
    if dtype is np.float16:
        x = np.arange(65536, dtype=np.uint16).view(np.float16)
        x = x if rational.grid(name).has_nan else x[~np.isnan(x)]
    else:
        x = tables.probes(name, dtype)
    return x, tables.Located(x, name)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", tables.FORMATS)
@pytest.mark.parametrize("mode", rational.MODES)
def test_every_number_and_midpoint_and_their_neighbours_round_by_the_law(name, dtype, mode):
    x, where = located(name, dtype)
    wide = rational.grid(name).bits == 16
    for saturate, flush in OPTIONS[::3] if wide else OPTIONS:
        rounded = fp.round(x, name, mode=mode, saturate=saturate, flush_subnormals=flush)
        assert_same(rounded, where.rounded(mode, saturate, flush), x)


@pytest.mark.parametrize("name", [name for name in tables.NAMED if name != "float16"])
def test_float32_input_rounds_as_in_ml_dtypes(name):
    x = tables.probes(name, np.float32)
    dtype = getattr(ml_dtypes, name)
    with np.errstate(all="ignore"):
        expected = x.astype(dtype).astype(np.float64)
    assert_same(fp.round(x, name), expected, x)


# Any format, any magnitude ---------------------------------------------------------------------------------


@draw.law(400)
@given(st.data())
def test_any_float_rounds_to_any_format_by_the_law(data):
    name, mode = data.draw(draw.formats()), data.draw(st.sampled_from(rational.MODES))
    x = data.draw(st.lists(draw.floats(name), min_size=1, max_size=20))
    for saturate, flush in OPTIONS:
        rounded = fp.round(x, name, mode=mode, saturate=saturate, flush_subnormals=flush)
        assert_same(rounded, oracle(x, name, mode, saturate, flush), x)


@pytest.mark.parametrize("dtype", ["float16", "float32", "longdouble", ">f2", ">f4", ">f8"])
@draw.law(60)
@given(data=st.data())
def test_input_of_any_float_dtype_is_rounded_once_from_its_own_value(dtype, data):
    name, mode = data.draw(draw.formats()), data.draw(st.sampled_from(rational.MODES))
    with np.errstate(all="ignore"):
        x = np.array(data.draw(st.lists(draw.floats(name), min_size=1, max_size=20))).astype(dtype)
        if dtype == "longdouble":  # where it is wider than float64, by a little of what float64 cannot tell
            x += x * np.longdouble(2) ** -data.draw(st.integers(54, 63)) * data.draw(st.sampled_from([1, -1]))
    saturate, flush = data.draw(st.sampled_from(OPTIONS))
    rounded = fp.round(x, name, mode=mode, saturate=saturate, flush_subnormals=flush)
    assert_same(rounded, oracle(x, name, mode, saturate, flush), x)


@draw.law(200)
@given(st.data())
def test_rounding_is_idempotent_and_monotone(data):
    name, mode = data.draw(draw.formats()), data.draw(st.sampled_from(rational.MODES))
    x = np.sort(data.draw(st.lists(draw.floats(name).filter(np.isfinite), min_size=2, max_size=20)))
    saturate = not rational.grid(name).has_inf or data.draw(st.booleans())
    once = fp.round(x, name, mode=mode, saturate=saturate)
    assert_same(fp.round(once, name, mode=mode, saturate=saturate), once, x)
    assert np.all(once[:-1] <= once[1:])


@draw.law(200)
@given(st.data())
def test_rounding_is_sign_symmetric_and_up_mirrors_down(data):
    name, mode = data.draw(draw.formats()), data.draw(st.sampled_from(rational.MODES))
    x = np.array(data.draw(st.lists(draw.floats(name), min_size=1, max_size=20)))
    mirror = {"up": "down", "down": "up"}.get(mode, mode)
    plus_zero = 0.0 if not rational.grid(name).has_negative_zero else -0.0
    assert_same(fp.round(-x, name, mode=mirror), -fp.round(x, name, mode=mode) + plus_zero, x)


@draw.law(200)
@given(st.data())
def test_rounding_gives_one_of_the_two_neighbours(data):
    name = data.draw(draw.formats())
    x = data.draw(draw.hard(name).filter(lambda v: abs(v) <= rational.grid(name).max))
    down, up = (float(fp.round(x, name, mode=mode)) for mode in ("down", "up"))
    assert down <= x <= up
    assert down == up == x or fp.nextafter(down, np.inf, name) == up
    assert {float(fp.round(x, name, mode=mode)) for mode in rational.MODES} <= {down, up}


# What goes in and what comes out ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", [*tables.FORMATS, "float32", "tfloat32", "float64", "e11m4"])
def test_the_result_has_the_inputs_dtype_if_that_holds_the_format_else_float64(name, dtype):
    held = fp.Format(dtype).holds(fp.Format(name))
    x = np.array([[1.0, 2.0, 0.5]], dtype)
    rounded = fp.round(x, name)
    assert rounded.dtype == (dtype if held else np.float64)
    assert rounded.shape == (1, 3)
    assert rounded is not x
    assert np.array_equal(rounded, oracle(x[0], name)[None])


def test_the_input_is_never_written_to_nor_shared():
    for dtype in FLOATS:
        x = np.array([0.1, -60000.0, 1e-5], dtype)
        before = x.copy()
        for name in ("float16", "bfloat16", "float64", np.dtype(dtype).name):
            assert not np.shares_memory(fp.round(x, name), x)
            fp.round(x, name, mode="up", saturate=True, flush_subnormals=True)
            assert np.array_equal(x, before)


@pytest.mark.parametrize(
    "x",
    [
        [1, 2049, 2051, 65519, 65520], [[1.5, 0.1], [2049.0, 3.0]], np.arange(-2050, 2060), np.uint8([1, 5]),
        np.array([True, False]), np.array([2**63 - 1, -(2**63)]), (), np.zeros((0, 3)), np.arange(3000.0)[::-7],
        np.arange(4096.0).reshape(64, 64).T, np.array(0.1), np.broadcast_to(np.float32(0.1), (3, 2)),
    ],
    ids=lambda x: type(x).__name__,
)  # fmt: skip
def test_lists_integers_and_any_layout_are_rounded(x):
    rounded = fp.round(x, "float16")
    assert rounded.shape == np.shape(x)
    assert_same(rounded.reshape(-1), oracle(np.asarray(x, float).reshape(-1), "float16"))


def test_large_integers_are_rounded_once_from_their_own_value():
    # float64 would first round 2**53 + 2**29 + 1 to the midpoint of two float32 numbers, and that to even
    x = np.array([2**53 + 2**29 + 1, -(2**53) - 2**29 - 1, 2**63 - 1, 2**62 + 2**38 + 1])
    for mode in rational.MODES:
        expected = [rational.round_exact(rational.Fraction(int(v)), rational.grid("float32"), mode) for v in x]
        assert_same(fp.round(x, "float32", mode=mode), expected)


def test_scalars_give_scalars():
    assert float(fp.round(0.1, "float16")) == 0.0999755859375
    assert np.ndim(fp.round(0.1, "float16")) == 0
    assert np.ndim(fp.round(np.float32(0.1), "float16")) == 0
    assert np.isinf(fp.round(65520.0, "float16"))
    assert fp.round(65519.99, "float16") == 65504


@pytest.mark.parametrize("name", [n for n in tables.NAMED if n != "float16"])
def test_ml_dtypes_arrays_are_rounded(name):
    x = np.array([1.0, -0.5, 3.0], getattr(ml_dtypes, name))
    assert np.array_equal(np.asarray(fp.round(x, "float16"), np.float64), [1, -0.5, 3])


def test_float64_is_not_rounded_through_float32():
    # just above the midpoint of two bfloat16 numbers, by less than float32 can tell: ml_dtypes gets these wrong
    x = 1 + 2.0**-8 + 2.0**-40
    assert fp.round(x, "bfloat16") == 1 + 2.0**-7
    assert fp.round(-x, "bfloat16") == -1 - 2.0**-7
    assert fp.round(1 + 2.0**-11 + 2.0**-40, "float16") == 1 + 2.0**-10


@pytest.mark.parametrize("name", ["float16", "float32", "float64", "tfloat32", "e8m36", "e10m49"])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("mode", rational.MODES)
def test_saturation_makes_infinite_input_the_largest_number_of_any_format(mode, dtype, name):
    largest = fp.Format(name).max
    x = np.array([np.inf, -np.inf, np.nan, 1], dtype)
    assert_same(fp.round(x, name, mode=mode, saturate=True), [largest, -largest, np.nan, 1])


@pytest.mark.parametrize("mode", ["nearest_even", "nearest_away"])
def test_just_below_half_the_least_number_is_zero_on_both_sides(mode):
    # on the negative side the distance from the number below does not fit into a float64
    below = np.array([2.0**-25 * (1 - 2.0**-53)])
    assert_same(fp.round(below, "float16", mode=mode), [0.0])
    assert_same(fp.round(-below, "float16", mode=mode), [-0.0])


def test_overflow_conventions_are_the_documented_ones():
    beyond = [464.0, 464.1, 480.0, 1e9, np.inf]
    assert_same(fp.round(beyond, "float8_e4m3fn"), [448, np.nan, np.nan, np.nan, np.nan])
    assert_same(fp.round(beyond, "float8_e4m3fn", saturate=True), [448] * 5)
    assert_same(fp.round(beyond, "float8_e4m3fn", mode="toward_zero"), [448] * 4 + [np.nan])
    assert_same(fp.round(beyond, "float8_e4m3"), [np.inf] * 5)
    assert_same(fp.round(beyond, "float4_e2m1fn"), [6] * 5)
    assert_same(fp.round([61440.0, 61439.0], "float8_e5m2"), [np.inf, 57344])
    assert np.isnan(fp.round(np.nan, "float16", saturate=True))


# Refusals --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["float6_e3m2fn", "float6_e2m3fn", "float4_e2m1fn"])
@pytest.mark.parametrize("mode", rational.MODES)
def test_formats_without_nan_refuse_it(name, mode):
    for x in (np.nan, [1.0, np.nan], np.array([np.nan, 1], np.float32)):
        with pytest.raises(FormatError, match=SENTENCE):
            fp.round(x, name, mode=mode)


@pytest.mark.parametrize(
    ("x", "fmt", "options"),
    [
        (1.0, "float17", {}), (1.0, "float16", {"mode": "nearest"}), (1.0, "float16", {"mode": None}),
        ("one", "float16", {}), (1j, "float16", {}), ([None], "float16", {}), ([[1.0], [1, 2]], "float16", {}),
        (1.0, "float16", {"mode": "stochastic"}), (1.0, "float16", {"mode": "stochastic", "rng": 0}),
    ],
    ids=str,
)  # fmt: skip
def test_nonsense_is_refused(x, fmt, options):
    with pytest.raises(FpsimError, match=r"^(round|Format): expected .+, got .+; .+\.$"):
        fp.round(x, fmt, **options)


def test_stochastic_rounding_says_that_it_needs_a_generator():
    with pytest.raises(FpsimError, match=r"^round: expected .*, got rng=None; .*default_rng.*\.$"):
        fp.round(1.0, "float16", mode="stochastic")
