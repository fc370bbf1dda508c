"""docs/traps.md: every example runs and prints what the page says; every trap and every warning has its place there."""

import re
from pathlib import Path

import fpsim as fp
from tests.oracles.pages import failures

PAGE = (Path(__file__).parents[1] / "docs" / "traps.md").read_text(encoding="utf-8")


def test_the_examples_print_what_the_page_says():
    assert failures("docs/traps.md") == ""


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
