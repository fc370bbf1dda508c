"""Assertions: what they say when they fail, that they pass on what is right, and that the bounds hold."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fpsim as fp
from fpsim import testing as ft
from fpsim.errors import ArgumentError, ArgumentTypeError, ShapeError
from tests.oracles import draw
from tests.testing.failures import FAILURES, GOLDEN, message, text

h = np.float16


def golden():
    parts = GOLDEN.read_text(encoding="utf-8").removeprefix("== ").split("\n\n== ")
    return {part.partition("\n")[0]: part.partition("\n")[2].removesuffix("\n") for part in parts}


@pytest.mark.parametrize("name", FAILURES)
def test_the_failing_message_is_the_golden_text(name):
    assert message(name) == golden()[name] != "did not fail"


def test_the_golden_texts_are_complete():
    assert set(golden()) == set(FAILURES)
    said = GOLDEN.read_text(encoding="utf-8")
    for name in ft.__all__:
        if name.startswith("assert_"):
            assert f"{name}: " in said
    assert text


def test_what_is_right_passes():
    ft.assert_same_bits([0.0, math.nan], np.array([0.0, math.nan], h))
    ft.assert_max_ulp(h([1, -0.0, np.inf, np.nan]), h([1.001, 0, np.inf, np.nan]), 1)
    ft.assert_max_ulp(h(np.inf), Fraction(65520), 0)
    ft.assert_faithful(h([0.3333, 65504, np.inf]), [Fraction(1, 3), 65510, 65510])
    ft.assert_correctly_rounded(fp.tensor([0.1], dtype="bfloat16"), [0.1])
    ft.assert_representable(fp.all_values("float8_e4m3fn"), "float8_e4m3fn")
    ft.assert_scale_invariant(np.sum, h([1, 0.3, 5]))
    ft.assert_layout_invariant(lambda x, y: fp.Accumulator("float16").matmul(x, y), np.eye(3), np.ones((3, 2)))


ORDERS = ["sequential", "pairwise", "blocked:3", "kahan", "exact"]
MODES = ["nearest_even", "toward_zero", "up"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("fmt", ["float16", "bfloat16", "float8_e4m3fn"])
@draw.law(25)
@given(data=st.data())
def test_every_bound_holds_for_every_order(fmt, order, mode, data):
    spread = data.draw(st.sampled_from([None, "cancelling", "swamping"]))
    near_one = ft.values(fmt, exponents=(-3, 1))
    x = data.draw(ft.arrays(fmt, 9, elements=near_one) if spread is None else ft.arrays(fmt, 9, spread=spread))
    y = data.draw(ft.arrays(fmt, 9, elements=near_one))
    acc = fp.Accumulator(fmt, order, rounding=mode)
    bounds = [None, "running"] if order != "exact" else [None]
    for bound in bounds:
        if fmt == "float8_e4m3fn" and mode != "nearest_even" and bound is None and order not in ("kahan", "exact"):
            continue  # n u >= 1: there is no such bound
        ft.assert_within_bound(acc.dot(x, y), x, y, acc, bound=bound)
        ft.assert_within_bound(acc.sum(x), x, None, acc, bound=bound)


def test_a_bfloat16_dot_product_of_large_numbers_is_finite():
    x = np.array([2.0**112, 1], np.float32)
    assert fp.Accumulator("bfloat16", "sequential").dot(x, np.ones(2, np.float32)) == 2.0**112


@draw.law(30)
@given(
    x=ft.arrays("float16", (3, 6), elements=ft.values("float16", exponents=(-3, 1))),
    y=ft.arrays("float16", (6, 2), elements=ft.values("float16", exponents=(-3, 1))),
)
def test_stored_products_fused_ones_and_blas_are_within_their_bounds(x, y):
    a, b = (fp.tensor(v, dtype="float16", accumulate="float32") for v in (x, y))
    ft.assert_within_bound(a @ b, x, y, "float16/float32")
    ft.assert_within_bound(np.matmul(x.astype(np.float32), y.astype(np.float32)), x, y, "float32")
    fused = fp.Accumulator("float16", "sequential", fma=True)
    ft.assert_within_bound(fused.matmul(x, y), x, y, fused)
    ft.assert_within_bound(fp.Accumulator("float16").sum(x, axis=1), x, None, "float16", axis=1, bound="sqrt")


def test_bounds_are_the_textbooks():
    u, x = Fraction(1, 2**11), np.ones(64)
    assert ft.error_bound(x, None, "float16") == ft.gamma(63, u) * 64
    assert ft.error_bound(x, x, "float16", bound="n_u") == 63 * u * 64
    assert ft.error_bound(x, None, fp.Accumulator("float16", "pairwise")) == ft.gamma(6, u) * 64
    assert ft.error_bound(x, None, fp.Accumulator("float16", "blocked:8")) == ft.gamma(14, u) * 64
    assert ft.error_bound(x, None, fp.Accumulator("float16", "exact")) == u * 64
    kahan = ft.error_bound(x, None, fp.Accumulator("float16", "kahan")) / 64 / u
    assert 3 < kahan < 4
    assert 6 * 63**0.5 < ft.error_bound(x, None, "float16", bound="sqrt") / 64 / u < 60
    assert ft.error_bound(x, None, "float16", bound="running") < ft.gamma(63, u) * 64
    assert ft.error_bound(np.ones(4096), None, "bfloat16") == 4095 * Fraction(1, 2**8) * 4096  # n u >= 1


def test_gradcheck_passes_and_fails():
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, 3)), rng.normal(size=(3, 2))
    assert ft.gradcheck(lambda x, w: fp.tanh(x @ w), [x, w])
    assert ft.gradcheck(lambda x: fp.softmax(x, dim=-1), x)
    assert ft.gradcheck(lambda x: x * 2, 1e10)
    with pytest.raises(AssertionError, match="expected the gradient to be the slope"):
        ft.gradcheck(lambda x: (x * x.detach()).sum(), x)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: ft.assert_same_bits([1], [1]), ArgumentError,
         "assert_same_bits: expected a format, or values that have one, got fmt=None; pass fmt=\"float16\", say."),
        (lambda: ft.assert_max_ulp(h([1, 2]), h([1, 2, 3])), ShapeError,
         "assert_max_ulp: expected arrays of one shape, got actual.shape=(2,), desired.shape=(3,); reshape one of them."),
        (lambda: ft.assert_within_bound(1.0, [math.inf], None, "float16"), ArgumentError,
         "assert_within_bound: expected finite inputs, got inf or nan among them; bounds say nothing about those."),
        (lambda: ft.assert_within_bound([1.0], [1.0], None, "float16"), ShapeError,
         "assert_within_bound: expected one result for each sum, got actual.shape=(1,) for results of shape (); check axis."),
        (lambda: ft.error_bound(np.ones(999), None, "bfloat16", bound="gamma"), ArgumentError,
         'gamma: expected n u < 1, got n=998, u=0.00390625; use bound="n_u", which holds for every n.'),
        (lambda: ft.error_bound([1.0], None, "float16", bound="blocked"), ArgumentError,
         "error_bound: expected a blocked order for that bound, got order='sequential'; use order='blocked:64'."),
        (lambda: ft.gradcheck(lambda x: 1.0, [1.0]), ArgumentTypeError,
         "gradcheck: expected a function that returns a tensor, got float; return the tensor itself."),
        (lambda: ft.arrays("float16", 3, spread="swamped"), ArgumentError,
         "arrays: expected a spread of exponent, cancelling, swamping, ill_conditioned, got spread='swamped'; did you mean swamping."),
        (lambda: ft.arrays("float16", 3, spread="ill_conditioned", condition=1), ArgumentError,
         "arrays: expected a condition from 8 to 2.68435e+08, got condition=1; or take a wider format."),
        (lambda: ft.values("float16", exponents=(20, 30)), ArgumentError,
         "values: expected exponents from -24 to 15, got exponents=(20, 30); swap or widen them."),
        (lambda: ft.midpoints("float64"), ArgumentError,
         "midpoints: expected a format whose ties float64 holds, got p=53; choose a narrower one."),
        (lambda: ft.formats(max_bits=3), ArgumentError,
         "formats: expected max_bits of at least 4, got max_bits=3; use 4 to 64."),
        (lambda: ft.laws.activation(np.tanh, "float16", function="tan"), ArgumentError,
         "laws.activation: expected one of tanh, sigmoid, relu, gelu, softplus, exp, expm1, erf, sinh, arctan, cbrt, got function='tan'; did you mean tanh, arctan."),
        (lambda: ft.laws.dot(np.dot, "float16", only=["comutative"]), ArgumentError,
         "laws.dot: expected the name of a law, got 'comutative'; did you mean commutative."),
        (lambda: ft.laws.dot(np.dot, "float16", mode="up"), ArgumentError,
         "laws.dot: expected options of none, got mode; leave the others out."),
    ],
)  # fmt: skip
def test_bad_input(call, error, said):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == said
