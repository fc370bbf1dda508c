"""`Suite`: named properties of one kind of function, each tried on examples of its own and shrunk where it breaks.

Layer 13. Knows nothing of what the laws say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky

from fpsim.errors import ArgumentError, expected, nearest
from fpsim.formats import Format
from fpsim.testing.exact import Grid, grid_of
from fpsim.testing.failure import Difference
from fpsim.testing.numbers import dtype_of

__all__ = ["Law", "Subject", "Suite"]

#: Examples of each law.
EXAMPLES = 100


@dataclass(frozen=True)
class Subject:
    """A function under test, and what it claims to do."""

    fn: Callable[..., Any]
    fmt: Format
    mode: str = "nearest_even"
    saturate: bool = False
    function: str = ""
    maxulp: float = 1

    @property
    def grid(self) -> Grid:
        """The format's numbers."""
        return grid_of(self.fmt)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of arrays of the format's values."""
        return dtype_of(self.fmt)

    def __call__(self, *arrays: Any) -> Any:
        """The function's result; what NumPy would warn of is no law."""
        with np.errstate(all="ignore"):
            return self.fn(*arrays)


#: What a law finds wrong with an example: two numbers that differ, or lines of text; None: nothing.
Finding = Difference | list[str] | None


@dataclass(frozen=True)
class Law:
    """One property: its sentence, the examples that it looks at, and what is wrong with one of them."""

    name: str
    says: str
    examples: Callable[[Subject], st.SearchStrategy[Any]]
    wrong: Callable[[Subject, Any], Finding]
    applies: Callable[[Subject], bool] = lambda subject: True

    def broken(self, subject: Subject, count: int) -> str | None:
        """The simplest example that breaks the law, explained; None where none of `count` does."""
        found: list[str] = []

        @settings(
            max_examples=count,
            deadline=None,
            derandomize=True,
            database=None,
            report_multiple_bugs=False,
            phases=(Phase.generate, Phase.shrink),
            verbosity=Verbosity.quiet,
            suppress_health_check=list(HealthCheck),
        )
        @given(self.examples(subject))
        def look(example: Any) -> None:
            try:
                wrong = self.wrong(subject, example)
            except Exception as error:  # whatever the function under test does
                wrong = [f"raised  {type(error).__name__}: {error}"]
            if wrong is not None:
                found[:] = [_explained(example, wrong, subject)]
                raise _Broken

        try:
            look()
        except _Broken:
            return f"{self.name}: {self.says}\n{found[0]}"
        except Flaky:
            return f"{self.name}: {self.says}\n  broken, but not by the same example twice: is the function random?"
        return None


class _Broken(AssertionError):
    """An example broke a law."""


def _explained(example: Any, wrong: Difference | list[str], subject: Subject) -> str:
    lines = wrong.lines(subject.grid) if isinstance(wrong, Difference) else wrong
    return "\n".join(f"  {line}" for line in [*spelt(example), *lines])


def spelt(example: Any) -> list[str]:
    """An example in lines of its own: ``x``, ``y``, or its fields."""
    parts = example if isinstance(example, tuple) else (example,)
    names = "xyzw"
    return [f"{name:8}  {_value(part)}" for name, part in zip(names, parts, strict=False)]


def _value(x: Any) -> str:
    return repr(x.tolist()) if isinstance(x, np.ndarray) else repr(x)


@dataclass(frozen=True)
class Suite:
    """Laws for one kind of function; call it with the function and its format.

    ``suite(fn, fmt)`` raises an AssertionError that explains every broken law by its simplest example;
    ``suite.check(fn, fmt)`` returns the explanations by name. `suite.names` lists the laws, `suite[name]` is one.
    """

    name: str
    laws: tuple[Law, ...]
    checks: Callable[[Subject], None] = lambda subject: None
    options: tuple[str, ...] = ()
    defaults: dict[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The laws' names."""
        return tuple(law.name for law in self.laws)

    def __getitem__(self, name: str) -> Law:
        """One law."""
        for law in self.laws:
            if law.name == name:
                return law
        got, remedy = f"{name!r}", f"did you mean {nearest(name, self.names, 2)}"
        raise ArgumentError(expected(f"laws.{self.name}", "the name of a law", got, remedy))

    def check(
        self,
        fn: Callable[..., Any],
        fmt: Any,
        *,
        only: Iterable[str] | None = None,
        skip: Iterable[str] = (),
        examples: int = EXAMPLES,
        **options: Any,
    ) -> dict[str, str | None]:
        """For every law that applies to the format: None, or why it is broken."""
        unknown = set(options) - set(self.options)
        if unknown:
            got = ", ".join(sorted(unknown))
            known = ", ".join(self.options) or "none"
            raise ArgumentError(expected(f"laws.{self.name}", f"options of {known}", got, "leave the others out"))
        subject = replace(Subject(fn, Format(fmt)), **{**self.defaults, **options})
        self.checks(subject)
        chosen = self.laws if only is None else [self[name] for name in only]
        left_out = {self[name].name for name in skip}
        return {
            law.name: law.broken(subject, examples)
            for law in chosen
            if law.name not in left_out and law.applies(subject)
        }

    def __call__(self, fn: Callable[..., Any], fmt: Any, **options: Any) -> None:
        """Raise an AssertionError that explains every broken law; see `check` for the options."""
        results = self.check(fn, fmt, **options)
        broken = [text for text in results.values() if text is not None]
        if broken:
            head = f"laws.{self.name}: {len(broken)} of {len(results)} laws broken in {Format(fmt).name}."
            raise AssertionError("\n".join([head, *broken]))
