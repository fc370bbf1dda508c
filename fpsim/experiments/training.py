"""`train`: one network, one recipe, one seed, and everything that the tables need to know of it.

Layer 8. Trains through the public surface of nn, optim and amp, as a user's own loop would.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fpsim import amp, nn
from fpsim.autograd import Tensor, current, default_precision, no_grad, using
from fpsim.errors import ArgumentError, expected
from fpsim.experiments.digests import digest
from fpsim.experiments.record import Record
from fpsim.experiments.results import Run
from fpsim.experiments.scenario import Scenario, scenario_named
from fpsim.observe.counters import Report
from fpsim.observe.workload import Workload

if TYPE_CHECKING:
    from fpsim.experiments.keeping import Keeping

__all__ = ["Progress", "train"]

#: Called with (recipe, seed, step, steps) after each step.
Progress = Callable[[str, int, int, int], None]

#: So many steps of a run are counted at least: all of a short run, a share of a long one.
COUNTED = 50


def train(
    recipe: Any = None,
    steps: int | None = None,
    seed: int | None = None,
    *,
    scenario: str | Scenario | None = None,
    data: Any = None,
    batch: int | None = None,
    lr: float | None = None,
    momentum: float | None = None,
    order: str | None = None,
    scale: float | str | None = None,
    loss_factor: float | None = None,
    weights: Any = None,
    checkpoint: Any = None,
    checkpoint_every: int | None = None,
    resume: Any = None,
    progress: Progress | None = None,
) -> Run:
    """Train a scenario's network with one recipe.

    The same seed gives the same initial weights (drawn in float64, rounded once) and the same batches in every recipe,
    and the same numbers in every run. Initialisation, batches, dropout and stochastic rounding draw from four
    independent streams.

    Parameters
    ----------
    recipe : str
        A format, ``storage/accumulate``, a policy, or a recipe of its own: see `fp.amp.recipe`; ``mixed_float16``
        unless given.
    steps, batch, lr, momentum, loss_factor : optional
        The scenario's unless given; `loss_factor` multiplies the loss itself, before any scaling.
    seed : int
        0 unless given.
    scenario : str
        ``published rounding underflow overflow transformer``; ``published`` unless given.
    data : optional
        ``"digits"``, ``"fashion"``, a folder of IDX files, or (train_x, train_y, test_x, test_y); pixels in [0, 1].
        Of ``transformer`` ``"text"``, a UTF-8 file whose last tenth is to test, two strings (train, test), or a
        `fp.data.Text`.
    order : str, optional
        Of all accumulation: ``sequential`` or ``blocked:64`` make a run reproducible across machines.
    scale : float or str, optional
        Of the loss, in place of the recipe's: a constant (steps with inf or nan are skipped, where the recipe's weights
        are wide enough to check their gradients), ``"dynamic"`` or the preset of a dynamic one.
    weights : str or Path, optional
        File for the trained weights, ``.npz`` or ``.safetensors``: see `fp.save_weights`.
    checkpoint : str or Path, optional
        Folder for checkpoints: the last two of them, and one at the end. Ctrl-C then waits for the end of the step.
    checkpoint_every : int, optional
        Steps between checkpoints; ten a run unless given.
    resume : str or Path, optional
        Such a folder (or one file in it): the run goes on to the same bits as if it had never stopped (in the order
        ``blas``: on the same machine, with as many threads of BLAS). Arguments left out are those it was begun with.
    progress : callable, optional
        Called as ``progress(recipe, seed, step, steps)``.

    Returns
    -------
    Run

    Raises
    ------
    CheckpointError
        A folder that cannot be written, a checkpoint that is damaged, or of a run with other settings.

    Examples
    --------
    >>> import fpsim as fp
    >>> run = fp.train("float16/float32", steps=3, scenario="rounding")
    >>> len(run.loss), run.columns["accumulate"]
    (3, 'float32')
    """
    given = {
        "recipe": recipe, "scenario": scenario, "steps": steps, "seed": seed, "data": data, "batch": batch, "lr": lr,
        "momentum": momentum, "order": order, "scale": scale, "loss_factor": loss_factor,
    }  # fmt: skip
    keeping = _keeping(checkpoint, checkpoint_every, resume)
    training = Training(**(given if keeping is None else keeping.completed(given)))
    _check_weights_file(weights)
    if keeping is not None:
        training.note_data()
        keeping.begin(training)
    with nullcontext() if keeping is None else keeping.until_interrupted(training):
        training.run(keeping, progress)
        accuracy, test_loss = training.evaluate()
    if weights is not None:
        nn.save_weights(training.net, weights)
    return training.result(accuracy, test_loss)


def _keeping(checkpoint: Any, every: Any, resume: Any) -> Keeping | None:
    """What keeps the checkpoints that were asked for."""
    if checkpoint is None and every is None and resume is None:
        return None
    from fpsim.experiments.keeping import keeping_for  # not for those who never save

    return keeping_for(checkpoint, every, resume)


class Training:
    """A training between two steps: network, optimizer, scaler, batches, generators, and what was written down.

    `settings` is all that its numbers follow from, as plain data.
    """

    def __init__(
        self, recipe: Any, scenario: Any, seed: Any, data: Any, order: str | None, scale: float | str | None,
        **changes: Any,
    ) -> None:  # fmt: skip
        self.scenario = _scenario("published" if scenario is None else scenario, **changes)
        self.recipe = amp.recipe("mixed_float16" if recipe is None else recipe, order=order)
        self.source, self.data = data, self.scenario.load(data)
        self.seed, self.scale, self.steps = _seed(0 if seed is None else seed), scale, self.scenario.steps
        named = {name: getattr(self.scenario, name) for name in (*changes, *self.scenario.of_data)}
        self.settings: dict[str, Any] = {
            "recipe": self.recipe.name, "scenario": self.scenario.name, "seed": self.seed, "order": order,
            "scale": scale, "data": str(data) if isinstance(data, str | Path) else None, **named,
        }  # fmt: skip
        seeds = np.random.SeedSequence(self.seed).spawn(4)
        of_init, self.of_dropout, self.of_rounding = (np.random.default_rng(seeds[i]) for i in (0, 2, 3))
        self.record, self.begun = Record(), time.perf_counter()
        with using(rng=of_init), default_precision("float64"):
            self.net = self.scenario.network_for(self.data)
        self.optimizer = self.scenario.optimizer(self.net.parameters())
        self.recipe.apply(self.net, self.optimizer)
        self.scaler = self.recipe.scaler(scale)
        self.batches = self.scenario.batches(self.data, seeds[1])

    @property
    def done(self) -> int:
        """Steps carried out."""
        return len(self.record.loss)

    def note_data(self) -> None:
        """Put the data's digest and fpsim's version among the settings; only a checkpoint needs them."""
        from fpsim.experiments.packing import fpsim_version

        self.settings |= {self.scenario.kind: digest(self.data), "fpsim": fpsim_version()}

    def run(self, keeping: Keeping | None, progress: Progress | None) -> None:
        """Take all steps that are left."""
        every, watching, record = max(1, self.steps // COUNTED), current().observers, self.record
        with using(rng=self.of_dropout, rounding_rng=self.of_rounding):
            for x, y in self.batches.take(self.steps - self.done):
                if self.done % every == 0:
                    report = Report()
                    with using(observers=(*watching, report)):
                        self._step(self.scenario.inputs(x), y)
                    record.count(report)
                else:
                    self._step(self.scenario.inputs(x), y)
                if keeping is not None:
                    keeping.after_step(self)
                if progress is not None:
                    progress(self.recipe.name, self.seed, self.done, self.steps)

    def _step(self, x: Any, y: Any) -> None:
        """Forward, backward, update; the scenario's `loss_factor` multiplies the loss itself."""
        net, optimizer, scaler, record, factor = (
            self.net, self.optimizer, self.scaler, self.record, self.scenario.loss_factor
        )  # fmt: skip
        step = len(record.loss)
        loss = self.scenario.loss(net(x), y)
        scaled = scaler.scale(loss * factor if factor != 1 else loss)
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

    def evaluate(self) -> tuple[float, float]:
        """Share of the test part that is predicted right, and its mean loss, the network in evaluation mode."""
        net, scenario, batch = self.net, self.scenario, self.scenario.tested
        x, y = scenario.to_test(self.data)
        right, losses = 0, 0.0
        net.eval()
        with no_grad():
            for start in range(0, len(x), batch):
                part = slice(start, start + batch)
                out = net(scenario.inputs(x[part]))
                right += int((out.argmax(dim=-1) == y[part]).sum())
                losses += scenario.loss(out, y[part]).item() * y[part].size
        net.train()
        return right / y.size, losses / y.size

    def result(self, accuracy: float, test_loss: float) -> Run:
        """What was written down, with the columns of the recipe."""
        from fpsim.experiments.repeating import repeatable

        record = self.record
        return Run(
            scenario=self.scenario.name,
            recipe=self.recipe.name,
            columns=self.recipe.columns(self.scale),
            seed=self.seed,
            steps=self.steps,
            batch=self.scenario.batch,
            lr=self.scenario.lr,
            loss=record.loss,
            scale=record.scale,
            skipped=record.skipped,
            accuracy=accuracy,
            test_loss=test_loss,
            counts=record.gradients.numbers(),
            activations=record.activations.numbers(),
            lost_updates=record.lost / record.wanted if record.wanted else 0.0,
            nbytes=record.nbytes,
            seconds=record.seconds + time.perf_counter() - self.begun,
            settings=repeatable(self, self.source),
        )

    def state_dict(self) -> dict[str, Any]:
        """All that changes from step to step: what a checkpoint holds."""
        parts = {name: getattr(self, name).state_dict() for name in ("net", "optimizer", "scaler", "batches")}
        generators = {name: getattr(self, name).bit_generator.state for name in ("of_dropout", "of_rounding")}
        record = self.record.state_dict(self.record.seconds + time.perf_counter() - self.begun)
        return {**parts, **generators, "record": record}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state_dict`; the generators last, since rounding into a tensor may draw from them."""
        from fpsim.experiments.checkpoints import restore

        for name in ("net", "optimizer", "scaler", "batches", "record", "of_dropout", "of_rounding"):
            restore(getattr(self, name), state[name])
        if self.done > self.steps:
            raise ValueError(f"{self.done} of {self.steps} steps")


def _scenario(scenario: Any, **changes: Any) -> Scenario:
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


def check_numbers(scenario: Any, seed: Any = 0, **changes: Any) -> None:
    """Whether `train` takes these numbers, without training."""
    _scenario(scenario, **changes)
    _seed(seed)


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
