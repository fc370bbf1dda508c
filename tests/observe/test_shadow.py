"""The float64 twin: errors split exactly into made and inherited, through gradients and updates."""

import gc
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import fpsim as fp
import fpsim.nn as nn
import fpsim.nn.functional as F
from fpsim.errors import ArgumentError, ArgumentTypeError, ObserverError
from fpsim.observe.shadow import NAMES

LABELS = np.array([0, 2, 1, 0, 2, 1])


def float64s(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(5, 8), nn.Tanh())
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(F.relu(self.norm(self.body(x))))


def net(recipe=None):
    with fp.seed(1):
        made = Net()
    return made if recipe is None else fp.amp.apply(made, recipe)


def a_step(model, optimizer, x, precision):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(fp.tensor(x, precision=precision)), LABELS)
    loss.backward()
    optimizer.step()
    return loss


# The chain of three operations ---------------------------------------------------------------------------------------

CHAINS = {
    "multiply, exp, log": (lambda x: x * 1.1, lambda a: fp.exp(a), lambda b: fp.log(b)),
    "exp, multiply, sum": (lambda x: fp.exp(x), lambda a: a * 0.3, lambda b: b.sum(dim=0)),
    "matmul, divide, softmax": (lambda x: x @ x.T, lambda a: a / 7, lambda b: F.softmax(b, dim=1)),
    "sqrt, add, power": (lambda x: fp.sqrt(fp.abs(x)), lambda a: a + 0.1, lambda b: b**3),
    "divide, tanh, mean": (lambda x: 1 / x, lambda a: fp.tanh(a), lambda b: b.mean()),
}


@pytest.mark.parametrize("chain", CHAINS)
def test_of_three_operations_only_the_second_in_float16_makes_an_error(chain):
    """The others are float64: local errors of exactly 0, and the third inherits the second's error, propagated."""
    first, second, third = CHAINS[chain]
    x = fp.tensor(float64s((6, 6)), dtype="float64")
    half = fp.amp.Policy("float64", "float16", "float64")
    with fp.shadow() as report:
        a = first(x)
        b = Casting(second, half)(a)
        c = third(b)
    assert report.twin_format == "float64"
    assert_array_equal(report.made(a), 0)
    assert_array_equal(report.made(c), 0)
    assert_array_equal(report.inherited(a), 0)
    made_by_second = report.error(b)
    assert np.count_nonzero(made_by_second)
    unrounded_b = fp.tensor(report.twin(b), dtype="float64")
    assert_array_equal(b.numpy() - unrounded_b.numpy(), made_by_second)
    assert_array_equal(report.inherited(c), third(b).numpy() - third(unrounded_b).numpy())
    assert_array_equal(report.error(c), report.inherited(c))


class Casting(nn.Module):
    """One operation in float16 between float64 neighbours, whose casts to float64 are exact."""

    def __init__(self, function, policy):
        super().__init__()
        self.function = function
        self.precision, self.output_precision = fp.Precision(policy.compute), fp.Precision(policy.output)

    def forward(self, x):
        return self.function(x)


def test_a_cast_alone_between_two_float64_operations():
    x = fp.tensor(float64s((4, 5)), dtype="float64")
    with fp.shadow() as report:
        a = fp.exp(x)
        b = a.half()
        c = fp.log(b.double())
    assert_array_equal(report.made(a), 0)
    assert_array_equal(report.made(c), 0)
    assert_array_equal(report.made(b), b.numpy().astype(np.float64) - np.exp(x.numpy()))
    assert_array_equal(report.inherited(b), 0)
    assert_array_equal(report.inherited(c), np.log(b.numpy().astype(np.float64)) - np.log(np.exp(x.numpy())))
    errors = {op: report.total(op=op) for op in ("exp", "log", "cast")}
    assert errors["exp"].made.exact
    assert errors["log"].made.exact
    assert not errors["log"].inherited.exact
    assert report.total(op="cast", format="float16").made.wrong > 0


# What an error is ----------------------------------------------------------------------------------------------------


