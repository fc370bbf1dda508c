"""fpsim's language model and attention beside those of the PyTorch that is installed, on other numbers and sizes."""

import numpy as np
import pytest

import fpsim as fp
from tests.nn.test_transformer import assert_torchs, run

torch = pytest.importorskip("torch", reason="compares with an installed PyTorch: pip install 'fpsim-lab[oracle]'")

from tests.oracles import torch_transformer  # noqa: E402 (needs torch)
from tests.oracles.small_transformer import OPTIMIZERS  # noqa: E402

ALL_SIZES = [
    {"vocabulary": 67, "width": 24, "heads": 3, "layers": 1, "context": 9},
    {"vocabulary": 5, "width": 16, "heads": 4, "layers": 3, "context": 2},
    {"vocabulary": 13, "width": 6, "heads": 1, "layers": 2, "context": 12},
]


@pytest.mark.parametrize("fmt", ["float64", "float32"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("sizes", ALL_SIZES, ids=lambda sizes: "-".join(map(str, sizes.values())))
def test_scores_gradients_and_ten_losses_are_torchs(sizes, optimizer, fmt):
    seed = sum(sizes.values())
    assert_torchs(run(fmt, optimizer, seed, **sizes), torch_transformer.run(fmt, optimizer, seed, **sizes), fmt)


@pytest.mark.parametrize("seed", range(21))
def test_attention_is_torchs(seed):
    rng = np.random.default_rng(seed)
    n, h, t, s, d, e = rng.integers(1, 6, 6)
    arrays = [rng.normal(size=shape) * 2 for shape in ((n, h, t, d), (n, h, s, d), (n, h, s, e))]
    how = {"is_causal": True} if seed % 3 == 0 else {"scale": float(rng.normal())} if seed % 3 == 1 else {}
    mask = rng.random((n, 1, t, s)) < 0.6 if seed % 3 == 2 else None
    ours = [fp.tensor(a, dtype="float64", requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    out = fp.nn.functional.scaled_dot_product_attention(*ours, mask, **how)
    their_mask = None if mask is None else torch.tensor(mask)
    expected = torch.nn.functional.scaled_dot_product_attention(*theirs, their_mask, **how)
    g = rng.normal(size=out.shape)
    out.backward(g)
    expected.backward(torch.tensor(g))
    np.testing.assert_allclose(np.asarray(out), expected.detach().numpy(), rtol=0, atol=1e-11)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(np.asarray(a.grad), b.grad.numpy(), rtol=0, atol=1e-11)
