"""`explain`: in which format each operation of a function ran, and why: autocast, its module, promotion, the default.

Layer 7. Looks at the operations as the engine tells them, with what was in force; chooses nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fpsim.amp.autocast import op_lists
from fpsim.autograd.context import Applied, Context, Differentiated, Observer, current, using
from fpsim.autograd.engine import _precision
from fpsim.autograd.op import Op
from fpsim.autograd.tensor import Tensor
from fpsim.errors import ArgumentTypeError, expected
from fpsim.nn import Module
from fpsim.observe.report_forms import Column, ReportForms
from fpsim.precision import Precision

__all__ = ["Explanation", "explain"]


@dataclass
class Line:
    """One operation as it ran, or several in a row that ran alike."""

    phase: str
    module: str
    op: str
    inputs: str
    format: str
    accumulate: str | None
    why: str
    times: int = 1


class Explanation(ReportForms, Observer):
    """What `explain` saw: a line for each operation, in order. ``print(explanation)``, or ``.rows()`` for data.

    Attributes
    ----------
    result
        What the function returned.
    """

    nothing = "no operation ran"

    def __init__(self, outputs: dict[str, Precision | None]) -> None:
        self.result: Any = None
        #: of the modules of the network that runs, if it is one: to what each casts its result
        self._outputs = outputs
        self.lines: list[Line] = []
        #: of tensors that a cast made or took: the cast's line; of all results: the module that made them
        self._cast: dict[int, Line] = {}
        self._made_in: dict[int, str] = {}
        self._alive: list[Tensor] = []  # as long as their ids are used

    # What the engine calls ------------------------------------------------------------------------------------------

    def applied(self, event: Applied) -> None:
        """Note one operation, and what its casts were for."""
        precision = event.precision
        inputs = " ".join(dict.fromkeys(x.dtype.name for x in event.given if isinstance(x, Tensor)))
        if event.op.name == "cast":
            line = Line("forward", event.module, "cast", inputs, str(precision), None, self._why_cast(event))
            self._cast[id(event.result)] = line
        else:
            self._explain_casts_for(event)
            accumulate = _accumulator(event.op.rule.takes_accumulator, precision)
            why = why_in(event.op, event.given, precision, current())
            if "quantized" in event.metadata:
                why += f"; operands {event.metadata['quantized'].in_words}"
            line = Line("forward", event.module, event.op.name, inputs, precision.storage.name, accumulate, why)
        self._made_in[id(event.result)] = event.module
        self._alive.append(event.result)
        self.lines.append(line)

    def differentiated(self, event: Differentiated) -> None:
        """Note one contribution to a gradient."""
        node, of = event.node, event.of
        fmt, rule = of.precision.gradient.storage, node.op.vjp_of(event.argument)
        kind = "weight" if of.role == "weight" else "tensor"
        own = f"that {kind}'s own gradient format" if of.precision.grad is not None else f"a {of.dtype.name} {kind}"
        why = f"the gradient of input {event.argument}, {own}"
        accumulate = _accumulator(rule is not None and rule.takes_accumulator, node.precision)
        self.lines.append(
            Line("backward", node.module, node.op.name, node.precision.storage.name, fmt.name, accumulate, why)
        )

    def _why_cast(self, event: Applied) -> str:
        """Before it is known who takes the result: asked for, or the output format of the module that just ended."""
        source = self._made_in.get(id(event.given[0]), event.module)
        if source.startswith(event.module) and self._outputs.get(source) == event.precision:
            return f"the output format of {source or 'the network'}"
        return "asked for: .to()" + (", or a module's output format" if source != event.module else "")

    def _explain_casts_for(self, event: Applied) -> None:
        """Name the operation, or the module at whose border it was, that a cast was made for."""
        for given, taken in zip(event.given, event.inputs, strict=True):
            if taken is None:
                continue
            line = self._cast.get(id(taken))
            if line is None:
                continue
            if taken is not given:
                line.why = f"an input of {event.op.name}, which runs in {event.precision.storage.name}"
            elif line.module != event.module and event.module.startswith(line.module):
                line.why = f"at the border of {event.module}, which was assigned {line.format}"

    # What a user asks -----------------------------------------------------------------------------------------------

    def rows(self) -> list[dict[str, Any]]:
        """One dict for each operation, those that ran alike one after the other together."""
        merged: list[dict[str, Any]] = []
        for line in self.lines:
            row = dict(vars(line))
            if merged and all(merged[-1][key] == value for key, value in row.items() if key != "times"):
                merged[-1]["times"] += 1
            else:
                merged.append(row)
        return merged

    def columns(self) -> Sequence[Column]:
        """The phase only where there was a backward pass, the count only where it is not 1."""
        rows = self.rows()
        heads = {"phase": "phase", "module": "module", "op": "op", "inputs": "inputs", "format": "runs in"}
        heads |= {"accumulate": "sums in", "times": "times", "why": "why"}
        if all(row["phase"] == "forward" for row in rows):
            del heads["phase"]
        if all(row["times"] == 1 for row in rows):
            del heads["times"]
        return [Column(key, head, left=key != "times") for key, head in heads.items()]

    def formats(self) -> dict[str, str]:
        """Format of each operation forward, by ``module.op`` (of the last one, where it ran more than once)."""
        forward = (line for line in self.lines if line.phase == "forward" and line.op != "cast")
        return {f"{line.module}.{line.op}".strip("."): line.format for line in forward}


def _accumulator(takes: bool, precision: Precision) -> str | None:
    if not takes:
        return None
    return precision.accumulate.name + (f" {precision.order}" if precision.order else "")


def why_in(op: Op, given: tuple[Any, ...], precision: Precision, context: Context) -> str:
    """Why an operation on these arguments ran in this precision, in words."""
    of_inputs = [x.precision for x in given if isinstance(x, Tensor)]
    if _precision(op, given, context) != precision:
        return "given by the caller"
    if context.autocast is not None and of_inputs:
        if context.autocast.precision_for(op.name, of_inputs) is not None:
            return _why_by_autocast(op.name, precision)
        return "autocast leaves what float32 does not hold alone: " + _why_by_inputs(of_inputs, precision)
    if context.precision is not None:
        of = context.module or "the network"
        return f"assigned to {of}: {context.precision}"
    return _why_by_inputs(of_inputs, precision) if of_inputs else "the default precision"


def _why_by_autocast(op: str, precision: Precision) -> str:
    lists = op_lists()
    name = lists.torch_name(op)
    as_torch = "" if name == op else f" as {name}"
    return {
        "lower": f"autocast: on the {precision.storage.name} list{as_torch}",
        "float32": f"autocast: on the float32 list{as_torch}",
        "promote": f"autocast: on the list of the widest input{as_torch}",
        "input": "autocast: on no list, as its input",
    }[lists.rule(op)]


def _why_by_inputs(of_inputs: list[Precision], precision: Precision) -> str:
    names = list(dict.fromkeys(p.storage.name for p in of_inputs))
    if len(names) == 1:
        return "its inputs' format" if len(of_inputs) > 1 else "its input's format"
    return f"promotion: {precision.storage.name} holds {' and '.join(names)}"


def explain(function: Callable[..., Any], *inputs: Any, **options: Any) -> Explanation:
    """Run a function and say in which format each operation ran, in what it summed, and why.

    Parameters
    ----------
    function : callable
        A network, or any function of tensors; called as ``function(*inputs, **options)``. If it calls ``backward``,
        the gradients are told too.

    Returns
    -------
    Explanation
        Prints as a table; ``explanation.result`` is what the function returned.

    Notes
    -----
    Precision: nothing changes; the function runs as it does outside.

    Examples
    --------
    >>> import fpsim as fp
    >>> x, w = fp.ones(2, 3), fp.ones(3, 4)
    >>> with fp.autocast("float16"):
    ...     print(fp.explain(lambda: (x @ w).relu().softmax(1)))
    module  op       inputs   runs in          sums in  times  why
    ----------------------------------------------------------------------------------------------------
            cast     float32  float16/float32  -            2  an input of matmul, which runs in float16
            matmul   float32  float16          float32      1  autocast: on the float16 list
            relu     float16  float16          -            1  autocast: on no list, as its input
            softmax  float16  float32          float32      1  autocast: on the float32 list
    """
    if not callable(function):
        got = type(function).__name__
        raise ArgumentTypeError(expected("explain", "a function or a network first", got, "pass net, then its inputs"))
    modules = function.named_modules() if isinstance(function, Module) else ()
    explanation = Explanation({name: module.output_precision for name, module in modules})
    with using(observers=(*current().observers, explanation)):
        explanation.result = function(*inputs, **options)
    explanation._alive.clear()
    return explanation
