"""Checkpoints: a run that stopped anywhere goes on to the same bits, and what is damaged is said and survived."""

import errno
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import fpsim as fp
import fpsim.nn as nn
from fpsim.errors import CheckpointError, CheckpointWarning
from fpsim.experiments import SCENARIOS, load
from fpsim.experiments.checkpoints import Checkpoints, read_checkpoint
from fpsim.experiments.keeping import Interrupted
from fpsim.experiments.packing import pack, unpack

FAST = {"scenario": "rounding", "steps": 12, "batch": 8}


class Stop(Exception):
    pass


def stopping(after):
    """A progress callback that ends the run, as an error in it would, before its last steps."""

    def progress(recipe, seed, step, steps):
        if step == after:
            raise Stop

    return progress


def stopped(folder, after=7, every=3, **settings):
    with pytest.raises(Stop):
        fp.train(**{**FAST, **settings}, checkpoint=folder, checkpoint_every=every, progress=stopping(after))
    return folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# A state as bytes ----------------------------------------------------------------------------------------------------

DTYPES = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"]
LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**127), 2**127) | st.floats() | st.text(max_size=5)
    | npst.arrays(st.sampled_from(DTYPES).map(np.dtype), npst.array_shapes(min_dims=0, min_side=0, max_side=3))
)  # fmt: skip
KEYS = st.integers(0, 9) | st.text(max_size=3)
STATES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


def same(a, b):
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return type(a) is type(b) and str(a) == str(b)  # -0.0 is not 0.0, NaN is NaN


@given(STATES)
def test_what_is_packed_is_unpacked_bit_for_bit(state):
    assert same(unpack(pack(state)), state)


@pytest.mark.parametrize(
    "fmt", ["float16", "bfloat16", "float8_e4m3fn", "float4_e2m1fn", "float32", "float64", "e5m10"]
)
def test_tensors_keep_their_bits_and_their_precision(fmt):
    precision = fp.Precision(fmt, "float32", order="sequential", rounding="stochastic", saturate=True)
    tensor = fp.tensor([0.0, -0.0, 1.5, -3.0], precision=precision)
    again = unpack(pack({"a": tensor}))["a"]
    assert again.precision == precision
    assert same(again._data, tensor._data)


def test_what_cannot_be_kept_is_refused():
    for state in (object(), {"f": print}, {(1, 2): 3}, np.array([print], object), np.array(1j)):
        with pytest.raises(fp.ArgumentTypeError, match="checkpoint: expected numbers, texts, arrays and tensors, got"):
            pack(state)


# Going on ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "recipe",
    ["float32", "float16", "float16_stochastic", "float16_masters", "mixed_float16", "O1", "O2", "conv16_fc32",
     "float8_e4m3fn/float32"],
)  # fmt: skip
def test_a_resumed_run_has_the_bits_of_one_that_never_stopped(tmp_path, recipe):
    whole = fp.train(recipe, **FAST)
    folder = stopped(tmp_path / "run", recipe=recipe)
    assert names(folder) == ["step-000003.checkpoint", "step-000006.checkpoint"]
    assert fp.train(resume=folder).same_numbers(whole)
    assert names(folder) == ["step-000009.checkpoint", "step-000012.checkpoint"]


