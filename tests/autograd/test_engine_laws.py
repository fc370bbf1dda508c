"""The engine's promises: contexts, declared operations, integers, tensors' small methods, what backward keeps and refuses."""
# ruff: noqa: E501 (sentences as they are read)

import dataclasses
import sys

import numpy as np
import pytest

import fpsim as fp
from fpsim.autograd import context as contexts
from fpsim.autograd.context import Applied, Differentiated, Observer, Rounded, Stored, Updated, current, using
from fpsim.autograd.engine import broadcast_axes
from fpsim.autograd.exactness import Exact, ExactFormula, ExactWide
from fpsim.autograd.integers import IntegerArray, as_integers, integer_type
from fpsim.autograd.op import Kind, Op, Rule, check_gradients
from fpsim.autograd.tensor import as_tensor, chosen_precision, is_device, store
from fpsim.errors import (
    ArgumentError,
    ArgumentTypeError,
    DataError,
    GradientError,
    ObserverError,
    ObserverWarning,
    ShapeError,
)
from fpsim.rounding.wide import Wide

ops_module = sys.modules[Op.__module__]  # `fpsim.autograd.op` is the function

# Contexts -------------------------------------------------------------------------------------------------------------


def test_events_and_contexts_are_frozen():
    for kind in (Rounded, Applied, Differentiated, Stored, Updated, contexts.Context, Rule):
        assert kind.__dataclass_params__.frozen
        assert dataclasses.is_dataclass(kind)
    with pytest.raises(dataclasses.FrozenInstanceError):
        current().module = "x"
    assert current().grad_enabled
    assert current().default == fp.Precision("float32")
    assert (current().rng, current().autocast, current().module, current().precision) == (None, None, "", None)


def test_generators_of_a_context():
    unseeded = current().generator
    assert unseeded is current().rounding_generator
    a, b = np.random.default_rng(1), np.random.default_rng(2)
    with using(rng=a):
        assert current().generator is current().rounding_generator is a
        with using(rounding_rng=b):
            assert (current().generator, current().rounding_generator) == (a, b)
    with fp.seed(3) as rng:
        assert current().generator is rng
        assert rng.random() == np.random.default_rng(3).random()
    assert current().rng is None
    with using():
        assert fp.manual_seed(np.int64(4)) is current().rng
        assert current().rng.random() == np.random.default_rng(4).random()
    for wrong in (-1, 1.5, True, None, "1"):
        with pytest.raises(ArgumentError) as error:
            fp.manual_seed(wrong)
        assert (
            str(error.value) == f"manual_seed: expected a non-negative integer, got n={wrong!r}; seed with one, like 0."
        )
        with pytest.raises(ArgumentError, match=r"^seed: expected"), fp.seed(wrong):
            pass
    assert contexts._generator("seed", 0) is not None


def test_gradients_are_recorded_where_they_are_wanted():
    x = fp.ones(2, requires_grad=True)

    @fp.no_grad()
    def silent():
        "Doc."
        with fp.autograd.enable_grad():
            inner = (x * 2).requires_grad
        return (x * 2).requires_grad, inner

    assert silent() == (False, True)
    assert (silent.__name__, silent.__doc__) == ("silent", "Doc.")
    assert (x * 2).requires_grad

    @fp.autograd.enable_grad()
    def recording():
        return (x * 2).requires_grad

    with fp.no_grad():
        assert recording()
        assert not (x * 2).requires_grad
    before = current().default
    with fp.default_precision("float16/float32") as chosen:
        assert chosen == current().default == fp.Precision("float16/float32")
    assert current().default == before


class Seen(Observer):
    def __init__(self):
        self.events = []

    def rounded(self, event):
        self.events.append(event)


class Failing(Observer):
    def applied(self, event):
        raise ValueError("no")


