"""`quiet`: no floating-point warnings for the length of a block, at no price inside of another such block.

Layer 1. Wraps `np.errstate`, which takes microseconds: as long as a small array's operation.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from types import TracebackType

import numpy as np

__all__ = ["quiet"]

_IS_QUIET: ContextVar[bool] = ContextVar("quiet", default=False)


class _Outermost:
    """Silences, and notes it for the blocks inside."""

    __slots__ = ("_errstate", "_token")
    _token: Token[bool]

    def __enter__(self) -> None:
        self._errstate = np.errstate(all="ignore")
        self._errstate.__enter__()
        self._token = _IS_QUIET.set(True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _IS_QUIET.reset(self._token)
        self._errstate.__exit__(kind, error, trace)


class _Inside:
    """Silent already."""

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


_INSIDE = _Inside()


def quiet() -> _Outermost | _Inside:
    """``with quiet():`` as ``with np.errstate(all="ignore"):``."""
    return _INSIDE if _IS_QUIET.get() else _Outermost()
