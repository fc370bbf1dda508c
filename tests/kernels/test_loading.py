"""When kernels are loaded, what is said, and what happens where they cannot be had."""

import os
import subprocess
import sys

import pytest

import fpsim as fp
from fpsim.kernels import loading, threads

HEAVY = (
    "import numpy as np, fpsim as fp; print(fp.Accumulator('float16').matmul(np.ones((4, 9)), np.ones((9, 3))).sum())"
)


def run(program, **environment):
    """A program in a new process: (stdout, stderr)."""
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return done.stdout, done.stderr


@pytest.fixture
def fresh(monkeypatch):
    """As in a new process."""
    monkeypatch.setattr(loading, "_loaded", None)
    monkeypatch.setattr(loading, "_spent", 0.0)
    monkeypatch.delenv("FPSIM_NUMBA", raising=False)


def test_little_work_is_numpys(fresh):
    assert loading.compiled(0.01) is None
    assert loading._loaded is None


def test_much_work_loads_the_kernels(fresh):
    pytest.importorskip("numba")
    assert [loading.compiled(0.2) is None for _ in range(4)] == [True, True, False, False]
    assert loading.compiled(1e-9) is None, "a call that gains nothing"


def test_always_means_the_first_call_too(fresh, monkeypatch):
    pytest.importorskip("numba")
    monkeypatch.setenv("FPSIM_NUMBA", "always")
    assert loading.compiled(1e-9) is not None
    assert loading.compiled(1e-9) is not None


def test_off_means_never(fresh, monkeypatch):
    monkeypatch.setenv("FPSIM_NUMBA", "off")
    assert [loading.compiled(10.0) for _ in range(3)] == [None] * 3


def test_without_numba_numpy_goes_on(fresh, monkeypatch):
    monkeypatch.setattr(loading, "available", lambda: False)
    assert [loading.compiled(10.0) for _ in range(3)] == [None] * 3


def test_a_numba_that_fails_to_import_warns_once(fresh, monkeypatch):
    monkeypatch.setattr(loading, "available", lambda: True)
    monkeypatch.setitem(sys.modules, "fpsim.kernels.compiled", None)
    with pytest.warns(RuntimeWarning, match="fpsim goes on with NumPy alone"):
        assert loading.compiled(10.0) is None
    assert loading.compiled(10.0) is None


def test_a_setting_that_is_none(fresh, monkeypatch):
    monkeypatch.setenv("FPSIM_NUMBA", "maybe")
    with pytest.raises(fp.ArgumentError, match=r"auto, always or off, got FPSIM_NUMBA='maybe'; set one of them"):
        loading.compiled(10.0)


@pytest.mark.parametrize("given", ["0", "two", "-1", ""])
def test_a_number_of_threads_that_is_none(given, monkeypatch):
    monkeypatch.setenv("FPSIM_THREADS", given)
    with pytest.raises(fp.ArgumentError, match="FPSIM_THREADS: expected a number of threads, got FPSIM_THREADS="):
        threads.threads()


def test_compiling_is_announced_once_and_then_cached(tmp_path):
    pytest.importorskip("numba")
    environment = {"FPSIM_NUMBA": "always", "NUMBA_CACHE_DIR": str(tmp_path)}
    first, second = run(HEAVY, **environment), run(HEAVY, **environment)
    assert first[0] == second[0] == "108.0\n"
    assert first[1].count("\n") == 1
    assert first[1].startswith("fpsim: compiling kernels")
    assert second[1] == ""


def test_a_cache_that_cannot_be_written_to_is_no_error():
    pytest.importorskip("numba")
    program = "import numba.core.caching as c; c.CacheImpl._locator_classes = []\n" + HEAVY
    out, err = run(program, FPSIM_NUMBA="always")
    assert out == "108.0\n"
    assert "Error" not in err


def test_shares_cover_the_range(monkeypatch):
    monkeypatch.setenv("FPSIM_THREADS", "3")
    for size in (0, 1, 5, 16, 17, 1000):
        pieces = threads.share(size, seconds=1.0, multiple=4)
        assert [i for start, stop in pieces for i in range(start, stop)] == list(range(size))
        assert len(pieces) <= 3
        assert all((stop - start) % 4 == 0 for start, stop in pieces[:-1])
    assert len(threads.share(1000, seconds=1e-6)) == 1


def test_a_failure_in_a_thread_is_raised():
    def task(i):
        if i == 1:
            raise ValueError(f"piece {i}")

    with pytest.raises(ValueError, match="piece 1"):
        threads.in_parallel(task, [(0,), (1,)])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_makes_threads_of_its_own():
    program = (
        "import os; from fpsim.kernels.threads import in_parallel\n"
        "in_parallel(lambda i: None, [(0,), (1,)])\n"
        "child = os.fork()\n"
        "in_parallel(lambda i: None, [(0,), (1,)])\n"
        "print('done', flush=True)\n"
        "os._exit(0) if child == 0 else os.waitpid(child, 0)\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "done\n" * 2
