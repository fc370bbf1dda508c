"""`verify`: run the experiment of a figure or results file again, and compare the numbers bit for bit.

Layer 10. Believes nothing that a file says but which experiment it is of.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fpsim.errors import ResultsError, expected
from fpsim.experiments.repeating import digest, versions
from fpsim.gallery import stamp
from fpsim.gallery.catalogue import exhibit
from fpsim.gallery.exhibit import differences, plain
from fpsim.gallery.reruns import rerun, rerun_settings

__all__ = ["Verdict", "verify"]

#: So many differences are named.
NAMED = 5


@dataclass(frozen=True)
class Verdict:
    """What a rerun showed.

    Attributes
    ----------
    file : Path
    name : str
        Of the figure, or of the recipes.
    confirmed : bool
        Every number is the same to the bit.
    digest, recorded : str
        SHA-256 of the numbers of the rerun, and of those in the file.
    differences : list of (place, in the file, of the rerun)
        Where the file holds its numbers, or a results file beside the picture does.
    notes : list of str
        Other versions than now; numbers that do not fit the file's own digest.
    """

    file: Path
    name: str
    confirmed: bool
    digest: str
    recorded: str
    differences: list[tuple[str, Any, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        changed = [{"number": place, "file": there, "rerun": here} for place, there, here in self.differences]
        return {**vars(self), "file": str(self.file), "differences": changed}

    def __str__(self) -> str:
        verdict = "confirmed, bit for bit" if self.confirmed else "NOT confirmed"
        lines = [f"{self.file}: {self.name} {verdict} (sha256 {self.digest[:16]})"]
        for place, there, here in self.differences[:NAMED]:
            lines.append(f"  {place}: {_short(there)} in the file, {_short(here)} of the rerun")
        if len(self.differences) > NAMED:
            lines.append(f"  and {len(self.differences) - NAMED} more")
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])


def verify(path: Any) -> Verdict:
    """Rerun what a figure, its results file, or saved runs came from, and compare every number.

    Parameters
    ----------
    path : str or Path
        A PNG or JSON file that `figures` wrote, results that `train`, `compare` or `sweep` saved, or a picture of them
        that the command line drew.

    Returns
    -------
    Verdict

    Raises
    ------
    ResultsError
        A file that is missing, damaged, not fpsim's, of another version, or without what a rerun needs.
    """
    path = Path(path)
    if _is_results(path):
        name, there, here, notes, written_with = rerun(path)
        return _judged(path, name, there, here, digest(there), [*notes, *_versions(written_with)])
    found = stamp.read(path)
    if found["kind"] == stamp.RUNS:
        names, here, notes = rerun_settings(found["runs"], alone=len(found["runs"]) == 1)
        return _judged(path, names, None, here, found["digest"], [*notes, *_versions(found["versions"])])
    name = found["figure"]
    try:
        one = exhibit(name, "verify")
    except ValueError as error:
        raise ResultsError(str(error)) from None
    if found["settings"] != plain(one.settings):
        place, there, here = next(differences(found["settings"], plain(one.settings)))
        got = f"{path} with {place}={there!r} where this fpsim has {here!r}"
        remedy = f"make it again with fpsim figures {name}"
        raise ResultsError(expected("verify", "a figure of the settings that this fpsim has", got, remedy))
    notes = []
    numbers = found.get("numbers")
    if numbers is None:
        numbers = _beside(path, found["digest"])
    elif digest(numbers) != found["digest"]:
        notes.append("the numbers in the file are not those of its own digest: it was changed after it was written")
    return _judged(path, name, numbers, one.numbers(), found["digest"], [*notes, *_versions(found["versions"])])


def _judged(path: Path, name: str, there: Any, here: Any, recorded: str, notes: list[str]) -> Verdict:
    """Confirmed if the digest is the rerun's, and the numbers in the file, where it has some, are too."""
    found = digest(here)
    changed = [] if there is None else list(differences(there, plain(here)))
    confirmed = found == recorded and not changed
    return Verdict(path, name, confirmed, found, recorded, changed, notes)


def _is_results(path: Path) -> bool:
    """Whether `train`, `compare` or `sweep` wrote it; what is wrong with a file is found out later."""
    if path.is_dir() or path.suffix == ".sqlite":
        return True
    try:
        with open(path, "rb") as file:
            start = file.read(64)
    except (OSError, ValueError):
        return False
    return start.replace(b" ", b"").replace(b"\n", b"").startswith(b'{"kind":"fpsimresults"')


def _beside(path: Path, recorded: str) -> Any:
    """The numbers of the results file beside a picture, if they are the picture's."""
    try:
        numbers = json.loads(path.with_suffix(".json").read_bytes())["numbers"]
        return numbers if digest(numbers) == recorded else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _versions(recorded: dict[str, Any]) -> list[str]:
    now = versions() if recorded else {}
    others = [f"{name} {recorded.get(name)} (now {here})" for name, here in now.items() if recorded.get(name) != here]
    return [f"written with {', '.join(others)}"] if others else []


def _short(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
