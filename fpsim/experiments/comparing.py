"""`compare`: several recipes from the same weights on the same batches, and the sentence that names what parted them.

Layer 8. Plans the runs, and hands them to `training`, here or in processes; BLAS has one thread in either.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from fpsim import amp
from fpsim.errors import ArgumentError, expected
from fpsim.experiments.results import Comparison, Run
from fpsim.experiments.scenario import scenario_named
from fpsim.experiments.training import Progress, train
from fpsim.kernels.pinning import one_blas_thread

__all__ = ["Plan", "carried_out", "compare", "planned"]

if TYPE_CHECKING:
    from concurrent.futures import Executor

#: Further seeds of the float32 run that say how far apart equally good runs lie.
SPREAD_SEEDS = 2


def compare(
    recipes: Iterable[str] | None = None,
    scenario: Any = "published",
    steps: int | None = None,
    seed: int | Iterable[int] = 0,
    *,
    executor: Any = "serial",
    checkpoint: Any = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Comparison:
    """Train a scenario's network once per recipe and seed.

    Parameters
    ----------
    recipes : list of str, optional
        The scenario's own unless given. float64 is trained too, as the reference of the deviations.
    scenario : str
        ``published rounding underflow overflow transformer``.
    steps : int, optional
    seed : int or list of int
    executor : str or concurrent.futures.Executor
        Where the runs are carried out: here one by one, or by ``"process"`` one on each core, as in `fp.sweep`. The
        numbers are the same.
    checkpoint : str or Path, optional
        Folder for the checkpoints of all runs. Those that were begun there before go on, to the same bits.
    progress : callable, optional
        As for `train`; with an executor called once for each run, at its end.
    **settings
        As for `train`: ``batch lr momentum data order checkpoint_every``.

    Returns
    -------
    Comparison

    Examples
    --------
    >>> import fpsim as fp
    >>> cmp = fp.compare(["float32", "float16/float32"], scenario="rounding", steps=5)
    >>> cmp.recipes
    ['float32', 'float16/float32']
    """
    plan = planned(recipes, scenario, steps, seed, checkpoint=checkpoint, **settings)
    return next(carried_out([plan], executor, progress))


@dataclass(frozen=True)
class Plan:
    """The runs of one comparison as arguments of `train`: those to compare, and those that they are compared with."""

    runs: list[dict[str, Any]]
    references: list[dict[str, Any]]


def planned(
    recipes: Any,
    scenario: Any,
    steps: int | None,
    seed: int | Iterable[int],
    *,
    checkpoint: Any = None,
    **settings: Any,
) -> Plan:
    """The runs that `compare` makes with these arguments."""
    chosen = scenario_named(scenario)
    if isinstance(recipes, str):
        recipes = [recipes]
    names = [amp.recipe(r).name for r in (chosen.recipes if recipes is None else recipes)]
    if not names or len(set(names)) < len(names):
        raise ArgumentError(expected("compare", "different recipes, at least one", f"{names}", "name each once"))
    seeds = [seed] if isinstance(seed, int) else list(seed)

    def one(recipe: str, seed: int) -> dict[str, Any]:
        kept = {} if checkpoint is None else _kept(checkpoint, chosen.name, recipe, f"seed {seed}")
        return {"recipe": recipe, "seed": seed, "steps": steps, "scenario": chosen, **settings, **kept}

    references = [] if "float64" in names else [one("float64", s) for s in seeds]
    if chosen.name == "published" and len(seeds) == 1 and "float32" in names:
        references += [one("float32", seeds[0] + i) for i in range(1, SPREAD_SEEDS + 1)]
    return Plan([one(recipe, s) for recipe in names for s in seeds], references)


def _kept(checkpoint: Any, *names: str) -> dict[str, Any]:
    from fpsim.experiments.checkpoints import begun_or_new  # not for those who never save

    return begun_or_new(checkpoint, *names)


def carried_out(plans: Sequence[Plan], executor: Any, progress: Progress | None = None) -> Iterator[Comparison]:
    """The comparisons in order, each as soon as its runs are there; an executor is handed all runs at once."""
    from fpsim.experiments.sweeps.executors import opened  # only now: processes take a while to import

    arguments = [one for plan in plans for one in (*plan.runs, *plan.references)]
    main = any(one["scenario"].network.__module__ == "__main__" for one in arguments)
    with opened(executor, main, "compare") as pool:
        found = map(partial(_here, progress), arguments) if pool is None else _in_pool(pool, progress, arguments)
        for plan in plans:
            yield Comparison(*([next(found) for _ in part] for part in (plan.runs, plan.references)))


def _here(progress: Progress | None, arguments: dict[str, Any]) -> Run:
    with one_blas_thread():
        return train(**arguments, progress=progress)


def _in_pool(pool: Executor, progress: Progress | None, arguments: Sequence[dict[str, Any]]) -> Iterator[Run]:
    """The runs in order; `progress` is told of each as it ends."""
    from concurrent.futures import as_completed

    futures = [pool.submit(train, **one) for one in arguments]
    left = deque(futures)
    try:
        for future in as_completed(futures):
            run = future.result()
            if progress is not None:
                progress(run.recipe, run.seed, run.steps, run.steps)
            while left and left[0].done():
                yield left.popleft().result()
    finally:
        for future in futures:
            future.cancel()
