"""What each figure and its results file carry: figure, settings, seed, versions, caption, digest of the numbers.

Layer 10. Makes stamps, writes them, and reads them back without trusting them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fpsim.errors import ResultsError, expected
from fpsim.experiments.repeating import digest, runs_of, versions
from fpsim.experiments.repeating import numbers as numbers_of_run
from fpsim.files import read_file
from fpsim.gallery.exhibit import Exhibit, plain
from fpsim.gallery.pictures import SIGNATURE, DamagedPicture, text_of, with_text
from fpsim.plots import style

__all__ = ["KIND", "RUNS", "picture_of_runs", "read", "results_file", "stamp", "stamped"]

#: First in every stamp: of a figure of the gallery, and of a picture of runs.
KIND, RUNS, VERSION = "fpsim figure", "fpsim picture of runs", 1
#: Keyword of the PNG's text that holds the stamp.
KEYWORD = "fpsim"
#: No figure and no results file of the gallery is larger.
LARGEST = 64 * 2**20
#: What a stamp must hold, and of which type.
FIELDS: dict[str, dict[str, Any]] = {
    KIND: {"figure": str, "settings": dict, "theme": str, "versions": dict, "digest": str},
    RUNS: {"runs": dict, "versions": dict, "digest": str},
}
#: A picture of more runs than this does not say how each was made; their results file does.
MOST_RUNS = 1000


def stamp(exhibit: Exhibit, numbers: dict[str, Any], theme: str) -> dict[str, Any]:
    """All that a figure carries but its numbers."""
    seeds = {name: value for name, value in exhibit.settings.items() if name in ("seed", "seeds")}
    return {
        "kind": KIND,
        "version": VERSION,
        "figure": exhibit.name,
        "title": exhibit.title,
        "caption": exhibit.caption,
        "command": exhibit.command,
        "settings": plain(exhibit.settings),
        "seed": next(iter(seeds.values()), None),
        "theme": theme,
        "versions": versions(),
        "digest": digest(numbers),
    }


def stamped(png: bytes, mark: dict[str, Any]) -> bytes:
    """The picture with its stamp, and with the texts that other programs show."""
    texts = {"Title": mark["title"], "Description": mark["caption"], KEYWORD: json.dumps(mark, sort_keys=True)}
    return with_text(png, texts)


def picture_of_runs(made: Any, results: Any) -> bytes:
    """A picture of runs, a comparison or a sweep as PNG, with their settings and the digest of their numbers."""
    runs = runs_of(results)
    mark = {
        "kind": RUNS,
        "version": VERSION,
        "title": ", ".join(dict.fromkeys(f"{run.scenario}: {run.recipe}" for run in runs.values()))[:1000],
        "caption": "made by fpsim from saved runs; fpsim verify trains them again",
        "runs": {name: run.settings for name, run in runs.items()} if len(runs) <= MOST_RUNS else {},
        "versions": versions(),
        "digest": digest({name: numbers_of_run(run) for name, run in runs.items()}),
    }
    return stamped(style.saved_bytes(made), mark)


def results_file(mark: dict[str, Any], numbers: dict[str, Any], claims: list[dict[str, Any]]) -> bytes:
    """The results file's content: the stamp, what was claimed and found, and the numbers."""
    content = {**mark, "claims": plain(claims), "numbers": plain(numbers)}
    return (_lines(content) + "\n").encode()


def _lines(value: Any, indent: str = "") -> str:
    """JSON with a line for each entry of a dict, and lists on one line: short, and readable in a diff."""
    if not isinstance(value, dict) or not value:
        return json.dumps(value, allow_nan=False)
    inner = indent + " "
    entries = (f"{inner}{json.dumps(name)}: {_lines(entry, inner)}" for name, entry in value.items())
    return "{\n" + ",\n".join(entries) + f"\n{indent}}}"


def read(path: Path) -> dict[str, Any]:
    """The stamp of a PNG or of a results file (then with its numbers, and `claims`).

    Raises
    ------
    ResultsError
        A file that is missing, damaged, cut short, not the gallery's, or of another version.
    """
    content = _bytes(path)
    if content.startswith(SIGNATURE):
        try:
            text = text_of(content).get(KEYWORD)
        except DamagedPicture as damage:
            raise _refused("a whole picture", f"{path}: {damage}", "run the command that wrote it again") from None
        if text is None:
            raise _refused(
                "a figure of fpsim", f"{path}, which carries no stamp", "choose one that fpsim figures wrote"
            )
        found = _parsed(path, text)
    else:
        found = _parsed(path, content)
    return _checked(path, found)


def _bytes(path: Path) -> bytes:
    try:
        return read_file(path, LARGEST)
    except OSError as error:
        raise _refused("a file that can be read", f"{path}: {error.strerror}", "check the path") from None


def _parsed(path: Path, text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        got = f"{path}, which is damaged or another file"
        raise _refused("a PNG or a results file", got, "run the command that wrote it again") from None


def _checked(path: Path, found: Any) -> dict[str, Any]:
    if not isinstance(found, dict) or found.get("kind") not in (KIND, RUNS):
        raise _refused("a figure of fpsim", f"{path}, which fpsim figures did not write", "choose one that it wrote")
    if found.get("version") != VERSION:
        got = f"{path} of version {found.get('version')!r}"
        raise _refused(f"a figure of version {VERSION}", got, "use the fpsim that wrote it")
    for name, kind in FIELDS[found["kind"]].items():
        if not isinstance(found.get(name), kind):
            got = f"{path} without its {name}"
            raise _refused("a complete stamp", got, "run the command that wrote it again")
    return found


def _refused(invariant: str, got: str, remedy: str) -> ResultsError:
    return ResultsError(expected("verify", invariant, got, remedy))
