"""What is tested of training: optimizers, generators, and ten steps of a small network with every recipe.

Layer 10. Its weights and images are integers over powers of two; it trains as a user's own loop would.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from fpsim import nn, optim
from fpsim.amp import RECIPES, recipe
from fpsim.autograd import Tensor, tensor, using
from fpsim.data import batches, digits
from fpsim.formats import Format, bfloat16, float64
from fpsim.nn.module import Parameter
from fpsim.precision import Precision
from fpsim.selftest.inputs import digest, integers, values

__all__ = ["generators", "optimizers", "trainings"]

STEPS, BATCH = 10, 8


def generators() -> Iterator[tuple[str, str]]:
    """What is drawn from a seed: initial weights, batches, kept elements, keys of stochastic rounding."""
    with using(rng=np.random.default_rng(5)):
        net = nn.LeNet()
        yield "initial weights", digest(*(p._data for p in net.parameters()))
        yield "dropout", digest(nn.functional.dropout(tensor(np.ones((20, 30))), 0.3)._data)
        x = tensor(values("drawn", (40, 40), float64), precision=Precision(bfloat16, rounding="stochastic"))
        yield "stochastic rounding", digest(x._data)
    order = [y for _, y in batches(np.arange(1000.0), np.arange(1000), size=100, seed=5).take(15)]
    yield "batches", digest(*order)


def optimizers() -> Iterator[tuple[str, str]]:
    """Five steps of each rule in each format, its state included."""
    rules = {
        "SGD": lambda p, **more: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True, **more),
        "SGD dampened": lambda p, **more: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.3, **more),
        "Adam": lambda p, **more: optim.Adam(p, lr=0.01, eps=1e-4, weight_decay=0.01, **more),
        "AdamW": lambda p, **more: optim.AdamW(p, lr=0.01, eps=1e-4, **more),
    }
    ways: dict[str, dict[str, Any]] = {
        **{name: {} for name in ("float64", "float32", "bfloat16", "float16", "float8_e5m2")},
        "float16, masters": {"master": "float32"},
        "bfloat16, state float32": {"state": "float32"},
        "bfloat16, stochastic": {"update_rounding": "stochastic"},
    }
    for rule, made in rules.items():
        for way, options in ways.items():
            yield f"{rule}, {way}", digest(*_updated(made, way, options))


def _updated(made: Any, way: str, options: dict[str, Any]) -> Iterator[np.ndarray]:
    """The parameter, its master and its state after five steps."""
    precision = Precision(Format(way.partition(",")[0]), order="sequential")
    p = Parameter(values("parameter", (11, 13), precision.storage), precision=precision)
    with using(rng=np.random.default_rng(9)), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an epsilon or a rate that is zero in float8
        optimizer = made([p], **options)
        for step in range(5):
            p.grad = Tensor(values(f"gradient {step}", (11, 13), p.dtype).astype(p.dtype.carrier), precision)
            optimizer.step()
    yield from (x._data for x in (p, p.master) if x is not None)
    for state in optimizer.state.values():
        yield from (x._data if isinstance(x, Tensor) else np.asarray(x, np.float64) for _, x in sorted(state.items()))


class Small(nn.Module):
    """8x8 digits through a convolution, pooling and two fully connected layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.fc1 = nn.Linear(36, 12)
        self.fc2 = nn.Linear(12, 10)

    def forward(self, x: Any) -> Any:
        """Logits of images (n, 1, 8, 8)."""
        x = nn.functional.max_pool2d(nn.functional.relu(self.conv(x)), 2)
        return self.fc2(nn.functional.relu(self.fc1(x.reshape(-1, 36))))


def trainings() -> Iterator[tuple[str, str]]:
    """Losses, scales and weights of every recipe, all sums in order ``sequential``."""
    for name in RECIPES:
        yield name, digest(*_trained(name))


def _trained(name: str) -> list[np.ndarray]:
    images, chosen = digits(size=8), recipe(name, order="sequential")
    net = Small().double()
    for key, weight in net.state_dict().items():
        drawn = integers(key, weight.size) % np.uint64(1025)
        net.load_state_dict({key: (drawn.astype(np.float64) - 512).reshape(weight.shape) / 2048}, strict=False)
    optimizer = optim.SGD(net.parameters(), lr=0.0625, momentum=0.5)
    with using(rng=np.random.default_rng(13)), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        chosen.apply(net, optimizer)
        scaler, seen = chosen.scaler(), []
        for step in range(STEPS):
            rows = slice(step * BATCH, (step + 1) * BATCH)
            out, y = net(tensor(images.train_x[rows])), images.train_y[rows]
            if name == "float64":  # whose exp and log are the platform's
                loss = nn.functional.mse_loss(out, tensor(np.eye(10)[y], precision=out.precision))
            else:
                loss = nn.functional.cross_entropy(out, y)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
            seen.append([loss.item(), scaler.get_scale()])
    weights = [t._data for p in net.parameters() for t in (p, p.master) if t is not None]
    return [np.array(seen), *weights]
