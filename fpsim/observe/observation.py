"""`Observation`: the `with` block in which a report is told what happens.

Layer 7. Opens and closes; looks at nothing itself. Everything else in force stays in force when it closes.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from threading import get_ident
from typing import Any, Generic, TypeVar

from fpsim.autograd.context import _CURRENT, Observer, current
from fpsim.errors import ObserverError, ObserverWarning, expected

__all__ = ["Observation"]

R = TypeVar("R", bound=Observer)


class Observation(Generic[R]):
    """``with fp.name() as report:`` puts the report among the observers, and takes it out however the block ends.

    Raises
    ------
    ObserverError
        Opened twice, closed without being open, or closed in another thread than it was opened in.
    """

    def __init__(self, name: str, report: R) -> None:
        self._name, self._report, self._open, self._used = name, report, False, False

    def __enter__(self) -> R:
        if self._used:
            state = "is open already" if self._open else "was used"
            raise self._misused("a new block", f"one that {state}", f"write `with fp.{self._name}() as report:` again")
        self._report.thread = get_ident()
        _CURRENT.set(replace(current(), observers=(*current().observers, self._report)))
        self._open = self._used = True
        return self._report

    def __exit__(self, *exception: object) -> None:
        if not self._open:
            raise self._misused("an open block", "one that is not open", "use `with`, which closes it once")
        if self._report.thread != get_ident():
            raise self._misused("to be closed in its own thread", "another one", "open and close it in one thread")
        observers = current().observers
        if not any(o is self._report for o in observers):
            raise self._misused("to be closed where it was opened", "another task", "open and close it in one task")
        self._open = False
        _CURRENT.set(replace(current(), observers=tuple(o for o in observers if o is not self._report)))

    def _misused(self, invariant: str, got: str, remedy: str) -> ObserverError:
        return ObserverError(expected(self._name, invariant, got, remedy))

    def __getattr__(self, name: str) -> Any:
        """What is asked of the block belongs to its report: say so."""
        if not name.startswith("_") and hasattr(self._report, name):
            name, remedy = f"its block asked for {name}", f"write `with fp.{self._name}() as report:`, ask the report"
            raise self._misused("a with block and its report", name, remedy)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __del__(self) -> None:
        if self.__dict__.get("_open"):
            warnings.warn(
                f"fp.{self._name}() was left open; use `with`, which closes it.", ObserverWarning, stacklevel=2
            )