def test_observers_that_fail_or_come_from_elsewhere():
    x = fp.ones(2)
    failing, seen = Failing(), Seen()
    with using(observers=(failing, seen)):
        assert current().listening("applied")
        assert current().listening("rounded")
        assert not current().listening("updated")
        with pytest.warns(ObserverWarning) as warned:
            x * 3
        assert str(warned[0].message) == (
            "Failing.applied failed (ValueError: no); it sees nothing from here on, and nothing that is computed changes."
        )
        x * 4  # and no second warning
    assert isinstance(failing.failure, ValueError)
    assert len(seen.events) == 2
    assert warned[0].filename.endswith(("engine.py", "context.py"))
    elsewhere = Seen()
    elsewhere.thread = -1
    with using(observers=(elsewhere,)), pytest.raises(ObserverError) as error:
        x * 3
    assert str(error.value) == (
        "Seen: expected the thread it was opened in, got another one; open one in each thread, inside it."
    )
    assert (Observer.failure, Observer.thread, Observer.accumulators) == (None, None, False)
    with using(observers=()):
        assert not current().listening("rounded")


# Operations -----------------------------------------------------------------------------------------------------------


def test_operations_are_declared_by_their_formula(monkeypatch):
    monkeypatch.setattr(ops_module, "OPS", {})

    @ops_module.op(Kind.POINTWISE, "elementary")
    def _twice(x, y, *, n=2):
        "Doc."
        return x * n + y

    @ops_module.op(Kind.EXACT, name="all_of", no_gradient=(0,))
    def joined(*arrays):
        return arrays[0]

    @ops_module.op(Kind.FUSED, arity=1, saves=True)
    def kept(x, y):
        return x, y

    assert list(ops_module.OPS) == ["twice", "all_of", "kept"]
    assert isinstance(_twice, Op)
    assert (_twice.name, _twice.arity, _twice.saves, _twice.kind) == ("twice", 2, False, Kind.POINTWISE)
    assert (_twice.rule.steps, _twice.__doc__, repr(_twice)) == ("elementary", "Doc.", "<op twice: POINTWISE>")
    assert (joined.arity, joined.no_gradient, joined.rule.steps) == (-1, frozenset({0}), "formula")
    assert (kept.arity, kept.saves) == (1, True)
    assert [r.rule.takes_accumulator for r in (_twice, joined, kept)] == [False, False, True]
    assert [Rule(None, k, "").takes_accumulator for k in Kind] == [False, False, True, True, True]
    with pytest.raises(AssertionError) as error:
        check_gradients()
    assert "op twice: no vjp for arguments [0, 1]" in str(error.value)

    @_twice.vjp(0)
    def first(g, out, x, y, *, n=2):
        return g * n

    @_twice.vjp(1, Kind.EXACT, "identity")
    def second(g, out, x, y, *, n=2):
        return g

    assert _twice.vjp_of(0) == Rule(first, Kind.POINTWISE, "formula")
    assert _twice.vjp_of(1) == Rule(second, Kind.EXACT, "identity")
    assert kept.vjp_of(0) is None
    joined.vjp(0)(lambda g, out, *arrays, argument: g)
    assert joined.vjp_of(5) is joined.vjps[0]
    kept.vjp(0)(lambda g, out, x, y, saved: g)
    check_gradients()
    assert hash(_twice) != hash(joined)


# Integers -------------------------------------------------------------------------------------------------------------


def test_integer_types():
    assert integer_type(int) == np.dtype(int)
    assert integer_type(bool) == np.dtype(bool)
    assert integer_type(np.int16) == integer_type(np.dtype("i2")) == np.dtype(np.int16)
    assert integer_type(np.bool_) == np.dtype(bool)
    for other in (float, np.float32, np.dtype("f4"), "int64", None, fp.float16, 3, str):
        assert integer_type(other) is None


