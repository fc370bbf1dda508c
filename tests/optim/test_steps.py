"""The elementary steps of optimizers, against exact rational arithmetic."""

from fractions import Fraction

import numpy as np
import pytest

import fpsim as fp
from fpsim.optim.steps import Steps
from tests.oracles.bits import assert_same
from tests.oracles.kernels import kernels
from tests.oracles.rational import grid, round_exact

N = 1500


def numbers(seed, fmt, positive=False):
    """Values of a format, half of them with few significand bits, so that sums and products often are ties."""
    rng = np.random.default_rng(seed)
    few = rng.integers(1, 16, N) * 2.0 ** rng.integers(-8, 4, N)
    many = rng.uniform(1, 2, N) * 2.0 ** rng.integers(-14, 4, N)
    x = np.where(rng.random(N) < 0.5, few, many) * (1 if positive else rng.choice([-1, 1], N))
    return fp.round(x, fmt).astype(fp.Format(fmt).carrier)


def steps(fmt, mode="nearest_even", *formats):
    return Steps(fp.Precision(fmt, rounding=mode), tuple(fp.Format(f) for f in (formats or (fmt,))))


def exactly(formula, fmt, mode, *arrays):
    """The formula in fractions, rounded once; an exactly zero result keeps float64's sign."""
    out = []
    for xs in zip(*(a.astype(np.float64) for a in arrays), strict=True):
        value = formula(*(Fraction(x) for x in xs))
        out.append(round_exact(value, grid(fmt), mode) if value else float(formula(*xs)))
    return np.array(out)


MODES = ("nearest_even", "nearest_away", "toward_zero", "up", "down")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fmt", ["float8_e4m3fn", "float16", "bfloat16", "tfloat32", "float32", "float64"])
def test_add_is_a_fused_multiply_add_with_alpha_rounded_first(fmt, mode):
    x, y = numbers(0, fmt), numbers(1, fmt)
    for alpha in (-0.01, 0.75, 1.0, -1.0):
        a = Fraction(float(fp.round(alpha, fmt)))
        expected = exactly(lambda x, y, a=a: x + (a if isinstance(x, Fraction) else float(a)) * y, fmt, mode, x, y)
        actual = steps(fmt, mode).add(x, y, alpha)
        if mode == "down":  # exact zeros of unlike signs are -0 under `down`
            actual, expected = actual + 0.0, expected + 0.0
        assert_same(actual, expected, x, y)


@pytest.mark.parametrize("fmt", ["tfloat32", "float32"])
def test_wider_formats_compute_every_step_as_if_exactly(fmt):
    x, y, z = numbers(2, fmt), numbers(3, fmt), numbers(4, fmt, positive=True)
    s, v = steps(fmt), Fraction(-0.01)

    def law(actual, formula, *arrays):
        def scaled(*xs):
            return formula(v if isinstance(xs[0], Fraction) else float(v), *xs)

        assert_same(actual, exactly(scaled, fmt, "nearest_even", *arrays), *arrays)

    law(s.mul(x, -0.01), lambda v, x: x * v, x)
    law(s.div(x, -0.01), lambda v, x: x / v, x)
    law(s.addcmul(x, y, z, -0.01), lambda v, x, y, z: x + v * y * z, x, y, z)
    law(s.addcdiv(x, y, z, -0.01), lambda v, x, y, z: x + v * y / z, x, y, z)
    law(s.lerp(x, y, -0.01), lambda v, x, y: x + v * (y - x), x, y)
    law(s.lerp(x, y, 0.75), lambda v, x, y: x + Fraction(3, 4) * (y - x) if isinstance(x, Fraction) else 0.0, x, y)


def test_cancellation_does_not_deceive_the_test_for_ties():
    """``x - v y / z`` where the two nearly agree: float64's error is large beside the result."""
    y, z = numbers(5, "float32"), numbers(6, "float32", positive=True)
    x = fp.round(-y.astype(np.float64) / z / 3, "float32").astype(np.float32)
    third = Fraction(1 / 3)

    def formula(x, y, z):
        return x + (third if isinstance(x, Fraction) else float(third)) * y / z

    expected = exactly(formula, "float32", "nearest_even", x, y, z)
    assert_same(steps("float32").addcdiv(x, y, z, 1 / 3), expected, x, y, z)


def test_float32_state_meets_a_float16_parameter_in_one_rounding():
    p, v = numbers(7, "float16"), numbers(8, "float32")
    a = Fraction(float(fp.round(-0.3, "float16")))
    expected = exactly(
        lambda p, v: p + (a if isinstance(p, Fraction) else float(a)) * v, "float16", "nearest_even", p, v
    )
    assert_same(steps("float16", "nearest_even", "float16", "float32").add(p, v, -0.3), expected, p, v)


@pytest.mark.parametrize("fmt", ["float16", "bfloat16"])
def test_narrow_formats_compute_in_float32_as_torch(fmt):
    """0.9 as a float32 number is below 0.9: where x * 9/10 is a tie, only float32 rounds it to even."""
    x = numbers(9, fmt)
    assert_same(steps(fmt).mul(x, 0.9), fp.round(x.astype(np.float32) * np.float32(0.9), fmt), x)


def test_stochastic_steps_take_one_of_the_two_neighbours_without_bias():
    x, y = np.ones(40_000, np.float32), np.full(40_000, 0.25, np.float32)
    rng = np.random.default_rng(0)
    chosen = Steps(fp.Precision("float16", rounding="stochastic"), (fp.float16,), rng).add(x, y, 2.0**-10)
    assert set(chosen) == {1.0, 1 + 2.0**-10}
    assert abs(np.mean(chosen > 1) - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 40_000)


