"""`detect_anomaly`: stop at the first operation that makes an infinity or a NaN, and show what it had.

Layer 7. Looks at every result forward, backward and in updates; keeps the last ten for the report.
"""

from __future__ import annotations

import sys
from collections import deque
from typing import Any

import numpy as np

from fpsim.autograd.context import Applied, Differentiated, Observer, Stored, Updated, current
from fpsim.autograd.op import Kind, Rule
from fpsim.autograd.tensor import Tensor
from fpsim.errors import AnomalyError, ArgumentTypeError, expected
from fpsim.formats import Format
from fpsim.observe.anomaly_report import AnomalyReport, Frame
from fpsim.observe.by_identity import ByIdentity
from fpsim.observe.observation import Observation
from fpsim.observe.unrounded import Float64
from fpsim.precision import Precision
from fpsim.rounding.kernel import Array

__all__ = ["Detector", "detect_anomaly"]

#: How many operations before the bad one are shown.
KEPT = 10

_FLOAT64 = Float64()


class Detector(Observer):
    """Looks at every result; raises `AnomalyError` at the first bad one."""

    def __init__(self, check_nan: bool, check_inf: bool) -> None:
        self.check_nan, self.check_inf = check_nan, check_inf
        self._before: deque[Frame] = deque(maxlen=KEPT)
        self._where: ByIdentity[str] = ByIdentity()

    def applied(self, event: Applied) -> None:
        """Look at a result."""
        op, where = event.op, _caller()
        if event.result._node is not None:
            self._where[event.result._node] = where
        operands = _operands(op, event.arrays, event.inputs, event.precision.storage)
        result = ("output", event.result._data, _formats(event.precision, op.rule))

        def again() -> Array:
            computed = _FLOAT64.evaluate(op.rule, tuple(map(_FLOAT64.widened, event.arrays)), event.metadata)
            return np.asarray(computed[0] if op.saves else computed)

        self._look(Frame(event.module, op.name, "forward", operands, result, where, op.kind is Kind.POINTWISE, again))

    def differentiated(self, event: Differentiated) -> None:
        """Look at a contribution to a gradient, and at the sum."""
        node, of = event.node, event.of.precision.gradient.storage.name
        op, where = node.op, self._where.get(node) or ""
        names = _names(op, len(node.arrays))
        own = _operands(op, node.arrays, node.inputs, node.precision.storage)
        operands = (("gradient of output", event.gradient, node.precision.gradient.storage.name), *own)
        operands = (*operands, ("output", node.out, node.precision.storage.name))
        name = f"gradient of {names[event.argument]}"
        rule = op.vjp_of(event.argument)
        accumulate = node.precision.accumulate.name
        summed = rule.takes_accumulator or event.contribution.shape != event.gradient.shape
        result = (name, event.contribution, of if of == accumulate or not summed else f"{of}/{accumulate}")
        same_shape = event.contribution.shape == event.gradient.shape
        elementwise = rule.kind in (Kind.POINTWISE, Kind.EXACT) and same_shape

        def again() -> Array:
            taken = tuple(map(_FLOAT64.widened, (event.gradient, node.out, *node.arrays)))
            saved = {"saved": node.saved} if op.saves else {}
            argument = {"argument": event.argument} if op.arity < 0 else {}
            computed = _FLOAT64.evaluate(rule, taken, {**node.metadata, **saved, **argument})
            return _FLOAT64.unbroadcast(computed, event.of.shape)

        self._look(Frame(node.module, op.name, "backward", operands, result, where, elementwise, again))
        if event.before is not None:
            before = event.before._data if isinstance(event.before, Tensor) else event.before
            both = (("sum so far", before, of), ("contribution", event.contribution, of))
            total = (name, event.total, of)
            self._look(Frame(node.module, "add gradients", "backward", both, total, where, elementwise=True))

    def stored(self, event: Stored) -> None:
        """Look at values that were rounded into a tensor."""
        x, source = event.tensor, event.source
        from_tensor = isinstance(source, Tensor)
        values = (event.before if event.before is not None else source._data) if from_tensor else np.asarray(source)
        if values is x._data:
            return
        module = getattr(x, "name", None) or current().module
        module = module.rpartition(".")[0] if getattr(x, "name", None) else module
        fmt = source.dtype.name if from_tensor else values.dtype.name
        operands = (("values", np.asarray(values, np.float64), fmt),)
        phase = "update" if from_tensor else "forward"
        result = (getattr(x, "name", None) or "output", x._data, x.dtype.name)
        same_shape = values.shape == x.shape
        self._look(Frame(module, event.op, phase, operands, result, _caller(), elementwise=same_shape))

    def updated(self, event: Updated) -> None:
        """Look at an updated parameter, then at the optimizer's state of it."""
        states = {k: t for k, t in (event.state or {}).items() if isinstance(t, Tensor)}
        befores = {k: t for k, t in (event.state_before or {}).items() if isinstance(t, Tensor)}
        gradient = event.gradient
        operands = [(event.name, event.before, event.fmt.name), ("gradient", gradient._data, gradient.dtype.name)]
        operands += [(k, t._data, t.dtype.name) for k, t in befores.items()]
        module, where = event.name.rpartition(".")[0], _caller()
        results = [(event.name, event.after, event.fmt.name), *((k, t._data, t.dtype.name) for k, t in states.items())]
        for result in results:
            frame = Frame(module, event.op, "update", tuple(operands), result, where, elementwise=True)
            self._look(frame, remember=result is results[0])

    def _look(self, frame: Frame, remember: bool = True) -> None:
        values = frame.result[1]
        if not np.isfinite(values).all():
            found = self._found(frame, values)
            if found is not None:
                index, made = found
                report = AnomalyReport(frame, index, made, self._before)
                raise AnomalyError(report.table(), report)
        if remember:
            self._before.append(frame)

    def _found(self, frame: Frame, values: Array) -> tuple[tuple[int, ...], bool] | None:
        """The first element that is bad by what is checked, and whether it was made here; None where all is well.

        An infinity is made where none came in: one that a user put in, as masks have, may pass. A NaN never may.
        """
        nan_came, inf_came = (_came(test, frame, values) for test in (np.isnan, np.isinf))
        bad = np.zeros(values.shape, bool)
        if self.check_inf and frame.phase == "update":
            bad |= np.isinf(values) & ~_came(np.isinf, frame, values, own=True)
        elif self.check_inf:
            bad |= np.isinf(values) & ~(inf_came | nan_came)
        if self.check_nan:
            bad |= np.isnan(values) & (frame.phase != "update" or ~_came(np.isnan, frame, values, own=True))
        if not bad.any():
            return None
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        came = nan_came | (inf_came if np.isinf(values[index]) else False)
        return index, not bool(came[index])


