"""Hold BLAS, or BLAS and fpsim's own kernels, to one thread for a `with` block.

Layer 1. Calls the loaded library's own functions by name; where it has none that is known, nothing is changed. BLAS may
cut a sum by the number of its threads, so its bits are the same in two places only where both hold it to one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from fpsim.kernels.threads import limited

__all__ = ["ENVIRONMENT", "one_blas_thread", "one_thread"]

#: What a new process reads to the same end, before NumPy is imported: OpenBLAS, OpenMP, MKL, BLIS, numba; Accelerate.
ENVIRONMENT = {
    f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "OMP", "MKL", "BLIS", "NUMBA")
} | {"VECLIB_MAXIMUM_THREADS": "1", "FPSIM_THREADS": "1"}  # fmt: skip

#: The pair (get, set) in the libraries that NumPy is built with. OpenBLAS's names have a prefix in the wheels of NumPy
#: and a suffix where integers have 64 bits (numpy.org/devdocs/building/blas_lapack.html).
_NAMES = [
    (f"{prefix}openblas_get_num_threads{suffix}", f"{prefix}openblas_set_num_threads{suffix}")
    for prefix in ("scipy_", "")
    for suffix in ("64_", "_64", "")
] + [("MKL_Get_Max_Threads", "MKL_Set_Num_Threads")]

_lock = Lock()
#: how many blocks hold BLAS now (the number of its threads belongs to the whole process), and what it had before
_holders = 0
_before: list[int] = []


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """BLAS works with one thread, in the whole process; as before once the last of such blocks ends."""
    global _holders
    with _lock:
        if _holders == 0:
            _before[:] = [get() for get, _ in _controls()]
            _set([1] * len(_before))
        _holders += 1
    try:
        yield
    finally:
        with _lock:
            _holders -= 1
            if _holders == 0:
                _set(_before)


@contextmanager
def one_thread() -> Iterator[None]:
    """BLAS as in `one_blas_thread`, and in this context the kernels too: for work of which every core has its own."""
    with one_blas_thread(), limited(1):
        yield


def _set(counts: list[int]) -> None:
    for (_, set_to), count in zip(_controls(), counts, strict=True):
        set_to(count)


@cache
def _controls() -> list[tuple[Callable[[], int], Callable[[int], Any]]]:
    """Functions that get and set the number of threads, of each BLAS that NumPy has loaded."""
    import ctypes  # not for those who never pin

    found = []
    for path in _loaded():
        try:
            library = ctypes.CDLL(path)  # the one that is loaded: the system hands out the same
        except OSError:  # (deleted, or not a library)
            continue
        for get, set_to in _NAMES:
            if hasattr(library, get) and hasattr(library, set_to):
                found.append((getattr(library, get), getattr(library, set_to)))
                break
    return found


def _loaded() -> list[str]:
    """Files of the BLAS in this process: on Linux as the system lists them, elsewhere those that lie beside NumPy."""
    if sys.platform == "linux":
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
        paths = {line[line.index("/") :] for line in lines if "/" in line}
    else:
        numpy = Path(np.__file__).parent
        folders = (numpy / ".dylibs", numpy.parent / "numpy.libs")
        paths = {str(file) for folder in folders if folder.is_dir() for file in folder.iterdir()}
    return sorted(path for path in paths if any(name in os.path.basename(path) for name in ("openblas", "mkl_rt")))
