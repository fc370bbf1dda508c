"""``fpsim compare``, ``train``, ``plot``, and for developers ``bench``.

Layer 12. Reads arguments, calls `fpsim.experiments` and `fpsim.plots`, prints and writes.
"""

from __future__ import annotations

import argparse
import importlib
import shlex
import sys
import time
from pathlib import Path
from typing import Any

from fpsim.cli.frame import Command, complain, one_line_warnings, print_json
from fpsim.cli.sweeps import write_pictures
from fpsim.errors import ArgumentError, ResultsError, expected
from fpsim.experiments import SCENARIOS, Comparison, Run, Sweep, load, train
from fpsim.experiments.comparing import carried_out, planned
from fpsim.experiments.keeping import Interrupted
from fpsim.experiments.results import write_results
from fpsim.experiments.scenario import scenario_named
from fpsim.kernels.loading import available

__all__ = ["COMMANDS", "Bar"]


def _training_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--steps", type=int, help="training steps (the scenario's)")
    parser.add_argument("--batch", type=int, help="images or windows of text a step (the scenario's)")
    parser.add_argument("--lr", type=float, help="learning rate (the scenario's)")
    parser.add_argument("--data", help="digits, fashion, a folder of IDX files; of transformer a text file (embedded)")
    parser.add_argument("--order", help="of all sums: sequential, pairwise, blocked:64, kahan, exact, blas")


def _compare_arguments(parser: argparse.ArgumentParser) -> None:
    names, default = " ".join(SCENARIOS), [name for name, scenario in SCENARIOS.items() if scenario.by_default]
    text = f"of {names} ({' '.join(default)})"
    parser.add_argument("--scenario", nargs="+", default=default, metavar="NAME", help=text)
    parser.add_argument("--recipe", nargs="+", metavar="RECIPE", help="formats to train in (the scenario's)")
    parser.add_argument("--seed", nargs="+", type=int, default=[0], help="one or more seeds (0)")
    _training_arguments(parser)
    parser.add_argument("--out", default="figures", help="folder for the pictures and compare.json (figures)")
    parser.add_argument(
        "--checkpoint", metavar="FOLDER", help="keep checkpoints of all runs there; go on where some are"
    )
    parser.add_argument("--executor", default="process", help="process (one run on each core), process:N, or serial")
    parser.add_argument("--quick", action="store_true", help="a few steps of everything, in half a minute")


def _compare(options: argparse.Namespace) -> int:
    try:
        with one_line_warnings():
            return _compared(options)
    except KeyboardInterrupt:
        if options.checkpoint is None:
            raise
        return complain(f"interrupted; the same command goes on from the checkpoints in {options.checkpoint}", 130)


def _compared(options: argparse.Namespace) -> int:
    out = Path(options.out)
    _check_folder(out)
    scenarios = [scenario_named(name) for name in options.scenario]
    seeds = options.seed if len(options.seed) > 1 else options.seed[0]
    plans = []
    for scenario in scenarios:
        steps = scenario.quick_steps if options.quick and options.steps is None else options.steps
        plans.append(
            planned(options.recipe, scenario, steps, seeds, checkpoint=options.checkpoint, **_settings(options))
        )
    results, bar = Comparison([], []), Bar()
    counting = bar.counting("runs", sum(len(plan.runs) + len(plan.references) for plan in plans))
    for part in carried_out(plans, options.executor, counting):
        bar.clear()
        if not options.json:
            print(part.table().rpartition("\n")[0], flush=True)
        results = Comparison([*results.runs, *part.runs], [*results.references, *part.references])
    bar.clear()
    paths = _save(results, out)
    beside = {scenario.name: report for scenario in scenarios if (report := scenario.beside()) is not None}
    if options.json:
        more = {name: report.to_dict() for name, report in beside.items()}
        print_json({**results.to_dict(), "files": [str(path) for path in paths], "beside": more})
    else:
        for report in beside.values():
            print(report.table(), end="\n\n")
        print(results.table().rpartition("\n")[2])
        print(f"Wrote {' and '.join(map(str, paths))}; fp.load({str(paths[1])!r}) reads the results back.")
        if not available():
            print(
                "Without numba sums in float16 are slow: pip install 'fpsim-lab[fast]' makes them some 20 times faster."
            )
    return 0


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(options, name) for name in ("batch", "lr", "data", "order")}


def _check_folder(out: Path) -> None:
    """Whether results can be written, before minutes of training."""
    probe = out / ".fpsim-probe"
    write_results(probe, b"")
    probe.unlink()


def _save(results: Comparison, out: Path) -> tuple[Path, Path]:
    """All panels in one picture, each in one of its own, and the results."""
    from fpsim.gallery.stamp import picture_of_runs
    from fpsim.plots import panel

    picture = out / "compare.png"
    write_results(picture, picture_of_runs(results.plot(), results))
    for name in results.scenarios:
        write_results(out / f"{name}.png", picture_of_runs(panel(results, name), results.of_scenario(name)))
    return picture, results.save(out / "compare.json")


