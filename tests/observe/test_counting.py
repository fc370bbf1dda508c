"""Counting one rounding: every number against a count element by element, in rational arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fpsim as fp
from fpsim.autograd.context import Observer
from fpsim.autograd.exactness import ExactFormula
from fpsim.observe import counting
from fpsim.observe.counting import (
    BLOCK,
    Counts,
    Exponents,
    count,
    count_update,
    exponents_of,
    sweep_in_numpy,
    sweep_update_in_numpy,
)
from fpsim.rounding.flags import FLAGS, raised
from tests.oracles import rational

FORMATS = ["float16", "bfloat16", "tfloat32", "float32", "float64", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz",
           "float6_e3m2fn", "e6m9"]  # fmt: skip
NUMBERS = st.one_of(
    st.floats(width=64, allow_nan=False),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.floats(-8, 8),
    st.sampled_from([0.0, -0.0, 2.0**-14, 2.0**-24, 2.0**-25, 2.0**-126, 2.0**-149, 65504.0, 65520.0, 448.0, 464.0]),
)


def by_hand(before, after, fmt):
    """The counts that need no flags, one element at a time."""
    found = Counts(len(before))
    exponents = {}
    for x, y in zip(map(float, before), map(float, after), strict=True):
        found.nonzero += x != 0
        found.to_zero += x != 0 and y == 0
        found.subnormal += 0 < abs(y) < fmt.smallest_normal
        found.infinite += np.isinf(y)
        same = (np.isinf(x) and x == y) or (np.isfinite(x) and np.isfinite(y) and Fraction(x) == Fraction(y))
        found.inexact += not same and not (np.isnan(y) and np.isinf(x))
        found.nan += np.isnan(y) and np.isinf(x)
        if x and np.isfinite(x):
            exponents[int(np.frexp(x)[1]) - 1] = exponents.get(int(np.frexp(x)[1]) - 1, 0) + 1
    return found, dict(sorted(exponents.items()))


@given(
    st.lists(NUMBERS, min_size=1, max_size=40), st.sampled_from(FORMATS), st.sampled_from(rational.MODES), st.booleans()
)
def test_counts_equal_a_count_by_hand(values, name, mode, narrow):
    fmt = fp.Format(name)
    with np.errstate(over="ignore"):
        x = np.array(values, np.float32 if narrow else np.float64)
    if not fmt.has_nan:
        x = x[np.isfinite(x)]
    y = np.asarray(fp.round(x, fmt, mode=mode)).astype(fmt.carrier)
    counts = count(x, y, fmt, (x,), mode=mode, pointwise=True)
    expected, exponents = by_hand(x, y, fmt)
    for what in ("elements", "nonzero", "to_zero", "subnormal", "infinite", "inexact", "nan"):
        assert getattr(counts, what) == getattr(expected, what), what
    assert dict(counts.exponents.items()) == exponents
    assert counts.exact + counts.inexact + counts.nan == counts.elements


@pytest.mark.parametrize("carrier", [np.float32, np.float64])
@pytest.mark.parametrize("mode", rational.MODES)
@pytest.mark.parametrize("name", FORMATS)
def test_flags_around_the_bounds_are_those_of_the_elements(name, mode, carrier):
    fmt = fp.Format(name)
    steps = np.arange(-64, 65) * 2.0 ** -(fmt.p + 3)
    with np.errstate(over="ignore"):
        around = np.concatenate([bound * (1 + steps) for bound in (fmt.smallest_normal, fmt.max)])
        x = np.concatenate([around, -around]).astype(carrier)
    y = np.asarray(fp.round(x, fmt, mode=mode)).astype(fmt.carrier)
    flags = raised(x, y, fmt, mode, (x,))
    expected = {flag: np.count_nonzero(flags & bit) for flag, bit in FLAGS.items()}
    assert count(x, y, fmt, (x,), mode=mode, pointwise=True).flags == expected


def make(size, dtype, seed=0):
    """Numbers over many binades, a third of them zero."""
    rng = np.random.default_rng(seed)
    x = np.ldexp(rng.normal(size=size), rng.integers(-30, 18, size))
    x[rng.random(size) < 0.3] = 0
    return x.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + BLOCK // 2 + 3])
def test_blocks_leave_no_seam(dtype, size):
    x = make(size, dtype)
    y = fp.round(x, "float16").astype(np.float32)
    whole, parts = count(x, y, fp.float16), Counts()
    for i in range(0, size, 1000):
        parts += count(x[i : i + 1000], y[i : i + 1000], fp.float16)
    assert whole == parts
    exponent = np.frexp(x[x != 0])[1] - 1
    values, numbers = np.unique(exponent, return_counts=True)
    assert dict(whole.exponents.items()) == dict(zip(values.tolist(), numbers.tolist(), strict=True))


@pytest.mark.parametrize("layout", [np.asfortranarray, lambda a: a[::-1], lambda a: a[:, ::2], lambda a: a.T])
def test_memory_layout_plays_no_part(layout):
    x = layout(make(6000, np.float32).reshape(60, 100))
    y = fp.round(x, "float16").astype(np.float32)
    flat = count(x.reshape(-1).copy(), y.reshape(-1).copy(), fp.float16)
    assert count(x, y, fp.float16) == flat
    assert count(x, np.ascontiguousarray(y), fp.float16) == flat


def test_nothing_is_written_to():
    for dtype in (np.float32, np.float64):
        for size in (1, 2, 5000):
            x = make(size, dtype)
            y = fp.round(x, "float16").astype(np.float32)
            kept = x.copy(), y.copy()
            x.flags.writeable = y.flags.writeable = False
            count(x, y, fp.float16, (x,), pointwise=True)
            count_update(y, x.astype(np.float64), y, fp.float16)
            exponents_of(x)
            np.testing.assert_array_equal((x, y), kept)


def test_an_array_stored_as_it_was_is_exact_but_for_its_nans():
    x = np.array([1.0, 0.0, np.inf, np.nan, 1e-40], np.float32)
    counts = count(x, x, fp.float32, (x,), pointwise=True)
    assert (counts.exact, counts.inexact, counts.nan, counts.infinite, counts.subnormal) == (5, 0, 0, 1, 1)
    assert counts.flags == dict.fromkeys(counts.flags, 0)


def test_exact_values_decide_where_the_work_type_hides_a_difference():
    one = np.array([1.0], np.float32)
    little = np.array([2.0**-60], np.float32)
    total = one.astype(np.float64) + little  # exactly 1 in float64
    hidden = count(total, one, fp.float16, (one, little), pointwise=True)
    seen = count(
        total, one, fp.float16, (one, little), pointwise=True,
        exact=ExactFormula(np.add, (one, little), {}, (1,)),
    )  # fmt: skip
    assert (hidden.inexact, seen.inexact) == (0, 1)


OPERATIONS = [fp.add, fp.subtract, fp.multiply, fp.divide, lambda x, y: fp.sqrt(x) * y, lambda x, y: fp.maximum(x, y),
              lambda x, y: x.mean() + y, lambda x, y: fp.sigmoid(x) - fp.tanh(y)]  # fmt: skip
ANY = st.one_of(NUMBERS, st.sampled_from([1.0, 2.0**-60, 2.0**60, 1e-310, 2.0**-540, 1e300, -1.0, 3.0, 2.0**-130]))


class Events(Observer):
    def __init__(self):
        self.seen = []

    def rounded(self, event):
        self.seen.append(event)


@given(
    st.lists(st.tuples(ANY, ANY), min_size=1, max_size=12),
    st.sampled_from(["float16", "bfloat16", "tfloat32", "float32", "float64", "float8_e4m3fn", "e6m9"]),
    st.sampled_from(rational.MODES),
    st.sampled_from(OPERATIONS),
)
@pytest.mark.filterwarnings("ignore::fpsim.errors.ScalarRoundingWarning")
def test_operations_and_gradients_raise_the_flags_of_their_exact_values(pairs, name, mode, operation):
    precision, events = fp.Precision(name, rounding=mode), Events()
    x, y = (fp.tensor(v, precision=precision, requires_grad=True) for v in zip(*pairs, strict=True))
    with fp.autograd.using(observers=(events,)):
        out = operation(x, y)
        out.backward(fp.tensor(np.full(out.shape, 3.0), precision=out.precision))
    for event in events.seen:
        if event.exact is None or not event.pointwise:
            continue
        with np.errstate(all="ignore"):
            value = event.exact.wide(np.ones(event.before.shape, bool))
        operands = [np.broadcast_to(v, event.before.shape).reshape(-1) for v in event.operands]
        flags = raised(value, event.after.reshape(-1), event.fmt, event.mode, operands)
        counts = count(event.before, event.after, event.fmt, event.operands, mode=event.mode, pointwise=True,
                       exact=event.exact)  # fmt: skip
        assert counts.flags == {flag: np.count_nonzero(flags & bit) for flag, bit in FLAGS.items()}, event.op
        assert counts.exact + counts.inexact + counts.nan == counts.elements


@pytest.mark.parametrize("fmt", ["float16", "float64"])
@pytest.mark.parametrize(("x", "y"), [((), ()), ((), (3, 2)), ((2,), (3, 1)), ((3, 2), (3, 2)), ((0,), (1,))])
def test_operands_of_any_shape_are_judged(x, y, fmt):
    x, y = fp.full(x, 1.0, dtype=fmt), fp.full(y, 2.0**-60, dtype="float64" if fmt == "float64" else "bfloat16").to(fmt)
    with fp.observe() as report:
        out = x + y
    assert report.total(op="add").inexact == (out.size if fmt == "float64" else 0)


def test_a_product_that_vanishes_in_float64_was_not_zero():
    with fp.observe() as report:
        fp.tensor([1e-200, 0.0], dtype="float64") * fp.tensor([1e-200, 1.0], dtype="float64")
    counts = report.total(op="multiply")
    assert (counts.nonzero, counts.to_zero, counts.underflow, counts.inexact) == (1, 1, 1, 1)


def test_a_function_has_poles_and_an_end():
    x = fp.tensor([0.0, 800.0, -1.0, 2.0], dtype="float64")
    with fp.observe() as report:
        fp.exp(x)
        fp.log(x)
    assert report.total(op="exp").overflow == report.total(op="exp").inexact == 1  # beyond that float64 is the value
    assert report.total(op="exp").divide_by_zero == report.total(op="exp").invalid == 0
    assert report.total(op="log").divide_by_zero == 1
    assert report.total(op="log").invalid == report.total(op="log").nan == 1


def test_a_sum_over_a_nan_makes_no_new_one_but_one_over_opposite_infinities_does():
    for values, new in (([np.nan, 1.0], 0), ([np.inf, -np.inf], 1)):
        x = fp.tensor(values, dtype="float16")
        with fp.observe() as report:
            x.sum()
        assert report.total(op="sum").nan == report.total(op="sum").invalid == new


@given(st.lists(st.tuples(st.floats(-4, 4), st.floats(-1, 1)), min_size=1, max_size=30))
def test_updates_count_what_was_wanted_and_what_was_lost(pairs):
    p, step = (np.array(part) for part in zip(*pairs, strict=True))
    p = fp.round(p, "float16").astype(np.float32)
    after = fp.round(p + step, "float16").astype(np.float32)
    counts, wanted, lost = count_update(p, step, after, fp.float16)
    assert wanted == np.sum(step != 0)
    assert lost == np.sum((step != 0) & (after == p))
    plain = count(p + step, after, fp.float16)
    assert counts.numbers() == plain.numbers()
    assert counts.exponents == exponents_of(step)


def test_an_update_that_overflows_is_counted():
    p, step = np.array([65504.0, 1.0], np.float32), np.array([100.0, 0.0])
    counts, wanted, lost = count_update(p, step, np.array([np.inf, 1.0], np.float32), fp.float16)
    assert (counts.overflow, counts.infinite, wanted, lost) == (1, 1, 1, 0)


def test_histograms_add():
    total = Exponents()
    for x in ([1.0], [2.0**-40, 1.5], [], [0.0], [2.0**30]):
        total += exponents_of(np.array(x))
    assert dict(total.items()) == {-40: 1, 0: 2, 30: 1}
    assert (total.lowest, total.highest, total.total) == (-40, 30, 4)
    assert not Exponents()


def test_histograms_reach_to_the_smallest_numbers():
    x = np.array([5e-324, 1e-310, 2.2250738585072014e-308, 1.7e308, np.inf, np.nan, 0.0])
    assert dict(exponents_of(x).items()) == {-1074: 1, -1030: 1, -1022: 1, 1023: 1}
    assert dict(exponents_of(np.array([1e-45, 1e-38], np.float32)).items()) == {-149: 1, -127: 1}


# Compiled -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float8_e5m2"])
@pytest.mark.parametrize("size", [1, 5, 2048, 10_001])
def test_compiled_passes_find_the_same_numbers(dtype, name, size):
    pytest.importorskip("numba")
    from fpsim.kernels import compiled

    fmt = fp.Format(name)
    x = make(size, dtype, seed=size)
    x[:: max(size // 7, 1)] = [np.inf, 1e-40, -0.0, 3e38, np.nan][size % 5]
    y = np.asarray(fp.round(x, fmt)).astype(fmt.carrier)
    bits, stored = (x.view(np.uint32), 23) if dtype == np.float32 else (x.view(np.uint64), 52)
    for known in (None, fmt):
        fields = np.zeros((4, 256 if dtype == np.float32 else 2048), np.int64)
        least = y.dtype.type(fmt.smallest_normal)
        edge = dtype(fmt.smallest_normal * (1 - 2.0 ** -(fmt.p + 1)))
        found = compiled.sweep(x, y, bits, stored, fields, known is not None, edge, least)
        expected = sweep_in_numpy(x, y, known)
        assert found == (
            expected.differing, expected.nonzero, expected.to_zero, expected.subnormal, expected.underflow,
        )  # fmt: skip
        np.testing.assert_array_equal(fields.sum(axis=0), expected.by_field)


@pytest.mark.parametrize("size", [1, 2049, 10_001])
def test_compiled_passes_over_updates_find_the_same_numbers(size):
    pytest.importorskip("numba")
    from fpsim.kernels import compiled

    fmt = fp.float16
    p = np.asarray(fp.round(make(size, np.float64), fmt)).astype(np.float32)
    step = make(size, np.float64, seed=1) * 2.0**-10
    after = np.asarray(fp.round(p + step, fmt)).astype(np.float32)
    fields = np.zeros((4, 2048), np.int64)
    edge = fmt.smallest_normal * (1 - 2.0 ** -(fmt.p + 1))
    least = np.float32(fmt.smallest_normal)
    *found, largest = compiled.sweep_update(p, step, after, step.view(np.uint64), 52, fields, edge, least)
    expected, wanted, lost, most = sweep_update_in_numpy(p, step, after, fmt)
    assert found == [
        expected.differing, expected.nonzero, expected.to_zero, expected.subnormal, expected.underflow, wanted, lost,
    ]  # fmt: skip
    assert largest == most
    np.testing.assert_array_equal(fields.sum(axis=0), expected.by_field)


SIGNALING = np.array([0x7F800001, 0xFFA00000], np.uint32).view(np.float32)


@pytest.mark.parametrize("pointwise", [True, False])
@pytest.mark.parametrize("mode", ["nearest_even", "toward_zero"])
def test_nans_counted_together_count_as_each_would_by_itself(monkeypatch, mode, pointwise):
    """The rule for single elements stays the judge: signaling NaNs, new ones, those that came in, infinities beside."""
    rng = np.random.default_rng(3)
    pool = np.concatenate([np.float32([np.nan, -np.nan, np.inf, -np.inf, 0.0, 1.0, 1e-9, 7e4, 3e38]), SIGNALING])
    seen = set()
    for trial in range(60):
        usable = pool if trial % 3 == 0 else pool[:9]
        x = rng.choice(usable, (6, 4)) if trial % 4 else np.full((6, 4), np.nan, np.float32)
        y = rng.choice(usable[2:] if trial % 2 else usable, (1, 4))
        if trial % 5 == 0:  # only new ones
            x, y = rng.choice(pool[2:6], x.shape), rng.choice(pool[2:6], y.shape)
        with np.errstate(all="ignore"):
            before = x * y
        after = fp.round(before, "float16", mode=mode)
        found = []
        for _ in range(2):
            found.append(count(before, after, fp.float16, (x, y), mode=mode, pointwise=pointwise).numbers())
            monkeypatch.setattr(counting, "_known_nan", lambda *given: np.zeros(given[1].shape, bool))
        monkeypatch.undo()
        assert found[0] == found[1], (x, y)
        seen.add((found[0]["nan"] > 0, found[0]["invalid"] > found[0]["nan"]))
    assert len(seen) > 1
