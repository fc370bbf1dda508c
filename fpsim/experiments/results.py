"""Results of training: one `Run` per recipe, a `Comparison` of several, saved as JSON and read back.

Layer 8. Plain data; nothing here trains or draws. Files are written whole or not at all, and never unpickled.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from fpsim.errors import ResultsError, expected
from fpsim.files import write_whole

__all__ = ["Comparison", "Run", "load"]

#: First thing in every results file.
KIND, VERSION = "fpsim results", 1
#: A results file is text of some 100 bytes a step; more than this is not one.
LARGEST = 256 * 2**20


@dataclass(frozen=True)
class Run:
    """One network trained once with one recipe.

    Attributes
    ----------
    scenario, recipe : str
        What was trained, and in which formats.
    columns : dict
        The recipe spelt out: weights, compute, accumulate, update, scaling.
    seed, steps, batch : int
    lr : float
    loss : list of float
        Of each step, before any scaling.
    scale : list of float
        The loss scale in force at each step.
    skipped : list of int
        The steps that the scaler skipped.
    accuracy, test_loss : float
        On the test images, at the end.
    counts, activations : dict
        Of gradients, and of results in the forward pass: ``elements nonzero overflow to_zero subnormal inexact nan
        infinite``, over the steps that were counted.
    lost_updates : float
        Share of the nonzero updates that left their weight as it was.
    nbytes : dict
        In training: weights, masters, gradients, state, activations.
    seconds : float
        Of simulation; it says nothing about hardware.
    """

    scenario: str
    recipe: str
    columns: dict[str, str]
    seed: int
    steps: int
    batch: int
    lr: float
    loss: list[float]
    scale: list[float]
    skipped: list[int]
    accuracy: float
    test_loss: float
    counts: dict[str, int]
    activations: dict[str, int]
    lost_updates: float
    nbytes: dict[str, int]
    seconds: float

    @property
    def final_loss(self) -> float:
        """Mean of the last tenth of the steps' losses (at least one)."""
        last = self.loss[-max(1, len(self.loss) // 10) :]
        return sum(last) / len(last)

    def share(self, what: str) -> float:
        """A count of the gradients as a share of the nonzero ones."""
        nonzero = self.counts.get("nonzero", 0)
        return self.counts.get(what, 0) / nonzero if nonzero else 0.0

    def deviation(self, reference: Run) -> float:
        """The largest relative deviation of a step's loss from another run's; infinite once one is not finite."""
        worst = 0.0
        for a, b in zip(self.loss, reference.loss, strict=False):
            if not math.isfinite(a):
                return math.inf
            if b:
                worst = max(worst, abs(a - b) / abs(b))
        return worst

    def same_numbers(self, other: Run) -> bool:
        """Whether everything but the time taken is equal, NaN to NaN."""
        ours, theirs = ({k: v for k, v in asdict(run).items() if k != "seconds"} for run in (self, other))
        return json.dumps(_plain(ours)) == json.dumps(_plain(theirs))

    def save(self, path: Any) -> Path:
        """Write to a file, whole or not at all."""
        return write_content(path, {"run": asdict(self)})


@dataclass(frozen=True)
class Comparison:
    """The same network on the same batches from the same weights, once per recipe (and seed).

    ``cmp[recipe]`` is a run; ``cmp.table()`` prints a row per recipe; ``cmp.plot()`` draws; ``cmp.save(path)`` writes
    what ``fp.load(path)`` reads back.
    """

    runs: list[Run]
    #: float64's runs, for the deviations, where float64 is not among the recipes
    references: list[Run] = field(default_factory=list)

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs)

    def __len__(self) -> int:
        return len(self.runs)

    def __getitem__(self, recipe: str) -> Run:
        for run in self.runs:
            if run.recipe == recipe:
                return run
        have = ", ".join(self.recipes)
        raise ResultsError(expected("Comparison", f"a recipe of {have}", repr(recipe), "run it with compare()"))

    @property
    def recipes(self) -> list[str]:
        """Names of the recipes, in order."""
        return list(dict.fromkeys(run.recipe for run in self.runs))

    @property
    def scenarios(self) -> list[str]:
        """Names of the scenarios, in order."""
        return list(dict.fromkeys(run.scenario for run in self.runs))

    def of_scenario(self, scenario: str) -> Comparison:
        """The part that belongs to one scenario."""
        runs, references = ([r for r in part if r.scenario == scenario] for part in (self.runs, self.references))
        return Comparison(runs, references)

    def reference(self, run: Run) -> Run | None:
        """float64's run on the same batches."""
        for other in (*self.references, *self.runs):
            if other.recipe == "float64" and (other.scenario, other.seed) == (run.scenario, run.seed):
                return other
        return None

    def table(self) -> str:
        """A row per recipe, as text."""
        from fpsim.experiments.table import table

        return table(self)

    def __repr__(self) -> str:
        return self.table()

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain dicts and lists; infinities and NaN as strings."""
        return {part: [_plain(asdict(run)) for run in getattr(self, part)] for part in ("runs", "references")}

    def plot(self) -> Any:
        """A matplotlib figure: for each scenario the losses, with what parted them."""
        from importlib import import_module

        return import_module("fpsim.plots").comparison(self)

    def save(self, path: Any) -> Path:
        """Write to a file (a folder gets ``compare.json``), whole or not at all."""
        return write_content(path, self.to_dict())


def _plain(value: Any) -> Any:
    """The same with floats that JSON does not know as strings."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value


def _file(path: Any, name: str = "compare.json") -> Path:
    path = Path(path)
    return path / name if path.suffix != ".json" else path


def write_content(path: Any, content: dict[str, Any], name: str = "compare.json") -> Path:
    """Write results as JSON to a file (into a folder under `name`), whole or not at all."""
    path = _file(path, name)
    text = json.dumps({"kind": KIND, "version": VERSION, **_plain(content)}, indent=1, allow_nan=False)
    write_results(path, text.encode())
    return path


def write_results(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, or say what to do."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except OSError as error:
        got = f"{path}: {error.strerror}"
        remedy = "choose a folder that can be written with --out"
        raise ResultsError(expected("save", "a place that can be written", got, remedy)) from None


def load(path: Any) -> Any:
    """Results that ``save`` wrote: a `Comparison`, a `Sweep`, or a single `Run`.

    Raises
    ------
    ResultsError
        A file that is missing, cut short, or not written by fpsim.
    """
    path = _file(path)
    if not path.exists() and path.with_name("sweep.json").exists():
        path = path.with_name("sweep.json")
    try:
        if path.stat().st_size > LARGEST:
            raise ResultsError(
                expected("load", "a results file", f"{path} of {path.stat().st_size} bytes", "check the path")
            )
        content = json.loads(path.read_bytes())
    except OSError as error:
        got = f"{path}: {error.strerror}"
        raise ResultsError(expected("load", "a file that can be read", got, "check the path")) from None
    except (ValueError, RecursionError):
        got = f"{path}, which is damaged or another file"
        raise ResultsError(expected("load", "a results file", got, "run the command that wrote it again")) from None
    if not isinstance(content, dict) or content.get("kind") != KIND:
        got = f"{path}, which fpsim did not write"
        raise ResultsError(expected("load", "a results file", got, "choose one that save() wrote"))
    if content.get("version") != VERSION:
        got = f"{path} of version {content.get('version')!r}"
        raise ResultsError(expected("load", f"results of version {VERSION}", got, "use the fpsim that wrote it"))
    try:
        if "run" in content:
            return _run(content["run"])
        if "sweep" in content:
            return _sweep(content)
        return Comparison(*([_run(run) for run in content[part]] for part in ("runs", "references")))
    except (KeyError, TypeError, ValueError):
        got = f"{path}, in which something is missing"
        raise ResultsError(expected("load", "complete results", got, "run the command that wrote it again")) from None


def _sweep(content: dict[str, Any]) -> Any:
    """A sweep from plain data."""
    from fpsim.experiments.sweeping import Point, Sweep

    def point(row: dict[str, Any]) -> Any:
        settings = {_reads(str)(name): _reads((str, int, float))(value) for name, value in row["settings"].items()}
        return Point(settings, _run(row["run"]), {int(e): _reads(int)(n) for e, n in row["exponents"].items()})

    points = [point(row) for row in _reads(list)(content["sweep"])]
    reference = [point(row) for row in _reads(list)(content["reference"])]
    if not points:
        raise ValueError
    return Sweep(points, reference[0] if reference else None)


def _run(content: dict[str, Any]) -> Run:
    """A run from plain data, each field checked against its declared type."""
    readers = {
        "str": _reads(str),
        "int": _reads(int),
        "float": _number,
        "list[float]": lambda v: [_number(x) for x in _reads(list)(v)],
        "list[int]": lambda v: [_reads(int)(x) for x in _reads(list)(v)],
        "dict[str, str]": lambda v: {k: _reads(str)(x) for k, x in _reads(dict)(v).items()},
        "dict[str, int]": lambda v: {k: _reads(int)(x) for k, x in _reads(dict)(v).items()},
    }
    return Run(**{f.name: readers[str(f.type)](content[f.name]) for f in fields(Run)})


def _reads(kind: Any) -> Any:
    def read(value: Any) -> Any:
        if not isinstance(value, kind) or isinstance(value, bool):
            raise TypeError
        return value

    return read


def _number(value: Any) -> float:
    if isinstance(value, str) and value not in ("inf", "-inf", "nan"):
        raise ValueError
    return float(_reads((int, float, str))(value))
