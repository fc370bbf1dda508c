"""Counters: each count means what the documentation says, and looking changes nothing."""

import contextvars
import json
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fpsim as fp
import fpsim.nn.functional as F
from fpsim.errors import ObserverError, ObserverWarning
from fpsim.observe import counters


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
        (2.0**-25, "float16", {"nonzero": 1, "inexact": 1, "to_zero": 1, "underflow": 1}),
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
    found = {k: v for k, v in vars(counts).items() if v and k not in ("elements", "exponents")}
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


def trained(recipe, seed=0, steps=3, scaler=None):
    """A small network after some steps, in a recipe: losses and weights."""
    with fp.seed(seed):
        net = fp.nn.Sequential(fp.nn.Conv2d(1, 3, 3), fp.nn.ReLU(), fp.nn.Flatten(), fp.nn.Linear(12, 4), fp.nn.GELU())
        optimizer = fp.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        fp.amp.apply(net, recipe, optimizer)
        rng = np.random.default_rng(seed)
        losses = []
        for _ in range(steps):
            x, y = rng.normal(size=(5, 1, 4, 4)), rng.integers(0, 4, 5)
            loss = F.cross_entropy(net(fp.tensor(x)), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        return losses, [p.numpy() for p in net.parameters()]


def assert_same_run(one, other):
    assert one[0] == other[0]
    for a, b in zip(one[1], other[1], strict=True):
        np.testing.assert_array_equal(a, b)


RECIPES = ["float64", "float32", "float16", "float16/float32", "mixed_float16", "bfloat16", "float16_stochastic",
           "float8_e5m2/float16"]  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(RECIPES), st.integers(0, 1000), st.sampled_from(["*", "3", "x*"]), st.integers(1, 3), st.booleans()
)
def test_looking_changes_no_bit(recipe, seed, modules, every, accumulators):
    plain = trained(recipe, seed, 2)
    with fp.observe(modules, every, accumulators=accumulators):
        assert_same_run(trained(recipe, seed, 2), plain)


def test_an_observer_that_fails_changes_no_bit_and_says_so(monkeypatch):
    def fail(*args, **options):
        raise MemoryError("no room to count")

    plain = trained("mixed_float16")
    monkeypatch.setattr(counters, "count", fail)
    with pytest.warns(ObserverWarning, match="no room to count"), fp.observe() as report:
        observed = trained("mixed_float16")
    assert_same_run(observed, plain)
    assert "incomplete: counting failed (MemoryError: no room to count)" in report.table()


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


# Steps, roles, selection ----------------------------------------------------------------------------------------------


def test_a_step_ends_where_a_forward_pass_follows_a_backward_pass():
    with fp.observe() as report:
        trained("mixed_float16", steps=4)
    assert report.steps == [0, 1, 2, 3]
    per_step = report.by("step", role="activation", phase="forward")
    assert len({c.elements for c in per_step.values()}) == 1
    assert report.total(step=2).elements == sum(c.elements for (s,), c in report.by("step").items() if s == 2)


def test_every_third_step_is_counted_from_the_first_on():
    with fp.observe(every=3) as report:
        trained("float16", steps=7)
    assert report.steps == [0, 3, 6]


def test_what_is_counted_is_the_same_whatever_else_is_not():
    with fp.observe() as everything, fp.observe(modules="3") as one, fp.observe(modules=["0", "3"], every=2) as some:
        trained("float16", steps=3)
    assert one.total() == everything.total(module="3")
    assert some.total(module="0", step=2) == everything.total(module="0", step=2)
    assert some.steps == [0, 2]


def test_weights_and_their_copies_have_the_role_weight():
    with fp.observe() as report:
        trained("mixed_float16", steps=1)  # float32 weights, copied to float16 in every forward pass
    weights = report.by("phase", "op", "format", role="weight")
    assert weights["forward", "cast", "float16"].inexact > 0
    assert report.total(role="weight_gradient", format="float16").elements > 0
    with fp.observe() as report:
        trained("float16_masters", steps=1)  # float16 weights, copied from float32 masters after the step
    copied = report.total(role="weight", phase="update", format="float16")
    assert copied.inexact > 0
    assert report.total(role="update", format="float32").elements == copied.elements


def test_updates_are_counted_with_the_exponents_of_the_changes():
    w = fp.nn.Parameter(fp.tensor([1.0, 1.0, 0.0], dtype="float16"), "float16")
    optimizer = fp.optim.SGD([w], lr=1.0)
    w.grad = fp.tensor([2.0**-13, 0.5, 0.0], dtype="float16")
    with fp.observe() as report:
        optimizer.step()
    counts = report.total(role="update")
    assert (counts.elements, counts.nonzero, counts.inexact) == (3, 2, 1)
    assert dict(counts.exponents.items()) == {-13: 1, -1: 1}
    assert report.lost_updates == 0.5


