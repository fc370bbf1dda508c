"""Whatever is typed behind ``fpsim``: exit status 0, 1 or 2, one line on stderr where it is 2, never a traceback."""

import argparse
import contextlib
import io
import os
import sys
import tempfile
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fpsim import cli, selftest

#: What makes the real work of a command small; options drawn later override it.
SMALL = {
    "compare": "--scenario rounding --recipe float16 --steps 1 --executor serial",
    "train": "--scenario rounding --steps 1",
    "sweep": "--scenario rounding --recipe float16 --steps 1 --scale 1 --executor serial",
    "evaluate": "--scenario rounding --steps 1",
    "sensitivity": "--scenario rounding --steps 1 --samples 1",
    "cost": "--scenario rounding",
    "figures": "--list",
}
#: Nothing that is right for an option by itself and takes long, but much that is nearly right.
WORDS = st.sampled_from(
    "0 1 2 -1 1.5 -0 1e400 nan inf -inf 1/3 0x10 2**3 1e-3 float16 float16/float32 e5m2 e1m1 float8_e8m0fnu "
    "mixed_float16 O2 rounding digits sequential blocked:0 blocked:2 kahan serial process:0 out out.json out.npz "
    "out.png missing/out /dev/null /proc/none . - -- --steps --json --help = a=b p=f32,c=f16 build check student "
    "adam nonsense é".split()
) | st.sampled_from(["", " ", "a b", "\n", "x" * 300, "\0", "\ud800"])


def options_of(command):
    """What a command takes, itself asked."""
    parser = argparse.ArgumentParser()
    command.arguments(parser)
    return [action for action in parser._actions if action.dest != "help"]


@st.composite
def lines(draw, command):
    """A command line: some of the command's options, each with too few, as many or too many words."""
    line = [command.name, *SMALL.get(command.name, "").split()]
    for action in draw(st.lists(st.sampled_from(options_of(command) or [None]), max_size=4)):
        if action is not None and action.option_strings and draw(st.booleans()):
            line += [action.option_strings[0]]
        line += draw(st.lists(WORDS, max_size=2))
    return line + draw(st.sampled_from([[], [], ["--json"]]))


def outcome(line):
    """Exit status, stdout and stderr of a command line, carried out in an empty folder."""
    out, err, before = io.StringIO(), io.StringIO(), os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                status = cli.main(line)
        finally:
            os.chdir(before)
    return status, out.getvalue(), err.getvalue()


@pytest.mark.parametrize("command", cli.COMMANDS, ids=lambda command: command.name)
def test_no_arguments_make_a_traceback(command, monkeypatch):
    monkeypatch.setitem(sys.modules, "benchmarks.suite", None)  # as outside of the checkout
    monkeypatch.setattr(selftest, "GROUPS", {"generators": selftest.GROUPS["generators"]})
    monkeypatch.setattr(selftest.checking, "GROUPS", {"generators": selftest.GROUPS["generators"]})

    @settings(max_examples=15, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(lines(command))
    def check(line):
        status, out, err = outcome(line)
        assert status in (0, 1, 2), line
        assert status != 1 or out or err, line  # what failed may stand in the results, as a sweep's points do
        if status == 2 or (status == 1 and err):
            assert err.startswith("fpsim"), (line, err)
            assert len(err.splitlines()) == 1, (line, err)

    check()


@pytest.mark.parametrize("line", [["nonsense"], ["--nonsense"], ["é"], ["\0"], ["train", "\ud800"], [""], ["tr"]])
def test_what_is_no_command_is_told_in_one_line(line):
    status, out, err = outcome(line)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
