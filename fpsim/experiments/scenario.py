"""The scenarios of `fpsim compare`: what is trained, with which recipes, and which question it answers.

Layer 8. Data and small factories; `training` trains.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fpsim import data, nn
from fpsim.errors import ArgumentError, expected, nearest

__all__ = ["SCENARIOS", "Scenario", "scenario_named"]


@dataclass(frozen=True)
class Scenario:
    """A network, its images, its optimizer's settings, and the recipes to compare.

    `loss_factor` multiplies the loss before backward, `pixel_factor` the images' pixels in [0, 1].
    """

    name: str
    question: str
    recipes: tuple[str, ...]
    network: Callable[[], Any]
    image_size: int
    steps: int
    quick_steps: int
    lr: float
    momentum: float
    batch: int = 32
    loss_factor: float = 1.0
    pixel_factor: float = 1.0

    def images(self) -> data.Images:
        """The embedded digits in the size that the network takes."""
        return data.digits(size=self.image_size)


class DigitMLP(nn.Module):
    """64-32-10 on 8x8 digits: small enough that the weights' own rounding shows."""

    def __init__(self, hidden: int = 32) -> None:
        super().__init__()
        self.fc1 = nn.Linear(64, hidden)
        self.fc2 = nn.Linear(hidden, 10)

    def forward(self, x: Any) -> Any:
        """Logits of images (n, 1, 8, 8)."""
        return self.fc2(nn.functional.relu(self.fc1(x.reshape(-1, 64))))


_ALL = (
    Scenario(
        name="published",
        question="Does the classic network train in half precision?",
        recipes=(
            "float64",
            "float32",
            "float16/float32",
            "float16",
            "bfloat16/float32",
            "conv16_fc32",
            "conv32_fc16",
            "mixed_float16",
        ),
        network=nn.LeNet,
        image_size=32,
        steps=200,
        quick_steps=4,
        lr=0.01,
        momentum=0.5,
    ),
    Scenario(
        name="rounding",
        question="What becomes of updates smaller than half an ulp of the weight?",
        recipes=("float32", "float16_masters", "float16", "float16_stochastic"),
        network=DigitMLP,
        image_size=8,
        steps=6000,
        quick_steps=200,
        lr=1e-3,
        momentum=0.0,
    ),
    Scenario(
        name="underflow",
        question="What becomes of gradients below the smallest number?",
        recipes=("float32", "float16/float32", "conv16_fc32", "mixed_float16"),
        network=nn.LeNet,
        image_size=32,
        steps=150,
        quick_steps=10,
        # gradients 2**-16 times as large, a learning rate 2**16 times: in exact arithmetic the published run
        lr=0.01 * 2**16,
        momentum=0.5,
        loss_factor=2.0**-16,
    ),
    Scenario(
        name="overflow",
        question="What becomes of values beyond the largest number?",
        recipes=("float32", "float16/float32", "mixed_float16"),
        network=nn.LeNet,
        image_size=32,
        steps=100,
        quick_steps=24,
        # raw pixels make gradients of some 100; a loss 2**12 times as large (its sum over many images, say) takes them
        # past float16's 65504, and the learning rate makes up for it
        lr=1e-3 * 2**-12,
        momentum=0.5,
        loss_factor=2.0**12,
        pixel_factor=255.0,
    ),
)

SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for scenario in _ALL}


def scenario_named(name: Any) -> Scenario:
    """A scenario as it is, or by name."""
    if isinstance(name, Scenario):
        return name
    if name in SCENARIOS:
        return SCENARIOS[name]
    near = nearest(name, SCENARIOS, 3)
    raise ArgumentError(expected("compare", "a scenario", repr(name), f"did you mean {near}?"))
