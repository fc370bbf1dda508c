"""What a sweep costs beside its trainings: two processes against one, each task, each worker's memory, the store.

Layer: none. ``python -m benchmarks.sweeps``. It must not compare times of different runs: the machines are noisy.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fpsim as fp
from fpsim.experiments.sweeps.executors import Processes
from fpsim.experiments.sweeps.grid import configurations
from fpsim.experiments.sweeps.running import results
from fpsim.experiments.sweeps.store import Store
from fpsim.experiments.sweeps.task import carry_out

Rows = dict[str, dict[str, float]]

#: Forty short runs of the classic network: four recipes, ten seeds, some half a second each.
GRID: dict[str, Any] = {
    "recipe": ["float32", "float16/float32", "bfloat16/float32", "mixed_float16"],
    "seed": range(10),
}
SHORT: dict[str, Any] = {"scenario": "published", "steps": 5}
#: The smallest run there is, where what is beside it shows most.
TINY: dict[str, Any] = {"scenario": "rounding", "steps": 1}


def wall(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that it takes, and what it gives."""
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


@contextmanager
def warm(workers: int) -> Iterator[Processes]:
    """A pool whose workers have trained once: imports, images and kernels are loaded."""
    pool = Processes(workers)
    try:
        for future in [pool.submit(carry_out, {**SHORT, "steps": 1, "seed": 100 + i}) for i in range(3 * workers)]:
            future.result()
        yield pool
    finally:
        pool.shutdown()


def two_processes(rounds: int) -> Rows:
    """Forty short runs on one process and on two, in turn: pools started each time (cold), and already there (warm)."""
    taken: dict[str, list[float]] = {"one, cold": [], "two, cold": [], "one, warm": [], "two, warm": []}
    for _ in range(rounds):
        for name, workers in (("one", 1), ("two", 2)):
            taken[f"{name}, cold"].append(wall(lambda n=workers: fp.sweep(GRID, f"process:{n}", **SHORT))[0])
            with warm(workers) as pool:
                taken[f"{name}, warm"].append(wall(lambda p=pool: fp.sweep(GRID, p, **SHORT))[0])
    seconds = {name: statistics.median(times) for name, times in taken.items()}
    rows = {name: {"s": second} for name, second in seconds.items()}
    for how in ("cold", "warm"):
        rows[f"two, {how}"]["times as fast"] = seconds[f"one, {how}"] / seconds[f"two, {how}"]
    return rows


def overhead(rounds: int) -> Rows:
    """Milliseconds of a task beside its training: in a warm pool of one, into a store on disk; and where they go."""
    count = 200
    tasks = [(c.key, c.arguments) for c in configurations({"seed": range(count)}, TINY)]
    with warm(1) as pool, tempfile.TemporaryDirectory() as folder, Store.writing(folder) as store:

        def through_the_pool() -> float:
            trained = 0.0
            for batch in results(pool, tasks):
                store.add(batch)
                trained += sum(result["run"]["seconds"] for _, result in batch)
            return trained

        measured = [wall(through_the_pool) for _ in range(rounds)]
        _, (result,) = wall(lambda: [carry_out(tasks[0][1])])
        stored = statistics.median(
            wall(lambda: store.add([(key, result) for key, _ in tasks]))[0] for _ in range(rounds)
        )
        alone = statistics.median(wall(lambda: store.add([(tasks[0][0], result)]))[0] for _ in range(20))
    ms = statistics.median(1e3 * (seconds - trained) / count for seconds, trained in measured)
    return {
        "task": {"ms beside its training": ms},
        "storing one, a commit each": {"ms": 1e3 * alone},
        "storing one of many in a commit": {"ms": 1e3 * stored / count},
    }


def memory(rounds: int) -> Rows:
    """MiB that a worker has had at most, after runs of the classic network: 20 steps of 32 images."""
    rows: Rows = {}
    for recipe in ("float32", "mixed_float16", "float16"):
        with warm(1) as pool:
            found = pool.submit(carry_out, {"scenario": "published", "steps": 20, "recipe": recipe}).result()
        rows[recipe] = {"MiB": (found["peak_bytes"] or float("nan")) / 2**20}
    return rows


def loading(rounds: int) -> Rows:
    """Seconds to load 10,000 results of 40 steps each, and to make records of them; the store's size."""
    count = 10_000
    made = configurations({"seed": range(count)}, {"scenario": "rounding", "steps": 40})
    result = carry_out(made[0].arguments)
    with tempfile.TemporaryDirectory() as folder:
        with Store.writing(folder) as store:
            store.ask_for(made, None)
            store.add((c.key, result) for c in made)
        size = (Path(folder) / "sweep.sqlite").stat().st_size
        loads = [wall(lambda: fp.load(folder)) for _ in range(rounds)]
        found = loads[0][1]
        records = statistics.median(wall(found.records)[0] for _ in range(rounds))
    assert len(found) == count
    load = statistics.median(seconds for seconds, _ in loads)
    return {"10,000 results": {"s": load, "s, records": records, "MiB": size / 2**20}}


def nothing(arguments: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """A task that takes no time and gives a result as large as a training's."""
    return answer


def cluster(rounds: int) -> Rows:
    """Milliseconds a task of no work through dask's scheduler and executor: two workers on this machine."""
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        return {}
    answer = carry_out({"scenario": "rounding", "steps": 40})
    rows: Rows = {"result": {"kB": len(json.dumps(answer)) / 1e3}}
    count = 1000
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as made,
        Client(made) as client,
        client.get_executor(pure=False) as executor,
    ):
        for name, work in (("scheduler and executor", count), ("warm", count)):

            def all_of_them(work: int = work) -> None:
                for future in [executor.submit(nothing, {"seed": i}, answer) for i in range(work)]:
                    future.result()

            rows[name] = {"ms": 1e3 * wall(all_of_them)[0] / count}
    return rows


MEASUREMENTS: dict[str, Callable[[int], Rows]] = {
    "two processes": two_processes,
    "overhead": overhead,
    "memory": memory,
    "loading": loading,
    "cluster": cluster,
}


def main() -> None:
    """Measure, and print a line for each number."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=MEASUREMENTS, default=list(MEASUREMENTS))
    options = parser.parse_args()
    for name in options.only:
        print(f"{name}: {(MEASUREMENTS[name].__doc__ or '').strip()}", flush=True)
        for row, figures in MEASUREMENTS[name](options.rounds).items():
            print(f"  {row:34} " + "  ".join(f"{key} {value:.3g}" for key, value in figures.items()), flush=True)


if __name__ == "__main__":
    main()
