"""When are compiled kernels used? `compiled(seconds)` says: once the work done without numba has paid for its import.

Layer 1. Knows no kernel by name. ``FPSIM_NUMBA`` is ``auto`` (the default), ``always`` or ``off``.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import warnings
from functools import cache
from typing import Any

from fpsim.errors import ArgumentError, expected

__all__ = ["available", "compiled", "setting"]

#: Seconds of NumPy work after which importing numba and loading kernels from its cache has paid for itself.
WORTH_LOADING = 0.5
#: Seconds of NumPy work below which a call of a compiled kernel gains nothing.
WORTH_CALLING = 20e-6

_spent = 0.0
_loaded: Any = None
_always = False


def setting() -> str:
    """``auto``, ``always`` or ``off``, from the environment variable ``FPSIM_NUMBA``."""
    chosen = os.environ.get("FPSIM_NUMBA", "auto")
    if chosen not in ("auto", "always", "off"):
        got = f"FPSIM_NUMBA={chosen!r}"
        raise ArgumentError(expected("FPSIM_NUMBA", "auto, always or off", got, "set one of them, or none"))
    return chosen


@cache
def available() -> bool:
    """Whether numba is installed."""
    try:
        return importlib.util.find_spec("numba") is not None
    except ImportError:  # (an import hook may say no in its own way)
        return False


def compiled(seconds: float) -> Any:
    """The module of compiled kernels, or None where NumPy shall do this work; `seconds` is what it would take NumPy.

    The first half second of work is NumPy's, so that a short script never waits for numba. No bit depends on it.
    """
    global _spent
    if _loaded is None:
        _spent += seconds
        return _load() if _spent >= WORTH_LOADING or setting() == "always" else None
    if _loaded is _ABSENT:
        return None
    return _loaded if seconds >= WORTH_CALLING or _always else None


class _Absent:
    """Stands for kernels that cannot be had."""


_ABSENT = _Absent()


def _load() -> Any:
    global _loaded, _always
    _loaded, _always = _ABSENT, setting() == "always"
    if setting() != "off" and available():
        try:
            _loaded = importlib.import_module("fpsim.kernels.compiled")
        except Exception as error:  # a numba that does not fit this NumPy or CPU: everything works without
            warnings.warn(
                f"numba is installed but cannot be used ({error}); fpsim goes on with NumPy alone.",
                RuntimeWarning,
                stacklevel=4,
            )
    return None if _loaded is _ABSENT else _loaded
