"""`DEVICES`: what a few real devices can do, from their datasheets, for rooflines.

Layer 7. Data with its sources; `cost` computes with it. All rates are dense: no structured sparsity.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fpsim.errors import ArgumentError, expected, nearest
from fpsim.formats import (
    Format,
    bfloat16,
    float4_e2m1fn,
    float8_e4m3fn,
    float8_e4m3fnuz,
    float8_e5m2,
    float8_e5m2fnuz,
    float16,
    float32,
    float64,
    tfloat32,
)

__all__ = ["DEVICES", "Device", "Rate", "devices_named"]


@dataclass(frozen=True)
class Rate:
    """Peak rate of multiply-adds on inputs of one format, summed in another; a multiply-add is two operations."""

    inputs: Format
    accumulate: Format
    #: 10**12 operations a second
    tflops: float


@dataclass(frozen=True)
class Device:
    """One device: where it stands, its peak rates, its memory.

    Attributes
    ----------
    name, kind : str
        Kind is ``cloud``, ``desktop``, ``edge`` or ``cpu``.
    rates : tuple of Rate
    bandwidth : float
        Of its main memory, 10**9 bytes a second.
    memory : float
        10**9 bytes.
    watts : float
        At most.
    source : str
        Where the figures stand, and what was derived from them.
    """

    name: str
    kind: str
    rates: tuple[Rate, ...]
    bandwidth: float
    memory: float
    watts: float
    source: str

    def rate(self, storage: Format, accumulate: Format) -> Rate | None:
        """The fastest rate whose inputs hold `storage` and whose sums are at least as wide as `accumulate`.

        A format that the device does not compute in is converted exactly to one that it does: float16 on a CPU runs
        at float32's rate. None where no figure is wide enough.
        """
        able = [r for r in self.rates if r.inputs.holds(storage) and r.accumulate.holds(accumulate)]
        return max(able, key=lambda r: (r.tflops, -r.inputs.bits), default=None)


def _rates(**tflops: float) -> tuple[Rate, ...]:
    """float64 sums in float64, everything narrower in float32, as tensor cores do."""
    formats = {
        "float64": (float64,),
        "float32": (float32,),
        "tfloat32": (tfloat32,),
        "bfloat16": (bfloat16,),
        "float16": (float16,),
        "float8": (float8_e4m3fn, float8_e5m2),
        "float8_fnuz": (float8_e4m3fnuz, float8_e5m2fnuz),
        "float4": (float4_e2m1fn,),
    }
    return tuple(
        Rate(fmt, float64 if fmt == float64 else float32, value)
        for name, value in tflops.items()
        for fmt in formats[name]
    )


_ALL = (
    Device(
        "V100", "cloud",
        _rates(float64=7.8, float32=15.7, float16=125.0),
        bandwidth=900, memory=32, watts=300,
        source="NVIDIA V100 Tensor Core GPU datasheet (2020), V100 SXM2 32 GB; float16 by tensor cores",
    ),
    Device(
        "A100", "cloud",
        _rates(float64=19.5, float32=19.5, tfloat32=156.0, bfloat16=312.0, float16=312.0),
        bandwidth=2039, memory=80, watts=400,
        source="NVIDIA A100 Tensor Core GPU datasheet (2021), A100 80GB SXM; float64 and 16 bits by tensor cores",
    ),
    Device(
        "H100", "cloud",
        _rates(float64=67.0, float32=67.0, tfloat32=494.5, bfloat16=989.5, float16=989.5, float8=1979.0),
        bandwidth=3350, memory=80, watts=700,
        source="NVIDIA H100 Tensor Core GPU datasheet (2023), H100 SXM; its figures 'with sparsity' (989, 1979, 3958) "
        "are halved",
    ),
    Device(
        "H200", "cloud",
        _rates(float64=67.0, float32=67.0, tfloat32=494.5, bfloat16=989.5, float16=989.5, float8=1979.0),
        bandwidth=4800, memory=141, watts=700,
        source="NVIDIA H200 Tensor Core GPU datasheet (2023), H200 SXM; its figures 'with sparsity' are halved",
    ),
    Device(
        "B200", "cloud",
        _rates(float64=40.0, float32=80.0, tfloat32=1100.0, bfloat16=2250.0, float16=2250.0, float8=4500.0,
               float4=9000.0),
        bandwidth=8000, memory=192, watts=1000,
        source="NVIDIA Blackwell Architecture Technical Brief (datasheet of HGX B200, 2024), one GPU of 1000 W, up to "
        "192 GB; its figures 'with sparsity' are halved",
    ),
    Device(
        "MI300X", "cloud",
        _rates(float64=163.4, float32=163.4, tfloat32=653.7, bfloat16=1307.4, float16=1307.4, float8_fnuz=2614.9),
        bandwidth=5300, memory=192, watts=750,
        source="AMD Instinct MI300X Accelerator data sheet (2023), without structured sparsity; its 8-bit formats are "
        "the fnuz ones, so OCP's are computed in 16 bits",
    ),
    Device(
        "T4", "cloud",
        _rates(float64=0.253, float32=8.1, float16=65.0),
        bandwidth=300, memory=16, watts=70,
        source="NVIDIA T4 Tensor Core GPU datasheet (2019), 300 GB/s (320 in its product brief); float64 at 1/32 of "
        "float32: NVIDIA Turing GPU architecture whitepaper (2018)",
    ),
    Device(
        "L4", "cloud",
        _rates(float32=30.3, tfloat32=60.0, bfloat16=121.0, float16=121.0, float8=242.5),
        bandwidth=300, memory=24, watts=72,
        source="NVIDIA L4 Tensor Core GPU datasheet (2023); its figures 'with sparsity' (120, 242, 485) are halved",
    ),
    Device(
        "RTX 3090", "desktop",
        _rates(float32=35.6, tfloat32=35.6, bfloat16=71.0, float16=71.0),
        bandwidth=936, memory=24, watts=350,
        source="NVIDIA Ampere GA102 GPU Architecture whitepaper (2021), GeForce RTX 3090: dense, 16 bits with float32 "
        "accumulate",
    ),
    Device(
        "RTX 4090", "desktop",
        _rates(float32=82.6, tfloat32=82.6, bfloat16=165.2, float16=165.2, float8=330.3),
        bandwidth=1008, memory=24, watts=450,
        source="NVIDIA Ada GPU Architecture whitepaper v2.02 (2023), appendix A, GeForce RTX 4090: dense, 8 and 16 "
        "bits with float32 accumulate",
    ),
    Device(
        "Jetson Orin Nano", "edge",
        _rates(float32=1.28, bfloat16=10.0, float16=10.0),
        bandwidth=68, memory=8, watts=15,
        source="NVIDIA Jetson Orin Nano Series data sheet DS-11105-001 (2023), 8GB module: 1024 CUDA cores at 625 MHz, "
        "so 1024 * 2 * 0.625e9 in float32; 20 dense INT8 TOPS, of which Ampere's tensor cores do half in 16 bits",
    ),
    Device(
        "EPYC 7763", "cpu",
        _rates(float64=2.509, float32=5.018),
        bandwidth=204.8, memory=4096, watts=280,
        source="AMD EPYC 7003 series datasheet (2021): 64 cores, 2.45 GHz base clock, 8 channels of DDR4-3200, up to "
        "4 TB; two 256-bit fused multiply-adds a core and cycle (AMD, Software Optimization Guide for Family 19h), so "
        "64 * 2.45e9 * 32 in float32. No arithmetic in 16 bits",
    ),
)  # fmt: skip

DEVICES: dict[str, Device] = {device.name: device for device in _ALL}


def devices_named(like: Any = None) -> tuple[Device, ...]:
    """Devices as they are or by name; all of the table unless given.

    >>> [device.name for device in devices_named("T4")]
    ['T4']
    """
    if like is None:
        return _ALL
    if isinstance(like, str | Device):
        like = [like]
    if not isinstance(like, Iterable):
        got = f"devices={like!r}"
        raise ArgumentError(expected("cost", "names of devices", got, f"the table has {', '.join(DEVICES)}"))
    by_name = {name.lower(): device for name, device in DEVICES.items()}
    found = []
    for one in like:
        device = one if isinstance(one, Device) else by_name.get(str(one).lower())
        if device is None:
            near = nearest(one, by_name).split(", ")
            got = f"device {one!r}"
            remedy = f"did you mean {', '.join(by_name[name].name for name in near)}?"
            raise ArgumentError(expected("cost", "a device of the table, or a Device", got, remedy))
        found.append(device)
    if not found:
        raise ArgumentError(expected("cost", "at least one device", "none", "leave it out for all of them"))
    return tuple(found)
