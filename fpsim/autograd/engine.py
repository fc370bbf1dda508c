"""The engine: apply an operation, run the graph backward. The only caller of formulas and of `round_to` on tensors.

Layer 3. ``apply``: promote, compute, round once to storage, tell the observers, record. ``backward``: one gradient
formula per argument that wants it, unbroadcast by the accumulator, round once to the gradient's format, add.
"""

from __future__ import annotations

import heapq
import itertools
import reprlib
import warnings
from typing import Any

import numpy as np

from fpsim.accumulate import Accumulator
from fpsim.autograd.context import Applied, Context, Differentiated, Rounded, current
from fpsim.autograd.exactness import Exact, ExactFormula, ExactWide
from fpsim.autograd.op import Kind, Op, Rule, op
from fpsim.autograd.tensor import Tensor, round_into, store
from fpsim.errors import ArgumentTypeError, GradientError, ScalarRoundingWarning, ShapeError, expected
from fpsim.formats import Format
from fpsim.kernels.memory import keep_freed_memory
from fpsim.precision import Precision, promote
from fpsim.rounding.codes import as_array, draw_key
from fpsim.rounding.kernel import Array, round_to
from fpsim.rounding.quiet import quiet
from fpsim.rounding.wide import Wide
from fpsim.rounding.work import run, work_for

__all__ = ["Node", "apply", "backward", "broadcast_axes", "cast", "evaluate"]

_COUNTER = itertools.count()
#: Elements from which on a new array costs more than finding out that none is needed.
LARGE = 1 << 14


class Node:
    """One recorded operation: what its gradient formulas need, and the precision that was in force."""

    __slots__ = (
        "__weakref__",
        "arrays",
        "inputs",
        "keeps_gradient",
        "metadata",
        "module",
        "op",
        "out",
        "precision",
        "saved",
        "seq",
        "versions",
    )

    def __init__(
        self, op: Op, inputs: tuple[Tensor | None, ...], arrays: tuple[Array | None, ...], metadata: dict[str, Any],
        out: Array, saved: Any, precision: Precision, module: str,
    ) -> None:  # fmt: skip
        self.op, self.inputs, self.arrays, self.metadata = op, inputs, arrays, metadata
        self.out, self.saved, self.precision, self.module = out, saved, precision, module
        self.seq = next(_COUNTER)
        self.versions = tuple(0 if t is None else t._version for t in inputs)
        self.keeps_gradient: Tensor | None = None

    def release(self) -> None:
        """Let go of everything that only a backward pass needs."""
        self.arrays = self.inputs = ()
        self.out = self.saved = None  # type: ignore[assignment]

    @property
    def released(self) -> bool:
        """Whether a backward pass has used the node up."""
        return not self.inputs


# Forward -------------------------------------------------------------------------------------------------------------


def apply(op: Op, inputs: tuple[Any, ...], metadata: dict[str, Any], precision: Precision | None = None) -> Tensor:
    """The result of an operation: its formula on the stored values, rounded once to the result's storage format.

    `precision` is the result's, where it does not follow from the context and the inputs (casts).
    """
    context, given = current(), inputs
    if precision is None:
        precision = _precision(op, inputs, context)
        inputs = tuple(_prepared(op.name, x, precision) for x in inputs)
    tensors = tuple(x if isinstance(x, Tensor) else None for x in inputs)
    arrays = tuple(None if x is None else x._data if isinstance(x, Tensor) else x for x in inputs)
    formats = [x.dtype if isinstance(x, Tensor) else precision.storage for x in inputs if x is not None]
    computed = evaluate(op.rule, arrays, formats, metadata, precision, precision.storage, precision.rounding, context)
    saved = None
    if op.saves:
        computed, saved = computed
    if op.kind is Kind.EXACT:
        data = _without_negative_zero(precision.storage, np.asarray(computed, precision.storage.carrier))
    else:
        computed = computed if isinstance(computed, Wide) else np.asarray(computed)
        role = _role_of(tensors[0]) if op is _cast else "activation"
        what = {"op": op.name, "role": role, "phase": "forward", "module": context.module}
        data = _round_and_tell(precision, computed, context, arrays, op.rule, metadata, **what)
    out = Tensor(data, precision)
    if context.grad_enabled and any(t is not None and t.requires_grad for t in tensors):
        out.requires_grad = True
        out._node = Node(op, tensors, arrays, metadata, data, saved, precision, context.module)
    if context.observers:
        event = Applied(op, given, tensors, arrays, metadata, saved, precision, out, context.module)
        context.tell("applied", event)
    return out


