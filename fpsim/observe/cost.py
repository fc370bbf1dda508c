"""`cost`: bytes, multiply-adds, traffic and roofline times of a network under a policy, in training and inference.

Layer 7. Runs one forward pass and one update on a copy, counts, and computes with `devices`; times nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from fpsim import amp, optim
from fpsim.amp.policy import wider
from fpsim.autograd import Tensor, tensor, using
from fpsim.errors import ArgumentError, expected, nearest
from fpsim.formats import Format, float32
from fpsim.nn import Module
from fpsim.observe.cost_report import Cost
from fpsim.observe.devices import Device, devices_named
from fpsim.observe.workload import Step, Workload
from fpsim.precision import Precision

__all__ = ["OPTIMIZERS", "PolicyCost", "RooflineTime", "cost"]

#: Optimizers by name: what each keeps for a parameter is counted after a step of its own.
OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    "sgd": partial(optim.SGD, lr=0.01),
    "momentum": partial(optim.SGD, lr=0.01, momentum=0.9),
    "adam": optim.Adam,
    "adamw": optim.AdamW,
}


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

    def bytes_per_parameter(self) -> dict[str, float]:
        """Of weights, masters, gradients, state and cast weights in training; they do not grow with the batch."""
        parts = ("weights", "masters", "gradients", "state", "cast weights")
        return {part: self.training[part] / self.parameters for part in parts} if self.parameters else {}

    def steps(self, mode: str = "training") -> tuple[Step, ...]:
        """The steps of ``training`` or ``inference``."""
        if mode not in ("training", "inference"):
            raise ArgumentError(expected("cost", "training or inference", f"mode={mode!r}", "choose one"))
        return self.training_steps if mode == "training" else self.inference_steps

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


def cost(
    net: Any,
    input_shape: Any,
    policy: Any = "mixed_float16",
    *,
    optimizer: Any = "adam",
    devices: Any = None,
) -> Cost:
    """Count what a network costs under one policy, or several, with float32 beside.

    Parameters
    ----------
    net : nn.Module
        Stays as it is.
    input_shape : tuple of int
        Of a batch, ``(n, channel, row, column)``; or a batch as array, for networks that take indices.
    policy : str, dict, Policy, Recipe, Precision, or a list of these
        See `fp.amp.apply`.
    optimizer : str or callable
        ``sgd momentum adam adamw``, or a function of the parameters: ``partial(fp.optim.Adam, amsgrad=True)``.
    devices : str, Device or a list, optional
        Of the table `fpsim.observe.devices`; all unless given.

    Returns
    -------
    Cost
        ``cost["mixed_float16"].training["activations"]`` are bytes; ``table() to_dict() to_json() plot()``.

    Raises
    ------
    ArgumentError, ArgumentTypeError, ShapeError
        An unknown policy, optimizer or device; what is not a network; a shape that the network does not take.

    Notes
    -----
    Precision: sizes are exact, ``ceil(elements * bits / 8)`` in each tensor's format. Kept for backward is what the
    gradient formulas of the network's operations read (`workload.READ_BY_BACKWARD`), each piece of memory once; views
    share their source's; the loss, outside the network, is not counted. Times are rooflines (Williams, Waterman and
    Patterson 2009), operation by operation: the larger of 2 * multiply-adds / peak and bytes / bandwidth. There is no
    fusion, no cache and no launch overhead in them.

    Examples
    --------
    >>> import fpsim as fp
    >>> found = fp.cost(fp.nn.Linear(64, 10), (32, 64), "O2")
    >>> found["O2"].training["masters"], found["O2"].macs("inference")
    (2600, {'float16/float32': 20480})
    """
    listed = list(policy) if isinstance(policy, list | tuple) else [policy]
    if not listed:
        raise ArgumentError(expected("cost", "at least one policy", "none", "name one, such as 'O2'"))
    chosen = devices_named(devices)
    make, named = _optimizer(optimizer)
    example = _example(input_shape)
    surroundings = {
        "observers": (), "autocast": None, "precision": None, "module": "", "grad_enabled": True,
        "rng": np.random.default_rng(0), "default": Precision(float32),
    }  # fmt: skip
    with using(**surroundings), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of eps and lr in narrow formats: nothing is trained here
        costs = [_cost_of(net, example, how, make, named) for how in _with_baseline(listed)]
    return Cost(type(net).__name__, tuple(example.shape), tuple(costs), chosen)


def _with_baseline(policies: list[Any]) -> list[Any]:
    return policies if any(isinstance(p, str) and p == "float32" for p in policies) else ["float32", *policies]


def _optimizer(like: Any) -> tuple[Callable[..., Any], str]:
    if isinstance(like, str) and like.lower() in OPTIMIZERS:
        return OPTIMIZERS[like.lower()], like.lower()
    if callable(like):
        function = getattr(like, "func", like)
        return like, getattr(function, "__name__", str(function))
    near = nearest(like, OPTIMIZERS, otherwise=OPTIMIZERS)
    got = f"optimizer={like!r}"
    raise ArgumentError(
        expected("cost", "an optimizer's name, or a function that makes one", got, f"use one of {near}")
    )


def _example(input_shape: Any) -> np.ndarray[Any, Any]:
    """A batch of zeros of that shape, or the batch itself."""
    if isinstance(input_shape, Tensor):
        return np.asarray(input_shape.numpy())
    if isinstance(input_shape, np.ndarray):
        return input_shape
    sizes = tuple(input_shape) if isinstance(input_shape, Iterable) and not isinstance(input_shape, str) else None
    if not sizes or not all(isinstance(n, int | np.integer) and not isinstance(n, bool) and n > 0 for n in sizes):
        got = f"input_shape={input_shape!r}"
        remedy = "give a batch's, like (32, 1, 32, 32)"
        raise ArgumentError(expected("cost", "a shape of whole numbers of at least 1", got, remedy))
    return np.zeros(sizes, np.float32)


# Counting ------------------------------------------------------------------------------------------------------------


def _cost_of(net: Any, example: np.ndarray[Any, Any], how: Any, make: Callable[..., Any], optimizer: str) -> PolicyCost:
    recipe = None if isinstance(how, Mapping | Precision) else amp.recipe(how)
    copied, made = amp.in_formats(net, how, make if any(True for _ in _parameters(net)) else None, op="cost")
    trained = {id(p) for p in copied.parameters() if p.requires_grad}
    training, unscaled = _bytes_of_training(copied, made, trained, recipe)
    updates = _updates(copied, made, trained)
    accumulator = _accumulators(copied)
    _leave_sums_to_blas(copied)
    work = _traced(copied, example, trained, accumulator, training=True)
    training.update(work.kept())
    buffers = sum(_nbytes(buffer) for buffer in copied.buffers())
    training["buffers"] = buffers
    alone = _traced(copied, example, trained, accumulator, training=False)
    return PolicyCost(
        name=_name(how, recipe),
        columns={} if recipe is None else recipe.columns(),
        optimizer=optimizer,
        parameters=sum(p.size for p in copied.parameters()),
        training=training,
        inference={"weights": alone.weights_read(), "activations": alone.alive_at_once(), "buffers": buffers},
        training_steps=(*work.forward(), *work.backward(), *updates),
        inference_steps=tuple(alone.forward(casts=False)),
        unscaled=unscaled,
    )


def _parameters(net: Any) -> Iterable[Any]:
    return net.parameters() if isinstance(net, Module) else ()


def _name(how: Any, recipe: Any) -> str:
    if recipe is not None:
        return str(recipe.name)
    return ", ".join(f"{pattern}: {like}" for pattern, like in how.items()) if isinstance(how, Mapping) else str(how)


def _nbytes(buffer: Any) -> int:
    return int(buffer.nbytes if isinstance(buffer, Tensor) else np.asarray(buffer).nbytes)


def _bytes_of_training(net: Any, optimizer: Any, trained: set[int], recipe: Any) -> tuple[dict[str, int], int]:
    """Bytes of what does not grow with the batch, after one update by gradients of zeros; and of unscaled gradients."""
    weights = list(net.parameters())
    learning = [w for w in weights if id(w) in trained]
    for w in learning:
        w.grad = Tensor(np.zeros(w.shape, w.precision.gradient.storage.carrier), w.precision.gradient)
    if optimizer is not None:
        optimizer.step()
    masters = [w.master for w in learning if w.master is not None]
    state = [
        t
        for w in learning
        for t in (optimizer.state.get(w, {}) if optimizer is not None else {}).values()
        if isinstance(t, Tensor)
    ]
    parts = {"weights": weights, "masters": masters, "gradients": [w.grad for w in learning], "state": state}
    scaled = recipe is not None and recipe.scaler().is_enabled()
    unscaled = sum(m.nbytes for m in masters) if scaled else 0
    return {name: sum(_nbytes(t) for t in tensors) for name, tensors in parts.items()}, unscaled


def _updates(net: Any, optimizer: Any, trained: set[int]) -> list[Step]:
    """One step per parameter: its gradient, its master or itself, and the optimizer's state go through memory once."""
    steps = []
    for name, w in net.named_parameters():
        if id(w) not in trained:
            continue
        owner = w if w.master is None else w.master
        state = sum(_nbytes(t) for t in optimizer.state.get(w, {}).values() if isinstance(t, Tensor))
        written = owner.nbytes + state + (w.nbytes if w.master is not None else 0)
        read = w.grad.nbytes + owner.nbytes + state
        kind = type(optimizer).__name__
        steps.append(Step(kind, name.rpartition(".")[0], "update", 0, owner.dtype, owner.dtype, read, written))
    return steps


def _accumulators(net: Any) -> Callable[[str, Format], Format]:
    """In which format a module, by its path, accumulates sums into a storage format."""
    whole = net.autocast
    known = {
        path: (module.precision if whole is None else whole.lower).accumulate
        for path, module in net.named_modules()
        if module.precision is not None or whole is not None
    }
    return lambda module, storage: wider(known.get(module, known.get("", storage)), storage)


def _traced(
    net: Any, example: np.ndarray[Any, Any], trained: set[int], accumulator: Callable[..., Any], *, training: bool
) -> Workload:
    """One forward pass, all of it recorded."""
    net.train(training)
    for p in net.parameters():
        p.requires_grad = True
    x: Any = example
    if example.dtype.kind == "f":
        x = tensor(example)
        x.requires_grad = True
    return Workload(net(x), trained, accumulator)


def _leave_sums_to_blas(net: Any) -> None:
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
