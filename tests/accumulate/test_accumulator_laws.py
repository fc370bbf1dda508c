"""Accumulators: what they choose, refuse and say; products of mixed dtypes and grouped convolutions, compiled or not."""
# ruff: noqa: E501 (sentences as they are read)

import itertools

import numpy as np
import pytest

import fpsim as fp
import fpsim.nn.functional as F
from fpsim.accumulate import accumulator as module
from fpsim.accumulate import compiled as compiled_module
from fpsim.accumulate.accumulator import _axes, _cannot_overflow, _product_work, parse_order
from fpsim.accumulate.compiled import kernels_for, way_for
from fpsim.accumulate.counting import counting
from fpsim.accumulate.orders import Arithmetic
from fpsim.accumulate.tensor_core import TensorCore, _exponent
from fpsim.errors import ArgumentError, ArgumentTypeError, FormatError, PrecisionError, ShapeError
from fpsim.kernels import ways
from fpsim.rounding.wide import Wide
from tests.oracles.bits import assert_same
from tests.oracles.kernels import kernels

F32, F64 = np.float32, np.float64
ORDERS = ("sequential", "pairwise", "blocked:3", "blocked:4")


def test_orders_are_parsed():
    assert {o: parse_order(o) for o in (None, "blas", "sequential", "pairwise", "kahan", "exact")} == {
        o: (o, 0) for o in (None, "blas", "sequential", "pairwise", "kahan", "exact")
    }
    assert parse_order("blocked:1") == ("blocked", 1)
    assert parse_order("tensor_core") == ("tensor_core", 4)
    assert parse_order("tensor_core:16+2") == ("tensor_core", 16)
    for wrong in ("blocked", "blocked:", "blocked:0", "blocked:-1", "blocked:x", "pairwise:3", "kulisch", 3, ""):
        with pytest.raises(ArgumentError) as error:
            parse_order(wrong)
        assert str(error.value) == (
            "Accumulator: expected an order of blas, sequential, pairwise, blocked:B, blocked:B@FORMAT, kahan, exact, "
            f"tensor_core, got order={wrong!r}; choose one; B as in blocked:64."
        )
    for good, made in {"tensor_core:1024+12": (1024, 12), "tensor_core:1": (1, 0), "tensor_core:8+0": (8, 0)}.items():
        assert TensorCore.parse(good) == TensorCore(*made)
    for wrong in (
        "tensor_core:0",
        "tensor_core:1025",
        "tensor_core:8+13",
        "tensor_core:",
        "tensor_core+1",
        "tensor_core:1234567",
    ):
        with pytest.raises(ArgumentError) as error:
            TensorCore.parse(wrong)
        assert str(error.value) == (
            "Accumulator: expected tensor_core, or tensor_core:B+E with B from 1 to 1024 and E up to 12, "
            f"got order={wrong!r}; tensor_core:8+1 has blocks of 8 and 1 extra bit."
        )
    assert len({TensorCore(8, 1), TensorCore(8, 1), TensorCore(8, 2)}) == 2
    with pytest.raises(AttributeError):
        TensorCore().block = 3
    assert (TensorCore().block, TensorCore().extra) == (4, 0)