@pytest.mark.parametrize("mode", ["nearest_even", "stochastic"])
@pytest.mark.parametrize("fmt", ["float8_e4m3fnuz", "float8_e5m2", "e5m6", "float16", "bfloat16", "float32", "float64"])
def test_compiled_additions_give_the_same_bits(fmt, mode):
    pytest.importorskip("numba")
    fmt = fp.Format(fmt)
    specials = [0.0, -0.0, 1.0, -1.0, fmt.max, -fmt.max, fmt.smallest_subnormal, np.inf, -np.inf, np.nan]
    specials = fp.round(specials, fmt).astype(fmt.carrier)
    x, y = (np.concatenate([numbers(20, fmt), np.repeat(specials, len(specials))]),
            np.concatenate([numbers(21, fmt), np.tile(specials, len(specials))]))  # fmt: skip
    for alpha in (1.0, -1.0, 0.75, -0.01, 1e-7):
        found = []
        for which, threads in (("numpy", 1), ("compiled", 1), ("compiled", 2)):
            with kernels(which, threads):
                precision = fp.Precision(fmt, rounding=mode)
                found.append(Steps(precision, (fmt,), np.random.default_rng(5)).add(x, y, alpha))
        assert_same(found[1], found[0], x, y)
        assert_same(found[2], found[0], x, y)


#: Numbers by which optimizers multiply: products with 0.9 often are a tie but for what float64 leaves out of 0.9.
FACTORS = (0.9, 0.1, 0.999, 1 - 0.999, 0.5, 1.0, 3.0, -1e-3, 2.0**-100, 0.0, -0.0)


def adversarial(seed, fmt):
    """Columns of numbers: ordinary ones, ones that cancel, extreme ones, and special ones against each other."""
    rng, fmt = np.random.default_rng(seed), fp.Format(fmt)
    tiny, huge = np.float64([fmt.smallest_subnormal, fmt.smallest_normal]), np.float64([fmt.max, fmt.max / 3])
    specials = np.concatenate([[0.0, 1.0, 3.0, np.inf, np.nan], tiny, tiny * 3, huge])
    specials = np.concatenate([specials, -specials])
    x, y = numbers(seed, fmt), numbers(seed + 1, fmt)
    wide = rng.uniform(1, 2, N) * 2.0 ** rng.integers(fmt.emin - fmt.p, fmt.emax + 1, N) * rng.choice([-1, 1], N)
    near = x * (1 + rng.integers(-8, 9, N) * fmt.eps)
    columns = [
        np.concatenate([x, x, wide, np.tile(specials, len(specials))]),
        np.concatenate([y, near, rng.permutation(wide), np.repeat(specials, len(specials))]),
        np.concatenate([y[::-1], near * rng.choice([-1, 1, 0.5], N), wide, rng.choice(specials, len(specials) ** 2)]),
    ]  # fmt: skip
    return [fp.round(column, fmt).astype(fmt.carrier) for column in columns]


@pytest.mark.parametrize("fmt", ["float8_e4m3fn", "float8_e5m2", "float16", "bfloat16", "tfloat32", "float32"])
def test_every_compiled_step_gives_the_same_bits(fmt):
    pytest.importorskip("numba")
    x, y, z = adversarial(30, fmt)
    each = {
        "mul": lambda s, n: s.mul(x, n),
        "div": lambda s, n: s.div(x, n),
        "sqrt": lambda s, n: s.sqrt(x),
        "lerp": lambda s, n: s.lerp(x, y, n),
        "addcmul": lambda s, n: s.addcmul(x, y, z, n),
        "addcdiv": lambda s, n: s.addcdiv(x, y, z, n),
    }
    for step in each.values():
        for number in FACTORS:
            found = []
            for which, threads in (("numpy", 1), ("compiled", 1), ("compiled", 2)):
                with kernels(which, threads):
                    found.append(step(steps(fmt), number))
            assert_same(found[1], found[0], x, y, z)
            assert_same(found[2], found[0], x, y, z)


@pytest.mark.parametrize("fmt", ["float16", "float32", "float64"])
def test_a_factor_of_zero_has_its_sign_whatever_came_before(fmt):
    x, y = np.float64([-0.0]).astype(fp.Format(fmt).carrier), np.ones(1, fp.Format(fmt).carrier)
    for alpha, negative in ((0.0, False), (-0.0, True), (0.0, False)):
        assert np.signbit(steps(fmt).add(x, y, alpha)) == negative


def test_blocks_do_not_change_a_bit():
    x = np.tile(numbers(10, "float32"), 100)
    whole = steps("float32").add(x, x[::-1], 0.3)
    assert_same(whole[:N], steps("float32").add(x[:N], x[::-1][:N], 0.3))


@pytest.mark.parametrize("special", [np.inf, -np.inf, np.nan, 0.0, -0.0, 65504.0, 2.0**-24])
@pytest.mark.parametrize("fmt", ["float16", "float32", "float64"])
def test_special_values_go_through_as_in_ieee_arithmetic(fmt, special):
    x, y = np.array([special, 1.0, special]), np.array([1.0, special, special])
    given = [fp.round(a, fmt).astype(fp.Format(fmt).carrier) for a in (x, y)]
    with np.errstate(invalid="ignore"):
        assert_same(steps(fmt).add(*given, -0.5), fp.round(x - 0.5 * y, fmt))
    assert_same(steps(fmt).mul(given[0], 0.5), fp.round(x * 0.5, fmt))
