"""The long run: ``python -m tests.fuzzing --inputs 100000``; one file again: ``--reader npz --first 47 --inputs 1``."""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzzing.readers import READERS
from tests.fuzzing.running import fuzz


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="files in all (100000)")
    parser.add_argument("--reader", choices=list(READERS), help="only this one")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other files (0)")
    parser.add_argument("--first", type=int, default=0, help="number of the first file (0)")
    options = parser.parse_args()
    names = [options.reader] if options.reader else list(READERS)
    failed = 0
    for name in names:
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            counts, wrong = fuzz(name, -(-options.inputs // len(names)), Path(folder), options.seed, options.first)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        took = time.monotonic() - started
        print(f"{name}: {counts['read']} read, {counts['refused']} refused, {len(wrong)} wrong, {took:.0f} s, "
              f"at most {peak:.0f} MiB so far", flush=True)  # fmt: skip
        for number, text in wrong[:10]:
            print(f"  {name} {number}: {text}", flush=True)
        failed += len(wrong)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
