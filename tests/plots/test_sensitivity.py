"""The heat map: a cell for each layer and role with its value; frames where the assignment is narrow."""

import numpy as np
import pytest

import fpsim as fp
from fpsim.experiments.scenario import DigitMLP
from fpsim.observe.sensitivity_report import Cell, Check, Deviation, Sensitivity
from fpsim.plots.style import saved_bytes


@pytest.fixture(scope="module")
def report():
    with fp.seed(0):
        net = DigitMLP(8)
    return fp.sensitivity(net, fp.data.digits(size=8), samples=8, steps=2, tolerance=2e-4)


@pytest.mark.parametrize("field", ["output", "loss", "gradient"])
def test_every_value_stands_in_its_cell(report, field):
    axes = report.plot(field).axes[0]
    texts = [text.get_text() for text in axes.texts]
    values = [getattr(report[layer, role], field) for layer in report.layers for role in report.roles]
    assert texts == ["0" if v == 0 else f"{v:.1e}" for v in values]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["fc1", "fc2"]


def test_frames_mark_the_assignment(report):
    axes = report.plot().axes[0]
    framed = {
        (report.layers[round(p.get_y() + p.get_height() / 2)], report.roles[round(p.get_x() + p.get_width() / 2)])
        for p in axes.patches
    }
    assert framed == report.check.assignment
    assert 0 < len(framed) < 10


def test_zero_and_infinity_and_a_check_that_failed_are_shown():
    cells = [Cell("a", "weight", Deviation(0.0, 0, 0), 1), Cell("a", "update", Deviation(np.inf, 0, 0), 1)]
    failed = Check(frozenset({("a", "weight"), ("a", "update")}), 0.1, Deviation(0.5, 0, 0), 0.2)
    holds = Check(frozenset({("a", "weight")}), 0.0, Deviation(0.0, 0, 0), 0.2)
    made = Sensitivity(fp.float16, tuple(cells), (failed, holds), 0.2, 1, 1).plot()
    assert [text.get_text() for text in made.axes[0].texts] == ["0", "not finite"]
    assert "first 2: 5.0e-01, did not hold" in made.texts[-1].get_text()
    saved_bytes(made)


def test_the_same_report_gives_the_same_bytes(report):
    assert saved_bytes(report.plot()) == saved_bytes(report.plot())