@given(
    st.lists(st.floats(-100, 100), min_size=1, max_size=20),
    st.sampled_from(["float16", "bfloat16", "float32", "float8_e5m2", "float8_e4m3fn"]),
)
def test_every_correctly_rounded_result_is_within_half_an_ulp(values, fmt):
    x = fp.tensor(values, dtype=fmt)
    with fp.shadow() as report:
        y = x * x + 0.1
    for op in ("multiply", "add"):
        made = report.total(op=op).made
        assert made.lost or made.ulp_max <= 0.5 + 1e-9 or op == "add"  # (there 0.1 is rounded first)
    finite = np.isfinite(y.numpy().astype(np.float64))
    total = (report.made(y) + report.inherited(y))[finite]
    assert_allclose(report.error(y)[finite], total, rtol=1e-12, atol=1e-12)


@given(st.sampled_from(["float16", "bfloat16", "float32"]), st.integers(0, 5))
def test_measures_are_the_textbooks(fmt, seed):
    values = float64s((40,), seed)
    x = fp.tensor(values, dtype="float64")
    with fp.shadow() as report:
        y = x.to(fmt)
    exact, stored = values, y._data.astype(np.float64)
    made = report.total(op="cast").made
    assert_allclose(made.relative, np.mean(np.abs((stored - exact) / exact)), rtol=1e-13)
    assert_allclose(made.relative_max, np.max(np.abs((stored - exact) / exact)), rtol=1e-13)
    ulps = (stored - exact) / fp.ulp(exact, fmt)
    assert_allclose(made.ulp_max, np.max(np.abs(ulps)), rtol=1e-13)
    assert_allclose([made.ulp, made.bias], [np.mean(np.abs(ulps)), np.mean(ulps)], rtol=1e-12)
    assert_allclose(made.norm, np.linalg.norm(stored - exact) / np.linalg.norm(exact), rtol=1e-13)
    assert made.elements == made.finite == 40
    assert made.wrong == np.count_nonzero(stored != exact)


@pytest.mark.parametrize(("mode", "low", "high"), [("down", -0.6, -0.4), ("up", 0.4, 0.6), ("nearest_even", -0.1, 0.1)])
def test_the_bias_of_a_rounding_mode(mode, low, high):
    x = fp.tensor(np.random.default_rng(0).uniform(1, 2, 500), precision=fp.Precision("float64"))
    with fp.shadow() as report:
        x.to(fp.Precision("float16", rounding=mode))
    assert low < report.total(op="cast").made.bias < high


def test_an_overflow_is_lost_and_in_no_mean():
    x = fp.tensor([300.0, 2.0], dtype="float16")
    with fp.shadow() as report:
        y = x * x
        y + 1
    made, total = report.total(op="multiply").made, report.total(op="add").total
    assert (made.lost, made.finite, made.ulp_max) == (1, 1, 0.0)
    assert (total.lost, total.relative) == (1, 0.0)
    assert math.isinf(report.error(y)[0])


def test_scalars_count_as_given():
    x = fp.tensor([1.0], dtype="float16")
    with fp.shadow() as report:
        y = x * 0.1
    assert report.twin(y) == 0.1
    assert report.made(y) == float(np.float16(0.1)) - 0.1


def test_data_is_the_twin_of_a_tensor_made_from_it_inside():
    data = float64s((3, 3))
    before = fp.tensor(data, dtype="float16")
    with fp.shadow() as report:
        inside, w = fp.tensor(data, dtype="float16"), nn.Parameter(data, precision="float16")
        y = inside + w
        z = before * 1
    assert_array_equal(report.twin(inside), data)
    assert_array_equal(report.twin(y), data + data)
    assert_array_equal(report.error(before), 0)
    assert_array_equal(report.twin(z), before.numpy().astype(np.float64))
    assert report.total(role="weight", phase="storing", op="parameter").made.wrong > 0


# Gradients and the optimizer -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "AdamW"])
def test_twins_are_what_a_float64_run_gives(optimizer):
    """Three steps of a float16 network, and of the same network in float64 from the same values."""
    x = float64s((6, 5))
    options = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01} if optimizer == "SGD" else {"lr": 0.01, "eps": 1e-3}
    ours, theirs = net().half(), net().half().double()
    make = getattr(fp.optim, optimizer)
    of_ours, of_theirs = make(ours.parameters(), **options), make(theirs.parameters(), **options)
    with fp.shadow() as report:
        for _ in range(3):
            loss = a_step(ours, of_ours, x, "float16")
    for _ in range(3):
        expected = a_step(theirs, of_theirs, x, "float64")
    assert_allclose(report.twin(loss), expected.item(), rtol=1e-13)
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        scale = np.abs(q.numpy()).max()
        assert_allclose(report.twin(p), q.numpy(), rtol=1e-11, atol=1e-12 * scale, err_msg=name)
        assert_allclose(report.twin(p.grad), q.grad.numpy(), rtol=1e-10, atol=1e-13, err_msg=name)
    assert not report.total(phase="update").made.exact
    assert not report.total(phase="backward", role="weight_gradient", module="head").inherited.exact


