"""`accumulate`: a running sum and its error, by the number of terms, the format of the sum and the order of adding.

Layer 10. The sums are those of `recording`, by `fpsim.Accumulator`; nothing is added here.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from fpsim.errors import ArgumentError, expected, nearest
from fpsim.plots.style import colour_of, figure, tidy
from fpsim.widgets.panel import Frame, Panel, choice, slider
from fpsim.widgets.recording import FORMATS, LENGTHS, ORDERS, TERMS, places, running_sums

__all__ = ["accumulate", "partial_sums"]


def partial_sums(n: int, order: str, format: str, terms: str = "0.1") -> tuple[Any, Any, Any]:
    """After how many terms, the sum that the accumulator then holds, and the exact one.

    Examples
    --------
    >>> ends, sums, exact = partial_sums(4096, "sequential", "float16")
    >>> int(ends[-1]), float(sums[-1]), round(float(exact[-1]), 1)
    (4096, 256.0, 409.6)
    """
    ends = places(n)
    recorded = running_sums()
    sums = recorded[terms][FORMATS.index(format), ORDERS.index(order)][np.searchsorted(recorded["places"], ends)]
    x = TERMS[terms](n)
    exact = np.array([math.fsum(x[start:end]) for start, end in zip([0, *ends], ends, strict=False)]).cumsum()
    return ends, sums.astype(np.float64), exact


def frame(n: int, order: str, format: str, terms: str = "0.1") -> Frame:
    """The running sum beside the exact one, and the relative error below."""
    ends, sums, exact = partial_sums(n, order, format, terms)
    with np.errstate(invalid="ignore"):
        error = abs(sums - exact) / exact
    made = figure(7.6, 3.6)
    left, right = made.subplots(1, 2)
    colour = colour_of(format)[0] if format != "float8_e4m3fn" else "#CC79A7"
    left.plot(ends, exact, ":", color="#5F5F5F", label="exact")
    left.plot(ends, sums, color=colour, label=f"{format}, {order}")
    tidy(left, f"{terms} added n times" if terms != "1/k" else "1 + 1/2 + ... + 1/n", "number of terms n", "sum")
    left.legend(frameon=False, fontsize=8)
    right.plot(ends, np.maximum(error, 1e-9), color=colour)
    right.set_yscale("log")
    right.set_ylim(1e-9, 3)
    tidy(right, "relative error", "number of terms n", "")
    made.subplots_adjust(left=0.085, right=0.985, top=0.9, bottom=0.16, wspace=0.24)
    held = "nan" if np.isnan(sums[-1]) else f"{sums[-1]:.9g}"
    lost = "" if np.isnan(error[-1]) else f", an error of {100 * error[-1]:.3g} %"
    return Frame(made, f"{format}, {order}, {n:,} terms: the sum is {held}, exactly it is {exact[-1]:.9g}{lost}.")


def accumulate(terms: str = "0.1", n: int = 4096, order: str = "sequential", format: str = "float16") -> Panel:
    """Choose how many terms are added, in which order and in which format; see the running sum and its error.

    Parameters
    ----------
    terms : str
        ``"0.1"``, ``"1"`` or ``"1/k"`` (the harmonic series).
    n, order, format
        Where the controls start.

    Returns
    -------
    Panel

    Raises
    ------
    ArgumentError
        Terms that were not recorded.

    Examples
    --------
    >>> import fpsim as fp
    >>> fp.widgets.accumulate("1").frame(n=8192).sentence
    'float16, sequential, 8,192 terms: the sum is 2048, exactly it is 8192, an error of 75 %.'
    """
    if terms not in TERMS:
        remedy = f"choose {nearest(terms, TERMS)}"
        raise ArgumentError(expected("accumulate", f"terms of {', '.join(TERMS)}", f"terms={terms!r}", remedy))
    controls = [
        choice("format", "accumulator", FORMATS, format),
        choice("order", "order", ORDERS, order),
        slider("n", "number of terms", LENGTHS, n),
    ]
    return Panel("accumulate", controls, partial(frame, terms=terms))
