"""Which elements are summed into which result: axes, batches, NumPy's shapes; in any memory layout.

Expected are one-dimensional sums and dots of the same accumulator, which `test_orders.py` checks.
"""

from itertools import combinations

import numpy as np
import pytest

import fpsim as fp
from fpsim.errors import FpsimError, ShapeError
from tests.oracles.bits import assert_same

HOW = [
    ("sequential", False), ("sequential", True), ("pairwise", False), ("blocked:4", False),
    ("blocked:4", True), ("kahan", False), ("exact", False),
]  # fmt: skip
NAMES = ["float16", "float32", "float8_e5m2"]


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def layouts(x: np.ndarray) -> dict[str, np.ndarray]:
    """The same values in other places of memory."""
    mirror = (slice(None, None, -1),) * x.ndim
    padded = np.zeros([2 * n + 1 for n in x.shape], x.dtype)
    every_other = tuple(slice(0, 2 * n, 2) for n in x.shape)
    padded[every_other] = x
    offset = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    offset[...] = x
    return {
        "Fortran order": np.asfortranarray(x),
        "strided": padded[every_other],
        "negative strides": np.ascontiguousarray(x[mirror])[mirror],
        "swapped axes": np.ascontiguousarray(x.swapaxes(0, -1)).swapaxes(0, -1),
        "unaligned": offset,
        "other byte order": x.astype(x.dtype.newbyteorder()),
        "read only": np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
    }


@pytest.fixture(params=HOW, ids=lambda how: how[0] + " fma" * how[1])
def how(request):
    return dict(zip(("order", "fma"), request.param, strict=True))


# Sums ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("order", [order for order, fma in HOW if not fma])
def test_sums_over_any_axes_take_their_elements_in_c_order(order, keepdims):
    x = normal(3, 2, 5, 4)
    acc = fp.Accumulator("float16", order=order)
    for count in range(5):
        for axes in combinations(range(4), count):
            kept = [a for a in range(4) if a not in axes]
            lists = x.transpose(*kept, *axes).reshape(*(x.shape[a] for a in kept), -1)
            expected = np.empty(lists.shape[:-1])
            for i in np.ndindex(expected.shape):
                expected[i] = acc.sum(lists[i])
            if keepdims:
                expected = np.expand_dims(expected, axes)
            assert_same(acc.sum(x, axis=axes, keepdims=keepdims), expected)
            assert_same(acc.sum(x, axis=tuple(a - 4 for a in axes[::-1]), keepdims=keepdims), expected)


def test_axis_none_is_every_axis_and_an_integer_is_one():
    x = normal(3, 2, 5)
    acc = fp.Accumulator("float16")
    assert_same(acc.sum(x), acc.sum(x.reshape(-1)))
    assert_same(acc.sum(x), acc.sum(x, axis=(0, 1, 2)))
    assert_same(acc.sum(x, axis=-1), acc.sum(x, axis=(2,)))
    assert_same(acc.sum(x, keepdims=True), np.reshape(acc.sum(x), (1, 1, 1)))
    assert_same(acc.sum(np.float64(0.1)), fp.round(0.1, "float16"))


@pytest.mark.parametrize(("shape", "axis"), [((0,), 0), ((3, 0), 1), ((3, 0), 0), ((0, 4), None), ((2, 0, 3), (0, 1))])
def test_empty_sums_have_numpys_shape_and_are_plus_zero(shape, axis, how):
    if how["fma"]:
        return
    expected = np.zeros(shape).sum(axis=axis)
    assert_same(fp.Accumulator("float16", **how).sum(np.zeros(shape), axis=axis), expected)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_sums_have_the_same_bits_in_any_layout(name, dtype, how):
    x = normal(4, 3, 5).astype(dtype)
    acc = fp.Accumulator(name, **how)
    for axis in (None, 0, 2, (0, 2)):
        expected = acc.sum(x, axis=axis)
        for other in layouts(x).values():
            assert_same(acc.sum(other, axis=axis), expected)
    same = np.broadcast_to(dtype(0.1), (30, 20))
    assert_same(acc.sum(same, axis=0), acc.sum(same.copy(), axis=0))


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 63, 64, 65, 1000, 4099])
def test_long_sums_equal_short_ones_put_together(n):
    x = normal(n)
    half = n // 2
    pairwise, sequential = (fp.Accumulator("float16", order=order) for order in ("pairwise", "sequential"))
    if n > 1:
        assert_same(pairwise.sum(x), fp.round(pairwise.sum(x[:half]) + np.float64(pairwise.sum(x[half:])), "float16"))
    assert_same(sequential.sum(x), sequential.sum([sequential.sum(x[:half]), *x[half:]]))
    blocked = fp.Accumulator("float16", order="blocked:64")
    assert_same(blocked.sum(x), sequential.sum([sequential.sum(x[i : i + 64]) for i in range(0, n, 64)]))
    assert_same(fp.Accumulator("float16", order=f"blocked:{n + 5}").sum(x), sequential.sum(x))
    assert_same(fp.Accumulator("float16", order="blocked:1").sum(x), sequential.sum(x))


