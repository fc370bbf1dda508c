"""``fpsim sweep``: how numbers are written, what is printed and written, and how it leaves."""

import json

import pytest

import fpsim as fp
from fpsim.cli import main
from fpsim.cli.sweeps import numbers_of

FAST = ["--scenario", "rounding", "--steps", "2"]


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


def test_it_prints_a_row_for_each_point_and_writes_picture_and_results(capsys, tmp_path):
    assert main(["sweep", "--scale", "1", "2**20", "--out", str(tmp_path), *FAST]) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()[3:6]] == ["1", "2**20", "dynamic"]
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
    assert len(fp.load(tmp_path)) == 3
    assert main(["plot", str(tmp_path), "--out", str(tmp_path / "again.png")]) == 0
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "sweep.png").read_bytes()


def test_json_holds_settings_and_runs(capsys, tmp_path):
    arguments = ["sweep", "--scale", "8", "--seed", "0:2", "--no-dynamic", "--out", str(tmp_path), "--json", *FAST]
    assert main(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["settings"] for row in found["sweep"]] == [{"scale": 8.0, "seed": 0}, {"scale": 8.0, "seed": 1}]


def test_a_loss_factor_may_be_a_power(capsys, tmp_path):
    arguments = ["--loss-factor", "2**-20", "--scale", "1", "--no-dynamic", "--out", str(tmp_path), *FAST]
    assert main(["sweep", *arguments]) == 0
    assert fp.load(tmp_path)[0].run.same_numbers(
        fp.train("mixed_float16", 2, scenario="rounding", scale=1.0, loss_factor=2.0**-20)
    )


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--scale", "0"], "fpsim: scaler: expected a scale that float32 holds, above 0, got scale=0.0; try 65536.0."),
        (["--recipe", "flaot16"], "fpsim: recipe: expected a recipe's name, got 'flaot16'; did you mean float16"),
        (["--scale", "dynamix"], "fpsim: scaler: expected a library's name, got preset='dynamix'"),
        (["--steps", "0"], "fpsim: train: expected a whole number of at least 1, got steps=0"),
    ],
)
def test_bad_arguments_leave_with_2_and_one_line(capsys, tmp_path, arguments, line):
    assert main(["sweep", "--out", str(tmp_path), *FAST, *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith(line)
    assert error.count("\n") == 1
