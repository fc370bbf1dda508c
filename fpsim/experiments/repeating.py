"""Training once more what a saved run came from; and the digest by which its numbers are compared.

Layer 8. Knows runs and their settings, not where they are saved.
"""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fpsim.errors import FpsimError, ResultsError, expected
from fpsim.experiments.results import Run, plain

if TYPE_CHECKING:
    from fpsim.experiments.training import Training

__all__ = ["digest", "numbers", "numbers_of", "repeat", "repeat_settings", "repeatable", "runs_of", "versions"]

#: The settings of a run: those it always has, fields of the scenario that `train` can change, those that may be asked.
FIXED, ASKED = ("recipe", "scenario", "seed"), ("data", "order", "scale")
CHANGES = ("steps", "batch", "lr", "momentum", "loss_factor")


def digest(numbers: Any) -> str:
    """SHA-256 of plain data as JSON with sorted keys: every float in the shortest form that gives it back.

    >>> digest({"b": 2, "a": 0.1}) == digest({"a": 0.1, "b": 2}), digest({"a": 0.1}) == digest({"a": 0.1000000001})
    (True, False)
    """
    text = json.dumps(plain(numbers), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def versions() -> dict[str, str]:
    """Of what makes numbers and pictures."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"numpy": np.__version__, "python": platform.python_version()}
    for name, package in (("fpsim", "fpsim-lab"), ("matplotlib", "matplotlib")):
        try:
            found[name] = version(package)
        except PackageNotFoundError:  # run from a checkout that is not installed
            found[name] = "unknown"
    return dict(sorted(found.items()))


def numbers_of(content: Any) -> Any:
    """Results without what another machine or another day changes: the time taken, and how to do it again."""
    if isinstance(content, dict):
        return {k: numbers_of(v) for k, v in content.items() if k not in ("seconds", "settings")}
    return [numbers_of(v) for v in content] if isinstance(content, list | tuple) else content


def repeatable(training: Training, data: Any) -> dict[str, Any]:
    """The arguments with which `train` gives the same run again; none where a name does not say all of it."""
    from fpsim import amp
    from fpsim.experiments.scenario import SCENARIOS

    scenario, recipe, named = training.scenario, training.recipe, isinstance(data, str | Path)
    changes = {name: getattr(scenario, name) for name in CHANGES}
    order = training.settings["order"]
    try:
        same = (
            replace(SCENARIOS[scenario.name], **changes) == scenario and amp.recipe(recipe.name, order=order) == recipe
        )
    except (KeyError, FpsimError):  # a scenario or recipe of the caller's own
        same = False
    if not same or not (data is None or named):
        return {}
    scale = training.scale if training.scale is None or isinstance(training.scale, str) else float(training.scale)
    fixed = {"recipe": recipe.name, "scenario": scenario.name, "seed": training.seed, **changes}
    asked = {"data": str(data) if named else None, "order": order, "scale": scale}
    return {**fixed, **{name: value for name, value in asked.items() if value is not None}}


def repeat(run: Run) -> Run:
    """Train once more with the run's settings.

    Raises
    ------
    ResultsError
        A run of arrays, or of a scenario or recipe that has no name: its settings are not known.
    """
    return repeat_settings(run.settings, f"{run.scenario} {run.recipe}")


def repeat_settings(settings: Any, name: str) -> Run:
    """Train with settings that a file holds; `name` is the run's, for errors."""
    from fpsim.experiments.training import train

    if not settings or not isinstance(settings, dict):
        got = f"{name} without them"
        raise ResultsError(
            expected("repeat", "a run whose settings are saved", got, "train named data in a named scenario and recipe")
        )
    if not settings.keys() <= {*FIXED, *CHANGES, *ASKED}:  # no file may say where else to write
        got = f"{sorted(settings)}"
        raise ResultsError(expected("repeat", "settings that train takes", got, "use the fpsim that wrote it"))
    return train(**settings)


def numbers(run: Run) -> dict[str, Any]:
    """All of a run's numbers as plain data."""
    found = numbers_of(plain(asdict(run)))
    assert isinstance(found, dict)
    return found


def runs_of(results: Any) -> dict[str, Run]:
    """All runs by name: of a comparison with its references, of a sweep with its points."""
    if isinstance(results, Run):
        return {f"{results.scenario} {results.recipe} seed {results.seed}": results}
    if hasattr(results, "points"):
        points = [point.run for point in (*results.points, *([results.reference] if results.reference else []))]
        return {f"point {i}: {run.recipe} seed {run.seed}": run for i, run in enumerate(points)}
    runs = (*results.runs, *results.references)
    return {f"{run.scenario} {run.recipe} seed {run.seed}": run for run in runs}
