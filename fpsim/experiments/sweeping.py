"""`sweep`: train once for every point of a grid of arguments, by any executor; what became of the gradients at each.

Layer 8. Lists the points, hands each to the executor, gathers in order; `training` trains.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fpsim.amp.recipes import recipe as recipe_named
from fpsim.autograd.context import Observer, Rounded, current, using
from fpsim.errors import ArgumentError, ArgumentTypeError, expected, nearest
from fpsim.experiments.results import Run, write_content
from fpsim.experiments.table import aligned, percent
from fpsim.experiments.training import train

if TYPE_CHECKING:
    from concurrent.futures import Executor

__all__ = ["DEFAULT_SCALES", "Point", "Sweep", "sweep"]

#: What is swept unless a grid is given.
DEFAULT_SCALES = tuple(2.0**k for k in range(25))
#: Steps of each run unless given: some 3 s of the classic network.
DEFAULT_STEPS = 40


class GradientExponents(Observer):
    """Counts the exponents of the gradients handed to roundings: what they are before any format has its say."""

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}

    def rounded(self, event: Rounded) -> None:
        """Count one rounding; zeros, infinities and NaN have no exponent."""
        if event.role.endswith("gradient"):
            values = event.before[np.isfinite(event.before) & (event.before != 0)]
            exponents, counts = np.unique(np.frexp(values)[1] - 1, return_counts=True)
            for exponent, count in zip(exponents.tolist(), counts.tolist(), strict=True):
                self.counts[exponent] = self.counts.get(exponent, 0) + count


@dataclass(frozen=True)
class Point:
    """One run of a sweep: what was set there, what came of it, and the gradients' exponents.

    `exponents` counts, by ``floor(log2(|g|))``, the nonzero finite gradients (scaled) that were handed to a rounding.
    """

    settings: dict[str, Any]
    run: Run
    exponents: dict[int, int] = field(default_factory=dict)

    @property
    def scale(self) -> float | None:
        """The constant scale of the point; None where it is dynamic, or not set."""
        value = self.settings.get("scale")
        return None if value is None or isinstance(value, str) else float(value)


@dataclass(frozen=True)
class Sweep:
    """What `sweep` found: ``swp.table()``, ``swp.plot()``, ``swp.save(path)``; a point each by index.

    Attributes
    ----------
    points : list of Point
        In the order of the grid.
    reference : Point or None
        float32 without scaling, from the same weights on the same images: the gradients as they are.
    """

    points: list[Point]
    reference: Point | None = None

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: int) -> Point:
        return self.points[index]

    @property
    def names(self) -> list[str]:
        """The arguments that were swept."""
        return list(dict.fromkeys(name for point in self.points for name in point.settings))

    @property
    def constant(self) -> list[Point]:
        """The points with a constant scale, by scale."""
        return sorted((p for p in self.points if p.scale is not None), key=lambda p: p.scale or 0.0)

    @property
    def dynamic(self) -> list[Point]:
        """The points with a dynamic scale."""
        return [p for p in self.points if isinstance(p.settings.get("scale"), str)]

    def table(self) -> str:
        """A row for each point."""
        heads = ("to zero", "subnormal", "overflow", "skipped", "last scale", "final loss", "accuracy")
        rows: list[tuple[str, ...]] = [(*self.names, *heads)]
        for point in self.points:
            run = point.run
            set_to = [_short(point.settings.get(name, "")) for name in self.names]
            shares = [percent(run.share(what), 2) for what in ("to_zero", "subnormal", "overflow")]
            skipped = f"{len(run.skipped)} of {run.steps}"
            ends = (_short(run.scale[-1]), f"{run.final_loss:.4f}", f"{100 * run.accuracy:.1f} %")
            rows.append((*set_to, *shares, skipped, *ends))
        first = self.points[0].run
        same = [name for name in ("recipe", "scenario", "steps", "batch") if name not in self.names]
        head = ", ".join(f"{name} {getattr(first, name)}" for name in same)
        note = "Shares are of the nonzero gradients handed to a rounding, activations' and weights'."
        return "\n".join([head, aligned(rows, left=len(self.names)), note])

    def __repr__(self) -> str:
        return self.table()

    def plot(self) -> Any:
        """A matplotlib figure of a sweep over loss scales: see `fpsim.plots.scaling`."""
        from importlib import import_module

        return import_module("fpsim.plots").scaling(self)

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain dicts and lists; `fp.load` reads it back from a file."""
        points = [*self.points, *([] if self.reference is None else [self.reference])]
        rows = [
            {
                "settings": point.settings,
                "run": asdict(point.run),
                "exponents": {str(e): n for e, n in sorted(point.exponents.items())},
            }
            for point in points
        ]
        return {"sweep": rows[: len(self.points)], "reference": rows[len(self.points) :]}

    def save(self, path: Any) -> Path:
        """Write to a file (a folder gets ``sweep.json``), whole or not at all."""
        return write_content(path, self.to_dict(), name="sweep.json")


def _short(value: Any) -> str:
    """Powers of two as such."""
    if isinstance(value, float | int) and not isinstance(value, bool) and value > 0:
        significand, exponent = np.frexp(float(value))
        if significand == 0.5 and not 0 <= exponent - 1 < 4:
            return f"2**{exponent - 1}"
    return f"{value:g}" if isinstance(value, float) else str(value)