def _precision(op: Op, inputs: tuple[Any, ...], context: Context) -> Precision:
    """In what precision an operation runs: autocast's choice, the running module's, or what its inputs promote to."""
    of_inputs = [x.precision for x in inputs if isinstance(x, Tensor)]
    if context.autocast is not None and of_inputs:
        chosen = context.autocast.precision_for(op.name, of_inputs)
        if chosen is not None:
            return chosen
    elif context.precision is not None:
        return context.precision
    return promote(of_inputs) if of_inputs else context.default


def _prepared(op: str, x: Any, precision: Precision) -> Any:
    """An input on the grid of the operation's storage format: cast where it does not fit, rounded where a scalar."""
    if isinstance(x, Tensor):
        return x if precision.storage.holds(x.dtype) else cast(x, precision)
    if x is None:
        return None
    given = as_array(op, x)
    if given.dtype.kind not in "biuf":
        got = f"{type(x).__name__} {reprlib.repr(x)}"
        raise ArgumentTypeError(expected(op, "tensors, numbers or arrays of numbers", got, "convert it first"))
    # what is not a tensor is rounded to nearest, whatever the tensor's own mode
    rounded = store(given, Precision(precision.storage, saturate=precision.saturate))
    values = given.astype(np.float64)
    lost = (values != 0) & np.isfinite(values) & ((rounded == 0) | ~np.isfinite(rounded))
    if lost.any():
        value = values[lost].flat[0]
        warnings.warn(
            f"{op}: the scalar {value:g} becomes {rounded[lost].flat[0]:g} in {precision.storage.name}; "
            "scale it, or use a tensor of a wider format.",
            ScalarRoundingWarning,
            stacklevel=5,
        )
    return rounded


def evaluate(
    rule: Rule, arrays: tuple[Array | None, ...], formats: list[Format], metadata: dict[str, Any],
    precision: Precision, target: Format, mode: str, context: Context,
) -> Any:  # fmt: skip
    """Run a formula in the arithmetic that its kind asks for."""
    if rule.takes_accumulator:
        acc = _accumulator(precision, context, tuple(formats))
        with quiet():
            return rule.formula(*arrays, acc=acc, **metadata)
    if rule.kind is Kind.EXACT or rule.steps == "identity":
        return rule.formula(*arrays, **metadata)
    if rule.steps == "function":  # whose last bit in float64 may depend on how the numbers lie in memory
        arrays = tuple(None if x is None else np.asarray(x, order="C") for x in arrays)
    work = work_for(rule.steps, target, formats, mode)
    if work is np.float32 and context.observers and context.listening("rounded"):
        work = np.float64  # the same bits, but observers see what the rounding left out
    return run(work, rule.formula, *arrays, **metadata)


def _round_and_tell(
    precision: Precision, computed: Array | Wide, context: Context, operands: tuple[Array | None, ...],
    rule: Rule | None = None, metadata: dict[str, Any] | None = None, **what: Any,
) -> Array:  # fmt: skip
    """Round to the storage format of `precision`, and tell the observers; `rule` is what `computed` comes from."""
    told = bool(context.observers) and context.listening("rounded")
    out = None
    if isinstance(computed, np.ndarray) and not told and computed.dtype == precision.storage.carrier:
        out = computed if _is_own(computed, rule, operands) else None
    data = round_into(precision, computed, out)
    if told:
        with quiet():
            before = computed.value() if isinstance(computed, Wide) else computed
        known = tuple(x for x in operands if x is not None)
        metadata = metadata or {}
        what["pointwise"] = rule is not None and rule.kind is Kind.POINTWISE and "axis" not in metadata
        what["exact"] = _exactly(computed, operands, rule, metadata, precision.storage)
        what["mode"] = precision.rounding
        context.tell("rounded", Rounded(before, data, precision.storage, operands=known, **what))
    return data


def _is_own(computed: Array, rule: Rule | None, operands: tuple[Array | None, ...]) -> bool:
    """Whether a formula has just made this array, so that it may be rounded in place."""
    if rule is None or not computed.flags.writeable:
        return False
    if rule.kind is Kind.REDUCTION and computed.size >= LARGE:  # along no axis it may be an operand itself
        return not any(x is not None and np.may_share_memory(computed, x) for x in operands)
    return rule.kind is Kind.CONTRACTION


