"""Grading: ``python -m fpsim.course.grading FOLDER`` runs the notebooks handed in and lists what `check` said.

Layer 11. Runs each notebook in a kernel of its own, which is the student's code: do it where that may do no harm. It
reads what the cells print, so it saves a teacher from opening thirty files, not from looking at a suspicious one.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path

from fpsim.errors import ArgumentError, CourseError, MissingLibraryError, expected

__all__ = ["grade", "grades"]

ASKED = re.compile(r'\bcheck\(\s*["\'](ex\d\d\.\d+)["\']')
SAID = re.compile(r"^(ex\d\d\.\d+): (right|not yet|not answered)", re.MULTILINE)
STATES = {"right": "right", "not yet": "wrong", "not answered": "unanswered"}


def grade(notebook: str | Path, seconds: int = 120) -> dict[str, str]:
    """Run one notebook: for each exercise that it checks ``right``, ``wrong`` or ``unanswered``.

    The last check of an exercise counts; one that is never reached is unanswered. A cell that fails, or takes more than
    `seconds`, fails alone.

    Raises
    ------
    CourseError
        A file that is no notebook.
    MissingLibraryError
        Without nbclient.
    """
    try:
        import nbformat
        from nbclient import NotebookClient
        from nbclient.exceptions import CellTimeoutError, DeadKernelError
    except ImportError:
        remedy = "install fpsim-lab[notebooks]"
        raise MissingLibraryError(expected("grading", "nbclient to be installed", "no such module", remedy)) from None
    try:
        made = nbformat.read(str(notebook), as_version=4)
        code = [cell for cell in made.cells if cell.cell_type == "code"]
    except Exception as error:  # whatever a student saved under that name
        got = f"{Path(notebook).name}: {type(error).__name__}"
        raise CourseError(expected("grading", "a notebook", got, "ask for the .ipynb file")) from None
    for cell in code:
        cell.outputs = []
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        client = NotebookClient(
            made,
            timeout=seconds,
            kernel_name="python3",
            resources=resources,
            allow_errors=True,
            interrupt_on_timeout=True,
        )
        try:
            client.execute()
        except (CellTimeoutError, DeadKernelError):
            pass  # what was reached before counts
    found = {name: "unanswered" for cell in code for name in ASKED.findall(cell.source)}
    printed = "".join(out.text for cell in code for out in cell.outputs if out.get("name") == "stdout")
    for name, state in SAID.findall(printed):
        if name in found:
            found[name] = STATES[state]
    return found


def grades(folder: str | Path, seconds: int = 120) -> dict[str, dict[str, str]]:
    """The grades of every notebook in a folder and below, by path; one that cannot be read has none."""
    folder, found = Path(folder), {}
    for notebook in sorted(folder.rglob("*.ipynb")):
        if ".ipynb_checkpoints" not in notebook.parts:
            try:
                found[str(notebook.relative_to(folder))] = grade(notebook, seconds)
            except CourseError as error:
                print(error, file=sys.stderr)
                found[str(notebook.relative_to(folder))] = {}
    if not found:
        got = f"none in {folder}"
        raise ArgumentError(
            expected("grading", "notebooks, .ipynb files", got, "name the folder they were handed in to")
        )
    return found


def main(arguments: list[str] | None = None) -> int:
    """Print a line for each notebook and exercise: comma-separated, for a spreadsheet."""
    parser = argparse.ArgumentParser(prog="python -m fpsim.course.grading", description=grades.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=int, default=120, help="the limit of one cell")
    options = parser.parse_args(arguments)
    print("notebook,exercise,state")
    for notebook, found in grades(options.folder, options.seconds).items():
        for exercise, state in found.items():
            print(f'"{notebook}",{exercise},{state}')
    return 0


if __name__ == "__main__":
    sys.exit(main())
