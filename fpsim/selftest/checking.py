"""`selftest`: the groups of results, their manifest, and what differs from it.

Layer 10. ``manifest.json`` beside this file holds {group: {entry: SHA-256}}, as ``fpsim selftest --write`` made it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources

from fpsim.selftest import numbers, operations, training

__all__ = ["GROUPS", "Finding", "computed", "manifest", "selftest"]

#: What is tested, in this order: each function yields (entry, digest).
GROUPS: dict[str, Callable[[], Iterator[tuple[str, str]]]] = {
    "formats": numbers.formats,
    "rounding": numbers.roundings,
    "codes": numbers.codes,
    "sums": numbers.sums,
    "operations": operations.operations,
    "optimizers": training.optimizers,
    "generators": training.generators,
    "training": training.trainings,
}


@dataclass(frozen=True)
class Finding:
    """Of one group: how many results there are, and which of them differ from the manifest, lack in it or are gone."""

    group: str
    count: int
    differing: tuple[str, ...]

    def __str__(self) -> str:
        verdict = "ok"
        if self.differing:
            verdict = f"{len(self.differing)} differ, the first: {self.differing[0]}"
        return f"{self.group:11}{self.count:5} results  {verdict}"


def manifest() -> dict[str, dict[str, str]]:
    """The digests that were shipped."""
    text = resources.files("fpsim.selftest").joinpath("manifest.json").read_text(encoding="utf-8")
    shipped: dict[str, dict[str, str]] = json.loads(text)
    return shipped


def computed(group: str) -> dict[str, str]:
    """The digests of a group's results, computed here and now."""
    return dict(GROUPS[group]())


def selftest(shipped: dict[str, dict[str, str]] | None = None) -> Iterator[Finding]:
    """Compute each group and compare it with the manifest.

    >>> from fpsim.selftest import computed, selftest
    >>> next(selftest({"formats": computed("formats")}))
    Finding(group='formats', count=39, differing=())
    """
    shipped = manifest() if shipped is None else shipped
    for group in GROUPS:
        here, there = computed(group), shipped.get(group, {})
        differing = (entry for entry in {**here, **there} if here.get(entry) != there.get(entry))
        yield Finding(group, len(here), tuple(differing))
