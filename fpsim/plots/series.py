"""What plots of several series are given, checked: mappings of names, runs, arrays by step.

Layer 9. Turns arguments into arrays, or says what is wrong with them; draws nothing but the legend beside the axes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fpsim.errors import ArgumentError, ArgumentTypeError, ShapeError, expected
from fpsim.plots.style import legend
from fpsim.rounding.kernel import Array

__all__ = ["by_step", "counts_of", "legend_beside", "mapping_of", "moving_mean", "named", "numbers_of", "seeds_of"]


def mapping_of(op: str, given: Any, what: str) -> dict[str, Any]:
    """A mapping with at least one name in it, as a dict."""
    if not isinstance(given, Mapping):
        got = f"{type(given).__name__}"
        raise ArgumentTypeError(expected(op, f"a mapping of {what}", got, "pass a dict, one name a series"))
    if not given:
        raise ArgumentError(expected(op, f"a mapping of {what}", "an empty one", "give one series at least"))
    return {str(name): value for name, value in given.items()}


def numbers_of(op: str, name: str, given: Any, ndim: tuple[int, ...] = (1,)) -> Array:
    """An array of real numbers, not empty, of so many axes (any number where none is named)."""
    try:
        array = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        got = f"{type(given).__name__}"
        raise ArgumentTypeError(expected(op, f"numbers for {name!r}", got, "pass an array of them")) from None
    if (ndim and array.ndim not in ndim) or not array.size:
        axes = " or ".join(map(str, ndim)) or "some"
        got = f"{name}.shape={array.shape}"
        raise ShapeError(expected(op, f"arrays of {axes} axes with something in them", got, "pass one value a step"))
    return array


def named(op: str, given: Any, name: str) -> dict[str, Any]:
    """A mapping of name to numbers or counts; numbers or counts alone get the name."""
    counts = isinstance(given, Mapping) and given and all(isinstance(n, int | np.integer) for n in given.values())
    return mapping_of(op, given if isinstance(given, Mapping) and not counts else {name: given}, "name to numbers")


def counts_of(op: str, name: str, given: Mapping[Any, Any]) -> dict[int, int]:
    """Counts by exponent, ascending, those of 0 left out; keys may be strings, as in JSON."""
    try:
        found = {int(e): int(n) for e, n in given.items()}
    except (TypeError, ValueError):
        got = f"{name}={given!r}"
        raise ArgumentTypeError(expected(op, "whole exponents and counts", got, "count with np.frexp")) from None
    return {e: n for e, n in sorted(found.items()) if n > 0}


def by_step(op: str, name: str, run: Any, ndim: tuple[int, ...] = (1,)) -> Array:
    """A run's losses, or the array itself."""
    return numbers_of(op, name, getattr(run, "loss", run), ndim)


def _axes_of(given: Any) -> int:
    """How deeply numbers are nested; a run's losses are one axis."""
    if isinstance(given, list | tuple):
        return 1 + (_axes_of(given[0]) if given else 0)
    return 1 if hasattr(given, "loss") else int(getattr(given, "ndim", 0))


def seeds_of(op: str, name: str, given: Any, ndim: int = 1) -> Array:
    """One array by step for each seed: of a run, an array, or a list of them; axis 0 are the seeds."""
    several = isinstance(given, list | tuple | np.ndarray) and (not len(given) or _axes_of(given) > ndim)
    runs = list(given) if several else [given]
    if not runs:
        raise ArgumentError(expected(op, f"a run of {name!r}, at least one", "none", "train it, or leave it out"))
    arrays = [by_step(op, name, run, (ndim,)) for run in runs]
    shapes = sorted({a.shape for a in arrays})
    if len(shapes) > 1:
        got = f"{name} with {' and '.join(str(s[0]) if len(s) == 1 else str(s) for s in shapes)}"
        raise ShapeError(expected(op, "seeds of one number of steps", got, "train all for as many steps"))
    return np.stack(arrays)


def moving_mean(x: Array, window: int) -> Array:
    """Mean of the last `window` values at each place of the last axis (fewer at the start).

    >>> moving_mean(np.array([1.0, 2.0, 6.0]), 2)
    array([1. , 1.5, 4. ])
    """
    total = np.concatenate([np.zeros((*x.shape[:-1], 1)), np.cumsum(x, axis=-1)], axis=-1)
    ends = np.arange(1, x.shape[-1] + 1)
    starts = np.maximum(ends - window, 0)
    return np.asarray((total[..., ends] - total[..., starts]) / (ends - starts))


def legend_beside(made: Any, axes: Any, **options: Any) -> None:
    """A legend at the right of the axes, where it covers nothing; the axes become narrower."""
    legend(axes, loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0, labelspacing=0.7, **options)
    made.tight_layout()
