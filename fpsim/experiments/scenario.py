"""The scenarios of `fpsim compare`: what is trained on which data, with which recipes, and which question it answers.

Layer 8. Settings and small factories; `training` trains, and asks a scenario for all that differs between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fpsim import data as datasets
from fpsim import nn, optim
from fpsim.autograd import Tensor, tensor
from fpsim.errors import ArgumentError, expected, nearest
from fpsim.experiments import images, texts
from fpsim.observe.report_forms import ReportForms

__all__ = ["SCENARIOS", "ImageScenario", "Scenario", "TextScenario", "scenario_named"]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A network, what it learns from and how, and the recipes to compare.

    `loss_factor` multiplies the loss before backward. Subclasses say what the data are: `load` gives them, and the
    other methods take what it gives.
    """

    #: the embedded data, by the name that `train` takes
    source: ClassVar[str]
    #: what the data are, and what is right or wrong of them in the end
    kind: ClassVar[str]
    judged: ClassVar[str]
    #: fields that belong to the data: what a training can be resumed with, though no argument changes them
    of_data: ClassVar[tuple[str, ...]]
    #: whether `fpsim compare` runs it unless others are named
    by_default: ClassVar[bool] = True
    #: samples that are tested at once
    tested: ClassVar[int] = 120

    name: str
    question: str
    recipes: tuple[str, ...]
    network: Callable[..., Any]
    steps: int
    quick_steps: int
    lr: float
    momentum: float
    batch: int = 32
    loss_factor: float = 1.0

    def load(self, source: Any = None) -> Any:
        """The data that a user names or gives, checked; the embedded ones unless given."""
        raise NotImplementedError

    def network_for(self, data: Any) -> Any:
        """A new network, its weights drawn from the current generator."""
        raise NotImplementedError

    def optimizer(self, parameters: Iterable[Any]) -> optim.Optimizer:
        """What updates them."""
        return optim.SGD(parameters, lr=self.lr, momentum=self.momentum)

    def batches(self, data: Any, seed: Any) -> datasets.Batches:
        """What each step learns from: inputs and labels."""
        raise NotImplementedError

    def to_learn(self, data: Any) -> tuple[Any, Any]:
        """All inputs and labels of the training part, in the data's order."""
        raise NotImplementedError

    def to_test(self, data: Any) -> tuple[Any, Any]:
        """Inputs and labels that no step learns from."""
        raise NotImplementedError

    def inputs(self, x: Any) -> Any:
        """Inputs in the form that the network takes."""
        raise NotImplementedError

    def loss(self, out: Tensor, y: Any) -> Tensor:
        """What is made small: the mean cross entropy of all that is to be predicted."""
        raise NotImplementedError

    def beside(self) -> ReportForms | None:
        """What `fpsim compare` shows below its table."""
        return None


@dataclass(frozen=True, kw_only=True)
class ImageScenario(Scenario):
    """Classes of images; `pixel_factor` multiplies their pixels in [0, 1]."""

    source, kind, judged = "digits", "images", "test images"
    of_data = ("image_size", "pixel_factor")

    image_size: int
    pixel_factor: float = 1.0

    def images(self) -> datasets.Images:
        """The embedded digits in the size that the network takes."""
        return images.images_from(self.source, self.image_size)

    def load(self, source: Any = None) -> datasets.Images:
        """Images by name, of a folder of IDX files, or four arrays."""
        found = self.images() if source is None else images.images_from(source, self.image_size)
        return images.checked(found, self.image_size, self.pixel_factor)

    def network_for(self, data: datasets.Images) -> Any:
        """The same for all images."""
        return self.network()

    def batches(self, data: datasets.Images, seed: Any) -> datasets.Batches:
        """The training part, shuffled anew each epoch."""
        return datasets.batches(data.train_x, data.train_y, size=self.batch, seed=seed)

    def to_learn(self, data: datasets.Images) -> tuple[Any, Any]:
        """Images and their classes."""
        return data.train_x, data.train_y

    def to_test(self, data: datasets.Images) -> tuple[Any, Any]:
        """Images and their classes."""
        return data.test_x, data.test_y

    def inputs(self, x: Any) -> Tensor:
        """Pixels."""
        return tensor(x)

    def loss(self, out: Tensor, y: Any) -> Tensor:
        """Of an image's class."""
        return nn.functional.cross_entropy(out, y)


