"""The students' and the teachers' notebooks: in step with their sources, valid, the same bytes on every machine."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fpsim.course.copies import SOLUTION, TABLE, copies, exercise_table, main, write_copies
from fpsim.errors import CourseError

pytest.importorskip("jupytext")
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SOURCES = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.py"))
by_source = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)

SOURCE = '''\
# %% [markdown]
# Some text, with a name in it: Möbius.

# %% tags=["exercise"]
### BEGIN SOLUTION
steps = 10_000
answer = fp.Accumulator("bfloat16").sum([3.0] * steps)
### END SOLUTION
check("ex03.1", answer)

# %% tags=["exercise"]
def summed(x):
    """A student keeps this."""
    ### BEGIN SOLUTION
    return 0
    ### END SOLUTION


check("ex03.3", summed)

# %%
1 + 1

# %%
1 + 1
'''


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "99_small.py").write_text(SOURCE, encoding="utf-8")
    return tmp_path


def cells(folder, reader, name="99_small"):
    return json.loads((folder / reader / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]


@by_source
def test_the_copies_are_in_step_with_their_source(source):
    for reader, text in copies(source).items():
        made = NOTEBOOKS / reader / f"{source.stem}.ipynb"
        assert made.exists(), "run `python -m fpsim.course.copies`"
        assert made.read_text(encoding="utf-8") == text, "run `python -m fpsim.course.copies`"


def test_the_table_of_exercises_is_in_step():
    (table,) = TABLE.findall((NOTEBOOKS / "README.md").read_text(encoding="utf-8"))
    assert table == exercise_table(), "run `python -m fpsim.course.copies`"


@pytest.mark.parametrize("reader", ["student", "teacher"])
def test_there_is_no_copy_without_a_source(reader):
    assert [path.stem for path in sorted((NOTEBOOKS / reader).glob("*.ipynb"))] == [source.stem for source in SOURCES]


@by_source
def test_a_copy_is_a_valid_notebook_with_a_kernel_and_no_outputs(source):
    nbformat = pytest.importorskip("nbformat")
    for text in copies(source).values():
        notebook = nbformat.reads(text, as_version=4)
        nbformat.validate(notebook)
        assert notebook.metadata.kernelspec.name == "python3"
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
        assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)


@by_source
def test_a_student_never_sees_a_solution(source):
    made = copies(source)
    assert "SOLUTION" not in made["student"]
    student, teacher = ({c["id"]: "".join(c["source"]) for c in json.loads(t)["cells"]} for t in made.values())
    solved = [name for name, text in teacher.items() if "### BEGIN SOLUTION" in text]
    assert len(solved) >= 3
    for name in solved:
        (marks,) = SOLUTION.finditer(teacher[name])
        kept = set(student[name].splitlines())
        assert not kept & {line for line in marks[0].splitlines() if line.strip()}
        assert "..." in student[name]


@by_source
def test_a_notebook_has_less_than_300_lines_of_code(source):
    code = "\n".join("".join(c["source"]) for c in json.loads(copies(source)["student"])["cells"] if "outputs" in c)
    assert len([line for line in code.splitlines() if line.strip() and not line.lstrip().startswith("#")]) < 300


@by_source
def test_every_figure_is_predicted_first_and_the_end_says_what_to_remember(source):
    text = source.read_text(encoding="utf-8")
    assert "**Question.**" in text
    assert "**Numbers you will hit.**" in text
    assert "What is emulated." in text
    assert re.search(r"^# ## (What to r|R)emember", text, re.MULTILINE)
    assert re.search(r"Sources?[.:]", text)
    predicted = False
    for cell in json.loads(copies(source)["student"])["cells"]:
        said = "".join(cell["source"])
        predicted = predicted or "**Predict.**" in said
        if re.search(r"plt\.show\(\)|\.plot\(\)$|\bplots\.\w+\(|tidy\(", said, re.MULTILINE) and "def " not in said:
            assert predicted, f"nothing was predicted before {said.splitlines()[0]!r}"
            predicted = False


def test_the_solution_becomes_a_place_for_the_answer(folder):
    write_copies(folder)
    student = cells(folder, "student")
    assert "".join(student[0]["source"]) == "Some text, with a name in it: Möbius."
    assert "".join(student[1]["source"]) == 'answer = ...  # your answer\ncheck("ex03.1", answer)'
    assert "".join(student[2]["source"]) == (
        'def summed(x):\n    """A student keeps this."""\n    ...  # your code\n\n\ncheck("ex03.3", summed)'
    )


def test_the_teacher_has_the_solution_and_what_each_mistake_tells(folder):
    write_copies(folder)
    teacher = cells(folder, "teacher")
    assert "### BEGIN SOLUTION\nsteps = 10_000\n" in "".join(teacher[1]["source"])
    notes = "".join(teacher[2]["source"])
    assert notes.startswith("**For the teacher, ex03.1.** It catches: *the point at which a sum stops")
    assert "- `256.0`: " in notes
    assert [cell["id"] for cell in teacher if "teacher" not in cell["metadata"].get("tags", [])] == [
        cell["id"] for cell in cells(folder, "student")
    ]


def test_ids_follow_the_text_so_that_a_new_cell_moves_no_other(folder):
    write_copies(folder)
    before = [cell["id"] for cell in cells(folder, "student")]
    source = folder / "99_small.py"
    source.write_text("# %%\nnew = 1\n\n" + SOURCE, encoding="utf-8")
    write_copies(folder)
    assert [cell["id"] for cell in cells(folder, "student")][1:] == before


def test_writing_twice_changes_nothing_and_says_so(folder, capsys):
    assert main([str(folder)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    first = {path: path.read_bytes() for path in folder.glob("*/*.ipynb")}
    assert write_copies(folder) == []
    assert {path: path.read_bytes() for path in folder.glob("*/*.ipynb")} == first
    assert all(b"\r" not in text and text.endswith(b"}\n") for text in first.values())


def test_the_readmes_table_is_made_anew(folder):
    readme = folder / "README.md"
    readme.write_text("Before.\n<!-- exercises -->\nstale\n<!-- end -->\nAfter.\n", encoding="utf-8")
    assert readme in write_copies(folder)
    text = readme.read_text(encoding="utf-8")
    assert "stale" not in text
    assert text.startswith("Before.\n<!-- exercises -->\n| exercise |")
    assert text.endswith("|\n<!-- end -->\nAfter.\n")
    assert write_copies(folder) == []


@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_the_bytes_do_not_depend_on_the_process(seed):
    """Neither sets, in the order of their hashes, nor objects shown by their addresses."""
    program = (
        "import hashlib, pathlib, sys; from fpsim.course.copies import copies\n"
        "texts = ''.join(copies(path)['teacher'] for path in map(pathlib.Path, sys.argv[1:]))\n"
        "print(hashlib.sha256(texts.encode()).hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    printed = subprocess.check_output([sys.executable, "-c", program, *map(str, SOURCES)], text=True, env=environment)
    texts = "".join(copies(source)["teacher"] for source in SOURCES)
    assert printed.strip() == hashlib.sha256(texts.encode()).hexdigest()


def test_a_copy_whose_source_is_gone_is_removed(folder):
    write_copies(folder)
    (folder / "99_small.py").unlink()
    assert {path.parent.name for path in write_copies(folder)} == {"student", "teacher"}
    assert list(folder.glob("*/*.ipynb")) == []


@pytest.mark.parametrize(
    ("right", "torn"),
    [
        ('answer)\n\n# %% tags=["exercise"]\ndef', "answer)\n\n# %%\ndef"),  # no tag
        ("### END SOLUTION\ncheck", "check"),  # no end
        ("### BEGIN SOLUTION\nsteps", "steps"),  # no beginning
        ('check("ex03.1", answer)\n', ""),  # no check
    ],
)
def test_torn_marks_are_refused(folder, right, torn):
    assert right in SOURCE
    (folder / "99_small.py").write_text(SOURCE.replace(right, torn), encoding="utf-8")
    with pytest.raises(CourseError, match=r"copies: expected a cell with a tag, a solution and a check, or with none"):
        write_copies(folder)
