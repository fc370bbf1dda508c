"""Points of grids: their order, their checks, and when two of them are the same configuration."""

import dataclasses

import numpy as np
import pytest

import fpsim as fp
from fpsim.experiments.scenario import SCENARIOS
from fpsim.experiments.sweeps.grid import MOST_POINTS, configurations, reference_of


def points(grid, dynamic=False, **settings):
    return [c.settings for c in configurations(grid, settings, dynamic=dynamic)]


def key(**arguments):
    return configurations([arguments], {})[0].key


def test_a_product_runs_through_its_last_argument_first():
    grid = {"lr": [0.1, 0.2], "seed": range(2)}
    assert points(grid) == [{"lr": r, "seed": s} for r in (0.1, 0.2) for s in (0, 1)]


def test_numpys_numbers_are_pythons():
    (point,) = points({"lr": np.array([0.5], np.float32)})
    assert type(point["lr"]) is float


def test_a_configuration_has_one_key_however_it_is_written():
    keys = {
        key(scale=8.0),
        key(scale=8),
        key(scale=8.0, seed=0, recipe=" mixed_float16"),
        key(scale=8.0, scenario="published", steps=40, lr=0.01, momentum=0.5, batch=32, loss_factor=1),
        key(scale=8.0, scenario=SCENARIOS["published"], data="digits", weights=None),
        key(scale=np.float64(8.0), recipe=fp.amp.recipe("mixed_float16")),
    }
    assert len(keys) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"scale": 16.0},
        {"scale": "dynamic"},
        {"seed": 1},
        {"recipe": "float32"},
        {"steps": 41},
        {"scenario": "rounding"},
        {"data": "fashion"},
        {"order": "sequential"},
        {"lr": 0.1},
        {"batch": 31},
        {"momentum": 0.4},
        {"loss_factor": 2.0},
    ],
)
def test_every_argument_makes_another_configuration(other):
    assert key(**{"scale": 8.0, **other}) != key(scale=8.0)


def test_arrays_are_known_by_their_content():
    digits = fp.data.digits()
    other = digits._replace(test_y=digits.test_y[::-1])
    assert key(data=tuple(digits)) == key(data=[part.copy() for part in digits])
    assert key(data=tuple(digits)) != key(data=tuple(other))
    assert key(data=tuple(digits)) != key(data="digits")


def test_paths_are_given_in_full_since_workers_may_stand_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (found,) = configurations([{"weights": "w.npz"}], {"data": "mnist"})
    assert found.arguments["data"] == found.spelt["data"] == str(tmp_path / "mnist")
    assert found.arguments["weights"] == str(tmp_path / "w.npz")
    assert found.settings == {"weights": "w.npz"}
    assert key(data="fashion") == configurations([{"seed": 0}], {"data": "fashion"})[0].key


def test_a_scenario_of_ones_own_is_another_than_fpsims():
    own = dataclasses.replace(SCENARIOS["rounding"], network=fp.nn.LeNet)
    assert key(scenario=own) != key(scenario="rounding")
    assert key(scenario=own) == key(scenario=dataclasses.replace(own))


def test_the_key_is_the_same_in_every_process():
    """It is what a store finds its results by."""
    assert key(scale=8.0) == "92a176612666ae251fa9a070cb29233c26bfcf872d60e4ad074c18a5643440a5"


def test_dynamic_points_follow_once_for_each_combination_of_the_others():
    grid = {"scale": [1.0, 2.0], "seed": [0, 1]}
    assert points(grid, dynamic=True)[4:] == [{"scale": "dynamic", "seed": s} for s in (0, 1)]
    assert points({"scale": [1.0, "dynamic"]}, dynamic=True) == [{"scale": 1.0}, {"scale": "dynamic"}]
    assert points({"lr": [0.1]}, dynamic=True) == [{"lr": 0.1}]


def test_the_reference_is_float32_at_the_first_points_other_arguments():
    first = configurations({"lr": [0.1, 0.2], "scale": [8.0]}, {"recipe": "float16/float32", "seed": 3})[0]
    assert reference_of(first).spelt == {**first.spelt, "recipe": "float32", "scale": None}


def test_a_point_that_can_be_trained_lets_the_others_fail_later():
    assert len(points({"recipe": ["flaot16", "float16"]})) == 2
    assert len(points({"lr": [-1.0, 0.1], "scale": [0.0, 8.0]}, dynamic=True)) == 6


@pytest.mark.parametrize(
    ("grid", "settings", "text"),
    [
        ({"recipe": ["flaot16", "flaot32"]}, {}, "recipe: expected a recipe's name, got 'flaot16'"),
        ({"lr": [-1.0]}, {}, "train: expected a positive number, got lr=-1.0"),
        ({"seed": [0, 1]}, {"steps": 0}, "train: expected a whole number of at least 1, got steps=0"),
        ({"seed": [-1]}, {}, "train: expected a seed that is a whole number of at least 0"),
        ({"scenario": ["undrflow"]}, {}, "compare: expected a scenario, got 'undrflow'"),
        ({"scale": [0.0]}, {}, "scaler: expected a scale that float32 holds"),
    ],
)
def test_a_grid_in_which_nothing_can_be_trained_is_refused_at_once(grid, settings, text):
    with pytest.raises(fp.FpsimError) as error:
        configurations(grid, settings)
    assert str(error.value).startswith(text)


def test_more_points_than_anybody_means_must_be_confirmed():
    grid = {"seed": range(1000), "lr": [0.1 * k for k in range(1, 1001)]}
    with pytest.raises(fp.ArgumentError) as error:
        configurations(grid, {})
    assert str(error.value) == (
        "sweep: expected at most 10,000 points unless confirmed, got 1,000,000; pass yes=True (--yes) if all of them "
        "are meant."
    )
    assert len(configurations({"seed": range(MOST_POINTS)}, {})) == MOST_POINTS
    assert len(configurations({"seed": range(MOST_POINTS + 1)}, {}, most=np.inf)) == MOST_POINTS + 1
