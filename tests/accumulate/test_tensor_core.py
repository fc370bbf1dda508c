"""Order `tensor_core` against a rational model of one block, and against what was measured on the machines."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fpsim as fp
from fpsim import testing
from fpsim.accumulate.tensor_core import TensorCore
from tests.oracles import draw
from tests.oracles.bits import assert_same

TINY = 2.0**-24


def exponent(x):
    """floor(log2 |x|), from the fraction alone."""
    x = abs(x)
    e = x.numerator.bit_length() - x.denominator.bit_length()
    return e if x >= Fraction(2) ** e else e - 1


def toward_zero(x, quantum):
    return int(x / quantum) * quantum


def block_sum(s, xs, ys, fmt, extra):
    """One block, as the docstring says it, in rational numbers."""
    terms = [(Fraction(x) * Fraction(y), exponent(Fraction(x)) + exponent(Fraction(y)))
             for x, y in zip(xs, ys, strict=True) if x and y]  # fmt: skip
    if s:
        terms.append((Fraction(s), exponent(Fraction(s))))
    if not terms:
        return 0.0
    quantum = Fraction(2) ** (max(e for _, e in terms) - 23 - extra)
    total = sum((toward_zero(t, quantum) for t, _ in terms), Fraction(0))
    if not total:
        return 0.0
    if fmt.p < 24:
        return float(fp.round(float(total), fmt))  # (few enough bits for float64)
    kept = Fraction(2) ** max(exponent(total) - fmt.p + 1, fmt.emin - fmt.significand_bits)
    cut = math.copysign(abs(float(toward_zero(total, kept))), total)
    return cut if abs(cut) <= fmt.max else math.copysign(math.inf, cut)


def model(x, y, fmt, block, extra):
    s = 0.0
    for k in range(0, len(x), block):
        s = block_sum(s, x[k : k + block], y[k : k + block], fmt, extra)
    return s


#: Values of float16, among them subnormal ones and both ends, and numbers near one, whose sums cancel and carry.
halves = st.one_of(
    st.floats(width=16, allow_nan=False, allow_infinity=False),
    st.builds(lambda n, e: n * 2.0**e, st.integers(-2047, 2047), st.sampled_from([-10, -11, -12, -20])),
)


@pytest.mark.parametrize(("block", "extra"), [(4, 0), (8, 1), (16, 2), (1, 0), (3, 5)])
@pytest.mark.parametrize("name", ["float32", "float16", "e8m23", "bfloat16", "e6m18"])
@draw.law(60)
@given(pairs=st.lists(st.tuples(halves, halves), max_size=21))
def test_dots_are_the_rational_ones(name, block, extra, pairs):
    x, y = (np.array([pair[i] for pair in pairs], np.float32) for i in (0, 1))
    got = fp.Accumulator(name, order=f"tensor_core:{block}+{extra}").dot(x, y)
    assert_same(got, model(x.tolist(), y.tolist(), fp.Format(name), block, extra))


@draw.law(60)
@given(x=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=12))
def test_sums_are_products_with_one(x):
    got = fp.Accumulator("float32", order="tensor_core").sum(np.array(x, np.float32))
    assert_same(got, model(x, [1.0] * len(x), fp.float32, 4, 0))


def dot(first, *others, order="tensor_core", fmt="float32"):
    """``first``, as the accumulator holds it, plus four products of one block."""
    x = np.array([first, 0, 0, 0, *others], np.float32)
    return float(fp.Accumulator(fmt, order=order).dot(x, np.ones_like(x)))


def test_the_published_numbers():
    assert dot(1.0, *[TINY] * 4) == 1.0
    assert dot(1.0 - TINY, *[TINY] * 4) == 1.0 + 2.0**-23  # a smaller start, a larger sum: not monotonic
    assert dot(1.0, *[TINY] * 4, order="sequential") == 1.0
    assert dot(1.0, *[TINY] * 4, order="exact") == 1.0 + 2.0**-22


def test_the_last_bits_are_cut_off_toward_zero():
    # aligned to 2 - 2**-22 there is room for 2**-23; the carry past 2 takes it away, of a tie as of anything else
    start = 2.0 - 2.0**-22
    for sign in (1, -1):
        assert dot(sign * start, sign * 2.0**-23, sign * 2.0**-22) == sign * 2.0
        assert dot(sign * start, sign * 2.0**-22, sign * 2.0**-22, sign * 2.0**-23) == sign * (2.0 + 2.0**-22)


def test_a_product_is_not_normalised_before_alignment():
    # 1.5 * 1.5 = 2.25 is aligned with exponent 0, so 2**-23 beside it survives; 2.25 in the accumulator has exponent 1
    acc = fp.Accumulator("float32", order="tensor_core")
    x = np.array([1.5, -1.5, 2.0**-12, 0], np.float32)
    y = np.array([1.5, 1.5, 2.0**-11, 0], np.float32)
    assert acc.dot(x, y) == 2.0**-23
    assert dot(2.25, -2.25, 2.0**-23) == 0.0


def test_an_extra_bit_keeps_what_the_first_machine_drops():
    assert dot(1.0, TINY, TINY, order="tensor_core:4+1") == 1.0 + 2.0**-23
    assert dot(1.0, TINY, TINY) == 1.0


def test_a_float16_result_is_rounded_to_nearest():
    assert dot(1.0, 2.0**-11, 2.0**-12, fmt="float16") == 1.0 + 2.0**-10
    assert dot(1.0, 2.0**-11, fmt="float16") == 1.0


def test_subnormal_numbers_are_kept_and_cut_off():
    least = 2.0**-149
    assert dot(least, least, least) == 3 * least
    acc = fp.Accumulator("float32", order="tensor_core")
    small = np.array([2.0**-100, 0], np.float32)
    assert acc.dot(small, np.array([1.5 * 2.0**-49, 0], np.float32)) == least
    assert math.copysign(1, acc.dot(-small, np.array([2.0**-60, 0], np.float32))) == -1  # -0: it was not zero


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        ([math.inf, 1], [1, 1], math.inf),
        ([math.inf, -math.inf], [1, 1], math.nan),
        ([math.inf, 1], [0, 1], math.nan),
        ([math.nan, 1], [1, 1], math.nan),
        ([3e38, 3e38], [1, 1], math.inf),
        ([-3e38, -3e38], [1, 1], -math.inf),
        ([-0.0, -0.0], [1, 1], 0.0),
        ([], [], 0.0),
    ],
)
def test_special_values(x, y, expected):
    x, y = np.array(x, np.float32), np.array(y, np.float32)
    assert_same(fp.Accumulator("float32", order="tensor_core").dot(x, y), expected)


def test_saturation():
    acc = fp.Accumulator("float32", order="tensor_core", saturate=True)
    assert acc.sum(np.full(2, 3e38, np.float32)) == fp.float32.max


@pytest.mark.parametrize("order", ["tensor_core", "tensor_core:8+1"])
def test_matrices_batches_and_axes_are_many_dots(order):
    rng = np.random.default_rng(0)
    acc = fp.Accumulator("float32", order=order)
    x, y = (fp.round(rng.standard_normal(shape), "float16") for shape in ((2, 5, 11), (11, 7)))
    out = acc.matmul(np.asfortranarray(x), y)
    assert out.dtype == np.float32
    each = [[[acc.dot(row, column) for column in y.T] for row in rows] for rows in x]
    np.testing.assert_array_equal(out, each)
    assert not np.array_equal(out, fp.Accumulator("float32", order="sequential").matmul(x, y))
    np.testing.assert_array_equal(acc.sum(x, axis=2), acc.matmul(x, np.ones(11, np.float32)))


def test_tiles_change_nothing(monkeypatch):
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((33, 20)).astype(np.float32), rng.standard_normal((20, 9)).astype(np.float32)
    acc = fp.Accumulator("float32", order="tensor_core")
    whole = acc.matmul(x, y)
    monkeypatch.setattr("fpsim.accumulate.tensor_core.HELD", 64)
    np.testing.assert_array_equal(acc.matmul(x, y), whole)


def test_tensors_take_the_order_and_say_so():
    precision = fp.Precision("float16/float32", order="tensor_core")
    assert repr(precision) == "Precision('float16/float32', order='tensor_core')"
    x = fp.tensor([[1.0 - 2.0**-11, 0, 0, 0, *[2.0**-12] * 4]], precision=precision, requires_grad=True)
    w = fp.tensor(np.full((8, 3), 2.0**-12), precision=precision, requires_grad=True)
    out = x @ w
    expected = precision.accumulator().matmul(x.numpy().astype(np.float32), w.numpy().astype(np.float32))
    np.testing.assert_array_equal(out.numpy(), expected.astype(np.float16))
    out.sum().backward()
    assert x.grad.numpy().tolist() == [[3 * 2.0**-12] * 8]


def test_a_network_trains_in_it():
    run = fp.train("float16/float32", steps=3, scenario="rounding", order="tensor_core")
    other = fp.train("float16/float32", steps=3, scenario="rounding", order="sequential")
    assert run.columns["accumulate"] == "float32, tensor_core"
    assert run.loss == pytest.approx(other.loss, rel=1e-3)


def test_observers_see_the_result_alone():
    acc = fp.Precision("float16/float32", order="tensor_core")
    with fp.observe(accumulators=True) as report:
        fp.ones(4, precision=acc) @ fp.ones(4, precision=acc)
    assert report.total().additions == 0


def test_no_bound_is_claimed():
    with pytest.raises(fp.ArgumentError, match="expected an order with a proven bound, got order='tensor_core'"):
        testing.error_bound([1.0], None, fp.Accumulator("float32", "tensor_core"))


def test_parsing():
    assert TensorCore.parse("tensor_core") == TensorCore(4, 0)
    assert TensorCore.parse("tensor_core:16") == TensorCore(16, 0)
    assert TensorCore.parse("tensor_core:16+2") == TensorCore(16, 2)


def test_rows_without_special_values_are_what_they_are_alone():
    acc = fp.Accumulator("float32", order="tensor_core")
    x = np.array([[1.0, 2.0, 0.5], [np.inf, 1.0, 1.0], [np.nan, 1.0, 1.0], [0.25, -3.0, 1.0]])
    y = np.array([[1.0], [1.5], [2.0]])
    made = acc.matmul(x, y)[:, 0]
    assert made[[0, 3]].tolist() == [5.0, -2.25]
    assert made[1] == np.inf
    assert np.isnan(made[2])
