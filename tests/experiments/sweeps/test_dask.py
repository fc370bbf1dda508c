"""A sweep on a real dask cluster of two workers, one of which is killed in the middle."""

import os
import signal
import warnings

import pytest

import fpsim as fp
from fpsim.experiments.sweeps import executors

distributed = pytest.importorskip("distributed")

GRID = {"recipe": ["float32", "float16/float32", "mixed_float16"], "seed": range(4)}
FAST = {"scenario": "rounding", "steps": 40}


@pytest.fixture(scope="module")
def cluster():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # distributed's own, about what it stands on
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
        ) as made:
            yield made


def test_a_killed_workers_work_is_done_again_and_all_bits_are_those_of_a_serial_sweep(cluster, tmp_path):
    serial = fp.sweep(GRID, "serial", **FAST)
    killed = []
    with distributed.Client(cluster) as client:
        workers = client.run(os.getpid)

        def kill_one(done, points, settings):
            if done == 3:
                killed.append(workers.popitem()[1])
                os.kill(killed[0], signal.SIGKILL)

        found = fp.sweep(GRID, client.get_executor(), out=tmp_path, progress=kill_one, **FAST)
    assert killed
    assert len(found) == len(serial) == 12
    assert found.failures == []
    assert all(a.run.same_numbers(b.run) and a.exponents == b.exponents for a, b in zip(found, serial, strict=True))


def test_a_cluster_without_workers_is_an_error(monkeypatch):
    monkeypatch.setattr(executors, "PATIENCE", 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with distributed.LocalCluster(n_workers=0, dashboard_address=None, host="127.0.0.1") as empty:
            address = empty.scheduler_address
            with pytest.raises(fp.ArgumentError) as error:
                fp.sweep({"seed": [0]}, address.replace("tcp", "dask"), **FAST)
    assert str(error.value) == (
        f"sweep: expected a cluster with workers, got none at {address.replace('tcp', 'dask')} in 0.5 s; start `dask "
        f"worker {address}`."
    )


def test_a_cluster_is_named_by_its_address(cluster):
    found = fp.sweep({"seed": [0]}, cluster.scheduler_address.replace("tcp://", "dask://"), **FAST)
    assert found[0].run.same_numbers(fp.train("mixed_float16", **FAST))