# Products --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((4,), (4,)), ((4,), (4, 3)), ((2, 4), (4,)), ((2, 4), (4, 3)), ((5, 2, 4), (4, 3)),
        ((5, 2, 4), (5, 4, 3)), ((2, 4), (5, 4, 3)), ((4,), (5, 4, 3)), ((5, 2, 4), (4,)),
        ((6, 1, 2, 4), (5, 4, 3)), ((1, 2, 4), (5, 4, 1)), ((0, 4), (4, 3)), ((2, 0), (0, 3)), ((0,), (0,)),
        ((5, 0, 4), (4, 3)), ((0, 2, 4), (1, 4, 3)), ((2, 4), (4, 0)), ((1, 1), (1, 1)), ((33, 65), (65, 17)),
    ],
)  # fmt: skip
def test_matmul_batches_and_broadcasts_as_numpys(a, b, how):
    x, y = normal(*a), normal(*b, seed=1)
    acc = fp.Accumulator("float16", **how)
    shape = np.matmul(x, y).shape
    product = acc.matmul(x, y)
    assert np.shape(product) == shape
    rows = x if x.ndim > 1 else x[None]
    columns = (y if y.ndim > 1 else y[:, None]).swapaxes(-1, -2)
    batch = np.broadcast_shapes(rows.shape[:-2], columns.shape[:-2])
    rows, columns = (np.broadcast_to(v, batch + v.shape[-2:]) for v in (rows, columns))
    expected = np.empty((*batch, rows.shape[-2], columns.shape[-2]))
    picks = list(np.ndindex(expected.shape))
    for *k, i, j in picks:
        if expected.size < 500 or (i * 17 + j) % 40 == 0:
            expected[(*k, i, j)] = acc.dot(rows[(*k, i)], columns[(*k, j)])
        else:
            expected[(*k, i, j)] = np.reshape(product, expected.shape)[(*k, i, j)]
    assert_same(product, expected.reshape(shape))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_products_have_the_same_bits_in_any_layout(name, dtype, how):
    x, y = normal(2, 5, 8).astype(dtype), normal(2, 8, 3, seed=1).astype(dtype)
    acc = fp.Accumulator(name, **how)
    expected, dot = acc.matmul(x, y), acc.dot(x[0, 0], y[0, :, 0])
    for a, b in zip(layouts(x).values(), layouts(y).values(), strict=True):
        assert_same(acc.matmul(a, b), expected)
        assert_same(acc.matmul(a, y), expected)
        assert_same(acc.matmul(x, b), expected)
        assert_same(acc.dot(a[0, 0], b[0, :, 0]), dot)
    shared = np.broadcast_to(y[:1], y.shape)
    assert_same(acc.matmul(x, shared), acc.matmul(x, shared.copy()))
    assert_same(acc.matmul(x, shared), acc.matmul(x, y[0]))


def test_blas_is_numpys_own_product_where_the_accumulator_holds_the_inputs():
    x, y = normal(20, 30).astype(np.float16), normal(30, 10, seed=1).astype(np.float16)
    wide = x.astype(np.float64) @ y.astype(np.float64)
    for order in (None, "blas"):
        product = fp.Accumulator("float32", order=order).matmul(x, y)
        # |error| <= gamma_30 * (|x| @ |y|), Higham 2002, (3.13)
        bound = 31 * 2.0**-24 * (np.abs(x).astype(float) @ np.abs(y).astype(float))
        assert np.all(np.abs(product - wide) <= bound)
        assert np.all(product == product.astype(np.float32))


