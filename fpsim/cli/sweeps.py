"""``fpsim sweep``: train over loss scales and other arguments, print a row for each, draw what became of gradients.

Layer 12. Reads arguments, calls `fpsim.experiments` and `fpsim.plots`, prints and writes.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fpsim.cli.frame import Command, complain, print_json
from fpsim.errors import ArgumentError, WorkerLostError, expected
from fpsim.experiments import SCENARIOS
from fpsim.experiments.results import write_results

if TYPE_CHECKING:
    from fpsim.experiments.sweeping import Plan, Progress, Sweep
    from fpsim.experiments.sweeps.planning import Estimate

__all__ = ["COMMANDS", "counts_of", "numbers_of", "write_pictures"]

#: More numbers than this in a range of factors, or of whole numbers, were a typing mistake.
MOST_FACTORS, MOST_WHOLE = 10_000, 10_000_000


# Numbers -------------------------------------------------------------------------------------------------------------


def numbers_of(text: str, whole: bool = False) -> list[Any]:
    """The numbers that a text names: ``65536``, ``2**16``, ``2**0:2**24`` (times 2) or ``2**0:2**24:16``; or a word.

    With `whole` a range of whole numbers without its end, as in Python: ``0:5``.

    >>> numbers_of("2**0:2**6:4"), numbers_of("0:3", whole=True), numbers_of("dynamic")
    ([1.0, 4.0, 16.0, 64.0], [0, 1, 2], ['dynamic'])
    """
    parts = text.split(":")
    try:
        numbers = [_number(part) for part in parts]
    except (ValueError, OverflowError, ZeroDivisionError):
        if len(parts) == 1 and not whole:
            return [text]
        raise _misread(text) from None
    if whole:
        if len(numbers) > 2 or any(number != int(number) for number in numbers):
            raise _misread(text)
        if len(numbers) == 2 and numbers[1] - numbers[0] > MOST_WHOLE:
            raise _misread(text)
        return list(range(*map(int, numbers))) if len(numbers) == 2 else [int(numbers[0])]
    if len(numbers) == 1:
        return numbers
    start, stop, factor = (*numbers, 2.0) if len(numbers) == 2 else numbers[:3]
    if len(numbers) > 3 or not 0 < start <= stop or not factor > 1 or math.log(stop / start, factor) > MOST_FACTORS:
        raise _misread(text)
    return [start * factor**i for i in range(int(math.log(stop / start, factor) * (1 + 1e-12)) + 1)]


def _misread(text: str) -> ArgumentError:
    return ArgumentError(
        expected(
            "sweep", "numbers like 65536, 2**16 or 2**0:2**24:4", repr(text), "first:last:factor, or 0:5 for seeds"
        )
    )


def _number(text: str) -> float:
    base, power, exponent = text.partition("**")
    value = float(base) ** float(exponent) if power else float(text)
    if not isinstance(value, float) or not math.isfinite(value):
        raise ValueError
    return value


def counts_of(text: str) -> list[Any]:
    """Whole numbers, ranges by factors: ``16:128:2``."""
    numbers = numbers_of(text)
    if any(isinstance(number, str) or number != int(number) for number in numbers):
        raise _misread(text)
    return list(map(int, numbers))


# The command ---------------------------------------------------------------------------------------------------------

#: What may have several values, and how each is read.
SWEPT: dict[str, Callable[[str], list[Any]]] = {
    "scale": numbers_of,
    "recipe": lambda text: [text],
    "scenario": lambda text: [text],
    "order": lambda text: [text],
    "lr": numbers_of,
    "momentum": numbers_of,
    "loss_factor": numbers_of,
    "batch": counts_of,
    "steps": counts_of,
    "seed": lambda text: numbers_of(text, whole=True),
}
#: Beside several of these the scales are swept all the same.
BESIDE_SCALES = ("recipe", "scenario", "seed")
#: In place of scales: as each recipe has it.
OWN = "own"


def _arguments(parser: argparse.ArgumentParser) -> None:
    def several(name: str, text: str) -> None:
        parser.add_argument(name, nargs="+", help=text)

    several("--scale", "loss scales, also first:last[:factor], dynamic, or own (2**0:2**24, unless --lr ... is swept)")
    several("--recipe", "formats to train in (mixed_float16)")
    several("--scenario", f"of {' '.join(SCENARIOS)} (published)")
    several("--seed", "seeds, also first:end as in 0:5 (0); several are shown as means with intervals")
    several("--lr", "learning rates, also first:last:factor (the scenario's)")
    several("--momentum", "momenta (the scenario's)")
    several("--batch", "images a step, also first:last:factor (the scenario's)")
    several("--steps", "training steps of each run (40)")
    several("--order", "of all sums: sequential, pairwise, blocked:64, kahan, exact, blas (the recipe's)")
    several("--loss-factor", "multiply the loss itself by this, as in 2**-20 (the scenario's)")
    parser.add_argument("--data", help="digits, fashion, or a folder of IDX files (digits)")
    parser.add_argument("--no-dynamic", action="store_true", help="without the runs with a dynamic scale")
    parser.add_argument("--out", default="figures", help="folder for the pictures and sweep.sqlite (figures)")
    parser.add_argument(
        "--executor", default="process", help="process (one on each core), process:N, serial or dask://host:port"
    )
    parser.add_argument("--dry-run", action="store_true", help="print what would be run, and how long it would take")
    parser.add_argument("--retry", action="store_true", help="run again what failed, as the store says")
    parser.add_argument("--yes", action="store_true", help="confirms more than 10,000 runs")


def _sweep(options: argparse.Namespace) -> int:
    from fpsim.experiments.sweeping import carry_out, plan

    grid, settings = _grid(options)
    planned = plan(grid, dynamic=not options.no_dynamic, yes=options.yes, **settings)
    if options.dry_run:
        return _dry_run(planned, options)
    line = ProgressLine()
    try:
        found = carry_out(planned, options.executor, out=options.out, retry=options.retry, told=line.told)
    except KeyboardInterrupt:
        line.clear()
        return complain(f"interrupted{line.so_far}; the same command goes on", 130)
    except WorkerLostError as error:
        line.clear()
        return complain(str(error), 1)
    line.clear()
    return _report(found, options)


def _grid(options: argparse.Namespace) -> tuple[dict[str, list[Any]] | None, dict[str, Any]]:
    """What is swept, and what all points share; None where the default scales are."""
    given = {
        name: [value for text in texts for value in read(text)]
        for name, read in SWEPT.items()
        if (texts := getattr(options, name)) is not None
    }
    own = given.get("scale") == [OWN]
    if own:
        del given["scale"]
    swept = {name: values for name, values in given.items() if name == "scale" or len(values) > 1}
    settings = {name: values[0] for name, values in given.items() if name not in swept}
    settings |= {"data": options.data} if options.data is not None else {}
    if own and not swept:
        return {"recipe": [settings.pop("recipe", "mixed_float16")]}, settings
    if not own and "scale" not in swept and set(swept) <= set(BESIDE_SCALES):
        from fpsim.experiments.sweeping import DEFAULT_SCALES

        swept = {"scale": list(DEFAULT_SCALES), **swept}
    return swept, settings


def _report(found: Sweep, options: argparse.Namespace) -> int:
    """Print the table, write the pictures; 1 if something failed."""
    from fpsim.experiments.sweeps.store import file_in

    store = file_in(options.out)
    pictures = write_pictures(found, store.with_name("sweep.png")) if found.points else []
    files = [str(path) for path in (*pictures, store)]
    if options.json:
        print_json({**found.to_dict(), "files": files})
    else:
        print(found.table())
        print(f"Wrote {', '.join(files)}; fp.load({str(store)!r}) reads the results back.")
    return 1 if found.failures else 0


def write_pictures(found: Sweep, main: Path) -> list[Path]:
    """Every picture that fits the sweep: the most telling one under the name given, the others beside it."""
    from fpsim.gallery.stamp import picture_of_runs
    from fpsim.plots.sweeps import pictures

    written: list[Path] = []
    for kind, picture in pictures(found).items():
        path = main if not written else main.with_name(f"{main.stem}_{kind.replace(' ', '_')}.png")
        write_results(path, picture_of_runs(picture, found))
        written.append(path)
    return written


# What would be run ---------------------------------------------------------------------------------------------------


def _dry_run(planned: Plan, options: argparse.Namespace) -> int:
    """Print the plan: what is wanted, what is there, what is left, and how long that would take."""
    from fpsim.experiments.sweeps.executors import checked, workers_of
    from fpsim.experiments.sweeps.planning import estimated
    from fpsim.experiments.sweeps.store import Store, file_in

    checked(options.executor)
    known: dict[str, str | None] = {}
    stored: list[tuple[dict[str, Any], float]] = []
    if file_in(options.out).exists():
        with Store.reading(options.out) as store:
            known, stored = store.known(failed=not options.retry), store.seconds()
    wanted = planned.different
    missing = [c for key, c in wanted.items() if key not in known]
    estimate = estimated(missing, stored)
    workers = workers_of(options.executor)
    plan = {
        "points": len(planned.points),
        "reference": planned.reference is not None,
        "stored": len(wanted) - len(missing),
        "to_run": len(missing),
        "failing": sum(estimate.errors.values()),
        "errors": list(estimate.errors),
        "workers": workers,
        "seconds_on_one_core": estimate.seconds,
        "seconds": estimate.seconds / workers if workers else None,
    }
    if options.json:
        print_json({"plan": plan, "configurations": [c.spelt for c in missing]})
        return 0
    print("\n".join(_plan_in_words(planned, plan, estimate)))
    return 0


def _plan_in_words(planned: Plan, plan: dict[str, Any], estimate: Estimate) -> list[str]:
    from fpsim.experiments.sweeps.found import short

    values: dict[str, dict[Any, None]] = {}
    for point in planned.points:
        for name, value in point.settings.items():
            values.setdefault(name, {})[value] = None
    lines = [
        f"{name:12}{len(seen):6}  {' '.join(map(short, list(seen)[:8]))}{' ...' if len(seen) > 8 else ''}"
        for name, seen in values.items()
    ]
    beside = " and float32 beside them" if plan["reference"] else ""
    lines.append(f"{plan['points']} points{beside}: {plan['stored']} stored, {plan['to_run']} to run.")
    lines += [f"{count} of them would fail: {error}" for error, count in estimate.errors.items()]
    known = [f"{estimate.from_store} runs in the store"] if estimate.from_store else []
    known += [f"a few steps of {estimate.measured} kinds of run"] if estimate.measured else []
    if plan["to_run"]:
        cores = f"{_duration(estimate.seconds)} on one core"
        workers = plan["workers"]
        shared = f", {_duration(plan['seconds'])} on {workers}" if workers and workers > 1 else ""
        where = ", the less the more workers the cluster has" if workers is None else ""
        lines.append(f"About {cores}{shared}{where}; from {' and '.join(known)}.")
    return lines


def _duration(seconds: float) -> str:
    """In the unit that fits: ``40 s``, ``12 min``, ``3.5 h``, ``2.1 days``."""
    for limit, unit, name in ((100, 1, "s"), (100 * 60, 60, "min"), (48 * 3600, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.{1 if name == 'h' else 0}f} {name}"
    return f"{seconds / 86400:.1f} days"


class ProgressLine:
    """How far a sweep is, on stderr: one line that changes on a terminal, else a line a minute."""

    def __init__(self) -> None:
        self.terminal = sys.stderr.isatty()
        self.every = 0.1 if self.terminal else 60.0
        self.last = 0.0 if self.terminal else time.monotonic()
        self.so_far = ""

    def told(self, state: Progress) -> None:
        """Show it, unless that was done a moment ago."""
        self.so_far = f" after {state.done} of {state.points}"
        now = time.monotonic()
        if now - self.last < self.every:
            return
        self.last = now
        end = time.strftime(
            "%H:%M" if state.left < 12 * 3600 else "%d %b %H:%M", time.localtime(time.time() + state.left)
        )
        text = f"sweep {state.done}/{state.points} done, {state.failed} failed, ends about {end}"
        if self.terminal:
            bar = f"[{'#' * (24 * state.done // state.points):.<24}]"
            print(f"\r{bar} {text}, {_duration(state.left)} left   ", end="", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line away."""
        if self.terminal:
            print(f"\r{'':100}\r", end="", file=sys.stderr, flush=True)


COMMANDS = (Command("sweep", "train over loss scales, and see the gradients lost at each", _arguments, _sweep),)
