"""Every law kills a planted mutant that no other law kills; honest code breaks none; known faults are found."""

import numpy as np
import pytest

import fpsim as fp
from fpsim.testing import laws
from tests.testing import mutants

SUITES = {
    "rounding": (laws.rounding, mutants.ROUNDING, {}),
    "summation": (laws.summation, mutants.SUMMATION, {}),
    "dot": (laws.dot, mutants.DOT, {}),
    "activation": (laws.activation, mutants.ACTIVATION, {"function": "tanh"}),
}


@pytest.mark.parametrize("name", SUITES)
def test_a_suite_has_at_least_eight_laws_and_a_mutant_for_each(name):
    suite, planted, _ = SUITES[name]
    assert len(suite.names) >= 8
    assert set(planted) == set(suite.names)


@pytest.mark.parametrize(("name", "law"), [(name, law) for name in SUITES for law in SUITES[name][1]])
def test_a_mutant_breaks_its_own_law_and_no_other(name, law):
    suite, planted, options = SUITES[name]
    results = suite.check(planted[law], "float16", examples=60, **options)
    assert [broken for broken, text in results.items() if text] == [law]


@pytest.mark.parametrize("mode", ["nearest_even", "nearest_away", "toward_zero", "up", "down"])
@pytest.mark.parametrize("fmt", ["bfloat16", "float8_e4m3fn", "float8_e5m2fnuz", "float6_e2m3fn", "e11m4"])
def test_fpsims_rounding_keeps_every_law(fmt, mode):
    laws.rounding(lambda x: fp.round(x, fmt, mode=mode), fmt, mode=mode, examples=20)


@pytest.mark.parametrize("order", ["sequential", "pairwise", "blocked:3", "exact", "kahan"])
@pytest.mark.parametrize("fmt", ["bfloat16", "float8_e4m3fn", "float32"])
def test_fpsims_sums_keep_every_law(fmt, order):
    acc = fp.Accumulator(fmt, order)
    skip = ("infinity",) if order == "kahan" else ()  # Kahan's sum of an infinity is NaN, by its own steps
    laws.summation(acc.sum, fmt, skip=skip, examples=25)
    laws.dot(acc.dot, fmt, skip=skip, examples=25)


def test_kahans_infinity_is_nan():
    results = laws.summation.check(fp.Accumulator("float16", "kahan").sum, "float16", examples=30)
    assert [name for name, text in results.items() if text] == ["infinity"]


@pytest.mark.parametrize("function", ["tanh", "sigmoid", "relu", "gelu", "exp"])
def test_fpsims_functions_keep_every_law(function):
    laws.activation(
        lambda x: getattr(fp, function)(fp.tensor(x, dtype="float16")).numpy(),
        "float16",
        function=function,
        examples=30,
    )


def test_fpsims_softmax_keeps_every_law():
    laws.softmax(lambda x: fp.softmax(fp.tensor(x, dtype="float16"), dim=0).numpy(), "float16", examples=30)


def naive_softmax(x):
    e = np.exp(x)
    return e / e.sum()


def test_the_naive_softmax_overflows():
    results = laws.softmax.check(naive_softmax, "float16", only=["large_inputs"])
    assert results["large_inputs"] == (
        "large_inputs: large inputs give numbers, not inf or nan\n  x         [16.0, 16.0]\n  got       [nan, nan]"
    )


def test_a_cast_of_float64_through_float32_rounds_twice():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    with pytest.raises(AssertionError) as caught:
        laws.rounding(lambda x: x.astype(ml_dtypes.bfloat16).astype(float), "bfloat16")
    assert str(caught.value) == (
        "laws.rounding: 1 of 16 laws broken in bfloat16.\n"
        "beside_a_tie: just beside the middle the nearer value is right\n"
        "  x         1.0039063096046448\n"
        "  expected  1.0078125  0 01111111 0000001\n"
        "  got       1.0        0 01111111 0000000\n"
        "  apart     1 ulp"
    )


def test_a_function_that_raises_breaks_laws_and_says_how():
    def fails(x):
        raise ZeroDivisionError("no")

    text = laws.rounding.check(fails, "float16", only=["nan"])["nan"]
    assert text == "nan: nan stays nan\n  x         nan\n  raised  ZeroDivisionError: no"


def test_a_random_function_is_named_as_such():
    coin = np.random.default_rng(0)
    text = laws.rounding.check(lambda x: x + coin.integers(2) * np.nan, "float16", only=["ties"])["ties"]
    assert text is not None
