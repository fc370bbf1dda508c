"""The oracle against what is known otherwise: hand-typed formats, interval arithmetic, hard cases, fpsim's own bits."""

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest

import fpsim as fp
from fpsim.errors import ArgumentError, FormatError, ShapeError
from fpsim.testing import exact
from tests.oracles import rational
from tests.oracles.bits import assert_same


@pytest.mark.parametrize("name", sorted(rational.NAMED))
def test_grids_are_those_typed_in_from_the_standards(name):
    assert exact.grid_of(name) == rational.NAMED[name]


@pytest.mark.parametrize("name", [n for n, g in rational.NAMED.items() if g.bits <= 16])
def test_codes_are_those_that_decode_to_the_value(name):
    values = np.array(fp.all_values(name), np.float64)
    codes = [exact.code(v, name) for v in values[:: max(1, values.size // 500)]]
    assert None not in codes
    assert_same(fp.decode(np.array(codes), name), values[:: max(1, values.size // 500)])
    assert exact.code(float(values[-2] if math.isinf(values[-1]) else values[-1]) * 1.001, name) is None


INTERVALS = {
    "exp": lambda iv, x: iv.exp(x), "log": lambda iv, x: iv.log(x), "sqrt": lambda iv, x: iv.sqrt(x),
    "tanh": lambda iv, x: 1 - 2 / (iv.exp(2 * x) + 1), "sigmoid": lambda iv, x: 1 / (1 + iv.exp(-x)),
    "log2": lambda iv, x: iv.log(x) / iv.log(2), "sin": lambda iv, x: iv.sin(x), "cosh": lambda iv, x: (iv.exp(x) + iv.exp(-x)) / 2,
}  # fmt: skip


@pytest.mark.parametrize("fmt", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("name", INTERVALS)
def test_functions_round_what_interval_arithmetic_encloses(name, fmt):
    iv = mpmath.MPIntervalContext()
    iv.prec = 400
    rng = np.random.default_rng(0)
    for x in fp.round(np.exp2(rng.uniform(-6, 6, 60)), fmt).astype(float).tolist():
        value = INTERVALS[name](iv, iv.mpf(x))
        ends = []
        for end in (value.a, value.b):
            sign, significand, exponent, _ = end._mpi_[0]
            ends.append((-1) ** sign * int(significand) * rational.two(exponent))
        for mode in ("nearest_even", "up"):
            low, high = (exact.round(e, fmt, mode) for e in ends)
            got = getattr(exact, name)(x, fmt, mode)
            assert low <= got <= high  # equal but where the value is exact
            assert low == high or got in (low, high)


def test_the_hardest_exponential_of_float64_is_rounded():
    # Lefevre and Muller: after the rounding bit come 104 equal ones (59 bits more than chance)
    x = 7.5417527749959590085e-10
    with mpmath.workprec(600):
        value = mpmath.exp(mpmath.mpf(x))
        _, significand, exponent, _ = value._mpf_
    truth = int(significand) * rational.two(exponent)
    assert exact.exp(x, "float64") == exact.round(truth, "float64")
    assert abs(exact.exp(x, "float64", "up") - exact.exp(x, "float64", "down")) == 2.0**-52


@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "tanh", "sigmoid", "gelu"])
@pytest.mark.parametrize("fmt", ["float16", "bfloat16"])
def test_fpsims_functions_are_the_correctly_rounded_ones(name, fmt):
    values = np.array(fp.all_values(fmt), np.float64)[::251]
    got = getattr(fp, name)(fp.tensor(values, dtype=fmt)).numpy().astype(float)
    assert_same(got, getattr(exact, name)(values, fmt), values)


def test_special_and_exact_values():
    assert exact.log2([0.125, 8, 1], "float16").tolist() == [-3, 3, 0]
    assert exact.log10([1000.0, 1e22], "float64").tolist() == [3, 22]
    assert exact.exp2([-3, 0.5, 2000, -2000], "float64").tolist() == [0.125, 2**0.5, math.inf, 0.0]
    assert exact.sqrt(Fraction(9, 16), "float16") == 0.75
    assert exact.cbrt([-8, 0.125], "float16").tolist() == [-2, 0.5]
    assert exact.rsqrt([4, 0.0], "float16").tolist() == [0.5, math.inf]
    assert exact.arctan(math.inf, "float64") == math.pi / 2
    assert exact.tanh([1e300, -1e300], "float64", "toward_zero").tolist() == [1 - 2.0**-53, -1 + 2.0**-53]
    assert exact.exp(5e-324, "float64", "up") == 1 + 2.0**-52
    assert_same(exact.sigmoid([-math.inf, -0.0, math.nan], "float16"), [0.0, 0.5, math.nan])
    assert_same(exact.sin([-0.0, math.inf], "float16"), [-0.0, math.nan])
    assert math.isnan(exact.log(-1, "float16"))
    assert abs(float(exact.approximate("log", 3)) - math.log(3)) < 1e-16


def test_sums_means_and_polynomials_are_exact():
    x = np.array([[1e308, 1e-308], [-1e308, 3.0]])
    assert exact.sum(x) == Fraction(1e-308) + 3
    assert exact.sum(x, axis=0).tolist() == [0, Fraction(1e-308) + 3]
    assert exact.mean([1, 2, 4]) == Fraction(7, 3)
    assert exact.variance([1, 2, 4], correction=1) == Fraction(7, 3)
    assert exact.polynomial([1, -2, 1], Fraction(1, 3)) == Fraction(4, 9)
    assert exact.sum([math.inf, 1.0]) == math.inf
    assert math.isnan(exact.sum([math.inf, -math.inf]))
    assert math.isnan(exact.dot([0.0, 1.0], [math.inf, 1.0]))
    rng = np.random.default_rng(0)
    a, b = rng.integers(-9, 9, (2, 3, 4)), rng.integers(-9, 9, (4, 2))
    assert (exact.matmul(a, b).astype(float) == np.matmul(a, b)).all()
    assert exact.matmul(a[0, 0], b).astype(float).tolist() == np.matmul(a[0, 0], b).tolist()


def test_ml_dtypes_numbers_are_numbers():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = np.array([0.5, -3], ml_dtypes.bfloat16)
    assert exact.sum(x) == Fraction(-5, 2)
    assert exact.real(np.int64(3)) == 3


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: exact.round(1, "float16", "stochastic"), ArgumentError,
         "exact.round: expected a mode of nearest_even, nearest_away, toward_zero, up, down, got mode='stochastic'; choose one of them."),
        (lambda: exact.round(math.nan, "float6_e3m2fn"), FormatError,
         "exact.round: expected a format with NaN, got nan for an e3m2 of numbers only; leave NaN out."),
        (lambda: exact.round(1, "float8_e8m0fnu"), FormatError,
         "exact: expected a format with arithmetic, got format=float8_e8m0fnu; it codes scales only."),
        (lambda: exact.dot([1], [1, 2]), ShapeError,
         "exact.dot: expected two sequences of one length, got x.shape=(1,), y.shape=(2,); use exact.matmul for matrices."),
        (lambda: exact.matmul([[1]], [[1], [2]]), ShapeError,
         "exact.matmul: expected inner sizes that agree, got x.shape=(1, 1), y.shape=(2, 1); transpose one of them."),
        (lambda: exact.approximate("tan2", 1), ArgumentError,
         "exact: expected a function that it has, got 'tan2'; did you mean tan, tanh, arctan."),
        (lambda: exact.accumulate([1], "float16", "randomly"), ArgumentError,
         "exact.accumulate: expected an order of sequential, pairwise, blocked:B, blocked:B@FORMAT, kahan, exact, got order='randomly'; choose one."),
        (lambda: exact.refine(lambda mp: mp.mpf(1), "float16", "up"), ArgumentError,
         "exact.refine: expected an irrational value, got one that 38400 bits do not tell from a midpoint or a value of the format; round its exact value: exact.round."),
    ],
)  # fmt: skip
def test_bad_input(call, error, text):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == text