def test_axes_are_counted_from_both_ends():
    assert _axes("sum", None, 3) == (0, 1, 2)
    assert _axes("sum", None, 0) == ()
    assert _axes("sum", -1, 3) == (2,)
    assert _axes("sum", (2, -3), 3) == (0, 2)
    assert _axes("sum", np.int64(1), 2) == (1,)
    assert _axes("sum", (), 2) == ()
    for axis, ndim in ((3, 3), (-4, 3), ((0, 0), 2), ((0, -2), 2), (0, 0), (-1, 0)):
        with pytest.raises(ShapeError) as error:
            _axes("sum", axis, ndim)
        assert (
            str(error.value) == f"sum: expected different axes of {ndim}, got axis={axis!r}; count from 0 or from -1."
        )
    for axis in (1.0, True, "0", (0, None)):
        with pytest.raises(ArgumentTypeError) as error:
            _axes("sum", axis, 2)
        assert str(error.value) == f"sum: expected integer axes, got axis={axis!r}; count from 0 or from -1."


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: fp.Accumulator("float8_e8m0fnu"), FormatError, "a format with arithmetic, got format=float8_e8m0fnu; it codes scales only"),
        (lambda: fp.Accumulator("float16", "kahan", fma=True), ArgumentError, "order sequential or blocked:B with fma, got order='kahan' with fma=True; leave one out"),
        (lambda: fp.Accumulator("float32", "blas", fma=True), ArgumentError, "order sequential or blocked:B with fma, got order='blas' with fma=True; leave one out"),
        (lambda: fp.Accumulator("float16", "blas"), PrecisionError,
         "a float32 or float64 accumulator that rounds to nearest even for order blas, got format=float16, rounding='nearest_even', saturate=False; use order='sequential'"),
        (lambda: fp.Accumulator("float32", "blas", rounding="up"), PrecisionError,
         "a float32 or float64 accumulator that rounds to nearest even for order blas, got format=float32, rounding='up', saturate=False; use order='sequential'"),
        (lambda: fp.Accumulator("float32", "blas", saturate=True), PrecisionError,
         "a float32 or float64 accumulator that rounds to nearest even for order blas, got format=float32, rounding='nearest_even', saturate=True; use order='sequential'"),
        (lambda: fp.Accumulator("float64", "tensor_core"), PrecisionError,
         "an accumulator of at most float32's precision, without a rounding mode, for order tensor_core, got format=float64, rounding='nearest_even'; use float32 and leave the rounding out"),
        (lambda: fp.Accumulator("e8m24", "tensor_core"), PrecisionError,
         "an accumulator of at most float32's precision, without a rounding mode, for order tensor_core, got format=e8m24, rounding='nearest_even'; use float32 and leave the rounding out"),
        (lambda: fp.Accumulator("float32", "tensor_core", rounding="up"), PrecisionError,
         "an accumulator of at most float32's precision, without a rounding mode, for order tensor_core, got format=float32, rounding='up'; use float32 and leave the rounding out"),
        (lambda: fp.Accumulator("float16", "tensor_core", rounding="down"), PrecisionError,
         "an accumulator of at most float32's precision, without a rounding mode, for order tensor_core, got format=float16, rounding='down'; use float32 and leave the rounding out"),
        (lambda: fp.Accumulator("float16", rounding="stochastic").sum([1.0]), ArgumentError, "a generator for stochastic rounding, got rng=None; pass rng=np.random.default_rng(seed)"),
    ],
)  # fmt: skip
def test_accumulators_that_make_no_sense(make, error, text):
    with pytest.raises(error) as raised:
        make()
    assert str(raised.value) == f"Accumulator: expected {text}."


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda a: a.dot([1.0], [1.0, 2.0]), ShapeError, "dot: expected two 1-D arrays of one length, got x.shape=(1,), y.shape=(2,); use matmul for matrices."),
        (lambda a: a.dot([[1.0]], [[1.0]]), ShapeError, "dot: expected two 1-D arrays of one length, got x.shape=(1, 1), y.shape=(1, 1); use matmul for matrices."),
        (lambda a: a.matmul(1.0, [1.0]), ShapeError, "matmul: expected arrays of at least one dimension, got x.shape=(), y.shape=(1,); use * to scale."),
        (lambda a: a.matmul([1.0], 1.0), ShapeError, "matmul: expected arrays of at least one dimension, got x.shape=(1,), y.shape=(); use * to scale."),
        (lambda a: a.matmul(np.ones((2, 3)), np.ones((2, 3))), ShapeError, "matmul: expected inner sizes that agree, got x.shape=(2, 3), y.shape=(2, 3); transpose one of them."),
        (lambda a: a.matmul(np.ones((2, 3)), np.ones(2)), ShapeError, "matmul: expected inner sizes that agree, got x.shape=(2, 3), y.shape=(2,); transpose one of them."),
        (lambda a: a.matmul(np.ones((4, 2, 3)), np.ones((5, 3, 2))), ShapeError, "matmul: expected batch sizes that broadcast, got x.shape=(4, 2, 3), y.shape=(5, 3, 2); make the leading sizes equal or 1."),
    ],
)  # fmt: skip
def test_products_that_make_no_sense(call, error, text):
    with pytest.raises(error) as raised:
        call(fp.Accumulator("float16"))
    assert str(raised.value) == text


