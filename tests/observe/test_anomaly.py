"""`detect_anomaly`: stops at the first operation that makes an infinity or a NaN, and names it exactly."""

import json
import math
import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import fpsim as fp
import fpsim.nn as nn
import fpsim.nn.functional as F
from fpsim.errors import AnomalyError, ArgumentTypeError, FpsimError

INF, NAN = math.inf, math.nan


class Block(nn.Module):
    """A linear layer and what is done to its result, in a module of its own."""

    def __init__(self, change):
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.change = Named(change)

    def forward(self, x):
        return self.change(self.fc(x))


class Named(nn.Module):
    def __init__(self, change):
        super().__init__()
        self.change_ = change

    def forward(self, x):
        return self.change_(x)


def as_it_is(y):
    return y


class Net(nn.Module):
    def __init__(self, first=as_it_is, second=as_it_is):
        super().__init__()
        self.encoder = nn.Sequential(Block(first), Block(second))
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        return self.head(self.encoder(x))


def net(first=as_it_is, second=as_it_is):
    """A network whose linear layers all have weights 0.5 and no bias, so that faults sit where they are planted."""
    made = Net(first, second)
    for name, p in made.named_parameters():
        p.data = np.full(p.shape, 0.5 if name.endswith("weight") else 0.0)
    return made


X = np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 0.25], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])


def stopped(run):
    """The error that `run` stops with under `detect_anomaly`."""
    with pytest.raises(AnomalyError) as caught, fp.detect_anomaly():
        run()
    return caught.value


def forward(fmt="float16", **changes):
    model, data = net(**changes).to(fmt), fp.tensor(X, dtype=fmt)
    model(data)


def backward(x=X, gradient=1.0, **changes):
    model, data = net(**changes).half(), fp.tensor(x, dtype="float16")
    y = model(data)
    y.backward(fp.full(y.shape, gradient, dtype="float16"))


def update(optimizer, gradient, fmt="float16", values=None, module="encoder.1.fc", **options):
    model = net().to(fmt)
    p = model.get_submodule(module).weight
    if values is not None:
        p.data = values
    p.grad = fp.tensor(gradient, dtype=fmt)
    return lambda: getattr(fp.optim, optimizer)(model.parameters(), **options).step()


def at(shape, index, value, otherwise=0.0):
    values = np.full(shape, otherwise)
    values[index] = value
    return values


def take_root_of_difference(y):
    """NaN where y is below 1.25: rows 1 and 3."""
    return fp.sqrt(y - 1.25)


#: What is planted: (run, module, op, pass, index, value).
FAULTS = {
    "forward, inf: a product overflows in a nested module": (
        lambda: forward(first=lambda y: y * 25000), "encoder.0.change", "multiply", "forward", (0, 0), INF,
    ),
    "forward, inf: a linear layer overflows": (
        lambda: forward(first=lambda y: y * 20000), "encoder.1.fc", "linear", "forward", (0, 0), INF,
    ),
    "forward, inf: the head overflows to the other side": (
        lambda: forward(second=lambda y: y * -10000), "head", "linear", "forward", (0, 0), -INF,
    ),
    "forward, inf: division by zero": (
        lambda: forward(second=lambda y: 1 / (y - y[3])), "encoder.1.change", "divide", "forward", (3, 0), INF,
    ),
    "forward, nan: root of a negative number": (
        lambda: forward(first=take_root_of_difference), "encoder.0.change", "sqrt", "forward", (1, 0), NAN,
    ),
    "forward, nan: overflow in a format without infinity": (
        lambda: forward("float8_e4m3fn", first=lambda y: y * 200),
        "encoder.0.change", "multiply", "forward", (0, 0), NAN,
    ),
    "backward, inf: a gradient overflows": (
        lambda: backward(X / 1000, 10.0, first=lambda y: y * 10000),
        "encoder.0.change", "multiply", "backward", (0, 0), INF,
    ),
    "backward, inf: the derivative of a root at zero": (
        lambda: backward(first=lambda y: fp.sqrt(fp.abs(y))), "encoder.0.change", "sqrt", "backward", (3, 0), INF,
    ),
    "backward, nan: zero times infinity": (
        lambda: backward(gradient=0.0, second=lambda y: fp.sqrt(y * 0)),
        "encoder.1.change", "sqrt", "backward", (0, 0), NAN,
    ),
    "backward, inf: the sum of a bias's gradients": (
        lambda: backward(np.zeros((2, 3)), 40000.0), "head", "linear", "backward", (0,), INF,
    ),
    "update, inf: a step beyond the largest number": (
        update("SGD", at((3, 3), (2, 1), -60000.0), lr=2.0, values=np.full((3, 3), 0.5)),
        "encoder.1.fc", "SGD", "update", (2, 1), INF,
    ),
    "update, nan: Adam divides zero by zero": (
        update("Adam", at((3, 3), (1, 2), 0.0, otherwise=1.0), lr=0.1, eps=0.0, module="encoder.0.fc"),
        "encoder.0.fc", "Adam", "update", (1, 2), NAN,
    ),
    "update, inf: Adam's second moment overflows, its parameter does not": (
        update("Adam", at((2, 3), (1, 0), 60000.0), lr=0.1, eps=1e-3, module="head"),
        "head", "Adam", "update", (1, 0), INF,
    ),
    "update, inf: a master that its float16 parameter cannot hold": (
        lambda: with_masters(), "head", "cast", "update", (1, 2), INF,
    ),
}  # fmt: skip


