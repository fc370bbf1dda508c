"""How a result was made, kept so lightly that it can stay with the result, and made again with some roundings off.

Layer 7. A recipe holds operations and the leaves' values, no results in between; `replay` computes those again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fpsim.autograd.context import Context, using
from fpsim.autograd.engine import evaluate
from fpsim.autograd.op import Kind, Op
from fpsim.autograd.tensor import round_into
from fpsim.formats import Format
from fpsim.observe.unrounded import Float64
from fpsim.precision import Precision
from fpsim.rounding.kernel import Array, round_to
from fpsim.rounding.wide import Wide

__all__ = ["SOURCES", "Leaf", "Recipe", "Scalar", "Step", "leaves", "replay"]

#: Where an error comes from, in the order of the budget.
SOURCES = ("x", "w", "operations", "accumulation")


@dataclass(frozen=True, eq=False)
class Leaf:
    """A tensor that no operation made: its values as stored and as they would be unrounded."""

    stored: Array
    exact: Array
    is_weight: bool


@dataclass(frozen=True, eq=False)
class Scalar:
    """An argument that is not a tensor, as rounded for the operation and as given."""

    stored: Array
    exact: Array


@dataclass(frozen=True, eq=False)
class Step:
    """An operation; `formats` are those of the arguments that are not None."""

    op: Op
    arguments: tuple[Leaf | Scalar | Step | None, ...]
    formats: tuple[Format, ...]
    metadata: dict[str, Any]
    precision: Precision


Recipe = Leaf | Step


def in_order(recipe: Recipe) -> list[Recipe]:
    """All leaves and steps below, each once, every one after its arguments."""
    order: list[Recipe] = []
    done: set[int] = set()
    waiting: list[tuple[Recipe, bool]] = [(recipe, False)]
    while waiting:
        part, arguments_done = waiting.pop()
        if id(part) in done:
            continue
        if arguments_done or isinstance(part, Leaf):
            done.add(id(part))
            order.append(part)
            continue
        waiting.append((part, True))
        waiting.extend((a, False) for a in reversed(part.arguments) if isinstance(a, Leaf | Step))
    return order


def leaves(recipe: Recipe) -> list[Leaf]:
    """The leaves of a recipe, each once."""
    return [part for part in in_order(recipe) if isinstance(part, Leaf)]


class Replay:
    """One run of a recipe with the roundings of some `sources` on; `weights` are the leaves that count as w."""

    def __init__(self, sources: frozenset[str], weights: set[int], exact: dict[int, Array]) -> None:
        self.sources, self.weights, self.exact = sources, weights, exact
        self.ideal = Float64()
        self.values: dict[int, Array] = {}
        #: of casts and moves of leaves alone, whose rounding is the leaf's: "x" or "w"
        self.origins: dict[int, str | None] = {}

    def run(self, recipe: Recipe) -> Array:
        """The result, in float64."""
        with using(rounding_rng=np.random.default_rng(0)):
            for part in in_order(recipe):
                if isinstance(part, Leaf):
                    self._leaf(part)
                else:
                    self.origins[id(part)] = self._origin(part)
                    self.values[id(part)] = self._step(part)
        return self.values[id(recipe)]

    def _leaf(self, leaf: Leaf) -> None:
        origin = "w" if id(leaf) in self.weights else "x"
        self.origins[id(leaf)] = origin
        exact = self.exact.get(id(leaf), leaf.exact)
        self.values[id(leaf)] = leaf.stored.astype(np.float64) if origin in self.sources else exact

    def _origin(self, step: Step) -> str | None:
        if step.op.kind is not Kind.EXACT and step.op.name != "cast":
            return None
        origins = {self.origins[id(a)] for a in step.arguments if isinstance(a, Leaf | Step)}
        return origins.pop() if len(origins) == 1 else None

    def _value(self, argument: Leaf | Scalar | Step | None) -> Array | None:
        if argument is None:
            return None
        if isinstance(argument, Scalar):
            return argument.stored if "operations" in self.sources else argument.exact
        return self.values[id(argument)]

    def _step(self, step: Step) -> Array:
        op, precision = step.op, step.precision
        arrays = tuple(self._value(a) for a in step.arguments)
        if op.kind is Kind.EXACT:
            moved = self._ideal(step, arrays)
            return moved if precision.storage.has_negative_zero else moved + 0.0
        origin = self.origins[id(step)]
        rounds = (origin or "operations") in self.sources
        by_accumulator = op.rule.takes_accumulator
        as_stored = "accumulation" in self.sources if by_accumulator else rounds
        computed: Any = self._ideal(step, arrays) if not as_stored else None
        if as_stored:
            on_grid = _on_grid(arrays, step.formats)
            computed = self._as_stored(step, on_grid)
            if by_accumulator and not _same(on_grid, arrays):
                # the accumulator's error, made on inputs such as it takes, on top of inputs that are not rounded
                with np.errstate(all="ignore"):
                    computed = self._ideal(step, arrays) + (_value(computed) - self._ideal(step, on_grid))
            elif not _same(on_grid, arrays):
                computed = self._ideal(step, arrays)
        return (round_into(precision, computed) if rounds else _value(computed)).astype(np.float64)

    def _ideal(self, step: Step, arrays: tuple[Array | None, ...]) -> Array:
        wide = tuple(None if x is None else x.astype(np.float64, copy=False) for x in arrays)
        result = self.ideal.evaluate(step.op.rule, wide, step.metadata)
        return np.asarray(result[0] if step.op.saves else result)

    def _as_stored(self, step: Step, arrays: tuple[Array | None, ...]) -> Any:
        precision, formats = step.precision, list(step.formats)
        carried = iter(formats)
        arrays = tuple(None if x is None else x.astype(next(carried).carrier, copy=False) for x in arrays)
        context = Context(precision, rng=np.random.default_rng(0))
        target, mode = precision.storage, precision.rounding
        result = evaluate(step.op.rule, arrays, formats, step.metadata, precision, target, mode, context)
        return result[0] if step.op.saves else result


def _on_grid(arrays: tuple[Array | None, ...], formats: tuple[Format, ...]) -> tuple[Array | None, ...]:
    """Each argument rounded to the format that it had."""
    fmt = iter(formats)
    return tuple(None if x is None else round_to(x, next(fmt)) for x in arrays)


def _same(a: tuple[Array | None, ...], b: tuple[Array | None, ...]) -> bool:
    pairs: list[tuple[Any, Any]] = list(zip(a, b, strict=True))
    return all(x is y or np.array_equal(x, y, equal_nan=True) for x, y in pairs)


def _value(computed: Any) -> Array:
    return computed.value() if isinstance(computed, Wide) else np.asarray(computed, np.float64)


def replay(
    recipe: Recipe,
    *sources: str,
    weights: set[int] | None = None,
    exact: dict[int, Array] | None = None,
) -> Array:
    """The result with the roundings of the `sources` on, all others off; in float64.

    `weights` are the ids of the leaves that are weights (default: as recorded), `exact` other unrounded values of
    leaves by id. With all sources on it is the recorded result, bit for bit, unless something rounds stochastically.
    """
    if weights is None:
        weights = {id(leaf) for leaf in leaves(recipe) if leaf.is_weight}
    return Replay(frozenset(sources), weights, exact or {}).run(recipe)
