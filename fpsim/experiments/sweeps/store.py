"""A sweep's results in one SQLite file, a row for each configuration, under its hash.

Layer 8. Keeps and gives back; runs nothing. A commit is durable: what was stored before a crash is there after it. One
process writes; others may read meanwhile.
"""

from __future__ import annotations

import gc
import json
import sqlite3
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from fpsim.errors import ResultsError, expected, shown
from fpsim.experiments.packing import fpsim_version
from fpsim.experiments.results import complete, exponents_from, plain, run_from, setting_from
from fpsim.experiments.sweeps.found import Failure, Point, Sweep
from fpsim.experiments.sweeps.grid import Configuration

__all__ = ["NAME", "Store", "file_in"]

#: The file's name in a folder.
NAME = "sweep.sqlite"
#: What the file says that it is. The version changes with the tables, and with what they hold.
KIND, VERSION = "fpsim sweep", 1
#: Bytes of a page of the file: several results, of some 3 kB, fit one.
PAGE = 16384
#: Seconds to wait for another process that writes.
PATIENCE = 30.0

TABLES = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
-- place: in the order in which they were asked for; arguments: all of train's, as JSON; part: 'point' or 'reference'
CREATE TABLE IF NOT EXISTS configurations (
    place INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, arguments TEXT NOT NULL, part TEXT NOT NULL);
-- run: a Run as JSON but for its loss and its scale of each step, which are little-endian float64; or an error
CREATE TABLE IF NOT EXISTS results (
    key TEXT PRIMARY KEY, run TEXT, loss BLOB, scale BLOB, exponents TEXT, error TEXT, traceback TEXT,
    seconds REAL, worker TEXT, peak_bytes INTEGER, finished TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);
"""


def file_in(path: Any) -> Path:
    """The store's file: `path` itself, or in the folder that it names."""
    path = Path(path)
    return path if path.suffix == ".sqlite" and not path.is_dir() else path / NAME