def _exactly(
    computed: Array | Wide, operands: tuple[Array | None, ...], rule: Rule | None, metadata: dict[str, Any], fmt: Format
) -> Exact | None:
    """What gives the exact results of chosen elements; None where `computed` itself is what was to be rounded."""
    if isinstance(computed, Wide):
        return ExactWide(computed)
    if rule is None or rule.kind is not Kind.POINTWISE or rule.steps in ("identity", "function"):
        return None
    if "axis" not in metadata:
        return ExactFormula(rule.formula, operands, metadata, computed.shape)
    # a gradient shared out along axes, divided by a count: float64 shows what narrower formats leave out
    return ExactWide(Wide.of(run(Wide, rule.formula, *operands, **metadata))) if fmt.p > 25 else None


def _role_of(x: Tensor | None) -> str:
    """A tensor's role; a weight's copy in another format is a weight."""
    while x is not None and x._node is not None and x._node.op is _cast and x._node.inputs:
        x = x._node.inputs[0]
    return "activation" if x is None else x.role


def _accumulator(precision: Precision, context: Context, formats: tuple[Format, ...]) -> Accumulator:
    """The accumulator of sums into such a tensor; one that counts its steps, where an observer asks for that."""
    acc = precision.accumulator(context.rounding_generator, formats)
    if not any(observer.accumulators for observer in context.observers):
        return acc
    from fpsim.accumulate.counting import counting

    return counting(acc, lambda tally: context.tell("accumulated", tally))


@op(Kind.POINTWISE, "identity", name="cast")
def _cast(x: Any) -> Any:
    """``x``, rounded once to another precision; the gradient is rounded to the source's gradient format."""
    return x


@_cast.vjp(0, Kind.EXACT)
def _(g: Any, out: Any, x: Any) -> Any:
    return g


def cast(x: Tensor, precision: Precision) -> Tensor:
    """`x` in another precision, recorded."""
    return apply(_cast, (x,), {}, precision)


# Backward ------------------------------------------------------------------------------------------------------------


def backward(root: Tensor, gradient: Any = None, retain_graph: bool = False) -> None:
    """Gradients of `root` for every leaf, by walking the recorded operations from the last to the first."""
    keep_freed_memory()
    if not root.requires_grad:
        raise GradientError(
            expected("backward", "a tensor made from a leaf with requires_grad=True", "none", "set it on the weights")
        )
    of_root = root.precision.gradient
    if gradient is None:
        if root.size != 1:
            got = f"shape={root.shape}"
            raise GradientError(
                expected("backward", "a tensor of one element or a gradient", got, "sum or mean it first")
            )
        gradient = np.ones(root.shape)
    start = store(gradient._data if isinstance(gradient, Tensor) else gradient, of_root, "backward")
    if start.shape != root.shape:
        got = f"gradient.shape={start.shape}"
        raise ShapeError(expected("backward", f"a gradient of shape {root.shape}", got, "give one value per element"))
    if root._node is None:
        _add_to_leaf(root, start)
        return
    context = current()
    waiting: list[tuple[int, Node]] = [(-root._node.seq, root._node)]
    gradients: dict[Node, tuple[Array, Format]] = {root._node: (start, of_root.storage)}
    with quiet():
        while waiting:
            node = heapq.heappop(waiting)[1]
            g, fmt = gradients.pop(node)
            if node.keeps_gradient is not None:
                _add_to_leaf(node.keeps_gradient, g)
            _check_fresh(node)
            for argument, x in enumerate(node.inputs):
                if x is None or not x.requires_grad:
                    continue
                total = contribution = _contribution(node, argument, x, g, fmt, context)
                before = x.grad if x._node is None else gradients.get(x._node, (None, None))[0]
                if x._node is None:
                    total = _add_to_leaf(x, contribution)
                elif x._node in gradients:
                    total = _sum_of(gradients[x._node][0], contribution, x)
                    gradients[x._node] = (total, x.precision.gradient.storage)
                else:
                    gradients[x._node] = (contribution, x.precision.gradient.storage)
                    heapq.heappush(waiting, (-x._node.seq, x._node))
                if context.observers:
                    event = Differentiated(node, argument, x, g, contribution, total, before)
                    context.tell("differentiated", event)
            if not retain_graph:
                node.release()