def test_of_a_float64_network_in_a_mixed_run_nothing_is_wrong():
    """Forward, backward and update of float64 tensors have their twins' very bits."""
    model = net().double()
    optimizer = fp.optim.Adam(model.parameters(), lr=0.01)
    with fp.shadow() as report:
        fp.ones(2, dtype="float16") / 3  # so that the twins are float64
        for _ in range(2):
            a_step(model, optimizer, float64s((6, 5)), "float64")
    assert report.total(format="float64").total.exact
    assert report.total(format="float64").total.elements > 500


def test_gradients_accumulate_retain_and_unbroadcast():
    w = fp.tensor(float64s((4,)), dtype="float16", requires_grad=True)
    x = fp.tensor(float64s((3, 4), 1), dtype="float16")
    with fp.shadow() as report:
        middle = w * x
        middle.retain_grad()
        y = (middle * middle).sum() + w.sum() / 3
        y.backward(retain_graph=True)
        first = report.twin(w.grad)
        y.backward()
    a, b = w.numpy().astype(np.float64), x.numpy().astype(np.float64)
    expected = (2 * a * b * b).sum(0) + 1 / 3
    assert_allclose(first, expected, rtol=1e-14)
    assert_allclose(report.twin(w.grad), 2 * expected, rtol=1e-14)
    assert report.total(op="add gradients").made.ulp_max <= 0.5


def test_a_backward_of_a_graph_recorded_before_starts_from_what_was_stored():
    w = fp.tensor(float64s((4,)), dtype="float16", requires_grad=True)
    y = (w * w / 3).sum()
    with fp.shadow() as report:
        y.backward()
    assert_allclose(report.twin(w.grad), w.numpy().astype(np.float64) * 2 / 3, rtol=1e-3)
    assert report.total(phase="backward").made.ulp_max <= 0.5


def test_masters_scaling_and_clipping_keep_the_twins():
    x = float64s((6, 5))
    ours, theirs = net(), net().double()
    fp.amp.apply(ours, "float16/float32")
    of_ours = fp.optim.SGD(ours.parameters(), lr=0.1, master="float32")
    scaler = fp.amp.GradScaler(init_scale=128.0)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        q.data = p.numpy().astype(np.float64)
        p.master.data = p.numpy().astype(np.float64)
    of_theirs = fp.optim.SGD(theirs.parameters(), lr=0.1)
    with fp.shadow() as report:
        loss = F.cross_entropy(ours(fp.tensor(x, dtype="float16")), LABELS)
        scaler.scale(loss).backward()
        scaler.unscale_(of_ours)
        nn.utils.clip_grad_norm_(ours.parameters(), 0.01)
        scaler.step(of_ours)
    F.cross_entropy(theirs(fp.tensor(x, dtype="float64")), LABELS).backward()
    nn.utils.clip_grad_norm_(theirs.parameters(), 0.01)
    of_theirs.step()
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert_allclose(
            report.twin(p.master.grad), q.grad.numpy(), rtol=2e-2, atol=1e-6
        )  # the factor is the stored run's
        assert_allclose(report.twin(p), q.numpy(), rtol=1e-3, atol=1e-4)
        assert_array_equal(report.twin(p), report.twin(p.master))
    assert {"unscale_", "clip_grad_norm_", "cast"} <= {key[3] for key in report.lines}


def test_an_update_by_hand_is_followed():
    w = fp.tensor([1.0, 2.0], dtype="float16", requires_grad=True)
    with fp.shadow() as report:
        (w * w * 0.3).sum().backward()
        with fp.no_grad():
            w -= 0.1 * w.grad
        y = w.detach() * 2
    expected = np.array([1.0, 2.0]) * (1 - 0.06)
    assert_allclose(report.twin(w), expected, rtol=1e-14)
    assert_allclose(report.twin(y), 2 * expected, rtol=1e-14)


def test_a_scheduled_cast_of_a_module_keeps_the_unrounded_weights():
    with fp.shadow() as report:
        model = nn.Linear(3, 2, bias=False)
        unrounded = report.twin(model.weight)
        model.half()
    assert_array_equal(report.twin(model.weight), unrounded)
    assert not report.total(op="cast", role="weight").made.exact