class Everything(nn.Module):
    """What draws random numbers, or keeps state of its own, in training."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.drop = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.3)
        self.fc = nn.Linear(72, 10)

    def forward(self, x):
        return self.fc(self.drop(nn.functional.relu(self.norm(self.conv(x)))).flatten(1))


SPECIAL = replace(SCENARIOS["rounding"], network=Everything, momentum=0.9, loss_factor=2.0**20, lr=1e-8)


def test_dropout_statistics_momentum_and_a_scale_that_moves_go_on_as_they_would_have(tmp_path):
    settings = {"scenario": SPECIAL, "recipe": "mixed_float16", "scale": "dynamic", "seed": 3}
    whole = fp.train(**{**FAST, **settings})
    assert whole.skipped
    assert len(set(whole.scale)) > 2
    folder = stopped(tmp_path / "run", **settings)
    resumed = fp.train(resume=folder, scenario=SPECIAL, weights=tmp_path / "resumed.npz")
    assert resumed.same_numbers(whole)
    fp.train(**{**FAST, **settings}, weights=tmp_path / "whole.npz")
    assert (tmp_path / "resumed.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()


def test_checkpoints_change_no_bit(tmp_path):
    kept = fp.train("float16_stochastic", **FAST, checkpoint=tmp_path / "run", checkpoint_every=1)
    assert kept.same_numbers(fp.train("float16_stochastic", **FAST))


def test_a_run_goes_on_from_an_older_checkpoint_and_from_the_end(tmp_path):
    whole = fp.train("float32", **FAST, checkpoint=tmp_path)
    assert names(tmp_path) == ["step-000011.checkpoint", "step-000012.checkpoint"]  # ten a run
    assert fp.train(resume=tmp_path).same_numbers(whole)
    assert fp.train(resume=tmp_path / "step-000011.checkpoint", checkpoint=tmp_path / "other").same_numbers(whole)
    assert fp.train(resume=tmp_path / "other").same_numbers(whole)


def test_a_run_resumed_again_and_again_is_the_same_run(tmp_path):
    whole = fp.train("float16", **FAST)
    stopped(tmp_path, after=2, every=1, recipe="float16")
    for after in (3, 5, 6, 11):
        with pytest.raises(Stop):
            fp.train(resume=tmp_path, progress=stopping(after))
    assert fp.train(resume=tmp_path).same_numbers(whole)


def test_the_time_taken_before_counts(tmp_path):
    stopped(tmp_path)
    before = read_checkpoint(tmp_path / "step-000006.checkpoint")["training"]["record"]["seconds"]
    assert fp.train(resume=tmp_path).seconds > before > 0


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"lr": 0.5}, "the lr=0.001 of the checkpoint, got lr=0.5; leave lr out to go on as it was begun, or"),
        ({"recipe": "float16"}, "the recipe='mixed_float16' of the checkpoint, got recipe='float16'; leave recipe out"),
        ({"seed": 1}, "the seed=0 of the checkpoint, got seed=1"),
        ({"steps": 13}, "the steps=12 of the checkpoint, got steps=13"),
        ({"batch": 9}, "the batch=8 of the checkpoint, got batch=9"),
        ({"momentum": 0.5}, "the momentum=0.0 of the checkpoint, got momentum=0.5"),
        ({"order": "pairwise"}, "the order=None of the checkpoint, got order='pairwise'"),
        ({"scale": 2.0}, "the scale=None of the checkpoint, got scale=2.0"),
        ({"scenario": "published"}, "the scenario='rounding' of the checkpoint, got scenario='published'"),
        ({"data": tuple(part[:50] for part in fp.data.digits(size=8))}, "the images='"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)  # fmt: skip
def test_other_settings_are_refused_by_name(tmp_path, changes, text):
    stopped(tmp_path)
    with pytest.raises(CheckpointError) as caught:
        fp.train(resume=tmp_path, **changes)
    assert str(caught.value).startswith(f"train: expected {text}")
    assert names(tmp_path) == ["step-000003.checkpoint", "step-000006.checkpoint"]


def test_another_fpsim_may_round_otherwise(tmp_path, monkeypatch):
    stopped(tmp_path)
    monkeypatch.setattr("fpsim.experiments.packing.fpsim_version", lambda: "99.0")
    with pytest.raises(
        CheckpointError, match=r"the fpsim='.*' of the checkpoint, got fpsim='99\.0'; go on with that version"
    ):
        fp.train(resume=tmp_path)


def test_a_new_run_does_not_write_over_an_old_one(tmp_path):
    stopped(tmp_path)
    with pytest.raises(CheckpointError) as caught:
        fp.train(**FAST, checkpoint=tmp_path)
    assert str(caught.value) == (
        f"train: expected a folder without checkpoints, got {tmp_path}/step-000006.checkpoint; go on with "
        f"resume='{tmp_path}', or remove them."
    )


# Damage --------------------------------------------------------------------------------------------------------------


def test_a_checkpoint_that_is_cut_short_or_flipped_anywhere_is_refused(tmp_path):
    path = Checkpoints(tmp_path).write(1, {"w": np.arange(20.0), "lr": 0.5, "name": "a"})
    content = path.read_bytes()
    cut = [content[:n] for n in range(0, len(content), 3)]
    flipped = [content[:i] + bytes([content[i] ^ 1 << i % 8]) + content[i + 1 :] for i in range(len(content))]
    for damaged in (*cut, *flipped, content + b"\0"):
        path.write_bytes(damaged)
        with pytest.raises(
            CheckpointError, match=r"^resume: expected a checkpoint, got .*, (which|whose) .*; take ano"
        ):
            read_checkpoint(path)


def test_the_last_good_one_is_taken_and_named(tmp_path):
    whole = fp.train("float32", **FAST)
    stopped(tmp_path, recipe="float32")
    newest = tmp_path / "step-000006.checkpoint"
    newest.write_bytes(newest.read_bytes()[:-1])
    text = (
        f"resume: expected a checkpoint, got {newest}, which is damaged: its checksum is another one; the run goes on "
        "from step-000003.checkpoint."
    )
    with pytest.warns(CheckpointWarning) as caught:
        resumed = fp.train(resume=tmp_path)
    assert [str(w.message) for w in caught] == [text]
    assert resumed.same_numbers(whole)
    assert names(tmp_path) == ["step-000009.checkpoint", "step-000012.checkpoint"]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "which fpsim did not write"),
        (b"\x80\x04\x95.", "which fpsim did not write"),
        (b"fpsim checkpoint 2\n", "whose format is version 2, not 1"),
        (b"fpsim checkpoint 1\n", "which is damaged: its checksum is another one"),
    ],
)
def test_a_foreign_file_is_refused(tmp_path, content, text):
    path = tmp_path / "step-000001.checkpoint"
    path.write_bytes(content)
    for resume in (path, tmp_path):
        with pytest.raises(CheckpointError) as caught:
            fp.train(resume=resume)
        assert str(caught.value) == f"resume: expected a checkpoint, got {path}, {text}; take another, or start anew."


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    fp.save_checkpoint(tmp_path / "own", 1, losses=[1.0])
    with pytest.raises(CheckpointError, match=r"expected a checkpoint that train wrote, got .*; use fp\.load_ch"):
        fp.train(resume=tmp_path / "own")
    Checkpoints(tmp_path / "list").write(1, [1, 2])
    with pytest.raises(CheckpointError, match="expected a training's checkpoint, got"):
        fp.train(resume=tmp_path / "list")


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    stopped(tmp_path, scenario=SPECIAL)
    with pytest.raises(CheckpointError, match="resume: expected a checkpoint of the same training, got one that does"):
        fp.train(resume=tmp_path, scenario=replace(SPECIAL, network=SCENARIOS["rounding"].network))


def test_nothing_there_is_said(tmp_path):
    for path in (tmp_path, tmp_path / "none", "nul\0"):
        with pytest.raises(CheckpointError, match="resume: expected a folder with checkpoints, got none in"):
            fp.train(resume=path)


# Writing that fails --------------------------------------------------------------------------------------------------


class FullDisk:
    """A file that takes half of what is written."""

    def __init__(self, file):
        self.file = file

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.file.close()

    def write(self, content):
        self.file.write(content[: len(content) // 2])
        self.file.flush()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def failing(stage, monkeypatch):
    def fail(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if stage == "write":
        fdopen = os.fdopen
        monkeypatch.setattr("fpsim.files.os.fdopen", lambda *a: FullDisk(fdopen(*a)))
    else:
        monkeypatch.setattr(stage, fail)


@pytest.mark.parametrize("stage", ["tempfile.mkstemp", "write", "os.fsync", "os.chmod", "os.replace"])
def test_a_write_that_fails_leaves_the_last_good_checkpoint(tmp_path, monkeypatch, stage):
    whole = fp.train("float32", **FAST)
    stopped(tmp_path, recipe="float32")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with monkeypatch.context() as patched:

        def fail(recipe, seed, step, steps):
            if step == 7:  # the first of those to come
                failing(stage, patched)

        with pytest.raises(CheckpointError) as caught:
            fp.train(resume=tmp_path, progress=fail)
    assert str(caught.value) == (
        f"checkpoint: expected a place that can be written, got {tmp_path}/step-000009.checkpoint: No space left on "
        f"device; the last good one is {tmp_path}/step-000006.checkpoint: resume from it."
    )
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert fp.train(resume=tmp_path).same_numbers(whole)


def test_a_place_that_cannot_be_written_is_said_before_the_first_step(tmp_path):
    (tmp_path / "file").write_text("")
    steps = []
    with pytest.raises(CheckpointError) as caught:
        fp.train(**FAST, checkpoint=tmp_path / "file" / "run", progress=lambda *step: steps.append(step))
    assert str(caught.value) == (
        f"checkpoint: expected a place that can be written, got {tmp_path}/file/run/step-000000.checkpoint: Not a "
        "directory; choose another folder."
    )
    assert steps == []


MOUNTED = """
import sys, fpsim as fp
try:
    fp.train("float32", scenario="published", steps=4, batch=4, checkpoint=sys.argv[1], checkpoint_every=1)
