"""The command line: what it prints, and how it leaves: 0, 1 (failed), 2 (bad arguments), 130 (interrupted)."""

import dataclasses
import json
import re
import subprocess
import sys

import pytest

import fpsim as fp
from fpsim import cli
from fpsim.cli import COMMANDS, main
from fpsim.formats import NAMED


def test_inspect_prints_each_number_in_each_format(capsys):
    assert main(["inspect", "0.1", "70000", "--format", "float16", "float8_e4m3fn"]) == 0
    blocks = [repr(fp.inspect(v, f)) for v in ("0.1", "70000") for f in ("float16", "float8_e4m3fn")]
    assert capsys.readouterr().out == "\n\n".join(blocks) + "\n"


@pytest.mark.parametrize("value", ["-1e-7", "-.5", "-inf", "-1/3", "-nan", "-0"])
def test_negative_numbers_are_not_options(capsys, value):
    assert main(["inspect", value]) == 0
    assert capsys.readouterr().out == repr(fp.inspect(value, "float16")) + "\n"


def test_inspect_takes_a_mode(capsys):
    assert main(["inspect", "0.1", "--mode", "up", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["stored"] == 0.10003662109375


def test_inspect_json_has_strings_for_what_json_has_no_number_for(capsys):
    assert main(["inspect", "1e5", "nan", "0.1", "--json"]) == 0
    over, nan, tenth = json.loads(capsys.readouterr().out)
    assert (over["stored"], over["below"], over["above"]) == ("inf", 65504, None)
    assert (nan["stored"], nan["kind"]) == ("nan", "nan")
    assert (tenth["code"], tenth["error_ulp"]) == ("0x2e66", -0.4)


def test_formats_has_a_row_for_every_named_format(capsys):
    assert main(["formats"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == [
        "name", "bits", "exponent", "significand", "p", "digits", "max", "smallest", "normal", "smallest", "subnormal",
        "eps", "inf", "nan",
    ]  # fmt: skip
    rows = {line.split()[0]: line.split()[1:] for line in lines[: len(NAMED)]}
    assert list(rows) == [fmt.name for fmt in NAMED]
    assert rows["float16"] == "16 5 10 11 3.31 65504 6.10352e-05 5.96046e-08 0.000976562 yes yes".split()
    assert rows["float64"][4] == "15.95"
    assert rows["float4_e2m1fn"][-2:] == ["no", "no"]
    assert len({len(line) for line in lines[: len(NAMED)]}) == 1


def test_formats_as_json(capsys):
    assert main(["formats", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["name"]: row["max"] for row in rows} == {fmt.name: fmt.max for fmt in NAMED}


@pytest.mark.parametrize("arguments", [["--help"], *([command.name, "--help"] for command in COMMANDS)], ids=" ".join)
def test_help_everywhere(capsys, arguments):
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert out.startswith("usage: fpsim")
    assert err == ""


def test_help_lists_every_command(capsys):
    main(["--help"])
    out = capsys.readouterr().out
    assert all(f" {command.name}" in out and command.help in out for command in COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nonsense"], "fpsim: argument COMMAND: invalid choice: 'nonsense' (choose from "),
        (["inspect"], "fpsim inspect: the following arguments are required: VALUE; see `fpsim inspect --help`"),
        (["inspect", "1", "--colour"], "fpsim: unrecognized arguments: --colour; see `fpsim --help`"),
        (["inspect", "1", "--mode", "sideways"], "fpsim inspect: argument --mode: invalid choice: 'sideways' (choose "),
        (["inspect", "1", "--format"], "fpsim inspect: argument --format: expected at least one argument; see "),
        (["inspect", "one"], "fpsim: inspect: expected one real number, got value='one'; write it like 0.1 or "),
        (["inspect", "1\n2"], "fpsim: inspect: expected one real number, got value='1\\n2'; write it like 0.1 or "),
        (["inspect", "1", "--format", "float17"], "fpsim: Format: expected a floating-point format, got 'float17'; "),
        (["inspect", "nan", "--format", "e2m1fn"], "fpsim: inspect: expected a number that float4_e2m1fn has, got "),
    ],
)  # fmt: skip
def test_bad_arguments_are_one_line_and_status_2(capsys, arguments, line):
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(line)
    assert err.count("\n") == 1
    assert "Traceback" not in err


def command_that(raises: BaseException) -> cli.Command:
    def run(options):
        raise raises

    return dataclasses.replace(COMMANDS[-1], run=run)


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (fp.ResultsError("load: expected a file, got none;\nlook."), 2, "load: expected a file, got none; look."),
        (PermissionError(13, "Permission denied", "/locked/x.png"), 1, "/locked/x.png: Permission denied"),
        (OSError(28, "No space left on device"), 1, "No space left on device"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_goes_wrong_inside_a_command(capsys, monkeypatch, error, status, line):
    monkeypatch.setattr(cli, "COMMANDS", (command_that(error),))
    assert main([COMMANDS[-1].name]) == status
    assert capsys.readouterr() == ("", f"fpsim: {line}\n")


def test_a_bug_is_not_hidden(monkeypatch):
    monkeypatch.setattr(cli, "COMMANDS", (command_that(ZeroDivisionError()),))
    with pytest.raises(ZeroDivisionError):
        main([COMMANDS[-1].name])


def test_alone_it_runs_the_tour(capsys, monkeypatch):
    monkeypatch.setattr("fpsim.experiments.tour.STEPS", 3)
    assert main([]) == 0
    out = capsys.readouterr().out
    assert re.search(r"ten thousand times, in float16: +1\.0 ", out)
    assert re.search(r"1 \+ 1 \+ 1 \.\.\., ten thousand times: +2048 ", out)
    assert "0 01011 1001100110" in out
    assert re.search(r"float32 \d+ %, float16 \d+ %, float16 with one float32 copy of the weights \d+ %", out)


def test_python_m_fpsim_and_a_reader_that_leaves():
    """The one test in a new process: the module entry, its exit status, and a closed pipe."""
    command = [sys.executable, "-m", "fpsim"]
    bad = subprocess.run([*command, "inspect", "1", "--format", "float17"], capture_output=True, text=True, check=False)
    assert (bad.returncode, bad.stdout, bad.stderr.count("\n")) == (2, "", 1)
    with subprocess.Popen([*command, "formats"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as left:
        left.stdout.close()
        assert left.stderr.read() == b""
        assert left.wait() == 141


# Training, comparing, plotting ----------------------------------------------------------------------------------------


def test_compare_prints_tables_and_writes_a_picture_and_results(capsys, tmp_path):
    arguments = ["compare", "--scenario", "rounding", "--steps", "4", "--recipe", "float32", "float16"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "rounding: What becomes of updates" in out
    assert "says nothing about hardware" in out
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["compare.json", "compare.png", "rounding.png"]
    assert (tmp_path / "out" / "compare.png").read_bytes().startswith(b"\x89PNG")
    assert fp.load(tmp_path / "out").recipes == ["float32", "float16"]


def test_compare_for_machines_is_json(capsys, tmp_path):
    arguments = ["compare", "--scenario", "rounding", "--steps", "2", "--recipe", "float32", "--json"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["runs"][0]["recipe"] == "float32"
    assert len(content["files"]) == 2


def test_train_and_plot(capsys, tmp_path):
    target = tmp_path / "one.json"
    arguments = ["train", "--scenario", "rounding", "--recipe", "float16", "--steps", "3", "--out", str(target)]
    assert main(arguments) == 0
    assert main(["plot", str(target), "--out", str(tmp_path / "one.png")]) == 0
    assert (tmp_path / "one.png").exists()
    assert "Wrote" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["compare", "--scenario", "x"], "fpsim: compare: expected a scenario, got 'x'; did you mean "),
        (["train", "--recipe", "flaot16"], "fpsim: recipe: expected a recipe's name, got 'flaot16'; did you mean "),
        (["train", "--steps", "0"], "fpsim: train: expected a whole number of at least 1, got steps=0; "),
        (["train", "--steps", "x"], "fpsim train: argument --steps: invalid int value: 'x'; see "),
        (["train", "--data", "/nowhere"], "fpsim: train: expected digits, fashion or a folder of IDX files, got "),
        (["plot", "/nowhere"], "fpsim: load: expected a file that can be read, got /nowhere/compare.json: "),
        (["compare", "--out", "/proc/x"], "fpsim: save: expected a place that can be written, got /proc/x/"),
    ],
)
def test_a_wrong_experiment_is_one_line_and_status_2(arguments, complaint, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(complaint)
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_nothing_is_left_behind_where_training_fails(tmp_path, capsys):
    assert main(["compare", "--scenario", "rounding", "--recipe", "flaot16", "--out", str(tmp_path / "out")]) == 2
    assert list((tmp_path / "out").iterdir()) == []
