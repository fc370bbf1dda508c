"""Share independent pieces of work among cores: `share` cuts a range, `in_parallel` runs the pieces.

Layer 1. Knows nothing of arrays. How many threads work (``FPSIM_THREADS``; in a block, `limited`) changes no bit.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from fpsim.errors import ArgumentError, expected

__all__ = ["cores", "in_parallel", "limited", "share", "threads"]

#: Seconds of work that pay for handing them to another thread.
WORTH_A_THREAD = 150e-6

_pool: Any = None
_limit: ContextVar[int | None] = ContextVar("fpsim_threads", default=None)


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def limited(count: int) -> Iterator[None]:
    """Work that is shared in this context, inside the block, is shared among `count` threads."""
    token = _limit.set(count)
    try:
        yield
    finally:
        _limit.reset(token)


def threads() -> int:
    """How many threads share the work: as `limited`, else ``FPSIM_THREADS``, else one for each core."""
    limit = _limit.get()
    if limit is not None:
        return limit
    given = os.environ.get("FPSIM_THREADS")
    if given is not None:
        if not given.isdecimal() or int(given) == 0:
            got = f"FPSIM_THREADS={given!r}"
            raise ArgumentError(expected("FPSIM_THREADS", "a number of threads", got, "set 1 or more, or unset it"))
        return int(given)
    return cores()


def share(size: int, seconds: float, multiple: int = 1) -> list[tuple[int, int]]:
    """``range(size)`` in as many pieces as threads are worth their start, each but the last a multiple of `multiple`.

    `seconds` is what one thread would take for all.
    """
    if seconds < 2 * WORTH_A_THREAD:
        return [(0, size)] if size else []
    worth = min(int(seconds / WORTH_A_THREAD), -(-size // multiple))
    pieces = min(threads(), worth) if worth > 1 else 1
    step = -(-size // (pieces * multiple)) * multiple
    return [(start, min(start + step, size)) for start in range(0, size, step)] if size else []


def in_parallel(task: Callable[..., Any], pieces: Iterable[tuple[Any, ...]]) -> None:
    """``task(*piece)`` for every piece, on a thread each where there are several."""
    global _pool
    pieces = list(pieces)
    if len(pieces) < 2:
        for piece in pieces:
            task(*piece)
        return
    if _pool is None:
        from concurrent.futures import ThreadPoolExecutor  # only now: it takes a while to import

        _pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="fpsim")
    others = [_pool.submit(task, *piece) for piece in pieces[1:]]
    task(*pieces[0])
    for other in others:
        other.result()


def _forget_pool() -> None:
    """Threads do not live on in a forked process."""
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
