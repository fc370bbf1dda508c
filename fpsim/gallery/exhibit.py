"""`Exhibit`: one figure of the gallery: what is computed, what it must show, how it is drawn.

Layer 10. Plain data, and how two sets of numbers differ; computes and draws nothing itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fpsim.experiments import results

__all__ = ["Claim", "Exhibit", "differences", "plain"]

Numbers = dict[str, Any]


@dataclass(frozen=True)
class Claim:
    """A number that a figure must hit: in words, what was found, and whether it holds."""

    text: str
    found: Any
    holds: bool

    def __str__(self) -> str:
        return f"{'ok  ' if self.holds else 'FAIL'} {self.text}: {self.found}"


@dataclass(frozen=True)
class Exhibit:
    """A figure that a command makes, with the numbers it must hit.

    Attributes
    ----------
    name, title : str
        ``fpsim figures NAME``; what stands above the figure.
    message : str
        The one sentence that a reader should take away.
    must_hit : str
        The published or proven number.
    source : str
        Where it was published.
    settings : dict
        Recipe, sizes and seeds: the keyword arguments of `compute`.
    compute : callable
        Settings to numbers: a dict of numbers, texts, lists and dicts, the same on every machine.
    draw : callable
        Numbers to a matplotlib figure, in the theme that is in force.
    check : callable
        Numbers to claims.
    """

    name: str
    title: str
    message: str
    must_hit: str
    source: str
    compute: Callable[..., Numbers]
    draw: Callable[[Numbers], Any]
    check: Callable[[Numbers], Iterable[Claim]]
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def command(self) -> str:
        """What makes the figure again."""
        return f"fpsim figures {self.name}"

    @property
    def caption(self) -> str:
        """Message, number, source and command, as printed below the figure."""
        return f"{self.message} Must hit: {self.must_hit}. Source: {self.source}. Made by: {self.command}"

    def numbers(self, settings: Mapping[str, Any] | None = None) -> Numbers:
        """Run the experiment."""
        found = plain(self.compute(**(self.settings if settings is None else settings)))
        assert isinstance(found, dict)
        return found


def plain(value: Any) -> Any:
    """The same as JSON has it: arrays as lists, infinities and NaN as strings."""
    if isinstance(value, np.ndarray | np.generic):
        return results.plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, list | tuple) else results.plain(value)


def differences(ours: Any, theirs: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two sets of numbers differ: the place by name, and both values; None where there is nothing.

    >>> list(differences({"a": [1, 2]}, {"a": [1, 3]}))
    [('a[1]', 2, 3)]
    """
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in dict.fromkeys((*ours, *theirs)):
            inner = f"{path}.{name}" if path else str(name)
            yield from differences(ours.get(name), theirs.get(name), inner)
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(a, b, f"{path}[{i}]")
    elif json.dumps(ours) != json.dumps(theirs):
        yield path, ours, theirs
