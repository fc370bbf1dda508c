"""`number_line`: a value moves along the numbers of a small format, and snaps to the one that it is stored as.

Layer 10. Drawn by `fpsim.plots.number_line`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from fpsim import plots
from fpsim.formats import Format
from fpsim.rounding import inspect
from fpsim.widgets.panel import Frame, Panel, choice, slider

__all__ = ["number_line"]

#: Formats whose numbers up to `HIGH` one can tell apart.
FORMATS = ("float4_e2m1fn", "float6_e2m3fn", "float6_e3m2fn", "float8_e5m2", "float8_e4m3fn")
#: Where the line ends, and the values that the slider moves along: decimals, as they are spelt.
HIGH = 8.0
VALUES = tuple(f"{tenth / 10:.1f}" for tenth in range(3, 81, 4))


def frame(x: str, format: Any, high: float = HIGH) -> Frame:
    """The line with the value marked, and in words what is stored instead."""
    fmt = Format(format)
    row = inspect(x, fmt)
    made = plots.number_line(fmt, 0.0, high, mark=x)
    error = "exactly" if not row.error else f"with an error of {float(row.error):+.3g}"
    sentence = f"{fmt.name}: {x} is stored as {row.stored:g} {error}; its neighbours there are {row.ulp:g} apart"
    return Frame(made, f"{sentence}.")


def number_line(
    formats: Sequence[Any] = FORMATS, x: str = "2.7", values: Sequence[Any] = VALUES, high: float = HIGH
) -> Panel:
    """Move a value along the number line of a small format.

    Parameters
    ----------
    formats : sequence of format
        What can be chosen; see `fpsim.plots.number_line` for formats with more numbers than can be drawn.
    x : str
        Where the value starts.
    values : sequence of str or float
        What it moves along, ascending.
    high : float
        Where the line ends.

    Returns
    -------
    Panel

    Examples
    --------
    >>> import fpsim as fp
    >>> fp.widgets.number_line().frame(x="2.7", format="float4_e2m1fn").sentence
    'float4_e2m1fn: 2.7 is stored as 3 with an error of +0.3; its neighbours there are 1 apart.'
    """
    names = [Format(fmt).name for fmt in formats]
    shown = [str(value) for value in np.asarray(values)] if not all(isinstance(v, str) for v in values) else values
    controls = [choice("format", "format", names), slider("x", "value", shown, x if x in shown else shown[0])]
    return Panel("number_line", controls, partial(frame, high=high))