def _came(test: Any, frame: Frame, values: Array, own: bool = False) -> Array:
    """Where an operand already had what `test` finds: at the same element, or anywhere if not element by element.

    With `own`, the first operand alone: what was there before an update.
    """
    came = np.zeros(values.shape, bool)
    for _, x, _ in frame.operands[: 1 if own else None]:
        has = test(x)
        if has.any():
            if frame.elementwise and has.ndim <= came.ndim and _broadcasts(has.shape, came.shape):
                came |= has
            else:
                came[...] = True
    return came


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    return all(n in (1, m) for n, m in zip(reversed(shape), reversed(to), strict=False))


def _formats(precision: Precision, rule: Rule) -> str:
    """The format of a result, and behind it, where it matters, that of the sums: ``float16/float32``."""
    return str(precision) if rule.takes_accumulator else precision.storage.name


def _names(op: Any, count: int) -> list[str]:
    """The arguments' names in the op's formula."""
    if op.arity < 0:
        return [f"input {i}" for i in range(count)]
    return list(op.rule.formula.__code__.co_varnames[:count])


def _operands(
    op: Any, arrays: tuple[Array | None, ...], tensors: tuple[Any, ...], otherwise: Format
) -> tuple[tuple[str, Array, str], ...]:
    return tuple(
        (name, array, (otherwise if x is None else x.dtype).name)
        for name, array, x in zip(_names(op, len(arrays)), arrays, tensors, strict=True)
        if array is not None
    )


def _caller() -> str:
    """File and line of the innermost call from outside fpsim."""
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] == "fpsim":
        frame = frame.f_back
    return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def detect_anomaly(check_nan: bool = True, *, check_inf: bool = True) -> Observation[Detector]:
    """Raise at the first operation that makes an infinity or a NaN: forward, backward, or in an optimizer's update.

    The error shows the module, the operation, the formats, the extremes of its operands and its result, the first bad
    element, where in the program it was called, and the ten operations before it. No result changes.

    Parameters
    ----------
    check_nan, check_inf : bool
        What to stop at.

    Raises
    ------
    AnomalyError
        With the attributes ``module op phase index value what report``. An infinity that came in with the operands, as
        in a mask, passes; a NaN that came in is reported where it is met first, and a parameter that becomes either.

    Notes
    -----
    With a `GradScaler` an overflow in the backward pass is expected now and then, and the step is skipped: use
    ``check_inf=False`` there, or a constant scale.

    Examples
    --------
    >>> import fpsim as fp
    >>> x = fp.tensor([1.0, 300.0], dtype="float16")
    >>> try:
    ...     with fp.detect_anomaly():
    ...         y = x * x
    ... except fp.AnomalyError as error:
    ...     print(error.op, error.phase, error.index, error.value)
    multiply forward (1,) inf
    """
    for name, value in (("check_nan", check_nan), ("check_inf", check_inf)):
        if not isinstance(value, bool):
            got = f"{name}={value!r}"
            raise ArgumentTypeError(expected("detect_anomaly", "True or False", got, "call it as detect_anomaly()"))
    return Observation("detect_anomaly", Detector(check_nan, check_inf))
