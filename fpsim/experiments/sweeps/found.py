"""What a sweep found: `Sweep` of `Point`s and `Failure`s, as a table, as records, as means over seeds.

Layer 8. Plain data; nothing here trains or draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fpsim.errors import ArgumentError, expected
from fpsim.experiments.results import Run, write_content
from fpsim.experiments.sweeps.intervals import Mean, mean_of
from fpsim.experiments.table import aligned, percent

__all__ = ["MEASURES", "Failure", "OverSeeds", "Point", "Sweep", "short"]

#: The numbers that a run comes down to, by name.
MEASURES: dict[str, Callable[[Run], float]] = {
    "final_loss": lambda run: run.final_loss,
    "test_loss": lambda run: run.test_loss,
    "accuracy": lambda run: run.accuracy,
    "to_zero": lambda run: run.share("to_zero"),
    "subnormal": lambda run: run.share("subnormal"),
    "overflow": lambda run: run.share("overflow"),
    "lost_updates": lambda run: run.lost_updates,
    "skipped": lambda run: len(run.skipped) / run.steps,
    "last_scale": lambda run: run.scale[-1],
    "seconds": lambda run: run.seconds,
}


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
class Failure:
    """A point that could not be trained: what was set there, and the error."""

    settings: dict[str, Any]
    error: str


@dataclass(frozen=True)
class OverSeeds:
    """Points that differ in the seed alone, and the mean of each of `MEASURES` with its interval."""

    settings: dict[str, Any]
    points: list[Point]
    means: dict[str, Mean]

    @property
    def scale(self) -> float | None:
        """As of each of its points."""
        return self.points[0].scale


@dataclass(frozen=True)
class Sweep:
    """What `sweep` found: ``swp.table()``, ``swp.records()``, ``swp.plot()``, ``swp.save(path)``; points by index.

    Attributes
    ----------
    points : list of Point
        What was trained, in the order of the grid.
    reference : Point or None
        float32 without scaling, from the same weights on the same images: the gradients as they are.
    failures : list of Failure
        The points that could not be trained.
    missing : int
        Points that a store names and has no result of yet: its sweep was interrupted.
    """

    points: list[Point]
    reference: Point | None = None
    failures: list[Failure] = field(default_factory=list)
    missing: int = 0

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: int) -> Point:
        return self.points[index]

    @property
    def names(self) -> list[str]:
        """The arguments that were swept."""
        settings = [*(point.settings for point in self.points), *(failure.settings for failure in self.failures)]
        return list(dict.fromkeys(name for one in settings for name in one))

    @property
    def constant(self) -> list[Point]:
        """The points with a constant scale, by scale."""
        return sorted((p for p in self.points if p.scale is not None), key=lambda p: p.scale or 0.0)

    @property
    def dynamic(self) -> list[Point]:
        """The points with a dynamic scale."""
        return [p for p in self.points if isinstance(p.settings.get("scale"), str)]

    # Forms -----------------------------------------------------------------------------------------------------------

    def over_seeds(self, confidence: float = 0.95) -> list[OverSeeds]:
        """The points gathered by all that was set but the seed, each measure's mean with its interval."""
        groups: dict[str, list[Point]] = {}
        for point in self.points:
            groups.setdefault(repr(_without_seed(point.settings)), []).append(point)
        return [
            OverSeeds(
                _without_seed(points[0].settings),
                points,
                {name: mean_of([of(p.run) for p in points], confidence) for name, of in MEASURES.items()},
            )
            for points in groups.values()
        ]

    def records(self) -> list[dict[str, Any]]:
        """A flat dict for each point: what was set, `MEASURES`, and the error of one that failed.

        >>> import fpsim as fp
        >>> swp = fp.sweep({"recipe": ["float16", "flaot16"]}, "serial", scenario="rounding", steps=2)
        >>> for record in swp.records():
        ...     print(record["recipe"], record["skipped"], str(record["error"]).partition(",")[0])
        float16 0.0 None
        flaot16 None ArgumentError: recipe: expected a recipe's name
        """
        about = ("scenario", "recipe", "seed", "steps", "batch", "lr")
        found = [
            {name: getattr(p.run, name) for name in about}
            | p.settings
            | {name: of(p.run) for name, of in MEASURES.items()}
            | {"error": None}
            for p in self.points
        ]
        nothing = dict.fromkeys((*about, *self.names, *MEASURES))
        return found + [{**nothing, **failure.settings, "error": failure.error} for failure in self.failures]

    def to_dataframe(self) -> Any:
        """The records as a pandas DataFrame.

        Raises
        ------
        ArgumentError
            Without pandas.
        """
        try:
            import pandas
        except ImportError:
            remedy = "pip install pandas, or use records()"
            raise ArgumentError(expected("to_dataframe", "pandas", "none installed", remedy)) from None
        return pandas.DataFrame.from_records(self.records())

    def table(self, each: bool = False) -> str:
        """A row for each point; several seeds in one row, as means with 95 % intervals, unless `each` is to be seen."""
        if not self.points:
            return "\n".join(self._notes()) or "No point yet."
        seeds = {point.settings.get("seed") for point in self.points}
        names = [name for name in self.names if each or name != "seed" or len(seeds) < 2]
        merged = len(names) < len(self.names)
        rows = _rows_over_seeds(self.over_seeds(), names) if merged else _rows(self.points, names)
        first = self.points[0].run
        same = [name for name in ("recipe", "scenario", "steps", "batch") if name not in self.names]
        head = ", ".join(f"{name} {getattr(first, name)}" for name in same)
        note = "Shares are of the nonzero gradients handed to a rounding, activations' and weights'."
        if merged:
            note = f"Means over {len(seeds)} seeds with 95 % intervals (Student's). " + note
        return "\n".join([head, aligned(rows, left=len(names)), note, *self._notes()])

    def _notes(self) -> list[str]:
        """What is not in the table."""
        errors: dict[str, list[Failure]] = {}
        for failure in self.failures:
            errors.setdefault(failure.error, []).append(failure)
        notes = [
            f"{len(failed)} failed ({described(failed[0].settings)}{', ...' if len(failed) > 1 else ''}): {error}"
            for error, failed in errors.items()
        ]
        return notes + ([f"{self.missing} not computed yet: the same command goes on."] if self.missing else [])

    def __repr__(self) -> str:
        return self.table()

    def plot(self, kind: str | None = None, *, theme: str = "light") -> Any:
        """A matplotlib figure: the ``panorama`` of a sweep over loss scales, ``lines`` or a ``heat map``; what fits."""
        from importlib import import_module

        return import_module("fpsim.plots.sweeps").picture(self, kind, theme=theme)

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
        failures = {"failures": [asdict(failure) for failure in self.failures]} if self.failures else {}
        return {"sweep": rows[: len(self.points)], "reference": rows[len(self.points) :], **failures}

    def save(self, path: Any) -> Path:
        """Write to a file (a folder gets ``sweep.json``), whole or not at all."""
        return write_content(path, self.to_dict(), name="sweep.json")