def test_data_that_become_a_tensor_are_inputs():
    with fp.observe() as report:
        fp.tensor([0.1, 70000.0, 1e-9], dtype="float16")
    counts = report.total(role="input")
    assert (counts.overflow, counts.to_zero, counts.inexact) == (1, 1, 3)
    assert report.flags == {"inexact": 3, "underflow": 1, "overflow": 1, "divide_by_zero": 0, "invalid": 0}


def test_two_contributions_to_one_gradient_are_an_addition():
    x = fp.tensor([60000.0], dtype="float16", requires_grad=True)
    y = x * 1.0
    with fp.observe() as report:
        (y * 60000.0 + y * 60000.0).sum().backward(fp.tensor(1.0, dtype="float16"))
    assert report.total(op="add", phase="backward", role="gradient").overflow == 1


# Inside accumulators --------------------------------------------------------------------------------------------------


def test_absorbed_additions_and_overflows_are_counted_on_request():
    ones, large = fp.ones(1, 3000, dtype="float16"), fp.full((2, 1), 300.0, dtype="float16")
    with fp.observe() as plain, fp.observe(accumulators=True) as report:
        ones.sum()
        fp.matmul(large, fp.full((1, 2), 300.0, dtype="float16"))
    assert plain.total().additions == plain.total().acc_overflow == 0
    total = report.total(op="sum")
    assert (total.additions, total.absorbed, total.acc_overflow) == (3000, 952, 0)
    assert report.total(op="matmul").acc_overflow == 4
    assert "absorbed" in report.table()


def test_an_accumulator_belongs_to_its_operation_pass_and_module():
    net = fp.nn.Sequential(fp.nn.Linear(2100, 1, bias=False), fp.nn.Linear(1, 1, bias=False))
    net[0].weight.data, net[1].weight.data = np.ones((1, 2100)), np.ones((1, 1))
    fp.amp.apply(net, "float16")
    with fp.observe(modules="0", accumulators=True) as report:
        net(fp.ones(1, 2100, dtype="float16")).sum().backward()
    assert report.total(module="0", phase="forward").absorbed == 2100 - 2048
    assert report.total(phase="backward").absorbed == 0


# The report -----------------------------------------------------------------------------------------------------------


def test_rows_group_as_asked():
    with fp.observe() as report:
        trained("float16", steps=2)
    assert [row["role"] for row in report.rows("role")] == [
        "weight",
        "input",
        "activation",
        "gradient",
        "weight_gradient",
        "update",
    ]
    assert sum(row["elements"] for row in report.rows("module", "step")) == report.total().elements
    lines = report.table("step", role="update").splitlines()
    assert lines[0].split() == ["step", "elements", "overflow", "to", "zero", "subnormal", "inexact", "exponents"]
    assert len(lines) == 4


def test_json_is_strict_and_holds_the_histograms():
    with fp.observe() as report:
        fp.tensor([1.0, np.nan, np.inf], dtype="float32") * fp.tensor([3.0, 1.0, 0.0], dtype="float32")
    content = json.loads(report.to_json(), parse_constant=pytest.fail)
    (row,) = [row for row in content["counts"] if row["op"] == "multiply"]
    assert row["exponents"] == {"1": 1}
    assert content["flags"]["invalid"] == 1
    assert content["steps"][0]["step"] == 0


def test_a_report_can_be_read_while_it_is_open():
    with fp.observe() as report:
        fp.tensor([0.1], dtype="float16")
        assert "input" in report.table()


# Misuse ---------------------------------------------------------------------------------------------------------------


def test_an_observer_left_open_warns_and_can_be_closed_in_any_order():
    first, second = fp.observe(), fp.observe()
    a = first.__enter__()
    b = second.__enter__()
    first.__exit__(None, None, None)
    fp.tensor(0.1)
    second.__exit__(None, None, None)
    fp.tensor(0.1)
    assert (a.total().elements, b.total().elements) == (0, 1)
    assert fp.autograd.current().observers == ()


def test_an_observer_used_in_another_thread_says_so():
    caught = []

    def elsewhere(context):
        try:
            context.run(fp.tensor, [0.1])
        except ObserverError as error:
            caught.append(str(error))

    with fp.observe() as report:
        thread = threading.Thread(target=elsewhere, args=(contextvars.copy_context(),))
        thread.start()
        thread.join()
    assert caught == [
        "Report: expected the thread it was opened in, got another one; open one in each thread, inside it."
    ]
    assert report.total().elements == 0


def test_a_thread_of_its_own_context_is_not_observed_and_not_disturbed():
    results = []
    with fp.observe() as report:
        thread = threading.Thread(target=lambda: results.append(fp.tensor([0.1], dtype="float16").item()))
        thread.start()
        thread.join()
    assert results == [float(np.float16(0.1))]
    assert report.total().elements == 0


def test_a_pattern_without_a_match_does_not_disturb_the_run_and_is_refused_by_the_report():
    with fp.observe(modules="conv*") as report:
        losses, _ = trained("float16")
    assert len(losses) == 3
    for ask in (report.table, report.to_dict, report.rows, report._repr_html_):
        with pytest.raises(ObserverError, match="there were 0, 3, 4"):
            ask()
