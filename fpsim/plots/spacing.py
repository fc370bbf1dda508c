"""How far apart the numbers of a format are, against how large they are.

Layer 9. Takes formats; rounds nothing.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fpsim.errors import ArgumentError, expected
from fpsim.formats import Format
from fpsim.plots.bit_boxes import formats_of
from fpsim.plots.series import legend_beside
from fpsim.plots.style import colours, figure, lines_of, themed, tidy

__all__ = ["ulp_staircase"]

#: Matplotlib's logarithmic axes end before float64 does: its ticks beyond the limits have to be floats as well.
FAR = 400


@themed
def ulp_staircase(
    formats: Any = ("float16", "bfloat16", "float32"),
    low: float = 2.0**-30,
    high: float = 2.0**20,
    *,
    theme: str = "light",
) -> Any:
    """The distance to the next number (ulp) against the magnitude, both as powers of two, a staircase a format.

    It is flat below the smallest normal number (subnormal numbers are evenly spaced) and ends where the format
    overflows; a step of one is a factor of two.

    Parameters
    ----------
    formats : format or sequence of formats
    low, high : float
        Limits of the magnitude, from 2**-400 to 2**400.
    theme : str
        ``light`` or ``dark``.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentError
        Limits that do not ascend, or are not positive, or further out; no format.

    Examples
    --------
    >>> from fpsim.plots import ulp_staircase
    >>> lines = ulp_staircase(["float16"]).axes[0].lines
    >>> float(lines[0].get_ydata()[0]) == 2.0**-24
    True
    """
    several = formats_of("ulp_staircase", formats)
    if not 2.0**-FAR <= low < high <= 2.0**FAR:
        got = f"low={low!r}, high={high!r}"
        invariant = f"2**-{FAR} <= low < high <= 2**{FAR}"
        raise ArgumentError(expected("ulp_staircase", invariant, got, "give a range of magnitudes"))
    made = figure(9.0, 5.0)
    axes = made.subplots()
    stairs = [_stairs(fmt, low, high) for fmt in several]
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xlim(low, high)
    axes.set_ylim(min(steps.min() for _, steps in stairs) / 4, max(steps.max() for _, steps in stairs) * 4)
    ring = {"mfc": "none", "mew": 1.6, "ms": 11, "color": colours().faint, "linestyle": "none"}
    looks = lines_of(fmt.name for fmt in several)
    for fmt, style, (edges, steps) in zip(several, looks, stairs, strict=True):
        colour, every = style["color"], max(1, len(edges) // 12)
        axes.step(
            edges, steps, where="post", label=_name(fmt), color=colour, marker=style["marker"], markersize=4.5,
            markevery=every, linewidth=1.6,
        )  # fmt: skip
        if fmt.has_subnormals and low <= fmt.smallest_normal <= high:
            axes.plot([fmt.smallest_normal], [fmt.smallest_subnormal], "o", **{**ring, "color": colour})
        if edges[-1] > fmt.max and fmt.max <= high:
            axes.plot([edges[-1]], [steps[-1]], "X", color=colour, mec=colours().ink, ms=10, clip_on=False)
    axes.plot([], [], "o", label="smallest normal number:\nevenly spaced below", **ring)
    axes.plot([], [], "X", color=colours().faint, ms=9, linestyle="none", label="overflow beyond")
    title = "how far apart numbers are" if len(several) > 1 else f"how far apart the numbers of {several[0].name} are"
    tidy(axes, title, "magnitude", "distance to the next number (ulp)")
    legend_beside(made, axes)
    return made


def _name(fmt: Format) -> str:
    """The format, and its precision."""
    return f"{fmt.name}: ulp of 1 is 2^{-fmt.significand_bits}"


def _stairs(fmt: Format, low: float, high: float) -> tuple[Any, Any]:
    """Magnitudes where the spacing changes, and the spacing from each on; up to where the format overflows."""
    end = min(high, math.ldexp(1.0, min(fmt.emax + 1, 1023)))
    first, last = math.frexp(low)[1], math.frexp(end)[1] - 1
    edges = np.unique([low, *np.ldexp(1.0, np.arange(first, last + 1)), end])
    edges = edges[(edges >= low) & (edges <= end)]
    exponents = np.clip(np.frexp(edges)[1] - 1, fmt.emin, fmt.emax)
    return edges, np.ldexp(1.0, exponents - fmt.significand_bits)
