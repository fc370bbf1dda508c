"""Sensitivity: one role at a time, by hand where the answer is known; assignments that hold, and one that does not."""

import json
import math

import numpy as np
import pytest

import fpsim as fp
from fpsim import nn
from fpsim.experiments.scenario import DigitMLP
from fpsim.observe.sensitivity import ROLES, _Bench, _checks, assigned
from fpsim.observe.sensitivity_report import Cell, Check, Deviation, Sensitivity
from fpsim.rounding import round as rounded


def made(network, *arguments):
    with fp.seed(0):
        return network(*arguments)


@pytest.fixture(scope="module")
def digits():
    return fp.data.digits(size=8)


@pytest.fixture(scope="module")
def report(digits):
    return fp.sensitivity(made(DigitMLP, 8), digits, samples=16, steps=3, lr=0.1, tolerance=1e-3)


def linear(weight, bias):
    """A float64 layer with these parameters."""
    net = nn.Linear(len(weight[0]), len(weight), dtype="float64")
    net.load_state_dict({"weight": np.array(weight), "bias": np.array(bias)})
    return net


def square(out, _):
    return (out * out).sum()


# What a role is ------------------------------------------------------------------------------------------------------


def after(role, weight, x, lr=0.125):
    """The output of one layer after one step of gradient descent on the square, with one role in float16."""
    data = (np.array([x]), np.zeros(1, int))
    bench = _Bench(linear([weight], [0.0]), *data, fp.float16, 1, lr, square)
    return float(bench.run({("", role)})[0][0, 0]), float(bench.reference[0][0, 0])


def test_a_weight_is_rounded_where_it_is_read_and_not_where_it_is_updated():
    third = float(rounded(1 / 3, "float16"))
    out, reference = after("weight", [1 / 3], [1.0])
    # forward third, gradient 2 * third for weight and bias; the float64 master moves, and is rounded again
    moved = float(rounded(1 / 3 - 0.125 * 2 * third, "float16"))
    bias = float(rounded(-0.125 * 2 * third, "float16"))
    assert out == moved + bias
    assert reference == pytest.approx(1 / 3 - 4 * 0.125 / 3, rel=1e-15)


def test_an_update_is_rounded_after_the_step_and_not_before():
    out, _ = after("update", [1 / 3], [1.0])
    # the forward pass has 1/3 itself; the master starts at its rounding
    third = float(rounded(1 / 3, "float16"))
    step = 0.125 * (2 / 3)
    assert out == float(rounded(third - step, "float16")) + float(rounded(-step, "float16"))


def test_an_activation_is_the_rounded_result():
    out, reference = after("activation", [1 / 3], [1.0])
    third = float(rounded(1 / 3, "float16"))
    assert out == float(rounded(1 / 3 - 0.125 * 2 * third * 2, "float16"))
    assert out != reference


def test_a_gradient_is_rounded_and_nothing_else():
    out, _ = after("gradient", [1 / 3], [1.0])
    g = float(rounded(2 / 3, "float16"))
    assert out == pytest.approx((1 / 3 - 0.125 * g) - 0.125 * g, rel=1e-15)


def test_an_accumulator_is_the_sum_in_its_format():
    """10,000 ones: 2048 in float16."""
    x = np.ones((1, 10_000))
    bench = _Bench(linear(x, [0.0]), x, np.zeros(1, int), fp.float16, 1, 1e-9, square)
    _, losses, _ = bench.run({("", "accumulator")})
    assert losses.tolist() == [2048.0**2]
    assert bench.reference[1].tolist() == [1e8]


def test_nothing_narrow_is_the_reference_itself():
    bench = _Bench(made(DigitMLP, 4).double(), np.ones((2, 1, 8, 8)), np.array([1, 2]), fp.float16, 2, 0.1,
                   nn.functional.cross_entropy)  # fmt: skip
    assert bench.deviation(()) == Deviation(0.0, 0.0, 0.0)


