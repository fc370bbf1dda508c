"""Runs, comparisons and sweeps that were saved: trained once more, for `verify`.

Layer 10. Reads by `fpsim.experiments.load`, trains by `fpsim.experiments.repeating`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from fpsim import amp
from fpsim.errors import ResultsError, expected
from fpsim.experiments import Run, load
from fpsim.experiments.repeating import digest, numbers, numbers_of, repeat_settings, runs_of
from fpsim.kernels.pinning import one_blas_thread

__all__ = ["rerun", "rerun_settings"]


def rerun(path: Path) -> tuple[str, Any, Any, list[str], dict[str, Any]]:
    """What the file is of, its numbers, those of the rerun, notes, and the versions that the file names."""
    results = load(path)
    runs = runs_of(results)
    there = {name: numbers(run) for name, run in runs.items()}
    settings = {name: run.settings for name, run in runs.items()}
    names, here, notes = rerun_settings(settings, alone=isinstance(results, Run))
    recorded, written_with = _mark(path)
    if recorded is not None and recorded != _digest_of_file(path):
        notes.append("the numbers in the file are not those of its own digest: it was changed after it was written")
    return names, there, here, notes, written_with


def rerun_settings(runs: dict[str, Any], alone: bool = False) -> tuple[str, Any, list[str]]:
    """Of runs by name with their settings: the names, the numbers of the rerun, notes.

    Compare and sweep train with one BLAS thread, a run `alone` as many as there are.
    """
    if not runs:
        remedy = "verify the results file that the picture was drawn from"
        raise ResultsError(expected("verify", "a picture that says how its runs were made", "one without", remedy))
    with nullcontext() if alone else one_blas_thread():
        here = {name: numbers(repeat_settings(settings, name)) for name, settings in runs.items()}
    return ", ".join(runs), here, _about_order(runs.values())


def _about_order(runs: Iterable[dict[str, Any]]) -> list[str]:
    """A note where the sums of a run are in the order blas: those of float32 and float64, unless another was asked."""
    for settings in runs:
        order = settings.get("order")
        accumulate = amp.recipe(settings.get("recipe", "mixed_float16")).accumulate
        if order == "blas" or (order is None and re.search(r"\bfloat(32|64)\b", accumulate)):
            return ["sums in the order blas repeat on one machine; --order sequential makes them the same on every one"]
    return []


def _mark(path: Path) -> tuple[str | None, dict[str, Any]]:
    """Digest and versions of a results file; none in a sweep's store and in files of before there were any."""
    content = _content(path)
    versions = content.get("versions")
    return content.get("digest"), versions if isinstance(versions, dict) else {}


def _digest_of_file(path: Path) -> str:
    content = _content(path)
    marks = ("kind", "version", "versions", "digest")
    return digest(numbers_of({name: value for name, value in content.items() if name not in marks}))


def _content(path: Path) -> dict[str, Any]:
    """The JSON that `load` has read and found to be whole; nothing of a store."""
    candidates = [path] if path.is_file() else [path / "compare.json", path / "sweep.json"]
    for file in candidates:
        if file.suffix == ".json" and file.is_file():
            found = json.loads(file.read_bytes())
            return found if isinstance(found, dict) else {}
    return {}
