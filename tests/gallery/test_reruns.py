"""Saved runs, comparisons and sweeps carry settings, versions and a digest, and are verified by training again."""

import json
from dataclasses import replace

import pytest

import fpsim as fp
from fpsim.cli import main
from fpsim.errors import ResultsError
from fpsim.experiments import SCENARIOS
from fpsim.experiments.repeating import repeat
from fpsim.gallery import verify
from fpsim.gallery.pictures import text_of
from fpsim.gallery.stamp import stamped
from fpsim.plots import style

HOW = {"scenario": "rounding", "steps": 4, "order": "sequential"}


def test_a_run_is_confirmed(tmp_path):
    run = fp.train("float16", seed=3, lr=0.02, batch=8, momentum=0.5, loss_factor=2.0, scale=4.0, **HOW)
    path = run.save(tmp_path / "run.json")
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["run"]["settings"] == {
        "recipe": "float16", "scenario": "rounding", "seed": 3, "steps": 4, "batch": 8, "lr": 0.02, "momentum": 0.5,
        "loss_factor": 2.0, "order": "sequential", "scale": 4.0,
    }  # fmt: skip
    assert set(content["versions"]) == {"fpsim", "matplotlib", "numpy", "python"}
    verdict = verify(path)
    assert verdict.confirmed
    assert (verdict.name, verdict.notes) == ("rounding float16 seed 3", [])
    assert fp.load(path).same_numbers(run)


def test_a_comparison_is_confirmed_reference_and_all(tmp_path):
    path = fp.compare(["float32", "float16"], **HOW).save(tmp_path)
    for given in (path, tmp_path):
        verdict = verify(given)
        assert verdict.confirmed
        assert verdict.name == "rounding float32 seed 0, rounding float16 seed 0, rounding float64 seed 0"


def test_a_sweep_is_confirmed(tmp_path):
    path = fp.sweep({"scale": [1.0, 1024.0]}, recipe="float16/float32", **HOW).save(tmp_path / "sweep.json")
    verdict = verify(path)
    assert verdict.confirmed
    assert verdict.name.startswith("point 0: float16/float32 seed 0, point 1: ")


def test_a_changed_loss_is_named(tmp_path):
    path = fp.train("float16", **HOW).save(tmp_path / "run.json")
    content = json.loads(path.read_text(encoding="utf-8"))
    there = content["run"]["loss"][2]
    content["run"]["loss"][2] = 1.5
    path.write_text(json.dumps(content), encoding="utf-8")
    verdict = verify(path)
    assert not verdict.confirmed
    assert verdict.differences == [("rounding float16 seed 0.loss[2]", 1.5, there)]
    assert "changed after it was written" in verdict.notes[0]


def test_blas_is_said_to_depend_on_the_machine(tmp_path):
    path = fp.train("float32", scenario="rounding", steps=2).save(tmp_path / "run.json")
    verdict = verify(path)
    assert verdict.confirmed
    assert verdict.notes == [
        "sums in the order blas repeat on one machine; --order sequential makes them the same on every one"
    ]


def test_a_run_that_names_cannot_repeat_says_so(tmp_path):
    images = fp.data.digits(size=8)
    of_arrays = fp.train("float16", data=tuple(images), **HOW)
    scenario = replace(SCENARIOS["rounding"], pixel_factor=16.0)
    of_own = fp.train("float16", scenario=scenario, steps=2)
    for run in (of_arrays, of_own):
        assert run.settings == {}
        path = run.save(tmp_path / "run.json")
        with pytest.raises(ResultsError, match="repeat: expected a run whose settings are saved, got rounding float16"):
            verify(path)


def test_settings_of_a_later_fpsim_are_refused():
    run = replace(fp.train("float16", **HOW), settings={"recipe": "float16", "colour": "blue"})
    with pytest.raises(ResultsError, match=r"repeat: expected settings that train takes, got \['colour', 'recipe'\]"):
        repeat(run)


@pytest.mark.parametrize("name", ["weights", "checkpoint", "resume"])
def test_no_file_says_where_to_write(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    run = fp.train("float16", **HOW)
    with pytest.raises(ResultsError, match="expected settings that train takes"):
        repeat(replace(run, settings={**run.settings, name: "written.npz"}))
    assert list(tmp_path.iterdir()) == []


def test_sums_in_float16_have_a_fixed_order_anyway(tmp_path):
    path = fp.train("float16", scenario="rounding", steps=2).save(tmp_path / "run.json")
    assert verify(path).notes == []


def test_pictures_of_runs_are_verified_too(tmp_path, capsys):
    how = ["--scenario", "rounding", "--steps", "3", "--order", "sequential", "--out", str(tmp_path)]
    assert main(["compare", "--recipe", "float32", "float16", *how]) == 0
    assert (
        main(["sweep", "--scale", "1", "64", "--recipe", "float16/float32", *how[:4], "--out", str(tmp_path / "s")])
        == 0
    )
    assert main(["plot", str(tmp_path / "compare.json"), "--out", str(tmp_path / "again.png")]) == 0
    again = tmp_path / "again.png"
    assert again.read_bytes() == (tmp_path / "compare.png").read_bytes()
    for picture in (again, tmp_path / "rounding.png", tmp_path / "s" / "sweep.png"):
        verdict = verify(picture)
        assert verdict.confirmed
        assert "float16" in verdict.name
    mark = json.loads(text_of(again.read_bytes())["fpsim"])
    mark["digest"] = "0" * 64
    again.write_bytes(stamped(plain_picture(), mark))
    assert not verify(again).confirmed
    again.write_bytes(stamped(plain_picture(), {**mark, "runs": {}}))
    with pytest.raises(ResultsError, match="expected a picture that says how its runs were made, got one without"):
        verify(again)


def plain_picture():
    return style.saved_bytes(style.figure(1, 1))


def test_files_of_before_there_were_settings_still_load(tmp_path):
    path = fp.train("float16", **HOW).save(tmp_path / "run.json")
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["run"]["settings"], content["digest"], content["versions"]
    path.write_text(json.dumps(content), encoding="utf-8")
    assert fp.load(path).settings == {}
