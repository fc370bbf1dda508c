"""Real processes, threads and this process: the same bits, pinned threads, dead workers, scripts without a guard."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from types import ModuleType

import pytest

import fpsim as fp
from fpsim.experiments.sweeps import executors
from fpsim.experiments.sweeps.executors import Processes, _environment, checked, opened
from fpsim.gallery.reruns import rerun
from fpsim.kernels import pinning
from tests.experiments.sweeps.networks import DEADLY, MORTAL, NOTE, SMALLEST, UNSOUND

FAST = {"scenario": "rounding", "steps": 3}


def same(a, b):
    return len(a) == len(b) and all(
        p.exponents == q.exponents and p.run.same_numbers(q.run) for p, q in zip(a, b, strict=True)
    )


@pytest.fixture(scope="module")
def pool():
    """Two workers for all tests of this file, so that they are started once."""
    made = Processes(2)
    yield made
    made.shutdown()


def surroundings(*unused):
    """What a task finds where it runs; handed to workers in place of a training."""
    from fpsim.kernels.threads import threads

    blas = [get() for get, _ in pinning._controls()]
    return {"blas": blas, "threads": threads(), "main": getattr(sys.modules["__main__"], "__file__", None)}


# The same bits -------------------------------------------------------------------------------------------------------


def test_blas_sums_have_the_same_bits_here_in_threads_and_in_processes(pool):
    """The classic network, whose products BLAS shares among threads where it may."""
    grid = {"recipe": ["float64", "mixed_float16"]}
    before = [get() for get, _ in pinning._controls()]
    pinning._set([2] * len(before))  # as many as would change bits
    try:
        serial = fp.sweep(grid, "serial", steps=1)
        with ThreadPoolExecutor(2) as threads:
            threaded = fp.sweep(grid, threads, steps=1)
    finally:
        pinning._set(before)
    assert same(serial, threaded)
    assert same(serial, fp.sweep(grid, pool, steps=1))


def test_a_stored_sweep_is_verified_whatever_blas_may_use(tmp_path):
    before = [get() for get, _ in pinning._controls()]
    pinning._set([2] * len(before))
    try:
        fp.sweep({"recipe": ["float64"]}, "serial", steps=1, out=tmp_path)
        _, there, here, _, _ = rerun(tmp_path / "sweep.sqlite")
    finally:
        pinning._set(before)
    assert there == here


def test_what_is_in_force_around_a_sweep_changes_no_bit(pool):
    plain = fp.sweep({"seed": [0, 1]}, pool, **FAST)
    with fp.default_precision("float16"), fp.seed(5), fp.no_grad():
        assert same(fp.sweep({"seed": [0, 1]}, "serial", **FAST), plain)


def test_observers_around_a_serial_sweep_see_it():
    with fp.observe() as report:
        fp.sweep({"seed": [0]}, "serial", **FAST)
    assert report.gradients.elements > 0


def test_a_pool_of_pythons_own_is_as_good(pool):
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as given:
        assert same(fp.sweep({"seed": [0, 1]}, given, **FAST), fp.sweep({"seed": [0, 1]}, pool, **FAST))


# Workers -------------------------------------------------------------------------------------------------------------


def test_workers_have_one_thread_each_and_no_main_file(pool):
    found = pool.submit(surroundings).result()
    assert found["blas"] == [1] * len(found["blas"])
    assert found["threads"] == 1
    assert found["main"] is None


def test_the_environment_here_is_left_as_it_was(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("FPSIM_THREADS", raising=False)
    with _environment(pinning.ENVIRONMENT):
        assert os.environ["OMP_NUM_THREADS"] == os.environ["FPSIM_THREADS"] == "1"
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "FPSIM_THREADS" not in os.environ


def test_a_worker_that_dies_in_the_middle_costs_no_result(tmp_path, monkeypatch):
    monkeypatch.setenv(NOTE, str(tmp_path / "died"))
    points = [{"scenario": "rounding"}, {"scenario": MORTAL}, {"scenario": "rounding", "seed": 1}]
    found = fp.sweep(points, "process:2", steps=3)
    assert (tmp_path / "died").exists()
    assert found.failures == []
    assert found[1].run.loss == found[0].run.loss


def test_a_configuration_that_kills_its_worker_is_recorded_and_the_others_go_on():
    points = [{"seed": 0}, {"scenario": DEADLY}, {"scenario": UNSOUND}, {"seed": 1}]
    points = [{"scenario": "rounding", **point} for point in points]
    found = fp.sweep(points, "process:2", steps=3)
    assert same(found, fp.sweep(points[::3], "serial", steps=3))
    unsound, deadly = sorted((failure.error for failure in found.failures), reverse=True)
    assert unsound == "ZeroDivisionError: no network"
    assert deadly.startswith("WorkerLostError: its worker died 2 times: BrokenProcessPool")


def test_interrupting_ends_the_workers_at_once():
    started = []

    def interrupted():
        with opened("process:1") as made:
            made.submit(time.sleep, 600)
            started.extend(made._context.workers)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [worker.is_alive() for worker in started] == [False]


# Scripts -------------------------------------------------------------------------------------------------------------

SCRIPT = """
import fpsim as fp
{extra}
found = fp.sweep({grid}, "process:1", steps=2)
print(len(found), found.failures)
"""


def run(tmp_path, **parts):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(**parts))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=120)


def test_a_script_needs_no_guard(tmp_path):
    done = run(tmp_path, extra="", grid='{"scenario": ["rounding"], "seed": [0, 1]}')
    assert (done.stdout, done.stderr) == ("2 []\n", "")


def test_a_script_that_defines_what_it_sweeps_needs_one_and_is_told_so(tmp_path):
    own = "import dataclasses\nfrom fpsim.experiments.scenario import SCENARIOS, DigitMLP\n"
    own += "class Net(DigitMLP): pass\nscenario = dataclasses.replace(SCENARIOS['rounding'], name='own', network=Net)"
    grid = '{"scenario": [scenario], "seed": [0, 1, 2]}'
    done = run(tmp_path, extra=own, grid=grid)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "fpsim.errors.WorkerLostError: sweep: expected workers that live, got 3 tasks in a row that lost theirs twice "
        '(BrokenProcessPool); start the sweep under `if __name__ == "__main__":`, since workers import the file for '
        "what it defines."
    )


# What is no executor -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("like", [4, 2.0, [], object(), ThreadPoolExecutor])
def test_what_is_no_executor_is_refused(like):
    with pytest.raises(fp.FpsimError, match=r"sweep: expected a concurrent.futures.Executor, 'process', 'process:4'"):
        checked(like)


@pytest.mark.parametrize(
    "like",
    ["threads", "process:0", "process:x", "process:", "process:-1", "serial:2", "", "dask://host", "dask://:1", "dask"],
)
def test_what_names_no_executor_is_refused(like):
    with pytest.raises(fp.ArgumentError, match=f"sweep: expected 'process'.*, got executor={like!r}"):
        checked(like)


def test_a_scheduler_that_does_not_answer_is_an_error(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(executors, "PATIENCE", 0.2)
    with pytest.raises(fp.ArgumentError, match="sweep: expected a dask scheduler that answers"):
        fp.sweep({"seed": [0]}, "dask://127.0.0.1:9", **FAST)


def test_without_distributed_a_cluster_is_an_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(fp.ArgumentError, match=r"got none installed; pip install 'fpsim-lab\[sweep\]'"):
        fp.sweep({"seed": [0]}, "dask://127.0.0.1:8786", **FAST)


def test_arguments_that_cannot_be_sent_are_refused_where_they_would_have_to_be():
    own = dataclasses.replace(SMALLEST, name="own", network=lambda: SMALLEST.network())
    with pytest.raises(fp.ArgumentTypeError, match="sweep: expected arguments that can be sent to another process"):
        fp.sweep({"scenario": [own]}, "process:1", steps=2)
    with ThreadPoolExecutor(1) as threads:
        assert fp.sweep({"scenario": [own]}, threads, steps=2).failures == []


def test_what_a_notebook_defines_cannot_be_sent(monkeypatch):
    main = ModuleType("__main__")  # without a file
    main.network = type("network", (), {"__module__": "__main__"})
    monkeypatch.setitem(sys.modules, "__main__", main)
    own = dataclasses.replace(SMALLEST, name="own", network=main.network)
    with pytest.raises(fp.ArgumentTypeError, match=r"at the top of a module, or use executor='serial'\."):
        fp.sweep({"scenario": [own]}, "process:1", steps=2)


# A killed sweep ------------------------------------------------------------------------------------------------------


def test_a_killed_sweep_takes_its_workers_along_and_goes_on_with_what_is_missing(tmp_path):
    out = tmp_path / "runs"
    program = (
        "import fpsim as fp\n"
        f"fp.sweep({{'seed': range(8)}}, 'process:2', scenario='rounding', steps=30, out={str(out)!r})"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", program], env=environment)
    while not (out / "sweep.sqlite").exists() or len(stored(out)) < 3:
        time.sleep(0.02)
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = stored(out)
    assert 3 <= len(before) < 8
    gone = {int(worker.rpartition(":")[2]) for _, worker in before}
    deadline = time.monotonic() + 60
    while any(map(alive, gone)):
        assert time.monotonic() < deadline, "its workers live on"
        time.sleep(0.05)
    computed = []
    told = {"progress": lambda done, points, settings: computed.append(settings["seed"])}
    again = fp.sweep({"seed": range(8)}, "serial", scenario="rounding", steps=30, out=out, **told)
    assert len(computed) == 8 - len(before)
    assert set(before) <= set(stored(out))
    assert same(again, fp.sweep({"seed": range(8)}, "serial", scenario="rounding", steps=30))


def stored(out):
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(out / "sweep.sqlite", timeout=30)) as connection:
        tables = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'results'").fetchone()
        return connection.execute("SELECT key, worker FROM results").fetchall() if tables[0] else []


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