def with_masters():
    model = net().half()
    optimizer = fp.optim.SGD(model.parameters(), lr=1.0, master="float32")
    model.head.weight.grad = fp.tensor(at((2, 3), (1, 2), -60000.0), dtype="float16")
    model.head.weight.master.data = at((2, 3), (1, 2), 10000.0)
    optimizer.step()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_named_exactly(fault):
    run, module, op, phase, index, value = FAULTS[fault]
    error = stopped(run)
    assert (error.module, error.op, error.phase, error.index) == (module, op, phase, index)
    assert_array_equal(error.value, value)
    report = error.report
    assert report.made
    assert report.rows()[-1]["inf"] + report.rows()[-1]["nan"] > 0
    assert all(row["inf"] == row["nan"] == 0 for row in report.rows()[:-1])
    assert str(error) == report.table()
    for part in (op, f"({phase} pass, module {module}", f"{report.what}[{', '.join(map(str, index))}] = {value:g}"):
        assert part in str(error)


def test_twelve_faults_and_more_of_every_kind():
    kinds = {(phase, math.isnan(value)) for _, _, _, phase, _, value in FAULTS.values()}
    assert len(FAULTS) >= 12
    assert kinds == {(phase, nan) for phase in ("forward", "backward", "update") for nan in (False, True)}


def test_the_frame_shows_operands_result_and_the_ten_operations_before():
    x = fp.tensor([[1.0, -2.0], [300.0, 4.0]], dtype="float16")
    factors = fp.tensor([[1.0, 2.0], [3.0, -3.0]], dtype="float16")

    def run():
        y = x
        for _ in range(12):
            y = y + 0.5
        (y - 6) * factors * 200.0

    error = stopped(run)
    rows = error.report.rows()
    assert [(row["what"], row["format"], row["shape"]) for row in rows] == [
        ("x", "float16", "(2, 2)"), ("y", "float16", "()"), ("output", "float16", "(2, 2)"),
    ]  # fmt: skip
    extremes = [(row["min"], row["max"], row["absmax"]) for row in rows]
    assert extremes == [(-12.0, 900.0, 900.0), (200.0, 200.0, 200.0), (-2400.0, INF, INF)]
    before = error.report.before
    assert [frame.op for frame in before] == ["add"] * 8 + ["subtract", "multiply"]
    assert before[-1].row() == {
        "module": "", "op": "multiply", "pass": "forward", "what": "", "format": "float16 -> float16",
        "shape": "(2, 2)", "min": -12.0, "max": 900.0, "absmax": 900.0, "inf": 0, "nan": 0,
    }  # fmt: skip
    assert "the 10 operations before it, the last one first:" in str(error)
    remedy = "float64 gives 180000 there, float16 ends at 65504: scale the values down or use a wider format."
    assert remedy in str(error)
    assert __file__ in error.report.where
    assert json.loads(error.report.to_json())["index"] == [1, 0]
    assert "<table" in error.report._repr_html_()


