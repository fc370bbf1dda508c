"""Freed memory is kept for the next arrays."""

import os
import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import numpy as np
from fpsim.kernels.memory import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()
arrays = [np.ones(1 << 20, np.float32) for _ in range(4)]
for _ in range(3):
    del arrays
    arrays = [np.ones(1 << 20, np.float32) for _ in range(4)]
before = resource.getrusage(resource.RUSAGE_SELF)
for _ in range(5):
    del arrays
    arrays = [np.ones(1 << 20, np.float32) for _ in range(4)]
after = resource.getrusage(resource.RUSAGE_SELF)
print(after.ru_minflt - before.ru_minflt, after.ru_maxrss - before.ru_maxrss)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has the threshold that this moves")
def test_arrays_as_large_as_those_just_freed_come_without_fresh_pages():
    # a threshold of the user's own holds (distributed sets one for its workers, and leaves it in os.environ)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_") and k != "GLIBC_TUNABLES"}

    def run(how):
        command = [sys.executable, "-c", SCRIPT, how]
        made = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        return map(int, made.stdout.split())

    faults, grown = run("kept")
    assert faults < 100  # of 1,024 for each array
    assert grown < 1024  # KB
