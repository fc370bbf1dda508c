"""`format_designer`: spend bits on the exponent or on the significand, and see range, precision and number line.

Layer 10. Figures of a format are `fpsim.Format`'s own.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fpsim.formats import Format
from fpsim.plots.style import PALETTE, figure, tidy
from fpsim.widgets.panel import Frame, Panel, slider

__all__ = ["format_designer", "properties"]

EXPONENT_BITS = range(2, 9)
SIGNIFICAND_BITS = (*range(1, 11), 23)
#: Known formats, for comparison.
KNOWN = ("float32", "bfloat16", "float16", "float8_e5m2")
#: Numbers that the line shows, from 1 on.
SHOWN = 65


def properties(exponent_bits: int, significand_bits: int) -> dict[str, Any]:
    """What a format of these bits can hold.

    Examples
    --------
    >>> properties(5, 10)["name"], properties(5, 10)["max"], round(properties(5, 10)["decimal_digits"], 2)
    ('float16', 65504.0, 3.31)
    """
    fmt = Format(exponent_bits=exponent_bits, significand_bits=significand_bits)
    names = ("name", "bits", "max", "smallest_normal", "smallest_subnormal", "eps", "decimal_digits")
    return {name: getattr(fmt, name) for name in names}


def frame(exponent_bits: int, significand_bits: int) -> Frame:
    """Its range beside that of known formats, and its numbers from 1 on."""
    fmt = Format(exponent_bits=exponent_bits, significand_bits=significand_bits)
    made = figure(7.6, 3.5)
    ranges, line = made.subplots(2, 1, gridspec_kw={"height_ratios": (2.4, 1)})
    yours = f"yours: e{exponent_bits}m{significand_bits}"
    several = [(yours, fmt), *((name, Format(name)) for name in KNOWN)]
    for place, (_, one) in enumerate(reversed(several)):
        low, normal, high = (math.log2(x) for x in (one.smallest_subnormal, one.smallest_normal, one.max))
        colour = PALETTE[2] if place == len(several) - 1 else "#9A9A9A"
        ranges.barh(place, high - normal, left=normal, height=0.62, color=colour)
        ranges.barh(place, normal - low, left=low, height=0.62, color="white", edgecolor=colour, hatch="////")
    tidy(ranges, "range (hatched: subnormal numbers)", "", "")
    ranges.set_yticks(range(len(several)), [name for name, _ in reversed(several)])
    ranges.set_xlim(-152, 132)
    ranges.set_xlabel("exponent of 2", fontsize=8, labelpad=1)
    end = min(2.0, 1 + (SHOWN - 1) * fmt.eps)
    numbers = np.arange(1.0, end + fmt.eps / 2, fmt.eps)
    line.plot(numbers, np.zeros_like(numbers), "|", color=PALETTE[2], markersize=16)
    line.set_yticks([])
    line.set_ylim(-1, 1)
    tidy(line, f"its numbers from 1 to {end:.8g}", "", "")
    line.spines["left"].set_visible(False)
    line.xaxis.get_major_formatter().set_useOffset(False)
    made.subplots_adjust(left=0.135, right=0.985, top=0.92, bottom=0.08, hspace=0.75)
    known = "" if fmt.name == fmt._plain_name else f" ({fmt.name})"
    sentence = (
        f"e{exponent_bits}m{significand_bits}{known}: {fmt.bits} bits, largest number {fmt.max:.6g}, "
        f"smallest normal {fmt.smallest_normal:.3g}, smallest subnormal {fmt.smallest_subnormal:.3g}; "
        f"next after 1 is 1 + {fmt.eps:.3g}, {fmt.decimal_digits:.2f} decimal digits."
    )
    return Frame(made, sentence)


def format_designer(exponent_bits: int = 5, significand_bits: int = 10) -> Panel:
    """Choose the bits of exponent and significand, and see what such a format can hold.

    The largest exponent is kept for infinity and NaN, as in IEEE 754.

    Parameters
    ----------
    exponent_bits, significand_bits : int
        Where the sliders start.

    Returns
    -------
    Panel

    Examples
    --------
    >>> import fpsim as fp
    >>> fp.widgets.format_designer(8, 7)
    format_designer(exponent_bits=8, significand_bits=7): e8m7 (bfloat16): 16 bits, largest number 3.38953e+38, ...
    """
    controls = [
        slider("exponent_bits", "exponent bits", EXPONENT_BITS, exponent_bits),
        slider("significand_bits", "significand bits", SIGNIFICAND_BITS, significand_bits),
    ]
    return Panel("format_designer", controls, frame)
