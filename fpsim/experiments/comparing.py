"""`compare`: several recipes from the same weights on the same batches, and the sentence that names what parted them.

Layer 8.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fpsim import amp
from fpsim.errors import ArgumentError, expected
from fpsim.experiments.results import Comparison, Run
from fpsim.experiments.scenario import scenario_named
from fpsim.experiments.training import Progress, train

__all__ = ["compare"]

#: Further seeds of the float32 run that say how far apart equally good runs lie.
SPREAD_SEEDS = 2


def compare(
    recipes: Iterable[str] | None = None,
    scenario: Any = "published",
    steps: int | None = None,
    seed: int | Iterable[int] = 0,
    *,
    progress: Progress | None = None,
    **settings: Any,
) -> Comparison:
    """Train a scenario's network once per recipe and seed.

    Parameters
    ----------
    recipes : list of str, optional
        The scenario's own unless given. float64 is trained too, as the reference of the deviations.
    scenario : str
        ``published rounding underflow overflow``.
    steps : int, optional
    seed : int or list of int
    progress, **settings
        As for `train`: ``batch lr momentum data order``.

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
    chosen = scenario_named(scenario)
    if isinstance(recipes, str):
        recipes = [recipes]
    names = [amp.recipe(r).name for r in (chosen.recipes if recipes is None else recipes)]
    if not names or len(set(names)) < len(names):
        raise ArgumentError(expected("compare", "different recipes, at least one", f"{names}", "name each once"))
    seeds = [seed] if isinstance(seed, int) else list(seed)
    settings = {"steps": steps, "scenario": chosen, "progress": progress, **settings}

    def one(recipe: str, seed: int) -> Run:
        return train(recipe, seed=seed, **settings)

    runs = [one(recipe, s) for recipe in names for s in seeds]
    references = [] if "float64" in names else [one("float64", s) for s in seeds]
    if chosen.name == "published" and len(seeds) == 1 and "float32" in names:
        references += [one("float32", seeds[0] + i) for i in range(1, SPREAD_SEEDS + 1)]
    return Comparison(runs, references)
