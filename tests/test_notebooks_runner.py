"""The runner of the notebooks: a notebook that fails is reported and fails the run."""

import runpy
from pathlib import Path

import pytest

RUNNER = runpy.run_path(str(Path(__file__).parents[1] / ".ci" / "notebooks.py"))


@pytest.mark.parametrize(
    ("cell", "failed", "said"),
    [
        ("assert 1 + 1 == 2", 0, "lesson.py: ran in"),
        ("raise ValueError('this cell is wrong')", 1, "ValueError: this cell is wrong"),
        ("import os; os._exit(3)", 1, "lesson.py: FAILED in"),
    ],
)
def test_a_failing_cell_fails_the_run(tmp_path, capsys, cell, failed, said):
    source = tmp_path / "lesson.py"
    source.write_text(f"# %% [markdown]\n# A lesson.\n\n# %%\n{cell}\n")
    assert RUNNER["main"]([str(source)]) == failed
    assert said in capsys.readouterr().out
