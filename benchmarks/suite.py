"""Everything that ``fpsim bench`` measures: ratios in one run, never seconds of different runs.

Layer: none. Each measurement is a function that returns rows; a new one is added to `MEASUREMENTS`.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import fpsim as fp
from benchmarks import training_step

Rows = dict[str, dict[str, float]]


def import_time(rounds: int) -> Rows:
    """Milliseconds of ``import fpsim`` beyond ``import numpy``, in fresh processes taken in turn."""
    taken: dict[str, list[float]] = {"numpy": [], "fpsim": []}
    for _ in range(max(rounds, 5)):
        for name, times in taken.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", f"import {name}"], check=True)
            times.append(1e3 * (time.perf_counter() - start))
    plain, ours = (statistics.median(taken[name]) for name in ("numpy", "fpsim"))
    return {"import numpy": {"ms": plain}, "import fpsim": {"ms": ours, "beyond numpy": ours - plain}}


def rounding(rounds: int) -> Rows:
    """Nanoseconds an element of rounding 1e6 float32 of mixed magnitude, against NumPy's float16 round trip."""
    rng = np.random.default_rng(0)
    x = (rng.normal(size=1_000_000) * 2.0 ** rng.integers(-20, 15, 1_000_000)).astype(np.float32)
    with np.errstate(over="ignore"):
        steps: dict[str, Callable[[], Any]] = {
            "astype(float16) and back": lambda: x.astype(np.float16).astype(np.float32)
        }
        for name in ("float16", "bfloat16", "float8_e4m3fn"):
            steps[f"fp.round to {name}"] = lambda name=name: fp.round(x, name)
        taken = training_step.medians(steps, max(rounds // 2, 3))
    base = taken["astype(float16) and back"]
    return {name: {"ns an element": 1e9 * t / x.size, "ratio": t / base} for name, t in taken.items()}


def accumulation(rounds: int) -> Rows:
    """Nanoseconds a multiply-add of 1600x500 @ 500x64 in float16 data, against float32 BLAS."""
    rng = np.random.default_rng(0)
    x, y = (fp.round(rng.normal(size=s).astype(np.float32), "float16") for s in ((1600, 500), (500, 64)))
    steps: dict[str, Callable[[], Any]] = {"float32 BLAS": lambda: x @ y}
    for order in ("sequential", "blocked:64", "pairwise"):
        steps[f"float16 {order}"] = lambda order=order: fp.Accumulator("float16", order).matmul(x, y)
    taken = training_step.medians(steps, max(rounds // 5, 2))
    size = x.shape[0] * x.shape[1] * y.shape[1]
    return {n: {"ns a multiply-add": 1e9 * t / size, "ratio": t / taken["float32 BLAS"]} for n, t in taken.items()}


def training(rounds: int) -> Rows:
    """A training step of the classic network, batch 64, against plain NumPy's float32 step; peak memory."""
    return training_step.measure(rounds)


MEASUREMENTS: dict[str, Callable[[int], Rows]] = {
    "import": import_time,
    "rounding": rounding,
    "accumulation": accumulation,
    "training step": training,
}


def measure(rounds: int = 15) -> dict[str, Rows]:
    """All measurements by name."""
    return {name: function(rounds) for name, function in MEASUREMENTS.items()}


def table(results: dict[str, Rows]) -> str:
    """The measurements as text."""
    lines = []
    for name, rows in results.items():
        lines.append(f"{name}: {(MEASUREMENTS[name].__doc__ or '').strip()}")
        for row, figures in rows.items():
            lines.append(f"  {row:28} " + "  ".join(f"{key} {value:.3g}" for key, value in figures.items()))
    return "\n".join(lines)
