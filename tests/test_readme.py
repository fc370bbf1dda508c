"""README.md: its Python examples run and print what they say, and its two commands are those that CI runs."""

import contextlib
import doctest
import io
import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")

BLOCKS = [
    pytest.param(match[1], line := README.count("\n", 0, match.start(1)), id=f"line{line}")
    for match in re.finditer(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
]


@pytest.fixture(scope="module")
def names():
    """The names that the blocks share: a reader types them one after the other."""
    return {}


@pytest.mark.parametrize(("block", "line"), BLOCKS)
def test_an_example_does_what_it_says(block, line, names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if ">>>" not in block:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(block, "README.md", "exec"), names)
        return
    report = io.StringIO()
    example = doctest.DocTestParser().get_doctest(block, names, "README.md", "README.md", line)
    doctest.DocTestRunner(verbose=False).run(example, out=report.write, clear_globs=False)
    names.update(example.globs)
    assert report.getvalue() == ""


@pytest.mark.parametrize("command", ['pip install -e ".[fast]" && fpsim compare', 'pip install -e ".[test]" && pytest'])
def test_the_command_stands_on_a_line_of_its_own(command):
    assert re.search(rf"^{re.escape(command)}(?=\s|$)", README, re.MULTILINE)


def test_there_is_an_example():
    assert BLOCKS