def test_the_order_that_is_chosen():
    h, s, d = np.zeros(1, np.float16), np.zeros(1, F32), np.zeros(1)
    table = {
        ("float32", None): ["blas", "blas", "sequential"], ("float64", None): ["blas"] * 3,
        ("float16", None): ["sequential"] * 3, ("float32", "pairwise"): ["pairwise"] * 3,
    }  # fmt: skip
    for (fmt, order), expected in table.items():
        assert [fp.Accumulator(fmt, order).order_for(x) for x in (h, s, d)] == expected
    assert fp.Accumulator("float32").order_for(s, d) == "sequential"
    for options in ({"rounding": "up"}, {"saturate": True}, {"fma": True}):
        assert fp.Accumulator("float32", **options).order_for(s) == "sequential"
    told = fp.Accumulator("float32", inputs=(fp.float16,))
    assert told.order_for(d) == "blas"
    assert fp.Accumulator("float32", inputs=(fp.float64,)).order_for(s) == "sequential"
    with pytest.raises(PrecisionError) as error:
        fp.Accumulator("float32", "blas").sum(np.ones(2))
    assert str(error.value) == (
        "sum: expected an accumulator that holds its inputs for order blas, got inputs of float64 for float32; "
        "use order='sequential'."
    )
    with pytest.raises(PrecisionError, match=r"^matmul: .* got inputs of float32, float64 for float32;"):
        fp.Accumulator("float32", "blas").matmul(s, d)
    assert hash(fp.Accumulator("float16")) == hash(fp.Accumulator(fp.float16))
    assert fp.Accumulator("float16") != fp.Accumulator("float16", "kahan")


def test_the_arithmetic_of_products():
    x32, x64 = np.zeros((1, 1), F32), np.zeros((1, 1))
    half, single, double = (fp.float16,), (fp.float32,), (fp.float64,)
    table = [
        (fp.float16, half * 2, x32, x32, "nearest_even", F32), (fp.float16, half * 2, x32, x32, "nearest_away", F32),
        (fp.float16, half * 2, x32, x32, "up", F64), (fp.float16, half + single, x32, x32, "nearest_even", F64),
        (fp.float32, single * 2, x32, x32, "nearest_even", F32), (fp.float32, single * 2, x32, x32, "down", F64),
        (fp.float32, single * 2, x32, x32, "nearest_away", F64), (fp.float64, double * 2, x64, x64, "nearest_even", F64),
        (fp.float32, single + double, x32, x64, "nearest_even", Wide), (fp.float64, double * 2, x64, x64, "up", Wide),
        (fp.float16, half * 2, x64, x32, "up", Wide),
    ]  # fmt: skip
    for fmt, formats, x, y, mode, expected in table:
        assert _product_work(fmt, formats, x, y, mode) is expected


def test_no_sum_overflows_where_four_times_the_magnitudes_fit():
    one, fmt = np.ones((1, 1), F32), fp.float16
    assert _cannot_overflow(one * 100, one * 100, fmt)
    assert _cannot_overflow(one * 16000, one, fmt)
    assert not _cannot_overflow(one * 16300, one, fmt)
    assert not _cannot_overflow(np.full((1, 4), 128.0), np.full((4, 1), -40.0), fmt)
    assert _cannot_overflow(np.full((1, 4), 100.0), np.full((4, 1), -40.0), fmt)
    assert not _cannot_overflow(one * np.inf, one, fmt)
    assert not _cannot_overflow(one * np.nan, one, fmt)
    assert _cannot_overflow(np.ones((2, 0)), np.ones((0, 2)), fmt)
    assert _cannot_overflow(np.ones((0, 2)), np.ones((2, 0)), fmt)


@pytest.mark.parametrize("fmt", ["float16", "bfloat16", "float8_e4m3fn", "float32", "float64"])
def test_a_step_is_one_rounding(fmt):
    acc, rng = fp.Accumulator(fmt), np.random.default_rng(0)
    x, y = (fp.round(rng.uniform(1, 2, (3, 4)), fmt).astype(acc.format.carrier) for _ in range(2))
    steps = {np.add: lambda a, b: a + b, np.subtract: lambda a, b: a - b, np.multiply: lambda a, b: a * b, np.divide: lambda a, b: a / b}  # fmt: skip
    for operation, definition in steps.items():
        wide = definition(Wide.of(x), Wide.of(y))
        np.testing.assert_array_equal(
            acc.step(operation, x, y), module.Arithmetic(acc.format, "nearest_even").round(wide)
        )
    np.testing.assert_array_equal(acc.step(np.sqrt, x), fp.round(np.sqrt(x.astype(F64)), fmt).astype(x.dtype))
    np.testing.assert_array_equal(acc.step(np.exp, x), fp.round(np.exp(x.astype(F64)), fmt).astype(x.dtype))
    np.testing.assert_array_equal(acc.step(np.exp, x.T), acc.step(np.exp, x).T)
    third = acc.step(np.multiply, x, 1 / 3)
    exact = Wide.of(x) * Wide.of(np.float64(1 / 3))
    np.testing.assert_array_equal(third, module.Arithmetic(acc.format, "nearest_even").round(exact))
    np.testing.assert_array_equal(acc.round(y.astype(F64) + 1e-3), fp.round(y.astype(F64) + 1e-3, fmt))
    assert acc.step(np.add, x, y).dtype == acc.format.carrier


