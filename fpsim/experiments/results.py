"""Results of training: one `Run` per recipe, a `Comparison` of several, saved as JSON and read back.

Layer 8. Plain data; nothing here trains or draws. Files are written whole or not at all, and never unpickled.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from fpsim.errors import ResultsError, expected, shown
from fpsim.files import read_file, write_whole

__all__ = ["Comparison", "Run", "load"]

#: First thing in every results file.
KIND, VERSION = "fpsim results", 1
#: A results file is text of some 50 bytes a step; more than this is not one.
LARGEST = 64 * 2**20


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
        On the test part, at the end.
    counts, activations : dict
        Of gradients, and of results in the forward pass: ``elements nonzero overflow to_zero subnormal inexact nan
        infinite``, over the steps that were counted.
    lost_updates : float
        Share of the nonzero updates that left their weight as it was.
    nbytes : dict
        In training: weights, masters, gradients, state, activations.
    seconds : float
        Of simulation; it says nothing about hardware.
    settings : dict
        The arguments with which `train` gives the same run again; empty where names do not say it all.
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
    settings: dict[str, Any] = field(default_factory=dict)

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
        return json.dumps(plain(ours)) == json.dumps(plain(theirs))

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
        return {part: [plain(asdict(run)) for run in getattr(self, part)] for part in ("runs", "references")}

    def plot(self, *, theme: str = "light") -> Any:
        """A matplotlib figure, ``light`` or ``dark``: for each scenario the losses, with what parted them."""
        from importlib import import_module

        return import_module("fpsim.plots").comparison(self, theme=theme)

    def save(self, path: Any) -> Path:
        """Write to a file (a folder gets ``compare.json``), whole or not at all."""
        return write_content(path, self.to_dict())


def plain(value: Any) -> Any:
    """The same with floats that JSON does not know as strings."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value


def _file(path: Any, name: str = "compare.json") -> Path:
    path = Path(path)
    return path / name if path.suffix != ".json" else path


def write_content(path: Any, content: dict[str, Any], name: str = "compare.json") -> Path:
    """Write results as JSON to a file (into a folder under `name`), whole or not at all."""
    path = _file(path, name)
    from fpsim.experiments.repeating import digest, numbers_of, versions

    content = plain(content)
    mark = {"kind": KIND, "version": VERSION, "versions": versions(), "digest": digest(numbers_of(content))}
    text = json.dumps({**mark, **content}, indent=1, allow_nan=False)
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
    """Results that ``save`` wrote, or a sweep's store: a `Comparison`, a `Sweep`, or a single `Run`.

    Raises
    ------
    ResultsError
        A file that is missing, cut short, or not written by fpsim.
    """
    source, path = Path(path), _file(path)
    if not path.exists() and path.with_name("sweep.json").exists():
        path = path.with_name("sweep.json")
    if source.suffix == ".sqlite" or (not path.exists() and path.with_name("sweep.sqlite").exists()):
        return _stored(source)
    try:
        content = json.loads(read_file(path, LARGEST))
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
        got = f"{path} of version {shown(content.get('version'))}"
        raise ResultsError(expected("load", f"results of version {VERSION}", got, "use the fpsim that wrote it"))
    try:
        if "run" in content:
            return complete(run_from(content["run"]))
        if "sweep" in content:
            return _sweep(content)
        runs, references = ([complete(run_from(run)) for run in content[part]] for part in ("runs", "references"))
        if runs:
            return Comparison(runs, references)
        raise ValueError
    except (KeyError, TypeError, ValueError, AttributeError):
        got = f"{path}, in which something is missing"
        raise ResultsError(expected("load", "complete results", got, "run the command that wrote it again")) from None


def _stored(path: Path) -> Any:
    """A sweep from its store."""
    from fpsim.experiments.sweeps.store import Store

    with Store.reading(path) as store:
        return store.load()


def _sweep(content: dict[str, Any]) -> Any:
    """A sweep from plain data."""
    from fpsim.experiments.sweeps.found import Failure, Point, Sweep

    def point(row: dict[str, Any]) -> Any:
        settings = {_text(name): setting_from(value) for name, value in row["settings"].items()}
        return Point(settings, complete(run_from(row["run"])), exponents_from(row["exponents"]))

    points = [point(row) for row in _reads(list)(content["sweep"])]
    reference = [point(row) for row in _reads(list)(content["reference"])]
    failures = [Failure(dict(row["settings"]), _reads(str)(row["error"])) for row in content.get("failures", [])]
    if not points and not failures:
        raise ValueError
    return Sweep(points, reference[0] if reference else None, failures)


def run_from(content: dict[str, Any]) -> Run:
    """A run from plain data, each field checked against its declared type; KeyError and its kin where one is not."""
    content = {"settings": {}, **content}  # which older files do not have
    return Run(**{name: read(content[name]) for name, read in _readers()})


@cache
def _readers() -> list[tuple[str, Any]]:
    """What reads each field of a `Run`, by its declared type."""
    readers = {
        "str": _text,
        "int": _whole,
        "float": _number,
        "list[float]": lambda v: [x if type(x) is float else _number(x) for x in _reads(list)(v)],
        "list[int]": lambda v: [_whole(x) for x in _reads(list)(v)],
        "dict[str, str]": lambda v: {_text(k): _text(x) for k, x in _reads(dict)(v).items()},
        "dict[str, int]": lambda v: {_text(k): _whole(x) for k, x in _reads(dict)(v).items()},
        "dict[str, Any]": lambda v: {_text(k): setting_from(x) for k, x in _reads(dict)(v).items()},
    }
    return [(f.name, readers[str(f.type)]) for f in fields(Run)]


#: What tables and plots ask every run for.
_COLUMNS = {"weights", "compute", "accumulate", "update", "scaling"}
_COUNTS = {"elements", "nonzero", "overflow", "to_zero", "subnormal", "inexact", "nan", "infinite"}


def complete(run: Run) -> Run:
    """The run, if all of its steps, columns and counts are there."""
    of_steps = len(run.loss) == len(run.scale) == run.steps >= 1 and all(0 <= step < run.steps for step in run.skipped)
    if of_steps and run.columns.keys() >= _COLUMNS and all(c.keys() >= _COUNTS for c in (run.counts, run.activations)):
        return run
    raise ValueError


def _text(value: Any) -> str:
    """A name that can be printed."""
    if type(value) is not str or len(value) > 1000 or not value.isprintable():
        raise ValueError
    return value


def _whole(value: Any) -> int:
    """An integer that every program reads: JSON itself has no bounds."""
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise ValueError
    return value


def setting_from(value: Any) -> str | int | float:
    """An argument of `train` as a file can hold it."""
    return _text(value) if isinstance(value, str) else _whole(value) if isinstance(value, int) else _number(value)


def exponents_from(content: dict[str, Any]) -> dict[int, int]:
    """How often each exponent of a float64 number occurred."""
    found = {int(e): _whole(n) for e, n in content.items()}
    if found and not -1100 < min(found) <= max(found) < 1100:
        raise ValueError
    return found


def _reads(kind: Any) -> Any:
    def read(value: Any) -> Any:
        if not isinstance(value, kind) or isinstance(value, bool):
            raise TypeError
        return value

    return read


def _number(value: Any) -> float:
    if type(value) is float:
        return value
    if isinstance(value, str) and value not in ("inf", "-inf", "nan"):
        raise ValueError
    return float(_whole(value) if isinstance(value, int) else _reads((float, str))(value))
