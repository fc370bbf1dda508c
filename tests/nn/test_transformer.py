"""The small language model: against PyTorch's modules, its two attentions, its parts, its start, its bounds.

Tests only. PyTorch's values come from ``tests/oracles``; torch itself is not needed.
"""

import numpy as np
import pytest

import fpsim as fp
import fpsim.nn as nn
import fpsim.nn.functional as F
from tests.oracles.bits import same
from tests.oracles.small_transformer import OPTIMIZERS, SIZES, batches, shapes, weights
from tests.oracles.torch_values import assert_near, load

RECORDED = load("transformer")
TOLERANCE = {"float64": 1e-11, "float32": 1e-5}


def run(fmt, optimizer, seed=0, **sizes):
    """The first scores and gradients, and the losses of all steps."""
    sizes = sizes or SIZES
    with fp.default_precision(fmt):
        net = nn.TransformerLM(**sizes)
    net.load_state_dict(weights(seed, **sizes))
    steps = eval(OPTIMIZERS[optimizer], {"optim": fp.optim, "parameters": list(net.parameters())})
    found = {"losses": []}
    for x, y in batches(seed + 1, **sizes):
        scores = net(x)
        loss = F.cross_entropy(scores.flatten(0, 1), y.ravel())
        steps.zero_grad()
        loss.backward()
        if not found["losses"]:
            found["scores"] = np.asarray(scores)
            found["gradients"] = {name: np.asarray(p.grad) for name, p in net.named_parameters()}
        steps.step()
        found["losses"].append(loss.item())
    return found


def assert_torchs(found, expected, fmt):
    assert_near(found["scores"], expected["scores"], TOLERANCE[fmt], "scores")
    np.testing.assert_allclose(found["losses"], expected["losses"], rtol=TOLERANCE[fmt])
    assert found["gradients"].keys() == expected["gradients"].keys()
    for name, theirs in expected["gradients"].items():
        # a constant added to all keys changes nothing: that third of the bias has a gradient of nothing but rounding
        assert_near(found["gradients"][name], theirs, TOLERANCE[fmt], name)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("fmt", ["float64", "float32"])
def test_scores_gradients_and_ten_losses_are_torchs(fmt, optimizer):
    assert_torchs(run(fmt, optimizer), RECORDED[fmt][optimizer], fmt)


# Attention as one operation and as several --------------------------------------------------------------------------


def small(**options):
    """The same small network, whatever the attention."""
    with fp.seed(3):
        return nn.TransformerLM(vocabulary=7, width=8, heads=2, layers=2, context=5, **options)


TOKENS = np.arange(10).reshape(2, 5) % 7


def scores_and_gradients(net):
    scores = net(TOKENS)
    F.cross_entropy(scores.flatten(0, 1), (TOKENS.ravel() * 3 + 1) % 7).backward()
    return np.asarray(scores), {name: np.asarray(p.grad) for name, p in net.named_parameters()}


def test_composed_attention_is_fused_attention():
    with fp.default_precision("float64"):
        (a, grads), (b, others) = (scores_and_gradients(small(attention=kind)) for kind in ("fused", "composed"))
    assert_near(a, b, 1e-13, "scores")
    assert grads.keys() == others.keys()
    for name, g in grads.items():
        assert_near(g, others[name], 1e-12, name)


def test_a_finite_mask_that_is_large_enough_is_minus_infinity():
    a, b = (small(attention="composed", **more)(TOKENS) for more in ({}, {"mask_value": -1e4}))
    assert same(np.asarray(a), np.asarray(b)).all()


@pytest.mark.parametrize("attention", ["fused", "composed"])
def test_no_position_sees_a_later_one(attention):
    net = small(attention=attention)
    changed = TOKENS.copy()
    changed[:, 3:] = 6 - changed[:, 3:]
    a, b = (np.asarray(net(tokens)) for tokens in (TOKENS, changed))
    assert same(a[:, :3], b[:, :3]).all()
    assert not same(a[:, 3:], b[:, 3:]).all()