class Store:
    """An open store: ``Store()`` in memory, ``Store.writing(path)``, ``Store.reading(path)``."""

    def __init__(self, connection: sqlite3.Connection | None = None, where: str = "memory") -> None:
        self.where = where
        self.connection = connection or sqlite3.connect(":memory:")
        if connection is None:
            self._make()

    # Opening ---------------------------------------------------------------------------------------------------------

    @classmethod
    @contextmanager
    def writing(cls, path: Any) -> Iterator[Store]:
        """The store at `path`, made if it is not there; None: in memory."""
        if path is None:
            store = cls()
            try:
                yield store
            finally:
                store.connection.close()
            return
        file = file_in(path)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            got = f"{file}: {error.strerror}"
            raise ResultsError(expected("sweep", "a folder that can be written", got, "choose another --out")) from None
        with _clear("sweep", file), _connected(file, "rwc") as connection:
            store = cls(connection, str(file))
            if not store._tables():
                store._make()
            store._check("sweep")
            written = store._about("fpsim")
            if written != fpsim_version():
                got = f"{file} by fpsim {written}"
                remedy = "choose another --out (fp.load still reads this one), so that no results of two are mixed"
                raise ResultsError(expected("sweep", f"a store written by fpsim {fpsim_version()}", got, remedy))
            yield store

    @classmethod
    @contextmanager
    def reading(cls, path: Any) -> Iterator[Store]:
        """The store at `path`, to be read."""
        file = file_in(path)
        with _clear("load", file), _connected(file, "rw") as connection:  # (rw: an interrupted commit is undone first)
            store = cls(connection, str(file))
            store._check("load")
            yield store

    def _make(self) -> None:
        about = {"kind": KIND, "version": str(VERSION), "fpsim": fpsim_version(), "swept": "[]"}
        script = [f"INSERT OR IGNORE INTO about VALUES ('{name}', '{value}');" for name, value in about.items()]
        self.connection.executescript(f"PRAGMA page_size = {PAGE};BEGIN IMMEDIATE;{TABLES}{''.join(script)}COMMIT;")

    def _tables(self) -> set[str]:
        """The real ones: a view in a file that was made to deceive may never end."""
        real = "type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'"
        return {name for (name,) in self.connection.execute(f"SELECT name FROM sqlite_master WHERE {real}")}

    def _check(self, op: str) -> None:
        """Refuse what is not a store, or one of another version."""
        if not self._tables() >= {"about", "configurations", "results"} or self._about("kind") != KIND:
            got = f"{self.where}, which fpsim did not write"
            raise ResultsError(expected(op, "a store of sweeps", got, "choose another path"))
        if (version := self._about("version")) != str(VERSION):
            got = f"{self.where} of version {shown(version)}, written by fpsim {shown(self._about('fpsim'))}"
            remedy = "use the fpsim that wrote it, or choose another path"
            raise ResultsError(expected(op, f"a store of version {VERSION}", got, remedy))

    def _about(self, name: str) -> str | None:
        row = self.connection.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    # Writing ---------------------------------------------------------------------------------------------------------

    def ask_for(self, points: Sequence[Configuration], reference: Configuration | None) -> None:
        """Note which configurations are wanted: what has no result yet is then known to be missing."""
        swept = [*json.loads(self._about("swept") or "[]"), *(name for c in points for name in c.settings)]
        rows = [(c.key, json.dumps(c.spelt), "point") for c in points]
        if reference is not None:
            rows.append((reference.key, json.dumps(reference.spelt), "reference"))
        with self.connection:
            self.connection.execute(
                "UPDATE about SET value = ? WHERE name = 'swept'", (json.dumps(list(dict.fromkeys(swept))),)
            )
            self.connection.executemany(
                "INSERT INTO configurations (key, arguments, part) VALUES (?, ?, ?) ON CONFLICT (key) "
                "DO UPDATE SET part = 'point' WHERE excluded.part = 'point'",
                rows,
            )
            if reference is not None:
                self.connection.execute("INSERT OR REPLACE INTO about VALUES ('reference', ?)", (reference.key,))

    def add(self, results: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Store what `task.carry_out` gave for each key, in one commit."""
        with self.connection:
            self.connection.executemany(
                "INSERT OR REPLACE INTO results (key, run, loss, scale, exponents, error, traceback, seconds, worker, "
                "peak_bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [_row(key, result) for key, result in results],
            )

    # Reading ---------------------------------------------------------------------------------------------------------

    def known(self, failed: bool = True) -> dict[str, str | None]:
        """The keys that have a result, and the error of each that failed; without these unless `failed`.

        What was lost with its worker counts as having none.
        """
        rows = self.connection.execute("SELECT key, error FROM results").fetchall()
        return {
            key: error
            for key, error in rows
            if error is None or (failed and not str(error).startswith("WorkerLostError"))
        }

    def seconds(self) -> list[tuple[dict[str, Any], float]]:
        """Arguments of every run that is stored, and how long it took."""
        rows = self.connection.execute(
            "SELECT arguments, seconds FROM results JOIN configurations USING (key) WHERE error IS NULL"
        )
        return [(json.loads(arguments), float(taken)) for arguments, taken in rows]

    def sweep_of(self, points: Sequence[Configuration], reference: Configuration | None) -> Sweep:
        """The results of these, in this order."""
        wanted = {c.key for c in (*points, *([] if reference is None else [reference]))}
        with _readable(self.where):
            found = {row[0]: _result(row) for row in self._results() if row[0] in wanted}
        return _swept(
            [(c.settings, found.get(c.key)) for c in points],
            None if reference is None else found.get(reference.key),
        )

    def load(self) -> Sweep:
        """Everything in it; the settings of a point are the arguments that were swept, or that differ."""
        with _readable(self.where), _uncollected():
            swept = [_text(name) for name in json.loads(self._about("swept") or "[]")]
            rows = self.connection.execute("SELECT key, arguments, part FROM configurations ORDER BY place").fetchall()
            asked = [(key, _arguments(arguments)) for key, arguments, part in rows if part == "point"]
            names = [*swept, *_differing([arguments for _, arguments in asked], set(swept))]
            found = {row[0]: _result(row) for row in self._results()}
            return _swept(
                [({name: arguments.get(name) for name in names}, found.get(key)) for key, arguments in asked],
                found.get(self._about("reference") or ""),
            )

    def _results(self) -> Iterator[tuple[Any, ...]]:
        return self.connection.execute("SELECT key, run, loss, scale, exponents, error FROM results")


# Rows ----------------------------------------------------------------------------------------------------------------

#: A point's run and exponents, or its error.
Found = tuple[Any, dict[int, int], str | None]


def _row(key: str, result: dict[str, Any]) -> tuple[Any, ...]:
    run: Any = result.get("run")
    loss = scale = exponents = None
    if run is not None:
        loss, scale = _floats(run["loss"]), _floats(run["scale"])
        run = json.dumps(plain({name: value for name, value in run.items() if name not in ("loss", "scale")}))
        exponents = json.dumps({str(e): n for e, n in sorted(result["exponents"].items())})
    about = (result.get(name) for name in ("error", "traceback", "seconds", "worker", "peak_bytes"))
    return (key, run, loss, scale, exponents, *about)


def _result(row: tuple[Any, ...]) -> Found:
    _, run, loss, scale, exponents, error = row
    if error is not None:
        return None, {}, _text(error)
    read = run_from({**json.loads(run), "loss": _numbers(loss), "scale": _numbers(scale)})
    return complete(read), exponents_from(json.loads(exponents)), None


def _floats(values: Sequence[float]) -> bytes:
    return _little_endian(array("d", values)).tobytes()


def _numbers(stored: Any) -> list[float]:
    values = array("d")
    values.frombytes(stored)
    return _little_endian(values).tolist()


def _little_endian(values: array[float]) -> array[float]:
    if sys.byteorder == "big":
        values.byteswap()
    return values


def _arguments(text: Any) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise TypeError
    return {_text(name): None if value is None else setting_from(value) for name, value in found.items()}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _differing(arguments: list[dict[str, Any]], but: set[str]) -> list[str]:
    """Names of arguments that are not the same everywhere, with others than these."""
    values: dict[str, Any] = {}
    found: dict[str, None] = {}
    for one in arguments:
        for name, value in one.items():
            if values.setdefault(name, value) != value and name not in but:
                found[name] = None
    return list(found)


def _swept(points: list[tuple[dict[str, Any], Found | None]], reference: Found | None) -> Sweep:
    made = Sweep([], missing=sum(found is None for _, found in points))
    for settings, found in points:
        if found is not None and found[2] is None:
            made.points.append(Point(dict(settings), found[0], found[1]))
        elif found is not None:
            made.failures.append(Failure(dict(settings), str(found[2])))
    if reference is None or reference[2] is not None:
        return made
    return replace(made, reference=Point({"recipe": "float32"}, reference[0], reference[1]))


# Errors --------------------------------------------------------------------------------------------------------------


@contextmanager
def _connected(file: Path, mode: str) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(f"{file.resolve().as_uri()}?mode={mode}", uri=True, timeout=PATIENCE)
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def _clear(op: str, file: Path) -> Iterator[None]:
    """SQLite's errors as fpsim's."""
    try:
        yield
    except sqlite3.OperationalError as error:
        got = f"{file}: {shown(error)}"
        raise ResultsError(expected(op, "a store that can be opened", got, "check path, permissions, space")) from None
    except (sqlite3.Error, UnicodeDecodeError) as error:  # (the latter: of names of tables)
        got = f"{file}: {shown(error)}"
        raise ResultsError(expected(op, "a store of sweeps", got, "choose another path")) from None


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without garbage collection, which would look through all that is made here again and again, and find nothing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def _readable(where: str) -> Iterator[None]:
    """What is in the rows, read as it was written."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError):
        got = f"{where}, in which something is missing"
        raise ResultsError(expected("load", "complete results", got, "run the sweep again, elsewhere")) from None
