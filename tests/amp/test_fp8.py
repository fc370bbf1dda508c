"""FP8 and MX training: scales and histories, quantised operands bit for bit, products, counts, resuming, recipes."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fpsim as fp
import fpsim.nn as nn
import fpsim.nn.functional as F
from fpsim.amp.quantization import QuantizedCall
from tests.oracles.bits import assert_same

RECIPES = ("fp8_current", "fp8_current_14bit", "fp8_delayed", "mxfp8", "mxfp6", "mxfp4")
TYPES = {"float8_e4m3fn": (ml_dtypes.float8_e4m3fn, 448.0), "float8_e5m2": (ml_dtypes.float8_e5m2, 57344.0)}


def numbers(*shape, seed=0, spread=8):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) * np.exp2(rng.integers(-spread, 3, shape))).astype(np.float32)


# Scales --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fmt", TYPES)
@pytest.mark.parametrize("saturate", [True, False])
@pytest.mark.parametrize("scale", [1.0, 0.7, 3000.0, 2.0**40])
def test_quantised_values_are_ml_dtypes_bit_for_bit(fmt, saturate, scale):
    element, largest = TYPES[fmt]
    x = np.concatenate([numbers(40, 50), numbers(40, 50, seed=1, spread=30)])
    made = fp.amp.CurrentScaling(forward=fmt, saturate=saturate).quantizer().quantised(x, np.float32(scale), 1)
    scaled = x * np.float32(scale)
    wanted = (np.clip(scaled, -largest, largest) if saturate else scaled).astype(element).astype(np.float32)
    assert_same(np.nan_to_num(made.values, nan=-1), np.nan_to_num(wanted, nan=-1))
    assert np.isfinite(made.values).all() or not saturate


@given(st.floats(2.0**-149, 2.0**127, width=32), st.sampled_from(list(TYPES)), st.integers(-2, 3), st.booleans())
def test_the_scale_brings_amax_to_the_largest_number(amax, fmt, margin, power_of_two):
    scale = fp.amp.CurrentScaling(margin=margin, power_of_two=power_of_two).scale_for(amax, fp.Format(fmt))
    with np.errstate(over="ignore"):
        wanted = min(np.float32(TYPES[fmt][1] * 2.0**-margin) / np.float32(amax), np.finfo(np.float32).max)
    if power_of_two:
        assert np.frexp(scale)[0] == 0.5
        assert scale <= float(wanted) < 2 * float(scale)
    else:
        assert_same(scale, np.float32(wanted))


def test_a_tensor_without_a_size_has_scale_one():
    for amax in (0.0, np.inf, np.nan):
        assert fp.amp.CurrentScaling().scale_for(amax, fp.float8_e4m3fn) == 1


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from([0.0, 1e-20, 0.5, 3.0, 448.0, 7e4, np.inf, np.nan]), max_size=12),
    st.integers(1, 4),
    st.sampled_from(["max", "most_recent"]),
    st.sampled_from([0, 1]),
)
def test_delayed_scales_come_from_the_history_before(amaxes, length, algo, margin):
    """Transformer Engine, delayed_scaling.cu: an unusable amax keeps the scale, a NaN hides no number."""
    scaling = fp.amp.DelayedScaling(margin=margin, amax_history_len=length, amax_compute_algo=algo)
    quantizer, history, scale = scaling.quantizer(), [], np.float32(1)
    for amax in amaxes:
        assert quantizer.scale_of(np.float32([[amax, 0.0]]), update=True) == scale
        history = [amax, *history][:length]
        seen = [a for a in history if not np.isnan(a)]
        chosen = amax if algo == "most_recent" else max(seen, default=0.0)
        if np.isfinite(chosen) and chosen > 0:
            scale = np.float32(448 / 2**margin) / np.float32(chosen)
        assert quantizer.scale == scale
        assert_same(quantizer.history[: len(history)], np.float32(history))
    before = quantizer.state_dict()
    quantizer.scale_of(np.float32([[5.0]]), update=False)
    assert all(np.array_equal(before[k], v, equal_nan=True) for k, v in quantizer.state_dict().items())


# Products ------------------------------------------------------------------------------------------------------------


def by_ml_dtypes(x, fmt):
    """Values and scale of a tensor under current scaling."""
    element, largest = TYPES[fmt]
    scale = np.float32(largest) / np.abs(x).max()
    return np.clip(x * scale, -largest, largest).astype(element).astype(np.float64), np.float64(scale)


def product(a, b, equation):
    """Sums of quantised values, exact in float64; then one float32 factor."""
    (a, sa), (b, sb) = a, b
    return np.einsum(equation, a, b).astype(np.float32) * np.float32(1 / (sa * sb))


def test_a_layer_is_its_products_of_quantised_operands_forward_and_backward():
    x, w, b, g = numbers(2, 3, 5), numbers(4, 5, seed=1), numbers(4, seed=2), numbers(2, 3, 4, seed=3)
    layer = nn.Linear(5, 4, dtype=fp.Precision("float32", order="exact"))
    layer.load_state_dict({"weight": w, "bias": b})
    fp.amp.quantize(layer, fp.amp.CurrentScaling())
    data = fp.tensor(x, requires_grad=True)
    out = layer(data)
    out.backward(fp.tensor(g))
    qx, qw, qg = by_ml_dtypes(x, "float8_e4m3fn"), by_ml_dtypes(w, "float8_e4m3fn"), by_ml_dtypes(g, "float8_e5m2")
    assert_same(out.numpy(), product(qx, qw, "nti,oi->nto") + b)
    assert_same(data.grad.numpy(), product(qg, qw, "nto,oi->nti"))
    assert_same(layer.weight.grad.numpy(), product(qg, qx, "nto,nti->oi"))
    assert_same(layer.bias.grad.numpy(), g.astype(np.float64).sum((0, 1)).astype(np.float32))


def test_mx_blocks_lie_along_the_summed_axis_of_each_product():
    x, w, g = numbers(6, 8), numbers(5, 8, seed=1), numbers(6, 5, seed=3)
    layer = nn.Linear(8, 5, bias=False, dtype=fp.Precision("float32", order="exact"))
    layer.load_state_dict({"weight": w})
    fp.amp.quantize(layer, fp.amp.BlockScaling("mxfp4", backward="mxfp8_e5m2", block=4))
    data = fp.tensor(x, requires_grad=True)
    out = layer(data)
    out.backward(fp.tensor(g))

    def q(a, axis, name="mxfp4"):
        return fp.mx.round(a, name, axis=axis, block=4, pad=True).astype(np.float64)

    assert_same(out.numpy(), (q(x, 1) @ q(w, 1).T).astype(np.float32))
    assert_same(data.grad.numpy(), (q(g, 1, "mxfp8_e5m2") @ q(w, 0)).astype(np.float32))
    assert_same(layer.weight.grad.numpy(), (q(g, 0, "mxfp8_e5m2").T @ q(x, 0)).astype(np.float32))


def test_the_scaled_sum_and_the_bias_are_steps_of_the_accumulator():
    x, w, b = numbers(3, 5), numbers(4, 5, seed=1), numbers(4, seed=2)
    layer = nn.Linear(5, 4, dtype=fp.Precision("float16", "e5m6", order="exact"))
    layer.load_state_dict({"weight": w, "bias": b})
    fp.amp.quantize(layer, fp.amp.CurrentScaling())
    qx, qw = (by_ml_dtypes(fp.round(a, "float16"), "float8_e4m3fn") for a in (x, w))
    s = fp.round(np.einsum("ni,oi->no", qx[0], qw[0]), "e5m6")
    s = fp.round(s * np.float64(np.float32(1 / (qx[1] * qw[1]))), "e5m6")
    assert_same(layer(fp.tensor(x)).numpy(), fp.round(s + fp.round(b, "float16"), "e5m6").astype(np.float16))


def test_each_operand_is_rounded_once_a_call_and_again_only_for_other_blocks():
    counts = {}
    for scaling in (fp.amp.CurrentScaling(), fp.amp.BlockScaling()):
        layer = fp.amp.quantize(nn.Linear(40, 8), scaling)
        with fp.observe() as report:
            layer(fp.tensor(numbers(64, 40), requires_grad=True)).sum().backward()
        rows = [row for row in report.rows() if row["op"] == "quantize"]
        counts[type(scaling).__name__] = {(row["role"], row["phase"]): row["elements"] for row in rows}
    x, w, g = 64 * 40, 8 * 40, 64 * 8
    forward = {("activation", "forward"): x, ("weight", "forward"): w}
    assert counts["CurrentScaling"] == {**forward, ("gradient", "backward"): g}
    again = {("activation", "backward"): x, ("weight", "backward"): w}
    assert counts["BlockScaling"] == {**forward, **again, ("gradient", "backward"): 2 * g}


def test_two_backward_passes_scale_each_gradient_by_itself():
    layer = fp.amp.quantize(nn.Linear(4, 3, bias=False), fp.amp.CurrentScaling())
    x = fp.tensor(numbers(2, 4))
    out = layer(x)
    out.backward(fp.ones(2, 3), retain_graph=True)
    first, scale = layer.weight.grad.numpy(), layer.quantization.g.scale
    layer.zero_grad()
    out.backward(fp.full((2, 3), 2.0**-10))
    assert layer.quantization.g.scale == scale * 2**10
    assert_same(layer.weight.grad.numpy(), first * np.float32(2**-10))


# What is seen --------------------------------------------------------------------------------------------------------


def tiny_gradients(scaling):
    """The counts of a layer's gradient that is far below E5M2's range, in the first step and in the second."""
    layer = fp.amp.quantize(nn.Linear(16, 8), scaling)
    shares = []
    for _ in range(2):
        with fp.observe() as report:
            (layer(fp.tensor(numbers(32, 16))) * 1e-7).sum().backward()
        counts = report.total(op="quantize", role="gradient")
        shares.append(counts.to_zero / counts.elements)
    return shares


def test_without_a_scale_small_gradients_are_flushed_to_zero_with_one_they_are_not():
    assert tiny_gradients(fp.amp.DelayedScaling()) == [1.0, 0.0]  # the first scale is 1
    assert tiny_gradients(fp.amp.CurrentScaling()) == [0.0, 0.0]


def test_overflow_shows_in_the_counts_saturating_or_not():
    x = fp.tensor(np.float32([[1000.0, 1.0, -1e6]]))
    for saturate in (True, False):
        layer = fp.amp.quantize(nn.Linear(3, 2), fp.amp.DelayedScaling(saturate=saturate))  # its first scale is 1
        with fp.observe() as report:
            out = layer(x).numpy()
        assert report.total(op="quantize", role="activation").overflow == 2
        assert np.isfinite(out).all() == saturate


def test_observers_change_nothing_and_twins_are_not_quantised():
    made = {}
    for watched in (False, True):
        with fp.seed(1):
            layer = fp.amp.quantize(nn.Linear(6, 5), fp.amp.DelayedScaling(amax_history_len=3))
        x = fp.tensor(numbers(7, 6))
        if watched:
            with fp.observe(), fp.detect_anomaly(), fp.shadow() as report:
                for _ in range(3):
                    out = layer(x)
                    out.sum().backward()
                report.budget(out)
            plain = numbers(7, 6).astype(np.float64) @ layer.weight.numpy().astype(np.float64).T
            twin = report.twin(out)
            assert np.allclose(twin, plain + layer.bias.numpy(), rtol=1e-12)
            assert 1e-4 < report.total(op="quantized_linear", phase="forward").made.relative < 1
        else:
            for _ in range(3):
                out = layer(x)
                out.sum().backward()
        made[watched] = [out.numpy(), layer.weight.grad.numpy(), *layer.quantization.state_dict().values()]
    for a, b in zip(*made.values(), strict=True):
        assert_same(np.asarray(a), np.asarray(b))


def test_explain_names_the_operation():
    layer = fp.amp.quantize(nn.Linear(3, 2), fp.amp.CurrentScaling())
    found = fp.explain(layer, fp.ones(1, 3))
    assert found.formats() == {"quantized_linear": "float32"}
    assert found.rows()[0]["why"].endswith("float32; operands E4M3/E5M2, current scaling")


def test_passes_without_gradients_leave_the_history_alone():
    layer = fp.amp.quantize(nn.Linear(3, 2), fp.amp.DelayedScaling())
    with fp.no_grad():
        layer(fp.ones(1, 3))
    assert not layer.quantization.x.history.any()
    layer(fp.ones(1, 3))
    assert layer.quantization.x.history[0] == 1


def test_repr_and_copies():
    layer = fp.amp.quantize(nn.Linear(3, 2), fp.amp.BlockScaling("mxfp6", backward="mxfp4"))
    assert "(quantization): BlockScaling('mxfp6_e3m2', backward='mxfp4_e2m1') (x: mxfp6_e3m2, w: " in repr(layer)
    scaling = fp.amp.DelayedScaling(margin=2, power_of_two=True, saturate=False, amax_compute_algo="most_recent")
    assert repr(scaling) == (
        "DelayedScaling(E4M3 forward, E5M2 backward, margin=2, powers of two, not saturating, most recent of 16 amax)"
    )
    net = fp.amp.apply(nn.Sequential(nn.Linear(3, 2)), "fp8_delayed")
    same, _ = fp.amp.in_formats(net)
    assert same[0].quantization is not net[0].quantization is not None
    other, _ = fp.amp.in_formats(net, "float16")
    assert other[0].quantization is None


# Training ------------------------------------------------------------------------------------------------------------


def trained(recipe, steps, resume_at=None, path=None):
    """A small network's losses and weights."""
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(48, 12)), np.arange(48) % 5

    def new():
        with fp.seed(0):
            net = nn.Sequential(nn.Linear(12, 33), nn.ReLU(), nn.Linear(33, 5))
        optimizer = fp.optim.SGD(net.parameters(), lr=0.5, momentum=0.5)
        return fp.amp.apply(net, recipe, optimizer), optimizer

    net, optimizer = new()
    losses = []
    for step in range(steps):
        if step == resume_at:
            fp.save_checkpoint(path, step, net=net, optimizer=optimizer)
            net, optimizer = new()
            fp.load_checkpoint(path, net=net, optimizer=optimizer)
        optimizer.zero_grad()
        loss = F.cross_entropy(net(fp.tensor(x)), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, {name: np.asarray(value) for name, value in net.state_dict().items()}


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_learns(recipe):
    losses, _ = trained(recipe, 12)
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("recipe", ["fp8_delayed", "mxfp8"])
def test_a_resumed_run_gives_the_same_bits(recipe, tmp_path):
    losses, state = trained(recipe, 6)
    again, state_again = trained(recipe, 6, 3, tmp_path / "checkpoint")
    assert losses == again
    assert state.keys() == state_again.keys()
    for name in state:
        assert_same(state[name], state_again[name])
    if recipe == "fp8_delayed":
        assert (state["0.quantization.g.history"] > 0).sum() == 6


def test_columns_name_the_quantisation():
    columns = fp.amp.recipe("fp8_delayed").columns()
    assert columns["compute"] == "float32, fc E4M3/E5M2, delayed scaling"
    assert fp.amp.recipe("fp8_current_14bit").accumulate == "float32, fc blocked:128@e8m13"
    assert fp.amp.recipe("mxfp4").compute == "float32, fc mxfp4_e2m1"
    assert set(RECIPES) <= set(fp.amp.RECIPES)


def test_the_convolutions_of_a_network_stay_as_they_are():
    net = fp.amp.apply(nn.LeNet(), "mxfp6")
    assert net(fp.zeros(2, 1, 32, 32)).shape == (2, 10)
    assert [n for n, m in net.named_modules() if getattr(m, "quantization", None) is not None] == ["fc1", "fc2"]


def test_a_transformers_layers_are_quantised_but_not_its_tied_head():
    net = fp.amp.apply(nn.TransformerLM(7, width=8, heads=2, layers=1, context=4), "fp8_current")
    F.cross_entropy(net(np.arange(4)[None] % 7).reshape(-1, 7), np.arange(4)).backward()
    layers = {n for n, m in net.named_modules() if getattr(m, "quantization", None) is not None}
    assert layers == {f"blocks.0.{part}" for part in ("attention.qkv", "attention.out", "mlp.up", "mlp.down")}
    assert all(net.get_submodule(name).quantization.g.amax > 0 for name in layers)


def test_a_call_of_its_own_serves_the_operation():
    """Metadata can be reused, as by the selftest: blocks have no state."""
    call = QuantizedCall(fp.amp.Quantization(fp.amp.BlockScaling(block=4)))
    for seed in range(2):
        x = numbers(3, 8, seed=seed)
        assert_same(call.x(x, 1).values, fp.mx.round(x, "mxfp8", block=4))