def _check_fresh(node: Node) -> None:
    if node.released:
        got = f"{node.op.name} already used"
        raise GradientError(
            expected("backward", "a graph not yet walked", got, "pass retain_graph=True the first time")
        )
    for x, version in zip(node.inputs, node.versions, strict=True):
        if x is not None and x._version != version:
            got = f"an input of {node.op.name} changed since"
            raise GradientError(
                expected("backward", "the values of the forward pass", got, "run the forward pass again")
            )


def _contribution(node: Node, argument: int, x: Tensor, g: Array, fmt: Format, context: Context) -> Array:
    """What one operation adds to the gradient of one argument, in that argument's gradient format."""
    rule = node.op.vjp_of(argument)
    if rule is None:
        got = f"{node.op.name}, argument {argument}"
        raise GradientError(expected("backward", "operations with a gradient", got, "detach that argument"))
    metadata = {**node.metadata, "saved": node.saved} if node.op.saves else node.metadata
    if node.op.arity < 0:
        metadata = {**metadata, "argument": argument}
    target, precision = x.precision.gradient, node.precision
    formats = [fmt, precision.storage, *(t.dtype if t is not None else precision.storage for t in node.inputs)]
    operands = (g, node.out, *node.arrays)
    # a sum over broadcast axes follows if the formula's result is larger than x: its terms are the accumulator's
    axes = broadcast_axes(node.out.shape, x.shape) if rule.kind is Kind.POINTWISE else ()
    first_fmt, first_mode = (
        (precision.accumulate, precision.acc_rounding) if axes else (target.storage, target.rounding)
    )
    computed = evaluate(rule, operands, formats, metadata, precision, first_fmt, first_mode, context)
    computed = computed if isinstance(computed, Wide) else np.asarray(computed)
    axes = broadcast_axes(computed.shape, x.shape)
    if axes:
        terms = fmt if rule.kind is Kind.EXACT else precision.accumulate
        if isinstance(computed, Wide) or rule.kind is Kind.POINTWISE:
            key = draw_key(context.rounding_generator) if first_mode == "stochastic" else 0
            computed = round_to(computed, first_fmt, first_mode, saturate=precision.saturate, key=key)
        acc = _accumulator(precision, context, (terms,))
        if rule.kind is Kind.EXACT and acc.order == "exact":  # which alone would take the terms as they are
            computed = acc.round(computed)
        computed = np.asarray(acc.sum(computed, axis=axes, keepdims=True)).reshape(x.shape)
    elif rule.kind is Kind.EXACT and target.storage.holds(fmt):
        return _without_negative_zero(target.storage, np.asarray(computed, target.storage.carrier))  # on the grid
    what: dict[str, Any] = {"op": node.op.name, "role": _gradient_role(x), "phase": "backward", "module": node.module}
    if axes:  # the accumulator's sums
        return _round_and_tell(target, computed, context, operands, **what)
    return _round_and_tell(target, computed, context, operands, rule, metadata, **what)


def _gradient_role(x: Tensor) -> str:
    return "weight_gradient" if _role_of(x) == "weight" else "gradient"


def _without_negative_zero(fmt: Format, data: Array) -> Array:
    """What selecting, moving and negating gives, in the formats whose only zero is +0."""
    return data if fmt.has_negative_zero else data + 0.0


def broadcast_axes(shape: tuple[int, ...], of: tuple[int, ...]) -> tuple[int, ...]:
    """The axes of `shape` along which an array of shape `of` was repeated; none where `shape` is a reduction of it."""
    extra = len(shape) - len(of)
    if extra < 0:
        return ()
    return tuple(range(extra)) + tuple(i + extra for i, n in enumerate(of) if n == 1 and shape[i + extra] != 1)


_SUM = Rule(np.add, Kind.POINTWISE, "elementary")


def _sum_of(a: Array, b: Array, x: Tensor) -> Array:
    """Two contributions to the gradient of `x`, added and rounded."""
    precision, context = x.precision.gradient, current()
    fmt = precision.storage
    total = evaluate(_SUM, (a, b), [fmt], {}, precision, fmt, precision.rounding, context)
    module = context.module if x._node is None else x._node.module
    what: dict[str, Any] = {"op": "add", "role": _gradient_role(x), "phase": "backward", "module": module}
    return _round_and_tell(precision, total, context, (a, b), _SUM, **what)


def _add_to_leaf(x: Tensor, contribution: Array) -> Array:
    """Add to a leaf's gradient, in a new tensor; the values that it has then."""
    if x.grad is not None:
        contribution = _sum_of(x.grad._data, contribution, x)
    x.grad = Tensor(contribution, x.precision.gradient)
    return contribution
