"""How fpsim's figures look: colour-blind safe, readable in print, light or dark, one colour per recipe everywhere.

Layer 9. Constants, and the making of figures without pyplot's global state.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

from fpsim.errors import ArgumentError, expected, nearest

__all__ = [
    "DASHES", "HATCHES", "MARKERS", "PALETTE", "THEMES", "Theme", "colour_of", "colours", "figure", "ink_on", "legend",
    "line_of", "lines_of", "saved_bytes", "themed", "tidy",
]  # fmt: skip

#: Okabe and Ito's palette (2008), black first; told apart by the common colour-vision deficiencies.
PALETTE = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C510A")
#: What tells lines apart where colour does not: each series has its own dashes and its own marker.
DASHES = ("-", "--", "-.", ":", (0, (6, 1.5, 1, 1.5, 1, 1.5)), (0, (3, 1)), (0, (8, 2)), (0, (1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

#: What tells bars and areas apart where colour does not.
HATCHES = ("", "///", "\\\\\\", "xx", "...", "++", "--", "oo")

#: The same recipe has the same colour in every figure; dashes part those that share one.
_COLOURS = {
    "float64": ("#7F7F7F", ":"),
    "float32": ("#000000", "-"),
    "float16": ("#D55E00", "-"),
    "float16/float32": ("#0072B2", "-"),
    "bfloat16": ("#56B4E9", "--"),
    "bfloat16/float32": ("#56B4E9", "-"),
    "mixed_float16": ("#009E73", "-"),
    "conv16_fc32": ("#E69F00", "-"),
    "conv32_fc16": ("#CC79A7", "-"),
    "float16_masters": ("#009E73", "--"),
    "float16_stochastic": ("#CC79A7", "-."),
}


@dataclass(frozen=True)
class Theme:
    """The colours of a figure's ground: what is drawn on it is the same in all themes, but for black.

    Attributes
    ----------
    name : str
    paper, ink : str
        Ground and text.
    faint, pale : str
        Lines and words of second rank (4.5 : 1 against the paper); frames, grids and fillings that only part areas.
    brown : str
        The palette's last colour, which is too dark on a dark ground.
    """

    name: str
    paper: str
    ink: str
    faint: str
    pale: str
    brown: str

    @property
    def palette(self) -> tuple[str, ...]:
        """`PALETTE` on this ground."""
        return (self.ink, *PALETTE[1:-1], self.brown)

    def shown(self, colour: str) -> str:
        """A colour of the palette on this ground: black is the ink."""
        return {PALETTE[0]: self.ink, PALETTE[-1]: self.brown}.get(colour, colour)

    @property
    def parameters(self) -> Any:
        """Matplotlib's parameters that differ from its own."""
        ground = dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), self.paper)
        ink = ("text.color", "axes.labelcolor", "axes.titlecolor", "axes.edgecolor", "xtick.color", "ytick.color")
        return {**ground, **dict.fromkeys(ink, self.ink), "grid.color": self.pale, "hatch.color": self.paper}


THEMES = {
    "light": Theme("light", "#FFFFFF", "#000000", "#5F5F5F", "#B0B0B0", "#8C510A"),
    "dark": Theme("dark", "#16191D", "#F2F2F2", "#A9AFB6", "#5A6068", "#B8803A"),
}

_IN_FORCE: ContextVar[Theme] = ContextVar("fpsim_plots_theme", default=THEMES["light"])

Draws = TypeVar("Draws", bound=Callable[..., Any])


def themed(draw: Draws) -> Draws:
    """Draw under the theme that the call names: ``theme="light"`` or ``"dark"``; matplotlib's state stays as it was."""

    @functools.wraps(draw)
    def under_theme(*args: Any, theme: str = "light", **options: Any) -> Any:
        if theme not in THEMES:
            remedy = f"choose {nearest(theme, THEMES)}"
            raise ArgumentError(expected(draw.__name__, f"a theme of {', '.join(THEMES)}", f"theme={theme!r}", remedy))
        from matplotlib import rc_context

        token = _IN_FORCE.set(THEMES[theme])
        try:
            with rc_context(THEMES[theme].parameters):
                return draw(*args, **options, theme=theme)
        finally:
            _IN_FORCE.reset(token)

    return under_theme  # type: ignore[return-value]


def colours() -> Theme:
    """The theme in force."""
    return _IN_FORCE.get()


def colour_of(recipe: str, place: int = 0) -> tuple[str, str]:
    """Colour and line style of a recipe; `place` chooses for one that has none of its own."""
    colour, line = _COLOURS.get(recipe, (PALETTE[place % len(PALETTE)], ("-", "--", "-.")[place // len(PALETTE) % 3]))
    return colours().shown(colour), line


def line_of(name: str, place: int = 0) -> dict[str, Any]:
    """How a series of this name is drawn: its colour, and dashes and a marker by its place among the others."""
    colour = colour_of(name, place)[0] if name in _COLOURS else colours().palette[(place + 1) % len(PALETTE)]
    return {"color": colour, "linestyle": DASHES[place % len(DASHES)], "marker": MARKERS[place % len(MARKERS)]}


def lines_of(names: Iterable[str]) -> list[dict[str, Any]]:
    """How several series are drawn: names with a colour of their own in it, the others in what is left, in order."""
    names = list(names)
    own = [_COLOURS[name][0] for name in names if name in _COLOURS]
    free = [colour for colour in (*PALETTE[1:], PALETTE[0]) if colour not in own] or list(PALETTE)
    others = [name for name in names if name not in _COLOURS]
    return [
        {**line_of(name, i)}
        if name in _COLOURS
        else {**line_of(name, i), "color": colours().shown(free[others.index(name) % len(free)])}
        for i, name in enumerate(names)
    ]


def ink_on(colour: Any) -> str:
    """Black or white, whichever is read better on this colour (WCAG's relative luminance)."""
    from matplotlib.colors import to_rgb

    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if (luminance + 0.05) ** 2 > 0.05 * 1.05 else "#FFFFFF"


def figure(width: float, height: float) -> Any:
    """An empty figure, in inches, that belongs to no window; a notebook shows it where it is a cell's result."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    class Picture(Figure):
        def _repr_png_(self) -> bytes:
            return saved_bytes(self)

    made = Picture(figsize=(width, height), dpi=110, facecolor=colours().paper)
    FigureCanvasAgg(made)
    return made


def tidy(axes: Any, title: str = "", x: str = "", y: str = "") -> Any:
    """Title flush left, axes named, no frame above and right, a light grid."""
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(which="both", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25 if colours().name == "light" else 0.45, linewidth=0.6)
    axes.set_axisbelow(True)
    return axes


def legend(axes: Any, **options: Any) -> Any:
    """A legend without frame whose lines are long enough to show their dashes; none where nothing is named."""
    if not axes.get_legend_handles_labels()[0]:
        return None
    return axes.legend(**{"fontsize": 8, "frameon": False, "handlelength": 3.2, "alignment": "left", **options})


def saved_bytes(made: Any) -> bytes:
    """The figure as PNG, the same bytes for the same figure: without date or version."""
    from io import BytesIO

    buffer = BytesIO()
    made.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