def _train_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recipe", help="formats to train in (mixed_float16)")
    parser.add_argument("--scenario", help=f"of {' '.join(SCENARIOS)} (published)")
    parser.add_argument("--seed", type=int, help="seed (0)")
    _training_arguments(parser)
    parser.add_argument("--out", help="file or folder for the results (none)")
    parser.add_argument("--weights", help="file for the trained weights, .npz or .safetensors (none)")
    parser.add_argument("--checkpoint", metavar="FOLDER", help="where to keep the last two checkpoints (nowhere)")
    parser.add_argument("--checkpoint-every", type=int, metavar="STEPS", help="between two checkpoints (ten a run)")
    parser.add_argument("--resume", metavar="FOLDER", help="go on from its last checkpoint, with the settings it has")


def _train(options: argparse.Namespace) -> int:
    if options.out is not None:
        _check_folder(Path(options.out).parent if options.out.endswith(".json") else Path(options.out))
    bar = Bar()
    names = ("recipe", "steps", "seed", "scenario", "weights", "checkpoint", "checkpoint_every", "resume")
    settings = {**_settings(options), **{name: getattr(options, name) for name in names}}
    try:
        with one_line_warnings():
            run = train(**settings, progress=bar.of(options.scenario or "train"))
    except Interrupted as interrupted:
        bar.clear()
        done = f"interrupted after step {interrupted.step} of {interrupted.steps}"
        return complain(f"{done}; go on with: {_resuming(interrupted.folder, options)}", 130)
    bar.clear()
    saved = None if options.out is None else run.save(options.out)
    if options.json:
        print_json(Comparison([run]).to_dict()["runs"][0])
    else:
        print(Comparison([run]).table())
        if saved is not None:
            print(f"Wrote {saved}.")
        if options.weights is not None:
            print(f"Wrote {options.weights}; fpsim evaluate {options.weights} casts them to other formats.")
    return 0


def _resuming(folder: Path, options: argparse.Namespace) -> str:
    """The command that goes on; what the run was begun with is in its checkpoint."""
    rest = [f"--{name}={value}" for name in ("out", "weights") if (value := getattr(options, name)) is not None]
    return shlex.join(["fpsim", "train", f"--resume={folder}", *rest, *(["--json"] if options.json else [])])


def _plot_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", help="a results file, or the folder that compare or sweep wrote")
    parser.add_argument("--out", help="the picture (beside the results)")


def _plot(options: argparse.Namespace) -> int:
    from fpsim.gallery.stamp import picture_of_runs

    results = load(options.results)
    if isinstance(results, Run):
        results = Comparison([results])
    source = Path(options.results)
    folder = source if source.suffix not in (".json", ".sqlite") else source.parent
    out = Path(options.out) if options.out else folder / ("sweep.png" if isinstance(results, Sweep) else "compare.png")
    if out.suffix != ".png":
        raise ResultsError(expected("plot", "a picture's name ending in .png", f"--out {out}", "rename it"))
    files = [out]
    if isinstance(results, Sweep) and options.out is None:
        files = write_pictures(results, out)
    else:
        write_results(out, picture_of_runs(results.plot(), results))
    text = f"Wrote {', '.join(map(str, files))}."
    print_json({"file": str(out), "files": list(map(str, files))}) if options.json else print(text)
    return 0


def _bench_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=15, help="repetitions of each measurement (15)")


def _bench(options: argparse.Namespace) -> int:
    sys.path.insert(0, str(Path.cwd()))
    try:
        suite = importlib.import_module("benchmarks.suite")
    except ModuleNotFoundError:
        got = f"{Path.cwd()}"
        raise ArgumentError(expected("bench", "fpsim's own checkout as folder", got, "run it from there")) from None
    finally:
        sys.path.pop(0)
    results = suite.measure(options.rounds)
    print_json(results) if options.json else print(suite.table(results))
    return 0


class Bar:
    """A progress bar on a terminal's stderr; nothing elsewhere."""

    def __init__(self) -> None:
        self.shown = sys.stderr.isatty()
        self.last = 0.0

    def of(self, scenario: str) -> Any:
        """The callback of one scenario; None where no terminal looks."""

        def show(recipe: str, seed: int, step: int, steps: int) -> None:
            self._show(f"{scenario} {recipe} seed {seed}", step, steps)

        return show if self.shown else None

    def counting(self, what: str, count: int) -> Any:
        """The callback of `count` trainings; None where no terminal looks."""
        done = 0

        def show(recipe: str, seed: int, step: int, steps: int) -> None:
            nonlocal done
            done += step == steps
            self._show(f"{what} {recipe} seed {seed}", done + (step % steps) / steps, count)

        return show if self.shown else None

    def _show(self, text: str, step: float, steps: int) -> None:
        now = time.monotonic()
        if now - self.last < 0.1 and step < steps:
            return
        self.last = now
        done = int(30 * step / steps)
        line = f"\r{text:44.44} [{'#' * done}{'.' * (30 - done)}] {int(step)}/{steps} "
        print(line, end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the bar away."""
        if self.shown:
            print(f"\r{'':95}\r", end="", file=sys.stderr, flush=True)


COMMANDS = (
    Command("compare", "train the same network in several precisions, side by side", _compare_arguments, _compare),
    Command("train", "train one network in one precision", _train_arguments, _train),
    Command("plot", "draw saved results", _plot_arguments, _plot),
    Command("bench", "measure fpsim's speed (for developers, in its checkout)", _bench_arguments, _bench),
)
