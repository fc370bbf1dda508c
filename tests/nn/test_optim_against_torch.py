"""Optimizers, schedules of the learning rate and clipping against PyTorch, step by step.

Tests only. The cases and PyTorch's values come from ``tests/oracles``; torch itself is not needed.
"""

import numpy as np
import pytest

import fpsim as fp
from tests.oracles.bits import assert_same
from tests.oracles.torch_values import TOLERANCE, assert_near, load

RECORDED = load("optim")


def cases(kind):
    return pytest.mark.parametrize("case", RECORDED[kind], ids=[case["id"] for case in RECORDED[kind]])


def give_gradient(x, g):
    """Let `g`, exactly, be the gradient of `x`."""
    (x * fp.tensor(g, dtype=x.dtype)).sum().backward()


def run_optimizer(case, fmt):
    params = {name: fp.tensor(x, dtype=fmt, requires_grad=True) for name, x in case["start"].items()}
    optimizer = eval(case["make"], {"torch": fp, **params})
    history = {name: [] for name in params}
    for k in range(len(case["gradients"]["p"])):
        optimizer.zero_grad()
        for name, p in params.items():
            give_gradient(p, case["gradients"][name][k])
        optimizer.step()
        for name, p in params.items():
            history[name].append(np.asarray(p).copy())
    return {name: np.stack(steps) for name, steps in history.items()}


@pytest.mark.parametrize("fmt", ["float64", "float32"])
@cases("optimizers")
def test_every_step_is_torchs(case, fmt):
    for name, actual in run_optimizer(case, fmt).items():
        assert_near(actual, case[fmt][name], TOLERANCE[fmt], name)


@pytest.mark.filterwarnings("ignore::fpsim.HyperparameterRoundingWarning")  # Adam's eps, as in PyTorch
@cases("optimizers")
def test_float16_steps_round_where_torchs_do(case):
    for name, actual in run_optimizer(case, "float16").items():
        assert_same(actual, case["float16"][name])


@cases("schedules")
def test_learning_rate_and_momentum_follow_torchs(case):
    p, q = (fp.ones((2,), dtype="float32") for _ in range(2))
    for x in (p, q):
        x.requires_grad = True
    optimizer = eval(case["make"], {"torch": fp, "p": p, "q": q})
    schedule = eval(case["schedule"], {"torch": fp, "optimizer": optimizer})
    for k, (rates, momenta) in enumerate(zip(case["lr"], case["momentum"], strict=True)):
        if k:
            optimizer.step()
            schedule.step()
        groups = optimizer.param_groups
        assert_near([group["lr"] for group in groups], rates, 1e-12, f"lr after {k} steps")
        now = [group["betas"][0] if "betas" in group else group["momentum"] for group in groups]
        assert_near(now, momenta, 1e-12, f"momentum after {k} steps")


@pytest.mark.parametrize("fmt", ["float64", "float32"])
@cases("clipping")
def test_clipping_is_torchs(case, fmt):
    expected, params = case[fmt], {}
    for name, g in case["gradients"].items():
        params[name] = fp.tensor(np.ones_like(g), dtype=fmt, requires_grad=True)
        give_gradient(params[name], g)
    clips = {name: getattr(fp.optim, name) for name in ("clip_grad_norm_", "clip_grad_value_")}
    norm = eval(case["call"], clips | params)
    if "norm" in expected:
        assert_near(norm, expected["norm"], TOLERANCE[fmt], "norm")
    for name, p in params.items():
        assert_near(p.grad, expected["gradients"][name], TOLERANCE[fmt], name)
