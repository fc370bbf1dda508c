"""Results as they finish, from any executor; the work of a worker that was lost is done again.

Layer 8. Hands out tasks and gathers what comes back; `task` does the work, `executors` are where.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from typing import Any

from fpsim.autograd.context import current
from fpsim.errors import WorkerLostError, expected
from fpsim.experiments.sweeps.executors import Processes, workers_of
from fpsim.experiments.sweeps.task import carry_out, carry_out_here

__all__ = ["results"]

Task = tuple[str, Mapping[str, Any]]
Result = tuple[str, dict[str, Any]]

#: Tasks handed out at a time: so many a worker, that none of them waits, or so many in all where nobody says how many
#: workers there are.
A_WORKER, IN_ALL = 3, 10_000
#: A task that lost its worker so often, each time the only one handed out, is to blame itself.
STRIKES = 2
#: Seconds after which to look whether the cluster is still there.
LOOK = 5.0
#: So many tasks to blame, and no result between them: it is not the tasks.
HOPELESS = 3


def results(executor: Executor | None, tasks: Iterable[Task]) -> Iterator[list[Result]]:
    """Batches of what has finished, as (key, result); None runs the tasks here, one after the other."""
    if executor is None:
        observers = current().observers
        for key, arguments in tasks:
            yield [(key, carry_out_here(arguments, observers))]
    else:
        yield from _Handing(executor, tasks).batches()


class _Handing:
    """Tasks waiting, and tasks handed out.

    A broken pool does not say which of its tasks broke it. All of them are suspects, tried again in a new one, a
    quarter at a time, so that one that always breaks it soon runs alone and is found out. Then, or once no suspect is
    left, as many as ever are handed out.
    """

    def __init__(self, executor: Executor, tasks: Iterable[Task]) -> None:
        self.executor = executor
        workers = executor.workers if isinstance(executor, Processes) else workers_of(executor)
        self.full = A_WORKER * workers if workers is not None else IN_ALL
        self.width = self.full
        self.waiting = deque(tasks)
        self.out: dict[Future[dict[str, Any]], Task] = {}
        self.attempts: dict[str, int] = {}
        self.strikes: dict[str, int] = {}
        self.suspects: set[str] = set()
        self.blamed = 0

    def batches(self) -> Iterator[list[Result]]:
        """What has finished, until nothing is left."""
        given = self.executor
        try:
            while self.waiting or self.out:
                self._hand_out()
                done = self._first_done()
                if any(_is_broken(future.exception()) for future in done if not future.cancelled()):
                    done, _ = wait(self.out)  # then the others' are too, in a moment
                yield self._gather(done)
        finally:
            for future in self.out:
                future.cancel()
            if self.executor is not given:
                self.executor.shutdown(wait=False)

    def _first_done(self) -> set[Future[dict[str, Any]]]:
        """What is done, once anything is; a cluster that is gone for good finishes nothing, and does not say so."""
        while not (done := wait(self.out, timeout=LOOK, return_when=FIRST_COMPLETED)[0]):
            if getattr(getattr(self.executor, "_client", None), "status", None) in ("closing", "closed"):
                got = f"none for {len(self.out)} tasks"
                remedy = "start it again, and then the same sweep: with out= it goes on"
                raise WorkerLostError(expected("sweep", "a connection to the cluster's scheduler", got, remedy))
        return done

    def _hand_out(self) -> None:
        """Fill up what is handed out."""
        while self.waiting and len(self.out) < self.width:
            key, arguments = self.waiting[0]
            attempt = self.attempts.get(key, 0)
            try:
                future = self.executor.submit(carry_out, arguments, attempt)
            except BrokenExecutor:
                if self.out:  # first see what these were
                    return
                self._renew()
                continue
            except RuntimeError as error:
                got = f"{type(self.executor).__name__}: {error}"
                remedy = "keep it open until the sweep has ended"
                raise WorkerLostError(expected("sweep", "an executor that takes work", got, remedy)) from None
            self.attempts[key] = attempt + 1
            self.out[future] = self.waiting.popleft()

    def _renew(self) -> None:
        """Go on in a new pool: of our own, or in place of one that was given, as large."""
        if isinstance(self.executor, Processes):
            self.executor.shutdown()
        else:
            self.executor = Processes(workers_of(self.executor), main=True)

    def _gather(self, done: Iterable[Future[dict[str, Any]]]) -> list[Result]:
        """What came back; what was lost waits again, before all others."""
        finished: list[Result] = []
        lost: list[tuple[Task, BaseException]] = []
        alone = len(self.out) == 1
        for future in [future for future in self.out if future in done]:  # in the order in which they were handed out
            task = self.out.pop(future)
            error = CancelledError() if future.cancelled() else future.exception()
            if error is None:
                finished.append((task[0], future.result()))
            elif _is_broken(error) or _names_its_task(error):
                lost.append((task, error))
            else:  # the arguments, or the result, do not travel
                finished.append((task[0], {"error": f"{type(error).__name__}: {error}"}))
        if finished:
            self.blamed = 0
            self.suspects.difference_update(key for key, _ in finished)
        if any(_is_broken(error) for _, error in lost):
            self.suspects.update(task[0] for task, _ in lost)
            self.width = max(1, min(self.width, len(lost)) // 4)
        for task, error in reversed(lost):
            self.strikes[task[0]] = self.strikes.get(task[0], 0) + (alone or _names_its_task(error))
            if self.strikes[task[0]] >= STRIKES:
                finished.append((task[0], self._blame(error)))
                self.suspects.clear()
            else:
                self.waiting.appendleft(task)
        if not self.suspects:
            self.width = self.full
        return finished

    def _blame(self, error: BaseException) -> dict[str, Any]:
        """The result of a task that takes its worker along; after a few of them nothing works here."""
        self.blamed += 1
        if self.blamed >= HOPELESS:
            remedy = "look for what ended them above, or in the system's log (memory?), or try executor='serial'"
            if isinstance(self.executor, Processes) and self.executor.main:
                where = '`if __name__ == "__main__":`'
                remedy = f"start the sweep under {where}, since workers import the file for what it defines"
            got = f"{self.blamed} tasks in a row that lost theirs twice ({type(error).__name__})"
            raise WorkerLostError(expected("sweep", "workers that live", got, remedy)) from error
        return {"error": f"WorkerLostError: its worker died {STRIKES} times: {type(error).__name__}: {error}"}


def _is_broken(error: BaseException | None) -> bool:
    """Whether the executor, and not the task, has failed: its workers are gone, or its connection is."""
    return isinstance(error, BrokenExecutor) or type(error).__name__ in ("CancelledError", "FutureCancelledError")


def _names_its_task(error: BaseException) -> bool:
    """Whether the executor has tried the task on several workers, and says that it is the one (dask)."""
    return type(error).__name__ == "KilledWorker"
