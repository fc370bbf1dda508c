"""Everything that ``fpsim bench`` measures: ratios in one run, never seconds of different runs.

Layer: none. Each measurement is a function that returns rows; a new one is added to `MEASUREMENTS`.
"""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import fpsim as fp
from benchmarks import training_step, transformer_step
from fpsim.rounding.kernel import round_to

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
    """Nanoseconds an element of rounding 1e7 float32 of mixed magnitude, against NumPy's float16 round trip."""
    rng = np.random.default_rng(0)
    x = (rng.normal(size=10_000_000) * 2.0 ** rng.integers(-20, 15, 10_000_000)).astype(np.float32)
    out = np.empty_like(x)
    with np.errstate(over="ignore"):
        steps: dict[str, Callable[[], Any]] = {
            "astype(float16) and back": lambda: x.astype(np.float16).astype(np.float32)
        }
        for name in ("float16", "bfloat16", "float8_e4m3fn", "e5m6"):
            steps[f"fp.round to {name}"] = lambda name=name: fp.round(x, name)
        steps["float16, in a given array"] = lambda: round_to(x, fp.float16, out=out)
        taken = training_step.medians(steps, max(rounds // 5, 3))
    base = taken["astype(float16) and back"]
    return {name: {"ns an element": 1e9 * t / x.size, "ratio": t / base} for name, t in taken.items()}


def accumulation(rounds: int) -> Rows:
    """Nanoseconds a multiply-add of products whose every product and sum is rounded, against float32 BLAS."""
    rows: Rows = {}
    for shape in ((6400, 500, 64), (256, 256, 256)):
        rng = np.random.default_rng(0)
        x, y = (fp.round(rng.normal(size=s).astype(np.float32), "float16") for s in (shape[:2], shape[1:]))
        steps: dict[str, Callable[[], Any]] = {"float32 BLAS": lambda x=x, y=y: x @ y}
        for fmt, order, factor, what in (
            ("float16", "sequential", 1.0, ""),
            ("float16", "sequential", 30.0, ", no bound"),
            ("float16", "blocked:64", 1.0, ""),
            ("float16", "pairwise", 1.0, ""),
            ("e5m6", "sequential", 1.0, ", bounded"),
            ("float8_e4m3fn", "sequential", 1.0, ", no bound"),
            ("bfloat16", "sequential", 1.0, ""),
        ):
            acc, left, right = fp.Accumulator(fmt, order), fp.round(x * factor, fmt), fp.round(y, fmt)
            steps[f"{fmt} {order}{what}"] = lambda acc=acc, left=left, right=right: acc.matmul(left, right)
        taken = training_step.medians(steps, max(rounds // 5, 3))
        for name, t in taken.items():
            figures = {"ns a multiply-add": 1e9 * t / math.prod(shape), "ratio": t / taken["float32 BLAS"]}
            rows[f"{'x'.join(map(str, shape))} {name}"] = figures
    return rows


def first_use(rounds: int) -> Rows:
    """Seconds of the first float16 product in a new process: numba's cache empty, filled; and without numba."""
    program = (
        "import time, numpy as np, fpsim as fp\n"
        "start = time.perf_counter()\n"
        "fp.Accumulator('float16').matmul(np.ones((64, 64), 'f4'), np.ones((64, 64), 'f4'))\n"
        "print(time.perf_counter() - start)\n"
    )
    rows: Rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, numba in (("cold cache", "always"), ("warm cache", "always"), ("without numba", "off")):
            environment = {**os.environ, "FPSIM_NUMBA": numba, "NUMBA_CACHE_DIR": folder}
            done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
            rows[name] = {"s": float(done.stdout)}
    return rows


def training(rounds: int) -> Rows:
    """A training step of the classic network, batch 64, against plain NumPy's float32 step; peak memory."""
    return training_step.measure(rounds)


def transformer(rounds: int) -> Rows:
    """A training step of the small language model, 32 sequences of 64 characters, AdamW; ratios to plain NumPy's."""
    return transformer_step.measure(rounds)


MEASUREMENTS: dict[str, Callable[[int], Rows]] = {
    "import": import_time,
    "rounding": rounding,
    "accumulation": accumulation,
    "first use": first_use,
    "training step": training,
    "transformer step": transformer,
}


def measure(rounds: int = 15) -> dict[str, Rows]:
    """All measurements by name; with compiled kernels from the first call on, if numba is there."""
    os.environ.setdefault("FPSIM_NUMBA", "always")
    return {name: function(rounds) for name, function in MEASUREMENTS.items()}


def table(results: dict[str, Rows]) -> str:
    """The measurements as text."""
    lines = []
    for name, rows in results.items():
        lines.append(f"{name}: {(MEASUREMENTS[name].__doc__ or '').strip()}")
        for row, figures in rows.items():
            lines.append(f"  {row:44} " + "  ".join(f"{key} {value:.3g}" for key, value in figures.items()))
    return "\n".join(lines)