def test_rounding_stands_between_the_steps_of_composed_attention_alone():
    """Logits beyond float16's largest number: a float32 accumulator carries them, float16 storage does not."""
    q, v = fp.full((1, 2, 4), 200.0, dtype="float16/float32"), fp.ones(1, 2, 4, dtype="float16/float32")
    fused = F.scaled_dot_product_attention(q, q, v, is_causal=True)
    composed = F.softmax(q @ q.transpose(-2, -1) * 0.5, -1) @ v
    assert np.asarray(fused).tolist() == np.ones((1, 2, 4)).tolist()
    assert np.isnan(np.asarray(composed)).all()


def test_a_query_that_may_look_nowhere_gets_zeros_where_softmax_gives_nan():
    q = fp.ones(1, 2, 3, requires_grad=True)
    keep = np.array([[True, False], [False, False]])
    out = F.scaled_dot_product_attention(q, q, q, keep)
    out.sum().backward()
    assert np.asarray(out).tolist() == [[[1.0] * 3, [0.0] * 3]]
    assert np.isfinite(np.asarray(q.grad)).all()
    naive = F.softmax(fp.where(keep, q @ q.transpose(-2, -1), -np.inf), -1)
    assert np.isnan(np.asarray(naive)).tolist() == [[[False, False], [True, True]]]


def test_a_second_backward_with_another_gradient_takes_that_one():
    """The gradient of the scores is kept for three arguments of one pass, not for the next."""
    x = fp.tensor(np.arange(6.0).reshape(1, 3, 2) / 4, requires_grad=True)
    out = F.scaled_dot_product_attention(x, x, x, is_causal=True)
    out.backward(np.ones((1, 3, 2)), retain_graph=True)
    once = np.asarray(x.grad)
    x.grad = None
    out.backward(2 * np.ones((1, 3, 2)))
    assert same(np.asarray(x.grad), 2 * once).all()


# Observed -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float64", "float16/float32"])
@pytest.mark.parametrize("observer", [fp.shadow, fp.observe, fp.detect_anomaly])
def test_observers_change_no_bit(precision, observer):
    plain = scores_and_gradients(fp.amp.apply(small(), precision))
    with observer() as report:
        observed = scores_and_gradients(fp.amp.apply(small(), precision))
    assert same(plain[0], observed[0]).all()
    assert all(same(plain[1][name], observed[1][name]).all() for name in plain[1])
    if observer is fp.shadow and precision == "float16/float32":  # the steps' errors are far below that of storage
        assert report.total(op="scaled_dot_product_attention").made.ulp_max < 0.51
    if observer is fp.observe:
        assert "blocks.1.attention" in repr(report.to_dict())


def test_explain_names_the_operation():
    net = small()
    assert "scaled_dot_product_attention" in str(fp.explain(net, TOKENS))


# The start ----------------------------------------------------------------------------------------------------------


def test_weights_start_as_gpt2s():
    with fp.seed(0):
        net = nn.TransformerLM(vocabulary=50, width=64, heads=4, layers=2, context=32)
    for name, p in net.named_parameters():
        values = np.asarray(p.detach())
        if p.ndim == 1:
            assert (values == ("norm" in name and name.endswith("weight"))).all(), name
        else:
            expected = 0.01 if name.endswith(("attention.out.weight", "mlp.down.weight")) else 0.02
            assert abs(values.std() / expected - 1) < 0.05, name
            assert abs(values.mean()) < 0.05 * expected, name


def test_the_parameters_are_those_that_pytorch_has():
    net = nn.TransformerLM(**SIZES)
    assert {name: p.shape for name, p in net.named_parameters()} == shapes(**SIZES)


@pytest.mark.parametrize("attention", ["fused", "composed"])
def test_dropout_drops_in_training_alone(attention):
    net = small(dropout=0.5, attention=attention)
    with fp.seed(0):
        a, b = np.asarray(net(TOKENS)), np.asarray(net(TOKENS))
    assert not same(a, b).all()
    net.eval()
    assert same(np.asarray(net(TOKENS)), np.asarray(small(attention=attention)(TOKENS))).all()
