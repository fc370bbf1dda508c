"""``fpsim sweep``: how numbers are written, what is printed and written, and how it leaves."""

import json
import re
import sqlite3
import time
from contextlib import closing

import pytest

import fpsim as fp
from fpsim.cli import main
from fpsim.cli.sweeps import ProgressLine, counts_of, numbers_of
from fpsim.experiments.sweeping import Progress

FAST = ["--scenario", "rounding", "--steps", "2", "--executor", "serial"]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("65536", [65536.0]),
        ("2**16", [65536.0]),
        ("2**0:2**4", [1.0, 2.0, 4.0, 8.0, 16.0]),
        ("2**0:2**24:2**8", [1.0, 256.0, 65536.0, 2.0**24]),
        ("1:10:3", [1.0, 3.0, 9.0]),
        ("dynamic", ["dynamic"]),
    ],
)
def test_scales_are_numbers_powers_and_ranges(text, numbers):
    assert numbers_of(text) == numbers


def test_the_default_range_has_every_power():
    assert numbers_of("2**0:2**24") == [2.0**k for k in range(25)]


@pytest.mark.parametrize("text", ["1:2:3:4", "4:1", "1:4:1", "a:b", "0:4", "1:2**1000:1.0001"])
def test_what_is_no_range_is_refused(text):
    with pytest.raises(fp.ArgumentError, match="sweep: expected numbers like 65536"):
        numbers_of(text)


@pytest.mark.parametrize("text", ["1.5", "x", "0:3:2", "0:99999999"])
def test_what_is_no_seed_is_refused(text):
    with pytest.raises(fp.ArgumentError):
        numbers_of(text, whole=True)


@pytest.mark.parametrize(("text", "counts"), [("16", [16]), ("16:128", [16, 32, 64, 128]), ("1:100:10", [1, 10, 100])])
def test_counts_are_whole_numbers_in_ranges_by_factors(text, counts):
    assert counts_of(text) == counts


@pytest.mark.parametrize("text", ["1.5", "x", "1:2:1.5"])
def test_what_is_no_count_is_refused(text):
    with pytest.raises(fp.ArgumentError):
        counts_of(text)


def test_it_prints_a_row_for_each_point_and_writes_pictures_and_results(capsys, tmp_path):
    assert main(["sweep", "--scale", "1", "2**20", "--out", str(tmp_path), *FAST]) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()[3:6]] == ["1", "2**20", "dynamic"]
    assert out.splitlines()[-1] == (
        f"Wrote {tmp_path / 'sweep.png'}, {tmp_path / 'sweep_lines.png'}, {tmp_path / 'sweep.sqlite'}; "
        f"fp.load('{tmp_path / 'sweep.sqlite'}') reads the results back."
    )
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
    assert len(fp.load(tmp_path)) == 3


def test_plot_draws_a_store_again(capsys, tmp_path):
    assert main(["sweep", "--scale", "1", "2**20", "--out", str(tmp_path), *FAST]) == 0
    before = {name: (tmp_path / name).read_bytes() for name in ("sweep.png", "sweep_lines.png")}
    for name in before:
        (tmp_path / name).unlink()
    assert main(["plot", str(tmp_path), "--out", str(tmp_path / "again.png")]) == 0
    assert (tmp_path / "again.png").read_bytes() == before["sweep.png"]
    assert main(["plot", str(tmp_path / "sweep.sqlite")]) == 0
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert capsys.readouterr().out.endswith(f"Wrote {tmp_path / 'sweep.png'}, {tmp_path / 'sweep_lines.png'}.\n")


def test_json_holds_settings_and_runs(capsys, tmp_path):
    arguments = ["sweep", "--scale", "8", "--seed", "0:2", "--no-dynamic", "--out", str(tmp_path), "--json", *FAST]
    assert main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["settings"] for row in found["sweep"]] == [{"scale": 8.0, "seed": 0}, {"scale": 8.0, "seed": 1}]
    assert found["files"][-1] == str(tmp_path / "sweep.sqlite")