def test_the_default_order_is_sequential_where_blas_cannot_hold_the_inputs():
    x, y = normal(50), normal(50, seed=1)
    default, sequential = fp.Accumulator("float32"), fp.Accumulator("float32", order="sequential")
    assert_same(default.sum(x), sequential.sum(x))
    assert_same(default.dot(x, y), sequential.dot(x, y))
    half = fp.Accumulator("float16")
    assert_same(half.sum(x), fp.Accumulator("float16", order="sequential").sum(x))


def test_inputs_are_not_written_to():
    x, y = normal(4, 5), normal(5, 6)
    before = x.copy(), y.copy()
    for name in ("float16", "float32", "float64"):
        for order, fma in HOW:
            acc = fp.Accumulator(name, order=order, fma=fma)
            acc.matmul(x, y)
            acc.sum(x, axis=0)
    assert np.array_equal(x, before[0])
    assert np.array_equal(y, before[1])


@pytest.mark.parametrize("name", ["float16", "float32", "float64", "bfloat16", "float8_e4m3fn"])
def test_results_are_values_of_the_accumulators_format(name, how):
    product = fp.Accumulator(name, **how).matmul(normal(6, 9), normal(9, 4, seed=1))
    assert isinstance(product, np.ndarray)
    assert product.dtype.kind == "f"
    assert_same(fp.round(product, name), product)


# Refusals --------------------------------------------------------------------------------------------------

SENTENCE = r"^\w+(\.\w+)?: expected .+, got .+; .+\.$"


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((2, 3), (2, 3)),
        ((3,), (4,)),
        ((2, 3), (4,)),
        ((3,), (2, 3)),
        ((5, 2, 3), (4, 3, 2)),
        ((), (3,)),
        ((2, 3), ()),
    ],
)
def test_matmul_refuses_what_numpy_refuses(a, b):
    with pytest.raises(ValueError, match=r"matmul|broadcast"):
        np.matmul(np.ones(a), np.ones(b))
    for name in ("float16", "float32"):
        with pytest.raises(ShapeError, match=SENTENCE):
            fp.Accumulator(name).matmul(np.ones(a), np.ones(b))


@pytest.mark.parametrize(("a", "b"), [((3,), (4,)), ((2, 3), (2,)), ((2, 3), (4, 3))])
def test_dot_refuses_vectors_of_different_lengths(a, b):
    with pytest.raises(ShapeError, match=SENTENCE):
        fp.Accumulator("float16").dot(np.ones(a), np.ones(b))


@pytest.mark.parametrize("axis", [2, -3, (0, 0), (0, 2), 1.5, "rows"])
def test_sum_refuses_axes_that_are_not_there(axis):
    with pytest.raises(FpsimError, match=SENTENCE):
        fp.Accumulator("float16").sum(np.ones((2, 3)), axis=axis)


@pytest.mark.parametrize(
    ("fmt", "options"),
    [
        ("float17", {}), ("float16", {"order": "treewise"}), ("float16", {"order": 3}),
        ("float16", {"order": "blocked"}), ("float16", {"order": "blocked:0"}), ("float16", {"order": "blocked:-4"}),
        ("float16", {"order": "blocked:x"}), ("float16", {"order": "blocked:1.5"}), ("float16", {"order": "blas"}),
        ("bfloat16", {"order": "blas"}), ("float16", {"order": "pairwise", "fma": True}),
        ("float16", {"order": "kahan", "fma": True}), ("float16", {"order": "exact", "fma": True}),
        ("float32", {"order": "blas", "fma": True}), ("float16", {"rounding": "nearest"}),
        ("float16", {"rounding": "stochastic"}), ("float16", {"rounding": "stochastic", "rng": 0}),
    ],
    ids=str,
)  # fmt: skip
def test_accumulators_that_make_no_sense_are_refused(fmt, options):
    with pytest.raises(FpsimError, match=SENTENCE):
        fp.Accumulator(fmt, **options).sum([1.0])


def test_blas_refuses_inputs_that_the_accumulator_does_not_hold():
    acc, x = fp.Accumulator("float32", order="blas"), np.ones((3, 3))
    for call in (lambda: acc.sum(x), lambda: acc.dot(x[0], x[0]), lambda: acc.matmul(x, np.float32(x))):
        with pytest.raises(FpsimError, match=SENTENCE):
            call()


@pytest.mark.parametrize("x", ["text", [1j], [None], [[1.0], [1.0, 2.0]]], ids=repr)
def test_what_is_not_numbers_is_refused(x):
    with pytest.raises(FpsimError, match=SENTENCE):
        fp.Accumulator("float16").sum(x)
