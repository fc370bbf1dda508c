"""How fpsim's figures look: colour-blind safe, readable in print, one colour per recipe everywhere.

Layer 9. Constants, and the making of figures without pyplot's global state.
"""

from __future__ import annotations

from typing import Any

__all__ = ["colour_of", "figure", "saved_bytes", "tidy"]

#: Okabe and Ito's palette (2008), black first; told apart by the common colour-vision deficiencies.
PALETTE = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C510A")

#: The same recipe has the same colour in every figure; dashes part those that share one.
_COLOURS = {
    "float64": ("#7F7F7F", ":"),
    "float32": ("#000000", "-"),
    "float16": ("#D55E00", "-"),
    "float16/float32": ("#0072B2", "-"),
    "bfloat16/float32": ("#56B4E9", "-"),
    "mixed_float16": ("#009E73", "-"),
    "conv16_fc32": ("#E69F00", "-"),
    "conv32_fc16": ("#CC79A7", "-"),
    "float16_masters": ("#009E73", "--"),
    "float16_stochastic": ("#CC79A7", "-."),
}


def colour_of(recipe: str, place: int = 0) -> tuple[str, str]:
    """Colour and line style of a recipe; `place` chooses for one that has none of its own."""
    return _COLOURS.get(recipe, (PALETTE[place % len(PALETTE)], ("-", "--", "-.")[place // len(PALETTE) % 3]))


def figure(width: float, height: float) -> Any:
    """An empty figure, in inches, that belongs to no window; a notebook shows it where it is a cell's result."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    class Picture(Figure):
        def _repr_png_(self) -> bytes:
            return saved_bytes(self)

    made = Picture(figsize=(width, height), dpi=110, facecolor="white")
    FigureCanvasAgg(made)
    return made


def tidy(axes: Any, title: str = "", x: str = "", y: str = "") -> Any:
    """Title flush left, axes named, no frame above and right, a light grid."""
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    return axes


def saved_bytes(made: Any) -> bytes:
    """The figure as PNG, the same bytes for the same figure: without date or version."""
    from io import BytesIO

    buffer = BytesIO()
    made.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