def test_integers_have_torchs_methods():
    x = as_integers("tensor", [[1.9, -1.9], [0.0, 3.0]], np.dtype(np.int64))
    assert isinstance(x, IntegerArray)
    assert x.tolist() == [[1, -1], [0, 3]]
    assert (x.numel(), x.dim(), x.cpu() is x, x.detach() is x) == (4, 2, True, True)
    assert type(x.numpy()) is np.ndarray
    assert x.to("cpu") is x
    assert x.to("cuda", True) is x
    assert x.to(np.int8).dtype == np.int8
    assert x.to("cpu", np.float32).dtype == np.float32
    assert x.to(fp.float16).dtype == fp.float16
    assert x.to(dtype=fp.bfloat16).dtype == fp.bfloat16
    assert (x.float().dtype, x.double().dtype) == (fp.float32, fp.float64)
    assert x.to(np.int8).long().dtype == np.int64
    assert isinstance(x.long(), IntegerArray)
    same = x.eq([[1, 0], [0, 0]])
    assert (same.tolist(), type(same)) == ([[True, False], [True, False]], IntegerArray)
    assert x.view_as(np.zeros(4)).shape == (4,)
    with pytest.raises(DataError) as error:
        as_integers("to", [1.0, np.inf, np.nan], np.dtype(np.int64))
    assert str(error.value) == "to: expected finite numbers to make integers of, got inf; mask it first."
    assert as_integers("to", [np.nan, 0.0], np.dtype(bool)).tolist() == [True, False]


# Tensors --------------------------------------------------------------------------------------------------------------


def test_tensors_answer_as_torchs():
    x = fp.tensor([[1.5, 2.0, 3.0]], dtype="float16")
    assert (x.shape, x.ndim, x.size, x.nbytes, x.dim(), x.numel(), len(x), x.device) == (
        (1, 3),
        2,
        3,
        6,
        2,
        3,
        1,
        "cpu",
    )
    assert fp.tensor(np.ones(3), dtype="e4m1").nbytes == 3
    assert fp.tensor(np.ones(5), dtype="float4_e2m1fn").nbytes == 3
    assert (x.is_leaf, x.requires_grad, x.grad, x.master, x._version) == (True, False, None, None, 0)
    assert (x.cpu() is x, x.tolist(), x.numpy().dtype) == (True, [[1.5, 2.0, 3.0]], np.float16)
    assert fp.tensor(1.0, dtype="bfloat16").numpy().dtype == np.float32
    assert np.asarray(x).tolist() == [[1.5, 2.0, 3.0]]
    assert x.numpy(np.float64).dtype == np.float64
    one = fp.tensor([2.5])
    assert (float(one), int(one), bool(one), f"{one:.1f}", one.item()) == (2.5, 2, True, "2.5", 2.5)
    assert f"{x}" == str(x) == repr(x) == "tensor([[1.5, 2. , 3. ]], float16, accumulates in float16)"
    assert hash(x) == id(x)
    assert "requires_grad=True" in repr(fp.ones(1, requires_grad=True))
    for make, error, text in [
        (lambda: len(fp.tensor(1.0)), ArgumentTypeError, "len: expected a tensor with axes, got a 0-d tensor; use item()."),
        (lambda: x.item(), ArgumentError, "item: expected a tensor of one element, got shape=(1, 3); index it first."),
        (lambda: x.numpy("nothing"), ArgumentTypeError, "numpy: expected a NumPy or ml_dtypes type, got dtype='nothing'; leave it out."),
        (lambda: fp.ones(1, requires_grad=True).exp().requires_grad_(False), GradientError,
         "requires_grad_: expected a leaf, got an operation's result; use detach()."),
        (lambda: x.replace_values(np.zeros(2)), ShapeError, "assignment: expected values of shape (1, 3), got shape=(2,); make a new tensor instead."),
        (lambda: chosen_precision("zeros", "float16", None, "float32"), ArgumentError,
         "zeros: expected precision or dtype and accumulate, got precision='float32' and dtype='float16', accumulate=None; give one of the two."),
        (lambda: chosen_precision("zeros", None, "float32", "float16"), ArgumentError,
         "zeros: expected precision or dtype and accumulate, got precision='float16' and dtype=None, accumulate='float32'; give one of the two."),
        (lambda: np.add(x, x, out=np.zeros((1, 3))), ArgumentTypeError, "np.add: expected what fpsim emulates, got out=; call it without."),
        (lambda: np.fmod(x, x), ArgumentTypeError, "np.fmod: expected what fpsim emulates, got a tensor; use x.numpy() to leave the emulation."),
        (lambda: np.linalg.det(x), ArgumentTypeError, "np.det: expected what fpsim emulates, got a tensor; use x.numpy() to leave the emulation."),
    ]:  # fmt: skip
        with pytest.raises(error) as raised:
            make()
        assert str(raised.value) == text
    assert chosen_precision("zeros", None, None, None) == current().default
    assert chosen_precision("zeros", None, "float64", None) == fp.Precision("float32", "float64")
    assert chosen_precision("zeros", fp.Precision("float16"), None, None) == fp.Precision("float16")
    assert chosen_precision("zeros", "float16", "float32", None) == fp.Precision("float16", "float32")


