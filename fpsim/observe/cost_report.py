"""`Cost`: the report of `cost`, in tables for memory and time, and the sentences that say what surprises.

Layer 7. Shows what was counted; counts nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fpsim.errors import ArgumentError, expected
from fpsim.observe.devices import Device
from fpsim.observe.report_forms import Column, ReportForms, plain

if TYPE_CHECKING:
    from fpsim.observe.policy_cost import PolicyCost

__all__ = ["Cost", "duration", "megabytes"]

PARTS = ("weights", "masters", "gradients", "state", "cast weights", "activations")


def megabytes(n: float | None) -> str:
    """Bytes as 10**6 bytes.

    >>> megabytes(3328320), megabytes(1500), megabytes(0)
    ('3.328', '0.002', '0')
    """
    if n is None:
        return "-"
    return "0" if n == 0 else f"{n / 1e6:,.3f}" if n < 1e8 else f"{n / 1e6:,.0f}"


def duration(seconds: float | None) -> str:
    """Seconds in the unit that suits.

    >>> duration(0.00123), duration(2.5e-6), duration(None)
    ('1.23 ms', '2.5 us', '-')
    """
    if seconds is None:
        return "-"
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} us"


@dataclass(repr=False)
class _Part(ReportForms):
    """One of the tables."""

    head: str
    lines: list[dict[str, Any]]
    shown_columns: list[Column]

    def rows(self) -> list[dict[str, Any]]:
        return self.lines

    def columns(self) -> list[Column]:
        return self.shown_columns

    def title(self) -> str:
        return self.head


@dataclass(frozen=True, repr=False)
class Cost(ReportForms):
    """What one network costs under each policy; ``cost["O2"]`` is one policy's.

    Attributes
    ----------
    network : str
    input_shape : tuple of int
        The batch comes first.
    policies : tuple of PolicyCost
        float32 among them.
    devices : tuple of Device
    """

    network: str
    input_shape: tuple[int, ...]
    policies: tuple[PolicyCost, ...]
    devices: tuple[Device, ...]

    plotted_by = "roofline"

    def __getitem__(self, name: str) -> PolicyCost:
        for one in self.policies:
            if one.name == str(name):
                return one
        have = ", ".join(one.name for one in self.policies)
        raise ArgumentError(expected("Cost", f"a policy of {have}", repr(name), "name it in cost()"))

    def __iter__(self) -> Any:
        return iter(self.policies)

    @property
    def baseline(self) -> PolicyCost:
        """float32's."""
        return self["float32"]

    # Rows ------------------------------------------------------------------------------------------------------------

    def rows(self) -> list[dict[str, Any]]:
        """One dict a policy: bytes, multiply-adds, traffic, seconds on each device."""
        rows = []
        for one in self.policies:
            row: dict[str, Any] = {"policy": one.name, **one.columns, "optimizer": one.optimizer}
            row["parameters"] = one.parameters
            row["training bytes"], row["inference bytes"] = dict(one.training), dict(one.inference)
            row["bytes per parameter"] = {**one.bytes_per_parameter(), "total": sum(one.bytes_per_parameter().values())}
            row["unscaled gradients bytes"] = one.unscaled
            for mode in one.modes:
                row[f"{mode} macs"], row[f"{mode} traffic bytes"] = one.macs(mode), one.traffic(mode)
                times = {device.name: one.time(device, mode) for device in self.devices}
                row[f"{mode} seconds"] = {name: None if t is None else t.seconds for name, t in times.items()}
                row[f"{mode} memory bound"] = {name: None if t is None else t.memory_bound for name, t in times.items()}
            rows.append(row)
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Everything, with the devices' figures and their sources."""
        devices = [
            {
                "name": d.name,
                "kind": d.kind,
                "tflops": {f"{r.inputs.name}/{r.accumulate.name}": r.tflops for r in d.rates},
                "bandwidth GB/s": d.bandwidth,
                "memory GB": d.memory,
                "watts": d.watts,
                "source": d.source,
            }
            for d in self.devices
        ]
        content = {"network": self.network, "input_shape": self.input_shape, "rows": self.rows(), "devices": devices}
        return plain({**content, "notes": self.notes()})

    # Text ------------------------------------------------------------------------------------------------------------

    def title(self) -> str:
        """Network, batch, optimizer."""
        shape = "x".join(map(str, self.input_shape))
        first = self.policies[0]
        return f"{self.network}, input {shape}, {first.parameters:,} parameters, {first.optimizer}"

    def _parts(self) -> list[_Part]:
        return [self._training(), self._inference(), *(self._times(mode) for mode in self.policies[0].modes)]

    def _unit(self) -> tuple[str, Callable[[float | None], str]]:
        """MB, or GB where there are ten thousands of them; and how bytes are written in it."""
        large = max(one.held(mode) for one in self.policies for mode in ("training", "inference")) >= 1e10
        return ("GB", lambda n: megabytes(None if n is None else n / 1e3)) if large else ("MB", megabytes)

    def _of_mode(self, mode: str) -> str:
        """What a mode's time is the time of."""
        return "a training step" if mode == "training" else f"inference of {self.input_shape[0]}"

    def _training(self) -> _Part:
        lines = []
        for one in self.policies:
            per = one.bytes_per_parameter()
            total = sum(one.training.values())
            macs, moved = sum(one.macs().values()), sum(one.traffic().values())
            line = {"policy": one.name, **one.training, "total": total, "per": sum(per.values())}
            lines.append({**line, "macs": macs, "moved": moved})
        unit, size = self._unit()
        columns = [Column("policy", f"training, {unit}")]
        columns += [Column(part, part, size) for part in PARTS]
        if any(one.training["buffers"] for one in self.policies):
            columns.append(Column("buffers", "buffers", size))
        columns += [
            Column("total", "in all", size),
            Column("per", "bytes a parameter", lambda n: f"{n:.4g}"),
            Column("macs", "multiply-adds", _millions),
            Column("moved", "moved a step", size),
        ]
        return _Part(f"{self.title()}\n", lines, columns)

    def _inference(self) -> _Part:
        lines = []
        for one in self.policies:
            macs, moved = sum(one.macs("inference").values()), sum(one.traffic("inference").values())
            line = {"policy": one.name, **one.inference, "total": sum(one.inference.values())}
            lines.append({**line, "macs": macs, "moved": moved, "formats": ", ".join(one.macs("inference")) or "-"})
        unit, size = self._unit()
        cached = [Column("kv cache", "kv cache", size)] if "kv cache" in self.policies[0].inference else []
        columns = [
            Column("policy", f"inference, {unit}"),
            Column("weights", "weights", size),
            *cached,
            Column("activations", "alive at once", size),
            Column("total", "in all", size),
            Column("macs", "multiply-adds", _millions),
            Column("formats", "in"),
            Column("moved", "moved", size),
        ]
        return _Part("", lines, columns)

    def _times(self, mode: str) -> _Part:
        lines = []
        for device in self.devices:
            line: dict[str, Any] = {"device": device.name, "kind": device.kind}
            base = self.baseline.time(device, mode)
            for one in self.policies:
                found = one.time(device, mode)
                line[one.name] = duration(None if found is None else found.seconds)
                if found is not None and base is not None and one is not self.baseline and found.seconds:
                    line[one.name] += f" ({base.seconds / found.seconds:.1f}x)"
            need = max(one.held(mode) for one in self.policies)
            line["memory"] = f"{device.memory:,.0f} GB{'' if need <= device.memory * 1e9 else ', too small'}"
            lines.append(line)
        columns = [Column("device", f"{self._of_mode(mode)} on"), Column("kind", "")]
        columns += [Column(one.name, one.name, left=False) for one in self.policies]
        return _Part("", lines, [*columns, Column("memory", "memory", left=False)])

    def table(self) -> str:
        """Memory in training and in inference, times on devices, and what it all means."""
        return "\n\n".join([*(part.table() for part in self._parts()), "\n".join(self.notes())])

    def _repr_html_(self) -> str:
        from html import escape

        notes = "".join(f'<div style="margin-top:.3em">{escape(note)}</div>' for note in self.notes())
        tables = '<div style="height:.8em"></div>'.join(part._repr_html_() for part in self._parts())
        return f'<div style="line-height:1.4">{tables}{notes}</div>'

    def notes(self) -> list[str]:
        """What surprises, in sentences; every number is counted."""
        base = self.baseline
        notes = [self._of_memory(one) for one in self.policies if one is not base and one.parameters]
        notes += [
            f"Where the loss scaler writes unscaled gradients beside the masters (as Apex and fpsim do, and a fused "
            f"optimizer does not), {one.name} holds {_number(one.unscaled / one.parameters)} bytes a parameter more "
            "for the length of the update."
            for one in self.policies
            if one.unscaled
        ]
        notes.append(self._of_bounds())
        notes.append(
            "Times are rooflines: for each operation the larger of multiply-adds at the datasheet's peak and bytes at "
            "its bandwidth. Nothing is fused or cached, and launching costs nothing: a scale to compare by, not a "
            "forecast."
        )
        return notes

    def _of_memory(self, one: PolicyCost) -> str:
        base = self.baseline
        ours, theirs = one.bytes_per_parameter(), base.bytes_per_parameter()
        total, plain_total = sum(ours.values()), sum(theirs.values())
        spelt = " + ".join(f"{_number(n)} {part}" for part, n in ours.items() if n)
        text = f"{one.name} with {one.optimizer} holds {_number(total)} bytes a parameter in training ({spelt})"
        text += f", {_beside(total, plain_total)}."
        unit, size = self._unit()
        changes = []
        for what, a, b in (
            ("activations", one.training["activations"], base.training["activations"]),
            ("traffic a step", sum(one.traffic().values()), sum(base.traffic().values())),
        ):
            if a < b:
                changes.append(f"{what} ({size(a)} {unit} instead of {size(b)})")
        if changes:
            only = "The saving is in" if total >= plain_total - 0.005 else "Saved as well:"
            text += f" {only} {' and '.join(changes)}."
        return text

    def _of_bounds(self) -> str:
        """How much of the time is memory's, and where most."""
        texts = []
        for mode in self.policies[0].modes:
            shares = [
                t.memory_bound for one in self.policies for d in self.devices if (t := one.time(d, mode)) is not None
            ]
            if shares:
                texts.append(f"{100 * min(shares):.0f} to {100 * max(shares):.0f} % of {mode}")
        listed = " and ".join(", ".join(texts).rsplit(", ", 1))
        return f"Memory, not arithmetic, decides {listed} time: there, bits moved are what a format saves."


def _millions(n: float) -> str:
    """Multiply-adds, in thousands of millions where there are many."""
    return f"{n / 1e6:,.1f} M" if n < 1e10 else f"{n / 1e9:,.0f} G"


def _beside(ours: float, plain: float) -> str:
    if abs(ours - plain) < 0.005:
        return "just as float32 does"
    return f"{'more' if ours > plain else 'fewer'} than float32's {_number(plain)}"


def _number(x: float) -> str:
    return f"{x:.2f}".rstrip("0").rstrip(".")
