"""Mutation testing of the rooms that all numbers go through: does a test fail when one operator in them is changed?

    pip install cosmic-ray
    python .ci/mutation.py run --sample 500 --minutes 60   # a sample, drawn with a fixed seed in each file
    python .ci/mutation.py run --again --variants 9        # what survived, with more tests
    python .ci/mutation.py report                          # the score of each room, and what survived

cosmic-ray makes the mutants. This runs them: on a copy of the tree, each in a fork of one process that has imported
and collected everything, so in a second; with the tests of its room, those of the mutated file first, of each test
function so many variants. What `equivalent.txt` lists cannot be told from the original by any test: it is not counted.
"""

from __future__ import annotations

import argparse
import ast
import collections
import contextlib
import functools
import gc
import importlib.machinery
import inspect
import itertools
import json
import math
import os
import random
import shutil
import signal
import sys
import time
import types
from pathlib import Path

HERE = Path(__file__).resolve()
TREE = HERE.parents[1]
ROOMS = ("fpsim/formats.py", "fpsim/rounding", "fpsim/accumulate", "fpsim/autograd")
#: What is run for a file, in this order: its own tests by name, then its room's.
FIRST = {
    "kernel": "test_kernel test_round test_stochastic test_compiled", "codes": "test_codes test_neighbours",
    "wide": "test_round test_testfloat", "work": "test_registry test_testfloat", "paired": "test_paired test_counting",
    "accumulator": "test_axes test_orders", "orders": "test_orders test_stochastic", "exact": "test_orders",
    "compiled": "test_compiled", "engine": "test_events test_registry", "tensor": "test_module test_bad_input",
    "exactness": "test_counting", "op": "test_registry", "context": "test_events test_autocast",
}  # fmt: skip
TESTS = {
    "formats": ["tests/test_formats.py", "tests/rounding/test_codes.py", "tests/rounding/test_neighbours.py"],
    "rounding": [
        "tests/rounding", "tests/conformance", "tests/observe/test_counting.py", "tests/test_traps.py",
        "tests/optim/test_steps.py", "tests/ops/test_registry.py",
    ],
    "accumulate": ["tests/accumulate", "tests/test_traps.py"],
    "autograd": [
        "tests/autograd", "tests/test_bad_input.py", "tests/test_traps.py", "tests/amp/test_autocast.py",
        "tests/nn/test_module.py", "tests/ops/test_registry.py", "tests/observe/test_counting.py",
    ],
}  # fmt: skip
SKIPPED = ["tests/conformance/test_installed_torch.py"]
#: Slow, and of use to the compiled kernels' own file alone.
COMPILED = ("test_compiled",)
OPTIONS = ["-q", "-s", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-profile=mutation", "--no-header"]
OPTIONS += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # hypothesis is imported before pytest starts
#: Seconds after which a mutant's tests are taken to run for ever.
LIMIT = 300
EQUIVALENT = HERE.with_name("equivalent.txt")


# Tests ----------------------------------------------------------------------------------------------------------------


def tests_for(file, variants, items):
    """Of each test function so many variants, spread over all; the file's own tests before the others."""
    room, stem = file.removesuffix(".py").split("/")[1], Path(file).stem
    functions = collections.defaultdict(list)
    for item in items:
        name = item.nodeid
        if name.startswith((file, *TESTS[room])) and (
            stem in ("compiled", "orders") or not any(c in name for c in COMPILED)
        ):
            if "test_registry" not in name or "each_gradient" not in name:
                functions[name.partition("[")[0]].append(item)
            elif name.endswith("-float16]"):  # of every operation
                functions[name] = [item]
    own = [file, *FIRST.get(stem, f"test_{stem}").split()]
    place = {f: next((k for k, mark in enumerate(own) if mark in f), len(own)) for f in functions}
    chosen = []
    for function in sorted(functions, key=place.__getitem__):
        found = functions[function]
        count = min(variants, len(found))
        chosen += [found[k * len(found) // count] for k in range(count)]
    return chosen


class Judge:
    """A pytest plugin that, in place of running the tests, forks for each mutant and lets the fork run some of them."""

    def __init__(self, judge):
        self.judge, self.failed = judge, False

    def pytest_runtestloop(self, session):
        """All tests are collected."""
        self.judge(session.items, self)
        return True

    def pytest_runtest_logreport(self, report):
        """A test, its preparation or its end is over."""
        self.failed |= report.failed


def run_pytest(arguments, plugins=()):
    """The exit status of pytest, in this process."""
    import hypothesis
    import pytest

    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile("mutation", deadline=None, derandomize=True, database=None, phases=phases)
    return int(pytest.main([*OPTIONS, *arguments], plugins=list(plugins)))


# Mutants --------------------------------------------------------------------------------------------------------------


def sources(work):
    """The files to be mutated, as paths below the tree."""
    files = [path for room in ROOMS for path in ([work / room] if room.endswith(".py") else (work / room).glob("*.py"))]
    return sorted(str(path.relative_to(work)) for path in files)


def mutants_of(work, file):
    """All mutants that are code: what changes an annotation is not, since annotations are never evaluated here."""
    from cosmic_ray.commands.init import _all_work_items

    text = (work / file).read_text()
    lines, annotations = text.splitlines(), annotated(text)
    for item in _all_work_items([str(work / file)], {}):
        m = item.mutations[0]
        if not any(start <= m.start_pos and m.end_pos <= end for start, end in annotations):
            line = lines[m.start_pos[0] - 1].strip()
            yield {
                "file": file, "line": m.start_pos[0], "column": m.start_pos[1], "operator": m.operator_name,
                "occurrence": m.occurrence, "text": line,
            }  # fmt: skip


def annotated(text):
    """Where the annotations stand: pairs of (line, column)."""
    nodes = []
    for node in ast.walk(ast.parse(text)):
        nodes += [getattr(node, field, None) for field in ("annotation", "returns")]
    return [((n.lineno, n.col_offset), (n.end_lineno, n.end_col_offset)) for n in nodes if n is not None]


def drawn(work, sample, seed):
    """A sample of all mutants, in proportion to each file's number of them; and that of all."""
    listed = work / "mutants.json"
    if not listed.exists():  # it takes a while
        listed.write_text(json.dumps({file: list(mutants_of(work, file)) for file in sources(work)}))
    everything = json.loads(listed.read_text())
    total, chosen = sum(map(len, everything.values())), []
    for file, mutants in everything.items():
        count = min(len(mutants), math.ceil(len(mutants) * sample / total))
        chosen += random.Random(f"{seed}:{file}").sample(mutants, count)
    random.Random(seed).shuffle(chosen)  # whenever it is stopped, what is done is a sample too
    return chosen, total


def source_of(work, mutant):
    """The changed text of a mutant's file."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    return mutate_code((work / mutant["file"]).read_text(), get_operator(mutant["operator"])(), mutant["occurrence"])


# Running them ---------------------------------------------------------------------------------------------------------


def changed_functions(before, after):
    """The outermost functions whose code differs: (code before, code after). None where other code differs too."""
    if before.co_flags & inspect.CO_OPTIMIZED:
        return [] if before == after else [(before, after)]
    parts = [[c for c in code.co_consts if hasattr(c, "co_code")] for code in (before, after)]
    others = [[repr(c) for c in code.co_consts if not hasattr(c, "co_code")] for code in (before, after)]
    if before.co_code != after.co_code or others[0] != others[1] or before.co_names != after.co_names:
        return None
    found = []
    for pair in zip(*parts, strict=True):
        inside = changed_functions(*pair)
        if inside is None:
            return None
        found += inside
    return found


def exchange(pairs):
    """Give all functions that have the code `before` the code `after`, and forget what was cached; whether any has."""
    number = 0
    for thing in gc.get_objects():
        if isinstance(thing, types.FunctionType):
            for before, after in pairs:
                if thing.__code__ == before:
                    thing.__code__ = after
                    number += 1
        elif isinstance(thing, functools._lru_cache_wrapper):
            if str(getattr(thing, "__module__", "")).startswith("fpsim"):
                thing.cache_clear()
        elif str(type(thing).__module__).startswith("fpsim") and hasattr(thing, "__dict__"):
            for name in [
                n for n in vars(thing) if isinstance(getattr(type(thing), n, None), functools.cached_property)
            ]:
                del thing.__dict__[name]
    return number > 0


def judge_here(work, mutant, items, plugin, anew):
    """In a fork: whether one of the tests fails with the mutant in force."""
    path = str(work / mutant["file"])
    text = source_of(work, mutant)
    try:
        pairs = changed_functions(
            compile((work / mutant["file"]).read_text(), path, "exec"), compile(text, path, "exec")
        )
    except SyntaxError:
        return True
    if pairs and not anew and exchange(pairs):
        with contextlib.suppress(BaseException):  # what stops pytest itself is a failure too
            for item, following in itertools.zip_longest(items, items[1:]):
                item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
                if plugin.failed:
                    return True
            return False
        return True
    # What runs at import has changed: import it all again. Errs to the careful side: some of these mutants are said to
    # survive though a new process kills them.
    names = [item.nodeid for item in items]
    for name in [n for n in sys.modules if n.partition(".")[0] in ("fpsim", "tests", "benchmarks", "conftest")]:
        del sys.modules[name]
    get_code = importlib.machinery.SourceFileLoader.get_code

    def mutated(self, name):
        return compile(text, path, "exec") if self.path == path else get_code(self, name)

    importlib.machinery.SourceFileLoader.get_code = mutated
    return run_pytest(["-x", *names]) != 0


def verdict(work, mutant, items, plugin, anew=False):
    """``killed``, ``survived`` or ``slow``: what a fork of this process comes to; `anew`: with all reimported."""
    child = os.fork()
    if child == 0:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        status = 2
        try:
            status = int(judge_here(work, mutant, items, plugin, anew))
        finally:
            os._exit(status)
    until = time.monotonic() + LIMIT
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            assert code != 2, f"this program fails on {mutant}"
            return "survived" if code == 0 else "killed"  # by a signal, too
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "slow"  # a test that never ends has failed


def run(work, sample, seed, variants, minutes, again):
    """Judge the sample; results are kept in ``results.jsonl``, so a second call goes on where the first stopped."""
    kept = work / "results.jsonl"
    done = {identity(r): r for r in map(json.loads, kept.read_text().splitlines())} if kept.exists() else {}
    mutants, total = drawn(work, sample, seed)
    if again:
        survived = {key for key, r in done.items() if r["verdict"] == "survived" and excuse(r) not in excused()}
        everything = itertools.chain(*json.loads((work / "mutants.json").read_text()).values())
        mutants = [mutant for mutant in everything if identity(mutant) in survived]
    else:
        mutants = [mutant for mutant in mutants if identity(mutant) not in done]
    print(f"{total} mutants, {len(mutants)} to be judged", flush=True)
    until = time.monotonic() + 60 * minutes

    def judge(items, plugin):
        for count, mutant in enumerate(mutants):
            if time.monotonic() > until:
                break
            tests = tests_for(mutant["file"], variants, items)
            begun = time.monotonic()
            mutant["verdict"] = verdict(work, mutant, tests, plugin)
            if mutant["verdict"] == "survived" and again:  # a function that runs while modules are imported, perhaps
                mutant["verdict"] = verdict(work, mutant, tests, plugin, anew=True)
            mutant["tests"], mutant["took"] = len(tests), round(time.monotonic() - begun, 1)
            with kept.open("a") as file:
                print(json.dumps(mutant), file=file)
            if mutant["verdict"] == "survived":
                print(f"{count}: {described(mutant)}", flush=True)

    wanted = sorted({path for paths in TESTS.values() for path in paths})
    run_pytest([*sources(work), *wanted, *(f"--ignore={path}" for path in SKIPPED)], [Judge(judge)])


def excused():
    """The mutants that `equivalent.txt` lists."""
    lines = EQUIVALENT.read_text().splitlines()[1:]
    return {line.rpartition("  # ")[0].strip() for line in lines}


def identity(mutant):
    """What tells mutants apart, whatever the lines above them."""
    return tuple(mutant[key] for key in ("file", "text", "column", "operator"))


def described(mutant):
    """One line for a person, and for `equivalent.txt`."""
    what = mutant["operator"].removeprefix("core/")
    return f"{mutant['file']}:{mutant['line']}:{mutant['column']} {what}#{mutant['occurrence']}: {mutant['text']}"


# Reporting ------------------------------------------------------------------------------------------------------------


def report(work):
    """Print each room's score with its 95 % interval (Wilson 1927), then the survivors."""
    results = {identity(r): r for r in map(json.loads, (work / "results.jsonl").read_text().splitlines())}
    left_out = excused()
    rooms, survivors, equal = collections.defaultdict(collections.Counter), [], 0
    for r in results.values():
        room = r["file"].split("/")[1].removesuffix(".py")
        if r["verdict"] == "survived" and excuse(r) in left_out:
            equal += 1
            continue
        for name in (room, "all"):
            rooms[name][r["verdict"]] += 1
        if r["verdict"] == "survived":
            survivors.append(r)
    for name, counts in rooms.items():
        n, killed = sum(counts.values()), sum(counts.values()) - counts["survived"]
        low, high = wilson(killed, n)
        print(f"{name:12} {killed:4} of {n:4} killed: {killed / n:6.1%}  (95 %: {low:.1%} to {high:.1%})")
    print(f"{equal} equivalent mutants left out\n")
    for r in sorted(survivors, key=lambda r: (r["file"], r["line"])):
        print(described(r))


def excuse(mutant):
    """As `equivalent.txt` writes it: no line number, so that it holds when lines move."""
    return f"{mutant['file']}:{mutant['column']} {mutant['operator'].removeprefix('core/')}: {mutant['text']}"


def wilson(k, n, z=1.96):
    """The 95 % interval of a share of k in n."""
    middle, half = (k + z * z / 2) / (n + z * z), z / (n + z * z) * math.sqrt(k * (n - k) / n + z * z / 4)
    return middle - half, middle + half


def copy_to(work):
    """A copy of the tree that may be thrown away: nothing is ever changed in the tree itself."""
    wanted = shutil.ignore_patterns("__pycache__", ".*", "*.egg-info", "figures", "runs")
    shutil.copytree(TREE, work, ignore=wanted, dirs_exist_ok=True)


def main():
    """Run one of the commands, in the copy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("run", "report"))
    parser.add_argument("--work", type=Path, default=Path("/tmp/fpsim-mutation"), help="where the copy is")
    parser.add_argument("--sample", type=int, default=500, help="how many mutants")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--variants", type=int, default=2, help="of each test function")
    parser.add_argument("--minutes", type=float, default=60, help="begin no mutant after so many")
    parser.add_argument("--again", action="store_true", help="judge again what survived before")
    a = parser.parse_args()
    work = a.work.resolve()
    if not work.exists():
        copy_to(work)
    os.chdir(work)
    sys.path.insert(0, str(work))
    os.environ |= {"FPSIM_NUMBA": "off", "OPENBLAS_NUM_THREADS": "1", "HYPOTHESIS_NO_PLUGINS": "1", "CI": "1"}
    sys.dont_write_bytecode = False
    if a.command == "run":
        run(work, a.sample, a.seed, a.variants, a.minutes, a.again)
    else:
        report(work)


if __name__ == "__main__":
    main()