except fp.CheckpointError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("options", "text"),
    [("size=8m", "No space left on device; the last good one is"), ("ro", "Read-only file system; choose another")],
)
def test_on_a_small_and_on_a_read_only_disk(tmp_path, options, text):
    """On a real file system, mounted in a name space of its own; the classic network's checkpoints take 7 MB."""
    script = f'mount -t tmpfs -o {options} none "$0" && cd "$0" && "$1" -c "$2" "$0/run" && ls -a "$0" "$0/run"'
    command = ["unshare", "--mount", "sh", "-c", script, str(tmp_path), sys.executable, MOUNTED]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **_path()}, check=False)
    except FileNotFoundError:
        pytest.skip("unshare is Linux's")
    if "permission denied" in done.stderr.lower() or "not permitted" in done.stderr.lower():
        pytest.skip("mounting takes more rights")
    assert text in done.stdout, done.stderr
    assert ".step" not in done.stdout


def _path():
    return {"PYTHONPATH": str(Path(fp.__file__).parents[1])}


def test_what_a_killed_process_left_half_written_is_tidied_up(tmp_path):
    stopped(tmp_path)
    (tmp_path / ".step-000009.checkpoint.x1y2").write_bytes(b"half")
    fp.train(resume=tmp_path)
    assert names(tmp_path) == ["step-000009.checkpoint", "step-000012.checkpoint"]


