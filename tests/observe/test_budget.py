"""The error budget: what each rounding alone does to an output, nothing with all of them off, all of it with all on."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import fpsim as fp
import fpsim.nn as nn
import fpsim.nn.functional as F
from fpsim.errors import ArgumentError, ArgumentTypeError, ObserverError, ShapeError
from fpsim.observe.replay import SOURCES, replay


def float64s(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def recipe_of(report, y):
    return report._narrow.twins.known(y).recipe


FUNCTIONS = {
    "matmul": lambda x, w: x @ w,
    "a chain": lambda x, w: fp.tanh(x @ w * 0.7).mean(dim=0),
    "softmax": lambda x, w: F.log_softmax(x @ w, dim=1),
    "norm": lambda x, w: F.layer_norm(x @ w, (6,)),
    "einsum": lambda x, w: fp.einsum("ij,jk->k", x, w) / 3,
    "moves": lambda x, w: fp.concatenate([(x @ w)[:, 1:].T, x[:5, :2].reshape(5, 2)], 1).sum(),
    "choices": lambda x, w: fp.maximum(F.relu(x @ w), 0.3) - w.max(),
    "twice": lambda x, w: (x @ w) * (x @ w) + (x @ w),
}
PRECISIONS = ["float16", "float16/float32", "bfloat16/float32", "float32", "float8_e5m2/float16"]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_all_four_off_is_exactly_the_twin_and_all_four_on_is_the_result_bit_for_bit(function, precision):
    with fp.shadow() as report:
        x = fp.tensor(float64s((8, 5)), precision=precision)
        w = fp.tensor(float64s((5, 6), 1), precision=precision, requires_grad=True)
        y = FUNCTIONS[function](x, w)
    recipe = recipe_of(report, y)
    assert_array_equal(replay(recipe), report.twin(y))
    assert_array_equal(replay(recipe, *SOURCES), y.numpy().astype(np.float64))
    budget = report.budget(y)
    assert_array_equal(budget.off, 0)
    assert_array_equal(budget.total, report.error(y))
    assert_array_equal(budget.interaction, budget.total - sum(budget.parts.values()))
    assert np.any(budget.parts["x"])
    assert np.any(budget.parts["w"])


def test_of_a_product_each_part_is_what_one_would_compute_by_hand():
    x64, w64 = float64s((7, 50)), float64s((50, 4), 1)
    with fp.shadow() as report:
        x = fp.tensor(x64, dtype="float16")
        w = fp.tensor(w64, dtype="float16", requires_grad=True)
        y = x @ w
    budget = report.budget(y)
    exact = x64 @ w64
    x16, w16 = (t.numpy().astype(np.float64) for t in (x, w))
    assert_array_equal(budget.reference, exact)
    assert_array_equal(budget.parts["x"], x16 @ w64 - exact)
    assert_array_equal(budget.parts["w"], x64 @ w16 - exact)
    assert_array_equal(budget.parts["operations"], exact.astype(np.float16).astype(np.float64) - exact)
    in_accumulator = fp.Accumulator("float16").matmul(x16, w16) - x16 @ w16
    assert_allclose(budget.parts["accumulation"], in_accumulator, rtol=1e-12, atol=1e-15)
    assert np.abs(budget.parts["accumulation"]).mean() > np.abs(budget.parts["operations"]).mean()


@pytest.mark.parametrize(
    ("precision", "made_exactly", "absent"),
    [
        ("float16/float64", ("x", "w", "operations"), "accumulation"),
        ("float64", (), "x w operations accumulation"),
    ],
)
def test_what_does_not_round_has_no_part(precision, made_exactly, absent):
    with fp.shadow() as report:
        x = fp.tensor(float64s((7, 50)), precision=precision)
        w = fp.tensor(float64s((50, 4), 1), precision=precision, requires_grad=True)
        y = x @ w
    parts = report.budget(y).parts
    for source in SOURCES:
        assert bool(np.any(np.abs(parts[source]) > 1e-13)) == (source in made_exactly)
    assert all(source in SOURCES for source in absent.split())


def test_casts_of_weights_and_inputs_are_their_rounding():
    """Mixed precision: float32 weights, rounded to float16 inside the network at every step."""
    with fp.seed(0):
        model = nn.Linear(20, 4)
    data = float64s((6, 20)).astype(np.float32)
    x = fp.tensor(data)
    with fp.shadow() as report, fp.amp.autocast("float16"):
        y = model(x)
    parts = report.budget(y).parts
    x64, w64, b64 = (t.detach().numpy().astype(np.float64) for t in (x, model.weight, model.bias))
    of_w = x64 @ w64.astype(np.float16).astype(np.float64).T + b64.astype(np.float16) - (x64 @ w64.T + b64)
    of_x = (data.astype(np.float16).astype(np.float64) - x64) @ w64.T
    assert_allclose(parts["w"], of_w, rtol=1e-9, atol=1e-14)
    assert_allclose(parts["x"], of_x, rtol=1e-9, atol=1e-14)
    assert_array_equal(replay(recipe_of(report, y), *SOURCES), y.numpy().astype(np.float64))


def test_a_network_with_its_loss():
    with fp.seed(0):
        model = nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.25),
            nn.Linear(27, 4),
        )  # fmt: skip
    fp.amp.apply(model, "float16/float32")
    with fp.seed(3), fp.shadow() as report:
        x = fp.tensor(float64s((5, 1, 8, 8)), dtype="float16")
        loss = F.cross_entropy(model(x), np.array([0, 1, 2, 3, 0]))
        loss.backward()
    budget = report.budget(loss)
    assert_array_equal(budget.off, 0)
    assert_array_equal(replay(recipe_of(report, loss), *SOURCES), loss.item())
    assert abs(budget.interaction) < abs(budget.total) + sum(abs(part) for part in budget.parts.values())


@given(st.integers(0, 30), st.sampled_from(["float16", "bfloat16"]))
def test_the_parts_of_small_errors_nearly_add_up(seed, fmt):
    """The interaction of four errors of relative size u is of size u**2: the budget is first order."""
    with fp.shadow() as report:
        x = fp.tensor(float64s((4, 6), seed), precision=f"{fmt}/float32")
        w = fp.tensor(float64s((6, 3), seed + 1), precision=f"{fmt}/float64", requires_grad=True)
        y = (x @ w).to(fp.Precision("float64"))
    budget = report.budget(y)
    u = fp.Format(fmt).unit_roundoff
    magnitudes = np.abs(float64s((4, 6), seed)) @ np.abs(float64s((6, 3), seed + 1))
    rounding_again = 2 * u * np.abs(budget.reference) + 4 * u * u * magnitudes  # the output may round to another side
    assert np.all(np.abs(budget.interaction) <= 1.01 * rounding_again + 3 * u * u * magnitudes)


def test_leaves_made_before_the_block_have_exact_values_where_told():
    data, weights = float64s((3, 4)), float64s((4, 2), 1)
    x, w = fp.tensor(data, dtype="float16"), fp.tensor(weights, dtype="float16")
    with fp.shadow() as report:
        y = x @ w
    assert not np.any(report.budget(y).parts["x"])
    told = report.budget(y, weights=[w], exact={x: data, w: weights})
    assert_array_equal(told.reference, data @ weights)
    assert_array_equal(told.parts["w"], data @ w.numpy().astype(np.float64) - data @ weights)
    assert_array_equal(told.parts["x"], x.numpy().astype(np.float64) @ weights - data @ weights)
    assert_array_equal(told.total, y.numpy() - data @ weights)
    assert_array_equal(told.off, 0)


def test_after_training_steps_w_stands_for_all_that_rounding_did_to_the_weights():
    with fp.seed(0):
        model = nn.Linear(4, 2).half()
    optimizer = fp.optim.SGD(model.parameters(), lr=0.1)
    with fp.shadow() as report:
        for _ in range(3):
            optimizer.zero_grad()
            model(fp.tensor(float64s((5, 4)), dtype="float16")).sum().backward()
            optimizer.step()
        y = model(fp.tensor(float64s((5, 4)), dtype="float16"))
    budget = report.budget(y)
    assert_array_equal(budget.off, 0)
    moved = report.error(model.weight)
    assert_allclose(budget.parts["w"], float64s((5, 4)) @ moved.T + report.error(model.bias), rtol=1e-9, atol=1e-12)


def test_of_parameters_with_masters_w_is_the_masters_rounding():
    with fp.seed(0):
        model = nn.Linear(4, 2)
    fp.amp.apply(model, "float16_masters", fp.optim.SGD(model.parameters(), lr=0.1))
    with fp.shadow() as report:
        y = model(fp.tensor(float64s((5, 4)), dtype="float16"))
    weight, bias = (p.numpy().astype(np.float64) - p.master.numpy() for p in (model.weight, model.bias))
    assert np.any(weight)
    assert_allclose(report.budget(y).parts["w"], float64s((5, 4)) @ weight.T + bias, rtol=1e-9, atol=1e-13)


def test_a_budget_goes_through_detached_tensors():
    with fp.shadow() as report:
        x = fp.tensor(float64s((3, 4)), dtype="float16")
        w = fp.tensor(float64s((4, 2), 1), dtype="float16", requires_grad=True)
        y = fp.tanh(x @ w)
        z = y.detach() * 2
    of_y, of_z = report.budget(y), report.budget(z)
    for source in SOURCES:
        assert_array_equal(of_z.parts[source], 2 * of_y.parts[source])


def test_stochastic_rounding_is_another_draw_in_every_part():
    precision = fp.Precision("float16", rounding="stochastic", acc_rounding="stochastic")
    with fp.seed(0), fp.shadow() as report:
        x = fp.tensor(float64s((4, 6)), precision=precision)
        y = x @ fp.tensor(float64s((6, 3), 1), precision=precision)
    budget = report.budget(y)
    assert_array_equal(budget.off, 0)
    assert_array_equal(budget.total, report.error(y))


def test_an_overflow_is_an_infinite_part():
    with fp.shadow() as report:
        x = fp.tensor([300.0, 1.1], dtype="float16")
        y = x * x
    budget = report.budget(y)
    assert np.isinf(budget.parts["operations"][0])
    assert "inf" in budget.table()
    json.loads(budget.to_json())


def test_a_long_chain_is_replayed_without_recursion():
    x = fp.tensor([0.3], dtype="float16")
    with fp.shadow() as report:
        y = x
        for _ in range(3000):
            y = y * 1.001
    assert_array_equal(report.budget(y).off, 0)


def test_without_an_argument_it_is_the_last_results():
    with fp.shadow() as report:
        x = fp.tensor(float64s((3, 4)), dtype="float16")
        y = fp.tanh(x * 3)
    assert report.budget().to_dict() == report.budget(y).to_dict()
    del y
    with pytest.raises(ObserverError) as caught:
        report.budget()
    assert str(caught.value) == "budget: expected a result that still exists, got none; pass y of y = f(x, w)."


def test_every_form_of_the_budget():
    with fp.shadow() as report:
        y = fp.tensor(float64s((3, 4)), dtype="float16") @ fp.tensor(float64s((4, 2)), dtype="float16")
    budget = report.budget(y)
    names = [row["source"] for row in budget.rows()]
    assert names == [*SOURCES, "interaction", "total"]
    assert "With all four off the error is exactly 0." in repr(budget)
    found = json.loads(budget.to_json())
    assert found["off"] == 0
    assert found["format"] == "float16"
    assert [row["source"] for row in found["rows"]] == names
    assert "interaction" in budget._repr_html_()
    assert len(budget.plot().axes) == 1


@pytest.mark.parametrize(
    ("ask", "error", "text"),
    [
        (
            lambda report, x, y: report.budget(x), ObserverError,
            "budget: expected the result of operations inside the block, got a tensor that no operation made there; "
            "pass y of y = f(x).",
        ),
        (
            lambda report, x, y: report.budget(y.numpy()), ArgumentTypeError,
            "budget: expected a tensor, got ndarray; pass the result itself.",
        ),
        (
            lambda report, x, y: report.budget(y, weights=[y]), ArgumentError,
            "budget: expected tensors that the output was made from, got weights with one that is not; leave it out.",
        ),
        (
            lambda report, x, y: report.budget(y, exact={x: [1.0]}), ShapeError,
            "budget: expected exact values of shape (2,), got shape=(1,); give one per element.",
        ),
    ],
)  # fmt: skip
def test_what_a_budget_refuses(ask, error, text):
    x = fp.tensor([0.1, 0.2], dtype="float16")
    with fp.shadow() as report:
        y = x * 2
    with pytest.raises(error) as caught:
        ask(report, x, y)
    assert str(caught.value) == text