# Rows ----------------------------------------------------------------------------------------------------------------

_HEADS = ("to zero", "subnormal", "overflow", "skipped", "last scale", "final loss", "accuracy")


def _rows(points: list[Point], names: list[str]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [(*names, *_HEADS)]
    for point in points:
        run = point.run
        set_to = [short(point.settings.get(name, "")) for name in names]
        shares = [percent(run.share(what), 2) for what in ("to_zero", "subnormal", "overflow")]
        skipped = f"{len(run.skipped)} of {run.steps}"
        ends = (short(run.scale[-1]), f"{run.final_loss:.4f}", f"{100 * run.accuracy:.1f} %")
        rows.append((*set_to, *shares, skipped, *ends))
    return rows


def _rows_over_seeds(groups: list[OverSeeds], names: list[str]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [(*names, "seeds", *_HEADS)]
    for group in groups:
        means = group.means
        set_to = [short(group.settings.get(name, "")) for name in names]
        shares = [percent(means[what].mean, 2) for what in ("to_zero", "subnormal", "overflow", "skipped")]
        last = {point.run.scale[-1] for point in group.points}
        scale = short(last.pop()) if len(last) == 1 else f"{means['last_scale'].mean:.4g}"
        loss, accuracy = means["final_loss"], means["accuracy"]
        ends = (scale, _with_interval(loss, 1, 4), _with_interval(accuracy, 100, 1) + " %")
        rows.append((*set_to, str(loss.n), *shares, *ends))
    return rows


def _with_interval(found: Mean, factor: float, digits: int) -> str:
    text = f"{factor * found.mean:.{digits}f}"
    return text if np.isnan(found.half_width) else f"{text} ± {factor * found.half_width:.{digits}f}"


def _without_seed(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name != "seed"}


def described(settings: dict[str, Any]) -> str:
    """In a few words: ``recipe float16, scale 2**16``."""
    return ", ".join(f"{name} {short(value)}" for name, value in settings.items())


def short(value: Any) -> str:
    """As text, powers of two as such where that is shorter.

    >>> short(2.0**16), short(1 << 20), short(32), short(0.1)
    ('2**16', '2**20', '32', '0.1')
    """
    if isinstance(value, float | int) and not isinstance(value, bool) and 0 < value < np.inf:
        significand, exponent = np.frexp(float(value))
        if significand == 0.5 and not 0 <= exponent - 1 < (4 if isinstance(value, float) else 10):
            return f"2**{exponent - 1}"
    return f"{value:g}" if isinstance(value, float) else str(value)
