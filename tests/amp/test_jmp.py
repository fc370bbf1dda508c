"""jmp's loss scales and trees: its rule, its arithmetic, and the loop of its README."""

import numpy as np
import pytest

import fpsim as fp

jmp = fp.amp.jmp


def test_the_dynamic_scale_follows_its_table():
    scale, history = jmp.DynamicLossScale(1024.0, period=3), []
    for letter in "GGIGGGIIGGGGGIGGG":
        scale = scale.adjust(letter == "G")
        history.append(scale.loss_scale)
    assert history == [1024, 1024, 512, 512, 512, 1024, 512, 256, 256, 256, 512, 512, 512, 256, 256, 256, 512]


def test_it_stops_at_its_floor_and_at_the_largest_finite_number():
    low, high = jmp.DynamicLossScale(2.0), jmp.DynamicLossScale(2.0**127, period=1)
    for _ in range(3):
        low, high = low.adjust(False), high.adjust(True)
    assert (low.loss_scale, high.loss_scale) == (1.0, 2.0**127)


def test_a_scale_is_a_value():
    scale = jmp.DynamicLossScale(8.0)
    assert scale.adjust(False) == jmp.DynamicLossScale(4.0)
    assert scale == jmp.DynamicLossScale(8.0)
    assert jmp.NoOpLossScale().adjust(False).loss_scale == 1.0
    assert jmp.StaticLossScale(8.0).adjust(False) == jmp.StaticLossScale(8.0)


def test_trees_are_scaled_leaf_by_leaf_by_the_reciprocal():
    scale = jmp.StaticLossScale(49.0)
    tree = {"w": fp.tensor([5.0]), "b": (fp.tensor(1.0, dtype="float16"), None)}
    unscaled = scale.unscale(tree)
    assert unscaled["w"].item() == float(np.float32(5) * np.float32(1 / 49))
    assert (unscaled["b"][0].dtype.name, unscaled["b"][1]) == ("float32", None)
    assert scale.scale(tree)["w"].item() == 245.0


def test_a_step_that_is_not_finite_leaves_the_parameters():
    """The loop of jmp's README."""
    policy = jmp.get_policy("params=float32,compute=float16,output=float32")
    params, loss_scale, history = {"w": fp.tensor([1.0])}, jmp.DynamicLossScale(2.0**15), []
    for x in (0.5, 70000.0, 0.5):
        w = params["w"].detach().requires_grad_()
        compute_w, compute_x = policy.cast_to_compute((w, fp.tensor([x])))
        loss = policy.cast_to_output((compute_w * compute_x).sum())
        loss_scale.scale(loss).backward()
        grads = loss_scale.unscale({"w": w.grad})
        finite = jmp.all_finite(grads)
        loss_scale = loss_scale.adjust(finite)
        params = jmp.select_tree(finite, {"w": params["w"] - grads["w"]}, params)
        history.append((params["w"].item(), loss_scale.loss_scale))
    assert history == [(0.5, 2.0**15), (0.5, 2.0**14), (0.0, 2.0**14)]


def test_a_policy_casts_trees_and_changes_its_output():
    policy = fp.amp.policy("p=f32,c=bf16,o=f32")
    x = fp.ones(2)
    assert policy.cast_to_param(x) is x
    assert policy.cast_to_compute([x, {"y": x}, 3])[1]["y"].dtype.name == "bfloat16"
    assert policy.with_output_dtype("float16").cast_to_output(x).dtype.name == "float16"
    assert policy.with_output_dtype("float16") == fp.amp.policy("p=f32,c=bf16,o=f16")


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: jmp.StaticLossScale(0.0),
            "scaler: expected a scale that float32 holds, above 0, got scale=0.0; try 65536.0.",
        ),
        (
            lambda: jmp.DynamicLossScale(8.0, factor=1),
            "DynamicLossScale: expected a factor above 1, got factor=1; 2 is usual.",
        ),
        (
            lambda: jmp.DynamicLossScale(8.0, period=0),
            "scaler: expected a growth_interval of at least 1 step, got growth_interval=0; 2000 is usual.",
        ),
    ],
)
def test_bad_numbers_name_their_remedy(call, text):
    with pytest.raises(fp.ArgumentError) as error:
        call()
    assert str(error.value) == text
