"""The command line: what it prints, and how it leaves: 0, 1 (failed), 2 (bad arguments), 130 (interrupted)."""

import dataclasses
import json
import subprocess
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

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
    assert all(f"{command.name} " in out and command.help in out for command in COMMANDS)


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
    tour = ModuleType("fpsim.experiments.tour")
    tour.__spec__ = ModuleSpec(tour.__name__, None)
    tour.main = lambda: print("1 + 0.0001, ten thousand times")
    monkeypatch.setitem(sys.modules, tour.__name__, tour)
    assert main([]) == 0
    assert capsys.readouterr().out == "1 + 0.0001, ten thousand times\n"


def test_python_m_fpsim_and_a_reader_that_leaves():
    """The one test in a new process: the module entry, its exit status, and a closed pipe."""
    command = [sys.executable, "-m", "fpsim"]
    bad = subprocess.run([*command, "inspect", "1", "--format", "float17"], capture_output=True, text=True, check=False)
    assert (bad.returncode, bad.stdout, bad.stderr.count("\n")) == (2, "", 1)
    with subprocess.Popen([*command, "formats"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as left:
        left.stdout.close()
        assert left.stderr.read() == b""
        assert left.wait() == 141
