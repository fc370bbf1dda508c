"""`Record`: what a training writes down of its steps.

Layer 8. Adds up and keeps; what becomes of it is a `Run`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fpsim.observe.counters import Counts, Report

__all__ = ["Record"]


@dataclass
class Record:
    """What is written down while training: of every step, of the counted ones, and bytes of the first."""

    loss: list[float] = field(default_factory=list)
    scale: list[float] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    gradients: Counts = field(default_factory=Counts)
    activations: Counts = field(default_factory=Counts)
    wanted: int = 0
    lost: int = 0
    nbytes: dict[str, int] = field(default_factory=dict)
    #: before a checkpoint
    seconds: float = 0.0

    def count(self, report: Report) -> None:
        """Add what was seen in one step."""
        self.gradients += report.gradients
        self.activations += report.total(role="activation", phase="forward")
        self.wanted += sum(updates.wanted for updates in report.updates.values())
        self.lost += sum(updates.lost for updates in report.updates.values())

    def state_dict(self, seconds: float) -> dict[str, Any]:
        """As plain data, with the time taken so far."""
        steps = {"loss": np.array(self.loss, np.float64), "scale": np.array(self.scale, np.float64)}
        counts = {"gradients": self.gradients.numbers(), "activations": self.activations.numbers()}
        rest = {"skipped": self.skipped, "wanted": self.wanted, "lost": self.lost, "nbytes": self.nbytes}
        return {**steps, **counts, **rest, "seconds": seconds}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state_dict`."""
        counted = [n for name in ("gradients", "activations", "nbytes") for n in state[name].values()]
        counted += [*state["skipped"], state["wanted"], state["lost"]]
        of_steps = all(state[name].dtype == np.float64 for name in ("loss", "scale")) and state["loss"].ndim == 1
        if not of_steps or state["loss"].shape != state["scale"].shape or any(type(n) is not int for n in counted):
            raise ValueError("a record that train did not write")
        self.loss, self.scale = state["loss"].tolist(), state["scale"].tolist()
        self.gradients, self.activations = Counts(**state["gradients"]), Counts(**state["activations"])
        self.skipped, self.nbytes = list(state["skipped"]), dict(state["nbytes"])
        self.wanted, self.lost, self.seconds = state["wanted"], state["lost"], float(state["seconds"])
