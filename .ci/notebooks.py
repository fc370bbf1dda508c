"""Run the notebooks from their jupytext sources, each in a kernel and a folder of its own.

By hand: ``python .ci/notebooks.py [notebooks/00_tour.py ...]``. The tree is left as it is. (`.ci/run` runs the copies.)
"""

import argparse
import re
import sys
import tempfile
import time
from pathlib import Path

import jupytext
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

ROOT = Path(__file__).parents[1]


def execute(source: Path, seconds: int) -> str | None:
    """Run every cell, each within `seconds`; what went wrong, or None."""
    notebook = jupytext.read(source)
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        client = NotebookClient(notebook, timeout=seconds, kernel_name="python3", resources=resources)
        try:
            client.execute()
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            return re.sub(r"\x1b\[[\d;]*m", "", str(error))  # without colours
    return None


def main(arguments: list[str] | None = None) -> int:
    """Run the notebooks that were named, or all; the number of those that failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs="*", type=Path)
    parser.add_argument("--seconds", type=int, default=120, help="the limit of one cell")
    options = parser.parse_args(arguments)
    sources = options.sources or sorted((ROOT / "notebooks").glob("*.py"))
    failed = 0
    for source in sources:
        start = time.perf_counter()
        error = execute(source, options.seconds)
        failed += error is not None
        print(
            f"{source.name}: {'FAILED' if error else 'ran'} in {time.perf_counter() - start:.1f} s",
            flush=True,
        )
        if error:
            print(error, flush=True)
    print(f"{len(sources)} notebooks, {failed} failed")
    return failed


if __name__ == "__main__":
    sys.exit(main())
