"""Apex's opt levels with overrides: what they become, and which contradict each other."""

import numpy as np
import pytest

import fpsim as fp
from fpsim.amp.apex import OPT_LEVELS

apex, policy = fp.amp.apex, fp.amp.policy


@pytest.mark.parametrize("level", OPT_LEVELS)
def test_without_overrides_a_level_is_its_policy(level):
    assert apex(level) == policy(level)


@pytest.mark.parametrize(
    ("level", "override", "text"),
    [
        ("O0", {"cast_model_type": "float16"}, "params=float16,output=float32"),
        ("O0", {"loss_scale": "dynamic"}, "params=float32,scaling=apex"),
        ("O1", {"loss_scale": 128.0}, "params=float32,compute=float16,output=float32,autocast=True,scaling=128"),
        ("O1", {"cast_model_type": False}, str(policy("O1"))),
        ("O1", {"cast_model_type": "float32", "patch_torch_functions": True}, str(policy("O1"))),
        ("O2", {"keep_batchnorm_fp32": False}, "params=float16,output=float32,masters=float32,scaling=apex"),
        ("O2", {"keep_batchnorm_fp32": "False"}, "params=float16,output=float32,masters=float32,scaling=apex"),
        ("O2", {"master_weights": False}, "params=float16,output=float32,batchnorm=wide,scaling=apex"),
        ("O2", {"loss_scale": "128"}, "params=float16,output=float32,masters=float32,batchnorm=wide,scaling=128"),
        ("O2", {"cast_model_type": "bfloat16"},
         "params=bfloat16,output=float32,masters=float32,batchnorm=wide,scaling=apex"),
        ("O3", {"keep_batchnorm_fp32": True}, "params=float16,output=float32,batchnorm=wide"),
        ("O3", {"master_weights": True, "loss_scale": 1.0}, "params=float16,output=float32,masters=float32"),
    ],
)  # fmt: skip
def test_overrides_change_what_they_name(level, override, text):
    assert apex(level, **override) == policy(text)


O1_TAKES = "apex: expected overrides that O1 can honour, got "


@pytest.mark.parametrize(
    ("level", "override", "text"),
    [
        ("O4", {}, "apex: expected an opt level of O0, O1, O2, O3, got opt_level='O4'; choose one."),
        ("02", {}, "apex: expected an opt level of O0, O1, O2, O3, got opt_level='02'; choose one: with the letter O."),
        ("O1", {"cast_model_type": "float16"},
         O1_TAKES + "cast_model_type='float16' with opt_level='O1'; O1 casts around operations, the weights stay "
         "float32; use O2 or O3 to cast the model."),
        ("O1", {"keep_batchnorm_fp32": True},
         O1_TAKES + "keep_batchnorm_fp32=True with opt_level='O1'; O1 chooses batch normalisation's format by its "
         "list; leave it None."),
        ("O1", {"master_weights": True},
         O1_TAKES + "master_weights=True with opt_level='O1'; with O1 the weights themselves are float32; leave it "
         "None."),
        ("O2", {"patch_torch_functions": True},
         "apex: expected functions patched by O1, and by O1 alone, got patch_torch_functions=True with opt_level=O2; "
         "choose opt_level='O1', or another."),
        ("O1", {"patch_torch_functions": False},
         "apex: expected functions patched by O1, and by O1 alone, got patch_torch_functions=False with opt_level=O1; "
         "choose opt_level='O1', or another."),
        ("O2", {"loss_scale": "dynamik"},
         "apex: expected a number or 'dynamic', got loss_scale='dynamik'; choose one."),
        ("O2", {"loss_scale": -1.0},
         "scaler: expected a scale that float32 holds, above 0, got scale=-1.0; try 65536.0."),
    ],
)  # fmt: skip
def test_contradictions_are_refused(level, override, text):
    with pytest.raises(fp.ArgumentError) as error:
        apex(level, **override)
    assert str(error.value) == text


def test_an_override_that_is_no_truth_value_is_refused():
    with pytest.raises(fp.ArgumentTypeError) as error:
        apex("O2", master_weights="float32")
    assert str(error.value) == "apex: expected True, False or None, got master_weights='float32'; choose one."


def test_a_static_scale_never_checks_as_apexs():
    scaler = apex("O2", loss_scale=4.0).scaler()
    w = fp.tensor([1.0], dtype="float16", requires_grad=True)
    optimizer = fp.optim.SGD([w], lr=1.0, master="float32")
    scaler.scale((w * fp.tensor([np.inf], dtype="float16")).sum()).backward()
    assert not scaler.step(optimizer).skipped
    assert w.item() == -np.inf
