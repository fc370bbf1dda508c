"""`PolicyCost`: what a network costs under one policy, and how that is counted.

Layer 7. Runs one forward pass and one update on a copy; computes times with `devices`, measures none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from fpsim import amp
from fpsim.amp.policy import wider
from fpsim.autograd import Tensor, tensor
from fpsim.errors import ArgumentError, expected
from fpsim.formats import Format, float32
from fpsim.nn import Module
from fpsim.observe.devices import Device
from fpsim.observe.workload import Step, Workload
from fpsim.precision import Precision
from fpsim.rounding.kernel import Array

__all__ = ["PolicyCost", "RooflineTime", "cost_under"]


@dataclass(frozen=True)
class RooflineTime:
    """Seconds on a device if nothing but its peak rates held it up, and the share of them that memory decides."""

    seconds: float
    memory_bound: float


@dataclass(frozen=True)
class PolicyCost:
    """What one policy costs.

    Attributes
    ----------
    name : str
    columns : dict
        The recipe spelt out, where it is one: weights, compute, accumulate, update, scaling.
    optimizer : str
    parameters : int
        How many.
    training, inference : dict
        Bytes. Training: ``weights masters gradients state`` (of the optimizer), ``cast weights`` (copies in the format
        of computing, kept for backward), ``activations`` (kept for backward, the input among them), ``buffers``.
        Inference: ``weights`` (in the formats that layers read them in), ``activations`` (the most that is alive at
        once), ``buffers``.
    training_steps, inference_steps : tuple of Step
        Every operation, gradient and update with its multiply-adds and bytes moved.
    unscaled : int
        Further bytes while a loss scaler's unscaled gradients stand beside the masters; not in `training`.
    """

    name: str
    columns: dict[str, str]
    optimizer: str
    parameters: int
    training: dict[str, int]
    inference: dict[str, int]
    training_steps: tuple[Step, ...]
    inference_steps: tuple[Step, ...]
    unscaled: int

    modes: ClassVar[tuple[str, ...]] = ("training", "inference")

    def bytes_per_parameter(self) -> dict[str, float]:
        """Of weights, masters, gradients, state and cast weights in training; they do not grow with the batch."""
        parts = ("weights", "masters", "gradients", "state", "cast weights")
        return {part: self.training[part] / self.parameters for part in parts} if self.parameters else {}

    def steps(self, mode: str = "training") -> tuple[Step, ...]:
        """The steps of one of the `modes`."""
        if mode not in self.modes:
            raise ArgumentError(expected("cost", " or ".join(self.modes), f"mode={mode!r}", "choose one"))
        steps: tuple[Step, ...] = getattr(self, f"{mode}_steps")
        return steps

    def held(self, mode: str = "training") -> int:
        """Bytes that the training, or inference, needs in all."""
        return sum((self.training if mode == "training" else self.inference).values())

    def macs(self, mode: str = "training") -> dict[str, int]:
        """Multiply-adds by ``storage/accumulator``."""
        total: dict[str, int] = {}
        for step in self.steps(mode):
            if step.macs:
                formats = f"{step.storage.name}/{step.accumulate.name}"
                total[formats] = total.get(formats, 0) + step.macs
        return total

    def traffic(self, mode: str = "training") -> dict[str, int]:
        """Bytes that each phase reads and writes, every operation reading its inputs and writing its result once."""
        total: dict[str, int] = {}
        for step in self.steps(mode):
            total[step.phase] = total.get(step.phase, 0) + step.read + step.written
        return total

    def time(self, device: Device, mode: str = "training") -> RooflineTime | None:
        """The roofline time on a device; None where its datasheet has no rate for one of the formats."""
        seconds = by_memory = 0.0
        for step in self.steps(mode):
            moving = (step.read + step.written) / (device.bandwidth * 1e9)
            computing = 0.0
            if step.macs:
                rate = device.rate(step.storage, step.accumulate)
                if rate is None:
                    return None
                computing = 2 * step.macs / (rate.tflops * 1e12)
            seconds += max(moving, computing)
            by_memory += moving if moving >= computing else 0.0
        return RooflineTime(seconds, by_memory / seconds if seconds else 0.0)


# Counting ------------------------------------------------------------------------------------------------------------


def cost_under(how: Any, net: Any, example: Array, make: Callable[..., Any], optimizer: str) -> PolicyCost:
    """Count a network in the formats that `how` names, on a copy, for the optimizer that `make` makes."""
    copied, made, recipe = in_training(net, how, make)
    constant = bytes_of_training(copied, made)
    updates = updates_of(copied, made)
    accumulator = accumulators(copied)
    leave_sums_to_blas(copied)
    work = _traced(copied, example, accumulator, training=True)
    buffers = buffer_bytes(copied)
    alone = _traced(copied, example, accumulator, training=False)
    return PolicyCost(
        name=name_of(how, recipe),
        columns={} if recipe is None else recipe.columns(),
        optimizer=optimizer,
        parameters=sum(p.size for p in copied.parameters()),
        training={**constant, **work.kept(), "buffers": buffers},
        inference={"weights": alone.weights_read(), "activations": alone.alive_at_once(), "buffers": buffers},
        training_steps=(*work.forward(), *work.backward(), *updates),
        inference_steps=tuple(alone.forward(casts=False)),
        unscaled=unscaled_bytes(copied, recipe),
    )


def in_training(net: Any, how: Any, make: Callable[..., Any]) -> tuple[Any, Any, Any]:
    """A copy in the formats named, its optimizer after an update by gradients of zeros, and the recipe, if any."""
    recipe = None if isinstance(how, Mapping | Precision) else amp.recipe(how)
    copied, made = amp.in_formats(net, how, make if any(True for _ in _parameters(net)) else None, op="cost")
    for w in copied.parameters():
        if w.requires_grad:
            w.grad = Tensor(np.zeros(w.shape, w.precision.gradient.storage.carrier), w.precision.gradient)
    if made is not None:
        made.step()
    return copied, made, recipe


def _parameters(net: Any) -> Iterable[Any]:
    return net.parameters() if isinstance(net, Module) else ()


def name_of(how: Any, recipe: Any) -> str:
    """What a policy is called in a report."""
    if recipe is not None:
        return str(recipe.name)
    return ", ".join(f"{pattern}: {like}" for pattern, like in how.items()) if isinstance(how, Mapping) else str(how)


def _nbytes(buffer: Any) -> int:
    return int(buffer.nbytes if isinstance(buffer, Tensor) else np.asarray(buffer).nbytes)


def bytes_of_training(net: Any, optimizer: Any) -> dict[str, int]:
    """Bytes of what does not grow with the batch, after an update."""
    weights = list(net.parameters())
    parts = {
        "weights": weights,
        "masters": [w.master for w in weights if w.master is not None],
        "gradients": [w.grad for w in weights if w.grad is not None],
        "state": [t for w in weights for t in _state(optimizer, w)],
    }
    return {name: sum(_nbytes(t) for t in tensors) for name, tensors in parts.items()}


def buffer_bytes(net: Any) -> int:
    """Bytes of what belongs to a network and is not trained."""
    return sum(map(_nbytes, net.buffers()))


def _state(optimizer: Any, w: Any) -> list[Tensor]:
    """What an optimizer keeps for a parameter."""
    return [t for t in optimizer.state.get(w, {}).values() if isinstance(t, Tensor)] if optimizer is not None else []


def unscaled_bytes(net: Any, recipe: Any) -> int:
    """Bytes of the gradients that a loss scaler writes beside the masters."""
    scaled = recipe is not None and recipe.scaler().is_enabled()
    return sum(_nbytes(w.master) for w in net.parameters() if w.master is not None) if scaled else 0


def updates_of(net: Any, optimizer: Any) -> list[Step]:
    """One step per parameter: its gradient, its master or itself, and the optimizer's state go through memory once."""
    steps = []
    for name, w in net.named_parameters():
        if w.grad is None:
            continue
        owner = w if w.master is None else w.master
        state = sum(map(_nbytes, _state(optimizer, w)))
        written = owner.nbytes + state + (w.nbytes if w.master is not None else 0)
        read = w.grad.nbytes + owner.nbytes + state
        kind = type(optimizer).__name__
        steps.append(Step(kind, name.rpartition(".")[0], "update", 0, owner.dtype, owner.dtype, read, written))
    return steps


