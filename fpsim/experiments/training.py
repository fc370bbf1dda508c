"""`train`: one network, one recipe, one seed, and everything that the tables need to know of it.

Layer 8. Trains through the public surface of nn, optim and amp, as a user's own loop would.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from fpsim import amp, nn, optim
from fpsim import data as datasets
from fpsim.autograd import Tensor, current, default_precision, no_grad, tensor, using
from fpsim.data import batches
from fpsim.errors import ArgumentError, DataError, expected
from fpsim.experiments.results import Run
from fpsim.experiments.scenario import Scenario, scenario_named
from fpsim.observe.counters import Report
from fpsim.observe.workload import Workload

__all__ = ["Progress", "images_from", "train"]

#: Called with (recipe, seed, step, steps) after each step.
Progress = Callable[[str, int, int, int], None]

#: So many steps of a run are counted at least: all of a short run, a share of a long one.
COUNTED = 200


def train(
    recipe: str = "mixed_float16",
    steps: int | None = None,
    seed: int = 0,
    *,
    scenario: str | Scenario = "published",
    data: Any = None,
    batch: int | None = None,
    lr: float | None = None,
    momentum: float | None = None,
    order: str | None = None,
    scale: float | str | None = None,
    loss_factor: float | None = None,
    weights: Any = None,
    progress: Progress | None = None,
) -> Run:
    """Train a scenario's network with one recipe.

    The same seed gives the same initial weights (drawn in float64, rounded once) and the same batches in every recipe,
    and the same numbers in every run. Initialisation, batches, dropout and stochastic rounding draw from four
    independent streams.

    Parameters
    ----------
    recipe : str
        A format, ``storage/accumulate``, a policy, or a recipe of its own: see `fp.amp.recipe`.
    steps, batch, lr, momentum, loss_factor : optional
        The scenario's unless given; `loss_factor` multiplies the loss itself, before any scaling.
    seed : int
    scenario : str
        ``published rounding underflow overflow``.
    data : optional
        ``"digits"``, ``"fashion"``, a folder of IDX files, or (train_x, train_y, test_x, test_y); pixels in [0, 1].
    order : str, optional
        Of all accumulation: ``sequential`` or ``blocked:64`` make a run reproducible across machines.
    scale : float or str, optional
        Of the loss, in place of the recipe's: a constant (steps with inf or nan are skipped, where the recipe's weights
        are wide enough to check their gradients), ``"dynamic"`` or the preset of a dynamic one.
    weights : str or Path, optional
        File for the trained weights, ``.npz`` or ``.safetensors``: see `fp.save_weights`.
    progress : callable, optional
        Called as ``progress(recipe, seed, step, steps)``.

    Returns
    -------
    Run

    Examples
    --------
    >>> import fpsim as fp
    >>> run = fp.train("float16/float32", steps=3, scenario="rounding")
    >>> len(run.loss), run.columns["accumulate"]
    (3, 'float32')
    """
    settings = _settings(scenario, steps=steps, batch=batch, lr=lr, momentum=momentum, loss_factor=loss_factor)
    chosen = amp.recipe(recipe, order=order)
    images = _checked(images_from(data, settings), settings)
    _check_weights_file(weights)
    seeds = np.random.SeedSequence(_seed(seed)).spawn(4)
    of_init, of_dropout, of_rounding = (np.random.default_rng(seeds[i]) for i in (0, 2, 3))
    started = time.perf_counter()
    with using(rng=of_init), default_precision("float64"):
        net = settings.network()
    optimizer = optim.SGD(net.parameters(), lr=settings.lr, momentum=settings.momentum)
    chosen.apply(net, optimizer)
    scaler = chosen.scaler(scale)
    loader = batches(images.train_x, images.train_y, size=settings.batch, seed=seeds[1])
    record, every, watching = _Record(), max(1, settings.steps // COUNTED), current().observers
    with using(rng=of_dropout, rounding_rng=of_rounding):
        for step, (x, y) in enumerate(loader.take(settings.steps)):
            with using(observers=(*watching, record.report) if step % every == 0 else watching):
                _step(net, optimizer, scaler, tensor(x), y, settings.loss_factor, record)
            if progress is not None:
                progress(chosen.name, seed, step + 1, settings.steps)
        accuracy, test_loss = evaluate(net, images.test_x, images.test_y)
    if weights is not None:
        nn.save_weights(net, weights)
    return Run(
        scenario=settings.name,
        recipe=chosen.name,
        columns=chosen.columns(scale),
        seed=seed,
        steps=settings.steps,
        batch=settings.batch,
        lr=settings.lr,
        loss=record.loss,
        scale=record.scale,
        skipped=record.skipped,
        accuracy=accuracy,
        test_loss=test_loss,
        counts=record.report.gradients.numbers(),
        activations=record.report.total(role="activation", phase="forward").numbers(),
        lost_updates=record.report.lost_updates,
        nbytes=record.nbytes,
        seconds=time.perf_counter() - started,
    )


@dataclass
class _Record:
    """What is written down while training: of every step, of the counted ones, and bytes of the first."""

    loss: list[float] = field(default_factory=list)
    scale: list[float] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    report: Report = field(default_factory=Report)
    nbytes: dict[str, int] = field(default_factory=dict)


def _step(net: Any, optimizer: Any, scaler: Any, x: Tensor, y: Any, loss_factor: float, record: _Record) -> None:
    """Forward, backward, update; `loss_factor` multiplies the loss itself."""
    step = len(record.loss)
    loss = nn.functional.cross_entropy(net(x), y)
    scaled = scaler.scale(loss * loss_factor if loss_factor != 1 else loss)
    if step == 0:
        record.nbytes["activations"] = activation_bytes(scaled, net)
    scaled.backward()
    record.loss.append(loss.item())
    record.scale.append(scaler.get_scale())
    outcome = scaler.step(optimizer)
    if outcome is not None and outcome.skipped:
        record.skipped.append(step)
    scaler.update()
    if step == 0:
        record.nbytes.update(bytes_of_training(net, optimizer))
    optimizer.zero_grad()


def _settings(scenario: Any, **changes: Any) -> Scenario:
    """The scenario with what the caller changed, checked."""
    settings = scenario_named(scenario)
    for name, value in changes.items():
        if value is None:
            continue
        kind: Any = int if name in ("steps", "batch") else (int, float)
        least, most = (1, np.inf) if kind is int else (0, 1) if name == "momentum" else (1e-300, np.inf)
        sound = isinstance(value, kind) and not isinstance(value, bool) and value == value
        if not sound or not least <= value <= most:
            counted, shared = "a whole number of at least 1", "a number from 0 to 1"
            invariant = counted if kind is int else shared if name == "momentum" else "a positive number"
            raise ArgumentError(
                expected("train", invariant, f"{name}={value!r}", "leave it out for the scenario's own")
            )
        settings = replace(settings, **{name: value})
    return settings


def _seed(seed: Any) -> int:
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise ArgumentError(
            expected("train", "a seed that is a whole number of at least 0", f"seed={seed!r}", "use seed=0")
        )
    return int(seed)


def _check_weights_file(path: Any) -> None:
    """Whether weights can be written there, before minutes of training."""
    if path is not None and Path(path).suffix not in (".npz", ".safetensors"):
        got = f"weights={str(path)!r}"
        raise ArgumentError(expected("train", "a name ending in .npz or .safetensors", got, "rename it"))
    if path is not None and not Path(path).resolve().parent.is_dir():
        got = f"weights={str(path)!r}"
        raise ArgumentError(expected("train", "a folder that exists", got, "make the folder first"))


def images_from(source: Any, settings: Scenario) -> datasets.Images:
    """Images from a name, a folder of IDX files, four arrays, or the scenario's own."""
    if source is None:
        return settings.images()
    if isinstance(source, str | Path):
        if source == "digits":
            return settings.images()
        if source == "fashion":
            return datasets.fashion(size=settings.image_size)
        if not Path(source).exists():
            raise DataError(
                expected("train", "digits, fashion or a folder of IDX files", repr(str(source)), "check the path")
            )
        images = datasets.idx(source, size=settings.image_size)
        if not isinstance(images, datasets.Images):
            raise DataError(expected("train", "a folder with images and labels", repr(str(source)), "give the folder"))
        return images
    if isinstance(source, tuple | list) and len(source) == 4:
        x, y, test_x, test_y = (np.asarray(part) for part in source)
        return datasets.Images(x, y, test_x, test_y)
    got = type(source).__name__
    raise DataError(expected("train", "a name, a folder, or (train_x, train_y, test_x, test_y)", got, "see fp.data"))


