"""A panel: controls, and for each of their settings a frame: a figure and the sentence that says its numbers.

Layer 10. In a notebook its sliders are ipywidgets'; in an exported page all frames are drawn beforehand.
"""

from __future__ import annotations

import html
import itertools
import json
import math
import os
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from fpsim.errors import ArgumentError, MissingLibraryError, expected, nearest
from fpsim.plots.style import saved_bytes

__all__ = [
    "Control", "Frame", "Panel", "asset", "choice", "drawn_beforehand", "json_script", "notebook_library", "scripts",
    "slider",
]  # fmt: skip

#: Set to ``frames`` where a page is being exported: controls then show themselves with their frames, without a kernel.
ENVIRONMENT = "FPSIM_WIDGETS"
#: Dots an inch, and colours, of an exported frame.
EXPORTED_DPI, EXPORTED_COLOURS = 96, 48


@dataclass(frozen=True)
class Frame:
    """A figure, and its numbers in a sentence: for those who read, and for those who cannot see the figure."""

    figure: Any
    sentence: str


@dataclass(frozen=True)
class Control:
    """One setting: the values that it can take, how each is written, and the one that it starts with."""

    name: str
    label: str
    kind: str
    values: tuple[Any, ...]
    labels: tuple[str, ...]
    first: Any

    @property
    def start(self) -> int:
        """Where the first value stands among all."""
        return self.values.index(self.first)

    def check(self, panel: str, value: Any) -> None:
        """Whether the value can be chosen."""
        if value in self.values:
            return
        texts = [str(v) for v in self.values]
        shown = ", ".join(texts if len(texts) < 7 else [*texts[:2], "...", texts[-1]])
        got = f"{self.name}={value!r}"
        raise ArgumentError(expected(panel, f"{self.label} of {shown}", got, f"choose {self._nearest(value)}"))

    def _nearest(self, value: Any) -> str:
        if isinstance(value, int | float) and all(isinstance(v, int | float) for v in self.values):
            return str(min(self.values, key=lambda v: abs(v - value)))
        return nearest(value, map(str, self.values))


def slider(name: str, label: str, values: Sequence[Any], first: Any, labels: Sequence[str] | None = None) -> Control:
    """A control moved along ascending values."""
    return Control(name, label, "slider", tuple(values), tuple(map(str, values) if labels is None else labels), first)


def choice(name: str, label: str, values: Sequence[Any], first: Any = None) -> Control:
    """A control that picks one of several names."""
    first = values[0] if first is None else first
    return Control(name, label, "choice", tuple(values), tuple(map(str, values)), first)


