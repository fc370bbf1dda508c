"""Declaring an operation: its formula, its kind, and one gradient formula per argument.

Layer 3. ``@op(Kind.X)`` makes an `Op`, ``@name.vjp(i)`` adds the gradient with respect to argument i. Formulas are
pure array code; the engine promotes, rounds, unbroadcasts and observes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from fpsim.rounding.quiet import quiet

__all__ = ["OPS", "Kind", "Op", "Rule", "check_gradients", "op"]


class Kind(Enum):
    """What happens to the result of a formula."""

    EXACT = "selects, moves or negates stored values: nothing is rounded"
    POINTWISE = "computed as if exactly, rounded once"
    REDUCTION = "a sum by the accumulator, rounded once"
    CONTRACTION = "sums of products by the accumulator, rounded once"
    FUSED = "each elementary step rounded to the accumulator's format, the last one then to storage"


@dataclass(frozen=True)
class Rule:
    """A formula and how it is evaluated: `steps` says what a POINTWISE one consists of (see `rounding.work`)."""

    formula: Callable[..., Any]
    kind: Kind
    steps: str

    @property
    def takes_accumulator(self) -> bool:
        """Whether the formula is called with ``acc=``."""
        return self.kind in (Kind.REDUCTION, Kind.CONTRACTION, Kind.FUSED)


#: Every operation by name.
OPS: dict[str, Op] = {}


@dataclass(eq=False)
class Op:
    """An operation on tensors. Call it with tensors (or scalars, or arrays) by position and metadata by keyword."""

    name: str
    rule: Rule
    #: how many leading arguments are arrays; -1: all of them (concatenate)
    arity: int
    #: whether the formula returns ``(out, saved)`` and the gradient formulas take ``saved=``
    saves: bool
    vjps: dict[int, Rule] = field(default_factory=dict)
    #: arguments without a gradient, on purpose
    no_gradient: frozenset[int] = frozenset()

    @property
    def kind(self) -> Kind:
        """The kind of the forward formula."""
        return self.rule.kind

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        return self.rule.formula.__doc__

    def __call__(self, *inputs: Any, **metadata: Any) -> Any:
        """Apply the operation."""
        from fpsim.autograd.engine import apply

        with quiet():
            return apply(self, inputs, metadata)

    def __repr__(self) -> str:
        return f"<op {self.name}: {self.kind.name}>"

    def vjp(self, argument: int, kind: Kind | None = None, steps: str = "formula") -> Callable[..., Any]:
        """Declare the gradient with respect to `argument`: ``formula(g, out, *arrays, **metadata)``.

        For operations of any number of arguments declare argument 0 once; it is called with ``argument=``.
        """

        def declare(formula: Callable[..., Any]) -> Callable[..., Any]:
            self.vjps[argument] = Rule(formula, kind or self.kind, steps)
            return formula

        return declare

    def vjp_of(self, argument: int) -> Rule | None:
        """The gradient rule of an argument; None where it has none on purpose."""
        return self.vjps.get(0 if self.arity < 0 else argument)


def op(
    kind: Kind,
    steps: str = "formula",
    *,
    arity: int | None = None,
    saves: bool = False,
    no_gradient: tuple[int, ...] = (),
    name: str | None = None,
) -> Callable[[Callable[..., Any]], Op]:
    """Declare an operation from its forward formula ``formula(*arrays, **metadata)``."""

    def declare(formula: Callable[..., Any]) -> Op:
        code = formula.__code__
        count = code.co_argcount if not code.co_flags & 0x04 else -1  # *arrays: any number
        declared = Op(
            name or formula.__name__.strip("_"),
            Rule(formula, kind, steps),
            count if arity is None else arity,
            saves,
            no_gradient=frozenset(no_gradient),
        )
        OPS[declared.name] = declared
        return declared

    return declare


def check_gradients() -> None:
    """Fail, at import, where an operation lacks a gradient rule."""
    for declared in OPS.values():
        arguments = {0} if declared.arity < 0 else set(range(declared.arity))
        missing = arguments - set(declared.vjps) - declared.no_gradient
        assert not missing, f"op {declared.name}: no vjp for arguments {sorted(missing)}"
