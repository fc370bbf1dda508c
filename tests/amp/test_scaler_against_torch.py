"""The dynamic loss scale against PyTorch's: scale, tracker, gradients and parameters, bit for bit.

Tests only. The scripts and PyTorch's values come from ``tests/oracles``; torch itself is not needed.
"""

import pytest

import fpsim as fp
from tests.oracles.bits import assert_same
from tests.oracles.torch_optim_cases import SCALED_LR, SCALED_START
from tests.oracles.torch_values import load

SCALERS = load("optim")["scalers"]


@pytest.mark.filterwarnings("ignore::fpsim.LossScaleOverflowWarning", "ignore::fpsim.LossScaleUnderflowWarning")
@pytest.mark.parametrize("case", SCALERS, ids=[case["id"] for case in SCALERS])
def test_the_scale_moves_as_torchs(case):
    scaler = fp.amp.GradScaler(**case["arguments"])
    count = len(case["script"][0]["gradients"])
    params = [fp.tensor(SCALED_START, dtype="float32", requires_grad=True) for _ in range(count)]
    optimizers = [fp.optim.SGD([p], lr=SCALED_LR) for p in params]
    for step, expected in zip(case["script"], case["history"], strict=True):
        for p, optimizer, g in zip(params, optimizers, step["gradients"], strict=True):
            optimizer.zero_grad()
            scaler.scale((p * fp.tensor(g, dtype="float32")).sum()).backward()
        for optimizer in optimizers:
            if case["unscale_first"]:
                scaler.unscale_(optimizer)
            scaler.step(optimizer)
        scaler.update(step["new_scale"])
        assert scaler.get_scale() == expected["scale"]
        assert scaler.state_dict().get("_growth_tracker", 0) == expected["tracker"]
        for p, gradient, value in zip(params, expected["gradients"], expected["params"], strict=True):
            assert_same(p.grad, gradient)
            assert_same(p, value)