# Memory --------------------------------------------------------------------------------------------------------------


def test_twins_go_with_their_tensors():
    model = net().half()
    optimizer = fp.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    counts = []
    with fp.shadow() as report:
        twins = report._narrow.twins
        for _ in range(4):
            loss = a_step(model, optimizer, float64s((6, 5)), "float16")
            counts.append(len(twins))
    optimizer.zero_grad()
    optimizer.state.clear()
    del loss
    gc.collect()
    parameters = len(list(model.parameters()))
    assert counts[-1] == counts[1]
    assert len(twins) == parameters
    assert len(twins._nodes) == len(twins._gradients) == 0
    del model, optimizer
    gc.collect()
    assert len(twins) == 0


def test_a_dead_intermediate_has_no_twin():
    x = fp.ones(3, dtype="float16")
    with fp.shadow() as report, fp.no_grad():
        a = x / 3
        b = a * 2
        del a
        gc.collect()
        assert len(report._narrow.twins) == 2
    assert report.twin(b).shape == (3,)


# The report ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def a_report():
    model = net().half()
    with fp.shadow() as report:
        a_step(model, fp.optim.Adam(model.parameters(), lr=0.01, eps=1e-3), float64s((6, 5)), "float16")
    return report


def test_every_form_of_the_report(a_report):
    assert "body.0" in a_report.table()
    rows = json.loads(a_report.to_json())["rows"]
    assert {row["phase"] for row in rows} == {"storing", "forward", "backward", "update"}
    assert [row["module"] for row in rows if row["op"] == "layer_norm"] == ["norm", "norm", "norm"]
    assert all(row["made_ulp_max"] >= 0 for row in rows)
    assert a_report.to_dict()["twin"] == "float64"
    assert "<table" in a_report._repr_html_()
    assert len(a_report.plot().axes) == 1
    assert repr(a_report) == a_report.table()


def test_totals_add_up(a_report):
    whole = a_report.total()
    parts = [a_report.total(phase=p) for p in ("storing", "forward", "backward", "update")]
    assert whole.made.wrong == sum(part.made.wrong for part in parts)
    assert whole.calls == sum(part.calls for part in parts) == sum(e.calls for e in a_report.lines.values())
    assert a_report.total(module="body*").made.elements < whole.made.elements


def test_only_the_modules_asked_for_are_reported_and_all_are_followed():
    model = net().half()
    with fp.shadow(modules="head") as report:
        y = model(fp.tensor(float64s((6, 5)), dtype="float16"))
    assert {key[2] for key in report.lines} == {"head"}
    assert not report.total(op="linear").inherited.exact
    assert report.twin(y).shape == (6, 3)


def test_nested_shadows_see_the_same():
    x = fp.ones(3, dtype="float16")
    with fp.shadow() as outer, fp.shadow() as inner:
        x / 3
    assert outer.to_dict() == inner.to_dict()


def test_an_empty_report_says_so():
    with fp.shadow() as report:
        pass
    assert repr(report) == "<nothing ran while shadowed>"
    assert "nothing ran while shadowed" in report.table()


@pytest.mark.parametrize(
    ("ask", "error", "text"),
    [
        (
            lambda r, x: r.total(opp="x"), ArgumentError,
            f"total: expected keywords of {', '.join(NAMES)}, got ['opp']; use those.",
        ),
        (
            lambda r, x: r.twin(fp.ones(2)), ObserverError,
            "twin: expected a tensor that was made or used inside the block, "
            "got one that is not, or that changed since; make it there.",
        ),
        (
            lambda r, x: r.made(np.ones(2)), ArgumentTypeError,
            "made: expected a tensor, got ndarray; pass the result itself.",
        ),
        (
            lambda r, x: (x.data.numpy(), setattr(x, "data", [1.0, 2.0]), r.error(x)), ObserverError,
            "error: expected a tensor that was made or used inside the block, "
            "got one that is not, or that changed since; make it there.",
        ),
    ],
)  # fmt: skip
def test_what_a_report_refuses(ask, error, text):
    x = fp.tensor([0.1, 0.2], dtype="float16")
    with fp.shadow() as report:
        x * 2
    with pytest.raises(error) as caught:
        ask(report, x)
    assert str(caught.value) == text
