"""Autocast: each operation's result format, nesting, float64, no stale weights, and the formats of backward."""

import numpy as np
import pytest

import fpsim as fp
import fpsim.nn.functional as F
from fpsim.autograd import OPS

IMAGE = (2, 3, 6, 6)
LABELS = np.array([0, 2])


def narrow(*shape):
    return fp.full(shape, 0.5, dtype="float16")


def wide(*shape):
    return fp.full(shape, 0.5)


QUANTIZATION = fp.amp.Quantization(fp.amp.CurrentScaling())

#: operation, a call of it, and the format of its result under autocast("float16")
LOWER = {
    "conv2d": lambda: F.conv2d(wide(*IMAGE), wide(4, 3, 3, 3), wide(4)),
    "linear": lambda: F.linear(wide(2, 3), wide(4, 3), wide(4)),
    "matmul": lambda: wide(2, 3) @ wide(3, 4),
    "einsum": lambda: fp.einsum("ij,jk->ik", wide(2, 3), wide(3, 4)),
    "quantized_linear": lambda: F.linear(wide(2, 3), wide(4, 3), wide(4), quantization=QUANTIZATION),
    "scaled_dot_product_attention": lambda: F.scaled_dot_product_attention(*[wide(2, 3, 4)] * 3),
}
FLOAT32 = {
    "exp": lambda: narrow(2).exp(),
    "log": lambda: narrow(2).log(),
    "power": lambda: narrow(2) ** narrow(2),
    "power_integer": lambda: narrow(2) ** 2,
    "sum": lambda: narrow(2).sum(),
    "softmax": lambda: narrow(2, 3).softmax(1),
    "log_softmax": lambda: narrow(2, 3).log_softmax(1),
    "cross_entropy": lambda: F.cross_entropy(narrow(2, 3), LABELS),
    "nll": lambda: F.nll_loss(narrow(2, 3), LABELS),
    "bce_with_logits": lambda: F.binary_cross_entropy_with_logits(narrow(2), wide(2)),
}
LAYER_NORM = {"normalize": lambda: F.layer_norm(narrow(2, 3), (3,), wide(3), wide(3))}
INPUT = {
    "relu": lambda x: x.relu(),
    "tanh": lambda x: x.tanh(),
    "sigmoid": lambda x: x.sigmoid(),
    "gelu": lambda x: x.gelu(),
    "sqrt": lambda x: x.sqrt(),
    "abs": lambda x: abs(x),
    "negative": lambda x: -x,
    "clip": lambda x: x.clip(0, 1),
    "mean": lambda x: x.mean(),
    "var": lambda x: x.var(),
    "max": lambda x: x.max(),
    "min": lambda x: x.min(),
    "max_pool2d": lambda x: F.max_pool2d(x, 2),
    "avg_pool2d": lambda x: F.avg_pool2d(x, 2),
    "dropout": lambda x: F.dropout(x, 0.5, rng=np.random.default_rng(0)),
    "reshape": lambda x: x.reshape(-1),
    "getitem": lambda x: x[0],
    "add": lambda x: x + 1.0,
    "multiply": lambda x: x * 2.0,
}
PROMOTE = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / y,
    "maximum": lambda x, y: fp.maximum(x, y),
    "where": lambda x, y: fp.where(np.ones(x.shape, bool), x, y),
    "concatenate": lambda x, y: fp.cat([x, y]),
    "stack": lambda x, y: fp.stack([x, y]),
}


@pytest.mark.parametrize("op", LOWER)
def test_products_run_in_float16_and_accumulate_in_float32(op):
    with fp.autocast("float16"):
        assert LOWER[op]().precision == fp.Precision("float16/float32")
    assert LOWER[op]().precision == fp.Precision("float32")


@pytest.mark.parametrize("call", (FLOAT32 | LAYER_NORM).values(), ids=FLOAT32 | LAYER_NORM)
def test_sensitive_operations_run_in_float32(call):
    with fp.autocast("float16"):
        assert call().precision == fp.Precision("float32")


@pytest.mark.parametrize("op", INPUT)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_others_keep_their_inputs_format(op, dtype):
    with fp.autocast("float16"):
        result = INPUT[op](fp.full(IMAGE, 0.5, dtype=dtype))
    assert result.dtype.name == dtype
    assert result.accumulate.holds(fp.float32)


@pytest.mark.parametrize("op", PROMOTE)
def test_mixed_inputs_give_the_widest_format(op):
    with fp.autocast("float16"):
        assert PROMOTE[op](narrow(2), wide(2)).dtype.name == "float32"
        assert PROMOTE[op](narrow(2), narrow(2)).dtype.name == "float16"


def test_a_number_over_a_tensor_is_pytorchs_reciprocal_and_runs_in_float32():
    x = fp.tensor([3.0], dtype="float16")
    with fp.autocast("float16"):
        assert (1 / x).precision == x.reciprocal().precision == fp.Precision("float32")
        assert (1 / x).item() == float(np.float32(1 / 3))
        assert [y.dtype.name for y in (x / 3, x / x, np.float32(2) / x)] == ["float16", "float16", "float32"]
        with fp.autocast(enabled=False):
            assert (1 / x).dtype.name == "float16"
        assert (1 / x.double()).dtype.name == "float64"
    assert (1 / x).item() == x.reciprocal().item() == float(np.float16(1 / 3))
    x.requires_grad = True
    with fp.autocast("float16"):
        (2 / x).sum().backward()
    assert x.grad.item() == float(np.float16(-2 / 9))


