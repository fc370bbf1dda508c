"""One point of a sweep, wherever it runs: plain arguments in, plain results out, one thread, the same bits.

Layer 8. Knows neither executors nor stores.
"""

from __future__ import annotations

import os
import platform
import time
import traceback
from collections.abc import Mapping
from contextvars import Context
from dataclasses import asdict
from typing import Any

import numpy as np

from fpsim.autograd.context import Observer, Rounded, using
from fpsim.experiments.training import train
from fpsim.kernels.pinning import one_blas_thread, one_thread

__all__ = ["GradientExponents", "carry_out", "carry_out_here"]


class GradientExponents(Observer):
    """Counts the exponents of the gradients handed to roundings: what they are before any format has its say."""

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}

    def rounded(self, event: Rounded) -> None:
        """Count one rounding; zeros, infinities and NaN have no exponent."""
        if event.role.endswith("gradient"):
            values = event.before[np.isfinite(event.before) & (event.before != 0)]
            exponents, counts = np.unique(np.frexp(values)[1] - 1, return_counts=True)
            for exponent, count in zip(exponents.tolist(), counts.tolist(), strict=True):
                self.counts[exponent] = self.counts.get(exponent, 0) + count


def carry_out(arguments: Mapping[str, Any], attempt: int = 0) -> dict[str, Any]:
    """Train with these arguments, BLAS and kernels on one thread each; what an executor is handed.

    The numerics context is a new one: nothing of what the caller, or an earlier task in this thread, has set matters.
    `attempt` tells a repeated task from the first one where an executor would hand out a remembered result (dask does).

    Returns
    -------
    dict
        ``run`` and ``exponents``, or ``error`` and ``traceback``; ``seconds``, ``worker``, and ``peak_bytes``, the most
        memory that the process has had.
    """
    return Context().run(_carry_out, arguments, ())


def carry_out_here(arguments: Mapping[str, Any], observers: tuple[Observer, ...]) -> dict[str, Any]:
    """The same in this process alone: kernels may use every core, and observers see what happens."""
    return Context().run(_carry_out, arguments, observers, alone=True)


def _carry_out(arguments: Mapping[str, Any], observers: tuple[Observer, ...], alone: bool = False) -> dict[str, Any]:
    started = time.perf_counter()
    watching = GradientExponents()
    found: dict[str, Any]
    try:
        with one_blas_thread() if alone else one_thread(), using(observers=(*observers, watching)):
            run = train(**arguments)
        found = {"run": asdict(run), "exponents": watching.counts}
    except Exception as error:  # whatever it is, the other points go on
        found = {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
    worker = f"{platform.node()}:{os.getpid()}"
    return {**found, "seconds": time.perf_counter() - started, "worker": worker, "peak_bytes": peak_bytes()}


def peak_bytes() -> int | None:
    """The most memory that this process has had, where the system tells."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) * (1 if platform.system() == "Darwin" else 1024)
