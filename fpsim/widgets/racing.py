"""`compare`: choose recipes, and watch their losses while they train.

Layer 10. Trains by `fpsim.experiments`, in a thread where there are threads; drawn by `fpsim.plots.training_curves`.
"""

from __future__ import annotations

import html
import threading
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from fpsim import amp, plots
from fpsim.experiments.scenario import scenario_named
from fpsim.experiments.training import Training
from fpsim.plots.style import saved_bytes
from fpsim.widgets.panel import Frame, Panel, drawn_beforehand, notebook_library, slider

__all__ = ["Race", "compare", "curves"]

#: Seconds between two pictures.
EVERY = 0.4
#: Moments that an exported page shows.
MOMENTS = 12


def curves(losses: dict[str, Sequence[float]], steps: int, accuracies: dict[str, float] | None = None) -> Frame:
    """The losses so far, a line a recipe, on an axis as long as the whole training.

    Examples
    --------
    >>> curves({"float32": [2.3, 2.2], "float16": []}, steps=100).sentence
    'float32: step 2 of 100, loss 2.25.'
    """
    begun = {recipe: [np.array(found)] for recipe, found in losses.items() if len(found)}
    if begun:
        made = plots.training_curves(begun, title="training loss")
    else:
        made = plots.style.figure(8.0, 4.6)
        plots.style.tidy(made.subplots(), "training loss", "step", "cross entropy")
    axes = made.axes[0]
    axes.set_xlim(0, steps)
    said = []
    for recipe, (found,) in begun.items():
        right = (accuracies or {}).get(recipe)
        end = f"step {len(found)} of {steps}, loss {np.mean(found[-max(1, steps // 50) :]):.2f}"
        said.append(f"{recipe}: {end}" + ("" if right is None else f", {100 * right:.1f} % of test images right"))
    return Frame(made, "; ".join(said) + "." if said else "Nothing has been trained yet.")


class Race:
    """Trainings of several recipes from the same weights, one after the other; a notebook shows it with its buttons.

    Attributes
    ----------
    recipes : tuple of str
        What can be chosen.
    losses : dict of str to list of float
        Of the chosen ones, step by step.
    accuracies : dict of str to float
        On test images, of those that have reached the end.
    widget : ipywidgets.VBox
        Made when first shown.
    """

    def __init__(self, recipes: Sequence[str], scenario: Any, steps: int | None, seed: int) -> None:
        self.scenario = scenario_named(scenario)
        self.recipes = tuple(amp.recipe(recipe).name for recipe in (recipes or self.scenario.recipes))
        self.steps, self.seed = self.scenario.steps if steps is None else steps, seed
        self.losses: dict[str, list[float]] = {}
        self.accuracies: dict[str, float] = {}
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        if not drawn_beforehand():
            notebook_library("ipywidgets", "compare")

    def frame(self, step: int | None = None) -> Frame:
        """The losses up to a step (all that there are, unless given)."""
        if step is None:
            return curves({recipe: list(found) for recipe, found in self.losses.items()}, self.steps, self.accuracies)
        ended = self.accuracies if step >= self.steps else {}
        return curves({recipe: found[:step] for recipe, found in self.losses.items()}, self.steps, ended)

    def run(self, recipes: Sequence[str] | None = None, told: Callable[[], Any] = lambda: None) -> None:
        """Train until all have reached the end, or `stop`; `told` is called after each step."""

        def progress(*_: Any) -> None:
            told()
            if self._stopped.is_set():
                raise _Stopped

        self._stopped.clear()
        self.losses, self.accuracies = {}, {}
        for recipe in self.recipes if recipes is None else recipes:
            training = Training(recipe, self.scenario, self.seed, None, None, None, steps=self.steps)
            self.losses[recipe] = training.record.loss
            try:
                training.run(None, progress)
            except _Stopped:
                return
            self.accuracies[recipe], _ = training.evaluate()

    def start(self, recipes: Sequence[str] | None = None, told: Callable[[], Any] = lambda: None) -> None:
        """`run` in a thread of its own; where there are no threads (in a browser), here and now."""
        self._apart(lambda: self.run(recipes, told))

    def _apart(self, work: Callable[[], Any]) -> None:
        if self.running:
            return
        self._thread = threading.Thread(target=work, daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # "can't start new thread"
            self._thread = None
            work()

    @property
    def running(self) -> bool:
        """Whether a thread trains."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        """End after the step that is being taken; what was trained stays."""
        self._stopped.set()

    def wait(self, seconds: float | None = None) -> None:
        """Until the thread has ended."""
        if self._thread is not None:
            self._thread.join(seconds)

    def __repr__(self) -> str:
        return f"compare({', '.join(self.recipes)}): {self.frame().sentence}"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        if drawn_beforehand():
            return {"text/html": self.recorded().to_html(), "text/plain": repr(self)}
        return self.widget._repr_mimebundle_(**options)

    def recorded(self) -> Panel:
        """All trained to the end, and a slider over the steps."""
        if not self.losses:
            self.run()
        moments = [round(self.steps * k / MOMENTS) for k in range(1, MOMENTS + 1)]
        control = slider("step", "steps trained", sorted({max(1, m) for m in moments}), self.steps)
        return Panel("compare", [control], self.frame)

    @cached_property
    def widget(self) -> Any:
        """A box to tick for each recipe, start and stop, the picture and its sentence."""
        widgets = notebook_library("ipywidgets", "compare")
        boxes = [widgets.Checkbox(value=True, description=recipe, indent=False) for recipe in self.recipes]
        start, stop = widgets.Button(description="Start"), widgets.Button(description="Stop", disabled=True)
        picture, sentence = widgets.Image(format="png"), widgets.HTML()
        picture.layout.max_width = "100%"
        drawn = 0.0

        def draw() -> None:
            nonlocal drawn
            frame = self.frame()
            picture.value = saved_bytes(frame.figure)
            sentence.value = f'<div aria-live="polite" class="fpsim-sentence">{html.escape(frame.sentence)}</div>'
            drawn = time.monotonic()

        def told() -> None:
            if time.monotonic() - drawn > EVERY:
                draw()

        def train() -> None:
            try:
                self.run([box.description for box in boxes if box.value], told)
            finally:
                draw()
                start.disabled, stop.disabled = False, True

        def begin(_: Any) -> None:
            start.disabled, stop.disabled = True, False
            self._apart(train)

        start.on_click(begin)
        stop.on_click(lambda _: self.stop())
        draw()
        for box in boxes:
            box.layout.width = "auto"
        recipes = widgets.HBox(boxes, layout=widgets.Layout(flex_flow="row wrap", grid_gap="0 1.5em"))
        return widgets.VBox([recipes, widgets.HBox([start, stop]), picture, sentence])


class _Stopped(Exception):
    """No error: how a training is left."""


def compare(recipes: Sequence[str] = (), scenario: Any = "rounding", steps: int | None = None, seed: int = 0) -> Race:
    """Choose recipes, start, and watch the curves grow; stop when you have seen enough.

    Parameters
    ----------
    recipes : sequence of str
        What can be chosen; the scenario's own unless given.
    scenario : str
        ``published rounding underflow overflow``.
    steps : int, optional
        The scenario's unless given.
    seed : int

    Returns
    -------
    Race

    Examples
    --------
    >>> import fpsim as fp
    >>> race = fp.widgets.compare(["float32", "float16"], steps=20)
    >>> race.start()
    >>> race.wait()
    >>> {recipe: len(losses) for recipe, losses in race.losses.items()}
    {'float32': 20, 'float16': 20}
    """
    return Race(recipes, scenario, steps, seed)
