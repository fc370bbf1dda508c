"""`kernel`: compile a function on first use, without Python's lock, cached on disk where the disk lets us.

Layer 1. Says once, on stderr, that it compiles.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit
from numba.core import event

__all__ = ["kernel"]


def kernel(function: Callable[..., Any]) -> Any:
    """Compile `function` when it is first called with each type of arguments."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        compiled = njit(cache=True, **options)(function)
    except RuntimeError:  # no folder can be written to
        return njit(**options)(function)
    compiled._cache._cache_file._source_stamp = _STAMP
    return compiled


def _stamp() -> str:
    """What the cache's entries must have been made from: all files of this room, where numba itself looks at one."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in sources)).hexdigest()


_STAMP = _stamp()


class _Announcement(event.Listener):
    """Numba tells it of every compilation, and of none that the cache saves."""

    made = False

    def on_start(self, event: Any) -> None:
        if not self.made:
            self.made = True
            print("fpsim: compiling kernels, once; later runs find them in numba's cache.", file=sys.stderr)

    def on_end(self, event: Any) -> None:
        pass


event.register("numba:compile", _Announcement())
