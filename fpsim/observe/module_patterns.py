"""Which modules a report is about: patterns of dotted paths, and an error for those that matched none.

Layer 7.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from fpsim.errors import ArgumentTypeError, ObserverError, expected

__all__ = ["ModulePatterns"]


class ModulePatterns:
    """Patterns like ``"conv*"``; remembers what ran, to say so where none of it matched."""

    def __init__(self, op: str, modules: str | Iterable[str]) -> None:
        patterns = (modules,) if isinstance(modules, str) else modules
        if not isinstance(patterns, list | tuple) or not patterns or not all(isinstance(p, str) for p in patterns):
            remedy = "name modules as in 'conv*'"
            raise ArgumentTypeError(expected(op, "a pattern or a list of them", f"modules={modules!r}", remedy))
        self._op, self._given, self._patterns = op, modules, tuple(patterns)
        self._ran: dict[str, bool] = {}

    def match(self, module: str) -> bool:
        """Whether a module that ran is wanted."""
        if module not in self._ran:
            self._ran[module] = any(fnmatchcase(module, pattern) for pattern in self._patterns)
        return self._ran[module]

    def check(self) -> None:
        """Refuse patterns that matched nothing of what ran."""
        if self._ran and not any(self._ran.values()):
            ran = ", ".join(sorted(module for module in self._ran if module)) or "operations outside of modules"
            got = f"modules={self._given!r}"
            raise ObserverError(
                expected(self._op, "a pattern that matches a module that ran", got, f"there were {ran}")
            )
