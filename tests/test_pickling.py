"""What may travel between processes arrives the same: formats, precisions, tensors, networks with their optimizers."""

import copy
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings

import fpsim as fp
import fpsim.nn as nn
from fpsim import testing as ft
from tests.oracles.bits import assert_same

WAYS = pytest.mark.parametrize(
    "travel", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["copy", "pickle"]
)


@settings(max_examples=50, deadline=None)
@given(ft.precisions())
def test_precisions_arrive_equal(precision):
    hash(precision), precision.gradient  # whatever is remembered meanwhile
    for other in (copy.copy(precision), copy.deepcopy(precision), pickle.loads(pickle.dumps(precision))):
        assert other == precision
        assert hash(other) == hash(precision)
        assert other.gradient == precision.gradient


def test_a_precision_is_found_in_a_dict_of_another_process():
    """Texts hash differently there."""
    precision = fp.Precision("float16/float32", order="kahan")
    hash(precision)
    code = (
        "import pickle, sys, fpsim as fp; p = pickle.load(sys.stdin.buffer);"
        "print({fp.Precision('float16/float32', order='kahan'): 'found'}[p], {p.storage: p.storage.name}[fp.float16])"
    )
    for seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", code],
            input=pickle.dumps(precision),
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=False,
        )
        assert run.stdout.split() == [b"found", b"float16"], run.stderr.decode()


@WAYS
def test_tensors_arrive_with_their_gradients_and_masters(travel):
    w = nn.Parameter([1.0, -0.0, np.inf, np.nan], precision=fp.Precision("float16", grad="float32"))
    w.name = "w"
    fp.optim.SGD([w], master="float32")
    w.grad = fp.tensor([0.1, 1e-7, 1.0, 2.0], precision=w.precision.gradient)
    other = travel(w)
    assert (type(other), other.name, other.precision, other.requires_grad) == (nn.Parameter, "w", w.precision, True)
    for a, b in ((w, other), (w.grad, other.grad), (w.master, other.master)):
        assert_same(b._data, a._data)
        assert b is not a


@WAYS
@pytest.mark.parametrize("recipe", ["O2", "float16", "mixed_bfloat16"])
@pytest.mark.filterwarnings("ignore::fpsim.HyperparameterRoundingWarning")
def test_a_network_with_its_optimizer_scaler_and_schedule_trains_on_to_the_same_bits(travel, recipe):
    with fp.seed(0):
        net = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.ReLU(), nn.Linear(4, 2))
    optimizer = fp.optim.Adam(net.parameters(), lr=1e-2, eps=1e-3)
    net = fp.amp.apply(net, recipe, optimizer)
    schedule = fp.optim.lr_scheduler.StepLR(optimizer, 2)
    scaler = fp.amp.GradScaler(init_scale=64.0, growth_interval=2, enabled=recipe != "float16")

    def train(net, optimizer, schedule, scaler, steps, seed):
        rng = np.random.default_rng(seed)
        for _ in range(steps):
            optimizer.zero_grad()
            scaler.scale((net(fp.tensor(rng.normal(size=(4, 3)))) ** 2).sum()).backward()
            scaler.step(optimizer)
            scaler.update()
            schedule.step()

    train(net, optimizer, schedule, scaler, 3, 1)
    others = travel((net, optimizer, schedule, scaler))
    assert all(p is q for p, q in zip(others[0].parameters(), others[1].param_groups[0]["params"], strict=True))
    train(net, optimizer, schedule, scaler, 3, 2)
    before = [p._data for p in net.parameters()]
    train(*others, 3, 2)
    for p, q, kept in zip(net.parameters(), others[0].parameters(), before, strict=True):
        assert_same(q._data, p._data)
        assert p._data is kept  # the copy shares nothing
    assert others[3].get_scale() == scaler.get_scale()
    assert others[2].get_last_lr() == schedule.get_last_lr()


def test_an_example_of_hypothesiss_is_one_line():
    """Dataclasses are shown field by field there, and a format has all the others in one of its class's."""
    from hypothesis.vendor.pretty import pretty

    for shown in (fp.float16, fp.Format("e5m6"), fp.Precision("float16/float32", order="kahan")):
        assert pretty(shown) == repr(shown)
