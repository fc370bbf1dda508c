"""What the engine and the optimizers tell observers: each event once, in order, with what really happened."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import fpsim as fp
import fpsim.nn as nn
from fpsim.autograd.context import Observer, using


class Notes(Observer):
    """Every event, with its kind, in the order of telling."""

    def __init__(self):
        self.events = []

    def applied(self, event):
        self.events.append(("applied", event))

    def differentiated(self, event):
        self.events.append(("differentiated", event))

    def stored(self, event):
        self.events.append(("stored", event))

    def updated(self, event):
        self.events.append(("updated", event))

    def of(self, kind):
        return [event for k, event in self.events if k == kind]


def noted(run):
    notes = Notes()
    with using(observers=(notes,)):
        result = run()
    return notes, result


def test_applied_tells_what_was_given_taken_and_made():
    x, wide = fp.tensor([1.0, 3.0], dtype="float16"), fp.ones(2)
    notes, y = noted(lambda: x * 0.1 + wide)
    multiply, add = notes.of("applied")
    assert [e.op.name for e in (multiply, add)] == ["multiply", "add"]
    assert multiply.given[0] is multiply.inputs[0] is x
    assert (multiply.given[1], multiply.inputs[1]) == (0.1, None)
    assert multiply.arrays[0] is x._data
    assert multiply.arrays[1] == np.float16(0.1)
    assert add.given == add.inputs == (multiply.result, wide)
    assert add.result is y
    assert (multiply.precision, add.precision) == (x.precision, y.precision)
    assert multiply.result._node is None


def test_a_cast_to_an_operations_format_is_told_before_it():
    x = fp.ones(2, 2)
    with fp.amp.autocast("float16"):
        notes, _ = noted(lambda: x @ x)
    *casts, matmul = notes.of("applied")
    assert [e.op.name for e in casts] == ["cast"] * len(casts)
    assert matmul.given == (x, x)
    assert all(i is not x and i.dtype.name == "float16" for i in matmul.inputs)
    assert matmul.inputs[0] is casts[0].result


def test_applied_tells_module_metadata_and_node():
    net = nn.Sequential(nn.Linear(2, 3), nn.Softmax(dim=1))
    notes, y = noted(lambda: net(fp.ones(1, 2)))
    linear, softmax = notes.of("applied")
    assert (linear.module, softmax.module) == ("0", "1")
    assert softmax.metadata == {"axis": 1}
    assert softmax.result._node is y._node is not None
    assert linear.inputs[2] is net[0].bias


def test_differentiated_tells_each_contribution_and_the_sum():
    w = fp.tensor([1.0, 2.0], dtype="float16", requires_grad=True)
    middle = w * 3
    y = (middle * middle).sum()
    notes, _ = noted(y.backward)
    events = notes.of("differentiated")
    assert [(e.node.op.name, e.argument) for e in events] == [
        ("sum", 0), ("multiply", 0), ("multiply", 1), ("multiply", 0),
    ]  # fmt: skip
    _, first, second, last = events
    assert first.before is None
    assert first.total is first.contribution
    assert second.before is first.total
    assert_array_equal(second.total, first.contribution + second.contribution)
    assert last.gradient is second.total
    assert last.of is w
    assert w.grad._data is last.total
    before = w.grad
    notes, _ = noted((w * 2).sum().backward)
    last = notes.of("differentiated")[-1]
    assert last.before is before
    assert_array_equal(last.total, before._data + last.contribution)


@pytest.mark.parametrize(
    ("run", "ops"),
    [
        (lambda x: fp.tensor([0.1], dtype="float16"), ["tensor"]),
        (lambda x: fp.full((2,), 0.1), ["full"]),
        (lambda x: nn.Parameter([0.1]), ["parameter"]),
        (lambda x: x.detach(), ["detach"]),
        (lambda x: setattr(x, "data", [0.1, 0.2]), ["data"]),
        (lambda x: nn.init.ones_(x), ["init"]),
        (lambda x: x.__iadd__(1.0), ["cast"]),
    ],
)
def test_stored_tells_what_was_rounded_into_a_tensor(run, ops):
    x = fp.ones(2, dtype="float16")
    notes, result = noted(lambda: run(x))
    events = notes.of("stored")
    assert [e.op for e in events] == ops
    assert events[-1].tensor is (x if result is None else result)


def test_updated_tells_enough_to_update_again():
    model = nn.Linear(3, 2).half()
    for make in (lambda p: fp.optim.SGD(p, lr=0.1, momentum=0.9), lambda p: fp.optim.Adam(p, lr=0.1, eps=1e-3)):
        optimizer = make(model.parameters())
        for _ in range(3):
            model(fp.ones(1, 3, dtype="float16")).sum().backward()
            notes, _ = noted(optimizer.step)
            weight, bias = notes.of("updated")
            assert (weight.name, bias.name) == ("weight", "bias")
            assert weight.op == type(optimizer).__name__
            assert weight.owner is model.weight
            assert weight.gradient is model.weight.grad
            assert weight.after is model.weight._data
            steps = optimizer._roundings(model.weight, model.weight.grad).parameter
            state = dict(weight.state_before)
            again = weight.again(weight.before, weight.gradient._data, state, steps)
            assert_array_equal(again, weight.after)
            assert state.keys() == weight.state.keys()
            optimizer.zero_grad()


def test_without_observers_nothing_is_told():
    notes, _ = noted(lambda: None)
    fp.ones(2) * 2
    assert notes.events == []
