"""Which kernels run, and on how many threads, whatever the environment says.

Tests only.
"""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from fpsim.kernels import loading


@contextmanager
def kernels(which: str, threads: int = 1):
    """For the length of a block: ``numpy`` or ``compiled`` kernels only."""
    assert which in ("numpy", "compiled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "_loaded", loading._ABSENT if which == "numpy" else None)
        patch.setenv("FPSIM_NUMBA", "off" if which == "numpy" else "always")
        patch.setenv("FPSIM_THREADS", str(threads))
        yield
