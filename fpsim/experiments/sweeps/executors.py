"""Where a sweep runs: processes of its own, each on one core with one thread, or an executor by name.

Layer 8. Knows nothing of training: what it starts and stops are processes. They are Python's own pool's.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import parent_process
from multiprocessing.context import SpawnContext, SpawnProcess
from types import ModuleType
from typing import Any

from fpsim.errors import ArgumentError, ArgumentTypeError, expected
from fpsim.kernels.pinning import ENVIRONMENT
from fpsim.kernels.threads import cores

__all__ = ["Processes", "opened", "workers_of"]

#: What an executor may be called.
NAMES = "'process', 'process:4', 'serial' or 'dask://host:port'"
#: Seconds in which a cluster must answer.
PATIENCE = 10


# By name -------------------------------------------------------------------------------------------------------------


@contextmanager
def opened(like: Any, main: bool = False, op: str = "sweep") -> Iterator[Executor | None]:
    """The executor that `like` is or names, closed at the end if it was opened here; None: here, one by one.

    `main`: whether tasks hold objects that are defined in the program's main file; `op`: what errors are of.
    """
    if like == "serial":
        yield None
    elif isinstance(like, str) and like.startswith("dask://"):
        with _dask_client(like, op) as client:
            yield client.get_executor()
    elif like is None or isinstance(like, str):
        pool = Processes(workers_of(like, op), main)
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        pool.shutdown()
    else:
        checked(like, op)
        yield like


def checked(like: Any, op: str = "sweep") -> None:
    """Refuse what is no executor and names none."""
    if isinstance(like, str | None):
        workers_of(like, op)
    elif isinstance(like, type) or not callable(getattr(like, "submit", None)):
        got = type(like).__name__
        remedy = "leave it out for a process on each core"
        raise ArgumentTypeError(expected(op, f"a concurrent.futures.Executor, {NAMES}", got, remedy))


def workers_of(like: Any, op: str = "sweep") -> int | None:
    """How many processes an executor has, None where it does not say: one a core unless told otherwise."""
    if like is None or like == "process":
        return cores() if sys.platform != "win32" else min(cores(), 61)  # (the pool's own limit there)
    if like == "serial":
        return 1
    if isinstance(like, str):
        if re.fullmatch(r"dask://[^/\s]+:\d{1,5}", like):
            return None
        if named := re.fullmatch(r"process:0*([1-9]\d{0,4})", like):
            return int(named[1])
        got = f"executor={like!r}"
        raise ArgumentError(expected(op, NAMES, got, "leave it out for a process on each core"))
    width = getattr(like, "_max_workers", None)  # as both of Python's own pools call it
    return width if isinstance(width, int) else None


@contextmanager
def _dask_client(address: str, op: str) -> Iterator[Any]:
    try:
        from distributed import Client
    except ImportError:
        remedy = "pip install 'fpsim-lab[sweep]'"
        raise ArgumentError(expected(op, "distributed, dask's engine", "none installed", remedy)) from None
    try:
        client = Client(address.replace("dask://", "tcp://", 1), timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        got = f"executor={address!r}: {error}"
        remedy = "start `dask scheduler` there and `dask worker` on the machines that are to work"
        raise ArgumentError(expected(op, "a dask scheduler that answers", got, remedy)) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except OSError:  # (as TimeoutError is one)
            got, remedy = f"none at {address} in {PATIENCE} s", f"start `dask worker {client.scheduler.address}`"
            raise ArgumentError(expected(op, "a cluster with workers", got, remedy)) from None
        yield client


# Processes -----------------------------------------------------------------------------------------------------------


class Processes(Executor):
    """Python's own pool of processes, its workers pinned; after `shutdown`, of a broken one too, it can begin anew.

    A worker is a new interpreter, which reads how many threads BLAS may have before it imports NumPy. The program's
    main file is not imported in it unless tasks need that, so a script needs no ``if __name__ == "__main__"``.
    """

    def __init__(self, workers: int | None, main: bool = False) -> None:
        self.workers = workers or cores()
        self.main = main
        self._context = _Pinned(main)
        self._pool: ProcessPoolExecutor | None = None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Hand over a task; the first one starts the workers."""
        if self._pool is None:
            self._context = _Pinned(self.main)
            self._pool = ProcessPoolExecutor(self.workers, mp_context=self._context, initializer=_begin)
        return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the workers go; without waiting, in the middle of what they do. A later task starts others."""
        if self._pool is None:
            return
        if not wait:
            for worker in self._context.workers:
                worker.terminate()
        self._pool.shutdown(wait=True, cancel_futures=cancel_futures)
        self._pool = None


class _Pinned(SpawnContext):
    """Starts `_Worker`s, and knows them."""

    def __init__(self, main: bool) -> None:
        self.main = main
        self.workers: list[_Worker] = []

    def Process(self, *args: Any, **kwargs: Any) -> _Worker:  # type: ignore[override]
        worker = _Worker(*args, **kwargs)
        worker.main = self.main
        self.workers.append(worker)
        return worker


class _Worker(SpawnProcess):
    """A new interpreter that finds `ENVIRONMENT` as its own."""

    main = False

    def start(self) -> None:
        """Start it."""
        with _environment(ENVIRONMENT), _main_file_shown(self.main):
            super().start()


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """These variables for whatever is started inside."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _main_file_shown(shown: bool) -> Iterator[None]:
    """A process started inside imports the program's main file only if it is `shown`.

    A new interpreter runs the main file again, under another name, so that objects defined there can be unpickled. A
    script without ``if __name__ == "__main__"`` would then start its sweep again in every worker.
    """
    main = sys.modules["__main__"]
    if not shown:
        sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _begin() -> None:
    """What a worker does first: leave Ctrl-C to the parent, end with it, and warn nobody of what is counted anyway."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    warnings.simplefilter("ignore", UserWarning)


def _end_with_the_parent() -> None:
    """A killed parent tells nobody; without this its workers would wait for tasks for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
