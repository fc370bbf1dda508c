"""The small language model on which `nn.TransformerLM` meets PyTorch: sizes, weights, batches, optimizers.

Tests only. Imports neither fpsim nor torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

STEPS = 10
SIZES = {"vocabulary": 11, "width": 8, "heads": 2, "layers": 2, "context": 6}

#: Calls in a namespace that has ``optim`` and the list ``parameters``.
OPTIMIZERS = {
    "SGD": "optim.SGD(parameters, lr=0.2, momentum=0.9)",
    "AdamW": "optim.AdamW(parameters, lr=0.01, betas=(0.9, 0.98), weight_decay=0.1)",
}


def shapes(vocabulary: int, width: int, heads: int, layers: int, context: int) -> dict[str, tuple[int, ...]]:
    """Every parameter of `nn.TransformerLM` by name."""
    found: dict[str, tuple[int, ...]] = {"tokens.weight": (vocabulary, width), "positions.weight": (context, width)}
    linear = {
        "attention.qkv": (3 * width, width), "attention.out": (width, width),
        "mlp.up": (4 * width, width), "mlp.down": (width, 4 * width),
    }  # fmt: skip
    for i in range(layers):
        for norm in ("norm1", "norm2"):
            found |= {f"blocks.{i}.{norm}.{part}": (width,) for part in ("weight", "bias")}
        for name, shape in linear.items():
            found |= {f"blocks.{i}.{name}.weight": shape, f"blocks.{i}.{name}.bias": shape[:1]}
    return found | {f"norm.{part}": (width,) for part in ("weight", "bias")}


def weights(seed: int = 0, **sizes: int) -> dict[str, np.ndarray]:
    """Numbers that float32 holds."""
    rs = np.random.RandomState(seed)
    return {
        name: ((rs.normal(size=shape) * 0.3) + ("norm" in name and name.endswith("weight"))).astype(np.float32)
        for name, shape in shapes(**(sizes or SIZES)).items()
    }


def batches(seed: int = 1, count: int = 5, **sizes: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Tokens (count, context) and those that follow, of as many steps; the last sequences are shorter."""
    rs, sizes = np.random.RandomState(seed), sizes or SIZES
    drawn: list[Any] = []
    for step in range(STEPS):
        length = sizes["context"] - (step == STEPS - 1)
        text = rs.randint(0, sizes["vocabulary"], (count, length + 1))
        drawn.append((text[:, :-1], text[:, 1:]))
    return drawn
