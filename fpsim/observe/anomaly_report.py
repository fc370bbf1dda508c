"""What `detect_anomaly` shows: the operation that made an infinity or a NaN, what it had, and what ran before.

Layer 7. Plain data to a table; looks for nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fpsim.errors import expected
from fpsim.formats import Format
from fpsim.observe.report_forms import Column, ReportForms, plain
from fpsim.rounding.kernel import Array

__all__ = ["AnomalyReport", "Frame"]


@dataclass(frozen=True, eq=False)
class Frame:
    """One operation: where it ran and what it had. The values' extremes are looked up only when they are shown."""

    module: str
    op: str
    #: "forward", "backward" or "update"
    phase: str
    #: name, values, format of each operand
    operands: tuple[tuple[str, Array, str], ...]
    #: the same of the result
    result: tuple[str, Array, str]
    #: file and line of the call; of a gradient, of the operation's call forward
    where: str
    #: whether an element of the result comes from the operands' elements at its place alone
    elementwise: bool = False
    #: the result in float64
    again: Callable[[], Array] | None = None

    def rows(self) -> list[dict[str, Any]]:
        """A dict for each operand and for the result."""
        return [{"module": self.module, "op": self.op, "pass": self.phase, **_seen(*part)} for part in self._parts()]

    def row(self) -> dict[str, Any]:
        """One dict: the result, and the formats of all."""
        formats = list(dict.fromkeys(fmt for _, _, fmt in self.operands))
        _, values, fmt = self.result
        seen = _seen("", values, fmt)
        seen["format"] = f"{', '.join(formats)} -> {fmt}" if formats else fmt
        return {"module": self.module, "op": self.op, "pass": self.phase, **seen}

    def _parts(self) -> list[tuple[str, Array, str]]:
        return [*self.operands, self.result]


def _seen(name: str, x: Array, fmt: str) -> dict[str, Any]:
    """What a table says of an array; the extremes are of what is not NaN."""
    known = x[~np.isnan(x)]
    low, high = (float(known.min()), float(known.max())) if known.size else (None, None)
    return {
        "what": name,
        "format": fmt,
        "shape": str(x.shape),
        "min": low,
        "max": high,
        "absmax": None if low is None or high is None else max(abs(low), abs(high)),
        "inf": int(np.isinf(x).sum()),
        "nan": int(x.size - known.size),
    }


class AnomalyReport(ReportForms):
    """The operation that made an infinity or a NaN, its operands, and the ten operations before it.

    Attributes
    ----------
    module, op, phase : str
        Where: the module's dotted path, the operation, and ``"forward"``, ``"backward"`` or ``"update"``.
    what : str
        Which array is bad: the output, the gradient of an input, a parameter.
    index : tuple of int
        Of the first bad element, in C order; `value` is its value.
    made : bool
        Whether it was made there; else it arrived with an operand, from before the block.
    before : list of Frame
        The operations before it, the earliest first.
    """

    def __init__(self, frame: Frame, index: tuple[int, ...], made: bool, before: Sequence[Frame]) -> None:
        self.frame, self.index, self.made, self.before = frame, index, made, list(before)
        self.module, self.op, self.phase, self.where = frame.module, frame.op, frame.phase, frame.where
        self.what, values, self.format = frame.result
        self.value = float(values[index])

    def sentence(self) -> str:
        """What happened, where, and what to do."""
        place = f"module {self.module}" if self.module else "no module"
        line = f", {self.where}" if self.where else ""
        came = "" if self.made else ", which came in with an operand"
        got = f"{self.value:g} at {self.index} of {self.what} in {self.format} ({self.phase} pass, {place}{line}){came}"
        return expected(self.op, "finite values under detect_anomaly", got, self._remedy())

    def _remedy(self) -> str:
        """What to do: where float64 gives a number, the format was too narrow; else the formula has none."""
        if not self.made:
            return "look at what was handed to it"
        narrower = min(map(Format, self.format.split("/")), key=lambda fmt: fmt.max)
        wider = f"{narrower.name} ends at {narrower.max:g}: scale the values down or use a wider format"
        if self.frame.again is None:
            return wider
        in_float64 = float(self.frame.again()[self.index])
        if np.isfinite(in_float64):
            return f"float64 gives {in_float64:g} there, {wider}"
        return f"float64 gives {in_float64:g} there too: look at its operands"

    def rows(self) -> list[dict[str, Any]]:
        """A dict for each operand and for the result."""
        return self.frame.rows()

    def columns(self) -> Sequence[Column]:
        """What the table shows."""
        return [Column(key, key) for key in ("what", "format", "shape", "min", "max", "absmax", "inf", "nan")]

    def title(self) -> str:
        """The line above the table."""
        return self.sentence()

    def notes(self) -> list[str]:
        """The first bad element, and the operations before."""
        notes = [f"first bad element: {self.what}[{', '.join(map(str, self.index))}] = {self.value:g}"]
        if self.before:
            heads = ("module", "op", "pass", "format", "shape", "min", "max", "absmax")
            count = len(self.before)
            notes.append(f"the {count} operations before it, the last one first:" if count > 1 else "before it:")
            notes.append(_Before(list(reversed(self.before)), heads).table())
        return notes

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain dicts and lists."""
        found = {name: getattr(self, name) for name in ("module", "op", "phase", "what", "format", "index", "value")}
        return {**found, "made": self.made, "where": self.where, **super().to_dict(), "before": self._before_rows()}

    def _before_rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = plain([frame.row() for frame in self.before])
        return rows


class _Before(ReportForms):
    """The table of the operations before."""

    def __init__(self, frames: list[Frame], heads: Sequence[str]) -> None:
        self._frames, self._heads = frames, heads

    def rows(self) -> list[dict[str, Any]]:
        return [frame.row() for frame in self._frames]

    def columns(self) -> Sequence[Column]:
        return [Column(head, head) for head in self._heads]
