"""Pictures of comparisons: every panel has its axes and recipes; the same results give the same bytes."""

import pytest

import fpsim as fp
from fpsim.plots import panel
from fpsim.plots.style import colour_of, saved_bytes


@pytest.fixture(scope="module")
def results():
    parts = [
        fp.compare(["float32", "float16/float32"], name, steps=3, batch=4)
        for name in ("rounding", "underflow", "overflow")
    ]
    parts.append(fp.compare(["float32"], "published", steps=2, batch=4))
    return fp.experiments.Comparison([r for p in parts for r in p.runs], [r for p in parts for r in p.references])


def test_there_is_a_panel_for_each_scenario_with_named_axes(results):
    figure = results.plot()
    axes = [a for sub in figure.subfigs for a in sub.axes]
    assert len(figure.subfigs) == 4
    assert len(axes) == 8
    assert all(a.get_title(loc="left") and a.get_xlabel() for a in axes)
    titles = [sub._suptitle.get_text() for sub in figure.subfigs]
    assert {t.split(":")[0] for t in titles} == {"rounding", "underflow", "overflow", "published"}  # in 3.8 by columns


def test_the_same_results_give_the_same_bytes(results):
    assert saved_bytes(panel(results, "rounding")) == saved_bytes(panel(results, "rounding"))


def test_recipes_keep_their_colours():
    assert colour_of("float16") == colour_of("float16", 5)
    styles = {colour_of(f"unknown{i}", i) for i in range(24)}
    assert len(styles) == 24


def test_a_notebook_shows_the_picture(results):
    assert panel(results, "rounding")._repr_png_().startswith(b"\x89PNG")
