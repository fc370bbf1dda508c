"""The bits of one number in several formats.

Layer 9. What is stored, and why, comes from `fpsim.rounding`; nothing is rounded here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fpsim.errors import ArgumentError, ArgumentTypeError, expected
from fpsim.formats import Format
from fpsim.plots.style import colours, figure, themed
from fpsim.rounding.anatomy import Anatomy, inspect
from fpsim.rounding.codes import decode

__all__ = ["bits", "formats_of", "shortened"]

#: Fields of a code and their colours, as in `Anatomy`'s HTML.
FIELDS = (("sign", "#E69F00"), ("exponent", "#56B4E9"), ("significand", "#5FC9A5"))
#: Inches: between two fields, and from one line of text to the next.
GAP, LINE = 0.08, 0.19


@themed
def bits(
    value: Any = None,
    formats: Any = ("float16",),
    *,
    code: int | None = None,
    mode: str = "nearest_even",
    theme: str = "light",
) -> Any:
    """The bits of one number, a row for each format: sign, exponent and significand, what is stored, and the error.

    Parameters
    ----------
    value : number or str
        ``0.1`` is the float64 of that name, ``"0.1"`` and ``"1/3"`` the numbers that they spell.
    formats : format or sequence of formats
    code : int, optional
        In place of a value: the bits themselves.
    mode : str
        How the value is rounded; not ``stochastic``.
    theme : str
        ``light`` or ``dark``.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentError
        Without exactly one of `value` and `code`; a code that a format does not have; no format; an unknown theme.

    Examples
    --------
    >>> from fpsim.plots import bits
    >>> figure = bits("0.1", ["float16", "bfloat16", "float8_e4m3fn"])
    >>> [text.get_text() for text in figure.axes[0].texts if "stored" in text.get_text()][0]
    'stored 0.0999755859375  =  +1.1001100110₂ × 2^-4'
    """
    if (value is None) == (code is None):
        got = "neither" if value is None else "both"
        raise ArgumentError(expected("bits", "a value or a code", got, "give one of them"))
    rows = [_row(value, code, fmt, mode) for fmt in formats_of("bits", formats)]
    left = max(len(row.sign) + len(row.exponent) for row in rows)
    right = max(len(row.significand) for row in rows)
    box = min(0.36, 11.0 / (left + right))
    width, head = max(7.4, (left + right) * box + 2 * GAP + 0.7), 0.55
    steps = [0.62 + _height(box) + LINE * len(_lines(row)) for row in rows]
    height = head + sum(steps)
    made = figure(width, height)
    axes = made.add_axes((0, 0, 1, 1))  # whose units are inches
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    what = shortened(rows[0].value, 60) if code is None else f"code {rows[0].code}"
    axes.text(0.2, height - 0.15, what, fontsize=12, fontweight="bold", va="top")
    top = height - head
    for row, step in zip(rows, steps, strict=True):
        _boxes(axes, row, 0.35 + left * box + 2 * GAP, top, box)
        top -= step
    return made


def formats_of(op: str, formats: Any) -> list[Format]:
    """One format or several, as a list that is not empty."""
    several = formats if isinstance(formats, Sequence) and not isinstance(formats, str | Format) else [formats]
    if not several:
        raise ArgumentError(expected(op, "a format, at least one", "none", 'name one, as "float16"'))
    return [Format(fmt) for fmt in several]


def _row(value: Any, code: int | None, fmt: Format, mode: str) -> Anatomy:
    if mode == "stochastic":
        remedy = "draw the two neighbours with mode='down' and 'up'"
        raise ArgumentError(expected("bits", "a mode that is not random", "mode='stochastic'", remedy))
    if code is None:
        return inspect(value, fmt, mode)
    if not isinstance(code, int | np.integer) or isinstance(code, bool):
        raise ArgumentTypeError(expected("bits", "an integer code", f"code={code!r}", "write it like 0x2e66"))
    if not 0 <= code < 2**fmt.bits:
        limit = f"a code from 0 to 2**{fmt.bits} - 1"
        raise ArgumentError(expected("bits", limit, f"code={code}", f"{fmt.name} has no others"))
    row = inspect(float(decode(np.uint64(code), fmt)), fmt)
    if row.kind != "nan":
        return row
    field = f"{code:0{fmt.bits}b}"  # NaN has many codes
    signed = 0 if fmt.specials == "scale" else 1
    end = signed + fmt.exponent_bits
    return replace(
        row,
        code=f"{code:#0{2 + -(-fmt.bits // 4)}x}",
        sign=field[:signed],
        exponent=field[signed:end],
        significand=field[end:],
    )


def _height(box: float) -> float:
    """Of a box of this width."""
    return min(0.36, 1.6 * box)


def _boxes(axes: Any, row: Anatomy, border: float, top: float, box: float) -> None:
    """One format's bits: `border` is where the significand starts, at the same place in all rows."""
    from matplotlib.patches import Rectangle

    theme, high = colours(), _height(box)
    low = top - 0.22 - high
    starts = {
        "sign": border - 2 * GAP - box * (len(row.sign) + len(row.exponent)),
        "exponent": border - GAP - box * len(row.exponent),
        "significand": border,
    }
    start = starts["sign" if row.sign else "exponent"]
    name = f"{row.format.name}: {' + '.join(str(len(f)) for f in (row.sign, row.exponent, row.significand) if f)} bits"
    axes.text(start, top, f"{name}, code {row.code}", fontsize=9.5, va="top")
    for field, colour in FIELDS:
        for i, bit in enumerate(getattr(row, field)):
            x = starts[field] + box * i
            axes.add_patch(
                Rectangle((x, low), box, high, facecolor=colour, edgecolor=theme.paper, linewidth=1, gid=field)
            )
            place = {"ha": "center", "va": "center_baseline", "color": "#000000", "gid": field}
            axes.text(x + box / 2, low + high / 2, bit, fontsize=min(12, 54 * box), **place)
        if getattr(row, field):
            at, side = (start + box, "right") if field == "sign" else (starts[field], "left")
            axes.text(at, low - 0.04, field, ha=side, va="top", fontsize=8, color=theme.faint)
    for i, line in enumerate(_lines(row)):
        axes.text(start, low - 0.22 - LINE * i, line, fontsize=8.5, va="top")


def _lines(row: Anatomy) -> list[str]:
    """What is stored, what its fields mean, and how far that is from what was given."""
    lines = [f"stored {shortened(row.decimal, 72)}"]
    if row.exponent_value is not None and row.ulp is not None:
        meaning = row.binary.split(" = ")[0].replace("b x 2**", "₂ × 2^")
        lines[0 if len(meaning) + len(lines[0]) < 60 else -1] += f"  =  {meaning}"
    if row.error is None:
        return [*lines, shortened(row.note, 100)]
    ulps = f" = {float(row.error_ulp):.3g} ulp" if row.error_ulp is not None else ""
    relative = f", relative {float(row.relative_error):.3g}" if row.relative_error else ""
    lines.append(f"error {float(row.error):.6g}{ulps}{relative}" if row.error else "error 0, exact")
    lost = row.error and (row.kind != "normal" or abs(row.stored) == row.format.max)
    return [*lines, shortened(row.note, 100)] if lost else lines


def shortened(text: str, most: int) -> str:
    """So many characters of a text at most."""
    return text if len(text) <= most else f"{text[: most - 3]}..."
