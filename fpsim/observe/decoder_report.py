"""`DecoderReport`: the cost of a decoder in tables; `Fits`: what of it fits on which device.

Layer 7. Shows what was counted; counts nothing.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from fpsim.errors import ArgumentError, expected
from fpsim.observe.cost_report import Cost
from fpsim.observe.decoder import Decoder
from fpsim.observe.decoder_cost import Carried, DecoderPolicyCost
from fpsim.observe.devices import Device, devices_named
from fpsim.observe.report_forms import Column, ReportForms, plain

__all__ = ["DecoderReport", "Fits"]


@dataclass(frozen=True, repr=False)
class DecoderReport(Cost):
    """What a decoder costs under each policy: a `Cost`, with the decoder, how it is carried out, and `fits`."""

    policies: tuple[DecoderPolicyCost, ...]
    decoder: Decoder
    carried: Carried

    plotted_by = "memory"

    def fits(self, devices: Any = None) -> Fits:
        """What fits on which device: on the report's, or on others."""
        chosen = self.devices if devices is None else devices_named(devices)
        return Fits(self.network, self.input_shape, self.policies, chosen, self.decoder.context)

    def title(self) -> str:
        """Decoder, batch, optimizer, how it is carried out."""
        batch, tokens = self.input_shape
        text = f"{self.network}, {self.policies[0].parameters:,} parameters, {batch} x {tokens} tokens, "
        text += f"{self.policies[0].optimizer}, {self.carried.attention} attention"
        return f"{text}, blocks recomputed" if self.carried.recompute else text

    def _of_mode(self, mode: str) -> str:
        batch, tokens = self.input_shape
        if mode == "training":
            return "a training step"
        return f"a prompt of {batch} x {tokens}" if mode == "inference" else f"a token more for {batch} x {tokens}"

    def to_dict(self) -> dict[str, Any]:
        """Everything, the decoder and what fits among it."""
        carried = {**asdict(self.carried), "kv": self.carried.kv and self.carried.kv.name}
        further = {"decoder": asdict(self.decoder), "carried": carried, "fits": self.fits().rows()}
        return {**super().to_dict(), **plain(further)}

    def rows(self) -> list[dict[str, Any]]:
        """One dict a policy, with the cache's format and the model's state."""
        return [
            {**row, "kv format": one.kv.name, "model state bytes": one.model_state}
            for row, one in zip(super().rows(), self.policies, strict=True)
        ]

    def _parts(self) -> list[Any]:
        return [*super()._parts(), self.fits()]

    def notes(self) -> list[str]:
        """The sentences of a cost, and what a token costs at least."""
        notes = super().notes()
        caches = ", ".join(f"{one.name} {one.inference['kv cache'] / math.prod(self.input_shape):,.0f}" for one in self)
        return [*notes, f"Bytes of the cache a token: {caches}. Products are counted in full, causal or not."]


@dataclass(frozen=True, repr=False)
class Fits(ReportForms):
    """For each policy and device: bytes needed in training and inference, whether they fit, and how far they could go.

    ``fits[policy, device]`` is one row.
    """

    network: str
    shape: tuple[int, ...]
    policies: tuple[DecoderPolicyCost, ...]
    devices: tuple[Device, ...]
    context: int

    plotted_by = "memory"

    def __getitem__(self, key: tuple[str, str]) -> dict[str, Any]:
        policy, device = map(str, key)
        for one in self.policies:
            for there in self.devices:
                if (one.name, there.name.lower()) == (policy, device.lower()):
                    return self._row(one, there)
        have = f"a policy of {', '.join(one.name for one in self.policies)} and a device of "
        have += ", ".join(there.name for there in self.devices)
        raise ArgumentError(expected("Fits", have, f"{policy!r}, {device!r}", "name both in cost()"))

    def rows(self) -> list[dict[str, Any]]:
        """One dict a policy and device, of bytes and numbers."""
        return [self._row(one, device) for one in self.policies for device in self.devices]

    def _row(self, one: DecoderPolicyCost, device: Device) -> dict[str, Any]:
        row: dict[str, Any] = {"policy": one.name, "device": device.name, "memory": device.memory * 1e9}
        for mode in ("training", "inference"):
            needed = one.held(mode)
            row[mode] = {
                "bytes": needed,
                "fits": needed <= row["memory"],
                "largest batch": one.growth.largest(mode, row["memory"], tokens=self.shape[1]),
                "longest context": one.growth.largest(mode, row["memory"], batch=1),
            }
        return row

    def table(self) -> str:
        """Text: the rows flattened."""
        return self._flat().table()

    def _repr_html_(self) -> str:
        return self._flat()._repr_html_()

    def _flat(self) -> _Flat:
        lines = []
        for row in self.rows():
            line = {"policy": row["policy"], "device": row["device"], "memory": row["memory"]}
            for mode in ("training", "inference"):
                line[mode] = f"{'yes' if row[mode]['fits'] else 'no'} ({row[mode]['bytes'] / 1e9:,.1f})"
                line[f"{mode} batch"] = row[mode]["largest batch"]
                line[f"{mode} context"] = row[mode]["longest context"]
            lines.append(line)
        return _Flat(self.shape, lines)


@dataclass(frozen=True, repr=False)
class _Flat(ReportForms):
    """The table of `Fits`."""

    shape: tuple[int, ...]
    lines: list[dict[str, Any]]

    def rows(self) -> list[dict[str, Any]]:
        return self.lines

    def columns(self) -> list[Column]:
        columns = [Column("policy", "fits on one device? (GB)"), Column("device", "device")]
        columns.append(Column("memory", "has", lambda n: f"{n / 1e9:,.0f}"))
        for mode in ("training", "inference"):
            columns.append(Column(mode, mode, left=False))
            columns.append(Column(f"{mode} batch", f"largest batch x {self.shape[1]}", _number_or_none))
            columns.append(Column(f"{mode} context", "longest context", _number_or_none))
        return columns


def _number_or_none(n: int) -> str:
    return f"{n:,}" if n else "-"
