"""Estimates: from the store where it knows the kind of run, else measured; what would fail is told."""

import pytest

from fpsim.experiments.sweeps import planning
from fpsim.experiments.sweeps.grid import configurations

FAST = {"scenario": "rounding", "steps": 10}


def configured(grid, **settings):
    return configurations(grid, {**FAST, **settings}, dynamic=False)


def test_runs_in_the_store_tell_the_time_of_a_step():
    missing = configured({"seed": [1, 2]}, steps=30)
    known = configured({"seed": [0]})[0].spelt
    found = planning.estimated(missing, [(known, 2.0), (known, 4.0)])
    assert found.seconds == pytest.approx(2 * 30 * 0.3)
    assert (found.from_store, found.measured, found.errors) == (2, 0, {})


def test_other_kinds_are_measured_by_a_few_steps(monkeypatch):
    asked = []

    def carry_out(arguments):
        asked.append((arguments["recipe"], arguments["steps"]))
        return {"seconds": 5.0 + (1.0 if arguments["recipe"] == "float32" else 2.0) * arguments["steps"]}

    monkeypatch.setattr(planning, "carry_out", carry_out)
    found = planning.estimated(configured({"recipe": ["float32", "float16"], "seed": [0, 1]}), [])
    assert asked == [(recipe, steps) for recipe in ("float32", "float16") for steps in (1, 1, 4)]
    assert found.seconds == pytest.approx(2 * (5 + 10) + 2 * (5 + 20))
    assert found.measured == 2


def test_beyond_a_few_kinds_the_mean_of_the_measured_ones_is_taken(monkeypatch):
    monkeypatch.setattr(planning, "MEASURED", 1)
    monkeypatch.setattr(planning, "carry_out", lambda arguments: {"seconds": 1.0 * arguments["steps"]})
    found = planning.estimated(configured({"recipe": ["float32", "float16", "bfloat16"]}), [])
    assert found.seconds == pytest.approx(3 * 10)


def test_what_would_fail_is_told_and_takes_no_time():
    found = planning.estimated(configured({"recipe": ["float32", "flaot16"], "seed": [0, 1]}), [])
    assert list(found.errors.values()) == [2]
    assert next(iter(found.errors)).startswith("ArgumentError: recipe: expected a recipe's name, got 'flaot16'")
    assert found.seconds > 0
