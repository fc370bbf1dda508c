"""The twins of tensors: what the same graph gives in float64, or in np.longdouble, carried along beside it.

Layer 7. `Twins` follows operations, gradients and updates as the engine tells them; it measures nothing. Everything is
held by weak references: a twin goes with its tensor, the twins of a node's operands with the node.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fpsim.autograd.context import Applied, Differentiated, Stored, Updated
from fpsim.autograd.op import Kind, Op
from fpsim.autograd.tensor import Tensor
from fpsim.observe.by_identity import ByIdentity
from fpsim.observe.replay import Leaf, Recipe, Scalar, Step
from fpsim.observe.unrounded import Arithmetic
from fpsim.rounding.kernel import Array

__all__ = ["Passage", "Twin", "Twins"]


@dataclass(frozen=True, eq=False)
class Twin:
    """A tensor's twin: its `value`, and the `ideal`, which is what the last operation gives from inputs as stored.

    What was stored differs from the ideal by the error made there, the ideal from the value by the error inherited.
    `version` is the tensor's when the twin was true of it.
    """

    value: Array
    ideal: Array
    #: whether the value is what is stored, so that nothing is inherited from it
    exact: bool
    version: int
    recipe: Recipe | None = None


@dataclass(frozen=True, eq=False)
class Passage:
    """One result on its way: as stored, and its twin."""

    stored: Array
    twin: Twin


@dataclass(frozen=True, eq=False)
class _Operands:
    """What the gradient formulas of a node take, in twins."""

    arrays: tuple[Any, ...]
    out: Array
    saved: Any
    exact: bool


class Twins:
    """All twins in one arithmetic; each method follows one event and gives what passed."""

    def __init__(self, arithmetic: Arithmetic, remember: bool) -> None:
        self.arithmetic = arithmetic
        #: whether results remember how they were made, for a budget
        self.remember = remember
        self._tensors: ByIdentity[Twin] = ByIdentity()
        self._nodes: ByIdentity[_Operands] = ByIdentity()
        self._gradients: ByIdentity[tuple[Array, bool]] = ByIdentity()
        #: of the node that a backward pass is at: its gradient, the twin of that, whether they are the same
        self._at: ByIdentity[tuple[weakref.ref[Array], Array, bool]] = ByIdentity()

    def __len__(self) -> int:
        return len(self._tensors)

    def known(self, x: Tensor, versions_ago: int = 0) -> Twin | None:
        """The twin of a tensor; None where it has none, or had one before its values were replaced."""
        twin = self._tensors.get(x)
        return twin if twin is not None and twin.version == x._version - versions_ago else None

    def of(self, x: Tensor) -> Twin:
        """The twin of a tensor; one met for the first time is its own, or its master's."""
        twin = self.known(x)
        if twin is None:
            value = self.arithmetic.widened(x._data) if x.master is None else self.of(x.master).value
            twin = self._became(x, value, value, self._leaf(x, value)).twin
        return twin

    def _leaf(self, x: Tensor, exact: Array) -> Recipe | None:
        return Leaf(x._data, exact, x.role == "weight" or x.requires_grad) if self.remember else None

    def _became(self, x: Tensor, value: Array, ideal: Array, recipe: Recipe | None) -> Passage:
        """Give `x` its twin."""
        self._tensors[x] = twin = Twin(value, ideal, _equal(value, x._data), x._version, recipe)
        return Passage(x._data, twin)

    # What the engine tells ------------------------------------------------------------------------------------------

    def applied(self, event: Applied) -> Passage:
        """Follow an operation."""
        op, widened = event.op, self.arithmetic.widened
        twins = tuple(None if x is None else self.of(x) for x in event.inputs)
        arguments = tuple(
            t.value if t is not None else _unrounded_scalar(self.arithmetic, given)
            for t, given in zip(twins, event.given, strict=True)
        )
        value, saved = self._forward(op, arguments, event.metadata)
        inputs_exact = all(t is None or t.exact for t in twins)
        if inputs_exact:
            ideal = value
        elif op.kind is Kind.EXACT:
            ideal = widened(event.result._data)
        else:
            stored = (
                a if t is None else widened(array) for a, t, array in zip(arguments, twins, event.arrays, strict=True)
            )
            ideal, _ = self._forward(op, tuple(stored), event.metadata)
        if event.result._node is not None:
            self._nodes[event.result._node] = _Operands(arguments, value, saved, inputs_exact)
        return self._became(event.result, value, ideal, self._recipe(event, twins, arguments))

    def _forward(self, op: Op, arrays: tuple[Any, ...], metadata: dict[str, Any]) -> tuple[Array, Any]:
        computed = self.arithmetic.evaluate(op.rule, arrays, metadata)
        return computed if op.saves else (computed, None)

    def _recipe(self, event: Applied, twins: tuple[Twin | None, ...], arguments: tuple[Any, ...]) -> Recipe | None:
        if not self.remember:
            return None
        parts = tuple(
            (t.recipe or self._leaf(x, t.value)) if t is not None else None if array is None else Scalar(array, exact)
            for x, t, array, exact in zip(event.inputs, twins, event.arrays, arguments, strict=True)
        )
        formats = tuple(
            event.precision.storage if x is None else x.dtype
            for x, array in zip(event.inputs, event.arrays, strict=True)
            if array is not None
        )
        return Step(event.op, parts, formats, event.metadata, event.precision)

    def differentiated(self, event: Differentiated) -> list[Passage]:
        """Follow a contribution to a gradient: it, and the sum with what was there, where something was."""
        node, widened = event.node, self.arithmetic.widened
        g, g_exact = self._gradient_of(node, event.gradient)
        known = self._nodes.get(node)
        if known is None:  # recorded before the block began
            arrays = tuple(widened(x) for x in node.arrays)
            known = _Operands(arrays, widened(node.out), node.saved, True)
        value = self._contribution(event, g, known)
        ideal = value
        if not (g_exact and known.exact and _equal(known.out, node.out)):
            pairs = zip(node.arrays, node.inputs, known.arrays, strict=True)
            stored = tuple(twin if x is None else widened(array) for array, x, twin in pairs)
            as_stored = _Operands(stored, widened(node.out), node.saved, True)
            ideal = self._contribution(event, widened(event.gradient), as_stored)
        twin = Twin(value, ideal, _equal(value, event.contribution), version=0)
        passed = [Passage(event.contribution, twin)]
        node_of, before = event.of._node, event.before
        if before is not None:
            if node_of is None:
                value_before, stored_before = self.of(before).value, before._data
            else:
                waiting = self._gradients.get(node_of)
                value_before, stored_before = widened(before) if waiting is None else waiting[0], before
            value, ideal = value_before + value, widened(stored_before) + widened(event.contribution)
            twin = Twin(value, ideal, _equal(value, event.total), version=0)
            passed.append(Passage(event.total, twin))
        if node_of is None:
            self._tensors[event.of.grad] = twin
        else:
            self._gradients[node_of] = (value, twin.exact)
        return passed

    def _gradient_of(self, node: Any, gradient: Array) -> tuple[Array, bool]:
        """The twin of the gradient of a node's result, complete once the backward pass is there."""
        at = self._at.get(node)
        if at is not None and at[0]() is gradient:
            return at[1], at[2]
        self._at = ByIdentity()
        found = self._gradients.pop(node)
        g, exact = (self.arithmetic.widened(gradient), True) if found is None else found
        self._at[node] = (weakref.ref(gradient), g, exact)
        kept = node.keeps_gradient
        if kept is not None and kept.grad is not None and kept.grad._data is gradient:
            self._tensors[kept.grad] = Twin(g, g, exact, kept.grad._version)
        return g, exact

    def _contribution(self, event: Differentiated, g: Array, operands: _Operands) -> Array:
        op = event.node.op
        metadata = event.node.metadata
        if op.saves:
            metadata = {**metadata, "saved": operands.saved}
        if op.arity < 0:
            metadata = {**metadata, "argument": event.argument}
        computed = self.arithmetic.evaluate(op.vjp_of(event.argument), (g, operands.out, *operands.arrays), metadata)
        return self.arithmetic.unbroadcast(computed, event.of.shape)

    def stored(self, event: Stored) -> Passage:
        """Follow values that were rounded into a tensor outside of the engine."""
        x, widened, formula = event.tensor, self.arithmetic.widened, event.formula or (lambda v: v)
        source, recipe = event.source, None
        if isinstance(source, Tensor):
            own = source is x
            twin = self.known(source, versions_ago=1) if own else self.of(source)
            given = widened(event.before if own and event.before is not None else source._data)
            value = given if twin is None else twin.value
            if twin is not None and source._data is x._data:
                recipe = twin.recipe
        else:
            value = given = self.arithmetic.numbers(source)
        with np.errstate(all="ignore"):
            value, ideal = np.broadcast_to(formula(value), x.shape), np.broadcast_to(formula(given), x.shape)
        return self._became(x, value, ideal, recipe or self._leaf(x, value))

    def updated(self, event: Updated) -> Passage:
        """Follow an optimizer's step of one parameter."""
        assert event.again is not None
        assert event.state_before is not None
        assert event.state is not None
        owner = event.owner
        own = self.known(owner, versions_ago=1)
        gradient = self.of(event.gradient)
        state_twins = {k: self._state(v, lambda t: self.of(t).value) for k, v in event.state_before.items()}
        value = self.arithmetic.widened(event.before) if own is None else own.value
        steps = self.arithmetic.steps(event.fmt)
        with np.errstate(all="ignore"):
            value = event.again(value, gradient.value, state_twins, steps)
            exact = own is None or own.exact
            if exact and gradient.exact and all(self._state_exact(v) for v in event.state_before.values()):
                ideal = value
            else:
                widened = self.arithmetic.widened
                stored = {k: self._state(v, lambda t: widened(t._data)) for k, v in event.state_before.items()}
                ideal = event.again(widened(event.before), widened(event.gradient._data), stored, steps)
        for name, entry in event.state.items():
            if isinstance(entry, Tensor):
                twin = state_twins[name]._data
                self._tensors[entry] = Twin(twin, twin, _equal(twin, entry._data), entry._version)
        return self._became(owner, value, ideal, self._leaf(owner, value))

    def _state(self, entry: Any, value: Callable[[Tensor], Array]) -> Any:
        return Tensor(value(entry), entry.precision) if isinstance(entry, Tensor) else entry

    def _state_exact(self, entry: Any) -> bool:
        return not isinstance(entry, Tensor) or self.of(entry).exact


def _equal(a: Array, b: Array) -> bool:
    return a is b or bool(np.array_equal(a, b, equal_nan=True))


def _unrounded_scalar(arithmetic: Arithmetic, given: Any) -> Any:
    """What is not a tensor, as the user gave it."""
    return None if given is None else arithmetic.numbers(given)
