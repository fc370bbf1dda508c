"""`Sensitivity`: the report of `sensitivity`: deviations by layer and role, an assignment, and what running it gave.

Layer 7. Shows what was measured; runs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fpsim.errors import ArgumentError, expected
from fpsim.formats import Format
from fpsim.observe.report_forms import Column, ReportForms, plain

__all__ = ["Cell", "Check", "Deviation", "Sensitivity"]


@dataclass(frozen=True)
class Deviation:
    """Relative deviations from the float64 run, without unit: of the outputs, of the losses, of the first gradient."""

    output: float
    loss: float
    gradient: float


@dataclass(frozen=True)
class Cell:
    """One role of one layer in the narrow format, alone."""

    layer: str
    role: str
    deviation: Deviation
    #: beside float64, of the values that the role holds
    bits_saved: int


@dataclass(frozen=True)
class Check:
    """An assignment of many roles at once: what the single deviations add up to, and what running it gave."""

    assignment: frozenset[tuple[str, str]]
    predicted: float
    measured: Deviation
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the outputs stay within the tolerance."""
        return self.measured.output <= self.tolerance


@dataclass(frozen=True, repr=False)
class Sensitivity(ReportForms):
    """Deviation of every role of every layer, and the cheapest assignment that was found to hold.

    ``report["fc1", "weight"]`` is a `Deviation`; ``report.assignment`` maps layers to the roles that may be narrow.

    Attributes
    ----------
    fmt : Format
        The narrow one.
    cells : tuple of Cell
    checks : tuple of Check
        Every assignment that was run, the first as the single deviations proposed it.
    tolerance : float
    steps, samples : int
        What was run.
    """

    fmt: Format
    cells: tuple[Cell, ...]
    checks: tuple[Check, ...]
    tolerance: float
    steps: int
    samples: int

    plotted_by = "sensitivity"

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, in the network's order."""
        return tuple(dict.fromkeys(cell.layer for cell in self.cells))

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that were tried."""
        return tuple(dict.fromkeys(cell.role for cell in self.cells))

    def __getitem__(self, key: tuple[str, str]) -> Deviation:
        for cell in self.cells:
            if (cell.layer, cell.role) == key:
                return cell.deviation
        got = f"[{key!r}]"
        remedy = f"layers are {', '.join(self.layers)}; roles {', '.join(self.roles)}"
        raise ArgumentError(expected("Sensitivity", "a layer and a role", got, remedy))

    @property
    def check(self) -> Check:
        """The cheapest assignment that holds, and its run; the empty one, float64 itself, always holds."""
        return [check for check in self.checks if check.holds][-1]

    @property
    def assignment(self) -> Mapping[str, tuple[str, ...]]:
        """For each layer the roles that may be narrow, all at once."""
        chosen = self.check.assignment
        return {layer: tuple(role for role in self.roles if (layer, role) in chosen) for layer in self.layers}

    @property
    def bits_saved(self) -> float:
        """Share of the bits of all roles tried that the assignment saves, beside float64."""
        return self._saved(64 - self.fmt.bits)

    def _saved(self, a_value: int) -> float:
        held = {(c.layer, c.role): c.bits_saved / (64 - self.fmt.bits) for c in self.cells}
        total = 64 * sum(held.values())
        return a_value * sum(held[key] for key in self.check.assignment) / total if total else 0.0

    # Forms -----------------------------------------------------------------------------------------------------------

    def rows(self) -> list[dict[str, Any]]:
        """One dict a layer and role."""
        return [
            {
                "layer": cell.layer or "(the network)",
                "role": cell.role,
                "output": cell.deviation.output,
                "loss": cell.deviation.loss,
                "gradient": cell.deviation.gradient,
                "bits saved": cell.bits_saved,
                "narrow": (cell.layer, cell.role) in self.check.assignment,
            }
            for cell in self.cells
        ]

    def columns(self) -> list[Column]:
        """Deviations in scientific notation."""
        deviations = [Column(name, name, _scientific) for name in ("output", "loss", "gradient")]
        return [
            Column("layer", "layer"),
            Column("role", "role"),
            *deviations,
            Column("bits saved", "bits saved"),
            Column("narrow", f"{self.fmt.name} holds", lambda yes: "yes" if yes else "-", left=False),
        ]

    def title(self) -> str:
        """What was run."""
        return (
            f"Relative deviation from float64 with one role of one layer in {self.fmt.name}: {self.steps} steps on "
            f"{self.samples} samples"
        )

    def notes(self) -> list[str]:
        """The separation by layer, the assignment's run, honestly."""
        first, last = self.checks[0], self.check
        n, among = len(first.assignment), len(self.cells)
        notes = [
            f"Single deviations say that {n} of {among} roles fit within {self.tolerance:g} together (they add up to "
            f"{_scientific(first.predicted)}). Run together they deviate by {_scientific(first.measured.output)}: that "
            f"{'holds' if first.holds else 'does NOT hold'}."
        ]
        kept = f"{len(last.assignment)} roles, which deviate by {_scientific(last.measured.output)}"
        if not first.holds:
            notes.append(f"{n - len(last.assignment)} taken back, the most costly first, until a run held: {kept}.")
        elif len(self.checks) > 1:
            notes.append(f"{len(self.checks) - 1} more tried one by one, {len(last.assignment) - n} held: {kept}.")
        wide = [f"{c.layer}'s {c.role}" for c in self.cells if (c.layer, c.role) not in last.assignment]
        if wide:
            shown = ", ".join(wide[:8]) + (f" and {len(wide) - 8} more" if len(wide) > 8 else "")
            notes.append(f"What stays wide: {shown}.")
        notes.append(
            f"The assignment saves {100 * self.bits_saved:.0f} % of the bits that these roles hold in float64 "
            f"({100 * self._saved(max(32 - self.fmt.bits, 0)) * 2:.0f} % beside float32); found greedily, so a cheaper "
            "one may exist."
        )
        return notes

    def to_dict(self) -> dict[str, Any]:
        """Everything, every assignment that was run among it."""
        checks = [
            {
                "assignment": [list(key) for key in sorted(check.assignment)],
                "predicted": check.predicted,
                "measured": vars(check.measured),
                "holds": check.holds,
            }
            for check in self.checks
        ]
        head = {"format": self.fmt.name, "tolerance": self.tolerance, "steps": self.steps, "samples": self.samples}
        content = {**head, "rows": self.rows(), "checks": checks, "assignment": dict(self.assignment)}
        return plain({**content, "notes": self.notes()})


def _scientific(x: float) -> str:
    return "0" if x == 0 else "inf" if math.isinf(x) else f"{x:.1e}"
