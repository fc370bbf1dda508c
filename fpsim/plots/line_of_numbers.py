"""The numbers of a format on the real line, each with what rounds to it.

Layer 9. Formats and roundings come from `fpsim.rounding`; nothing is rounded here.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from fpsim.errors import ArgumentError, expected
from fpsim.formats import Format
from fpsim.plots.bit_boxes import shortened
from fpsim.plots.style import PALETTE, colours, figure, legend, themed, tidy
from fpsim.rounding.anatomy import Anatomy, inspect
from fpsim.rounding.codes import all_values, encode, nextafter, ulp
from fpsim.rounding.kernel import Array

__all__ = ["number_line"]

#: Numbers that one line can show.
MOST = 400
#: Inches: the axis, and a digit of its labels.
WIDTH, DIGIT = 9.4, 0.068
#: Heights of bins and of stems.
BIN, STEM = 0.42, 0.68


@themed
def number_line(
    format: Any,
    low: float | None = None,
    high: float | None = None,
    *,
    mark: Any = None,
    mode: str = "nearest_even",
    theme: str = "light",
) -> Any:
    """The numbers of a format on the real line, each in the bin of what rounds to it; subnormal ones apart.

    Parameters
    ----------
    format : format
    low, high : float, optional
        The part shown; around `mark` unless given; without that the whole of a format of at most 6 bits, else around 1.
    mark : number or str, optional
        A value, with an arrow to what it is rounded to.
    mode : str
        How `mark` is rounded, and what the bins are: their borders are the midpoints in ``nearest_even`` and
        ``nearest_away``, the numbers themselves in ``down``, ``up`` and ``toward_zero``.
    theme : str
        ``light`` or ``dark``.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentError
        Limits that are not two finite numbers in ascending order, or between which are more numbers than one can see.

    Examples
    --------
    >>> from fpsim.plots import number_line
    >>> axes = number_line("float4_e2m1fn", 0, 6, mark=2.5).axes[0]
    >>> axes.texts[-1].get_text()
    '2.5 is stored as 2'
    """
    fmt = Format(format)
    if mode not in _BORDERS:
        raise ArgumentError(expected("number_line", f"a mode of {', '.join(_BORDERS)}", f"mode={mode!r}", "choose one"))
    row = None if mark is None else inspect(mark, fmt, mode)
    low, high = _limits(fmt, low, high, row)
    numbers = _numbers(fmt, low, high)
    height = 2.1 if row is None else 2.6
    made = figure(10.0, height)
    axes = made.subplots()
    made.subplots_adjust(left=0.04, right=0.96, top=1 - 0.42 / height, bottom=0.52 / height)
    _bins(axes, fmt, numbers, low, high, mode)
    _stems(axes, fmt, numbers[1:-1])
    if row is not None:
        _mark(axes, row, mark, low, high)
    _finish(axes, fmt, numbers[1:-1], low, high, mode)
    axes.set_ylim(0, STEM + 0.1 if row is None else 1.3)
    return made


# Which numbers -------------------------------------------------------------------------------------------------------


def _limits(fmt: Format, low: float | None, high: float | None, row: Anatomy | None) -> tuple[float, float]:
    """The part of the line that is shown."""
    given = 1.0 if row is None else _float(row.value)
    if low is None and high is None:
        if not math.isfinite(given):
            got = f"mark={row.value if row else given}"
            raise ArgumentError(expected("number_line", "a finite mark", got, "give low and high, and no mark"))
        if fmt.bits <= 6:
            return -1.12 * fmt.max, 1.12 * fmt.max
        centre = max(-fmt.max, min(fmt.max, given if row is None else row.stored))
        reach = 8.6 * float(ulp(centre, fmt))
        return centre - reach, centre + reach
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high) and low < high):
        got = f"low={low!r}, high={high!r}"
        raise ArgumentError(expected("number_line", "low < high, both finite", got, "give both, or neither"))
    if row is not None and not low <= given <= high:
        got = f"mark={row.value} from {low:g} to {high:g}"
        raise ArgumentError(expected("number_line", "a mark between low and high", got, "move the limits or the mark"))
    return float(low), float(high)


def _float(text: str) -> float:
    from fractions import Fraction

    try:
        return float(Fraction(text)) if "n" not in text else float(text)
    except OverflowError:
        return math.inf


def _numbers(fmt: Format, low: float, high: float) -> Array:
    """The format's numbers from `low` to `high`, one (or infinity) more on each side."""
    if fmt.bits <= 8:
        values = np.unique(all_values(fmt).astype(np.float64) + 0.0)  # one zero
        values = values[np.isfinite(values)]
        inside = values[(values >= low) & (values <= high)]
        below = values[values < low].max(initial=-math.inf)
        above = values[values > high].min(initial=math.inf)
    else:
        parts = [-_magnitudes(fmt, max(-high, 0.0), -low)[::-1]] if low < 0 else []
        parts += [_magnitudes(fmt, max(low, 0.0), high)] if high >= 0 else []
        inside = np.unique(np.concatenate(parts) + 0.0)
        below = float(nextafter(low, -math.inf, fmt)) if low > -fmt.max else -math.inf
        above = float(nextafter(high, math.inf, fmt)) if high < fmt.max else math.inf
    if len(inside) > MOST:
        raise _too_many(fmt, len(inside))
    return np.concatenate([[below], inside, [above]])