def test_the_same_command_goes_on_where_the_last_one_was(capsys, tmp_path):
    arguments = ["sweep", "--scale", "1:16:4", "--out", str(tmp_path), *FAST]
    assert main([*arguments, "--seed", "0"]) == 0
    assert main([*arguments, "--seed", "0:2", "--dry-run"]) == 0
    assert "8 points and float32 beside them: 5 stored, 4 to run." in capsys.readouterr().out
    assert main([*arguments, "--seed", "0:2"]) == 0
    capsys.readouterr()
    assert main([*arguments, "--seed", "0:2", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["plan"]["to_run"] == 0


def test_a_loss_factor_may_be_a_power(capsys, tmp_path):
    arguments = ["--loss-factor", "2**-20", "--scale", "1", "--no-dynamic", "--out", str(tmp_path), *FAST]
    assert main(["sweep", *arguments]) == 0
    assert fp.load(tmp_path)[0].run.same_numbers(
        fp.train("mixed_float16", 2, scenario="rounding", scale=1.0, loss_factor=2.0**-20)
    )


@pytest.mark.parametrize(
    ("arguments", "grid"),
    [
        ([], {"scale": [2.0**k for k in range(25)]}),
        (["--recipe", "float16"], {"scale": [2.0**k for k in range(25)]}),
        (["--lr", "0.1"], {"scale": [2.0**k for k in range(25)]}),
        (["--recipe", "float16", "float32", "--seed", "0:2", "--scale", "8"],
         {"scale": [8.0], "recipe": ["float16", "float32"], "seed": [0, 1]}),
        (["--lr", "1e-3:0.1:10"], {"lr": [1e-3, 1e-2, 1e-1]}),
        (["--lr", "0.1", "0.2", "--scale", "8"], {"scale": [8.0], "lr": [0.1, 0.2]}),
        (["--batch", "16:64", "--order", "blas", "exact"], {"order": ["blas", "exact"], "batch": [16, 32, 64]}),
        (["--scale", "own", "--recipe", "float16", "float32"], {"recipe": ["float16", "float32"]}),
        (["--scale", "own"], {"recipe": ["mixed_float16"]}),
        (["--scenario", "rounding", "published", "--scale", "own"], {"scenario": ["rounding", "published"]}),
    ],
)  # fmt: skip
def test_what_is_swept(monkeypatch, tmp_path, arguments, grid):
    planned = []

    def plan(grid, **settings):
        planned.append(grid)
        raise KeyboardInterrupt

    monkeypatch.setattr("fpsim.experiments.sweeping.plan", plan)
    assert main(["sweep", "--out", str(tmp_path), *arguments]) == 130
    assert [list(planned[0]), *planned] == [
        list(grid),
        {k: pytest.approx(v) if k == "lr" else v for k, v in grid.items()},
    ]


def test_a_dry_run_tells_the_plan_and_the_time_and_writes_nothing(capsys, tmp_path):
    arguments = ["--recipe", "float16", "mixed_float16", "--seed", "0:5", "--executor", "process:4", "--dry-run"]
    assert main(["sweep", *FAST, *arguments, "--scale", "1:16", "--out", str(tmp_path / "new")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        "scale            6  1 2 4 8 2**4 dynamic",
        "recipe           2  float16 mixed_float16",
        "seed             5  0 1 2 3 4",
        "55 points and float32 beside them: 0 stored, 56 to run.",
    ]
    assert re.fullmatch(r"About .* s on one core, .* s on 4; from a few steps of 3 kinds of run\.", lines[4])
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_in_json_lists_every_configuration(capsys, tmp_path):
    arguments = ["--recipe", "float16", "flaot16", "--scale", "own", "--seed", "0:2", "--dry-run", "--json"]
    assert main(["sweep", *arguments, "--out", str(tmp_path), *FAST]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {name: found["plan"][name] for name in ("points", "stored", "to_run", "failing")} == {
        "points": 4, "stored": 0, "to_run": 4, "failing": 2,
    }  # fmt: skip
    assert [(c["recipe"], c["seed"]) for c in found["configurations"]] == [
        ("float16", 0), ("float16", 1), ("flaot16", 0), ("flaot16", 1),
    ]  # fmt: skip


def test_what_failed_is_told_and_the_status_is_1(capsys, tmp_path):
    arguments = ["sweep", "--recipe", "float16", "flaot16", "--scale", "own", "--out", str(tmp_path), *FAST]
    assert main(arguments) == 1
    out = capsys.readouterr().out
    assert "1 failed (recipe flaot16): ArgumentError: recipe: expected a recipe's name, got 'flaot16'" in out
    assert (tmp_path / "sweep.png").exists()
    assert len(fp.load(tmp_path).failures) == 1


def test_ctrl_c_says_how_to_go_on(capsys, tmp_path, monkeypatch):
    def told(self, state):
        self.so_far = f" after {state.done} of {state.points}"
        raise KeyboardInterrupt

    monkeypatch.setattr("fpsim.cli.sweeps.ProgressLine.told", told)
    assert (
        main(["sweep", "--seed", "0:3", "--scale", "own", "--executor", "serial", "--out", str(tmp_path), *FAST]) == 130
    )
    assert capsys.readouterr().err == "fpsim: interrupted after 1 of 3; the same command goes on\n"
    assert fp.load(tmp_path).missing == 2


def test_progress_tells_what_is_done_what_failed_and_when_it_ends(capsys, monkeypatch):
    line = ProgressLine()
    line.terminal, line.every, line.last = True, 0.0, 0.0
    monkeypatch.setattr("time.time", lambda: 1.8e9)
    monkeypatch.setattr("time.localtime", time.gmtime)
    line.told(Progress(done=10, failed=1, points=40, elapsed=60.0, computed=5, settings={}))
    bar, text = capsys.readouterr().err.strip().split("] ")
    assert bar == "[######.................."
    assert text == "sweep 10/40 done, 1 failed, ends about 08:06, 6 min left"
    line.clear()
    assert capsys.readouterr().err.strip() == ""


def test_without_a_terminal_progress_is_a_line_a_minute(capsys, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    line = ProgressLine()
    for done in range(1, 200):
        now[0] += 1
        line.told(Progress(done=done, failed=0, points=200, elapsed=1.0 * done, computed=done, settings={}))
    told = capsys.readouterr().err.splitlines()
    assert [text.split(",")[0] for text in told] == [f"sweep {n}/200 done" for n in (60, 120, 180)]


def test_too_many_runs_must_be_confirmed(capsys, tmp_path):
    arguments = ["sweep", "--seed", "0:1000000", "--out", str(tmp_path), *FAST]
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("fpsim: sweep: expected at most 10,000 points unless confirmed, got 25,")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--scale", "0"], "fpsim: scaler: expected a scale that float32 holds, above 0, got scale=0.0; try 65536.0."),
        (["--recipe", "flaot16"], "fpsim: recipe: expected a recipe's name, got 'flaot16'; did you mean float16"),
        (["--scale", "dynamix"], "fpsim: scaler: expected a library's name, got preset='dynamix'"),
        (["--steps", "0"], "fpsim: train: expected a whole number of at least 1, got steps=0"),
        (
            ["--executor", "threads"],
            "fpsim: sweep: expected 'process', 'process:4', 'serial' or 'dask://host:port', got",
        ),
        (["--batch", "two"], "fpsim: sweep: expected numbers like 65536, 2**16 or 2**0:2**24:4, got 'two'"),
        (["--dry-run", "--executor", "x"], "fpsim: sweep: expected 'process', 'process:4', 'serial' or"),
    ],
)
def test_bad_arguments_leave_with_2_and_one_line(capsys, tmp_path, arguments, line):
    assert main(["sweep", "--out", str(tmp_path), "--scenario", "rounding", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith(line)
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_store_of_another_version_leaves_with_2(capsys, tmp_path):
    assert main(["sweep", "--seed", "0", "1", "--scale", "own", "--out", str(tmp_path), *FAST]) == 0
    with closing(sqlite3.connect(tmp_path / "sweep.sqlite")) as connection, connection:
        connection.execute("UPDATE about SET value = '99' WHERE name = 'version'")
    for command in (["sweep", "--out", str(tmp_path), *FAST], ["plot", str(tmp_path)]):
        assert main(command) == 2
        assert "expected a store of version 1, got" in capsys.readouterr().err
