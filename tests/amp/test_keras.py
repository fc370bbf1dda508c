"""Keras's loop and its map of policies: scale, skipped steps, `apply(grads)`; keys as Keras matches them."""

import numpy as np
import pytest

import fpsim as fp

keras = fp.amp.keras


def wrapped(**options):
    w = fp.tensor([1.0, 2.0], requires_grad=True)
    return w, keras.LossScaleOptimizer(fp.optim.SGD([w], lr=0.5), **options)


def test_the_scale_follows_kerass_table():
    w, optimizer = wrapped(initial_scale=1024.0, dynamic_growth_steps=3)
    history = []
    for letter in "GGIGGGIIGGGGGIGGG":
        optimizer.zero_grad()
        optimizer.scale_loss((w * fp.tensor([1.0, np.inf if letter == "I" else 1.0])).sum()).backward()
        assert optimizer.step().skipped == (letter == "I")
        history.append(optimizer.dynamic_scale)
    assert history == [1024, 1024, 512, 512, 512, 1024, 512, 256, 256, 256, 512, 512, 512, 256, 256, 256, 512]


def test_gradients_are_divided_and_not_multiplied_by_a_reciprocal():
    w, optimizer = wrapped(initial_scale=49.0)
    optimizer.apply([fp.tensor([5.0, 49.0])])
    assert w.tolist() == [float(np.float32(1 - 0.5 * np.float32(5) / np.float32(49))), 1.5]


def test_apply_takes_a_gradient_for_each_variable_and_none_for_no_gradient():
    w, b = fp.tensor([1.0], requires_grad=True), fp.tensor([1.0], requires_grad=True)
    optimizer = keras.LossScaleOptimizer(fp.optim.SGD([w, b], lr=1.0), initial_scale=8.0)
    b.grad = fp.tensor([100.0])  # of another pass: not used
    assert not optimizer.apply([fp.tensor([4.0]), None], [w, b]).skipped
    assert (w.item(), b.item()) == (0.5, 1.0)
    assert optimizer.apply([fp.tensor([np.nan])], [w]).skipped


def test_the_learning_rate_is_the_wrapped_optimizers():
    _, optimizer = wrapped()
    optimizer.learning_rate = 0.25
    assert optimizer.inner_optimizer.param_groups[0]["lr"] == optimizer.learning_rate == 0.25
    assert repr(optimizer).endswith("dynamic_scale=32768)")


def test_a_key_is_the_path_itself_or_else_found_in_it():
    policies = keras.DTypePolicyMap("float32", {"fc1": "mixed_float16", "conv": "mixed_bfloat16", "fc.$": "float16"})
    assert policies["fc1"] == fp.amp.policy("mixed_float16")  # although fc.$ is found in it as well
    assert policies["fc2"] == fp.amp.policy("float16")
    assert policies["block.conv2.weight"] == fp.amp.policy("mixed_bfloat16")
    assert policies["head"] == policies.default_policy == fp.amp.policy("float32")
    assert (len(policies), list(policies), "fc2" in policies) == (3, ["fc1", "conv", "fc.$"], False)


def test_apply_gives_every_module_its_own_policy():
    net = fp.nn.Sequential(fp.nn.Sequential(fp.nn.Linear(2, 2), fp.nn.BatchNorm2d(2)), fp.nn.Linear(2, 2))
    fp.amp.apply(net, keras.DTypePolicyMap("bfloat16", {r"^0\.": "mixed_float16"}))
    precisions = {name: str(module.precision) for name, module in net.named_modules()}
    assert precisions == {
        "": "bfloat16/float32",
        "0": "bfloat16/float32",
        "0.0": "float16/float32",
        "0.1": "float32",  # Keras's batch normalisation
        "1": "bfloat16/float32",
    }
    assert net[0][0].weight.dtype.name == "float32"


def two_keys():
    return fp.amp.apply(fp.nn.LeNet(), keras.DTypePolicyMap(policy_map={"conv": "float16", "1": "bfloat16"}))


def same_key():
    policies = keras.DTypePolicyMap(policy_map={"conv": "float16"})
    policies["conv"] = "bfloat16"


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            two_keys,
            fp.ArgumentError,
            "DTypePolicyMap: expected at most one key for each path, got 'conv1' with 'conv', '1'; make a key "
            "narrower.",
        ),
        (same_key, fp.ArgumentError, "DTypePolicyMap: expected each key once, got 'conv'; delete it first."),
        (
            lambda: keras.DTypePolicyMap(policy_map=["conv"]),
            fp.ArgumentTypeError,
            "DTypePolicyMap: expected a dict of policies, got list; give {path: policy}.",
        ),
        (
            lambda: keras.DTypePolicyMap(policy_map={"conv(": "float16"}),
            fp.ArgumentError,
            "DTypePolicyMap: expected regular expressions as keys, got 'conv(': missing ), unterminated subpattern at "
            "position 4; escape it.",
        ),
        (
            lambda: keras.LossScaleOptimizer(fp.nn.LeNet()),
            fp.ArgumentTypeError,
            "LossScaleOptimizer: expected an optimizer to wrap, got LeNet; pass fp.optim.SGD(...).",
        ),
        (
            lambda: wrapped()[1].apply([]),
            fp.ArgumentError,
            "apply: expected a gradient or None for each variable, got 0 for 1 variables; count them.",
        ),
        (
            lambda: wrapped()[1].apply([fp.ones(3)]),
            fp.ShapeError,
            "apply: expected tensors of the variables' shapes, got (3,) for (2,); check their order.",
        ),
    ],
)
def test_misuse_names_its_remedy(call, error, text):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == text


def test_a_refused_map_leaves_the_network_as_it_was():
    net = fp.nn.LeNet()
    with pytest.raises(fp.ArgumentError):
        fp.amp.apply(net, keras.DTypePolicyMap(policy_map={"conv": "float16", "1": "bfloat16"}))
    assert {p.dtype.name for p in net.parameters()} == {"float32"}
    fp.amp.apply(net, "float16")
