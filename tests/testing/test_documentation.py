"""docs/testing.md: its examples run and print what they say."""

import pytest

from tests.oracles.pages import blocks, failures


def test_the_examples_do_what_they_say():
    pytest.importorskip("ml_dtypes")
    assert len(blocks("docs/testing.md")) > 5
    assert failures("docs/testing.md") == ""
