"""The compiled kernels give the NumPy loops' bits: over formats, orders, modes, shapes, layouts, special values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fpsim as fp
import fpsim.nn.functional as F
from fpsim.kernels import ways
from tests.oracles.bits import assert_same
from tests.oracles.kernels import kernels

pytest.importorskip("numba")

FORMATS = (
    "float16", "bfloat16", "tfloat32", "float32", "float64", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz",
    "float6_e3m2fn", "float4_e2m1fn", "e5m6", "e8m16", "e11m40",
)  # fmt: skip
ORDERS = ("sequential", "pairwise", "blocked:3", "blocked:64")


def values(fmt, shape, spread, rng):
    """Numbers of the format around its middle, its top or its bottom; or of float32, whatever the format."""
    source = fp.float32 if spread == "wider" and not fmt.holds(fp.float32) else fmt
    scale = {"large": fmt.max**0.5, "tiny": fmt.smallest_normal**0.5}.get(spread, 1.0)
    x = rng.normal(size=shape) * np.exp2(rng.integers(-4, 5, shape)) * scale
    x = fp.round(np.clip(x, -1e300, 1e300), source, saturate=True).astype(source.carrier)
    if spread == "special" and x.size:
        special = [0.0, -0.0] + ([np.inf, -np.inf, np.nan] if fmt.has_inf else [])
        x.flat[rng.integers(x.size, size=1 + x.size // 5)] = rng.choice(special)
    return x


@st.composite
def sums(draw):
    """An accumulator, and what it shall sum."""
    fmt = fp.Format(draw(st.sampled_from(FORMATS)))
    order = draw(st.sampled_from(ORDERS))
    fma = order != "pairwise" and draw(st.booleans())
    options = {
        "fma": fma,
        "rounding": draw(st.sampled_from(["nearest_even", "stochastic"])),
        "saturate": draw(st.booleans()),
    }
    shape = draw(
        st.one_of(
            st.sampled_from(
                [(0, 3, 2), (2, 0, 3), (2, 3, 0), (1, 1, 1), (1, 700, 1), (3, 300, 5), (1, 9, 40), (5, 7, 530)]
            ),
            st.tuples(st.integers(1, 9), st.integers(1, 70), st.integers(1, 40)),
        )
    )
    spread = draw(st.sampled_from(["middle", "large", "tiny", "wider", "special"]))
    layouts = draw(st.tuples(*2 * [st.sampled_from(["C", "F", "every other", "backwards"])]))
    return fmt, order, options, shape, spread, layouts, draw(st.integers(0, 2**32 - 1))


def laid_out(x, layout):
    """The same numbers, otherwise in memory."""
    if layout == "every other":
        wide = np.zeros((x.shape[0], 2 * x.shape[1]), x.dtype)
        wide[:, ::2] = x
        return wide[:, ::2]
    return x[::-1].copy()[::-1] if layout == "backwards" else np.asarray(x, order=layout)


@settings(max_examples=150, deadline=None)
@given(sums())
def test_products_and_sums_have_the_same_bits(case):
    fmt, order, options, (rows, length, columns), spread, layouts, seed = case
    rng = np.random.default_rng(seed)
    x = laid_out(values(fmt, (rows, length), spread, rng), layouts[0])
    y = laid_out(values(fmt, (length, columns), spread, rng), layouts[1])

    def results():
        acc = fp.Accumulator(fmt, order, rng=np.random.default_rng(1), **options)
        return [acc.matmul(x, y), acc.sum(y, axis=0), acc.sum(x, axis=1), acc.sum(x)]

    with kernels("numpy"):
        expected = results()
    for threads in (1, 2):
        with kernels("compiled", threads):
            for ours, theirs in zip(results(), expected, strict=True):
                assert_same(ours, theirs)


@st.composite
def convolutions(draw):
    """A precision, and the sizes of a convolution."""
    order = draw(st.sampled_from(ORDERS))
    precision = fp.Precision(
        draw(st.sampled_from(FORMATS)),
        order=order,
        fma=order != "pairwise" and draw(st.booleans()),
        acc_rounding=draw(st.sampled_from(["nearest_even", "stochastic"])),
    )
    groups, pairs = draw(st.sampled_from([1, 2])), st.tuples(*2 * [st.integers(1, 2)])
    kernel = draw(st.tuples(*2 * [st.integers(1, 3)]))
    options = {"stride": draw(pairs), "padding": draw(st.integers(0, 2)), "dilation": draw(pairs), "groups": groups}
    image = draw(st.tuples(st.integers(1, 3), st.just(4), st.integers(5, 8), st.integers(5, 8)))
    return precision, image, (2 * groups, 4 // groups, *kernel), options, draw(st.integers(0, 2**32 - 1))


@settings(max_examples=60, deadline=None)
@given(convolutions())
def test_convolutions_and_their_gradients_have_the_same_bits(case):
    precision, image, weight, options, seed = case

    def results():
        rng = np.random.default_rng(seed)
        with fp.seed(7):
            x, w, b = (
                fp.tensor(rng.normal(size=s), precision=precision, requires_grad=True)
                for s in (image, weight, weight[:1])
            )
            out = F.conv2d(x, w, b, **options)
            out.backward(fp.tensor(rng.normal(size=out.shape), precision=precision))
        return [np.asarray(t._data) for t in (out, x.grad, w.grad, b.grad)]

    with kernels("numpy"):
        expected = results()
    for threads in (1, 2):
        with kernels("compiled", threads):
            for ours, theirs in zip(results(), expected, strict=True):
                assert_same(ours, theirs)


def test_a_weight_that_is_not_finite_keeps_to_the_taps_that_exist():
    def gradient():
        x = fp.tensor(np.ones((1, 1, 3, 3)), dtype="float16", requires_grad=True)
        F.conv2d(x, fp.tensor([[[[np.inf, 1.0]]]], dtype="float16")).sum().backward()
        return x.grad.numpy()

    for which in ("numpy", "compiled"):
        with kernels(which):
            assert np.isinf(gradient()[..., 0]).all()
            assert (gradient()[..., 2] == 1).all()


def test_a_batch_of_products_draws_one_key():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(3, 1, 5, 20)).astype(np.float32), rng.normal(size=(2, 20, 7)).astype(np.float32)
    results = []
    for which in ("numpy", "compiled"):
        with kernels(which):
            acc = fp.Accumulator("float16", rounding="stochastic", rng=np.random.default_rng(3))
            results.append(acc.matmul(x, y))
    assert_same(*results)


def test_a_cpu_without_half_conversion_gets_the_same_bits(monkeypatch):
    rng = np.random.default_rng(0)
    x, y = (values(fp.float16, s, "large", rng) for s in ((9, 40), (40, 33)))
    results = []
    for has_half in (True, False):
        monkeypatch.setattr(ways, "has_half", lambda has_half=has_half: has_half)
        with kernels("compiled"):
            for order in ORDERS:
                results.append(fp.Accumulator("float16", order).matmul(x, y))
    for ours, theirs in zip(results[:4], results[4:], strict=True):
        assert_same(ours, theirs)