def test_conversions_and_copies():
    x = fp.tensor([1.0, 2.0], dtype="float16", requires_grad=True)
    assert x.to("float16") is x.to() is x.to("cuda") is x.half() is x
    assert x.to(fp.ones(1, dtype="float32")).dtype == fp.float32
    assert (x.float().dtype, x.double().dtype, x.bfloat16().dtype) == (fp.float32, fp.float64, fp.bfloat16)
    assert (
        x.to(dtype="float32").dtype
        == x.to(precision="float32").dtype
        == x.to(None, False, "float32").dtype
        == fp.float32
    )
    assert x.long().tolist() == [1, 2]
    copy = x.clone()
    assert copy is not x
    assert copy._node is not None
    assert as_tensor(x) is x
    assert as_tensor(x, "float32").dtype == fp.float32
    assert as_tensor([1.0], "float16").dtype == fp.float16
    assert fp.tensor([x[0], x[1]]).tolist() == [1.0, 2.0]
    data = np.ones(2, np.float32)
    assert not np.shares_memory(store(data, fp.Precision("float32")), data)
    assert [is_device(d) for d in ("cpu", "cuda:0", "mps", "float16", fp.float16, 3)] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]


def test_changes_in_place_are_counted():
    x = fp.tensor([1.0, 2.0], requires_grad=True)
    x.data = [3.0, 4.0]
    assert (x.tolist(), x._version, x.data.requires_grad) == ([3.0, 4.0], 1, False)
    x.data = fp.tensor([5.0, 6.0])
    assert (x.tolist(), x._version) == ([5.0, 6.0], 2)
    for bad, got in ((x, "a leaf that requires a gradient"), (x * 1, "an operation's result")):
        with pytest.raises(GradientError) as error:
            bad.change_in_place(fp.tensor([0.0, 0.0]))
        assert str(error.value) == (
            f"in-place change: expected a leaf under no_grad, got {got}; write x = x + y, or use `with fp.no_grad():`."
        )
    with fp.no_grad():
        assert x.change_in_place(fp.tensor([0.5, 0.25])) is x
    assert (x.tolist(), x._version) == ([0.5, 0.25], 3)
    (x * 1).sum().backward()
    x.forget_gradient(set_to_none=False)
    assert x.grad.tolist() == [0.0, 0.0]
    x.forget_gradient()
    assert x.grad is None
    x.forget_gradient(set_to_none=False)
    assert x.grad is None
    assert fp.autograd.Variable(x) is x
    assert fp.autograd.Variable(fp.ones(1), requires_grad=True).requires_grad
    assert not fp.autograd.Variable(fp.ones(1)).requires_grad
    assert fp.ones(1).requires_grad_().requires_grad
    assert not fp.ones(1, requires_grad=True).requires_grad_(False).requires_grad
    for shape in ((1,), (3,), (2, 1)):
        with pytest.raises(ShapeError):
            x.replace_values(np.zeros(shape))


