"""The points of a grid: every combination of its values, checked, each with the whole configuration and its hash.

Layer 8. Trains nothing.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from fpsim.amp.recipes import recipe as recipe_named
from fpsim.data import Images, Text
from fpsim.errors import ArgumentError, ArgumentTypeError, FpsimError, expected, nearest
from fpsim.experiments.digests import digest
from fpsim.experiments.results import plain
from fpsim.experiments.scenario import SCENARIOS, Scenario
from fpsim.experiments.training import check_numbers, train

__all__ = ["DEFAULT_SCALES", "DEFAULT_STEPS", "MOST_POINTS", "Configuration", "configurations", "reference_of"]

#: What is swept unless a grid is given.
DEFAULT_SCALES = tuple(2.0**k for k in range(25))
#: Steps of each run unless given: some 3 s of the classic network.
DEFAULT_STEPS = 40
#: More points than this must be confirmed: they take hours on any machine.
MOST_POINTS = 10_000

#: Arguments of `train`; `progress` is no part of a configuration, and what `resume` goes on with has its own.
ARGUMENTS = tuple(name for name in signature(train).parameters if name not in ("progress", "resume"))
#: What `train` takes where these are left out.
DEFAULTS = {"recipe": "mixed_float16", "scenario": "published", "seed": 0}
#: Arguments that name a file to write: points that share one would overwrite each other's.
FILES = ("weights", "checkpoint")
#: Data that have a name; all others are files and folders.
NAMED = ("digits", "fashion", "text")
#: Arguments that a scenario knows where they are not given, and those that are numbers with a fraction.
OF_SCENARIO = ("steps", "batch", "lr", "momentum", "loss_factor")
REAL = ("lr", "momentum", "loss_factor", "scale")


@dataclass(frozen=True)
class Configuration:
    """One run of a sweep, before it is carried out.

    Attributes
    ----------
    settings : dict
        What the grid sets at this point.
    arguments : dict
        What `train` is called with.
    spelt : dict
        All arguments of `train` as plain data, with what was left out filled in.
    key : str
        SHA-256 of `spelt`: the same configuration has the same key, however it was written.
    """

    settings: dict[str, Any]
    arguments: dict[str, Any]
    spelt: dict[str, Any]
    key: str

    @classmethod
    def of(cls, settings: Mapping[str, Any], arguments: Mapping[str, Any], data: str | None = None) -> Configuration:
        """With the rest derived; `data` spells the data out, where that is known already (arrays take a while)."""
        spelt = spelt_out(arguments, data)
        said = {name: value for name, value in spelt.items() if value is not None}  # a new argument changes no key
        key = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
        return cls(dict(settings), dict(arguments), spelt, key)


# Points --------------------------------------------------------------------------------------------------------------


def configurations(
    grid: Any, settings: Mapping[str, Any], *, dynamic: bool = True, most: float = MOST_POINTS
) -> list[Configuration]:
    """The points of a grid in order, checked; the dynamic ones that belong to swept scales follow."""
    points, names = _points({"scale": DEFAULT_SCALES} if grid is None else grid, most)
    _check_names(grid, names, settings, len(points))
    shared = {"recipe": DEFAULTS["recipe"], "steps": DEFAULT_STEPS, **settings}
    _check_values([{**shared, **point} for point in points])
    if dynamic and "scale" in names and not any(isinstance(point.get("scale"), str) for point in points):
        points += _dynamic(points, shared["recipe"] or DEFAULTS["recipe"])
    given = None if "data" in names else _located(shared).get("data")
    data = None if given is None else _data_spelt(given)
    return [Configuration.of(point, _located({**shared, **point}), data) for point in points]


def reference_of(first: Configuration) -> Configuration:
    """float32 without scaling, all else as at the first point."""
    rest = {name: value for name, value in first.arguments.items() if name not in ("scale", *FILES)}
    return Configuration.of({"recipe": "float32"}, {**rest, "recipe": "float32"})


def _points(grid: Any, most: float) -> tuple[list[dict[str, Any]], list[str]]:
    """What is set at each point, and the names that are set anywhere."""
    if isinstance(grid, Mapping):
        lists = {name: _values(name, values) for name, values in grid.items()}
        _check_size(math.prod(map(len, lists.values())) if lists else 0, most)
        points = [dict(zip(lists, map(_plain, values), strict=True)) for values in itertools.product(*lists.values())]
    else:
        listed = _values("grid", grid)
        _check_size(len(listed), most)
        if wrong := [point for point in listed if not isinstance(point, Mapping)]:
            got = f"{wrong[0]!r} among them"
            raise ArgumentTypeError(expected("sweep", "points that are dicts", got, "as in {'scale': 8.0}"))
        points = [{name: _plain(value) for name, value in point.items()} for point in listed]
    return points, list(dict.fromkeys(name for point in points for name in point))


def _values(name: str, values: Any) -> Sequence[Any]:
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        got = f"{name}={values!r}"
        raise ArgumentTypeError(expected("sweep", "a list of values for each argument", got, "put it in a list"))
    return values if isinstance(values, range) else list(values)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _located(arguments: dict[str, Any]) -> dict[str, Any]:
    """Paths in full: a worker may stand in another folder."""
    paths = {name: arguments[name] for name in ("data", *FILES) if isinstance(arguments.get(name), str | Path)}
    full = {name: os.path.abspath(path) for name, path in paths.items() if name != "data" or str(path) not in NAMED}
    return {**arguments, **full} if full else arguments


def _dynamic(points: list[dict[str, Any]], default: Any) -> list[dict[str, Any]]:
    """Each combination of the other arguments with the recipe's dynamic scale, where gradients can be checked."""
    others = {repr({**point, "scale": ""}): {**point, "scale": "dynamic"} for point in points}
    return [other for other in others.values() if _can_check(other.get("recipe", default))]