def test_an_overflow_in_the_accumulator_names_the_accumulators_format():
    ones = fp.tensor(np.full((1, 3), 300.0), precision="float32/float16")
    error = stopped(lambda: ones @ ones.T)
    assert error.report.format == "float32/float16"
    assert "float64 gives 270000 there, float16 ends at 65504: scale the values down" in str(error)


def test_what_float64_cannot_do_either_is_said():
    assert "float64 gives -inf there too: look at its operands." in str(stopped(lambda: fp.log(fp.zeros(1))))


def test_an_infinity_that_came_in_may_pass_and_one_made_beside_it_not():
    scores = fp.tensor([[1.0, 2.0], [3.0, 4.0]], dtype="float16")
    mask = np.array([[True, False], [True, True]])
    with fp.detect_anomaly():
        masked = fp.where(mask, scores, -INF)
        assert_array_equal(F.softmax(masked, dim=1).numpy()[0], [1.0, 0.0])
    error = stopped(lambda: masked * 20000)
    assert (error.op, error.index, error.value) == ("multiply", (1, 1), INF)


def test_a_nan_that_came_in_is_met_at_once():
    x = fp.tensor([1.0, NAN])
    error = stopped(lambda: x.reshape(2, 1).exp())
    assert (error.op, error.index) == ("reshape", (1, 0))
    assert not error.report.made
    assert "which came in with an operand" in str(error)


def test_data_that_a_format_cannot_hold():
    error = stopped(lambda: fp.tensor([1.0, 70000.0], dtype="float16"))
    assert (error.op, error.phase, error.index, error.value) == ("tensor", "forward", (1,), INF)


def test_contributions_that_overflow_only_together():
    w = fp.tensor([0.001], dtype="float16", requires_grad=True)
    error = stopped(lambda: (w * 40000.0 + w * 36000.0).sum().backward())
    assert (error.op, error.phase, error.what) == ("add gradients", "backward", "gradient of x")


def test_a_parameter_that_becomes_nan_through_its_gradient_is_reported():
    w = fp.tensor([1.0, 2.0], requires_grad=True)
    w.grad = fp.tensor([1.0, NAN])
    error = stopped(lambda: fp.optim.SGD([w], lr=0.1).step())
    assert (error.op, error.phase, error.index) == ("SGD", "update", (1,))
    assert not error.report.made


def test_only_what_is_asked_for_is_checked():
    x = fp.tensor([300.0, -1.0], dtype="float16")
    with fp.detect_anomaly(check_inf=False):
        x * x
        with pytest.raises(AnomalyError):
            fp.sqrt(x)
    with fp.detect_anomaly(check_nan=False):
        fp.sqrt(x)
        with pytest.raises(AnomalyError):
            x * x


def test_the_error_is_typed_and_nothing_stays_open():
    error = stopped(lambda: 1 / fp.zeros(1))
    assert isinstance(error, FpsimError)
    assert isinstance(error, RuntimeError | ArithmeticError)
    assert np.isinf((1 / fp.zeros(1)).item())


def test_the_error_travels_between_processes():
    error = stopped(lambda: 1 / fp.zeros(1))
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error)
    assert (copy.op, copy.index, copy.value, copy.report) == ("divide", (0,), INF, None)


def test_a_sound_training_step_passes():
    model = net().to("float16/float32")
    optimizer = fp.optim.Adam(model.parameters(), lr=1e-3, eps=1e-3)
    with fp.detect_anomaly():
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(model(fp.tensor(X, dtype="float16")), np.array([0, 1, 0, 1])).backward()
            optimizer.step()


def test_what_it_refuses():
    with pytest.raises(ArgumentTypeError) as caught:
        fp.detect_anomaly("nan")
    text = "detect_anomaly: expected True or False, got check_nan='nan'; call it as detect_anomaly()."
    assert str(caught.value) == text
