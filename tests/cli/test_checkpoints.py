"""``fpsim train`` with checkpoints: what Ctrl-C prints is the command that goes on, to the same bits."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fpsim as fp
from fpsim.cli import main

FAST = ["--recipe", "float16_stochastic", "--scenario", "rounding", "--steps", "12", "--batch", "8"]


def pressing(step):
    def progress(recipe, seed, now, steps):
        if now == step:
            signal.raise_signal(signal.SIGINT)

    return progress


def test_what_ctrl_c_prints_goes_on_to_the_same_bits(tmp_path, capsys, monkeypatch):
    folder, out = tmp_path / "a run", tmp_path / "out.json"
    with monkeypatch.context() as patched:
        patched.setattr("fpsim.cli.experiments.Bar.of", lambda *scenario: pressing(4))
        status = main(["train", *FAST, "--checkpoint", str(folder), "--out", str(out), "--json"])
    printed, said = capsys.readouterr()
    command = f"fpsim train '--resume={folder}' --out={out} --json"
    assert (status, printed) == (130, "")
    assert said == f"fpsim: interrupted after step 5 of 12; go on with: {command}\n"
    assert main(shlex.split(command)[1:]) == 0
    whole = fp.train("float16_stochastic", scenario="rounding", steps=12, batch=8)
    assert fp.load(out).same_numbers(whole)
    assert json.loads(capsys.readouterr().out)["loss"] == whole.loss


def test_a_comparison_that_is_interrupted_goes_on_by_the_same_command(tmp_path, capsys, monkeypatch):
    command = ["compare", "--scenario", "rounding", "--recipe", "float16", "--steps", "6", "--batch", "4", "--executor"]
    command += ["serial", "--json", "--out", str(tmp_path / "out"), "--checkpoint", str(tmp_path / "kept")]
    with monkeypatch.context() as patched:
        patched.setattr("fpsim.cli.experiments.Bar.counting", lambda *what: pressing(2))
        assert main(command) == 130
    assert capsys.readouterr() == (
        "", f"fpsim: interrupted; the same command goes on from the checkpoints in {tmp_path}/kept\n"
    )  # fmt: skip
    assert main(command) == 0
    whole = fp.compare("float16", scenario="rounding", steps=6, batch=4)
    assert fp.load(tmp_path / "out")["float16"].same_numbers(whole["float16"])


def test_a_real_ctrl_c(tmp_path):
    command = [sys.executable, "-m", "fpsim", "train", *FAST[:-4], "--steps", "1000000", "--checkpoint", str(tmp_path)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as run:
        while run.poll() is None and not list(tmp_path.glob("step-*")):
            time.sleep(0.05)
        time.sleep(0.2)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate()
    assert run.returncode == 130
    assert out == ""
    assert err.startswith("fpsim: interrupted after step ")
    assert err.endswith(f" of 1000000; go on with: fpsim train --resume={tmp_path}\n")
    assert err.count("\n") == 1
    assert fp.load_checkpoint(tmp_path)["settings"]["steps"] == 1000000


def test_a_damaged_checkpoint_is_one_line_and_the_one_before_it_is_taken(tmp_path, capsys):
    assert main(["train", *FAST, "--checkpoint", str(tmp_path), "--checkpoint-every", "5"]) == 0
    newest = tmp_path / "step-000012.checkpoint"
    newest.write_bytes(newest.read_bytes()[:-1])
    capsys.readouterr()
    assert main(["train", "--resume", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert "float16" in out
    assert err.startswith(f"fpsim: resume: expected a checkpoint, got {newest}, which is damaged")
    assert err.endswith("; the run goes on from step-000010.checkpoint.\n")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--resume", "none"], "resume: expected a folder with checkpoints, got none in 'none'; name one given as"),
        (["--checkpoint-every", "5"], "train: expected a folder for the checkpoints, got checkpoint_every=5 alone;"),
        (["--checkpoint-every", "0"], "train: expected a whole number of steps, at least 1, got checkpoint_every=0; "),
        (["--checkpoint", "/proc/none"], "checkpoint: expected a place that can be written, got /proc/none/step-"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_one_line(tmp_path, capsys, arguments, text):
    assert main(["train", *FAST, *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"fpsim: {text}")
    assert err.count("\n") == 1


def test_other_settings_are_one_line(tmp_path, capsys):
    main(["train", *FAST, "--checkpoint", str(tmp_path)])
    capsys.readouterr()
    assert main(["train", "--resume", str(tmp_path), "--lr", "1"]) == 2
    assert capsys.readouterr().err == (
        "fpsim: train: expected the lr=0.001 of the checkpoint, got lr=1.0; leave lr out to go on as it was begun, or "
        "begin anew.\n"
    )
    assert Path(tmp_path / "step-000012.checkpoint").exists()
