"""Curves are means over seeds in the band that the legend names; deviations are relative; skipped steps are marked."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.collections import PolyCollection

import fpsim as fp
from fpsim.experiments.results import Comparison
from fpsim.plots import deviation, scale_timeline, training_curves
from fpsim.plots.series import moving_mean

SEEDS = np.array([[4.0, 3.0, 2.0, 1.0], [2.0, 2.0, 1.0, 1.0], [3.0, 1.0, 0.0, 1.0]])


@pytest.fixture(scope="module")
def runs():
    found = [
        fp.train(recipe, scenario="rounding", steps=3, seed=seed)
        for recipe in ("float32", "float16")
        for seed in (0, 1)
    ]
    return Comparison(found)


def by_label(made):
    return {line.get_label(): line for line in made.axes[0].lines if not line.get_label().startswith("_")}


def bands(axes):
    """Lower and upper edges of the bands, by step."""
    found = []
    for collection in axes.collections:
        if isinstance(collection, PolyCollection):
            vertices = np.unique(np.concatenate([p.vertices for p in collection.get_paths()]), axis=0)
            steps = np.unique(vertices[:, 0])
            edges = [vertices[vertices[:, 0] == step, 1] for step in steps]
            found.append((steps, np.array([e.min() for e in edges]), np.array([e.max() for e in edges])))
    return found


# Curves --------------------------------------------------------------------------------------------------------------


def test_lines_are_means_and_bands_reach_from_the_smallest_to_the_largest_seed():
    made = training_curves({"float16": SEEDS, "float32": SEEDS[0]}, smooth=1)
    lines = by_label(made)
    assert lines["float16, 3 seeds"].get_ydata().tolist() == SEEDS.mean(axis=0).tolist()
    assert lines["float32"].get_ydata().tolist() == SEEDS[0].tolist()
    ((steps, low, high),) = bands(made.axes[0])
    assert steps.tolist() == [0, 1, 2, 3]
    assert low.tolist() == SEEDS.min(axis=0).tolist()
    assert high.tolist() == SEEDS.max(axis=0).tolist()
    assert made.axes[0].get_legend().get_title().get_text() == "lines: mean over seeds\nbands: smallest to largest"


def test_the_interval_is_students():
    made = training_curves({"x": SEEDS}, smooth=1, band="interval")
    half = 4.302652729749462 * SEEDS.std(axis=0, ddof=1) / np.sqrt(3)  # t of 2 degrees of freedom
    ((_, low, high),) = bands(made.axes[0])
    np.testing.assert_allclose(high - low, 2 * half, rtol=1e-12)
    assert "95 % interval of the mean" in made.axes[0].get_legend().get_title().get_text()


def test_each_seed_is_smoothed_over_a_fiftieth_of_the_steps():
    losses = np.stack([np.sin(np.arange(200.0)), np.cos(np.arange(200.0))])
    line = by_label(training_curves({"x": losses}))["x, 2 seeds"]
    np.testing.assert_allclose(line.get_ydata(), moving_mean(losses.mean(axis=0), 4), atol=1e-12)
    expected = [losses.mean(axis=0)[max(0, i - 3) : i + 1].mean() for i in range(200)]
    np.testing.assert_allclose(line.get_ydata(), expected, atol=1e-12)


def test_a_line_ends_in_a_cross_where_a_seed_is_no_longer_finite():
    losses = SEEDS.copy()
    losses[1, 2:] = np.nan, np.inf
    made = training_curves({"float16": losses}, smooth=1)
    (line,) = by_label(made).values()
    assert line.get_label() == "float16, 3 seeds,\n1 of them not finite from step 2 on"
    assert line.get_ydata().tolist() == [3.0, 2.0]
    cross = next(x for x in made.axes[0].lines if x.get_marker() == "X")
    assert cross.get_xydata().tolist() == [[2.0, 2.0]]


def test_a_run_that_never_was_finite_is_a_cross_alone():
    made = training_curves({"float16": [np.nan, np.nan]})
    assert by_label(made)["float16,\nnot finite from step 0 on"].get_xydata().size == 0


def test_runs_and_comparisons_are_drawn_by_recipe(runs):
    lines = by_label(training_curves(runs, smooth=1))
    assert list(lines) == ["float32, 2 seeds", "float16, 2 seeds"]
    mean = np.mean([run.loss for run in runs.runs[2:]], axis=0)
    assert lines["float16, 2 seeds"].get_ydata().tolist() == mean.tolist()
    alone = by_label(training_curves({"float16": runs["float16"]}, smooth=1))
    assert alone["float16"].get_ydata().tolist() == runs["float16"].loss


def test_recipes_have_their_colours_dashes_and_names():
    made = training_curves({"float16": SEEDS, "float32": SEEDS, "bfloat16": SEEDS})
    lines = list(by_label(made).values())
    assert [line.get_color() for line in lines] == ["#D55E00", "#000000", "#56B4E9"]
    assert len({line.get_linestyle() for line in lines}) == 3
    axes = made.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title(loc="left")) == (
        "step",
        "cross entropy",
        "training loss",
    )


# Deviation -----------------------------------------------------------------------------------------------------------


def test_losses_deviate_relatively():
    made = deviation({"float16": [1.0, 2.2, 3.0]}, [1.0, 2.0, 4.0])
    (line,) = by_label(made).values()
    np.testing.assert_array_equal(line.get_ydata(), [np.nan, abs(2.2 - 2.0) / 2.0, 0.25])
    assert made.axes[0].get_yscale() == "log"


def test_weights_deviate_by_their_norm():
    exact = np.array([[3.0, 4.0], [0.0, 2.0]])
    made = deviation({"float16": exact + np.array([[0.3, 0.4], [0.0, 1.0]])}, exact, of="weights")
    (line,) = by_label(made).values()
    np.testing.assert_allclose(line.get_ydata(), [0.1, 0.5], rtol=1e-14)
    assert "‖w − w64‖ / ‖w64‖" in made.axes[0].get_ylabel()


def test_deviations_of_seeds_are_against_their_own_reference():
    made = deviation({"float16": SEEDS * [[1.1], [1.2], [1.3]]}, SEEDS)
    (line,) = by_label(made).values()
    np.testing.assert_allclose(line.get_ydata()[[0, 1, 3]], 0.2, rtol=1e-12)
    ((_, low, high),) = bands(made.axes[0])
    np.testing.assert_allclose([low[0], high[0]], [0.1, 0.3], rtol=1e-12)


def test_what_never_deviates_says_so():
    made = deviation({"float64": SEEDS[0], "float16": SEEDS[1]}, SEEDS[0])
    assert list(by_label(made)) == ["float64,\nnever deviates", "float16"]


def test_a_run_that_fails_ends_in_a_cross():
    made = deviation({"float16": [1.0, 2.0, np.nan]}, [2.0, 1.0, 1.0])
    assert next(x for x in made.axes[0].lines if x.get_marker() == "X").get_xydata().tolist() == [[2.0, 1.0]]


# The loss scale ------------------------------------------------------------------------------------------------------


def test_the_scale_and_its_skipped_steps_and_the_loss():
    run = SimpleNamespace(
        scale=[16.0, 8.0, 4.0, 4.0, 8.0], skipped=[0, 1], loss=[2.0, 2.0, 2.0, np.inf, 1.0], recipe="r"
    )
    above, below = scale_timeline(run).axes
    stairs, skipped = above.lines[:2]
    assert (stairs.get_drawstyle(), stairs.get_ydata().tolist()) == ("steps-post", run.scale)
    assert skipped.get_xydata().tolist() == [[0, 16], [1, 8]]
    assert skipped.get_label() == "2 of 5 steps skipped"
    assert above.get_yscale() == "log"
    np.testing.assert_array_equal(below.lines[0].get_ydata(), [2.0, 2.0, 2.0, np.nan, 1.0])
    assert below.lines[1].get_xydata().tolist() == [[3, 2.0]]
    assert above.get_title(loc="left") == "loss scale and skipped steps, r"
    for axes in (above, below):
        assert sorted(path.vertices[0, 0] for path in axes.collections[0].get_paths()) == [0, 1]


def test_a_trained_run_has_its_timeline():
    run = fp.train("mixed_float16", scenario="rounding", steps=3, seed=0)
    above, below = scale_timeline(run).axes
    assert above.lines[0].get_ydata().tolist() == run.scale
    assert below.lines[0].get_ydata().tolist() == run.loss


# Bad input -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: training_curves({}), fp.ArgumentError,
            "training_curves: expected a mapping of recipe to runs, got an empty one; give one series at least.",
        ),
        (
            lambda: training_curves([[1.0]]), fp.ArgumentTypeError,
            "training_curves: expected a mapping of recipe to runs, got list; pass a dict, one name a series.",
        ),
        (
            lambda: training_curves({"float16": []}), fp.ArgumentError,
            "training_curves: expected a run of 'float16', at least one, got none; train it, or leave it out.",
        ),
        (
            lambda: training_curves({"float16": [[1.0, 2.0], [1.0]]}), fp.ShapeError,
            "training_curves: expected seeds of one number of steps, got float16 with 1 and 2; "
            "train all for as many steps.",
        ),
        (
            lambda: training_curves({"float16": "fast"}), fp.ArgumentTypeError,
            "training_curves: expected numbers for 'float16', got str; pass an array of them.",
        ),
        (
            lambda: training_curves({"float16": [1.0]}, band="std"), fp.ArgumentError,
            "training_curves: expected a band of range, interval, got band='std'; choose one.",
        ),
        (
            lambda: training_curves({"float16": [1.0]}, smooth=0), fp.ArgumentError,
            "training_curves: expected a number of steps, 1 or more, got smooth=0; give 1 for none.",
        ),
        (
            lambda: deviation({"float16": [1.0, 2.0]}, [1.0]), fp.ShapeError,
            "deviation: expected a reference of the same steps and seeds, got float16.shape=(1, 2), "
            "reference.shape=(1, 1); train it for as many steps and seeds.",
        ),
        (
            lambda: deviation({"float16": [1.0]}, [1.0], of="gradients"), fp.ArgumentError,
            "deviation: expected of='loss' or 'weights', got of='gradients'; choose one.",
        ),
        (
            lambda: scale_timeline([1.0]), fp.ArgumentTypeError,
            "scale_timeline: expected a Run, got list without scale; pass what fp.train returns.",
        ),
        (
            lambda: scale_timeline(SimpleNamespace(scale=[], skipped=[], loss=[1.0])), fp.ArgumentError,
            "scale_timeline: expected a run with its loss scale, got a run without; "
            'train with a scaler, as in recipe="mixed_float16".',
        ),
        (
            lambda: scale_timeline(SimpleNamespace(scale=[1.0], skipped=[1], loss=[1.0])), fp.ShapeError,
            "scale_timeline: expected a scale and a loss for every step, got 1 scales, 1 losses, skipped=[1]; "
            "pass a whole run.",
        ),
        (
            lambda: scale_timeline(SimpleNamespace(scale=[0.0], skipped=[], loss=[1.0])), fp.ArgumentError,
            "scale_timeline: expected scales above 0, got 0; pass the scale itself, not its logarithm.",
        ),
    ],
)  # fmt: skip
def test_what_is_no_training_is_refused(call, kind, message):
    with pytest.raises(kind) as error:
        call()
    assert str(error.value) == message


def test_scenarios_are_not_mixed(runs):
    from dataclasses import replace

    mixed = Comparison([*runs.runs, replace(runs.runs[0], scenario="underflow")])
    with pytest.raises(
        fp.ArgumentError, match="training_curves: expected runs of one scenario, got 2; choose one with"
    ):
        training_curves(mixed)