def test_short_sums_of_every_width_are_the_columns():
    """Widths on both sides of the one from which columns advance together."""
    rng = np.random.default_rng(0)
    for fmt, order, saturate in itertools.product(("float16", "float32"), ("sequential", "blocked:3"), (False, True)):
        acc = fp.Accumulator(fmt, order, saturate=saturate)
        x = fp.round(rng.normal(size=(9, 65)) * acc.format.max**0.5, fmt)
        x[:, 3] = acc.format.max / 2
        whole = acc.sum(x, axis=0)
        for width in (1, 63, 64):
            np.testing.assert_array_equal(acc.sum(x[:, :width], axis=0), whole[:width])


def test_long_sums_of_some_width_are_those_of_single_columns():
    """So long that products are made several times, each time for many steps."""
    rng = np.random.default_rng(0)
    for fmt in ("float16", "float32"):
        acc = fp.Accumulator(fmt, "sequential")
        x, y = (fp.round(rng.normal(size=s), fmt).astype(F32) for s in ((1, 1000), (1000, 300)))
        with kernels("numpy"):
            products = acc.matmul(x, y)
            for j in (0, 150, 299):
                np.testing.assert_array_equal(acc.matmul(x, y[:, j : j + 1])[:, 0], products[:, j])


def test_either_factor_may_be_a_batch():
    rng = np.random.default_rng(0)
    acc = fp.Accumulator("float16", "sequential")
    x, y = fp.round(rng.normal(size=(2, 3)), "float16"), fp.round(rng.normal(size=(4, 1, 3, 5)), "float16")
    many = acc.matmul(x, y)
    assert many.shape == (4, 1, 2, 5)
    tallies = []
    counted = counting(acc, tallies.append)
    np.testing.assert_array_equal(counted.matmul(x, y), many)
    for k in range(4):
        np.testing.assert_array_equal(acc.matmul(x, y[k, 0]), many[k, 0])
        np.testing.assert_array_equal(acc.matmul(y[k, 0].T, x.T), many[k, 0].T)
    assert tallies[0].additions == 4 * 2 * 5 * 3
    row = acc.matmul(x[0], y)
    np.testing.assert_array_equal(row, many[:, :, 0])
    np.testing.assert_array_equal(counted.matmul(x[0], y), row)
    np.testing.assert_array_equal(acc.matmul(x, y[0, 0, :, 0]), many[0, 0, :, 0])
    np.testing.assert_array_equal(counted.matmul(x, y[0, 0, :, 0]), many[0, 0, :, 0])
    assert acc.dot(x[0], y[0, 0, :, 0]) == many[0, 0, 0, 0]
    assert [t.additions for t in tallies] == [120, 60, 6]
    sums = acc.sum(y, axis=(0, 2), keepdims=True)
    assert sums.shape == (1, 1, 1, 5)
    np.testing.assert_array_equal(sums.reshape(5), acc.sum(y.reshape(12, 5), axis=0))


@pytest.mark.parametrize("order", ["sequential", "pairwise"])
def test_tiles_change_no_bit(order, monkeypatch):
    rng = np.random.default_rng(0)
    for fmt in ("float16", "float32", "bfloat16"):
        acc = fp.Accumulator(fmt, order)
        x, y = (fp.round(rng.normal(size=s), fmt) for s in ((5, 7), (7, 6)))
        products = acc.matmul(x, y)
        np.testing.assert_array_equal(products[2:4, 1:3], acc.matmul(x[2:4], y[:, 1:3]))
        for tile, shared in ((1, 1 << 14), (9, 1 << 14), (50, 2), (8, 2)):
            for name, value in (("TILE", tile), ("HELD", tile), ("SHARED", shared)):
                monkeypatch.setattr(module, name, value)
            np.testing.assert_array_equal(acc.matmul(x, y), products)
            monkeypatch.undo()