def test_what_cannot_be_seen_before_an_update_deviates_no_first_gradient(report):
    for layer in report.layers:
        assert report[layer, "update"].gradient == 0
        assert report[layer, "update"].output > 0
        assert all(report[layer, role].gradient > 0 for role in ROLES if role != "update")


def test_deviations_are_as_large_as_the_format_is_coarse(digits):
    """Half the significand bits, deviations 2**8 times as large: bfloat16 against an e8m15."""
    sizes = []
    for fmt in ("bfloat16", "e8m15"):
        found = fp.sensitivity(made(DigitMLP, 8), digits, fmt, samples=16, steps=2, roles="weight")
        sizes.append(np.array([found[layer, "weight"].output for layer in found.layers]))
    assert (sizes[0] / sizes[1] > 2**6).all()
    assert (sizes[0] / sizes[1] < 2**10).all()


def test_overflow_deviates_infinitely():
    net = linear([[300.0, 300.0]], [0.0])
    found = fp.sensitivity(net, (np.full((1, 2), 300.0), np.zeros(1, int)), steps=1, lr=1e-9, loss=square)
    assert found["", "activation"].output == math.inf
    assert "inf" in found.table()
    assert json.loads(found.to_json())["rows"][1]["output"] == "inf"
    assert ("", "activation") not in found.check.assignment


# Assignments ---------------------------------------------------------------------------------------------------------


def test_the_assignment_was_run_and_holds(report, digits):
    check = report.check
    assert check.holds
    assert check.measured.output <= report.tolerance
    data = (digits.train_x[:16], digits.train_y[:16])
    bench = _Bench(made(DigitMLP, 8).double(), *data, fp.float16, 3, 0.1, nn.functional.cross_entropy)
    assert bench.deviation(check.assignment) == check.measured
    assert {(layer, role) for layer, roles in report.assignment.items() for role in roles} == check.assignment


def test_the_first_check_is_what_single_deviations_propose(report):
    first = report.checks[0]
    assert first.predicted == pytest.approx(sum(report[key].output for key in first.assignment))
    assert first.predicted <= report.tolerance
    left = [c for c in report.cells if (c.layer, c.role) not in first.assignment]
    assert all(first.predicted + c.deviation.output > report.tolerance for c in left)


def test_a_tolerance_below_every_deviation_leaves_all_wide(digits):
    found = fp.sensitivity(made(DigitMLP, 4), digits, samples=8, steps=1, tolerance=1e-12)
    assert found.check.assignment == frozenset()
    assert found.check.measured == Deviation(0.0, 0.0, 0.0)
    assert found.bits_saved == 0


def test_a_tolerance_above_every_deviation_makes_all_narrow(digits):
    found = fp.sensitivity(made(DigitMLP, 4), digits, samples=8, steps=1, tolerance=0.5)
    assert len(found.check.assignment) == len(found.cells) == 2 * len(ROLES)
    assert found.bits_saved == pytest.approx(0.75)
    assert "75 % of the bits" in found.table()


class Together:
    """A bench on which two roles deviate more together than their sum says."""

    def deviation(self, assignment):
        both = {("a", "weight"), ("b", "weight")} <= set(assignment)
        return Deviation(0.02 if both else 0.004 * len(assignment), 0.0, 0.0)


def test_a_check_that_fails_is_said_and_taken_back():
    cells = [Cell(layer, "weight", Deviation(0.004, 0.0, 0.0), bits) for layer, bits in (("a", 100), ("b", 50))]
    checks = _checks(Together(), cells, 0.01)
    assert [(sorted(c.assignment), c.holds) for c in checks] == [
        ([("a", "weight"), ("b", "weight")], False),
        ([("a", "weight")], True),  # b saved less
    ]
    found = Sensitivity(fp.float16, tuple(cells), tuple(checks), 0.01, 1, 1)
    text = found.table()
    assert "Single deviations say that 2 of 2 roles fit within 0.01 together (they add up to 8.0e-03)" in text
    assert "Run together they deviate by 2.0e-02: that does NOT hold." in text
    assert "1 taken back, the most costly first, until a run held: 1 roles, which deviate by 4.0e-03." in text
    assert "What stays wide: b's weight." in text
    assert found.assignment == {"a": ("weight",), "b": ()}
    assert [check["holds"] for check in found.to_dict()["checks"]] == [False, True]


