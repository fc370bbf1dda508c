"""The plain NumPy step that fpsim's speed is measured against computes what PyTorch computes."""

import numpy as np
import pytest

from benchmarks import plain_numpy
from tests.oracles.classic_network import batches, weights
from tests.oracles.torch_values import TOLERANCE, load


def train(dtype, x, y):
    p = {name: w.astype(dtype) for name, w in weights().items()}
    velocity = {name: np.zeros_like(w) for name, w in p.items()}
    losses = [plain_numpy.step(p, velocity, *batch) for batch in zip(x.astype(dtype), y, strict=True)]
    assert {w.dtype for w in p.values()} == {np.dtype(dtype)}
    return losses


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_ten_steps_have_torchs_losses(dtype):
    """A wrong gradient in any parameter shows in the losses that follow."""
    np.testing.assert_allclose(train(dtype, *batches()), load("network")[dtype]["losses"], rtol=TOLERANCE[dtype])


def test_every_float_dtype_trains():
    x, y = (a[:2, :4] for a in batches())
    np.testing.assert_allclose(train("float16", x, y), train("float64", x, y), rtol=2**-8)
