"""README.md: its Python examples run and print what they say, and its two commands are those that CI runs."""

import re
from pathlib import Path

import pytest

from tests.oracles.pages import blocks, failures

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_examples_do_what_they_say(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert failures("README.md") == ""


@pytest.mark.parametrize("command", ['pip install -e ".[fast]" && fpsim compare', 'pip install -e ".[test]" && pytest'])
def test_the_command_stands_on_a_line_of_its_own(command):
    assert re.search(rf"^{re.escape(command)}(?=\s|$)", README, re.MULTILINE)


def test_there_is_an_example():
    assert blocks("README.md")
