"""The classic network and the digits, as the exhibits with a network train them: every sum in a fixed order.

Layer 10. Trains through the public surface of nn, optim and amp, as a user's own loop would.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fpsim import amp, data, nn, optim
from fpsim.autograd import default_precision
from fpsim.autograd import seed as seeded

__all__ = ["batches", "network"]

#: Of every sum, so that the numbers are the same on every machine.
ORDER = "sequential"


def network(recipe: str, lr: float, momentum: float, seed: int) -> tuple[Any, Any]:
    """LeNet in a recipe's formats and its optimizer, from weights that are the same for every recipe."""
    with seeded(seed), default_precision("float64"):
        net = nn.LeNet()
    optimizer = optim.SGD(net.parameters(), lr=lr, momentum=momentum)
    amp.recipe(recipe, order=ORDER).apply(net, optimizer)
    return net, optimizer


def batches(batch: int, steps: int, seed: int) -> Iterator[tuple[Any, Any]]:
    """Batches of the embedded digits, enlarged to 32 x 32."""
    images = data.digits(size=32)
    return data.batches(images.train_x, images.train_y, size=batch, seed=seed).take(steps)
