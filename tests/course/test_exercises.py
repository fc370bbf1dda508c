"""Every exercise: its solution is right, each common mistake gets its own hint, and no hint gives the answer away."""

import ast
import contextlib
import io
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from fpsim.course import Exercise, check
from fpsim.course.checks import all_exercises, find, judge
from fpsim.course.copies import SOLUTION
from fpsim.errors import ArgumentError, ArgumentTypeError

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.py"))
EXERCISES = all_exercises()
FUNCTIONS = [exercise for exercise in EXERCISES if exercise.measure is not None]


def named(exercises):
    return pytest.mark.parametrize("exercise", exercises, ids=lambda exercise: exercise.name)


def source_of(exercise):
    return next(source for source in SOURCES if source.name[:2] == exercise.name[2:4])


def cell_of(exercise):
    """The source of the cell that checks an exercise."""
    cells = re.split(r"^# %%.*\n", source_of(exercise).read_text(encoding="utf-8"), flags=re.MULTILINE)
    (cell,) = [cell for cell in cells if f'check("{exercise.name}"' in cell]
    return cell


def run(exercise, cell):
    """What a cell prints that knows nothing but its notebook's imports."""
    tree = ast.parse(source_of(exercise).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    space = {}
    exec(compile(ast.Module(imports, []), "imports", "exec"), space)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(cell, exercise.name, "exec"), space)
    return printed.getvalue().splitlines()[-1]


def stub(marks):
    return f"{marks[1]}...\n" if marks[1] else "answer = ...\n"


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_a_notebook_has_at_least_three_exercises_in_order(source):
    asked = re.findall(r'^check\("(ex\d\d\.\d+)", ', source.read_text(encoding="utf-8"), re.MULTILINE)
    registered = [exercise.name for exercise in EXERCISES if exercise.name[2:4] == source.name[:2]]
    assert asked == registered == [f"ex{source.name[:2]}.{i + 1}" for i in range(len(asked))]
    assert len(asked) >= 3


@named(EXERCISES)
def test_the_solution_is_right(exercise):
    assert run(exercise, cell_of(exercise)) == f"{exercise.name}: right."


@named(EXERCISES)
def test_a_student_who_has_written_nothing_gets_the_hint(exercise):
    line = run(exercise, SOLUTION.sub(stub, cell_of(exercise)))
    assert line == str(judge(exercise.name, ...))
    assert line.startswith(f"{exercise.name}: not answered yet. Hint: ")
    assert exercise.hint[1:] in line


@named(EXERCISES)
def test_each_common_mistake_gets_its_own_hint(exercise):
    assert len(exercise.wrong) >= 2
    assert len({hint for _, hint in exercise.wrong} | {exercise.hint}) == len(exercise.wrong) + 1
    for mistake, hint in exercise.wrong:
        verdict = judge(exercise.name, mistake)
        assert (verdict.state, verdict.hint) == ("wrong", hint)


@named(EXERCISES)
def test_no_hint_holds_the_solution(exercise):
    right = exercise.right()
    words = {str(right), repr(right)}
    if isinstance(right, float | int | np.number) and not isinstance(right, bool):
        words |= {f"{right:g}", f"{right:.10g}", repr(float(right)), *([f"{right:.0f}"] if right % 1 == 0 else [])}
    if isinstance(right, bool):
        return  # there is no hint without one of two words
    for hint in [exercise.hint, *(hint for _, hint in exercise.wrong)]:
        for word in words:
            assert not re.search(rf"(?<![\w.^-]){re.escape(word)}(?![\w^]|\.\d)", hint), f"{word} in {hint}"


@named(EXERCISES)
def test_an_exercise_says_what_it_catches(exercise):
    assert len(exercise.misconception.split()) >= 4
    assert all(len(hint.split()) >= 5 for hint in [exercise.hint, *(hint for _, hint in exercise.wrong)])


def endless():
    it = []
    it.append(it)
    return it


class Hostile:
    """Raises wherever it is touched."""

    def __getattribute__(self, name):
        raise RuntimeError(name)

    def __eq__(self, other):
        raise RuntimeError("==")

    __hash__ = None


ABSURD = [
    float("nan"), float("inf"), -1, 10**400, 1j, True, "", "256", "float99", b"x", [], [[]], {}, set(), {1: 2},
    np.zeros((3, 4)), np.float16(1), np.array("a"), np.array(None), np.datetime64("nat"), np.float16, print, len,
    lambda: 1, lambda x: x, lambda *a, **k: 1 / 0, lambda *a: sys.exit(), lambda x: check, object(), Hostile(), Hostile,
    endless(), check, type, NotImplemented, range(10**9), (x for x in "ab"),
]  # fmt: skip


@named(EXERCISES)
def test_no_answer_raises(exercise):
    for answer in ABSURD:
        assert judge(exercise.name, answer).state in ("right", "wrong", "unanswered")


@pytest.mark.parametrize("answer", [None, ..., np.nan])
def test_check_prints_one_line_and_gives_nothing_back(answer, capsys):
    assert check("ex03.1", answer) is None
    assert capsys.readouterr().out.count("\n") == 1


def test_an_unknown_exercise_is_an_error_that_names_the_nearest():
    with pytest.raises(ArgumentError, match=r"got exercise='ex3.2'; the nearest is ex03.2"):
        check("ex3.2", 1)
    for name in ("ex03.99", "ex77.1", "ex03", "checks.1", ""):
        with pytest.raises(ArgumentError, match="the nearest is ex"):
            find(name)
    with pytest.raises(ArgumentTypeError, match=r"write check\('ex03.2', answer\)"):
        check(3.2, 1)


MADE = Exercise(
    "ex99.1",
    right=lambda: 2.0,
    hint="the general hint of this one",
    wrong=[(3, "the hint for three of them"), ("a", "the hint for a word here")],
    misconception="that two is another number",
)


def test_a_teachers_own_exercise_needs_no_registration():
    assert judge(MADE, 2).state == "right"
    assert judge(MADE, "A").hint == "the hint for a word here"
    assert judge(MADE, [2, 2]).hint == "the general hint of this one (the answer is a number, not a sequence of 2)"
    assert judge(MADE, lambda: 2).hint == "the general hint of this one (the answer is a number, not a function)"


def test_the_exercise_in_the_teachers_readme_works(capsys):
    import fpsim as fp

    (example,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "notebooks/README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    space = {"fp": fp, "np": np, "answer": 1024}
    exec(example, space)
    assert capsys.readouterr().out == "ex99.1: right.\n"
    assert [judge(space["stop"], mistake).hint for mistake, _ in space["stop"].wrong] == [
        hint for _, hint in space["stop"].wrong
    ]


def test_a_students_function_that_fails_is_told_how():
    exercise = Exercise(
        "ex99.2", lambda: [1.0], "the hint", [(lambda x: 2.0, "two"), (lambda x: 3.0, "three")], "x", lambda f: [f(1)]
    )
    assert judge(exercise, lambda x: x / 0).hint == "the hint (a function gave ZeroDivisionError: division by zero)"
    assert judge(exercise, lambda x: None).state == "unanswered"
    assert judge(exercise, lambda x: 3).hint == "three"
    assert judge(exercise, lambda x: np.float16(1)).state == "right"
