"""Counters: each count means what the documentation says, and looking changes nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fpsim as fp


def counted(values, fmt):
    """Counts of casting float64 values to a format."""
    x = fp.tensor(values, dtype="float64")
    with fp.observe() as report:
        y = x.to(fmt)
    return report.total(op="cast"), y


@pytest.mark.parametrize(
    ("value", "fmt", "expected"),
    [
        (1.0, "float16", {"nonzero": 1}),
        (0.0, "float16", {}),
        (0.1, "float16", {"nonzero": 1, "inexact": 1}),
        (65519.0, "float16", {"nonzero": 1, "inexact": 1}),
        (65520.0, "float16", {"nonzero": 1, "inexact": 1, "overflow": 1, "infinite": 1}),
        (-70000.0, "float16", {"nonzero": 1, "inexact": 1, "overflow": 1, "infinite": 1}),
        (2.0**-25, "float16", {"nonzero": 1, "inexact": 1, "to_zero": 1}),
        (2.0**-24, "float16", {"nonzero": 1, "subnormal": 1}),
        (464.0, "float8_e4m3fn", {"nonzero": 1, "inexact": 1}),
        (465.0, "float8_e4m3fn", {"nonzero": 1, "inexact": 1, "overflow": 1}),
        (100.0, "float4_e2m1fn", {"nonzero": 1, "inexact": 1, "overflow": 1}),
        (np.inf, "float16", {"nonzero": 1, "infinite": 1}),
        (np.nan, "float16", {"nonzero": 1}),
    ],
)
def test_a_value_is_counted_by_its_fate(value, fmt, expected):
    counts, _ = counted([value], fmt)
    found = {k: v for k, v in vars(counts).items() if v and k != "elements"}
    assert found == expected


@given(
    st.lists(st.floats(width=64, allow_nan=False), min_size=1, max_size=30),
    st.sampled_from(["float16", "bfloat16", "float8_e5m2"]),
)
def test_counts_equal_a_count_by_hand(values, fmt):
    counts, y = counted(values, fmt)
    x, y, f = np.array(values), y._data.astype(np.float64), fp.Format(fmt)
    finite = np.isfinite(x)
    assert counts.elements == counts.exact + counts.inexact + counts.nan == len(values)
    assert counts.to_zero == np.sum((x != 0) & (y == 0))
    assert counts.subnormal == np.sum((y != 0) & (np.abs(y) < f.smallest_normal))
    assert counts.overflow == np.sum(finite & np.isinf(y))


def test_nan_counts_only_where_it_arises():
    x = fp.tensor([np.inf, np.nan, 1.0], dtype="float16")
    with fp.observe() as report:
        x - x
    assert report.total(op="subtract").nan == 1


@pytest.mark.parametrize("recipe", ["float32", "float16", "mixed_float16"])
def test_looking_changes_no_bit(recipe):
    def losses():
        with fp.seed(0):
            net = fp.nn.Linear(6, 3)
        optimizer = fp.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        fp.amp.apply(net, recipe, optimizer)
        x, y = np.random.default_rng(0).normal(size=(8, 6)), np.arange(8) % 3
        for _ in range(3):
            loss = fp.nn.functional.cross_entropy(net(fp.tensor(x)), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        return [p.numpy() for p in net.parameters()]

    plain = losses()
    with fp.observe():
        for a, b in zip(plain, losses(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_modules_roles_and_phases_are_told_apart():
    net = fp.nn.Sequential(fp.nn.Linear(4, 3), fp.nn.Tanh(), fp.nn.Linear(3, 2))
    with fp.observe() as report:
        net(fp.ones(2, 4)).sum().backward()
    assert report.total(module="0", role="activation").elements == 6
    assert report.total(module="0", role="weight_gradient").elements == 4 * 3 + 3
    assert report.total(module="2", phase="backward", role="gradient").elements == 6
    assert "weight_gradient" in report.table()
    assert {row["module"] for row in report.to_dict()["counts"]} >= {"0", "1", "2"}


def test_a_pattern_and_a_stride_select():
    net = fp.nn.Sequential(fp.nn.Linear(4, 3), fp.nn.Linear(3, 2))
    with fp.observe(modules="1", every=2) as report:
        for _ in range(4):
            net(fp.ones(2, 4))
            report.step()
    assert report.total().elements == 2 * 4
    assert report.total(module="0").elements == 0


def test_reports_nest():
    x = fp.tensor([0.1], dtype="float64")
    with fp.observe() as outer:
        x.to("float16")
        with fp.observe() as inner:
            x.to("float16")
    assert (outer.total().elements, inner.total().elements) == (2, 1)


def test_an_empty_report_says_so():
    with fp.observe() as report:
        pass
    assert "nothing was rounded" in repr(report)