def accumulators(net: Any) -> Callable[[str, Format], Format]:
    """In which format a module, by its path, accumulates sums into a storage format."""
    whole = net.autocast
    known = {
        path: (module.precision if whole is None else whole.lower).accumulate
        for path, module in net.named_modules()
        if module.precision is not None or whole is not None
    }
    return lambda module, storage: wider(known.get(module, known.get("", storage)), storage)


def _traced(net: Any, example: Array, accumulator: Callable[[str, Format], Format], *, training: bool) -> Workload:
    """One forward pass, all of it recorded."""
    net.train(training)
    x: Any = example
    if example.dtype.kind == "f":
        x = tensor(example)
        x.requires_grad = True
    with recording(net) as trained:
        return Workload(net(x), trained, accumulator)


@contextmanager
def recording(net: Any) -> Iterator[set[int]]:
    """Have frozen parameters recorded too for a while; gives the ``id`` of each that is trained."""
    trained = {id(p): p.requires_grad for p in net.parameters()}
    for p in net.parameters():
        p.requires_grad = True
    yield {key for key, is_trained in trained.items() if is_trained}
    for p in net.parameters():
        p.requires_grad = trained[id(p)]


def leave_sums_to_blas(net: Any) -> None:
    """Only shapes and storage formats will be looked at, so the forward passes may be quick."""
    for module in net.modules():
        for name in ("precision", "output_precision"):
            if getattr(module, name) is not None:
                object.__setattr__(module, name, _plain(getattr(module, name)))
        if module.autocast is not None:
            object.__setattr__(module, "autocast", replace(module.autocast, lower=_plain(module.autocast.lower)))
    for p in net.parameters():
        p.precision = _plain(p.precision)


def _plain(precision: Precision) -> Precision:
    gradient = precision.gradient.storage
    return Precision(precision.storage, wider(float32, precision.storage), grad=gradient)
