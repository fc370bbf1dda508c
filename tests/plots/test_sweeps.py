"""Pictures of sweeps: which one fits, and that what is drawn is what was found."""

import dataclasses
import math

import pytest

import fpsim as fp
from fpsim.experiments.sweeps.found import MEASURES, Failure, Sweep
from fpsim.plots import style, sweeps

FAST = {"scenario": "rounding", "steps": 2}
RECIPES = ["float16", "bfloat16/float32"]


@pytest.fixture(scope="module")
def swept():
    grid = {"lr": [0.01, 0.1, 1.0], "recipe": RECIPES, "seed": [0, 1, 2]}
    return fp.sweep(grid, "serial", **FAST)


def with_losses(swept, change):
    """The same with other losses."""
    return Sweep([dataclasses.replace(p, run=change(p)) for p in swept], failures=swept.failures)


def test_the_picture_that_fits_is_chosen(swept):
    assert list(sweeps.pictures(swept)) == ["heat map", "lines"]
    assert list(sweeps.pictures(fp.sweep({"scale": [1.0, 8.0]}, "serial", **FAST))) == ["panorama", "lines"]
    assert list(sweeps.pictures(fp.sweep({"recipe": RECIPES}, "serial", **FAST))) == ["lines"]
    assert list(sweeps.pictures(fp.sweep({"seed": [0, 1]}, "serial", **FAST))) == ["lines"]


def test_lines_are_the_means_over_seeds_in_their_intervals(swept):
    loss, accuracy = swept.plot("lines").axes
    groups = [g for g in swept.over_seeds() if g.settings["recipe"] == "float16"]
    line = loss.lines[0]
    assert line.get_label() == "recipe float16"
    assert line.get_xdata().tolist() == [0.01, 0.1, 1.0]
    assert line.get_ydata().tolist() == [g.means["final_loss"].mean for g in groups]
    assert accuracy.lines[0].get_ydata().tolist() == [100 * g.means["accuracy"].mean for g in groups]
    band = loss.collections[0].get_paths()[0].vertices[:, 1]
    assert band.max() == pytest.approx(
        max(g.means["final_loss"].mean + g.means["final_loss"].half_width for g in groups)
    )
    assert loss.get_xscale() == "log"


def test_each_line_has_dashes_and_a_marker_of_its_own(swept):
    lines = swept.plot("lines").axes[0].lines
    assert len({(line.get_linestyle(), line.get_marker()) for line in lines}) == len(lines) == 2


def test_words_stand_on_the_axis_and_the_line_does_not_lead_to_them():
    found = fp.sweep({"scale": [1.0, 8.0]}, "serial", **FAST)
    axes = sweeps.lines(found).axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "8", "dynamic"]
    assert [line.get_xdata().tolist() for line in axes.lines] == [[0, 1], [2]]
    assert axes.lines[1].get_linestyle() == "None"


def test_words_have_their_intervals_as_bars():
    found = fp.sweep({"recipe": RECIPES, "seed": [0, 1, 2]}, "serial", **FAST)
    axes = sweeps.lines(found).axes[0]
    low, high = (axes.collections[-1].get_segments()[0][i][1] for i in (0, 1))
    mean = found.over_seeds()[0].means["final_loss"]
    assert (low, high) == pytest.approx((mean.mean - mean.half_width, mean.mean + mean.half_width))


def test_a_heat_maps_cells_are_the_means(swept):
    axes = swept.plot("heat map").axes[0]
    table = axes.images[0].get_array()
    means = {(g.settings["recipe"], g.settings["lr"]): g.means["final_loss"].mean for g in swept.over_seeds()}
    assert table.tolist() == [[means[recipe, lr] for lr in (0.01, 0.1, 1.0)] for recipe in RECIPES]
    assert [t.get_text() for t in axes.get_yticklabels()] == RECIPES
    assert axes.texts[0].get_text() == f"{means[RECIPES[0], 0.01]:.3g}"


def test_cells_without_a_finite_mean_say_why(swept):
    spoilt = with_losses(
        swept, lambda p: dataclasses.replace(p.run, loss=[math.nan] * 2) if p.settings["lr"] == 1.0 else p.run
    )
    spoilt.points[:] = [p for p in spoilt if p.settings["lr"] != 0.01 or p.settings["recipe"] == "float16"]
    spoilt.failures.append(Failure({"lr": 0.01, "recipe": RECIPES[1], "seed": 0}, "ZeroDivisionError: no"))
    spoilt.points[:] = [
        p for p in spoilt if p.settings != {"lr": 0.1, "recipe": RECIPES[1], "seed": p.settings["seed"]}
    ]
    texts = [text.get_text() for text in sweeps.heat_map(spoilt).axes[0].texts]
    assert [text for text in texts if not text[0].isdigit()] == ["nan", "failed", "not run", "nan"]


def test_differences_of_less_than_one_in_a_thousand_have_no_colour(swept):
    level = with_losses(swept, lambda p: dataclasses.replace(p.run, loss=[2.0 + 1e-6 * p.settings["seed"]] * 2))
    low, high = sweeps.heat_map(level).axes[0].images[0].get_clim()
    assert high - low == pytest.approx(2e-3, rel=1e-3)


def test_a_third_argument_makes_panels():
    grid = {"lr": [0.1, 1.0], "batch": [8, 16], "recipe": RECIPES}
    found = fp.sweep(grid, "serial", scenario="rounding", steps=1)
    panels = [axes.get_title(loc="left") for axes in sweeps.heat_map(found, "lr", "batch").axes[:-1]]
    assert panels == [f"recipe {recipe}" for recipe in RECIPES]
    assert len(sweeps.lines(found).axes[0].lines) == 4


def test_every_measure_has_a_name_on_the_axis(swept):
    assert sweeps.SHOWN.keys() == MEASURES.keys()
    for measure in MEASURES:
        assert sweeps.heat_map(swept, measure=measure).texts[0].get_text().startswith(sweeps.SHOWN[measure][0])


@pytest.mark.parametrize("kind", ["lines", "heat map"])
def test_the_same_sweep_gives_the_same_bytes_and_another_theme_others(swept, kind):
    first, again, dark = (
        style.saved_bytes(sweeps.picture(swept, kind, theme=theme)) for theme in ("light", "light", "dark")
    )
    assert first == again != dark


@pytest.mark.parametrize(
    ("draw", "text"),
    [
        (lambda s: s.plot("pie"), "plot: expected a kind of panorama, lines, heat map, got kind='pie'"),
        (
            lambda s: s.plot("panorama"),
            "plot: expected a sweep over constant loss scales, got one over lr, recipe, seed",
        ),
        (lambda s: sweeps.lines(s, "scale"), "plot: expected an argument that was swept, got x='scale'"),
        (lambda s: sweeps.lines(s, measures=("loss",)), "plot: expected a measure of final_loss"),
        (lambda s: sweeps.heat_map(s, measure="loss"), "plot: expected a measure of final_loss"),
        (
            lambda s: sweeps.heat_map(s, "lr", "lr"),
            "plot: expected a sweep over two arguments, got x='lr', y='lr' of lr",
        ),
        (lambda s: sweeps.picture(s, theme="pink"), "heat_map: expected a theme of light, dark"),
        (lambda s: Sweep([]).plot(), "plot: expected points that were trained, got none of 0"),
    ],
)
def test_what_cannot_be_drawn_is_refused(swept, draw, text):
    with pytest.raises(fp.ArgumentError) as error:
        draw(swept)
    assert str(error.value).startswith(text)
