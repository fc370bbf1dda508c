"""Holding BLAS and kernels to one thread: inside, nested, from several threads, and as before afterwards."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

from fpsim.kernels import pinning, threads

CONTROLS = pinning._controls()
needs_control = pytest.mark.skipif(not CONTROLS, reason="NumPy's BLAS is none whose threads can be set")


@pytest.fixture(autouse=True)
def two_threads():
    """BLAS works with two threads in these tests, whatever the machine has."""
    before = [get() for get, _ in CONTROLS]
    pinning._set([2] * len(CONTROLS))
    yield
    pinning._set(before)


def counts():
    return [get() for get, _ in CONTROLS]


def test_the_blas_of_numpys_wheels_is_found():
    if "openblas" in str(np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]):
        assert CONTROLS


@needs_control
def test_blas_has_one_thread_inside_and_what_it_had_afterwards():
    with pinning.one_blas_thread():
        assert counts() == [1] * len(CONTROLS)
        with pinning.one_thread():
            assert counts() == [1] * len(CONTROLS)
        assert counts() == [1] * len(CONTROLS)
    assert counts() == [2] * len(CONTROLS)


@needs_control
def test_an_error_inside_restores_it_too():
    with pytest.raises(KeyError), pinning.one_blas_thread():
        raise KeyError
    assert counts() == [2] * len(CONTROLS)


@needs_control
def test_the_first_of_several_threads_to_end_does_not_free_the_others():
    together = Barrier(2, timeout=30)

    def first():
        with pinning.one_thread():
            together.wait()
        together.wait()

    def second():
        with pinning.one_thread():
            together.wait()
            together.wait()  # the first has ended
            return counts()

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(task) for task in (first, second)]
        assert futures[1].result() == [1] * len(CONTROLS)
    assert counts() == [2] * len(CONTROLS)


def test_kernels_have_one_thread_in_the_context_that_asked(monkeypatch):
    monkeypatch.setenv("FPSIM_THREADS", "3")
    with pinning.one_blas_thread():
        assert threads.threads() == 3
    with pinning.one_thread():
        assert threads.threads() == 1
        with ThreadPoolExecutor(1) as pool:  # another thread has a context of its own
            assert pool.submit(threads.threads).result() == 3
    assert threads.threads() == 3


@needs_control
def test_a_library_held_to_one_thread_computes_what_one_started_with_one_does():
    program = (
        "import numpy as np; rng = np.random.default_rng(0)\n"
        "x, y = (rng.normal(size=(1200, 700)).astype('f4') for _ in 'xy')\n"
        "from fpsim.kernels.pinning import one_blas_thread\n"
        "with one_blas_thread(): print((x.T @ y).tobytes().hex())\n"
    )
    outputs = {
        subprocess.check_output([sys.executable, "-c", program], env={**os.environ, "OPENBLAS_NUM_THREADS": count})
        for count in ("1", "2")
    }
    assert len(outputs) == 1
