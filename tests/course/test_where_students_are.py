"""What a browser's Python lacks: threads, subprocesses, compiled code. fpsim and its controls do without them.

Pyodide itself is not on the package indices with NumPy in it, so its refusals are imitated: the same errors at the same
calls (RuntimeError from starting a thread, OSError from starting a process, as Pyodide 314.0 has them).
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

IN_A_BROWSER = """
import sys, _thread, threading, os, json

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("numba", "llvmlite", "resource", "readline", "ipywidgets", "anywidget"):
            raise ModuleNotFoundError(f"No module named {name!r}")

def no_thread(*args, **options):
    raise RuntimeError("can't start new thread")

def no_process(*args, **options):
    raise OSError(138, "emscripten does not support processes.")

sys.meta_path.insert(0, Missing())
for name in ("_start_new_thread", "_start_joinable_thread"):
    if hasattr(threading, name):
        setattr(threading, name, no_thread)
_thread.start_new_thread = no_thread
os.cpu_count = lambda: 1
if hasattr(os, "sched_getaffinity"):
    del os.sched_getaffinity
import subprocess
subprocess.Popen = no_process
"""

PROGRAM = """
import fpsim as fp

race = fp.widgets.compare(["float16"], steps=3)
race.start()
found = {
    "losses": len(race.losses["float16"]),
    "sum": float(fp.Accumulator("float16").sum([0.1] * 10_000)),
    "lenet": len(fp.train("conv16_fc32", steps=1).loss),
    "sentence": fp.widgets.accumulate().frame(n=4096).sentence,
    "html": "0x2e66" in fp.widgets.bits().to_html(),
}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def run():
    environment = {**os.environ, "FPSIM_WIDGETS": "frames", "PYTHONPATH": str(ROOT)}

    def run(program):
        command = [sys.executable, "-c", IN_A_BROWSER + program]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)

    return run


def test_everything_runs_without_threads_processes_and_compiled_code(run):
    done = run(PROGRAM)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "losses": 3,
        "sum": 256.0,
        "lenet": 1,
        "sentence": "float16, sequential, 4,096 terms: the sum is 256, exactly it is 409.6, an error of 37.5 %.",
        "html": True,
    }


def test_the_imitation_refuses_what_a_browser_refuses(run):
    for program, refusal in (
        ("threading.Thread(target=print).start()", "RuntimeError: can't start new thread"),
        ("subprocess.run(['ls'])", "emscripten does not support processes."),
        ("import numba", "ModuleNotFoundError"),
    ):
        done = run(program)
        assert done.returncode == 1
        assert refusal in done.stderr
