"""The forms that every report has: text for a terminal, HTML for a notebook, dicts and JSON for machines, a plot.

Layer 7. Turns rows of plain data into text; measures nothing. rich and the plots are imported where they are used.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fpsim.errors import ArgumentError, ObserverError, expected

__all__ = ["Column", "ReportForms", "percent", "plain", "shown"]


def shown(value: Any) -> str:
    """A value as a table shows it.

    >>> shown(1234567), shown(0.123456), shown(None), shown(True), shown((2, 3))
    ('1,234,567', '0.123', '-', 'yes', '(2, 3)')
    """
    if value is None:
        return "-"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    return f"{value:.3g}" if isinstance(value, float | np.floating) else str(value)


def percent(share: float | None, digits: int = 2) -> str:
    """A share in percent; what is not zero never reads as zero.

    >>> percent(0.25), percent(0.000001), percent(0.0), percent(None)
    ('25.00 %', '<0.01 %', '0', '-')
    """
    if share is None:
        return "-"
    if share == 0 or not math.isfinite(share):
        return f"{share:g}"
    text = f"{100 * share:.{digits}f} %"
    return text if float(text[:-2]) else f"<{10.0**-digits:.{digits}f} %"


def plain(value: Any) -> Any:
    """The same in types that strict JSON knows: NumPy's become Python's, infinities and NaN strings, keys strings.

    >>> plain({"error": np.float32(0.5), 3: (1, float("nan"))})
    {'error': 0.5, '3': [1, 'nan']}
    """
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist() if value.dtype != np.longdouble else value.astype(np.float64).tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


@dataclass(frozen=True)
class Column:
    """One column of a table: the rows' key, what stands above, how a value is written, and on which side."""

    key: str
    head: str
    show: Callable[[Any], str] = shown
    #: flush left; None: where all its values are text
    left: bool | None = None


class ReportForms:
    """Mixin: ``table() to_dict() to_json() plot() _repr_html_()`` for a class that has `rows`.

    A report defines `rows`, one dict of plain data a line, and may define `columns` (which keys are shown, and how;
    default: all keys), `title`, `notes` (sentences below the table) and `nothing` (the sentence of an empty report).
    `plotted_by` names the function of `fpsim.plots` that takes the report and returns a figure.
    """

    nothing = "nothing to report"
    plotted_by = ""

    def rows(self) -> list[dict[str, Any]]:
        """One dict a line of the table."""
        raise NotImplementedError

    def columns(self) -> Sequence[Column]:
        """What the table shows of the rows."""
        keys = dict.fromkeys(key for row in self.rows() for key in row)
        return [Column(key, key.replace("_", " ")) for key in keys]

    def title(self) -> str:
        """The line above the table."""
        return ""

    def notes(self) -> list[str]:
        """Sentences below the table."""
        return []

    def table(self) -> str:
        """Text: aligned columns; with rich, where it is installed and the output is a terminal."""
        heads, cells, left = self._cells()
        if not cells:
            return "\n".join(part for part in (self.title(), self.nothing, *self.notes()) if part)
        grid = _with_rich(heads, cells, left) or _aligned(heads, cells, left)
        return "\n".join(part for part in (self.title(), grid, *self.notes()) if part)

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain dicts and lists; infinities and NaN as strings."""
        return plain({"title": self.title(), "rows": self.rows(), "notes": self.notes()})

    def to_json(self, indent: int | None = 1) -> str:
        """`to_dict` as strict JSON."""
        return json.dumps(plain(self.to_dict()), indent=indent, allow_nan=False)

    def plot(self, *args: Any, **options: Any) -> Any:
        """A matplotlib figure."""
        if not self.plotted_by:
            got = f"a {type(self).__name__}"
            raise ArgumentError(expected("plot", "a report that has a picture", got, "use table()"))
        if not self.rows():
            raise ObserverError(expected("plot", "a report of something", self.nothing, "observe a step first"))
        from importlib import import_module

        return getattr(import_module("fpsim.plots"), self.plotted_by)(self, *args, **options)

    def __repr__(self) -> str:
        return self.table()

    def _repr_html_(self) -> str:
        """A table for a notebook, in the page's own colours."""
        from html import escape

        heads, cells, left = self._cells()
        line = "border-bottom:1px solid rgba(128,128,128,.35);padding:.15em .8em .15em 0"
        style = [f"text-align:{'left' if side else 'right'};{line};white-space:nowrap" for side in left]

        def line_of(tag: str, texts: Sequence[str]) -> str:
            inside = (f'<{tag} style="{s}">{escape(text)}</{tag}>' for s, text in zip(style, texts, strict=True))
            return f'<tr style="background:none">{"".join(inside)}</tr>'

        parts = [f"<div><b>{escape(self.title())}</b></div>"] if self.title() else []
        if cells:
            body = "".join(line_of("td", row) for row in cells)
            parts.append(
                '<table style="border-collapse:collapse;color:inherit;font-variant-numeric:tabular-nums">'
                f"<thead>{line_of('th', heads)}</thead><tbody>{body}</tbody></table>"
            )
        notes = self.notes() if cells else [self.nothing, *self.notes()]
        parts += [f'<div style="margin-top:.3em">{escape(note)}</div>' for note in notes]
        return f'<div style="color:inherit;line-height:1.4;overflow-x:auto">{"".join(parts)}</div>'

    def _cells(self) -> tuple[list[str], list[list[str]], list[bool]]:
        """Heads, cells and sides of the table."""
        rows, columns = self.rows(), self.columns()
        cells = [[column.show(row.get(column.key)) for column in columns] for row in rows]
        left = [all(isinstance(row.get(c.key), str) for row in rows) if c.left is None else c.left for c in columns]
        return [column.head for column in columns], cells, left


def _aligned(heads: list[str], cells: list[list[str]], left: list[bool]) -> str:
    """Cells in columns, a rule below the heads."""
    rows = [heads, *cells]
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
    lines = [
        "  ".join(t.ljust(w) if side else t.rjust(w) for t, w, side in zip(row, widths, left, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def _with_rich(heads: list[str], cells: list[list[str]], left: list[bool]) -> str | None:
    """The same drawn by rich; None where it is not installed, or where the output is no terminal."""
    if "NO_COLOR" in os.environ or sys.stdout is None or not sys.stdout.isatty():
        return None
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        return None
    drawn = Table(box=None, header_style="bold", row_styles=["", "dim"], pad_edge=False)
    for head, side in zip(heads, left, strict=True):
        drawn.add_column(Text(head), justify="left" if side else "right", overflow="fold")
    for row in cells:
        drawn.add_row(*map(Text, row))
    console = Console(force_terminal=True)
    with console.capture() as captured:
        console.print(drawn)
    return captured.get().rstrip("\n")
