"""Mutation testing of the rooms that all numbers go through: does a test fail when one operator in them is changed?

    pip install cosmic-ray
    python .ci/mutation.py map                                 # which tests run which functions, and how long: once
    python .ci/mutation.py run --sample 300 --minutes 60       # a sample, drawn by its seed from each file
    python .ci/mutation.py null --sample 40                    # mutants that change nothing: all must survive
    python .ci/mutation.py report                              # the score of each room, and what survived

cosmic-ray makes the mutants. This runs them on a copy of the tree, each in a fork of one process that has imported and
collected everything: of the tests that run the changed function, first those that found mutants of it before, then the
others, the cheap ones first and one variant of each before the next, until one fails or `--budget` seconds are spent.
What survives is asked again with everything imported anew. Time is the process's own (`RLIMIT_CPU`), so a busy machine
kills nothing. Results are kept: a second run goes on where the first stopped. What `equivalent.txt` lists cannot be
told from the original by any test: it is not counted.
"""

from __future__ import annotations

import argparse
import ast
import collections
import functools
import gc
import importlib.machinery
import inspect
import itertools
import json
import math
import os
import random
import resource
import shutil
import signal
import sys
import threading
import time
import types
from pathlib import Path

HERE = Path(__file__).resolve()
TREE = HERE.parents[1]
ROOMS = ("fpsim/formats.py", "fpsim/rounding", "fpsim/accumulate", "fpsim/autograd")
TESTS = (
    "fpsim/formats.py", "fpsim/rounding", "fpsim/accumulate", "fpsim/autograd", "tests/test_formats.py",
    "tests/rounding", "tests/accumulate", "tests/autograd", "tests/conformance", "tests/test_bad_input.py",
    "tests/test_traps.py", "tests/amp/test_autocast.py", "tests/nn/test_module.py", "tests/observe/test_counting.py",
    "tests/ops/test_registry.py", "tests/optim/test_steps.py",
)  # fmt: skip
SKIPPED = ("tests/conformance/test_installed_torch.py",)
OPTIONS = ["-q", "-s", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-profile=mutation", "--no-header"]
OPTIONS += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # hypothesis is imported before pytest starts
#: Tests that take longer, in seconds, are left out.
LONGEST = 12.0
#: Seconds that importing anew may take, and seconds after which a fork that does nothing is given up.
IMPORT, STUCK = 60, 1800
EQUIVALENT = HERE.with_name("equivalent.txt")


def run_pytest(arguments, plugins=()):
    """The exit status of pytest, in this process."""
    import hypothesis
    import pytest

    hypothesis.settings.register_profile(
        "mutation", deadline=None, derandomize=True, database=None, suppress_health_check=list(hypothesis.HealthCheck),
        phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
    )  # fmt: skip
    return int(pytest.main([*OPTIONS, *arguments], plugins=list(plugins)))


# Which tests run what -------------------------------------------------------------------------------------------------


class Mapping:
    """A pytest plugin that notes for each test which functions of the rooms it calls, its seconds, whether it fails."""

    def __init__(self, work):
        self.tests, self.failed, self.called = {}, set(), set()
        self._files = {str(work / file): file for file in sources(work)}

    def pytest_runtest_protocol(self, item):
        """Run the test under a profiler, with nothing cached; one that is known already is not run again."""
        if item.nodeid in self.tests:
            return True
        forget_cached()
        self.called = set()
        begun = time.process_time()
        threading.setprofile(self._note)
        sys.setprofile(self._note)
        try:
            item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
            from _pytest.runner import runtestprotocol

            runtestprotocol(item)
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
        seconds = round(time.process_time() - begun, 3)
        self.tests[item.nodeid] = {"seconds": seconds, "calls": sorted(self.called)}
        return True

    def pytest_runtest_logreport(self, report):
        """A test, its preparation or its end is over."""
        if not report.passed:
            self.failed.add(report.nodeid)

    def _note(self, frame, event, _):
        file = self._files.get(frame.f_code.co_filename) if event == "call" else None
        if file is not None:
            self.called.add(f"{file}:{frame.f_code.co_qualname}")


def forget_cached():
    """Empty the caches of the package: what is cached would be called by the first test only."""
    for thing in gc.get_objects() if not _CACHES else ():
        if isinstance(thing, functools._lru_cache_wrapper) and str(getattr(thing, "__module__", "")).startswith(
            "fpsim"
        ):
            _CACHES.append(thing)
    for cache in _CACHES:
        cache.cache_clear()
    for fmt in list(sys.modules["fpsim.formats"].Format._interned.values()):
        for name in set(vars(fmt)) - {"exponent_bits", "significand_bits", "bias", "specials"}:
            del fmt.__dict__[name]


_CACHES = []


def make_map(work):
    """Write ``map.json``, or add to it; tests that fail as it is are left out."""
    plugin, kept = Mapping(work), work / "map.json"
    plugin.tests = json.loads(kept.read_text()) if kept.exists() else {}
    run_pytest(wanted(), [plugin])
    for name in plugin.failed:
        plugin.tests.pop(name, None)
    kept.write_text(json.dumps(plugin.tests))
    print(f"{len(plugin.tests)} tests of {sum(t['seconds'] for t in plugin.tests.values()):.0f} s;", end=" ")
    print(f"left out: {sorted(plugin.failed)}")


def wanted():
    """What pytest is given."""
    return [*TESTS, *(f"--ignore={path}" for path in SKIPPED)]


def chosen_tests(file, functions, tests, killers, budget):
    """The names of the tests for a mutant of these functions (None: of what runs at import), in order."""
    found = collections.defaultdict(list)
    for name, test in tests.items():
        hit = (
            any(f"{file}:{f}" in test["calls"] for f in functions)
            if functions
            else any(c.startswith(f"{file}:") for c in test["calls"])
        )
        if hit and test["seconds"] <= LONGEST:
            found[name.partition("[")[0]].append((test["seconds"], name))

    def rank(group):
        own = Path(file).stem in group or group.startswith(file)
        return -killers[file, group], not own, min(found[group])

    groups = [sorted(found[group]) for group in sorted(found, key=rank)]
    # from the cheapest variant on, but spread over all
    spread = [[g[k * (len(g) // 7 + 1) % len(g)] for k in range(len(g))] for g in groups]
    names, spent = [], 0.0
    for level in itertools.zip_longest(*spread):
        for seconds, name in filter(None, level):
            if name not in names and spent + seconds <= budget:
                names.append(name)
                spent += seconds
    return names


# Mutants --------------------------------------------------------------------------------------------------------------


def sources(work):
    """The files to be mutated, as paths below the tree."""
    files = [path for room in ROOMS for path in ([work / room] if room.endswith(".py") else (work / room).glob("*.py"))]
    return sorted(str(path.relative_to(work)) for path in files)


def mutants_of(work, file):
    """All mutants that are code: what changes an annotation is not, since annotations are never evaluated here."""
    from cosmic_ray.commands.init import _all_work_items

    text = (work / file).read_text()
    lines, annotations, seen = text.splitlines(), annotated(text), collections.Counter()
    for item in _all_work_items([str(work / file)], {}):
        m = item.mutations[0]
        if any(start <= m.start_pos and m.end_pos <= end for start, end in annotations):
            continue
        made = {"file": file, "line": m.start_pos[0], "column": m.start_pos[1], "operator": m.operator_name}
        made["text"], made["occurrence"] = lines[m.start_pos[0] - 1].strip(), m.occurrence
        key = tuple(made[k] for k in ("text", "column", "operator"))
        made["which"] = seen[key]  # a number is replaced by two others
        seen[key] += 1
        yield made


def annotated(text):
    """Where the annotations stand: pairs of (line, column)."""
    nodes = []
    for node in ast.walk(ast.parse(text)):
        nodes += [getattr(node, field, None) for field in ("annotation", "returns")]
    return [((n.lineno, n.col_offset), (n.end_lineno, n.end_col_offset)) for n in nodes if n is not None]


def drawn(work, sample, seed):
    """A sample of all mutants, in proportion to each file's number of them."""
    listed = work / "mutants.json"
    if not listed.exists():  # it takes a while
        listed.write_text(json.dumps({file: list(mutants_of(work, file)) for file in sources(work)}))
    everything = json.loads(listed.read_text())
    total, chosen = sum(map(len, everything.values())), []
    for file, mutants in everything.items():
        count = min(len(mutants), math.ceil(len(mutants) * sample / total))
        chosen += random.Random(f"{seed}:{file}").sample(mutants, count)
    random.Random(seed).shuffle(chosen)  # whenever it is stopped, what is done is a sample too
    return [{**mutant, "seed": seed} for mutant in chosen]


def prepared(work, mutant):
    """The changed text of a mutant's file, and the functions that differ: (code before, code after), or None."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    before, path = (work / mutant["file"]).read_text(), str(work / mutant["file"])
    if mutant["operator"] == "null":
        code = compile(before, path, "exec")
        around = [c for c in outermost(code) if c.co_firstlineno <= mutant["line"] <= max(ends_of(c))]
        return before, [(c, c.replace()) for c in around] or None
    text = mutate_code(before, get_operator(mutant["operator"])(), mutant["occurrence"])
    return text, changed_functions(compile(before, path, "exec"), compile(text, path, "exec"))


def outermost(code):
    """The functions that are not inside another function."""
    for c in code.co_consts:
        if inspect.iscode(c):
            yield from [c] if c.co_flags & inspect.CO_OPTIMIZED else outermost(c)


def ends_of(code):
    """Lines on which instructions end."""
    return [end for _, end, *_ in code.co_positions() if end is not None]


def changed_functions(before, after):
    """The outermost functions whose code differs: (code before, code after). None where other code differs too."""
    if before.co_flags & inspect.CO_OPTIMIZED:
        return [] if before == after else [(before, after)]
    parts = [[c for c in code.co_consts if inspect.iscode(c)] for code in (before, after)]
    others = [[repr(c) for c in code.co_consts if not inspect.iscode(c)] for code in (before, after)]
    if before.co_code != after.co_code or others[0] != others[1] or before.co_names != after.co_names:
        return None
    found = []
    for pair in zip(*parts, strict=True):
        inside = changed_functions(*pair)
        if inside is None:
            return None
        found += inside
    return found


# Running them ---------------------------------------------------------------------------------------------------------


class Judge:
    """A pytest plugin that, in place of running the tests, hands all of them on."""

    def __init__(self, judge):
        self.judge, self.noted = judge, Failures()

    def pytest_runtestloop(self, session):
        """All tests are collected."""
        session.config.pluginmanager.register(self.noted)
        self.judge({item.nodeid: item for item in session.items})
        return True


class Failures:
    """A pytest plugin that notes the last test that failed."""

    failed = ""

    def pytest_runtest_logreport(self, report):
        """A test, its preparation or its end is over."""
        if report.failed:
            self.failed = report.nodeid


def exchange(pairs):
    """Give all functions that have the code `before` the code `after`, and forget what was cached; whether any has."""
    number = 0
    for thing in gc.get_objects():
        if isinstance(thing, types.FunctionType):
            for before, after in pairs:
                if thing.__code__ == before:
                    thing.__code__ = after
                    number += 1
    forget_cached()
    return number > 0


def killer(work, mutant, text, pairs, items, noted):
    """In a fork: the test that fails with the mutant in force; empty where none does."""
    if not items:  # no test runs it
        return ""
    if pairs and exchange(pairs):
        for item, following in itertools.zip_longest(items, items[1:]):
            try:
                item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
            except BaseException:  # what stops pytest itself is a failure too
                return item.nodeid
            if noted.failed:
                return noted.failed
    # What runs at import may have changed too: import it all again.
    names, path = [item.nodeid for item in items], str(work / mutant["file"])
    for name in [n for n in sys.modules if n.partition(".")[0] in ("fpsim", "tests", "benchmarks", "conftest")]:
        del sys.modules[name]
    get_code, again = importlib.machinery.SourceFileLoader.get_code, Failures()

    def mutated(self, name):
        return compile(text, path, "exec") if self.path == path else get_code(self, name)

    importlib.machinery.SourceFileLoader.get_code = mutated
    sys.meta_path[:] = [finder for finder in sys.meta_path if "assertion" not in type(finder).__module__]
    try:
        status = run_pytest(["-x", "--assert=plain", *names], [again])  # pytest rewrites what it is given: not here
    except BaseException:
        status = 2
    return again.failed or ("import" if status else "")


def begin(work, mutant, text, pairs, items, noted, seconds):
    """A fork that looks for the killer, with so much time of its own: its id, and where it writes the answer."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    status = 2
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 5))
        by = killer(work, mutant, text, pairs, items, noted)
        os.write(writing, by.encode()[:4000])
        status = int(bool(by))
    finally:
        os._exit(status)


def ended(child, reading, begun):
    """``(verdict, killer)`` of a fork that is over; None of one that is not."""
    done, status = os.waitpid(child, os.WNOHANG)
    if not done:
        if time.monotonic() - begun < STUCK:
            return None
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return "stuck", ""  # says nothing of the mutant
    with os.fdopen(reading, "rb") as answer:
        by = answer.read().decode()
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGXCPU:
        return "slow", ""  # a test that never ends has failed
    return {0: ("survived", ""), 1: ("killed", by)}.get(
        code, ("killed" if code < 0 else "broken", f"exit status {code}")
    )


def run(work, mutants, options):
    """Judge these mutants; results are kept, one a line, so a second call goes on where the first stopped."""
    kept, tests = work / options.results, json.loads((work / "map.json").read_text())
    results = list(map(json.loads, kept.read_text().splitlines())) if kept.exists() else []
    done = {identity(r) for r in results if r["verdict"] not in ("stuck", "broken")}
    if options.again:  # with more tests
        excuses = excused()
        done -= {identity(r) for r in results if r["verdict"] == "survived" and excuse(r) not in excuses}
    killers = collections.Counter((r["file"], r["by"].partition("[")[0]) for r in results if r["verdict"] == "killed")
    waiting = [mutant for mutant in mutants if identity(mutant) not in done]
    print(f"{len(mutants)} mutants, {len(waiting)} to be judged", flush=True)
    until = time.monotonic() + 60 * options.minutes

    def finish(running):
        for entry in list(running):
            mutant, child, reading, begun = entry
            found = ended(child, reading, begun)
            if found is None:
                continue
            running.remove(entry)
            mutant["verdict"], mutant["by"] = found
            mutant["took"] = round(time.monotonic() - begun, 1)
            killers[mutant["file"], mutant["by"].partition("[")[0]] += 1
            with kept.open("a") as file:
                print(json.dumps(mutant), file=file)
            if mutant["verdict"] not in ("killed", "slow"):
                print(f"{mutant['verdict']}: {described(mutant)}", flush=True)

    def judge(items):
        running = []
        for mutant in waiting:
            if time.monotonic() > until:
                break
            try:
                text, pairs = prepared(work, mutant)
            except SyntaxError:
                continue
            functions = [before.co_qualname for before, _ in pairs or ()]
            names = chosen_tests(mutant["file"], functions, tests, killers, options.budget)
            mutant["tests"] = len(names)
            chosen = [items[name] for name in names if name in items]
            seconds = IMPORT + 4 * 2 * sum(tests[item.nodeid]["seconds"] for item in chosen)
            begun = time.monotonic()
            running.append((mutant, *begin(work, mutant, text, pairs, chosen, plugin.noted, seconds), begun))
            while len(running) >= options.workers:
                finish(running)
                time.sleep(0.02)
        while running:
            finish(running)
            time.sleep(0.02)

    plugin = Judge(judge)
    run_pytest(wanted(), [plugin])


def excused():
    """The mutants that `equivalent.txt` lists."""
    lines = EQUIVALENT.read_text().splitlines()[1:]
    return {line.rpartition("  # ")[0].strip() for line in lines}


def identity(mutant):
    """What tells mutants apart, whatever the lines above them."""
    return tuple(mutant[key] for key in ("file", "text", "column", "operator", "which"))


def described(mutant):
    """One line for a person."""
    what = mutant["operator"].removeprefix("core/")
    return f"{mutant['file']}:{mutant['line']}:{mutant['column']} {what}#{mutant['occurrence']}: {mutant['text']}"


def excuse(mutant):
    """As `equivalent.txt` writes it: no line number, so that it holds when lines move."""
    which = f"[{mutant['which']}]" if mutant["which"] else ""
    return f"{mutant['file']}:{mutant['column']} {mutant['operator'].removeprefix('core/')}{which}: {mutant['text']}"


# Reporting ------------------------------------------------------------------------------------------------------------


def report(work, options):
    """Print each room's score with its 95 % interval (Wilson 1927), then the survivors."""
    results = {identity(r): r for r in map(json.loads, (work / options.results).read_text().splitlines())}
    left_out = excused()
    rooms, survivors, equal = collections.defaultdict(collections.Counter), [], 0
    for r in results.values():
        if options.seed is not None and r["seed"] != options.seed:
            continue
        if r["verdict"] == "survived" and excuse(r) in left_out:
            equal += 1
            continue
        for name in (r["file"].split("/")[1].removesuffix(".py"), "all"):
            rooms[name][r["verdict"]] += 1
        if r["verdict"] not in ("killed", "slow"):
            survivors.append(r)
    for name, counts in rooms.items():
        killed = counts["killed"] + counts["slow"]
        n = killed + counts["survived"]
        low, high = wilson(killed, n)
        print(f"{name:12} {killed:4} of {n:4} killed: {killed / n:6.1%}  (95 %: {low:.1%} to {high:.1%})")
    print(f"{equal} equivalent mutants left out\n")
    for r in sorted(survivors, key=lambda r: (r["file"], r["line"])):
        print(described(r))


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
    parser.add_argument("command", choices=("map", "run", "null", "report"))
    parser.add_argument("--work", type=Path, default=Path("/tmp/fpsim-mutation"), help="where the copy is")
    parser.add_argument("--sample", type=int, default=300, help="how many mutants")
    parser.add_argument("--seed", type=int, default=None, help="of the sample; report: of this sample only")
    parser.add_argument("--budget", type=float, default=20, help="seconds of tests for a mutant")
    parser.add_argument("--minutes", type=float, default=60, help="begin no mutant after so many")
    parser.add_argument("--workers", type=int, default=1, help="mutants at once")
    parser.add_argument("--again", action="store_true", help="judge again what survived before")
    parser.add_argument("--results", default=None, help="the file in the copy that keeps them")
    options = parser.parse_args()
    options.results = options.results or ("null.jsonl" if options.command == "null" else "results.jsonl")
    work = options.work.resolve()
    if not work.exists():
        copy_to(work)
    os.chdir(work)
    sys.path.insert(0, str(work))
    os.environ |= {"FPSIM_NUMBA": "off", "OPENBLAS_NUM_THREADS": "1", "HYPOTHESIS_NO_PLUGINS": "1", "CI": "1"}
    if options.command == "map":
        make_map(work)
    elif options.command == "report":
        report(work, options)
    else:
        mutants = drawn(work, options.sample, options.seed or 0)
        if options.command == "null":
            mutants = [{**mutant, "operator": "null"} for mutant in mutants]
        run(work, mutants, options)


if __name__ == "__main__":
    main()
