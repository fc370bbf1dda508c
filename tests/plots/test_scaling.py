"""The picture of a sweep: what is drawn is what was swept, and a sweep over something else is refused."""

import numpy as np
import pytest

import fpsim as fp
from fpsim.plots import scaling, style

FAST = {"scenario": "rounding", "steps": 3}


@pytest.fixture(scope="module")
def swept():
    return fp.sweep({"scale": [1.0, 2.0**12, 2.0**30]}, "serial", loss_factor=2.0**-8, **FAST)


def test_every_panel_shows_the_runs(swept):
    shares, exponents, skipped, losses = swept.plot().axes
    points = {line.get_label(): line.get_xydata().tolist() for line in skipped.lines}
    assert points["constant scale"] == [[1.0, 0.0], [2.0**12, 0.0], [2.0**30, 100.0]]
    assert points["dynamic, ends at 2**15: 0 of 3 steps skipped"] == [[2.0**15, 0.0]]
    zero = next(line for line in shares.lines if line.get_label() == "became zero")
    assert zero.get_ydata()[0] == 100 * swept[0].run.share("to_zero")
    assert losses.lines[0].get_ydata().tolist() == [p.run.final_loss for p in swept.constant]
    assert {text.get_text() for text in exponents.texts} == {"to zero", "subnormal", "overflow"}


def test_the_histograms_are_shares_of_the_gradients_and_the_bands_float16s(swept):
    exponents = swept.plot().axes[1]
    before, after = (patch.get_data() for patch in exponents.patches if hasattr(patch, "get_data"))
    assert [float(np.sum(drawn.values)) for drawn in (before, after)] == pytest.approx([100, 100])
    assert before.edges[-1] - 1 == max(swept.reference.exponents)
    edges = [patch.get_x() for patch in exponents.patches if hasattr(patch, "get_x")]
    assert edges[1:] == [-25, 16]


def test_several_recipes_are_lines_of_their_own():
    swept = fp.sweep({"scale": [1.0, 16.0], "recipe": ["mixed_float16", "O2"]}, "serial", reference=False, **FAST)
    labels = [line.get_label() for line in swept.plot().axes[2].lines]
    assert labels[0] == "constant scale (recipe=mixed_float16)"
    assert "constant scale (recipe=O2)" in labels


def test_several_seeds_are_drawn_as_means_in_bands():
    swept = fp.sweep({"scale": [1.0, 16.0], "seed": [0, 1, 2]}, "serial", **FAST)
    losses = swept.plot().axes[3]
    means = [group.means["final_loss"] for group in swept.over_seeds() if group.scale is not None]
    assert losses.lines[0].get_ydata().tolist() == [m.mean for m in means]
    band = losses.collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() == pytest.approx(min(m.mean - m.half_width for m in means))
    assert band.max() == pytest.approx(max(m.mean + m.half_width for m in means))
    assert any("means of 3 seeds" in text.get_text() for text in swept.plot().texts)


def test_more_combinations_than_lines_can_tell_apart_are_said_to_be_left_out():
    grid = {"scale": [8.0], "batch": [8, 16, 24, 32, 40]}
    swept = fp.sweep(grid, "serial", scenario="rounding", steps=1, reference=False, dynamic=False)
    made = scaling(swept)
    assert len(made.axes[2].lines) == 4
    assert any("4 of 5 combinations are shown" in text.get_text() for text in made.texts)


def test_a_dark_panorama_has_a_dark_ground(swept):
    assert sum(scaling(swept, theme="dark").get_facecolor()[:3]) < 0.5


def test_the_same_sweep_gives_the_same_bytes(swept):
    assert style.saved_bytes(scaling(swept)) == style.saved_bytes(scaling(swept))


def test_a_sweep_over_something_else_is_refused():
    with pytest.raises(fp.ArgumentError) as error:
        scaling(fp.sweep({"lr": [0.1, 0.2]}, "serial", **FAST))
    assert str(error.value) == (
        "plot: expected a sweep over constant loss scales, got one over lr; sweep {'scale': [...]}."
    )
