"""The notebooks' two copies, a student's and a teacher's, made from one source: ``python -m fpsim.course.copies``.

Layer 11. Reads jupytext's percent files, writes ``.ipynb``; runs no cell. The same source gives the same bytes.

A source such as ``notebooks/03_summation.py`` runs from top to bottom with its solutions in it, between nbgrader's
marks::

    # %% tags=["exercise"]
    ### BEGIN SOLUTION
    answer = fp.Accumulator("bfloat16").sum(np.ones(1000))
    ### END SOLUTION
    check("ex03.1", answer)

The student's copy has ``answer = ...`` in its place, or ``...`` where the marks are indented, inside a function. The
teacher's copy keeps the solution and its marks (it is an nbgrader source as it stands) and adds, below, what each wrong
answer tells. Cells have no outputs; their ids come from their text, so that a change of one cell is a change of one
cell.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fpsim.course.checks import Exercise, all_exercises
from fpsim.errors import CourseError, MissingLibraryError, expected

__all__ = ["copies", "exercise_table", "write_copies"]

Cell = dict[str, Any]

SOLUTION = re.compile(r"^( *)### BEGIN SOLUTION\n.*?^ *### END SOLUTION\n?", re.MULTILINE | re.DOTALL)
#: Where the table of exercises stands in the teachers' README.
TABLE = re.compile(r"(?<=<!-- exercises -->\n).*?(?=<!-- end -->)", re.DOTALL)
#: What a front end needs to choose a kernel without asking.
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def copies(source: Path) -> dict[str, str]:
    """The text of the ``student`` and the ``teacher`` notebook of one source.

    Raises
    ------
    CourseError
        A mark without its partner, or an exercise's cell that checks nothing.
    MissingLibraryError
        Without jupytext.
    """
    cells = list(_cells(source))
    for cell in cells:
        _refuse_torn_marks(source, cell)
    return {
        "student": _notebook([_for_student(cell) for cell in cells]),
        "teacher": _notebook([shown for cell in cells for shown in _for_teacher(cell)]),
    }


def write_copies(folder: str | Path) -> list[Path]:
    """Write ``folder/student/*.ipynb`` and ``folder/teacher/*.ipynb`` from ``folder/NN_*.py``; what changed.

    Copies whose source is gone are removed. The table in ``folder/README.md`` is made anew.
    """
    folder = Path(folder)
    texts = {
        folder / reader / f"{source.stem}.ipynb": text
        for source in sorted(folder.glob("[0-9][0-9]_*.py"))
        for reader, text in copies(source).items()
    }
    if (readme := folder / "README.md").exists():
        texts[readme] = TABLE.sub(lambda _: exercise_table(), readme.read_text(encoding="utf-8"))
    changed = []
    for path, text in texts.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
            changed.append(path)
    for orphan in [path for path in folder.glob("*/*.ipynb") if not (folder / f"{path.stem}.py").exists()]:
        if orphan.parent.name in ("student", "teacher"):
            orphan.unlink()
            changed.append(orphan)
    return changed


def exercise_table() -> str:
    """Each exercise and the misconception that it catches, as a table in Markdown."""
    rows = [f"| {exercise.name[2:]} | {exercise.misconception} |\n" for exercise in all_exercises()]
    return "".join(["| exercise | the misconception it catches |\n|---|---|\n", *rows])


def _cells(source: Path) -> Iterator[Cell]:
    """The cells of a source, as nbformat 4.5 has them."""
    try:
        import jupytext  # needed only where notebooks are made
    except ImportError:
        remedy = "install fpsim-lab[test]"
        raise MissingLibraryError(expected("copies", "jupytext to be installed", "no such module", remedy)) from None

    seen: set[str] = set()
    for cell in jupytext.reads(source.read_text(encoding="utf-8"), fmt="py:percent").cells:
        name = key = hashlib.sha256(cell.source.encode()).hexdigest()[:12]
        while name in seen:  # the same text a second time
            name = hashlib.sha256(f"{key} {name}".encode()).hexdigest()[:12]
        seen.add(name)
        metadata = {"tags": list(cell.metadata["tags"])} if cell.metadata.get("tags") else {}
        outputs: Cell = {"execution_count": None, "outputs": []} if cell.cell_type == "code" else {}
        yield {"cell_type": cell.cell_type, "id": name, "metadata": metadata, "source": cell.source, **outputs}


def _for_student(cell: Cell) -> Cell:
    def stub(marks: re.Match[str]) -> str:
        return f"{marks[1]}...  # your code\n" if marks[1] else "answer = ...  # your answer\n"

    return {**cell, "source": SOLUTION.sub(stub, cell["source"])} if cell["cell_type"] == "code" else cell


def _for_teacher(cell: Cell) -> Iterator[Cell]:
    """The cell; below an exercise, what its wrong answers tell."""
    yield cell
    for exercise in all_exercises() if "exercise" in cell["metadata"].get("tags", []) else []:
        if f'check("{exercise.name}"' in cell["source"]:
            name = hashlib.sha256(exercise.name.encode()).hexdigest()[:12]
            yield {"cell_type": "markdown", "id": name, "metadata": {"tags": ["teacher"]}, "source": _notes(exercise)}


def _notes(exercise: Exercise) -> str:
    lines = [f"**For the teacher, {exercise.name}.** It catches: *{exercise.misconception}*", ""]
    lines += [f"- `{_short(answer)}`: {hint}" for answer, hint in exercise.wrong]
    return "\n".join([*lines, f"- anything else, or nothing: {exercise.hint}"])


def _short(answer: Any) -> str:
    """An answer as it is written, the same in every process: a set in order, a function by its name."""
    if isinstance(answer, set | frozenset):
        return "{" + ", ".join(sorted(map(repr, answer))) + "}"
    if callable(answer):
        return getattr(answer, "__name__", type(answer).__name__).strip("_").replace("<lambda>", "a function")
    return " ".join(repr(answer).split())


def _refuse_torn_marks(source: Path, cell: Cell) -> None:
    code = cell["source"]
    whole = len(SOLUTION.findall(code))
    marks = len(re.findall("### (?:BEGIN|END) SOLUTION", code))
    exercise = "exercise" in cell["metadata"].get("tags", [])
    if marks != 2 * whole or exercise != bool(whole) or exercise != ("check(" in code):
        got = f"{source.name}: {code.splitlines()[0]!r}"
        remedy = 'tag it "exercise", enclose the solution in ### BEGIN SOLUTION and ### END SOLUTION, and check() it'
        raise CourseError(expected("copies", "a cell with a tag, a solution and a check, or with none", got, remedy))


def _notebook(cells: list[Cell]) -> str:
    split = [{**cell, "source": cell["source"].splitlines(keepends=True)} for cell in cells]
    notebook = {"cells": split, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Write the copies of the notebooks in a folder (``notebooks``), and say which changed."""
    for path in write_copies(*(arguments or ["notebooks"])[:1]):
        print(path if path.exists() else f"{path} removed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
