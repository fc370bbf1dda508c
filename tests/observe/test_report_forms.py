"""The forms of reports: aligned text, strict JSON, escaped HTML, and a picture that is asked for by name."""

import io
import json
import math
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from fpsim.errors import ArgumentError, ObserverError
from fpsim.observe.report_forms import Column, ReportForms, percent, plain, shown


class Example(ReportForms):
    def __init__(self, *rows):
        self._rows = list(rows)

    def rows(self):
        return self._rows

    def title(self):
        return "errors <per op>"

    def notes(self):
        return ["a note & more"]


ROWS = (
    {"op": "add", "module": "conv<1>", "share": 0.25, "n": 1234567},
    {"op": "matmul", "module": "", "share": float("nan"), "n": 0, "worst": None},
)


class Cells(HTMLParser):
    """Texts of a table's cells; refuses tags that are not closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.texts = [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_text_is_aligned_and_numbers_are_flush_right():
    lines = Example(*ROWS).table().splitlines()
    assert lines == [
        "errors <per op>",
        "op      module   share          n  worst",
        "----------------------------------------",
        "add     conv<1>   0.25  1,234,567      -",
        "matmul             nan          0      -",
        "a note & more",
    ]


def test_columns_choose_and_rename():
    class Chosen(Example):
        def columns(self):
            return [Column("share", "of all", percent, left=True), Column("op", "op")]

    assert Chosen(*ROWS).table().splitlines()[1:5] == [
        "of all   op",
        "---------------",
        "25.00 %  add",
        "nan      matmul",
    ]


def test_json_is_strict_and_plain():
    report = Example(*ROWS, {"op": np.str_("x"), "share": np.float32(0.5), "n": np.int64(3), "a": np.arange(2)})
    content = json.loads(report.to_json(), parse_constant=pytest.fail)
    assert content == report.to_dict()
    assert content["rows"][1]["share"] == "nan"
    assert content["rows"][2] == {"op": "x", "share": 0.5, "n": 3, "a": [0, 1]}
    assert content["notes"] == ["a note & more"]


def test_html_is_well_formed_and_escaped():
    html = Example(*ROWS)._repr_html_()
    texts = Cells(html).texts
    assert texts[0] == "errors <per op>"
    assert "conv<1>" in texts
    assert texts[-1] == "a note & more"
    assert "<1>" not in html
    assert "color:inherit" in html  # the page's own, light or dark
    assert not re.search("<script|<style", html)


def test_an_empty_report_is_a_sentence_everywhere_and_has_no_picture():
    class Plotted(Example):
        plotted_by = "exponents"
        nothing = "nothing was seen"

    report = Plotted()
    assert "nothing was seen" in report.table()
    assert "nothing was seen" in Cells(report._repr_html_()).texts
    assert report.to_dict()["rows"] == []
    with pytest.raises(ObserverError, match="expected a report of something, got nothing was seen"):
        report.plot()


def test_a_report_without_a_picture_says_so():
    with pytest.raises(ArgumentError, match="plot: expected a report that has a picture, got a Example; use table"):
        Example(*ROWS).plot()


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_rich_where_it_is_installed(monkeypatch):
    plain_text = Example(*ROWS).table()
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert Example(*ROWS).table() == plain_text  # not installed
    monkeypatch.undo()
    pytest.importorskip("rich")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "stdout", Terminal())
    drawn = Example(*ROWS).table()
    assert "\x1b[" in drawn
    without = re.sub(r"\x1b\[[0-9;]*m", "", drawn)
    assert without.split() == [word for word in plain_text.split() if not word.startswith("---")]
    monkeypatch.setenv("NO_COLOR", "1")
    assert Example(*ROWS).table() == plain_text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (True, "yes"), (np.False_, "no"), (12345, "12,345"), (np.float64(1e-9), "1e-09"), (math.inf, "inf"),
     ("text", "text")],
)  # fmt: skip
def test_values_are_shown_as_a_reader_expects(value, text):
    assert shown(value) == text


def test_what_is_not_zero_never_reads_as_zero():
    assert [percent(s) for s in (0, 1e-9, 0.00004, 0.1234, 1, math.nan)] == [
        "0", "<0.01 %", "<0.01 %", "12.34 %", "100.00 %", "nan",
    ]  # fmt: skip


def test_plain_knows_every_number_of_numpys():
    given = {1: np.longdouble(0.5), "b": np.bool_(True), "c": (np.float16("inf"), [np.int8(1)]), "d": {2}}
    assert plain(given) == {"1": 0.5, "b": True, "c": ["inf", [1]], "d": "{2}"}