# Running -------------------------------------------------------------------------------------------------------------


def sweep(
    grid: Mapping[str, Sequence[Any]] | Iterable[Mapping[str, Any]] | None = None,
    executor: Executor | None = None,
    *,
    dynamic: bool = True,
    reference: bool = True,
    progress: Callable[[int, int, dict[str, Any]], None] | None = None,
    **settings: Any,
) -> Sweep:
    """Train once for every combination of the grid's values.

    Parameters
    ----------
    grid : dict of lists, or list of dicts
        Arguments of `fp.train` by name: every combination of a dict's values, or the points one by one. Scales from
        ``2**0`` to ``2**24`` unless given. See `fp.train` for what a `scale` means.
    executor : concurrent.futures.Executor, optional
        What runs the points: a process pool, a thread pool, a cluster's; one after the other here unless given. The
        numbers are the same, but for sums in the order ``blas``, whose bits depend on its threads.
    dynamic : bool
        Whether, where scales are swept, each other combination is run with the recipe's dynamic scale too.
    reference : bool
        Whether to train float32 without scaling too, whose gradients are shown beside.
    progress : callable, optional
        Called as ``progress(done, points, settings)`` after each point.
    **settings
        Arguments of `fp.train` that all points share; ``recipe="mixed_float16"`` and ``steps=40`` unless given.

    Returns
    -------
    Sweep

    Raises
    ------
    ArgumentError
        A name that `fp.train` does not take, an empty grid, one argument both swept and set.

    Examples
    --------
    >>> import fpsim as fp
    >>> swp = fp.sweep({"scale": [1.0, 2.0**16]}, scenario="rounding", steps=3)
    >>> [point.settings["scale"] for point in swp.points], len(swp[0].run.loss)
    ([1.0, 65536.0, 'dynamic'], 3)
    """
    if executor is not None and not callable(getattr(executor, "submit", None)):
        got = type(executor).__name__
        raise ArgumentTypeError(expected("sweep", "a concurrent.futures.Executor", got, "leave it out to run here"))
    points = _points(grid, settings, dynamic)
    shared = {"recipe": "mixed_float16", "steps": DEFAULT_STEPS, **settings}
    arguments = [{**shared, **point} for point in points]
    if reference:
        plain = {name: value for name, value in arguments[0].items() if name not in ("scale", "recipe")}
        arguments.append({**plain, "recipe": "float32"})
    found: list[tuple[Run, dict[int, int]]] = []
    for one, done in zip(arguments, _results(executor, arguments), strict=True):
        found.append(done)
        if progress is not None:
            progress(len(found), len(arguments), one)
    made = [Point(dict(point), *done) for point, done in zip(points, found, strict=False)]
    return Sweep(made, Point({"recipe": "float32"}, *found[-1]) if reference else None)


def _results(executor: Executor | None, arguments: list[dict[str, Any]]) -> Iterable[tuple[Run, dict[int, int]]]:
    """The points' results, in order."""
    if executor is None:
        yield from map(_train_watched, arguments)
        return
    waiting = [executor.submit(_train_watched, one) for one in arguments]
    try:
        for future in waiting:
            yield future.result()
    finally:
        for future in waiting:
            future.cancel()


def _train_watched(arguments: dict[str, Any]) -> tuple[Run, dict[int, int]]:
    """Train, and count the gradients' exponents; in this process or another."""
    watching = GradientExponents()
    with using(observers=(*current().observers, watching)):
        run = train(**arguments)
    return run, watching.counts


def _points(grid: Any, settings: Mapping[str, Any], dynamic: bool) -> list[dict[str, Any]]:
    """What is set at each point, checked."""
    if grid is None:
        grid = {"scale": DEFAULT_SCALES}
    if isinstance(grid, Mapping):
        grid = {name: _values(name, values) for name, values in grid.items()}
        points = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    else:
        points = [dict(point) for point in _values("grid", grid) if isinstance(point, Mapping)]
    names = list(dict.fromkeys(name for point in points for name in point))
    if not names:
        raise ArgumentError(expected("sweep", "a grid with at least one point", f"{grid!r}", "give {'scale': [...]}"))
    takes = [name for name in signature(train).parameters if name != "progress"]
    for name in (*names, *settings):
        if name not in takes:
            near = nearest(name, takes, 3)
            raise ArgumentError(expected("sweep", "arguments of train", f"{name!r}", f"did you mean {near}?"))
    if both := [name for name in names if name in settings]:
        got = f"{both[0]} both swept and set"
        raise ArgumentError(expected("sweep", "each argument once", got, "leave one of the two out"))
    if dynamic and "scale" in names and not any(isinstance(point.get("scale"), str) for point in points):
        others = [{**point, "scale": "dynamic"} for point in points]
        default = settings.get("recipe", "mixed_float16")
        points += [
            point
            for i, point in enumerate(others)
            if point not in others[:i] and recipe_named(point.get("recipe", default)).can_check
        ]
    return points


def _values(name: str, values: Any) -> list[Any]:
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        got = f"{name}={values!r}"
        raise ArgumentTypeError(expected("sweep", "a list of values for each argument", got, "put it in a list"))
    return [value.item() if isinstance(value, np.generic) else value for value in values]
