"""The paper that exhibits are drawn on: a title above, the caption below, light or dark.

Layer 10. Looks alone; no numbers.
"""

from __future__ import annotations

import textwrap
from io import BytesIO
from typing import TYPE_CHECKING, Any

from fpsim.plots import style

if TYPE_CHECKING:
    from fpsim.gallery.exhibit import Exhibit

__all__ = ["canvas", "drawn", "picture"]


def canvas(width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> Any:
    """A figure in inches and its axes: one, or an array of them."""
    made = style.figure(width, height)
    return made, made.subplots(rows, columns, **options)


def drawn(exhibit: Exhibit, numbers: dict[str, Any], theme: str = "light") -> Any:
    """An exhibit's figure from its numbers, with title and caption."""
    return _drawn(exhibit, numbers, theme=theme)


def picture(exhibit: Exhibit, numbers: dict[str, Any], theme: str = "light") -> bytes:
    """The same as PNG: the same bytes for the same numbers, theme and versions."""
    return _picture(exhibit, numbers, theme=theme)


@style.themed
def _drawn(exhibit: Exhibit, numbers: dict[str, Any], theme: str = "light") -> Any:
    made = exhibit.draw(numbers)
    made.tight_layout()
    width, height = made.get_size_inches()
    made.text(0.012, 1 + 0.14 / height, exhibit.title, fontsize=12, fontweight="bold", va="bottom")
    caption = textwrap.wrap(exhibit.caption, round(width * 17))
    made.text(0.012, -0.1 / height, "\n".join(caption), fontsize=7.5, va="top", linespacing=1.3)
    return made


@style.themed
def _picture(exhibit: Exhibit, numbers: dict[str, Any], theme: str = "light") -> bytes:
    """(Ticks take their colours when they are first needed: while the theme is in force.)"""
    buffer = BytesIO()
    made = _drawn(exhibit, numbers, theme=theme)
    # "tight" makes room for what stands outside of the axes; "Software" would name a version
    made.savefig(buffer, format="png", metadata={"Software": None}, bbox_inches="tight", pad_inches=0.12)
    return buffer.getvalue()
