"""The plain NumPy step that the language model's speed is measured against computes what PyTorch computes."""

import numpy as np
import pytest

import fpsim as fp
import fpsim.nn.functional as F
from benchmarks.plain_transformer import Training
from tests.oracles.small_transformer import SIZES, batches, weights


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_ten_steps_have_fpsims_losses(dtype):
    """fpsim's are PyTorch's; in float64 the plain step's erf has an error of 1.5e-7, which shows in nothing else."""
    plain = Training(weights(), SIZES["heads"], dtype)
    with fp.default_precision(dtype):
        net = fp.nn.TransformerLM(**SIZES)
    net.load_state_dict(weights())
    optimizer = fp.optim.AdamW(net.parameters())
    for x, y in batches():
        loss = F.cross_entropy(net(x).flatten(0, 1), y.ravel())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        np.testing.assert_allclose(plain.step(x, y), loss.item(), rtol=3e-6)
    assert {w.dtype for w in plain.p.values()} == {np.dtype(dtype)}