def _checked(images: datasets.Images, settings: Scenario) -> datasets.Images:
    """Images that the network can take: shapes, labels, finite pixels; pixels scaled as the scenario asks."""
    size = settings.image_size
    for part, x, y in (("train", images.train_x, images.train_y), ("test", images.test_x, images.test_y)):
        if x.ndim != 4 or x.shape[1:] != (1, size, size) or len(x) == 0:
            got = f"{part}_x.shape={x.shape}"
            raise DataError(
                expected("train", f"images of shape (n, 1, {size}, {size}), n at least 1", got, "reshape them")
            )
        if y.shape != (len(x),) or y.dtype.kind not in "iu":
            got = f"{part}_y.shape={y.shape}, dtype={y.dtype}"
            raise DataError(expected("train", f"{len(x)} integer labels", got, "give one class per image"))
        if y.min() < 0 or y.max() > 9:
            got = f"{part}_y from {y.min()} to {y.max()}"
            raise DataError(expected("train", "labels from 0 to 9", got, "number the classes from 0"))
        if not np.isfinite(x).all():
            where = tuple(int(i) for i in np.argwhere(~np.isfinite(x))[0])
            got = f"{part}_x[{', '.join(map(str, where))}]={x[where]}"
            raise DataError(expected("train", "finite pixels", got, "replace missing pixels first"))
    factor = settings.pixel_factor
    return images if factor == 1 else images._replace(train_x=images.train_x * factor, test_x=images.test_x * factor)


