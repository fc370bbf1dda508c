"""Wide and paired numbers against fractions at both ends, the table of arithmetics, and the kernels' small print."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fpsim as fp
from fpsim.formats import NAMED
from fpsim.rounding.kernel import (
    BLOCK,
    _by_conversion,
    _by_dropping_bits,
    _by_magic,
    _fast_kernel,
    _flat,
    _unchanged,
    hashed_uniform,
    is_rounded,
    round_to,
)  # fmt: skip
from fpsim.rounding.paired import Paired
from fpsim.rounding.wide import FARTHEST, ZERO_EXPONENT, Wide
from fpsim.rounding.work import covers, is_medium, is_small, run, to_work, work_for
from tests.oracles import draw

MODES = ("nearest_even", "nearest_away", "toward_zero", "up", "down", "stochastic")


# Wide -----------------------------------------------------------------------------------------------------------------


def fraction(x):
    """The number that a Wide of one element stands for."""
    hi, lo, e = (np.ravel(part)[0] for part in (x.hi, x.lo, x.exponent))
    return (Fraction(float(hi)) + Fraction(float(lo))) * Fraction(2) ** int(e) if hi else Fraction(0)


def normal(x):
    """hi in [0.5, 1), lo below its last place; zero has the least exponent."""
    hi, lo = np.abs(x.hi), np.abs(x.lo)
    return bool(np.all(((hi >= 0.5) & (hi < 1) & (lo <= 2.0**-53)) | ((hi == 0) & (x.exponent == ZERO_EXPONENT))))


FLOATS = st.floats(allow_nan=False, allow_infinity=False) | st.builds(
    lambda m, e: float(np.ldexp(m, e)), st.integers(-(2**53), 2**53), st.integers(-1074, 960)
)
EXACT = {np.add: lambda a, b: a + b, np.subtract: lambda a, b: a - b, np.multiply: lambda a, b: a * b}


@draw.law(300)
@given(FLOATS, FLOATS)
def test_one_operation_on_floats_keeps_all_its_bits(a, b):
    x, y = Wide.of(np.array([a])), Wide.of(np.array([b]))
    for operation, definition in EXACT.items():
        made, expected = operation(x, y), definition(Fraction(a), Fraction(b))
        assert normal(made)
        error = abs(fraction(made) - expected)
        # a term 2**-300 below the other still shows its sign, and no more
        near = operation is np.multiply or not a or not b or abs(np.frexp(a)[1] - np.frexp(b)[1]) < -FARTHEST - 60
        assert error == 0 if near else error <= abs(expected) / 2**250
        assert np.sign(made.hi[0]) == (expected > 0) - (expected < 0)
        if not near:
            assert fraction(made) != Fraction(a if abs(a) > abs(b) else b)
    if b:
        quotient = x / y
        assert normal(quotient)
        assert abs(fraction(quotient) * Fraction(b) - Fraction(a)) <= abs(Fraction(a)) / 2**104
    root = fraction(np.sqrt(np.abs(x)))
    assert abs(root * root - abs(Fraction(a))) <= abs(Fraction(a)) / 2**103
    assert fraction(np.square(x)) == Fraction(a) ** 2
    assert fraction(-x) == -Fraction(a)
    assert fraction(np.abs(x)) == abs(Fraction(a))
    assert fraction(+x) == Fraction(a)
    assert x.value()[0] == a


@draw.law(150)
@given(*[st.floats(1.0, 2.0)] * 4)
def test_what_is_left_over_counts_in_the_next_operation(a, b, c, d):
    x, y = (Wide.of(np.array([p])) * Wide.of(np.array([q])) for p, q in ((a, b), (c, -d)))
    for operation, definition in [*EXACT.items(), (np.divide, lambda p, q: p / q)]:
        expected = definition(fraction(x), fraction(y))
        scale = abs(expected) if operation in (np.multiply, np.divide) else abs(fraction(x)) + abs(fraction(y))
        assert abs(fraction(operation(x, y)) - expected) <= scale / 2**102
    root = fraction(np.sqrt(x))
    assert abs(root**2 - fraction(x)) <= fraction(x) / 2**102
    assert fraction(np.abs(y)) == -fraction(y)


def test_special_values_are_ieee_754s():
    values = np.array([0.0, -0.0, 1.0, -2.5, np.inf, -np.inf, np.nan])
    a, b = (part.reshape(-1) for part in np.meshgrid(values, values))
    with np.errstate(all="ignore"):
        for operation in (np.add, np.subtract, np.multiply, np.divide):
            made, expected = operation(Wide.of(a), Wide.of(b)), operation(a, b)
            np.testing.assert_array_equal(made.value(), expected)
            known = ~np.isnan(expected)
            np.testing.assert_array_equal(np.signbit(made.hi[known]), np.signbit(expected[known]))
        roots = np.sqrt(Wide.of(values))
        np.testing.assert_array_equal(roots.value(), np.sqrt(values))
        assert np.signbit(roots.hi[:3]).tolist() == [False, True, False]
    cancelled = (Wide.of(a) + Wide.of(b)).cancelled
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(cancelled, (a + b == 0) & (np.signbit(a) != np.signbit(b)))
    assert Wide.of(values).cancelled is None
    parts = Wide.of(values)
    assert parts.lo.tolist() == [0.0] * 7
    assert parts.exponent.tolist() == [ZERO_EXPONENT, ZERO_EXPONENT, 1, 2, 0, 0, 0]


def test_arrays_of_wide_numbers_are_chosen_broadcast_and_reshaped():
    lo = np.array([2.0**-60, -(2.0**-70), 0.0])
    x, y = Wide(np.array([1.0, 2.0, 0.0]), lo, 3), Wide(np.array([4.0, 5.0, 6.0]), lo * 2, 0)
    chosen = np.where(np.array([True, False, True]), x, y)
    for k, source in enumerate((x, y, x)):
        for part in ("hi", "lo", "exponent"):
            assert getattr(chosen, part)[k] == getattr(source, part)[k]
    spread = np.broadcast_to(x, (2, 3))
    again = spread.reshape(3, 2)
    assert (spread.shape, again.shape, x.shape, x.dtype) == ((2, 3), (3, 2), (3,), np.float64)
    for part in ("hi", "lo", "exponent"):
        np.testing.assert_array_equal(getattr(spread, part), np.broadcast_to(getattr(x, part), (2, 3)))
        np.testing.assert_array_equal(getattr(again, part), getattr(spread, part).reshape(3, 2))
    assert (x > y).tolist() == [True, True, False]
    assert type(np.exp(x)) is Wide
    assert Wide.of(x) is x
    assert Wide.of(3).value() == 3.0
    for call in (lambda: np.add.reduce(x), lambda: np.add(x, y, out=np.zeros(3)), lambda: np.concatenate([x, y])):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(TypeError):
        np.where(condition=np.array([True] * 3), x=x, y=y)


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="long doubles are doubles here")
def test_long_doubles_are_kept_whole():
    x = np.array([1, -1, 0, np.inf, np.nan], np.longdouble)
    x[:2] += np.longdouble(2) ** -60
    x[0] *= np.longdouble(2) ** 5000
    made = Wide.of(x)
    assert made.hi.tolist()[:3] == [0.5, -0.5, 0.0]
    assert made.lo.tolist() == [2.0**-61, 2.0**-61, 0.0, 0.0, 0.0]
    assert made.exponent.tolist() == [5001, 1, ZERO_EXPONENT, 0, 0]
    assert np.isinf(made.hi[3])
    assert np.isnan(made.hi[4])


# Paired ---------------------------------------------------------------------------------------------------------------


def test_pairs_know_their_functions_and_no_others():
    x, y = Paired(np.array([3.0, 4.0]), np.array([2.0**-55, -(2.0**-56)])), Paired(np.array([1.0, 2.0]))
    assert y.lo == 0.0
    chosen = np.where(np.array([True, False]), x, y)
    assert (chosen.hi.tolist(), chosen.lo.tolist()) == ([3.0, 2.0], [2.0**-55, 0.0])
    other = Paired(np.array([1.0]), np.array([2.0**-60])), Paired(np.array([1.0]), np.array([2.0**-70]))
    assert np.where(np.array([True]), *other).lo.tolist() == [2.0**-60]
    assert np.where(np.array([False]), *other).lo.tolist() == [2.0**-70]
    function = np.exp(Paired(np.array([1.0]), np.array([2.0**-40])))
    assert (function.hi[0], function.lo) == (np.exp(1.0 + 2.0**-40), 0.0)
    assert (x < y).tolist() == [False, False]
    for call in (lambda: np.add.reduce(x), lambda: np.add(x, y, out=np.zeros(2)), lambda: np.concatenate([x, y])):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(TypeError):
        np.where(condition=np.array([True, True]), x=x, y=y)
    assert (1.0 + x).hi.tolist() == [4.0, 5.0]


@draw.law(100)
@given(st.floats(1.0, 4.0), st.floats(1.0, 4.0), st.floats(-(2.0**-54), 2.0**-54), st.floats(-(2.0**-54), 2.0**-54))
def test_pairs_divide_multiply_and_take_roots_to_a_hundred_bits(a, b, c, d):
    x, y = Paired(np.array([a]), np.array([c])), Paired(np.array([b]), np.array([d]))
    p, q = Fraction(a) + Fraction(c), Fraction(b) + Fraction(d)

    def number(z):
        return Fraction(float(z.hi[0])) + Fraction(float(z.lo[0]))

    for made, expected in ((x / y, p / q), (x * y, p * q), (x + y, p + q), (x - y, p - q), (np.square(x), p * p)):
        assert abs(number(made) - expected) <= (abs(expected) + (p + q if made is x - y else 0) + 8) / 2**100
    assert abs(number(np.sqrt(x)) ** 2 - p) <= p / 2**100


# Work -----------------------------------------------------------------------------------------------------------------


def test_float32_serves_formats_up_to_eleven_bits_and_float64_up_to_twenty_five():
    small = {"float16", "float8_e3m4", "float8_e4m3", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e4m3b11fnuz"}
    small |= {"float8_e5m2", "float8_e5m2fnuz", "float6_e2m3fn", "float6_e3m2fn", "float4_e2m1fn", "bfloat16"}
    assert {fmt.name for fmt in NAMED if is_small(fmt)} == small
    assert {fmt.name for fmt in NAMED if is_medium(fmt)} == small | {"tfloat32", "float32", "float8_e8m0fnu"}
    for e, m, bias in itertools.product((5, 6, 7), (9, 10, 11), [*range(55, 70), -1, -2, -3, -4, -33, -34, -35]):
        fmt = fp.Format(exponent_bits=e, significand_bits=m, bias=bias)
        assert is_small(fmt) == (m <= 10 and 1 - bias - m >= -74 and 2**e - 2 - bias <= 64)
    for e, m, bias in itertools.product((8, 10), (23, 24, 25), [*range(508, 522), -250, -256, -257, -258, -259]):
        if 2**e - 2 - bias <= 1023:
            fmt = fp.Format(exponent_bits=e, significand_bits=m, bias=bias)
            assert is_medium(fmt) == (m <= 24 and 1 - bias - m >= -537 and 2**e - 2 - bias <= 512)


def test_a_format_covers_another_that_lies_on_its_grid():
    for a, b in itertools.product([*NAMED, fp.Format("e5m3"), fp.Format("e4m10"), fp.Format("e6m4")], repeat=2):
        grid = Fraction(b.smallest_subnormal) / Fraction(a.smallest_subnormal)
        assert covers(a, b) == (a.significand_bits >= b.significand_bits and grid >= 1), (a, b)


F32, F64 = np.float32, np.float64


@pytest.mark.parametrize(
    ("steps", "target", "formats", "mode", "expected"),
    [
        ("function", "float16", ["float16"], "up", F64), ("function", "float64", ["float64"], "nearest_even", F64),
        ("long formula", "float16", ["float16"], "nearest_even", Wide),
        ("elementary", "float32", ["float32", "float16"], "nearest_even", F32),
        ("elementary", "float32", ["float64"], "nearest_even", Wide),
        ("elementary", "float32", ["float32"], "nearest_away", F64),
        ("formula", "float32", ["float32"], "nearest_even", F64),
        ("elementary", "float64", ["float64"], "nearest_even", F64),
        ("formula", "float64", ["float64"], "nearest_even", Wide),
        ("elementary", "float64", ["float64"], "nearest_away", Wide),
        ("elementary", "float64", ["float64"], "down", Wide), ("elementary", "float32", ["float32"], "down", Wide),
        ("elementary", "float16", ["float16"], "nearest_even", F32),
        ("elementary", "float16", ["float16"], "nearest_away", F32),
        ("elementary", "float16", ["float16", "float32"], "nearest_even", Wide),
        ("elementary", "float16", ["bfloat16"], "nearest_even", Wide),
        ("formula", "float16", ["float16"], "nearest_even", F64), ("formula", "float16", ["float16"], "up", Wide),
        ("formula", "tfloat32", ["bfloat16"], "nearest_away", F64),
        ("elementary", "tfloat32", ["tfloat32"], "nearest_even", F64),
        ("elementary", "bfloat16", ["bfloat16"], "nearest_even", F32),
        ("elementary", "float16", ["float16"], "stochastic", Wide),
        ("elementary", "float16", ["float16"], "toward_zero", Wide),
    ],
)  # fmt: skip
def test_the_table_of_arithmetics(steps, target, formats, mode, expected):
    assert work_for(steps, fp.Format(target), [fp.Format(f) for f in formats], mode) is expected


def test_numbers_are_taken_to_their_arithmetic():
    x = np.float32([1.0, 2.0])
    assert to_work(np.float32, x) is x
    assert to_work(np.float64, x).dtype == np.float64
    assert isinstance(to_work(Wide, x), Wide)
    np.testing.assert_array_equal(to_work(np.float64, Wide.of(x)), x)
    assert run(np.float64, lambda a, b, c: a * b + c, x, x, c=1).tolist() == [2.0, 5.0]
    assert np.isinf(run(np.float32, np.divide, x, np.zeros(2, np.float32))).all()  # and no warning


# Kernels --------------------------------------------------------------------------------------------------------------


def test_the_kernel_for_a_pair_of_formats():
    table = {
        ("float32", F32): _unchanged, ("float64", F32): _unchanged, ("float64", F64): _unchanged,
        ("float32", F64): _by_conversion, ("bfloat16", F32): _by_dropping_bits, ("tfloat32", F32): _by_dropping_bits,
        ("e11m30", F64): _by_dropping_bits, ("bfloat16", F64): _by_magic, ("float16", F32): _by_magic,
        ("float16", F64): _by_magic, ("e8m22", F32): _by_dropping_bits, ("e11m51", F64): _by_dropping_bits,
        ("e9m10", F32): None, ("e11m52", F64): _unchanged, ("e10m50", F64): _by_magic, ("e9m50", F64): _by_magic,
        ("e9m51", F64): None, ("e8m24", F32): _unchanged,
    }  # fmt: skip
    found = {key: _fast_kernel(np.dtype(key[1]), fp.Format(key[0])) for key in table}
    assert found == table


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["float32", "float64", "float16", "bfloat16", "float8_e4m3fn", "float4_e2m1fn"])
def test_out_takes_the_result_in_any_layout_and_length(name, dtype):
    fmt, rng = fp.Format(name), np.random.default_rng(0)
    x = rng.normal(size=(3, 4)).astype(dtype)
    expected = round_to(x, fmt)
    assert expected.dtype == fmt.carrier
    for out in (np.empty((3, 4), fmt.carrier), np.empty((3, 4), fmt.carrier, order="F"), np.empty((3, 4))):
        assert round_to(x, fmt, out=out) is out
        np.testing.assert_array_equal(out, expected)
    turned = np.asfortranarray(x)
    np.testing.assert_array_equal(round_to(turned, fmt), expected)
    np.testing.assert_array_equal(round_to(x[:, ::2], fmt), expected[:, ::2])
    own = x.copy()
    if np.dtype(dtype) == fmt.carrier:
        assert round_to(own, fmt, out=own) is own
        np.testing.assert_array_equal(own, expected)
    long = rng.normal(size=2 * BLOCK + 3).astype(dtype)
    pieces = [round_to(long[k : k + 1000], fmt) for k in range(0, long.size, 1000)]
    np.testing.assert_array_equal(round_to(long, fmt), np.concatenate(pieces))


def test_where_nothing_can_change_the_array_itself_comes_back():
    x = np.float32([1.0, 1e-45, np.inf])
    assert round_to(x, fp.float32) is x
    assert round_to(x, fp.float64).dtype == np.float64
    assert round_to(x, fp.float32, out=x) is x
    saturated = round_to(x, fp.float32, saturate=True)
    assert saturated.tolist() == [1.0, float(np.float32(1e-45)), fp.float32.max]
    assert round_to(x, fp.float32, flush_subnormals=True).tolist() == [1.0, 0.0, np.inf]
    assert x.tolist() == [1.0, float(np.float32(1e-45)), np.inf]
    out = np.zeros(3, np.float32)
    assert round_to(x, fp.float32, out=out) is out
    assert out.tolist() == x.tolist()
    wide = np.float64([1.0, 1e-310, 1e300])
    assert round_to(wide, fp.float64, saturate=True) is not wide


def test_flushing_saturating_and_signs_in_every_kernel():
    for fmt, dtype in itertools.product((fp.float16, fp.bfloat16, fp.float8_e5m2, fp.float8_e4m3fnuz), (F32, F64)):
        low = fmt.smallest_normal
        x = np.array([low, -low, low * 0.5, -low * 0.5, 0.0, -0.0, fmt.max, -fmt.max, np.inf, -np.inf], dtype)
        flushed = round_to(x, fmt, flush_subnormals=True)
        inf = np.inf if fmt.has_inf else np.nan
        np.testing.assert_array_equal(flushed, [low, -low, 0, 0, 0, 0, fmt.max, -fmt.max, inf, -inf])
        signs = np.array([False, True] * 4) if fmt.has_negative_zero else np.array([0, 1, 0, 0, 0, 0, 0, 1], bool)
        np.testing.assert_array_equal(np.signbit(flushed[:8]), signs)
        saturated = round_to(x, fmt, saturate=True)
        assert saturated[8:].tolist() == [fmt.max, -fmt.max]
    assert round_to(np.zeros((0, 3), F32), fp.float16).shape == (0, 3)
    assert round_to(np.zeros((0, 3), F32), fp.float4_e2m1fn, "up").shape == (0, 3)


def test_is_rounded_of_nan_and_negative_zero():
    nan, minus = np.array([np.nan], F32), np.array([-0.0], F32)
    assert is_rounded(nan, fp.float16)
    assert not is_rounded(nan, fp.float4_e2m1fn)
    assert is_rounded(np.array([6.0], F32), fp.float4_e2m1fn)
    assert not is_rounded(np.array([5.0], F32), fp.float4_e2m1fn)
    assert is_rounded(minus, fp.float8_e4m3fnuz)
    assert is_rounded(np.array([1.0, 1 + 2.0**-20]), fp.float32)


def test_flat_arrays_are_views_where_memory_has_one_order():
    x = np.arange(12.0).reshape(3, 4)
    for a, b in ((x, np.empty((3, 4))), (x.T, np.empty((3, 4)).T), (x.T, np.empty((3, 4), F32).T)):
        flat_a, flat_b = _flat(a, b)
        assert np.shares_memory(flat_a, a)
        assert np.shares_memory(flat_b, b)
        assert flat_a.shape == flat_b.shape == (12,)
    flat_a, flat_b = _flat(x, np.empty((4, 3)).T)
    assert flat_a.tolist() == x.reshape(-1).tolist()
    assert flat_b.shape == (12,)
    flat_a, _ = _flat(x[:, ::2], np.empty((3, 2)))
    assert flat_a.tolist() == x[:, ::2].reshape(-1).tolist()


def test_the_hash_is_split_mix_64():
    """Sebastiano Vigna's splitmix64.c in Python's integers: state = key + (index) * gamma."""

    def definition(key, index):
        mask = 2**64 - 1
        z = (index * 0x9E3779B97F4A7C15 + key) & mask
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ z >> 27) * 0x94D049BB133111EB & mask
        return ((z ^ z >> 31) >> 11) / 2.0**53

    keys = (0, 1, 2**63 + 5, 2**64 - 1)
    places = np.array([0, 1, 2, 77, 2**40, 2**63], np.uint64)
    for key in keys:
        assert hashed_uniform(key, places).tolist() == [definition(key, int(i)) for i in places]


@pytest.mark.parametrize("fmt", [fp.float16, fp.float8_e4m3fn, fp.float64], ids=str)
def test_stochastic_rounding_compares_the_hash_with_the_fraction(fmt):
    x = np.linspace(1.0, 1.0 + fmt.eps, 50)[:-1] if fmt is not fp.float64 else np.ones(49)
    x = np.concatenate([x, -x])
    key, places = 12345, np.arange(98, dtype=np.uint64)
    share = (np.abs(x) - 1) / fmt.eps
    up = hashed_uniform(key, places) < share
    expected = np.copysign(1 + up * fmt.eps, x)
    np.testing.assert_array_equal(round_to(x, fmt, "stochastic", key=key), expected)
    index = places[::-1]
    up = hashed_uniform(key, index) < share
    expected = np.copysign(1 + up * fmt.eps, x)
    np.testing.assert_array_equal(round_to(x, fmt, "stochastic", key=key, index=index), expected)
    square = x.reshape(7, 14)
    np.testing.assert_array_equal(
        round_to(square, fmt, "stochastic", key=key), round_to(x, fmt, "stochastic", key=key).reshape(7, 14)
    )
