"""The pictures of a shadow's report and of a budget show what the reports say."""

import numpy as np
import pytest

import fpsim as fp
from fpsim.plots import error_budget, shadow_errors


@pytest.fixture
def shadowed():
    x = fp.tensor([0.1, 0.7, 3.0], dtype="float64")
    with fp.shadow() as report:
        y = fp.log(fp.exp(x).half().double())
    return report, y


def widths(axes):
    """Widths of the bars by label of their container."""
    return {c.get_label(): [bar.get_width() for bar in c] for c in axes.containers}


def test_every_line_has_a_bar_for_what_it_made_and_inherited(shadowed):
    report, _ = shadowed
    (axes,) = shadow_errors(report).axes
    rows = report.rows()
    assert widths(axes) == {what: [row[f"{what}_relative"] for row in rows] for what in ("made", "inherited")}
    assert [t.get_text() for t in axes.get_yticklabels()] == [
        "exp forward float64", "cast forward float16", "cast forward float64", "log forward float64",
    ]  # fmt: skip
    assert axes.get_xscale() == "log"


def test_any_measure_can_be_shown(shadowed):
    report, _ = shadowed
    (axes,) = report.plot("ulp_max").axes
    assert axes.get_xlabel() == "ulp, max error"
    assert widths(axes)["made"][1] == report.total(op="cast", format="float16").made.ulp_max


def test_nothing_wrong_is_drawn_without_a_logarithm():
    with fp.shadow() as report:
        fp.ones(2, dtype="float16") * 2
    (axes,) = shadow_errors(report).axes
    assert axes.get_xscale() == "linear"


def test_a_budget_shows_six_bars(shadowed):
    report, y = shadowed
    budget = report.budget(y)
    (axes,) = error_budget(budget).axes
    (bars,) = widths(axes).values()
    np.testing.assert_array_equal(bars, [row["rms"] for row in budget.rows()])
    names = [t.get_text() for t in axes.get_yticklabels()]
    assert names == ["x", "w", "operations", "accumulation", "interaction", "total"]
