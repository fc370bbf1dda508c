"""`bits`: one number in several formats; click a bit to flip it, or go one ulp up or down.

Layer 10. What the box shows is computed by `assets/bits.js`, in a notebook and in an exported page; `rows` is the same
by `fpsim.rounding`, and a test compares the two.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from functools import cache, cached_property
from typing import Any

import numpy as np

from fpsim.errors import ArgumentError, expected
from fpsim.formats import Format
from fpsim.rounding import Anatomy, decode, inspect
from fpsim.widgets.panel import asset, drawn_beforehand, json_script, notebook_library

__all__ = ["Bits", "bits", "rows"]

FORMATS = ("float16", "bfloat16", "float32", "float8_e4m3fn")


def rows(number: dict[str, Any], formats: Sequence[Any]) -> list[Anatomy]:
    """The number in each format.

    Parameters
    ----------
    number : dict
        ``{"text": "0.1"}``, or ``{"format": 0, "code": "0x2e66"}``: the number that this code means in that format.
    formats : sequence of format

    Examples
    --------
    >>> [row.code for row in rows({"text": "0.1"}, ["float16", "bfloat16"])]
    ['0x2e66', '0x3dcd']
    >>> [row.decimal for row in rows({"format": 0, "code": "0x2e66"}, ["float16", "float8_e4m3fn"])]
    ['0.0999755859375', '0.1015625']
    """
    several = [Format(fmt) for fmt in formats]
    value = number.get("text")
    if value is None:
        value = float(decode(np.uint64(int(number["code"], 16)), several[number["format"]]))
    return [inspect(value, fmt) for fmt in several]


class Bits:
    """The bit box; a notebook shows it where it is a cell's result.

    Attributes
    ----------
    formats : tuple of Format
    number : dict
        What it shows, as `rows` takes it; clicks change it, and it can be set.
    widget : anywidget.AnyWidget
        The live box, made when first shown.
    """

    def __init__(self, value: Any, formats: Sequence[Any]) -> None:
        self.formats = tuple(Format(fmt) for fmt in formats)
        scales = [fmt.name for fmt in self.formats if fmt.specials == "scale"]
        if scales or not self.formats:
            got = ", ".join(scales) or "none"
            raise ArgumentError(expected("bits", "formats with a sign, at least one", got, "choose another"))
        text = inspect(value, self.formats[0]).value  # checks it, and spells it exactly
        self._number: dict[str, Any] = {"text": value if isinstance(value, str) else text}
        if not drawn_beforehand():
            notebook_library("anywidget", "bits")

    @property
    def number(self) -> dict[str, Any]:
        """What the box shows."""
        return self.widget.number if "widget" in vars(self) else self._number

    @number.setter
    def number(self, number: dict[str, Any]) -> None:
        rows(number, self.formats)  # checks it
        self._number = number
        if "widget" in vars(self):
            self.widget.number = number

    @property
    def rows(self) -> list[Anatomy]:
        """The number in each format, as `fpsim.inspect` gives it."""
        return rows(self.number, self.formats)

    def __repr__(self) -> str:
        return "\n".join(f"{row.format.name:>14}  {row.code}  {row.decimal}" for row in self.rows)

    def _repr_mimebundle_(self, **options: Any) -> Any:
        if drawn_beforehand():
            return {"text/html": self.to_html(), "text/plain": repr(self)}
        return self.widget._repr_mimebundle_(**options)

    @cached_property
    def widget(self) -> Any:
        """The live box."""
        return _widget_class()(number=self._number, formats=self.specification())

    def to_html(self) -> str:
        """The box for an exported page that holds `bits.js`; without scripts, its rows as text."""
        data = json_script({"number": self.number, "formats": self.specification()})
        return f'<div class="fpsim-panel" data-fpsim="bits"><pre>{html.escape(repr(self))}</pre>{data}</div>'

    def specification(self) -> list[dict[str, Any]]:
        """The formats as `bits.js` takes them."""
        names = ("name", "exponent_bits", "significand_bits", "bias", "specials")
        return [{name: getattr(fmt, name) for name in names} for fmt in self.formats]


@cache
def _widget_class() -> Any:
    anywidget, traitlets = notebook_library("anywidget", "bits"), notebook_library("traitlets", "bits")

    base: Any = anywidget.AnyWidget

    class BitBox(base):
        _esm = asset("bits.js")
        _css = asset("widgets.css")
        number = traitlets.Dict().tag(sync=True)
        formats = traitlets.List().tag(sync=True)

    return BitBox


def bits(value: Any = "0.1", formats: Sequence[Any] = FORMATS) -> Bits:
    """One number in several formats side by side, in bits that can be clicked.

    Clicking a bit, or a step of one ulp, makes the number the one that this row's code means; the other rows round it.

    Parameters
    ----------
    value : number or str
        ``0.1`` is the float64 of that name; ``"0.1"`` and ``"1/3"`` are the numbers that they spell.
    formats : sequence of format

    Returns
    -------
    Bits

    Examples
    --------
    >>> import fpsim as fp
    >>> fp.widgets.bits("0.1", ["float16", "float8_e5m2"])
           float16  0x2e66  0.0999755859375
       float8_e5m2  0x2e  0.09375
    """
    return Bits(value, formats)
