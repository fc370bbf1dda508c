"""What backward reads, what a forward pass keeps, multiplies and moves: by hand, and by poisoning what is not read."""

import numpy as np
import pytest

import fpsim as fp
import fpsim.nn.functional as F
from fpsim.autograd.op import OPS
from fpsim.nn import Parameter
from fpsim.observe.workload import READ_BY_BACKWARD, Workload
from tests.ops.cases import CASES

#: What matters only at special values, which the cases below do not draw: y where x is 0.
SELDOM = {("power", 1, 1)}


def test_every_operation_is_in_the_table():
    assert set(READ_BY_BACKWARD) == set(OPS)


def gradient(name, case, argument, poisoned):
    """The gradient of one argument, some parts of the recorded operation replaced by NaN; None: there is none."""
    rng = np.random.default_rng(3)
    arrays = case.draw(rng, "float32")
    inputs = [None if a is None else fp.tensor(a, requires_grad=i == argument) for i, a in enumerate(arrays)]
    if argument >= len(inputs) or inputs[argument] is None:
        return None
    out = OPS[name](*inputs, **case.metadata)
    node = out._node
    g = rng.normal(size=out.shape).astype(np.float32)

    def spoilt(part, array):
        return np.full_like(array, np.nan) if array is not None and part in poisoned else array

    node.arrays = tuple(spoilt(i, a) for i, a in enumerate(node.arrays))
    node.out = spoilt("out", node.out)
    if node.saved is not None:
        node.saved = tuple(spoilt("saved", np.asarray(a)) for a in node.saved)
    with np.errstate(all="ignore"):
        out.backward(g)
    return inputs[argument].grad._data


def rules(name):
    """Each argument of an operation that has a gradient, with what its formula reads."""
    op = OPS[name]
    for argument in range(len(READ_BY_BACKWARD[name]) if op.arity >= 0 else 1):
        if op.vjp_of(argument) is not None:
            yield argument, READ_BY_BACKWARD[name][argument]


@pytest.mark.parametrize("name", sorted(READ_BY_BACKWARD))
def test_backward_reads_nothing_that_is_not_in_the_table(name):
    compared = 0
    for argument, read in rules(name):
        for case in CASES[name]:
            everything = {*range(len(case.shapes)), "out", "saved"}
            whole = gradient(name, case, argument, ())
            if whole is not None:
                spoilt = gradient(name, case, argument, everything - set(read))
                np.testing.assert_array_equal(spoilt, whole)
                compared += 1
    assert compared > 0


@pytest.mark.parametrize("name", sorted(READ_BY_BACKWARD))
def test_backward_reads_everything_that_is_in_the_table(name):
    for argument, read in rules(name):
        for part in read:
            if part in ("kept", "condition") or (name, argument, part) in SELDOM:
                continue  # metadata is not poisoned
            assert any(matters(name, case, argument, part) for case in CASES[name]), f"{argument} does not read {part}"


def matters(name, case, argument, part):
    """Whether a gradient is another, or cannot be computed, without a part."""
    whole = gradient(name, case, argument, ())
    if whole is None:
        return False
    try:
        spoilt = gradient(name, case, argument, {part})
    except ValueError:  # places in a window that are not there
        return True
    return not np.array_equal(whole, spoilt, equal_nan=True)


# By hand -------------------------------------------------------------------------------------------------------------


def workload(out, *weights):
    return Workload(out, {id(w) for w in weights})


def weight(*shape, precision="float32"):
    return Parameter(np.ones(shape), precision=precision)


def test_a_product_keeps_its_input_and_not_its_weight():
    x, w = fp.ones(4, 3), weight(5, 3)
    work = workload(F.linear(x, w), w)
    assert work.kept() == {"activations": 4 * 3 * 4, "cast weights": 0}
    (forward,), (backward,) = list(work.forward()), list(work.backward())
    assert (forward.macs, forward.read, forward.written) == (4 * 5 * 3, (12 + 15) * 4, 20 * 4)
    # the weight's gradient reads the result's and x; x itself wants none
    assert (backward.macs, backward.read, backward.written) == (4 * 5 * 3, (20 + 12) * 4, 15 * 4)


def test_memory_that_two_gradients_read_is_kept_once():
    x, w = fp.ones(4, 3), weight(3, 3)
    h = F.linear(x, w).relu()
    work = workload(F.linear(h, w) * h, w)
    #  x; relu's result, for relu, the second product and the multiplication; the second product's result
    assert work.kept()["activations"] == (12 + 12 + 12) * 4


def test_views_share_their_memory_and_move_nothing():
    w = weight(6, 4)
    y = F.linear(fp.ones(2, 4), w).exp()
    work = workload((y.reshape(3, 4).transpose(0, 1)[1:3] * 2.0).exp(), w)
    assert [step.op for step in work.forward()] == ["linear", "exp", "multiply", "exp"]
    assert work.kept()["activations"] == (2 * 4 + 12 + 6) * 4  # x, the first exp, the last one


def test_a_cast_weight_is_kept_where_its_product_needs_an_input_gradient():
    first, second = weight(3, 3), weight(3, 3)
    with fp.amp.autocast("float16"):
        out = F.linear(F.linear(fp.ones(2, 3), first), second)
    kept = workload(out, first, second).kept()
    assert kept["cast weights"] == 9 * 2  # the second's alone
    assert kept["activations"] == (6 + 6) * 2  # the cast of x, and the first product


def test_a_mask_takes_a_byte_an_element():
    w = weight(4, 4)
    with fp.seed(0):
        out = F.dropout(F.linear(fp.ones(2, 4), w), 0.5)
    assert workload(out, w).kept()["activations"] == 8 * 4 + 8


def test_what_is_not_trained_wants_no_gradient():
    first, second = weight(3, 3), weight(3, 3)
    out = F.linear(F.linear(fp.ones(2, 3), first).exp(), second)
    work = workload(out, second)
    assert [step.op for step in work.backward()] == ["linear"]
    assert work.kept()["activations"] == 6 * 4


def test_gradients_that_meet_are_added():
    w = weight(3, 3)
    h = F.linear(fp.ones(2, 3), w)
    steps = list(workload(h.exp() + h.tanh(), w).backward())
    assert [s.op for s in steps] == ["tanh", "sum of gradients", "exp", "linear"] or [s.op for s in steps] == [
        "tanh", "exp", "sum of gradients", "linear",
    ]  # fmt: skip
    (added,) = (s for s in steps if s.op == "sum of gradients")
    assert (added.read, added.written) == (2 * 6 * 4, 6 * 4)


def test_einsum_and_matmul_count_their_products():
    a, b = weight(2, 3, 4), weight(4, 5)
    steps = [*workload(fp.einsum("bij,jk->bik", a, b), a, b).forward(), *workload(fp.matmul(a, b), a, b).forward()]
    assert [s.macs for s in steps] == [2 * 3 * 4 * 5] * 2


def test_the_most_that_is_alive_at_once():
    x = fp.ones(1, 2, requires_grad=True)
    w = weight(10, 2)
    y = F.linear(x, w)  # x and y: 12
    z = y.exp()  # y and z: 20
    out = F.linear(z, weight(1, 10))  # z and out: 11
    assert workload(out, w).alive_at_once() == 20 * 4


def test_a_residual_stays_alive():
    x = fp.ones(1, 10, requires_grad=True)
    y = x.exp()
    out = y + y.tanh().sigmoid()  # y, tanh and sigmoid at the widest
    assert workload(out).alive_at_once() == 30 * 4
