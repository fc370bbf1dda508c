"""A panel live, with ipywidgets' controls, and with all its frames in a page."""

import base64
import json
import re

import numpy as np
import pytest

import fpsim as fp
from fpsim.errors import ArgumentError
from fpsim.plots.style import figure
from fpsim.widgets.panel import Frame, Panel, choice, json_script, scripts, slider

drawn = []


def frame(size, colour):
    drawn.append((size, colour))
    made = figure(2, 1)
    made.subplots().bar([0, 1], [1, size], color=colour)
    return Frame(made, f"{colour} bars up to {size} <{colour}>")


def panel():
    drawn.clear()
    return Panel("bars", [choice("colour", "colour", ["red", "blue"]), slider("size", "size", [1, 2, 4], 2)], frame)


@pytest.fixture
def exported(monkeypatch):
    monkeypatch.setenv("FPSIM_WIDGETS", "frames")
    return panel()


@pytest.fixture
def live():
    pytest.importorskip("ipywidgets")
    shown = panel()
    yield shown
    for child in (*shown.widget.children, shown.widget):
        child.close()


def test_frames_stand_in_the_order_of_the_settings(exported):
    frames = exported.frames()
    assert drawn == [(size, colour) for colour in ("red", "blue") for size in (1, 2, 4)]
    assert [f["sentence"] for f in frames] == [f"{colour} bars up to {size} <{colour}>" for size, colour in drawn]
    assert len({f["png"] for f in frames}) == 6
    head, _, data = frames[0]["png"].partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(data).startswith(b"\x89PNG")


def test_the_page_starts_with_the_first_settings(exported):
    text = exported._repr_mimebundle_()["text/html"]
    data = json.loads(re.search(r'<script type="application/json">(.*?)</script>', text, re.DOTALL)[1])
    assert [c["start"] for c in data["controls"]] == [0, 1]
    assert [c["kind"] for c in data["controls"]] == ["choice", "slider"]
    shown = data["frames"][1]
    assert f'src="{shown["png"]}"' in text
    assert 'alt="red bars up to 2 &lt;red&gt;"' in text


def test_data_cannot_end_its_script():
    text = json_script({"a": "</script><b>"})
    assert text.count("</script>") == 1
    assert json.loads(text.removeprefix('<script type="application/json">').removesuffix("</script>")) == {
        "a": "</script><b>"
    }


def test_the_script_of_a_page_is_no_module():
    assert "export " not in scripts()
    assert "import " not in scripts()
    assert "http" not in scripts()


def test_a_moved_slider_changes_picture_and_sentence(live):
    colour, size, picture, sentence = live.widget.children
    assert live.settings == {"colour": "red", "size": 2}
    assert "red bars up to 2 &lt;red&gt;" in sentence.value
    before = picture.value
    size.index = 2
    assert live.settings == {"colour": "red", "size": 4}
    assert picture.value != before
    assert "red bars up to 4" in sentence.value
    colour.value = "blue"
    assert "blue bars up to 4" in sentence.value
    assert repr(live) == "bars(colour='blue', size=4): blue bars up to 4 <blue>"


def test_a_picture_is_drawn_once(live):
    size = live.widget.children[1]
    size.index = 2
    count = len(drawn)
    size.index, size.index = 1, 2
    assert len(drawn) == count


def test_a_notebook_shows_the_live_controls(live):
    data = live._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in (data[0] if isinstance(data, tuple) else data)
    assert live.widget.children[1].description == "size"


def test_a_start_that_cannot_be_chosen_is_refused(monkeypatch):
    monkeypatch.setenv("FPSIM_WIDGETS", "frames")
    with pytest.raises(ArgumentError, match="exponent=25; choose 24"):
        fp.widgets.loss_scale(exponent=25)


def test_the_live_race_starts_and_stops():
    pytest.importorskip("ipywidgets")
    race = fp.widgets.compare(["float32", "float16"], steps=30)
    boxes, buttons, picture, sentence = race.widget.children
    start, stop = buttons.children
    before = picture.value
    boxes.children[0].value = False
    start.click()
    race.wait(60)
    assert list(race.losses) == ["float16"]
    assert len(race.losses["float16"]) == 30
    assert "float16: step 30 of 30" in sentence.value
    assert picture.value != before
    assert (start.disabled, stop.disabled) == (False, True)
    assert np.isfinite(race.losses["float16"]).all()
    for child in (*boxes.children, *buttons.children, *race.widget.children, race.widget):
        child.close()
