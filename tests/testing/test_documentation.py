"""docs/testing.md: its examples run and print what they say."""

import doctest
import io
import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
BLOCKS = [
    pytest.param(match[1], line := PAGE.count("\n", 0, match.start(1)), id=f"line{line}")
    for match in re.finditer(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
]


@pytest.fixture(scope="module")
def names():
    """The names that the blocks share: a reader types them one after the other."""
    names = {}
    exec(BLOCKS[0].values[0], names)
    return names


@pytest.mark.parametrize(("block", "line"), BLOCKS[1:])
def test_an_example_does_what_it_says(block, line, names):
    pytest.importorskip("ml_dtypes")
    report = io.StringIO()
    example = doctest.DocTestParser().get_doctest(block, names, "testing.md", "testing.md", line)
    doctest.DocTestRunner(verbose=False).run(example, out=report.write, clear_globs=False)
    names.update(example.globs)
    assert report.getvalue() == ""
