"""`ErrorBudget`: where an output's error comes from, by switching the roundings on one at a time.

Layer 7. Runs a recorded result again (`replay`) and subtracts; `shadow` records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fpsim.autograd.tensor import Tensor
from fpsim.errors import ArgumentError, ObserverError, ShapeError, expected
from fpsim.formats import Format
from fpsim.observe.deviation import deviation
from fpsim.observe.replay import SOURCES, Leaf, Recipe, leaves, replay
from fpsim.observe.report_forms import Column, ReportForms
from fpsim.rounding.kernel import Array

__all__ = ["ErrorBudget", "budget_of"]


class ErrorBudget(ReportForms):
    """The error of ``y = f(x, w)``: ``total = x + w + operations + accumulation + interaction``, element by element.

    Attributes
    ----------
    parts : dict of str to ndarray
        The error that each source makes alone: rounding of ``x`` and of ``w`` (casts of them included), of the
        ``operations`` to their storage formats, and inside the ``accumulation`` of sums.
    interaction : ndarray
        What is left: the sources act on one another's errors.
    total : ndarray
        As stored minus as without any rounding.
    off : ndarray
        With all four off, against the twin: exactly 0.
    reference : ndarray
        The output without any rounding.
    """

    plotted_by = "error_budget"

    def __init__(self, stored: Array, reference: Array, off: Array, parts: dict[str, Array], fmt: Format) -> None:
        self.reference, self.off, self.parts, self.format = reference, off, parts, fmt
        with np.errstate(invalid="ignore"):
            self.total = stored.astype(np.float64) - reference
            self.interaction = self.total - sum(parts.values())

    def rows(self) -> list[dict[str, Any]]:
        """One dict a source, then the interaction and the total."""
        rows = []
        for source, error in {**self.parts, "interaction": self.interaction, "total": self.total}.items():
            with np.errstate(invalid="ignore", over="ignore"):
                d = deviation(self.reference + error, self.reference, self.format)
                largest = float(np.abs(error).max(initial=0.0))
                rms = float(np.sqrt(np.mean(error * error))) if error.size else 0.0
                mean = float(np.mean(error)) if error.size else 0.0
            norm = float(np.linalg.norm(self.reference)) if self.reference.size else 0.0
            rows.append(
                {
                    "source": source,
                    "mean": mean,
                    "rms": rms,
                    "max": largest,
                    "relative": rms * np.sqrt(error.size) / norm if norm else (0.0 if not rms else np.inf),
                    "ulp_max": d.ulp_max,
                    "bias": d.bias,
                }
            )
        return rows

    def columns(self) -> Sequence[Column]:
        """What the table shows."""
        heads = {"source": "rounding of", "mean": "mean error", "rms": "rms", "max": "largest", "relative": "relative"}
        heads |= {"ulp_max": "max ulp", "bias": "bias, ulp"}
        return [Column(key, head) for key, head in heads.items()]

    def title(self) -> str:
        """The line above the table."""
        return f"Error of an output of shape {self.total.shape} in {self.format.name}, by source"

    def notes(self) -> list[str]:
        """What a reader must know."""
        off = "exactly 0" if not np.any(self.off) else f"up to {np.abs(self.off).max():.3g}"
        return [
            f"With all four off the error is {off}.",
            "interaction = total minus the four; relative = ||error|| / ||y||.",
        ]

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain dicts and lists."""
        return {"format": self.format.name, "off": float(np.abs(self.off).max(initial=0.0)), **super().to_dict()}


def budget_of(
    y: Tensor, recipe: Recipe | None, twin: Array | None, weights: Sequence[Tensor], exact: Mapping[Tensor, Any]
) -> ErrorBudget:
    """The budget of a result from its recipe and its twin."""
    if recipe is None or isinstance(recipe, Leaf):
        got = "a tensor that no operation made there"
        raise ObserverError(expected("budget", "the result of operations inside the block", got, "pass y of y = f(x)"))
    found = leaves(recipe)
    of_weights = {id(leaf) for leaf in found if leaf.is_weight}
    if weights:
        of_weights = {id(leaf) for x in weights for leaf in _leaves_of(x, found, "weights")}
    values: dict[int, Array] = {}
    for x, given in exact.items():
        array = np.asarray(given._data if isinstance(given, Tensor) else given, np.float64)
        if array.shape != x.shape:
            got = f"shape={array.shape}"
            raise ShapeError(expected("budget", f"exact values of shape {x.shape}", got, "give one per element"))
        values |= {id(leaf): array for leaf in _leaves_of(x, found, "exact")}

    def run(*sources: str) -> Array:
        return replay(recipe, *sources, weights=of_weights, exact=values)

    reference = run()
    off = np.zeros_like(reference) if values or twin is None else reference - twin
    with np.errstate(invalid="ignore"):
        parts = {source: run(source) - reference for source in SOURCES}
    return ErrorBudget(y._data, reference, np.where(np.isnan(off), 0.0, off), parts, y.dtype)


def _leaves_of(x: Any, found: list[Leaf], argument: str) -> list[Leaf]:
    of_x = [leaf for leaf in found if isinstance(x, Tensor) and leaf.stored is x._data]
    if not of_x:
        got = f"{argument} with one that is not"
        raise ArgumentError(expected("budget", "tensors that the output was made from", got, "leave it out"))
    return of_x
