"""Training and comparing: the same seed gives the same numbers, every recipe starts alike, results survive a file."""

import json

import numpy as np
import pytest

import fpsim as fp
from fpsim.experiments import SCENARIOS
from fpsim.experiments.results import Comparison
from fpsim.experiments.table import cause, percent

FAST = {"scenario": "rounding", "steps": 12}


@pytest.fixture(scope="module")
def results():
    return fp.compare(["float32", "float16", "float16_masters", "float16_stochastic"], **FAST)


@pytest.mark.parametrize("recipe", ["float32", "float16", "float16_stochastic", "mixed_float16", "O2", "conv16_fc32"])
def test_the_same_seed_gives_the_same_numbers(recipe):
    assert fp.train(recipe, **FAST).same_numbers(fp.train(recipe, **FAST))


def test_another_seed_gives_other_numbers():
    assert not fp.train("float32", **FAST).same_numbers(fp.train("float32", seed=1, **FAST))


def test_the_global_generators_play_no_part():
    first = fp.train("float16_stochastic", **FAST)
    with fp.seed(99):
        np.random.default_rng(5).random(10)
        assert fp.train("float16_stochastic", **FAST).same_numbers(first)


def test_every_recipe_starts_from_the_same_weights(results):
    first = [run.loss[0] for run in results]
    assert max(first) - min(first) < 2e-3  # one rounding of the weights and of the loss


def test_masters_begin_as_the_rounded_float64_weights():
    with fp.seed(3), fp.default_precision("float64"):
        net = fp.nn.Linear(5, 4)
    drawn = net.weight.numpy()
    optimizer = fp.optim.SGD(net.parameters(), lr=0.1)
    fp.amp.recipe("float16_masters").apply(net, optimizer)
    np.testing.assert_array_equal(net.weight.master.numpy(), drawn.astype(np.float32))
    np.testing.assert_array_equal(net.weight.numpy(), drawn.astype(np.float32).astype(np.float16))


def test_float16_alone_loses_most_updates(results):
    assert results["float16"].lost_updates > 0.7
    assert results["float16_masters"].lost_updates < 0.05
    assert results["float32"].lost_updates < 0.05


def test_what_was_saved_is_what_is_read_back(results, tmp_path):
    path = results.save(tmp_path / "runs")
    read = fp.load(tmp_path / "runs")
    assert path.name == "compare.json"
    assert isinstance(read, Comparison)
    assert read.to_dict() == results.to_dict()
    run = results["float16"]
    assert fp.load(run.save(tmp_path / "one.json")) == run


def test_infinite_and_missing_numbers_survive_a_file(results, tmp_path):
    from dataclasses import replace

    loss, scale = [1.0, float("inf"), float("nan")], [float("-inf")] * 3
    odd = replace(results["float32"], loss=loss, scale=scale, steps=3, skipped=[])
    read = fp.load(odd.save(tmp_path / "odd.json"))
    assert read.same_numbers(odd)
    json.loads((tmp_path / "odd.json").read_text(), parse_constant=lambda name: pytest.fail(name))  # strict JSON


def test_every_scenario_trains_and_names_its_cause():
    for name, scenario in SCENARIOS.items():
        recipes = [r for r in scenario.recipes if r != "float16" or name == "rounding"][:2]
        part = fp.compare(["float32", *[r for r in recipes if r != "float32"]], name, steps=2, batch=4)
        assert all(len(run.loss) == 2 for run in part)
        assert name in part.table()
        assert part.reference(part.runs[0]).recipe == "float64"
        assert isinstance(cause(part), str)


def test_underflow_shows_in_the_counters():
    run = fp.train("float16/float32", scenario="underflow", steps=2, batch=8)
    plain = fp.train("float32", scenario="underflow", steps=2, batch=8)
    assert run.share("to_zero") > 0.5
    assert plain.share("to_zero") == 0


def test_the_dynamic_scale_skips_and_halves():
    run = fp.train("mixed_float16", scenario="overflow", steps=4, batch=8)
    assert run.skipped[:2] == [0, 1]
    assert run.scale[1] == run.scale[0] / 2
    assert run.counts["overflow"] > 0


def test_unscaled_float16_overflows():
    run = fp.train("float16/float32", scenario="overflow", steps=3, batch=16)
    assert run.counts["overflow"] + run.activations["overflow"] > 0


def test_bytes_follow_the_formats(results):
    half, wide = results["float16"].nbytes, results["float32"].nbytes
    assert wide["weights"] == 4 * (64 * 32 + 32 + 32 * 10 + 10)
    assert half["weights"] * 2 == wide["weights"]
    assert results["float16_masters"].nbytes["masters"] == wide["weights"]


def test_any_order_of_accumulation_is_repeatable_bit_for_bit():
    options = {**FAST, "steps": 3}
    for order in ("sequential", "blocked:16", "pairwise"):
        run = fp.train("float32", order=order, **options)
        assert run.columns["accumulate"] == f"float32, {order}"
        assert run.same_numbers(fp.train("float32", order=order, **options))


def test_images_of_the_callers_own():
    images = fp.data.digits(size=8)
    own = tuple(part[:40] for part in images)
    assert fp.train("float32", scenario="rounding", steps=2, data=own).accuracy <= 1


def test_a_share_that_is_not_zero_never_reads_as_zero():
    assert percent(1e-9) == "<0.1 %"
    assert percent(0.0) == "0"


def test_the_table_spells_recipes_out(results):
    text = results.table()
    for head in ("weights", "compute", "accumulate", "update", "scaling", "lost updates", "skipped", "MB in training"):
        assert head in text
    assert "says nothing about hardware" in text
    assert "float32 masters" in text