def _too_many(fmt: Format, count: int) -> ArgumentError:
    got = f"{count} of {fmt.name}"
    return ArgumentError(expected("number_line", f"at most {MOST} numbers", got, "move low and high closer together"))


def _magnitudes(fmt: Format, low: float, high: float) -> Array:
    """The numbers from ``low >= 0`` to `high`, ascending."""
    high = min(high, fmt.max)
    if low > high:
        return np.zeros(0)
    first, last = (min(max(math.frexp(x)[1] - 1, fmt.emin), fmt.emax) if x else fmt.emin for x in (low, high))
    multiples = []  # of its ulp: so are the numbers of a binade
    for e in range(first, last + 1):
        unit = math.ldexp(1.0, e - fmt.significand_bits)
        start = max(math.ceil(low / unit), 0 if e == fmt.emin else 2**fmt.significand_bits)
        stop = math.floor(min(high / unit, 2.0**fmt.p - 1))
        multiples.append((range(start, stop + 1), unit))
    total = sum(len(whole) for whole, _ in multiples)
    if total > MOST:
        raise _too_many(fmt, total)
    return np.concatenate([np.array(whole, np.float64) * unit for whole, unit in multiples])


def _midpoint(fmt: Format, a: float, b: float) -> float:
    if math.isinf(a) and fmt.specials == "scale":  # which has neither zero nor negative numbers
        return 0.0
    if math.isinf(b) or math.isinf(a):  # where overflow starts, or never
        end = fmt.max + float(ulp(fmt.max, fmt)) / 2 if fmt.has_inf or fmt.has_nan else math.inf
        return end if math.isinf(b) else -end
    return a + (b - a) / 2


def _down(fmt: Format, a: float, b: float) -> float:
    return b if math.isfinite(a) else -fmt.max


def _up(fmt: Format, a: float, b: float) -> float:
    return a if math.isfinite(b) else fmt.max


def _toward_zero(fmt: Format, a: float, b: float) -> float:
    return b if a >= 0 else a


#: Mode: the border between what rounds to `a` and what rounds to `b`, its neighbour above.
_BORDERS = {
    "nearest_even": _midpoint,
    "nearest_away": _midpoint,
    "toward_zero": _toward_zero,
    "up": _up,
    "down": _down,
}


# How they are drawn --------------------------------------------------------------------------------------------------


def _bins(axes: Any, fmt: Format, numbers: Array, low: float, high: float, mode: str) -> None:
    """One bin a number; those of an even last bit are filled: in ``nearest_even`` their borders belong to them."""
    borders = [_BORDERS[mode](fmt, float(a), float(b)) for a, b in itertools.pairwise(numbers)]
    even = encode(numbers[1:-1], fmt) % 2 == 0
    if mode != "toward_zero":
        bins = list(itertools.pairwise(borders))
    else:  # zero's borders are its neighbours, on both sides
        bins = [
            (below if at < 0 else _toward_zero(fmt, below, at), above if at > 0 else _toward_zero(fmt, at, above))
            for below, at, above in zip(numbers, numbers[1:], numbers[2:], strict=False)
        ]
    filled = [(max(a, low), max(0.0, min(b, high) - max(a, low))) for (a, b), e in zip(bins, even, strict=True) if e]
    axes.broken_barh(
        filled, (0, BIN), facecolor=colours().pale, alpha=0.5, linewidth=0, label="rounds to an even last bit"
    )
    shown = sorted({b for pair in bins for b in pair if low <= b <= high} or {b for b in borders if low <= b <= high})
    name = "tie (midpoint)" if mode.startswith("nearest") else "border"
    axes.vlines(shown, 0, BIN, color=colours().ink, linewidth=0.7, linestyles=(0, (1, 1.5)), label=name)
    over = [(b, high) for b in borders[-1:] if math.isinf(numbers[-1]) and b < high]
    over += [(low, b) for b in borders[:1] if math.isinf(numbers[0]) and b > low and fmt.specials != "scale"]
    for start, end in over:
        look = {"facecolor": PALETTE[4], "alpha": 0.45, "hatch": "\\\\", "edgecolor": colours().paper, "linewidth": 0}
        axes.broken_barh([(start, end - start)], (0, BIN), **look)
        turned = 90 if end - start < 0.08 * (high - low) else 0
        axes.text((start + end) / 2, BIN / 2, "overflow", ha="center", va="center", fontsize=8.5, rotation=turned)


