"""Peak memory of training the classic network (batch 64), by recipe, as ratios to float32's; and whether it grows.

Layer: none. ``python -m benchmarks.memory`` takes each recipe in a process of its own; ``--growth 1000`` takes so many
steps after a warm-up and compares the resident memory before and after. Linux and macOS (growth: Linux).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tracemalloc
from typing import Any

import fpsim as fp
from benchmarks.training_step import fpsim_step

RECIPES = (
    "float32", "float64", "float16/float32", "float16", "bfloat16/float32", "float8_e4m3fn/float32", "float16_masters",
    "mixed_float16", "O1", "O2", "conv16_fc32", "conv32_fc16",
)  # fmt: skip

#: Steps before anything is measured: kernels are loaded, scratch memory is there.
WARM = 3


def one(recipe: str) -> dict[str, float]:
    """MiB of one recipe, measured here: allocated at most, resident at most, and what its formats would take."""
    import resource

    fpsim_step(recipe)()  # imports, kernels
    tracemalloc.start()
    step = fpsim_step(recipe)
    for _ in range(WARM):
        step()
    allocated = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    formats = sum(fp.train(recipe, steps=1, batch=64).nbytes.values())
    return {name: n / 2**20 for name, n in (("allocated", allocated), ("resident", resident), ("formats", formats))}


def measure(recipes: tuple[str, ...] = RECIPES) -> dict[str, dict[str, float]]:
    """`one` of each recipe, in a process of its own."""
    return {recipe: _in_a_process("--one", recipe) for recipe in recipes}


def _in_a_process(*arguments: str) -> Any:
    environment = {**os.environ, "FPSIM_NUMBA": os.environ.get("FPSIM_NUMBA", "always")}
    command = [sys.executable, "-m", "benchmarks.memory", *arguments]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environment).stdout)


def table(results: dict[str, dict[str, float]]) -> str:
    """As Markdown: MiB, and in brackets the ratio to the first."""
    first = next(iter(results.values()))
    lines = [
        "| recipe | at once, as the formats would take it | allocated at most by the simulation | resident at most |",
        "|---|--:|--:|--:|",
    ]
    for recipe, found in results.items():
        cells = [
            f"{found[name]:.1f} ({found[name] / first[name]:.2f})" for name in ("formats", "allocated", "resident")
        ]
        lines.append(f"| {recipe} | {' | '.join(cells)} |")
    return "\n".join(lines)


def growth(recipe: str, steps: int) -> float:
    """By what share the resident memory grows in so many steps, after a warm-up of a tenth as many."""
    step = fpsim_step(recipe)
    for _ in range(steps // 10):
        step()
    before = _resident()
    for _ in range(steps):
        step()
    return _resident() / before - 1


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1])


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--one", metavar="RECIPE", help="measure one recipe in this process; JSON")
    parser.add_argument(
        "--growth", type=int, metavar="STEPS", help="measure the growth instead, float32 and mixed_float16"
    )
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one)))
    elif options.growth:
        for recipe in ("float32", "mixed_float16"):
            print(f"{recipe}: {100 * growth(recipe, options.growth):+.2f} % in {options.growth} steps", flush=True)
    else:
        print(table(measure()))


if __name__ == "__main__":
    main()
