"""Notebooks handed in: what was right, wrong, unanswered or never reached."""

import pytest

from fpsim.course.grading import grade, grades, main
from fpsim.errors import ArgumentError, CourseError

pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
nbformat = pytest.importorskip("nbformat")

CELLS = [
    "from fpsim.course import check",
    'check("ex03.1", 1)\nprint("ex05.1: right.")',  # what is printed without being asked for does not count
    'check("ex03.1", 1024)',  # the last one counts
    'check("ex03.2", "float32/float16")',
    "1 / 0",
    'check("ex03.3", ...)',
    'if False:\n    check("ex01.1", 5)',
]


def hand_in(path, cells):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(notebook, path)


def test_a_folder_of_notebooks_is_graded(tmp_path, capsys):
    (tmp_path / "kim").mkdir()
    hand_in(tmp_path / "kim" / "03.ipynb", CELLS)
    (tmp_path / "lee.ipynb").write_text("not a notebook")
    assert main([str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        "notebook,exercise,state",
        '"kim/03.ipynb",ex03.1,right',
        '"kim/03.ipynb",ex03.2,wrong',
        '"kim/03.ipynb",ex03.3,unanswered',
        '"kim/03.ipynb",ex01.1,unanswered',
    ]
    assert "grading: expected a notebook, got lee.ipynb: " in printed.err


def test_what_is_no_notebook_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match=r"grading: expected notebooks, .ipynb files, got none in"):
        grades(tmp_path)
    (tmp_path / "x.ipynb").write_text("{}")
    with pytest.raises(CourseError, match=r"expected a notebook, got x.ipynb"):
        grade(tmp_path / "x.ipynb")