def _can_check(recipe: Any) -> bool:
    try:
        return recipe_named(recipe).can_check
    except FpsimError:  # fails anyway, which is recorded
        return False


# Checks --------------------------------------------------------------------------------------------------------------


def _check_size(count: int, most: float) -> None:
    if count > most:
        remedy = "pass yes=True (--yes) if all of them are meant"
        raise ArgumentError(expected("sweep", f"at most {most:,} points unless confirmed", f"{count:,}", remedy))


def _check_names(grid: Any, names: list[str], settings: Mapping[str, Any], points: int) -> None:
    if not names:
        raise ArgumentError(expected("sweep", "a grid with at least one point", f"{grid!r}", "give {'scale': [...]}"))
    for name in (*names, *settings):
        if name not in ARGUMENTS:
            near = nearest(name, ARGUMENTS, 3)
            raise ArgumentError(expected("sweep", "arguments of train", f"{name!r}", f"did you mean {near}?"))
    if both := [name for name in names if name in settings]:
        got = f"{both[0]} both swept and set"
        raise ArgumentError(expected("sweep", "each argument once", got, "leave one of the two out"))
    if points > 1 and (shared := [name for name in FILES if settings.get(name) is not None]):
        got = f"{shared[0]}={settings[shared[0]]!r} for all {points} points"
        raise ArgumentError(expected("sweep", "a file for each point", got, f"sweep {shared[0]} too, or leave it out"))


def _check_values(points: list[dict[str, Any]]) -> None:
    """Refuse a grid in which no point can be trained; where some can, the others will be recorded as failed."""
    first: FpsimError | None = None
    for point in points:
        try:
            point = _filled(point)
            recipe_named(point["recipe"], order=point["order"]).scaler(point["scale"])
            check_numbers(**{name: point[name] for name in ("scenario", "seed", *OF_SCENARIO)})
        except FpsimError as error:
            first = first or error
        else:
            return
    if first is not None:
        raise first


# Spelling out --------------------------------------------------------------------------------------------------------


def spelt_out(arguments: Mapping[str, Any], data: str | None = None) -> dict[str, Any]:
    """All arguments of `train` as plain data, defaults filled in; what is wrong stays as it is."""
    spelt = _filled(arguments)
    scenario = spelt["scenario"]
    known = scenario if isinstance(scenario, Scenario) else SCENARIOS.get(scenario)
    for name in OF_SCENARIO:
        if spelt.get(name) is None and known is not None:
            spelt[name] = getattr(known, name)
    for name in REAL:
        if isinstance(spelt.get(name), int) and not isinstance(spelt[name], bool):
            spelt[name] = float(spelt[name])
    spelt["recipe"] = _recipe_spelt(spelt["recipe"])
    spelt["scenario"] = _scenario_spelt(scenario)
    if data is None:
        data = _data_spelt(spelt["data"]) if spelt["data"] is not None or known is None else known.source
    spelt["data"] = data
    return {name: plain(v) if isinstance(v, str | int | float | None) else str(v) for name, v in spelt.items()}


def _filled(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """All arguments, with what `train` takes where they are left out."""
    given = {name: value for name, value in arguments.items() if value is not None}
    return {**dict.fromkeys(ARGUMENTS), **DEFAULTS, **given}


def _recipe_spelt(like: Any) -> Any:
    """Its name; of a policy that no name stands for, with a digest."""
    if isinstance(like, str):
        return like.strip()
    try:
        made = recipe_named(like)
    except FpsimError:
        return repr(like)
    try:
        named = recipe_named(made.name) == made
    except FpsimError:
        named = False
    return made.name if named else f"{made.name} {_digest(repr(made).encode())}"


def _scenario_spelt(scenario: Any) -> Any:
    """Its name; of one that is not fpsim's own, with a digest of all that is plain in it and the network's name."""
    if not isinstance(scenario, Scenario) or SCENARIOS.get(scenario.name) == scenario:
        return getattr(scenario, "name", scenario)
    network = scenario.network
    described = {field.name: repr(getattr(scenario, field.name)) for field in fields(scenario)}
    described["network"] = f"{network.__module__}.{getattr(network, '__qualname__', type(network).__qualname__)}"
    return f"{scenario.name} {_digest(json.dumps(described).encode())}"


def _data_spelt(source: Any) -> Any:
    """A name, a path, or a digest of the content of arrays or texts."""
    if source is None or isinstance(source, str | Path):
        return None if source is None else str(source)
    try:
        if isinstance(source, Text) or all(isinstance(part, str) for part in source):
            return f"text {digest(source)[:16]}"
        return f"arrays {digest(Images(*map(np.asarray, source)))[:16]}"
    except (TypeError, ValueError, AttributeError):
        return repr(source)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
