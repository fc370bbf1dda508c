"""`Evaluation`: the report of `evaluate`: accuracy, agreement with float32, and where outputs differ.

Layer 8. Shows what was measured; runs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from fpsim.errors import ResultsError, expected
from fpsim.observe.report_forms import Column, ReportForms, percent, plain

__all__ = ["Changed", "Evaluation", "InFormat", "Largest"]


class Largest(NamedTuple):
    """One of the largest differences: sample, class, float32's output, this format's."""

    sample: int
    output: int
    float32: float
    value: float


class Changed(NamedTuple):
    """A sample whose class changed: its label, float32's class, this format's (-1: none), float32's lead.

    `margin` is by how much float32's largest output leads its second: what is close is lost first.
    """

    sample: int
    label: int | None
    float32: int
    own: int
    margin: float


@dataclass(frozen=True)
class InFormat:
    """A network in one precision.

    Attributes
    ----------
    name : str
    accuracy, loss : float or None
        Mean cross entropy of the outputs as logits; None without labels.
    agreement : float
        Share of the samples to which it gives the class that float32 gives.
    deviation : float
        Of all outputs, relative: ``|y - y32| / |y32|`` in the Euclidean norm; infinite where one is not finite.
    not_finite : int
        Samples with an infinity or NaN among their outputs.
    nbytes : int
        Of the weights.
    largest : tuple of Largest
    changed : tuple of Changed
    per_class : dict
        By label (by float32's class without labels): ``samples accuracy agreement largest``, the last the largest
        difference of an output, in the outputs' own unit.
    """

    name: str
    accuracy: float | None
    loss: float | None
    agreement: float
    deviation: float
    not_finite: int
    nbytes: int
    largest: tuple[Largest, ...]
    changed: tuple[Changed, ...]
    per_class: dict[int, dict[str, Any]]

    @property
    def largest_difference(self) -> float:
        """Of an output, in the outputs' own unit."""
        return (
            max((abs(d.value - d.float32) for d in self.largest), default=0.0) if not self.not_finite else float("inf")
        )


@dataclass(frozen=True, repr=False)
class Evaluation(ReportForms):
    """A trained network in several precisions beside float32; ``report["float16"]`` is one of them."""

    network: str
    samples: int
    classes: int
    formats: tuple[InFormat, ...]
    labelled: bool = True

    plotted_by = "evaluation"

    def __iter__(self) -> Iterator[InFormat]:
        return iter(self.formats)

    def __getitem__(self, name: str) -> InFormat:
        for one in self.formats:
            if one.name == str(name):
                return one
        have = ", ".join(one.name for one in self.formats)
        raise ResultsError(expected("Evaluation", f"a precision of {have}", repr(name), "name it in evaluate()"))

    def rows(self) -> list[dict[str, Any]]:
        """One dict a precision."""
        return [
            {
                "precision": one.name,
                "accuracy": one.accuracy,
                "loss": one.loss,
                "agreement": one.agreement,
                "changed": len(one.changed),
                "deviation": one.deviation,
                "largest difference": one.largest_difference,
                "not finite": one.not_finite,
                "weights bytes": one.nbytes,
            }
            for one in self.formats
        ]

    def columns(self) -> list[Column]:
        """Shares in percent."""
        labelled = [
            Column("accuracy", "accuracy", lambda share: percent(share, 1)),
            Column("loss", "loss", lambda loss: "-" if loss is None else f"{loss:.4f}"),
        ]
        return [
            Column("precision", "precision"),
            *(labelled if self.labelled else []),
            Column("agreement", "agrees with float32", lambda share: percent(share, 1)),
            Column("changed", "classes changed"),
            Column("deviation", "outputs deviate", _small),
            Column("largest difference", "at most by", _small),
            Column("not finite", "not finite"),
            Column("weights bytes", "weights, MB", lambda n: f"{n / 1e6:.3f}"),
        ]

    def title(self) -> str:
        """What was run."""
        return (
            f"{self.network}, {self.samples} samples, {self.classes} classes: trained once, evaluated in each precision"
        )

    def notes(self) -> list[str]:
        """Where the outputs differ: samples, largest differences, the class that suffers most."""
        return [text for one in self.formats[1:] if (text := self._where(one))]

    def _where(self, one: InFormat) -> str:
        texts = []
        if one.largest:
            first = one.largest[0]
            texts.append(
                f"largest difference at sample {first.sample}, output {first.output} ({first.value:.5g}, float32 "
                f"{first.float32:.5g})"
            )
        if one.changed:
            shown = ", ".join(_change(c) for c in one.changed[:6])
            more = f" and {len(one.changed) - 6} more" if len(one.changed) > 6 else ""
            close = sum(c.margin for c in one.changed) / len(one.changed)
            texts.append(f"class changed at {shown}{more}, where float32's lead is {close:.3g} on average")
            worst = min(one.per_class, key=lambda c: one.per_class[c]["agreement"])
            texts.append(f"class {worst} agrees least, {percent(one.per_class[worst]['agreement'], 1)}")
        return f"{one.name}: {'; '.join(texts)}." if texts else ""

    def to_dict(self) -> dict[str, Any]:
        """Everything: every changed sample, the largest differences, each class."""
        formats = [
            {
                **asdict(one),
                "largest": [d._asdict() for d in one.largest],
                "changed": [c._asdict() for c in one.changed],
            }
            for one in self.formats
        ]
        head = {"network": self.network, "samples": self.samples, "classes": self.classes}
        return plain({**head, "rows": self.rows(), "formats": formats, "notes": self.notes()})


def _small(x: float | None) -> str:
    return "-" if x is None else "0" if x == 0 else f"{x:.1e}"


def _change(c: Changed) -> str:
    own = "none" if c.own < 0 else str(c.own)
    return f"{c.sample} ({c.float32} -> {own}{'' if c.label is None else f', label {c.label}'})"