def _stems(axes: Any, fmt: Format, numbers: Array) -> None:
    """A stem for each number: normal, subnormal, zero."""
    size = abs(numbers)
    for name, chosen, colour, marker in (
        ("normal", size >= fmt.smallest_normal, PALETTE[1], "o"),
        ("subnormal", (size < fmt.smallest_normal) & (size > 0), PALETTE[5], "^"),
        ("zero", size == 0, colours().ink, "s"),
    ):
        if chosen.any():
            axes.vlines(numbers[chosen], 0, STEM, color=colour, linewidth=1.3, clip_on=False)
            look = {"color": colour, "markersize": 5, "clip_on": False}
            axes.plot(numbers[chosen], np.full(chosen.sum(), STEM), marker, label=name, **look)


def _mark(axes: Any, row: Anatomy, mark: Any, low: float, high: float) -> None:
    """The value as a dashed line, an arrow to what it is stored as, both in words."""
    given, stored = _float(row.value), row.stored
    at, goal = min(max(given, low), high), min(max(stored, low), high)
    beyond = "" if at == given else ", beyond the right end," if given > high else ", beyond the left end,"
    if not beyond:
        axes.vlines([given], 0, 0.98, color=PALETTE[2], linewidth=1.8, linestyles="--")
    if goal != at:
        arrow = {"arrowstyle": "-|>", "color": PALETTE[2], "linewidth": 1.6, "shrinkA": 0, "shrinkB": 3}
        axes.annotate("", (goal, STEM), (at, 0.98), arrowprops=arrow)
    place = (at - low) / (high - low)
    side = "left" if place < 0.3 else "right" if place > 0.7 else "center"
    text = f"{shortened(_spelt(mark, row), 28)}{beyond} is stored as {shortened(row.decimal, 28)}"
    axes.text(at, 1.04, text, ha=side, va="bottom", fontsize=9.5, fontweight="bold")


def _spelt(mark: Any, row: Anatomy) -> str:
    """What was given: a float by its short name."""
    return repr(float(mark)).removesuffix(".0") if isinstance(mark, float | np.floating) else row.value


def _finish(axes: Any, fmt: Format, numbers: Array, low: float, high: float, mode: str) -> None:
    tidy(axes, f"Numbers of {fmt.name}, {mode.replace('_', ' ')}", "value")
    axes.set_xlim(low, high)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False)
    ticks, texts = _labels(numbers, high - low)
    if ticks:
        axes.set_xticks(ticks, texts)
    legend(axes, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=5, handlelength=1.6, columnspacing=1.4)


def _labels(numbers: Array, span: float) -> tuple[list[float], list[str]]:
    """The numbers that have room for a label, from left to right; all digits where they are few."""
    exact = [repr(float(v)).removesuffix(".0") for v in numbers]
    if max(map(len, exact), default=0) > 13:
        digits = next((d for d in range(3, 17) if len({f"{v:.{d}g}" for v in numbers}) == len(numbers)), 17)
        exact = [f"{v:.{digits}g}" for v in numbers]
    ticks, texts, end = [], [], -math.inf
    for v, text in zip(numbers.tolist(), exact, strict=True):
        half = DIGIT * (len(text) + 1.5) / 2 * span / WIDTH
        if v - half > end:
            ticks.append(v)
            texts.append(text)
            end = v + half
    return ticks, texts