class Panel:
    """Controls over a pure function ``settings -> Frame``; a notebook shows it where it is a cell's result.

    Parameters
    ----------
    name : str
        Of the function in `fpsim.widgets`.
    controls : sequence of Control
    frame : callable
        Takes each control's value by name.

    Attributes
    ----------
    settings : dict
        What is chosen now.
    widget : ipywidgets.VBox
        The live controls, made when first shown.
    """

    def __init__(self, name: str, controls: Sequence[Control], frame: Callable[..., Frame]) -> None:
        self.name, self.controls, self._frame = name, tuple(controls), frame
        for control in self.controls:
            control.check(name, control.first)
        self.settings = {control.name: control.first for control in self.controls}
        self._drawn: dict[tuple[Any, ...], tuple[bytes, str]] = {}
        if not drawn_beforehand():
            notebook_library("ipywidgets", name)

    def frame(self, **settings: Any) -> Frame:
        """The frame of some settings; those left out stay as they are."""
        for control in self.controls:
            if control.name in settings:
                control.check(self.name, settings[control.name])
        unknown = settings.keys() - self.settings.keys()
        if unknown:
            got = ", ".join(sorted(unknown))
            raise ArgumentError(expected(self.name, f"settings of {', '.join(self.settings)}", got, "leave it out"))
        return self._frame(**{**self.settings, **settings})

    def __repr__(self) -> str:
        chosen = ", ".join(f"{name}={value!r}" for name, value in self.settings.items())
        return f"{self.name}({chosen}): {self.frame().sentence}"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        if drawn_beforehand():
            return {"text/html": self.to_html(), "text/plain": repr(self)}
        return self.widget._repr_mimebundle_(**options)

    # In a notebook ---------------------------------------------------------------------------------------------------

    @cached_property
    def widget(self) -> Any:
        """The live controls above the figure and its sentence."""
        widgets = notebook_library("ipywidgets", self.name)
        picture, sentence = widgets.Image(format="png"), widgets.HTML()
        picture.layout.max_width, picture.layout.width = "100%", "auto"
        inputs = [self._input(widgets, control) for control in self.controls]

        def show(_: Any = None) -> None:
            self.settings = {control.name: made.value for control, made in zip(self.controls, inputs, strict=True)}
            picture.value, text = self._live()
            sentence.value = f'<div aria-live="polite" class="fpsim-sentence">{html.escape(text)}</div>'

        for made in inputs:
            made.observe(show, "value")
        show()
        return widgets.VBox([*inputs, picture, sentence])

    @staticmethod
    def _input(widgets: Any, control: Control) -> Any:
        kind = widgets.SelectionSlider if control.kind == "slider" else widgets.Dropdown
        options = list(zip(control.labels, control.values, strict=True))
        made = kind(options=options, index=control.start, description=control.label)
        made.style.description_width, made.layout.width = "initial", "min(36em, 98%)"
        return made

    def _live(self) -> tuple[bytes, str]:
        """The picture of the current settings; drawn once."""
        key = tuple(self.settings.values())
        if key not in self._drawn:
            frame = self.frame()
            self._drawn[key] = saved_bytes(frame.figure), frame.sentence
        return self._drawn[key]

    # In an exported page ---------------------------------------------------------------------------------------------

    def frames(self) -> list[dict[str, str]]:
        """The picture (a data URI) and the sentence of every setting; the last control changes fastest."""
        found = []
        for values in itertools.product(*(control.values for control in self.controls)):
            frame = self._frame(**dict(zip(self.settings, values, strict=True)))
            found.append({"png": _data_uri(frame.figure), "sentence": frame.sentence})
        return found

    def to_html(self) -> str:
        """The panel with all its frames; `frames.js` moves them."""
        controls = [{"label": c.label, "kind": c.kind, "labels": c.labels, "start": c.start} for c in self.controls]
        frames = self.frames()
        sizes = [len(c.values) for c in self.controls]
        first = sum(c.start * math.prod(sizes[i + 1 :]) for i, c in enumerate(self.controls))
        sentence = html.escape(frames[first]["sentence"])
        return (
            f'<div class="fpsim-panel" data-fpsim="panel" data-name="{self.name}">'
            f'<div class="fpsim-picture"><img src="{frames[first]["png"]}" alt="{sentence}"></div>'
            f'<p class="fpsim-sentence" aria-live="polite">{sentence}</p>'
            f"{json_script({'controls': controls, 'frames': frames})}</div>"
        )


def drawn_beforehand() -> bool:
    """Whether pages are being exported."""
    return os.environ.get(ENVIRONMENT) == "frames"


def notebook_library(library: str, control: str) -> Any:
    """The module (ipywidgets, anywidget), or an error that says how to get them."""
    try:
        return import_module(library)
    except ImportError:
        remedy = "pip install fpsim-lab[notebooks]"
        raise MissingLibraryError(expected(control, f"{library} to be installed", "no such module", remedy)) from None


def asset(name: str) -> str:
    """A script or style that is shipped beside this file."""
    return (Path(__file__).parent / "assets" / name).read_text(encoding="utf-8")


def scripts() -> str:
    """What moves the controls of an exported page: the body of a function."""
    return f"{asset('bits.js').partition(chr(10) + 'export ')[0]}\n{asset('frames.js')}"


def json_script(content: Any) -> str:
    """Data for a script of the same page."""
    text = json.dumps(content, separators=(",", ":")).replace("</", "<\\/")
    return f'<script type="application/json">{text}</script>'


def _data_uri(figure: Any) -> str:
    """As small a PNG as a drawing of few colours allows."""
    from io import BytesIO

    from PIL import Image

    figure.set_dpi(EXPORTED_DPI)
    figure.canvas.draw()
    drawn = Image.fromarray(np.asarray(figure.canvas.buffer_rgba()))
    small = drawn.convert("RGB").quantize(EXPORTED_COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    packed = BytesIO()
    small.save(packed, "png", optimize=True)
    return f"data:image/png;base64,{b64encode(packed.getvalue()).decode()}"
