"""Long sums: how their error grows with the number of terms, and where they stop growing.

Layer 9. Takes errors and partial sums; adds nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fpsim.errors import ArgumentError, ArgumentTypeError, ShapeError, expected
from fpsim.formats import Format
from fpsim.plots.series import legend_beside, mapping_of, numbers_of
from fpsim.plots.style import colours, figure, lines_of, themed, tidy
from fpsim.rounding.kernel import Array

__all__ = ["error_growth", "running_sum"]


@themed
def error_growth(n: Any, errors: Any, unit_roundoff: Any, *, title: str | None = None, theme: str = "light") -> Any:
    """Relative errors of sums against the number of terms, with the lines ``n u`` and ``sqrt(n) u``.

    Parameters
    ----------
    n : sequence of int
        Numbers of terms, ascending.
    errors : mapping of name to array ``(len(n),)``, or ``(trials, len(n))``
        Relative errors, signed or not; of several trials the root mean square is drawn, in the band of their range.
    unit_roundoff : float or format
        u: the largest relative error of one rounding.
    title : str, optional
    theme : str
        ``light`` or ``dark``.

    Returns
    -------
    matplotlib.figure.Figure
        Both axes logarithmic; an error of 0 is a hollow mark on the bottom edge, one that is not finite on the top.

    Raises
    ------
    ArgumentError, ArgumentTypeError, ShapeError
        No series; numbers of terms that do not ascend from 1 or more; arrays of another length; u not between 0 and 1.

    Examples
    --------
    >>> from fpsim.plots import error_growth
    >>> axes = error_growth([1, 4, 16], {"sequential": [1e-4, 2e-4, 4e-4]}, "float16").axes[0]
    >>> [line.get_label() for line in axes.lines]
    ['sequential', 'n u (worst case)', '√n u (random errors)']
    """
    u = Format(unit_roundoff).unit_roundoff if isinstance(unit_roundoff, str | Format) else unit_roundoff
    if isinstance(u, bool) or not isinstance(u, int | float) or not 0 < u < 1:
        got = f"unit_roundoff={unit_roundoff!r}"
        raise ArgumentError(expected("error_growth", "a unit roundoff between 0 and 1", got, "name the format"))
    terms = numbers_of("error_growth", "n", n)
    if terms[0] < 1 or (np.diff(terms) <= 0).any():
        raise ArgumentError(expected("error_growth", "n ascending from 1 or more", f"n={n!r}", "sort it"))
    series = {
        name: _trials(name, given, terms)
        for name, given in mapping_of("error_growth", errors, "name to errors").items()
    }
    made = figure(9.0, 4.8)
    axes = made.subplots()
    several, zeros, infinite = False, [], []
    for (name, found), style in zip(series.items(), lines_of(series), strict=True):
        finite = np.isfinite(found).all(axis=0)
        mean = np.sqrt((found**2).mean(axis=0)) if len(found) > 1 else found[0]
        shown = np.where(finite & (mean > 0), mean, np.nan)
        axes.plot(terms, shown, label=name, markersize=4.5, linewidth=1.5, **style)
        if len(found) > 1:
            several = True
            low, high = found.min(axis=0), found.max(axis=0)
            low = np.where(low > 0, low, np.nan)
            axes.fill_between(terms, low, high, where=finite, color=style["color"], alpha=0.15, linewidth=0)
        zeros += [(x, style) for x in terms[finite & (mean == 0)]]
        infinite += [(x, style) for x in terms[~finite]]
    _bounds(axes, terms, float(u))
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    _on_edge(axes, zeros, 0.0, "error 0 (bottom edge)")
    _on_edge(axes, infinite, 1.0, "not finite (top edge)")
    tidy(axes, title or "relative error of a sum of n terms", "number of terms n", "relative error")
    head = "lines: root mean square\nbands: smallest to largest" if several else None
    legend_beside(made, axes, title=head, title_fontsize=8)
    return made


def _trials(name: str, given: Any, terms: Array) -> Array:
    """Errors by trial and number of terms, without their signs."""
    found = np.atleast_2d(np.abs(numbers_of("error_growth", name, given, (1, 2))))
    if found.shape[-1] != len(terms):
        got = f"{found.shape[-1]} of {name!r} for {len(terms)} n"
        raise ShapeError(expected("error_growth", "an error for each n", got, "give as many"))
    return found


def _bounds(axes: Any, n: Array, u: float) -> None:
    """The worst case, and what independent errors of random sign come to (Higham and Mary 2019)."""
    faint = colours().faint
    axes.plot(n, n * u, color=faint, linestyle=(0, (5, 2)), linewidth=1.2, label="n u (worst case)")
    axes.plot(n, np.sqrt(n) * u, color=faint, linestyle=(0, (1, 1.5)), linewidth=1.6, label="√n u (random errors)")


def _on_edge(axes: Any, points: list[tuple[float, dict[str, Any]]], edge: float, label: str) -> None:
    """Hollow marks on the bottom (0) or the top (1) edge, for what a logarithmic axis has no place for."""
    for i, (x, style) in enumerate(points):
        axes.plot(
            [x], [edge], transform=axes.get_xaxis_transform(), **{**style, "linestyle": "none"},
            markerfacecolor=colours().paper, markersize=6, clip_on=False, zorder=5, label=label if i == 0 else None,
        )  # fmt: skip


# Running sums --------------------------------------------------------------------------------------------------------


@themed
def running_sum(
    sums: Any,
    *,
    exact: Any = None,
    stop: Any = None,
    logx: bool = False,
    logy: bool = False,
    title: str | None = None,
    theme: str = "light",
) -> Any:
    r"""Partial sums against the number of terms, a mark where a sum goes flat.

    Parameters
    ----------
    sums : mapping of name to array of partial sums after 1, 2, 3, ... terms, or to a pair ``(n, sums at n)``
    exact : array or pair like one of `sums`, or a function of n, optional
        The true sums.
    stop : mapping of name to int, optional
        The first term that no longer changes the sum. Found in the sums unless given: there a sum has to stay for the
        last twentieth of its terms (two at least), and `sums` must be of every n; ``{}`` for no marks.
    logx, logy : bool
        Logarithmic axes.
    title : str, optional
    theme : str
        ``light`` or ``dark``.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentError, ArgumentTypeError, ShapeError
        No sum; a pair of different lengths; numbers of terms that do not ascend; a stop outside of them.

    Examples
    --------
    >>> import numpy as np
    >>> from fpsim.plots import running_sum
    >>> sums = np.minimum(np.arange(1.0, 101.0), 64.0)
    >>> axes = running_sum({"e4m6": sums}).axes[0]
    >>> axes.lines[0].get_label(), axes.lines[1].get_xydata().tolist()
    ('e4m6: stays at 64\nfrom term 65 on', [[65.0, 64.0]])
    """
    series = {name: _partial(name, given) for name, given in mapping_of("running_sum", sums, "name to sums").items()}
    stops = _stops(series, stop)
    made = figure(9.0, 4.6)
    axes = made.subplots()
    if exact is not None:
        n = max((n for n, _ in series.values()), key=lambda n: n[-1])
        n, s = (n, numbers_of("running_sum", "exact", exact(n))) if callable(exact) else _partial("exact", exact)
        axes.plot(n, s, color=colours().faint, linewidth=3.5, alpha=0.55, label="exact sum", zorder=1)
    for (name, (n, s)), style in zip(series.items(), lines_of(series), strict=True):
        label = name if name not in stops else f"{name}: stays at {_shown(s[-1])}\nfrom term {stops[name]} on"
        axes.plot(n, s, color=style["color"], linestyle=style["linestyle"], linewidth=1.8, label=label)
        if name in stops:
            axes.plot(
                [stops[name]], [s[-1]], marker=style["marker"], color=style["color"], markersize=9, linestyle="none"
            )
            axes.lines[-1].set(markeredgecolor=colours().paper, markeredgewidth=1.2, zorder=4)
    if logx:
        axes.set_xscale("log")
    if logy:
        axes.set_yscale("log")
    tidy(axes, title or "running sums", "number of terms n", "sum of the first n terms")
    legend_beside(made, axes)
    return made


def _partial(name: str, given: Any) -> tuple[Array, Array]:
    """Numbers of terms, and the sums of so many."""
    if isinstance(given, tuple) and len(given) == 2 and np.ndim(given[0]) == 1:
        n, s = (numbers_of("running_sum", name, part) for part in given)
        if len(n) != len(s) or (np.diff(n) <= 0).any():
            got = f"{len(n)} n and {len(s)} sums for {name!r}"
            raise ShapeError(expected("running_sum", "a sum for each of ascending n", got, "give as many, sorted"))
        return n, s
    s = numbers_of("running_sum", name, given)
    return np.arange(1.0, len(s) + 1), s


def _stops(series: dict[str, tuple[Array, Array]], stop: Any) -> dict[str, int]:
    """The first lost term of each sum that goes flat."""
    if stop is None:
        found = {name: _flat_from(n, s) for name, (n, s) in series.items()}
        return {name: at for name, at in found.items() if at is not None}
    if not isinstance(stop, Mapping):
        got = f"stop={stop!r}"
        raise ArgumentTypeError(expected("running_sum", "a mapping of name to a number of terms", got, "name the sum"))
    for name, at in stop.items():
        if name not in series or not series[name][0][0] <= at <= series[name][0][-1]:
            got = f"stop={{{name!r}: {at!r}}}"
            remedy = f"name one of {', '.join(series)}, and a term that was added"
            raise ArgumentError(expected("running_sum", "stops of the sums", got, remedy))
    return {str(name): int(at) for name, at in stop.items()}


def _flat_from(n: Array, s: Array) -> int | None:
    """The first term that is lost, where no later one counts either and they are a twentieth of all, two at least."""
    if (np.diff(n) != 1).any():
        return None
    changed = np.flatnonzero(s[1:] != s[:-1])
    last = int(changed[-1]) + 1 if changed.size else 0
    lost = len(s) - 1 - last
    return int(n[last]) + 1 if lost >= max(2, len(s) / 20) and np.isfinite(s[-1]) else None


def _shown(value: float) -> str:
    """All digits of a sum."""
    text = repr(float(value))
    return text.removesuffix(".0")