@pytest.mark.parametrize("order", ORDERS)
def test_stochastic_sums_have_their_places_in_the_hash(order, monkeypatch):
    """Every output (n, i, j) starts at 2 * length * its place in C order; step k rounds at 2k and 2k + 1."""
    from fpsim.rounding.codes import draw_key
    from fpsim.rounding.kernel import round_to

    fmt, rng = fp.float16, np.random.default_rng(0)
    x, y = (fp.round(rng.normal(size=s), "float32").astype(F32) for s in ((2, 3, 5), (2, 5, 4)))

    def reference(key):
        def rounded(value, place):
            return round_to(Wide.of(value), fmt, "stochastic", key=key, index=np.array(place, np.uint64))[()]

        def sequential(terms, base, start, stop):
            s = F32(0)
            for k in range(start, stop):
                s = rounded(F64(s) + F64(terms[k]), base + 2 * k + 1)
            return s

        def pairwise(terms, base, lo, hi):
            if hi - lo == 1:
                return terms[lo]
            mid = (lo + hi) // 2
            joined = F64(pairwise(terms, base, lo, mid)) + F64(pairwise(terms, base, mid, hi))
            return rounded(joined, base + 2 * mid + 1)

        out = np.zeros((2, 3, 4))
        for place, (n, i, j) in enumerate(np.ndindex(2, 3, 4)):
            base = 2 * 5 * place
            terms = [rounded(F64(x[n, i, k]) * F64(y[n, k, j]), base + 2 * k) for k in range(5)]
            if order == "sequential":
                out[n, i, j] = sequential(terms, base, 0, 5)
            elif order == "pairwise":
                out[n, i, j] = pairwise(terms, base, 0, 5)
            else:
                block, s = int(order[8:]), F32(0)
                for start in range(0, 5, block):
                    part = sequential(terms, base, start, min(start + block, 5))
                    s = rounded(F64(s) + F64(part), base + 2 * start + 1)
                out[n, i, j] = s
        return out

    key = draw_key(np.random.default_rng(3))
    expected = reference(key)
    for which in ("numpy", "compiled"):
        if which == "compiled":
            pytest.importorskip("numba")
        with kernels(which):
            acc = fp.Accumulator(fmt, order, rounding="stochastic", rng=np.random.default_rng(3))
            np.testing.assert_array_equal(acc.matmul(x, y), expected)
            one = fp.Accumulator(fmt, order, rounding="stochastic", rng=np.random.default_rng(3))
            ones = fp.Accumulator(fmt, order, rounding="stochastic", rng=np.random.default_rng(3))
            rounded = fp.round(x[0], fmt).astype(F32)
            np.testing.assert_array_equal(one.sum(rounded, axis=0), ones.matmul(np.ones((1, 3), F32), rounded)[0])
    monkeypatch.setattr(module, "TILE", 2)
    with kernels("numpy"):
        acc = fp.Accumulator(fmt, order, rounding="stochastic", rng=np.random.default_rng(3))
        np.testing.assert_array_equal(acc.matmul(x, y), expected)


# Compiled -------------------------------------------------------------------------------------------------------------


def test_where_compiled_kernels_serve():
    pytest.importorskip("numba")
    with kernels("compiled"):
        for order in ("sequential", "pairwise", "blocked:8"):
            assert kernels_for("nearest_even", order, 10, 10) is not None
            assert kernels_for("stochastic", order, 10, 10) is not None
            assert kernels_for("up", order, 10, 10) is None
        for order in ("kahan", "exact", "tensor_core", "tensor_core:8"):
            assert kernels_for("nearest_even", order, 10, 10) is None


