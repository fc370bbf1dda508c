"""The exercises of 05_the_network_side_by_side.

Layer 11. What is right is counted on the network itself.
"""

from __future__ import annotations

from typing import Any

from fpsim import amp
from fpsim.course.checks import Exercise
from fpsim.nn import LeNet
from fpsim.observe.cost import cost

__all__ = ["EXERCISES"]


def _multiply_adds(layer: str) -> int:
    """Of one image in one layer's forward pass."""
    steps = cost(LeNet(), (1, 1, 32, 32), "float32", optimizer="sgd")["float32"].steps("inference")
    return sum(step.macs for step in steps if step.module == layer)


def _weight_bytes(recipe: str) -> int:
    return sum(p.nbytes for p in amp.apply(LeNet(), recipe).parameters())


def _precisions(patterns: Any) -> list[str]:
    """In which precision each layer computes after ``fp.amp.apply``."""
    net = amp.apply(LeNet(), patterns)
    return [f"{name} {layer.weight.precision}" for name, layer in net.named_modules() if hasattr(layer, "weight")]


EXERCISES = (
    Exercise(
        "ex05.1",
        right=lambda: sum(p.size for p in LeNet().fc1.parameters()),
        hint="a fully connected layer has a weight for every pair of an input and an output, and one bias more for "
        "each output",
        wrong=[
            (1600 * 500, "these are the weights; the layer adds a bias to each of its outputs as well"),
            (1600 * 500 + 1600, "a bias belongs to an output, not to an input"),
        ],
        misconception="a layer's parameters are its matrix",
    ),
    Exercise(
        "ex05.2",
        right=lambda: _multiply_adds("conv2"),
        hint="each number of the output is one sum over channel, row and column of a window. How many numbers are in "
        "the output (a 5x5 window fits into fewer places than there are pixels), and how many terms has each sum?",
        wrong=[
            (64 * 20 * 5 * 5, "this is how many weights it has. A convolution uses each of them at every place"),
            (
                14 * 14 * 64 * 20 * 5 * 5,
                "the input has 14 x 14 pixels, but without padding a 5x5 window fits into fewer places",
            ),
        ],
        misconception="work is proportional to the number of weights",
    ),
    Exercise(
        "ex05.3",
        right=lambda: _weight_bytes("conv16_fc32"),
        hint="count weights and biases of the convolutions at 2 bytes, those of the fully connected layers at 4",
        wrong=[
            (32584 * 4 + 805510 * 2, "this is the mirror: here the convolutions are the ones in half precision"),
            (838094 * 2, "this is all of it in half precision; the fully connected layers stay in single"),
        ],
        misconception="half precision in the layers that work most saves most of the memory",
    ),
    Exercise(
        "ex05.4",
        right=lambda: _precisions({"fc1": "float16/float32"}),
        measure=_precisions,
        hint='a dictionary of patterns and precisions, as in section 3: {"name": "storage/accumulator"}. Which layer '
        "has most of the weights?",
        wrong=[
            ({"fc*": "float16/float32"}, "the star takes in a second layer, which has few weights: name the one alone"),
            ({"fc1": "float16"}, "the right layer; but a format alone accumulates in itself: name both"),
        ],
        misconception="saying a storage format says in what the sums are kept",
    ),
)