# Being stopped -------------------------------------------------------------------------------------------------------


def pressing(step, times=1):
    """A progress callback that presses Ctrl-C after a step, so that it is felt in the next one."""

    def progress(recipe, seed, now, steps):
        if now == step:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)

    return progress


def test_ctrl_c_waits_for_the_step_and_says_how_to_go_on(tmp_path):
    whole = fp.train("float16_stochastic", **FAST)
    with pytest.raises(Interrupted) as caught:
        fp.train("float16_stochastic", **FAST, checkpoint=tmp_path, checkpoint_every=100, progress=pressing(4))
    assert str(caught.value) == (
        f"train: interrupted after step 5 of 12; go on with train(resume={str(tmp_path)!r})"
    )  # fmt: skip
    assert names(tmp_path) == ["step-000000.checkpoint", "step-000005.checkpoint"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert fp.train(resume=tmp_path).same_numbers(whole)


def test_a_second_ctrl_c_does_not_wait(tmp_path):
    whole = fp.train("float32", **FAST)
    with pytest.raises(Interrupted, match="after step 3 of 12"):
        fp.train("float32", **FAST, checkpoint=tmp_path, checkpoint_every=3, progress=pressing(5, times=2))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert fp.train(resume=tmp_path).same_numbers(whole)


def test_a_second_ctrl_c_after_resuming_goes_back_to_where_it_resumed(tmp_path):
    stopped(tmp_path)
    with pytest.raises(Interrupted, match="after step 6 of 12"):
        fp.train(resume=tmp_path, progress=pressing(7, times=2))


def test_ctrl_c_in_the_last_step_loses_nothing(tmp_path):
    whole = fp.train("float32", **FAST)
    with pytest.raises(Interrupted, match="after step 12 of 12"):
        fp.train("float32", **FAST, checkpoint=tmp_path, progress=pressing(12))
    assert fp.train(resume=tmp_path).same_numbers(whole)


def test_without_checkpoints_ctrl_c_is_pythons_own():
    with pytest.raises(KeyboardInterrupt) as caught:
        fp.train(**FAST, progress=pressing(4))
    assert not isinstance(caught.value, Interrupted)


def killed(tmp_path, recipe, kills):
    """The results of runs that were killed and resumed; see `killed`."""
    command = [sys.executable, "-m", "tests.experiments.killed", str(tmp_path), recipe, str(kills)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=Path(__file__).parents[2], check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stderr.split()[0]) >= kills
    return [load(line) for line in done.stdout.splitlines()]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks are POSIX's")
@pytest.mark.parametrize(
    ("recipe", "kills"),
    [
        ("float16_stochastic", 5),
        *(pytest.param(r, 50, marks=pytest.mark.exhaustive) for r in ("float32", "mixed_float16", "float16_masters")),
    ],
)  # fmt: skip
def test_a_run_that_is_killed_anywhere_resumes_to_the_same_bits(tmp_path, recipe, kills):
    whole = fp.train(recipe, scenario="rounding", steps=12, batch=4)
    runs = killed(tmp_path, recipe, kills)
    assert runs
    assert all(run.same_numbers(whole) for run in runs)


# Several runs --------------------------------------------------------------------------------------------------------


def test_a_comparison_goes_on_with_the_runs_that_were_begun(tmp_path):
    recipes, settings = ["float16", "float16/float32"], {**FAST, "checkpoint_every": 4}
    whole = fp.compare(recipes, **FAST)
    trained = []

    def progress(recipe, seed, step, steps):
        trained.append((recipe, step))
        if (recipe, step) == ("float16/float32", 6) and len(trained) == 18:
            raise Stop

    with pytest.raises(Stop):
        fp.compare(recipes, **settings, checkpoint=tmp_path, progress=progress)
    assert names(tmp_path) == ["rounding, float16 float32, seed 0", "rounding, float16, seed 0"]
    compared = fp.compare(recipes, **settings, checkpoint=tmp_path, progress=progress)
    assert trained[18:] == [("float16/float32", n) for n in range(5, 13)] + [("float64", n) for n in range(1, 13)]
    for run, other in zip((*compared.runs, *compared.references), (*whole.runs, *whole.references), strict=True):
        assert run.same_numbers(other)
    with pytest.raises(CheckpointError, match=r"expected the lr=0\.001 of the checkpoint, got lr=0\.5"):
        fp.compare(recipes, **settings, lr=0.5, checkpoint=tmp_path)


# A loop of one's own -------------------------------------------------------------------------------------------------


def own_loop(folder, first, last):
    """Adam with masters, a schedule, a moving scale, dropout and stochastic rounding."""
    with fp.seed(1):
        net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3)).half()
    optimizer = fp.optim.AdamW(net.parameters(), lr=0.02, master="float32", update_rounding="stochastic")
    parts = {
        "net": net,
        "optimizer": optimizer,
        "scheduler": fp.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.7),
        "scaler": fp.amp.GradScaler(init_scale=2.0**20, growth_interval=2),
        "batches": fp.data.batches(np.random.default_rng(0).normal(size=(20, 4)), np.arange(20) % 3, size=6, seed=5),
        "rng": np.random.default_rng(7),
    }
    losses = [] if first == 0 else fp.load_checkpoint(folder, **parts)["losses"]
    with fp.autograd.using(rng=parts["rng"]):
        for step, (x, y) in enumerate(parts["batches"].take(last - first), first + 1):
            loss = nn.functional.cross_entropy(net(fp.tensor(x, dtype="float16")).float(), y)
            parts["scaler"].scale(loss).backward()
            parts["scheduler"].step(parts["scaler"].step(optimizer))
            parts["scaler"].update()
            optimizer.zero_grad()
            losses.append(loss.item())
            fp.save_checkpoint(folder, step, losses=losses, **parts)
    return losses, [p.master.numpy().tobytes() for p in net.parameters()]