#: Adam's, of text. Pure float16 stores ``(1 - BETA2) * g**2`` as 0 where ``|g| < sqrt(2**-25 / (1 - BETA2)) = 1.7e-3``;
#: an epsilon as large as that keeps ``m / (sqrt(v) + EPSILON)`` from growing there: 1e-8 is itself 0 in float16.
BETA2, EPSILON = 0.99, 2.0**-9


@dataclass(frozen=True, kw_only=True)
class TextScenario(Scenario):
    """The next character of a text, after each of the `context` before it: `network` takes vocabulary and context.

    Trained by Adam, whose first beta is the momentum: after as many steps its loss is lower than momentum's in every
    recipe.
    """

    source, kind, judged = "text", "text", "next characters"
    of_data = ("context",)
    tested, by_default = 16, False

    context: int

    def load(self, source: Any = None) -> datasets.Text:
        """A text by name, of a file, of two strings, or as `fp.data.text` gives it."""
        return texts.checked(texts.text_from(self.source if source is None else source), self.context, self.batch)

    def network_for(self, data: datasets.Text) -> Any:
        """With a row of its embedding for each of the text's characters."""
        return self.network(len(data.characters), self.context)

    def optimizer(self, parameters: Iterable[Any]) -> optim.Optimizer:
        """Adam."""
        return optim.Adam(parameters, lr=self.lr, betas=(self.momentum, BETA2), eps=EPSILON)

    def batches(self, data: datasets.Text, seed: Any) -> datasets.Batches:
        """Windows from any place of the training part."""
        return datasets.sequences(data.train, self.context, self.batch, seed)

    def to_learn(self, data: datasets.Text) -> tuple[Any, Any]:
        """The training part, in windows beside each other."""
        return texts.windows(data.train, self.context)

    def to_test(self, data: datasets.Text) -> tuple[Any, Any]:
        """The test part, in windows beside each other."""
        return texts.windows(data.test, self.context)

    def inputs(self, x: Any) -> np.ndarray[Any, Any]:
        """Codes of characters."""
        return np.asarray(x)

    def loss(self, out: Tensor, y: Any) -> Tensor:
        """Of every next character: the mean of the windows' means, since a narrow sum of all of them stops growing."""
        each = nn.functional.cross_entropy(out.reshape(-1, out.shape[-1]), y.reshape(-1), reduction="none")
        return each.reshape(y.shape).mean(-1).mean()

    def beside(self) -> ReportForms:
        """What formats do to the parts of such a network."""
        from fpsim.experiments.troubles import troubles

        return troubles()


class DigitMLP(nn.Module):
    """64-32-10 on 8x8 digits: small enough that the weights' own rounding shows."""

    def __init__(self, hidden: int = 32) -> None:
        super().__init__()
        self.fc1 = nn.Linear(64, hidden)
        self.fc2 = nn.Linear(hidden, 10)

    def forward(self, x: Any) -> Any:
        """Logits of images (n, 1, 8, 8)."""
        return self.fc2(nn.functional.relu(self.fc1(x.reshape(-1, 64))))


def character_transformer(vocabulary: int, context: int) -> nn.TransformerLM:
    """Two layers of width 32: some 28,000 weights."""
    return nn.TransformerLM(vocabulary, width=32, heads=4, layers=2, context=context)


_ALL = (
    ImageScenario(
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
    ImageScenario(
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
    ImageScenario(
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
    ImageScenario(
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
    TextScenario(
        name="transformer",
        question="Does a small language model train in every format?",
        recipes=(
            "float32",
            "float16/float32",
            "float16",
            "bfloat16/float32",
            "bfloat16",
            "mixed_float16",
            "mixed_bfloat16",
            "fp8_current",
            "fp8_delayed",
            "mxfp8",
            "mxfp4",
        ),
        network=character_transformer,
        context=32,
        batch=16,
        steps=400,
        quick_steps=20,
        lr=0.01,
        momentum=0.9,
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
