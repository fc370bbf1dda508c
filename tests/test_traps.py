"""docs/traps.md: every example runs and prints what the page says; every trap and every warning has its place there."""

import doctest
import io
import re
from pathlib import Path

import pytest

import fpsim as fp

PAGE = (Path(__file__).parents[1] / "docs" / "traps.md").read_text(encoding="utf-8")

BLOCKS = [
    pytest.param(match[1], line := PAGE.count("\n", 0, match.start(1)), id=f"line{line}")
    for match in re.finditer(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
]


@pytest.fixture(scope="module")
def names():
    """The names that the first block defines, and those that a reader made on the way."""
    return {}


@pytest.mark.parametrize(("block", "line"), BLOCKS)
def test_an_example_prints_what_the_page_says(block, line, names):
    report = io.StringIO()
    example = doctest.DocTestParser().get_doctest(block, names, "traps.md", "docs/traps.md", line)
    assert example.examples
    doctest.DocTestRunner(verbose=False).run(example, out=report.write, clear_globs=False)
    names.update(example.globs)
    assert report.getvalue() == ""


def test_every_trap_has_an_example():
    headings = re.findall(r"^## \d\. (.*)$", PAGE, re.MULTILINE)
    assert len(headings) == 9
    for section in PAGE.split("\n## ")[1:]:
        assert "```python" in section


def test_every_warning_of_a_trap_is_explained():
    table = set(re.findall(r"^\| `(\w+Warning)` \|", PAGE, re.MULTILINE))
    assert table == {
        "HyperparameterRoundingWarning", "LossScaleOverflowWarning", "LossScaleUnderflowWarning",
        "ScalarRoundingWarning", "ScaledGradientWarning", "SpoiledGradientWarning",
    }  # fmt: skip
    assert all(issubclass(getattr(fp, name), UserWarning) for name in table)
