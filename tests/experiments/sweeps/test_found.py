"""What a sweep gives: records, a DataFrame, means over seeds, its table."""

import math
import sys

import pytest

import fpsim as fp
from fpsim.experiments.sweeps.found import MEASURES, Failure, Sweep

FAST = {"scenario": "rounding", "steps": 3}


@pytest.fixture(scope="module")
def swept():
    grid = {"recipe": ["float32", "flaot16", "float16"], "seed": [0, 1, 2]}
    return fp.sweep(grid, "serial", **FAST)


def test_there_is_a_record_for_each_point_with_the_same_names(swept):
    records = swept.records()
    assert len(records) == 9
    assert {tuple(sorted(record)) for record in records} == {tuple(sorted(records[0]))}
    assert [r["recipe"] for r in records] == ["float32"] * 3 + ["float16"] * 3 + ["flaot16"] * 3
    assert [r["error"] is None for r in records] == [True] * 6 + [False] * 3
    assert records[4]["final_loss"] == swept[4].run.final_loss
    assert records[8]["final_loss"] is None


def test_a_dataframe_has_a_row_for_each_record(swept):
    pandas = pytest.importorskip("pandas")
    frame = swept.to_dataframe()
    assert isinstance(frame, pandas.DataFrame)
    assert len(frame) == 9
    assert frame.groupby("recipe").final_loss.mean()["float16"] == pytest.approx(
        sum(p.run.final_loss for p in swept if p.run.recipe == "float16") / 3
    )


def test_without_pandas_a_dataframe_is_an_error(swept, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(fp.ArgumentError) as error:
        swept.to_dataframe()
    assert str(error.value) == (
        "to_dataframe: expected pandas, got none installed; pip install pandas, or use records()."
    )


def test_seeds_are_gathered_and_nothing_else(swept):
    groups = swept.over_seeds()
    assert [group.settings for group in groups] == [{"recipe": "float32"}, {"recipe": "float16"}]
    assert [group.means["final_loss"].n for group in groups] == [3, 3]
    losses = [p.run.final_loss for p in swept.points[:3]]
    assert groups[0].means["final_loss"].mean == pytest.approx(sum(losses) / 3)
    assert set(groups[0].means) == set(MEASURES)


def test_every_measure_is_a_number_of_every_run(swept):
    assert all(isinstance(of(point.run), float | int) for of in MEASURES.values() for point in swept)


def test_the_table_shows_seeds_as_means_with_intervals_and_each_on_request(swept):
    mean = swept.over_seeds()[0].means["final_loss"]
    lines = swept.table().splitlines()
    assert lines[1].split()[:2] == ["recipe", "seeds"]
    assert f"{mean.mean:.4f} ± {mean.half_width:.4f}" in lines[3]
    assert [line.split()[0] for line in lines[3:5]] == ["float32", "float16"]
    assert "3 failed (recipe flaot16, seed 0, ...): ArgumentError: recipe: expected" in lines[-1]
    assert len(swept.table(each=True).splitlines()) == 3 + 6 + 2


def test_one_seed_has_no_interval():
    found = fp.sweep({"seed": [3]}, "serial", **FAST)
    assert "±" not in found.table()
    assert math.isnan(found.over_seeds()[0].means["accuracy"].half_width)


def test_a_sweep_without_points_still_tells_its_errors():
    empty = Sweep([], failures=[Failure({"lr": 0.1}, "ZeroDivisionError: no")], missing=2)
    assert empty.table().splitlines() == [
        "1 failed (lr 0.1): ZeroDivisionError: no",
        "2 not computed yet: the same command goes on.",
    ]


def test_failures_survive_a_file(swept, tmp_path):
    again = fp.load(swept.save(tmp_path))
    assert again.failures == swept.failures
    assert again.table() == swept.table()