# Backward -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "error", "text"),
    [
        (lambda x: fp.ones(1).backward(), GradientError, "a tensor made from a leaf with requires_grad=True, got none; set it on the weights"),
        (lambda x: (x * 2).backward(), GradientError, "a tensor of one element or a gradient, got shape=(2,); sum or mean it first"),
        (lambda x: (x * 2).backward([1.0]), ShapeError, "a gradient of shape (2,), got gradient.shape=(1,); give one value per element"),
    ],
)  # fmt: skip
def test_backward_refuses(run, error, text):
    with pytest.raises(error) as raised:
        run(fp.ones(2, requires_grad=True))
    assert str(raised.value) == f"backward: expected {text}."


def test_a_graph_is_walked_once_unless_it_is_retained():
    x = fp.tensor([1.0, 2.0], requires_grad=True)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [4.0, 8.0]
    with pytest.raises(GradientError) as error:
        y.backward()
    assert str(error.value) == (
        "backward: expected a graph not yet walked, got sum already used; pass retain_graph=True the first time."
    )
    y = (x * x).sum()
    x.data = [5.0, 5.0]
    with pytest.raises(GradientError) as error:
        y.backward()
    assert str(error.value) == (
        "backward: expected the values of the forward pass, got an input of multiply changed since; run the forward pass again."
    )
    x.grad = None
    x.backward([1.0, 3.0])
    assert x.grad.tolist() == [1.0, 3.0]


def test_kept_gradients_and_the_order_of_the_walk():
    x = fp.tensor([1.0, 2.0], requires_grad=True)
    a = x * 2
    a.retain_grad()
    b = a * 3
    c = a * 5
    (b * c).sum().backward()
    assert a.grad.tolist() == [60.0, 120.0]
    assert x.grad.tolist() == [120.0, 240.0]
    assert b.grad is None
    x.retain_grad()  # of a leaf, nothing to do


def test_the_axes_along_which_an_array_was_repeated():
    table = {
        ((2, 3), (2, 3)): (), ((2, 3), (3,)): (0,), ((2, 3), (2, 1)): (1,), ((4, 2, 3), (1, 3)): (0, 1), ((2, 1), (2, 1)): (),
        ((2, 3), ()): (0, 1), ((3,), (2, 3)): (), ((1, 3), (1, 1)): (1,), ((1, 1, 1), (1,)): (0, 1),
    }  # fmt: skip
    assert {key: broadcast_axes(*key) for key in table} == table


def test_exact_values_behind_results():
    x, y = np.array([[1.0, 2.0**-60], [3.0, 2.0**-600]]), np.array([2.0**-54, 1.0])
    behind = ExactFormula(lambda a, b, c: a * b + a if c else a, (x, y), {"c": True}, (2, 2))
    assert not behind.is_narrow
    mask = np.array([[True, True], [False, True]])
    wide = behind.wide(mask)
    assert wide.shape == (3,)
    np.testing.assert_array_equal(wide.value(), (x * y + x)[mask])
    differs, unsure = behind.judged(mask)
    assert (differs.tolist(), unsure.tolist()) == ([True, False, False], [False, False, True])
    narrow = ExactFormula(lambda a, b: a / b, (np.float32([1.0, 0.0]), np.float32([3.0, 0.0])), {}, (2,))
    assert narrow.is_narrow
    differs, unsure = narrow.judged(np.array([True, True]))
    assert (differs[0], unsure.tolist()) == (True, [False, True])
    scalar = ExactFormula(np.negative, (np.array(2.0),), {}, ())
    assert scalar.wide(np.array([True])).value().tolist() == [-2.0]
    held = ExactWide(
        Wide(np.array([1.0, 1.0, 0.0, 1.0]), np.array([2.0**-60, 0.0, 0.0, 0.0]), np.array([0, 0, 0, -1000]))
    )
    differs, unsure = held.judged(np.array([True, True, True, True]))
    assert (differs.tolist(), unsure.tolist()) == ([True, False, False, False], [False, False, False, True])
    assert held.wide(np.array([False, True, False, False])).value().tolist() == [1.0]
    assert not Exact.is_narrow
    for method in (Exact().wide, Exact().judged):
        with pytest.raises(NotImplementedError):
            method(mask)
