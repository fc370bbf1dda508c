"""How long a sweep would take: from the runs in its store, else from a few steps of each kind of run.

Layer 8. Trains a little, to measure; stores nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from fpsim.experiments.sweeps.grid import Configuration
from fpsim.experiments.sweeps.task import carry_out

__all__ = ["Estimate", "estimated"]

#: What a run's time depends on, besides its steps.
KIND = ("recipe", "scenario", "batch", "order", "data")
#: Kinds that are measured; any further one is taken for their mean.
MEASURED = 8
#: Steps of the two short runs whose difference is the time of steps alone.
FEW, MORE = 1, 4


@dataclass
class Estimate:
    """Seconds that configurations would take on one core, how that is known, and what would fail."""

    seconds: float = 0.0
    from_store: int = 0
    measured: int = 0
    errors: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Cost:
    """``fixed + each * steps`` seconds, or an error."""

    fixed: float = 0.0
    each: float = 0.0
    error: str | None = None


def estimated(missing: Iterable[Configuration], stored: Iterable[tuple[dict[str, Any], float]]) -> Estimate:
    """For the configurations that are missing, given the arguments and seconds of runs that are there."""
    kinds: dict[tuple[Any, ...], list[Configuration]] = {}
    for configuration in missing:
        kinds.setdefault(_kind(configuration.spelt), []).append(configuration)
    known: dict[tuple[Any, ...], list[float]] = {}
    for arguments, seconds in stored:
        known.setdefault(_kind(arguments), []).append(seconds / arguments["steps"])
    made, costs = Estimate(), {}
    for kind, alike in kinds.items():
        if kind in known:
            made.from_store += len(known[kind])
            costs[kind] = _Cost(each=fmean(known[kind]))
        elif made.measured < MEASURED:
            made.measured += 1
            costs[kind] = _measured(alike[0])
    sound = [cost for cost in costs.values() if cost.error is None]
    mean = _Cost(fmean(c.fixed for c in sound), fmean(c.each for c in sound)) if sound else _Cost()
    for kind, alike in kinds.items():
        cost = costs.get(kind, mean)
        if cost.error is not None:
            made.errors[cost.error] = made.errors.get(cost.error, 0) + len(alike)
        else:
            made.seconds += sum(cost.fixed + cost.each * c.spelt["steps"] for c in alike if _counts(c))
    return made


def _kind(arguments: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(arguments.get(name) for name in KIND)


def _counts(configuration: Configuration) -> bool:
    return isinstance(configuration.spelt["steps"], int)


def _measured(configuration: Configuration) -> _Cost:
    """The cost of a kind of run, by two short ones (and one before them, which loads what is needed)."""
    without_files = {k: v for k, v in configuration.arguments.items() if k not in ("weights", "checkpoint")}
    taken = []
    for steps in (FEW, FEW, MORE):
        result = carry_out({**without_files, "steps": steps})
        if "error" in result:
            return _Cost(error=result["error"])
        taken.append(result["seconds"])
    each = max(0.0, (taken[2] - taken[1]) / (MORE - FEW))
    return _Cost(max(0.0, taken[1] - each * FEW), each)
