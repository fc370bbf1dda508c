"""Sweeps: points and their order, any executor, saving; and what powers of two leave bit for bit the same."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fpsim as fp
import fpsim.nn.functional as F
from fpsim.experiments.sweeping import DEFAULT_SCALES

FAST = {"scenario": "rounding", "steps": 3}


@pytest.fixture(scope="module")
def swept():
    return fp.sweep({"scale": [1.0, 2.0**12, 2.0**30]}, "serial", loss_factor=2.0**-8, **FAST)


# Scaling by powers of two --------------------------------------------------------------------------------------------


def gradients(loss_factor, scale, recipe="mixed_float16"):
    """The gradients of the classic network at batch 32, as they come from backward, still multiplied by the scale."""
    digits = fp.data.digits()
    with fp.seed(0):
        net = fp.amp.apply(fp.nn.LeNet(), recipe)
    loss = F.cross_entropy(net(fp.tensor(digits.train_x[:32])), digits.train_y[:32])
    fp.amp.StaticScaler(scale).scale(loss * loss_factor).backward()
    return {name: p.grad._data for name, p in net.named_parameters()}


@pytest.mark.parametrize("k", [4, 20])
def test_a_loss_times_2_to_the_minus_k_at_scale_2_to_the_k_has_the_plain_losss_gradients(k):
    plain, scaled = gradients(1.0, 1.0), gradients(2.0**-k, 2.0**k)
    for name, g in plain.items():
        np.testing.assert_array_equal(scaled[name].view(np.uint32), g.view(np.uint32), name)


def test_at_batch_32_a_loss_times_2_to_the_minus_20_without_scaling_loses_every_gradient():
    assert all(np.count_nonzero(g) for g in gradients(1.0, 1.0).values())
    assert not any(np.count_nonzero(g) for g in gradients(2.0**-20, 1.0).values())


def test_with_the_learning_rate_multiplied_too_training_is_bit_for_bit_the_same():
    k, common = 20, {"recipe": "mixed_float16", "scenario": "published", "steps": 4}
    plain = fp.train(scale=1.0, lr=0.01, **common)
    scaled = fp.train(scale=2.0**k, loss_factor=2.0**-k, lr=0.01 * 2.0**k, **common)
    assert scaled.loss == plain.loss
    assert (scaled.test_loss, scaled.accuracy) == (plain.test_loss, plain.accuracy)
    assert scaled.skipped == plain.skipped == []


def test_a_network_without_gradients_learns_nothing():
    common = {"recipe": "mixed_float16", "scenario": "published", "steps": 4, "lr": 0.01 * 2.0**20}
    lost = fp.train(scale=1.0, loss_factor=2.0**-20, **common)
    untrained = fp.train("mixed_float16", scenario="published", steps=1, lr=1e-30)
    assert lost.test_loss == untrained.test_loss
    assert fp.train(scale=2.0**20, loss_factor=2.0**-20, **common).test_loss < lost.test_loss


# train(scale=) -------------------------------------------------------------------------------------------------------


def test_a_constant_scale_stays_and_skips_what_is_not_finite():
    run = fp.train("mixed_float16", scale=2.0**24, **FAST)
    assert (set(run.scale), run.skipped, run.columns["scaling"]) == ({2.0**24}, [0, 1, 2], "constant 1.67772e+07")


def test_dynamic_is_the_recipes_own_and_a_preset_is_taken_by_name():
    assert fp.train("mixed_float16", scale="dynamic", **FAST).scale[0] == 2.0**15
    assert fp.train("O2", scale="dynamic", **FAST).scale[0] == 2.0**16
    assert fp.train("float32", scale="jmp", **FAST).columns["scaling"] == "dynamic, from 32768"


def test_weights_that_cannot_be_checked_are_scaled_without_a_check():
    with pytest.warns(fp.LossScaleOverflowWarning):
        run = fp.train("float16/float32", scale=2.0**24, **FAST)
    assert run.skipped == []
    assert not np.isfinite(run.loss[-1])


def test_observers_around_a_run_see_it():
    with fp.observe() as report:
        fp.train("float32", **FAST)
    assert report.gradients.elements > 0


# Sweeps --------------------------------------------------------------------------------------------------------------


def test_points_stand_in_the_grids_order_and_the_dynamic_run_follows(swept):
    assert [p.settings for p in swept.points] == [{"scale": s} for s in (1.0, 2.0**12, 2.0**30, "dynamic")]
    assert [p.scale for p in swept.constant] == [1.0, 2.0**12, 2.0**30]
    assert [p.run.scale[0] for p in swept.dynamic] == [2.0**15]
    assert swept.reference.run.recipe == "float32"


def test_a_point_is_what_train_gives(swept):
    assert swept[1].run.same_numbers(fp.train("mixed_float16", scale=2.0**12, loss_factor=2.0**-8, **FAST))


def test_small_scales_lose_gradients_to_zero_and_large_ones_to_overflow(swept):
    lost = [p.run.share("to_zero") for p in swept.constant]
    assert lost[0] > lost[1] >= lost[2]
    assert [p.run.share("overflow") > 0 for p in swept.constant] == [False, False, True]
    assert [len(p.run.skipped) for p in swept.constant] == [0, 0, 3]


def test_exponents_count_every_nonzero_finite_gradient_and_move_with_the_scale(swept):
    small, large = swept[0], swept[1]
    assert sum(small.exponents.values()) == small.run.counts["nonzero"]
    assert max(large.exponents) == max(small.exponents) + 12


def test_a_product_of_lists_or_a_list_of_points():
    grid = fp.sweep({"scale": [1.0, 8.0], "seed": [0, 1]}, "serial", dynamic=False, reference=False, **FAST)
    settings = [{"scale": s, "seed": n} for s in (1.0, 8.0) for n in (0, 1)]
    assert [p.settings for p in grid.points] == settings
    assert grid.reference is None
    listed = fp.sweep(settings[1:3], "serial", dynamic=False, reference=False, **FAST)
    assert [p.run.same_numbers(q.run) for p, q in zip(listed.points, grid.points[1:3], strict=True)] == [True, True]


def test_a_recipe_whose_gradients_cannot_be_checked_has_no_dynamic_run():
    grid = {"scale": [8.0], "recipe": ["mixed_float16", "float16/float32"]}
    found = fp.sweep(grid, "serial", reference=False, **FAST)
    assert [p.settings["recipe"] for p in found.dynamic] == ["mixed_float16"]


def test_any_executor_gives_the_same_numbers_in_the_same_order(swept):
    with ThreadPoolExecutor(2) as pool:
        found = fp.sweep({"scale": [1.0, 2.0**12, 2.0**30]}, pool, loss_factor=2.0**-8, **FAST)
    assert all(p.run.same_numbers(q.run) for p, q in zip(found.points, swept.points, strict=True))
    assert [p.exponents for p in found.points] == [p.exponents for p in swept.points]


def test_without_an_executor_it_runs_in_processes_of_its_own(swept):
    found = fp.sweep({"scale": [1.0, 2.0**12, 2.0**30]}, loss_factor=2.0**-8, **FAST)
    assert all(p.run.same_numbers(q.run) for p, q in zip(found.points, swept.points, strict=True))


def test_a_reference_is_trained_where_scales_are_swept_or_asked_for():
    assert fp.sweep({"seed": [0]}, "serial", **FAST).reference is None
    assert fp.sweep({"seed": [0]}, "serial", reference=True, **FAST).reference.run.recipe == "float32"
    assert fp.sweep({"scale": [8.0]}, "serial", reference=False, **FAST).reference is None


def test_progress_is_told_after_every_point():
    told = []
    fp.sweep({"scale": [8.0]}, "serial", progress=lambda done, points, settings: told.append((done, points)), **FAST)
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_without_a_grid_the_scales_run_from_1_to_2_to_the_24():
    assert DEFAULT_SCALES == tuple(2.0**k for k in range(25))


def test_a_sweep_survives_a_file(swept, tmp_path):
    path = swept.save(tmp_path)
    assert path.name == "sweep.json"
    for again in (fp.load(path), fp.load(tmp_path)):
        assert again.table() == swept.table()
        assert again[0].exponents == swept[0].exponents
        assert again.reference.run.same_numbers(swept.reference.run)
    json.dumps(swept.to_dict())


def test_the_table_has_a_row_for_each_point(swept):
    lines = swept.table().splitlines()
    assert lines[0] == "recipe mixed_float16, scenario rounding, steps 3, batch 32"
    assert lines[1].split()[:3] == ["scale", "to", "zero"]
    assert [line.split()[0] for line in lines[3:-1]] == ["1", "2**12", "2**30", "dynamic"]
    assert "3 of 3" in lines[5]
