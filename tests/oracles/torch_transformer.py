"""The same language model from PyTorch's own modules; needs torch.

Tests only, imported where torch is: by ``record_torch`` and by the tests that compare with an installed one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from tests.oracles.small_transformer import OPTIMIZERS, SIZES, batches, weights

#: What PyTorch's encoder layer calls the parts of a block.
NAMES = {
    "attention.qkv.": "self_attn.in_proj_", "attention.out.": "self_attn.out_proj.", "mlp.up.": "linear1.",
    "mlp.down.": "linear2.",
}  # fmt: skip


class TransformerLM(nn.Module):
    """Pre-norm encoder layers under a causal mask, which make a decoder; the head is the embedding's weight."""

    def __init__(self, vocabulary: int, width: int, heads: int, layers: int, context: int) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        options: dict[str, Any] = {"dropout": 0.0, "activation": "gelu", "batch_first": True, "norm_first": True}
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, 4 * width, **options) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        t = tokens.shape[1]
        mask = torch.triu(torch.ones(t, t, dtype=torch.bool), 1)  # true: may not look
        x = self.tokens(tokens) + self.positions(torch.arange(t))
        for block in self.blocks:
            x = block(x, src_mask=mask)
        return F.linear(self.norm(x), self.tokens.weight)


def theirs(name: str) -> str:
    """PyTorch's name of a parameter of `nn.TransformerLM`."""
    for our, their in NAMES.items():
        name = name.replace(our, their)
    return name


def run(fmt: str, optimizer: str, seed: int = 0, **sizes: int) -> dict[str, Any]:
    """The first scores and gradients, and the losses of all steps."""
    dtype, sizes = getattr(torch, fmt), sizes or SIZES
    net = TransformerLM(**sizes).to(dtype)
    start = weights(seed, **sizes)
    net.load_state_dict({theirs(name): torch.tensor(w).to(dtype) for name, w in start.items()})
    parameters = list(net.parameters())
    steps = eval(OPTIMIZERS[optimizer], {"optim": torch.optim, "parameters": parameters})
    found: dict[str, Any] = {"losses": []}
    for x, y in batches(seed + 1, **sizes):
        scores = net(torch.tensor(x))
        loss = F.cross_entropy(scores.flatten(0, 1), torch.tensor(y).flatten())
        steps.zero_grad()
        loss.backward()
        if not found["losses"]:
            named = dict(net.named_parameters())
            found["scores"] = scores.detach().numpy().copy()
            found["gradients"] = {name: named[theirs(name)].grad.numpy().copy() for name in start}
        steps.step()
        found["losses"].append(loss.item())
    found["losses"] = np.array(found["losses"])
    return found