def test_every_operation_has_a_rule_that_is_tested_here():
    rules = {op: fp.amp.op_lists().rule(op) for op in OPS}
    assert {op for op, rule in rules.items() if rule == "lower"} == set(LOWER)
    normalisations = {"layer_norm", "normalize"}
    assert {op for op, rule in rules.items() if rule == "float32"} - normalisations - {"mse_loss"} == set(FLOAT32)


def test_the_lists_can_be_read_and_printed():
    lists = fp.amp.op_lists()
    assert "conv2d" in lists.lower
    assert "mse_loss" in lists.float32
    assert lists.banned == ("binary_cross_entropy",)
    text = str(lists)
    assert text.startswith("in the format of autocast:\n    fpsim    conv2d einsum linear matmul quantized_linear")


@pytest.mark.parametrize("op", LOWER)
def test_float64_is_never_cast(op):
    with fp.autocast("float16"), fp.default_precision("float64"):
        assert LOWER[op]().dtype.name == "float64"


def test_autocast_nests_and_a_disabled_block_gives_the_inputs_formats():
    x, w = wide(2, 3), wide(3, 4)
    with fp.autocast("float16"):
        y = x @ w
        with fp.autocast(enabled=False):
            assert (x @ w).dtype.name == "float32"
            assert y.sum().precision == fp.Precision("float16/float32")
            with fp.autocast("bfloat16"):
                assert (x @ w).dtype.name == "bfloat16"
        assert (x @ w).dtype.name == "float16"
    assert (x @ w).dtype.name == "float32"


@pytest.mark.parametrize(
    ("block", "precision"),
    [
        (lambda: fp.autocast("cuda"), "float16/float32"),
        (lambda: fp.autocast("cuda", dtype=fp.float16), "float16/float32"),
        (lambda: fp.autocast("cuda", fp.bfloat16), "bfloat16/float32"),
        (lambda: fp.autocast(device_type="cuda", dtype="bfloat16"), "bfloat16/float32"),
        (lambda: fp.autocast("cuda", dtype=fp.float16, enabled=False), "float32"),
        (lambda: fp.amp.autocast(), "float16/float32"),
        (lambda: fp.autocast(fp.float8_e4m3fn), "float8_e4m3fn/float32"),
        (lambda: fp.autocast("float16/float16"), "float16"),
    ],
)
def test_pytorchs_spellings_and_an_accumulator_of_ones_own(block, precision):
    with block():
        assert (wide(2, 3) @ wide(3, 4)).precision == fp.Precision(precision)


def test_a_decorator_works_on_recursive_functions():
    @fp.autocast("float16")
    def product(n):
        return product(n - 1) if n else wide(2, 3) @ wide(3, 4)

    assert product(3).dtype.name == "float16"
    assert (wide(2, 3) @ wide(3, 4)).dtype.name == "float32"


def test_an_exception_ends_autocast():
    with pytest.raises(fp.ShapeError), fp.autocast("float16"):
        wide(2, 3) @ wide(2, 3)
    assert (wide(2, 3) @ wide(3, 2)).dtype.name == "float32"


def test_the_gradient_of_a_float32_weight_is_float32_and_passed_through_float16():
    w = fp.tensor([[1.0, 2.0]], requires_grad=True)
    x = fp.tensor([[1.0 + 2.0**-12], [3.0]])
    with fp.autocast("float16"):
        loss = (w @ x).sum()
    assert loss.dtype.name == "float32"
    loss.backward()  # outside the block, as in PyTorch
    assert w.grad.dtype.name == "float32"
    assert w.grad.tolist() == [[1.0, 3.0]]  # x was rounded to float16


def test_small_gradients_underflow_on_their_way_through_float16():
    w = fp.tensor([[1.0]], requires_grad=True)
    with fp.autocast("float16"):
        loss = (w @ fp.tensor([[2.0**-20]])).sum() * 2.0**-10
    loss.backward()
    assert w.grad.item() == 0.0


def test_weights_are_cast_anew_after_an_update():
    w = fp.tensor([[1.0]], requires_grad=True)
    with fp.autocast("float16"):
        before = (w @ w).item()
        with fp.no_grad():
            w += 1.0
        assert (before, (w @ w).item()) == (1.0, 4.0)


def test_modules_run_under_autocast_rather_than_in_their_own_precision():
    net = fp.nn.LeNet()
    x = fp.zeros(1, 1, 32, 32)
    with fp.autocast("float16"):
        assert net.conv1(x).precision == fp.Precision("float16/float32")
        loss = F.cross_entropy(net(x), np.array([3]))
    assert loss.dtype.name == "float32"
    loss.backward()
    assert {p.grad.dtype.name for p in net.parameters()} == {"float32"}


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: fp.autocast("float64"),
            "autocast: expected a format that float32 holds, got dtype=float64; use float16 or bfloat16.",
        ),
        (
            lambda: fp.autocast("float16", dtype="bfloat16"),
            "autocast: expected one format, got 'float16' and dtype='bfloat16'; give one of the two.",
        ),
    ],
)
def test_what_is_not_a_format_for_autocast_names_its_remedy(call, text):
    with pytest.raises(fp.ArgumentError) as error:
        call()
    assert str(error.value) == text
