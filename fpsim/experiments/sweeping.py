"""`sweep`: train once for every point of a grid of arguments, by any executor, into one store.

Layer 8. Puts the parts in `fpsim.experiments.sweeps` together; `training` trains.
"""

from __future__ import annotations

import pickle
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fpsim.errors import ArgumentTypeError, expected
from fpsim.experiments.sweeps.executors import checked, opened
from fpsim.experiments.sweeps.found import Failure, OverSeeds, Point, Sweep
from fpsim.experiments.sweeps.grid import (
    DEFAULT_SCALES,
    DEFAULT_STEPS,
    MOST_POINTS,
    Configuration,
    configurations,
    reference_of,
)
from fpsim.experiments.sweeps.running import results
from fpsim.experiments.sweeps.store import Store

if TYPE_CHECKING:
    from concurrent.futures import Executor

__all__ = [
    "DEFAULT_SCALES", "DEFAULT_STEPS", "Failure", "OverSeeds", "Plan", "Point", "Progress", "Sweep", "carry_out",
    "plan", "sweep",
]  # fmt: skip


def sweep(
    grid: Mapping[str, Sequence[Any]] | Iterable[Mapping[str, Any]] | None = None,
    executor: Executor | str | None = None,
    *,
    out: Any = None,
    dynamic: bool = True,
    reference: bool | None = None,
    retry: bool = False,
    yes: bool = False,
    progress: Callable[[int, int, dict[str, Any]], None] | None = None,
    **settings: Any,
) -> Sweep:
    """Train once for every combination of the grid's values.

    Parameters
    ----------
    grid : dict of lists, or list of dicts
        Arguments of `fp.train` by name: every combination of a dict's values, or the points one by one. Scales from
        ``2**0`` to ``2**24`` unless given. See `fp.train` for what a `scale` means. Several values of ``seed`` are
        drawn and tabulated as means with 95 % intervals.
    executor : concurrent.futures.Executor or str, optional
        What runs the points. A new process on each core unless given (``"process"``; ``"process:4"``: on four);
        ``"serial"``: here, one after the other; ``"dask://host:port"`` or a dask client's ``get_executor()``: a
        cluster; or any other executor. The numbers are the same everywhere: BLAS is held to one thread wherever a
        point runs.
    out : path, optional
        Folder (or file, ``.sqlite``) for the results, stored as they come in; `fp.load` reads them. What is stored
        there already is not computed again.
    dynamic : bool
        Whether, where scales are swept, each other combination is run with the recipe's dynamic scale too.
    reference : bool, optional
        Whether to train float32 without scaling too, whose gradients are shown beside; where scales are swept.
    retry : bool
        Whether what failed, as the store says, is tried again.
    yes : bool
        Confirms more than 10,000 points.
    progress : callable, optional
        Called as ``progress(done, points, settings)`` after each point.
    **settings
        Arguments of `fp.train` that all points share; ``recipe="mixed_float16"`` and ``steps=40`` unless given.

    Returns
    -------
    Sweep
        A point that fails is among its `failures`, and the others go on.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        A name that `fp.train` does not take, an empty grid, one argument both swept and set, values that no point can
        be trained with, what is no executor.
    ResultsError
        A store that cannot be written, or was written by another version.
    WorkerLostError
        Workers that die whatever they are given.

    Notes
    -----
    Precision: sums in the order ``blas`` have the bits of the machine's BLAS with one thread, on every kind of
    executor; on machines with other processors they may have others. All other orders have the same bits everywhere.

    Examples
    --------
    >>> import fpsim as fp
    >>> swp = fp.sweep({"scale": [1.0, 2.0**16]}, executor="serial", scenario="rounding", steps=3)
    >>> [point.settings["scale"] for point in swp.points], len(swp[0].run.loss)
    ([1.0, 65536.0, 'dynamic'], 3)
    """
    planned = plan(grid, dynamic=dynamic, reference=reference, yes=yes, **settings)

    def told(state: Progress) -> None:
        if progress is not None:
            progress(state.done, state.points, state.settings)

    return carry_out(planned, executor, out=out, retry=retry, told=told)


@dataclass(frozen=True)
class Plan:
    """What a sweep will run: its points in the grid's order, and the reference beside them."""

    points: list[Configuration]
    reference: Configuration | None = None

    @property
    def different(self) -> dict[str, Configuration]:
        """What is to be computed, each once, by key."""
        return {c.key: c for c in (*self.points, *([] if self.reference is None else [self.reference]))}


@dataclass(frozen=True)
class Progress:
    """How far a sweep is: after each result."""

    done: int
    failed: int
    points: int
    #: seconds since it began, and how many of `done` it has computed itself since
    elapsed: float
    computed: int
    settings: dict[str, Any]

    @property
    def left(self) -> float:
        """Seconds that the rest will take if it goes on so."""
        return self.elapsed / max(1, self.computed) * (self.points - self.done)


def plan(
    grid: Any = None, *, dynamic: bool = True, reference: bool | None = None, yes: bool = False, **settings: Any
) -> Plan:
    """The points of a grid, checked: see `sweep`."""
    points = configurations(grid, settings, dynamic=dynamic, most=float("inf") if yes else MOST_POINTS)
    if reference is None:
        reference = any("scale" in point.settings for point in points)
    return Plan(points, reference_of(points[0]) if reference else None)


def carry_out(
    planned: Plan,
    executor: Executor | str | None = None,
    *,
    out: Any = None,
    retry: bool = False,
    told: Callable[[Progress], None] | None = None,
) -> Sweep:
    """Compute what the store does not have yet, and give back all that was planned: see `sweep`."""
    checked(executor)
    with Store.writing(out) as store:
        store.ask_for(planned.points, planned.reference)
        wanted, known = planned.different, store.known(failed=not retry)
        missing = {key: c for key, c in wanted.items() if key not in known}
        done, failed = len(wanted) - len(missing), sum(known[key] is not None for key in wanted if key in known)
        if missing:
            own = executor is None or (isinstance(executor, str) and executor.startswith("process"))
            main = own and _needs_main(c.arguments for c in missing.values())
            began, computed = time.monotonic(), 0
            with opened(executor, main) as opened_executor:
                tasks = ((key, c.arguments) for key, c in missing.items())
                for batch in results(opened_executor, tasks):
                    store.add(batch)
                    for key, result in batch:
                        done, computed, failed = done + 1, computed + 1, failed + ("error" in result)
                        if told is not None:
                            elapsed = time.monotonic() - began
                            told(Progress(done, failed, len(wanted), elapsed, computed, missing[key].arguments))
        return store.sweep_of(planned.points, planned.reference)


def _needs_main(points: Iterable[Mapping[str, Any]]) -> bool:
    """Whether arguments hold something that is defined in the program's main file; refuses what cannot be sent."""
    objects = {
        id(value): (name, value)
        for arguments in points
        for name, value in arguments.items()
        if not isinstance(value, str | int | float | None)
    }
    for name, value in objects.values():
        if b"__main__" in _sent(name, value):
            if not hasattr(sys.modules["__main__"], "__file__"):  # a notebook, which no other process can import
                raise _cannot_be_sent(name, value)
            return True
    return False


def _sent(name: str, value: Any) -> bytes:
    try:
        return pickle.dumps(value)
    except (pickle.PicklingError, AttributeError, TypeError):
        raise _cannot_be_sent(name, value) from None


def _cannot_be_sent(name: str, value: Any) -> ArgumentTypeError:
    remedy = "define what it holds at the top of a module, or use executor='serial'"
    return ArgumentTypeError(
        expected("sweep", "arguments that can be sent to another process", f"{name}={value!r}", remedy)
    )