def test_a_loop_of_ones_own_goes_on_to_the_same_bits(tmp_path):
    whole = own_loop(tmp_path / "whole", 0, 10)
    own_loop(tmp_path / "run", 0, 6)
    assert own_loop(tmp_path / "run", 6, 10) == whole
    assert names(tmp_path / "run") == ["step-000009.checkpoint", "step-000010.checkpoint"]


def test_a_loop_that_begins_anew_in_an_old_folder_is_stopped(tmp_path):
    fp.save_checkpoint(tmp_path, 5)
    fp.save_checkpoint(tmp_path, 5, again=True)  # the same step may be written again
    with pytest.raises(CheckpointError) as caught:
        fp.save_checkpoint(tmp_path, 4)
    assert str(caught.value) == (
        f"save_checkpoint: expected a later step each time, got step 4 in {str(tmp_path)!r}, which holds one of step "
        "5; use another folder."
    )
    (tmp_path / "step-000005.checkpoint").write_bytes(b"")
    fp.save_checkpoint(tmp_path, 4)
    with pytest.warns(CheckpointWarning):
        assert fp.load_checkpoint(tmp_path) == {"step": 4}


def test_loading_names_what_is_missing(tmp_path):
    fp.save_checkpoint(tmp_path, 1, net=nn.Linear(1, 1))
    with pytest.raises(CheckpointError, match="expected a checkpoint of these parts, got one without network; use"):
        fp.load_checkpoint(tmp_path, network=nn.Linear(1, 1))
