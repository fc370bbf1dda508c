"""What becomes of tasks: streamed, lost with their worker and done again, blamed when they alone are to blame."""

from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor

import pytest

import fpsim as fp
from fpsim.experiments.sweeps import executors, running


class KilledWorker(Exception):
    """As dask's is called."""


class Pool(Executor):
    """Runs a batch of tasks when it is full; a task in `deadly` breaks it, and all that it holds, so many times."""

    log: list = []  # noqa: RUF012
    deadly: dict = {}  # noqa: RUF012

    def __init__(self, workers=4, main=False):
        self.workers = self._max_workers = workers
        self.main = main
        self.held, self.broken = [], False

    def submit(self, fn, arguments, attempt):
        if self.broken:
            raise BrokenExecutor("it is broken")
        future = Future()
        self.held.append((future, arguments["seed"]))
        return future

    def run(self):
        """What the workers do while somebody waits."""
        held, self.held = self.held, []
        type(self).log.append([seed for _, seed in held])
        for _, seed in held:
            if self.deadly.get(seed, 0) > 0:
                self.deadly[seed] -= 1
                self.broken = True
        for future, seed in held:
            if self.broken:
                future.set_exception(BrokenExecutor("a worker died"))
            else:
                future.set_result({"run": seed})

    def shutdown(self, wait=True, *, cancel_futures=False):
        self.broken = False


@pytest.fixture
def pool(monkeypatch):
    """The pool, in place of processes too."""

    def waiting(futures, timeout=None, return_when=None):
        for one in {id(p): p for p in pools}.values():
            if one.held:
                one.run()
        return {f for f in futures if f.done()}, {f for f in futures if not f.done()}

    pools = []

    class Noted(Pool):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            pools.append(self)

    Noted.log, Noted.deadly = [], {}
    monkeypatch.setattr(running, "wait", waiting)
    monkeypatch.setattr(running, "Processes", Noted)
    return Noted


def run(executor, count=10):
    tasks = [(str(seed), {"seed": seed}) for seed in range(count)]
    return dict(pair for batch in running.results(executor, tasks) for pair in batch)


def test_every_task_comes_back_once(pool):
    assert run(pool(2), 40) == {str(seed): {"run": seed} for seed in range(40)}
    assert max(map(len, pool.log)) == 2 * running.A_WORKER


def test_a_worker_that_dies_once_costs_nothing_but_time(pool):
    pool.deadly.update({3: 1})
    assert run(pool(2), 40) == {str(seed): {"run": seed} for seed in range(40)}
    assert len(pool.log[-2]) == 2 * running.A_WORKER  # soon as many at a time as before


def test_a_task_that_always_kills_is_found_among_its_neighbours(pool):
    pool.deadly.update({3: 99})
    found = run(pool(4), 30)
    assert found.pop("3")["error"].startswith("WorkerLostError: its worker died 2 times")
    assert found == {str(seed): {"run": seed} for seed in range(30) if seed != 3}
    assert pool.deadly[3] >= 99 - 5  # few pools were lost to it


def test_two_of_them_are_found_too(pool):
    pool.deadly.update({3: 99, 17: 99})
    found = run(pool(4), 30)
    assert {key for key, result in found.items() if "error" in result} == {"3", "17"}
    assert sum(pool.deadly.values()) >= 2 * (99 - 6)


def test_where_everything_dies_the_sweep_says_so_instead_of_going_on(pool):
    pool.deadly.update(dict.fromkeys(range(30), 99))
    with pytest.raises(fp.WorkerLostError, match="sweep: expected workers that live, got 3 tasks in a row"):
        run(pool(2), 30)


def test_a_given_pool_that_breaks_is_replaced(pool):
    class Given(Pool):
        deadly = {2: 1}  # noqa: RUF012
        log = []  # noqa: RUF012

        def shutdown(self, wait=True, *, cancel_futures=False):
            raise AssertionError("it is its owner's to close")

    given = Given(2)
    real_wait = running.wait

    def waiting(futures, timeout=None, return_when=None):
        if given.held:
            given.run()
        return real_wait(futures, timeout, return_when)

    running.wait = waiting  # the fixture's monkeypatch takes it back
    assert run(given) == {str(seed): {"run": seed} for seed in range(10)}


class OneByOne(Executor):
    """Fails as it is told to, at once."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.attempts = []

    def submit(self, fn, arguments, attempt):
        self.attempts.append((arguments["seed"], attempt))
        future = Future()
        error = self.errors.pop(0) if self.errors else None
        if error == "cancelled":
            future.cancel()
            future.set_running_or_notify_cancel()
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result({"run": arguments["seed"]})
        return future


def test_dasks_killed_worker_is_tried_once_more_with_another_attempts_number():
    executor = OneByOne(KilledWorker("task"))
    assert run(executor, 2) == {"0": {"run": 0}, "1": {"run": 1}}
    assert sorted(executor.attempts) == [(0, 0), (0, 1), (1, 0)]


def test_dasks_killed_worker_names_the_task_to_blame():
    class Killing(OneByOne):
        def submit(self, fn, arguments, attempt):
            self.errors = [KilledWorker("task")] if arguments["seed"] == 1 else []
            return super().submit(fn, arguments, attempt)

    found = run(Killing(), 3)
    assert found.pop("1")["error"].startswith("WorkerLostError")
    assert found == {"0": {"run": 0}, "2": {"run": 2}}


def test_a_cancelled_future_is_handed_out_again():
    assert run(OneByOne("cancelled"), 2) == {"0": {"run": 0}, "1": {"run": 1}}


def test_what_cannot_travel_fails_alone():
    assert run(OneByOne(TypeError("cannot pickle")), 2) == {"0": {"error": "TypeError: cannot pickle"}, "1": {"run": 1}}


def test_an_executor_that_was_closed_is_an_error():
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(fp.WorkerLostError, match="sweep: expected an executor that takes work, got ThreadPoolExecutor"):
        run(pool)


def test_a_cluster_that_is_gone_for_good_is_an_error(monkeypatch):
    class Gone(Executor):
        class _client:
            status = "closed"

        def submit(self, fn, arguments, attempt):
            return Future()  # of which nobody will ever hear

    monkeypatch.setattr(running, "LOOK", 0.01)
    with pytest.raises(fp.WorkerLostError) as error:
        run(Gone(), 3)
    assert str(error.value) == (
        "sweep: expected a connection to the cluster's scheduler, got none for 3 tasks; start it again, and then the "
        "same sweep: with out= it goes on."
    )


def test_a_consumer_that_leaves_cancels_what_is_handed_out(pool):
    executor = pool(2)
    stream = running.results(executor, [(str(seed), {"seed": seed}) for seed in range(20)])
    next(stream)
    stream.close()
    assert all(future.cancelled() for future, _ in executor.held)


def test_executors_say_how_many_workers_they_have():
    with ThreadPoolExecutor(3) as pool:
        assert executors.workers_of(pool) == 3
    assert executors.workers_of("process:5") == 5
    assert executors.workers_of("serial") == 1
    assert executors.workers_of("dask://127.0.0.1:8786") is None
    assert executors.workers_of(OneByOne()) is None