def evaluate(net: Any, x: Any, y: Any, batch: int = 120) -> tuple[float, float]:
    """Accuracy and mean loss on images, the network in evaluation mode."""
    right, losses = 0, 0.0
    net.eval()
    with no_grad():
        for start in range(0, len(x), batch):
            part = slice(start, start + batch)
            out = net(tensor(x[part]))
            right += int((out.argmax(dim=1) == y[part]).sum())
            losses += nn.functional.cross_entropy(out, y[part]).item() * len(y[part])
    net.train()
    return right / len(x), losses / len(x)


def activation_bytes(loss: Tensor, net: Any) -> int:
    """Bytes that the graph behind `loss` keeps for the backward pass, copies of weights among them, weights aside."""
    return sum(Workload(loss, {id(p) for p in net.parameters() if p.requires_grad}).kept().values())


def bytes_of_training(net: Any, optimizer: Any) -> dict[str, int]:
    """Bytes of weights, masters, gradients and optimizer state, in the formats that hold them."""
    weights = list(net.parameters())
    masters = [w.master for w in weights if w.master is not None]
    state = [t for tensors in optimizer.state.values() for t in tensors.values() if isinstance(t, Tensor)]
    gradients = [t.grad for t in (*weights, *masters) if t.grad is not None]
    parts = {"weights": weights, "masters": masters, "gradients": gradients, "state": state}
    return {name: sum(t.nbytes for t in tensors) for name, tensors in parts.items()}