def test_the_way_of_rounding():
    pytest.importorskip("numba")
    x32, x64 = np.ones((2, 2), F32), np.ones((2, 2))
    big = np.full((2, 2), 3e4, F32)
    with kernels("compiled"):
        k = kernels_for("nearest_even", "sequential", 10, 10)

        def way(fmt, work, x=x32, y=x32, *, mode="nearest_even", saturate=False, fma=False, order="sequential"):
            made = way_for(k, Arithmetic(fp.Format(fmt), mode, saturate), fma, work, x, y, order, 2)
            return None if made is None else type(made).__name__

        half = "Half" if ways.has_half() else "Magic"
        half_bounded = "HalfBounded" if ways.has_half() else "Magic"
        table = {
            "Native": [way("float32", F32), way("float64", F64)],
            "Bounded": [way("float16", F32), way("float8_e5m2", F32), way("float16", F32, order="blocked:2")],
            half: [way("float16", F32, order="pairwise"), way("float16", F32, big, big)],
            half_bounded: [way("float16", F32, big, x32)],
            "Dropping": [way("bfloat16", F32)],
            "Magic": [way("float8_e5m2", F32, big, big), way("tfloat32", F64), way("float32", F64),
                      way("float16", F32, big, big, saturate=True), way("float8_e5m2", F32, order="pairwise")],
            "Definition": [way("float64", Wide), way("float16", Wide), way("e8m30", F64), way("float64", F64, fma=True),
                           way("float16", F32, x64, x32, fma=True), way("float64", F64, mode="stochastic"),
                           way("float16", F64, x64, x32, mode="stochastic"),
                           way("float16", F64, mode="stochastic", fma=True)],
            "Fused": [way("float16", F32, fma=True), way("float32", F32, fma=True)],
            "Stochastic": [way("float16", F64, mode="stochastic")],
            None: [way("float4_e2m1fn", F32, x32 * np.inf), way("float4_e2m1fn", F32, x32, x32 * np.nan)],
        }  # fmt: skip
        assert {name: set(found) for name, found in table.items()} == {name: {name} for name in table}


@pytest.mark.parametrize("dtypes", [(F32, F64), (F64, F32), (F64, F64), (np.float16, F32)])
@pytest.mark.parametrize("fma", [False, True])
@pytest.mark.parametrize("fmt", ["float16", "float32", "tfloat32", "bfloat16"])
def test_products_of_mixed_dtypes_have_the_same_bits(dtypes, fma, fmt):
    pytest.importorskip("numba")
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=s).astype(t) for s, t in zip(((9, 20), (20, 17)), dtypes, strict=True))
    for order, mode in itertools.product(("sequential",), ("nearest_even", "stochastic")):
        results = []
        for which in ("numpy", "compiled"):
            with kernels(which):
                acc = fp.Accumulator(fmt, order, fma=fma, rounding=mode, rng=np.random.default_rng(1))
                results.append((acc.matmul(x, y), acc.matmul(y.T, x.T), acc.matmul(x[:1], y), acc.matmul(x, y[:, :1])))
        for ours, theirs in zip(*results, strict=True):
            assert_same(ours, theirs)


@pytest.mark.parametrize("rounding", ["nearest_even", "stochastic"])
@pytest.mark.parametrize(("groups", "stride", "dilation"), [(2, 1, 1), (3, 2, 1), (2, (1, 2), (2, 1))])
def test_grouped_convolutions_have_the_same_bits(rounding, groups, stride, dilation):
    pytest.importorskip("numba")
    for fmt, order in itertools.product(("float16",), ("sequential",)):
        results = []
        for which, threads in (("numpy", 1), ("compiled", 1), ("compiled", 2)):
            with kernels(which, threads), fp.seed(5):
                rng = np.random.default_rng(0)
                precision = fp.Precision(fmt, order=order, acc_rounding=rounding)
                x, w = (
                    fp.tensor(rng.normal(size=s), precision=precision, requires_grad=True)
                    for s in ((3, 2 * groups, 6, 7), (3 * groups, 2, 2, 3))
                )
                out = F.conv2d(x, w, stride=stride, dilation=dilation, padding=1, groups=groups)
                out.backward(fp.tensor(rng.normal(size=out.shape), precision=precision))
                results.append((out.numpy(), x.grad.numpy(), w.grad.numpy()))
        for other in results[1:]:
            for ours, theirs in zip(other, results[0], strict=True):
                assert_same(ours, theirs)


def test_exponents_of_what_has_none_are_below_all_others():
    found = _exponent(np.array([0.0, 1.0, 1.5, -0.25, np.inf, np.nan, 2.0**-1074]))
    assert found.tolist()[1:4] == [0, 0, -2]
    assert found[6] == -1074
    assert max(found[0], found[4], found[5]) < -3000
    assert compiled_module.LANES > 0
