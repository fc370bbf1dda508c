"""The pictures of a shadow's report and of a budget show what the reports say."""

import numpy as np
import pytest

import fpsim as fp
from fpsim.plots import error_budget, error_map, shadow_errors
from tests.plots.examples import shadowed as of_a_network


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


# The map -------------------------------------------------------------------------------------------------------------


def cells(made):
    """Texts by row and column."""
    axes = made.axes[0]
    rows = [t.get_text() for t in axes.get_yticklabels()]
    columns = [t.get_text() for t in axes.get_xticklabels()]
    at = {(rows[round(t.get_position()[1])], columns[round(t.get_position()[0])]): t.get_text() for t in axes.texts}
    return rows, columns, at


@pytest.mark.parametrize("measure", ["relative", "ulp_max"])
@pytest.mark.parametrize("what", ["made", "total"])
def test_the_map_has_each_modules_error_by_pass(measure, what):
    report = of_a_network()
    rows, columns, at = cells(error_map(report, measure=measure, what=what))
    assert rows == ["0", "1", "2", "(outside of modules)"]
    assert columns == ["activation", "gradient", "weight gradient", "updated weight"]
    roles = {"activation": ("activation", "forward"), "weight gradient": ("weight_gradient", "backward")}
    for name, (role, phase) in roles.items():
        for module in ("0", "2"):
            error = getattr(getattr(report.total(role=role, phase=phase, module=module), what), measure)
            assert at[module, name] == ("0" if error == 0 else f"{error:.1e}")
    assert at["1", "weight gradient"] == "–"


def test_a_plain_mapping_is_drawn_as_it_is():
    made = error_map({"fc1": {"forward": 0.001, "backward": np.inf}, "fc2": {"forward": 0.0}}, title="mine")
    rows, columns, at = cells(made)
    assert (rows, columns) == (["fc1", "fc2"], ["forward", "backward"])
    assert at == {
        ("fc1", "forward"): "1.0e-03", ("fc1", "backward"): "not finite",
        ("fc2", "forward"): "0", ("fc2", "backward"): "–",
    }  # fmt: skip
    assert made._suptitle.get_text() == "mine"
    assert made.axes[1].get_ylabel() == "error"


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: error_map(of_a_network(), measure="bias"), fp.ArgumentError,
            "error_map: expected a measure of relative, relative_max, norm, ulp, ulp_max, got measure='bias'; "
            "choose one.",
        ),
        (
            lambda: error_map(of_a_network(), what="all"), fp.ArgumentError,
            "error_map: expected a what of made, inherited, total, got what='all'; choose one.",
        ),
        (
            lambda: error_map([1.0]), fp.ArgumentTypeError,
            "error_map: expected a report or a mapping of mappings, got list; "
            "pass fp.shadow()'s report, or {module: {pass: error}}.",
        ),
        (
            lambda: error_map({}), fp.ArgumentError,
            "error_map: expected an error, at least one, got none; pass {module: {pass: error}}.",
        ),
    ],
)  # fmt: skip
def test_what_is_no_map_is_refused(call, kind, message):
    with pytest.raises(kind) as error:
        call()
    assert str(error.value) == message


def test_a_report_of_nothing_is_refused():
    with fp.shadow() as report:
        pass
    with pytest.raises(fp.ObserverError, match="error_map: expected a report of something that ran, got none"):
        error_map(report)