def test_more_is_tried_where_deviations_cancel():
    class Cancelling:
        def deviation(self, assignment):
            return Deviation(0.006, 0.0, 0.0)

    cells = [Cell(layer, "weight", Deviation(0.006, 0.0, 0.0), 10) for layer in "ab"]
    checks = _checks(Cancelling(), cells, 0.01)
    assert [len(c.assignment) for c in checks] == [1, 2]
    assert Sensitivity(fp.float16, tuple(cells), tuple(checks), 0.01, 1, 1).check is checks[1]


# The network and the report ------------------------------------------------------------------------------------------


def test_the_network_is_left_as_it_was(digits):
    net = fp.amp.apply(made(DigitMLP, 4), "O2")
    before = [p._data.copy() for p in net.parameters()]
    with fp.observe() as seen:
        fp.sensitivity(net, digits, samples=4, steps=1, roles="weight")
    assert not seen.counts
    assert all(np.array_equal(p._data, b) for p, b in zip(net.parameters(), before, strict=True))
    assert net.fc1.weight.dtype == fp.float16


def test_the_same_call_gives_the_same_numbers(report, digits):
    again = fp.sensitivity(made(DigitMLP, 8), digits, samples=16, steps=3, lr=0.1, tolerance=1e-3)
    assert again.to_json() == report.to_json()


def test_dropout_drops_the_same_in_every_run(digits):
    net = made(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Dropout(0.5)))
    found = fp.sensitivity(net, digits, samples=8, steps=2, roles=["weight", "gradient"])
    assert all(cell.deviation.output < 1e-2 for cell in found.cells)


def test_convolutions_and_normalisation(digits):
    parts = [nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(72, 10)]
    found = fp.sensitivity(made(nn.Sequential, *parts), digits, samples=4, steps=2, tolerance=0.1)
    assert found.layers == ("0", "1", "4")
    assert all(np.isfinite(cell.deviation.output) for cell in found.cells)
    held = {(c.layer, c.role): c.bits_saved for c in found.cells}
    assert held["0", "weight"] == (2 * 9 + 2) * 48
    assert held["0", "activation"] == held["0", "accumulator"] == 4 * 2 * 6 * 6 * 48
    assert held["4", "gradient"] == (720 + 10 + 4 * 10) * 48


def test_layers_are_chosen_by_pattern(digits):
    found = fp.sensitivity(made(DigitMLP, 4), digits, samples=4, steps=1, layers="fc2", roles=["update", "weight"])
    assert found.layers == ("fc2",)
    assert found.roles == ("update", "weight")


def test_assigned_says_everything_by_precisions():
    net = assigned(
        made(DigitMLP, 4).double(), {("fc1", "weight"), ("fc1", "accumulator"), ("fc2", "update")}, fp.float16
    )
    assert net.fc1.weight.dtype == fp.float16
    assert net.fc1.weight.master.dtype == fp.float64
    assert net.fc1.precision.accumulate == fp.float16
    assert net.fc2.weight.dtype == fp.float64
    assert net.fc2.weight.master.dtype == fp.float16


def test_reports_in_all_forms(report):
    lines = report.table().splitlines()
    assert lines[0] == "Relative deviation from float64 with one role of one layer in float16: 3 steps on 16 samples"
    assert lines[1].split()[:5] == ["layer", "role", "output", "loss", "gradient"]
    assert len([line for line in lines if line.startswith("fc")]) == 10
    content = json.loads(report.to_json())
    assert content["rows"][0]["layer"] == "fc1"
    assert "<table" in report._repr_html_()
    assert report.check == Check(report.check.assignment, report.check.predicted, report.check.measured, 1e-3)


def test_progress_is_told(digits):
    told = []
    fp.sensitivity(made(DigitMLP, 4), digits, samples=4, steps=1, roles="weight", progress=lambda *a: told.append(a))
    assert told == [(1, 2), (2, 2)]
