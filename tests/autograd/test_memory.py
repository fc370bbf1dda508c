"""Memory: a graph goes with its last user, without the garbage collector, and a long training does not grow."""

import contextlib
import gc
import os
import subprocess
import sys
import weakref

import numpy as np
import pytest

import fpsim as fp
import fpsim.nn as nn
from fpsim.autograd.op import OPS
from tests.ops import checks
from tests.ops.cases import CASES

#: Whose result may be the array that it was given.
VIEWS = ("reshape",)


@contextlib.contextmanager
def without_collector():
    """What is freed inside is freed by its last reference going."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def nodes_of(tensor):
    """All recorded operations behind a tensor."""
    found, waiting = [], [tensor._node]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in found:
            found.append(node)
            waiting += [t._node for t in node.inputs if t is not None]
    return found


def kept_by(tensor):
    """Weak references to the operations behind a tensor, and to the arrays that they made."""
    nodes = nodes_of(tensor)
    return [weakref.ref(node) for node in nodes], [weakref.ref(node.out) for node in nodes]


def alive(references):
    return sum(reference() is not None for reference in references)


def network(precision="float32"):
    """A network that has taken some steps: numba, where it compiles a kernel first, leaves references in cycles."""
    with fp.seed(0):
        net = nn.Sequential(
            nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.5),
            nn.Linear(18, 4), nn.LayerNorm(4), nn.GELU(),
        ).to(precision)  # fmt: skip
    for _ in range(3):
        loss_of(net).backward()
        net.zero_grad()
    return net


def loss_of(net):
    return nn.functional.cross_entropy(net(fp.ones(3, 1, 8, 8)), [0, 1, 2])


@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16/float32"])
def test_backward_frees_the_graph_though_the_loss_is_kept(precision):
    net = network(precision)
    with without_collector():
        loss = loss_of(net)
        nodes, arrays = kept_by(loss)
        assert len(nodes) > 9
        assert alive(arrays) == len(arrays)
        loss.backward()
        assert alive(nodes) == 1  # the loss's own
        assert alive(arrays) <= 1  # the loss itself
        assert np.isfinite(loss.item())


def test_a_graph_that_is_never_walked_goes_with_its_result():
    net = network()
    with without_collector():
        loss = loss_of(net)
        nodes, arrays = kept_by(loss)
        del loss
        assert alive(nodes) == alive(arrays) == 0


def test_a_graph_that_is_retained_goes_with_its_result():
    net = network()
    with without_collector():
        loss = loss_of(net)
        nodes, arrays = kept_by(loss)
        loss.backward(retain_graph=True)
        assert alive(nodes) == len(nodes)
        del loss
        assert alive(nodes) == alive(arrays) == 0


def test_a_gradient_keeps_no_graph():
    w = fp.ones(3, requires_grad=True)
    with without_collector():
        loss = (w * 2).exp().sum()
        nodes, arrays = kept_by(loss)
        loss.backward()
        del loss
        assert alive(nodes) == alive(arrays) == 0
        assert w.grad is not None


@pytest.mark.parametrize("block", [fp.observe, fp.detect_anomaly, lambda: fp.autocast("bfloat16"), fp.no_grad])
def test_what_watches_keeps_no_array(block):
    net = network()
    with without_collector():
        with block() as report:
            loss = loss_of(net)
            reference = weakref.ref(loss._data)
            if loss.requires_grad:
                loss.backward()
            del loss
        assert reference() is None
        del report


def test_a_failed_backward_keeps_no_array():
    w = fp.ones(3, requires_grad=True)
    with without_collector():
        loss = (w * 2).sum()
        nodes, arrays = kept_by(loss)
        with fp.no_grad():
            w += 1.0  # the graph is stale now
        with contextlib.suppress(fp.GradientError):
            loss.backward()
        assert w.grad is None
        del loss
        assert alive(nodes) == alive(arrays) == 0


@pytest.mark.parametrize("name", sorted(OPS))
def test_every_operation_frees_what_it_kept(name):
    """Each in its first case with a gradient, walked and not walked."""
    precision = fp.Precision("float16", "float32", order="sequential")
    for case in CASES[name]:
        arrays = case.draw(np.random.default_rng(0), "float16")
        if checks.differentiable(name, arrays):
            break
    else:
        pytest.skip("it has no gradient")
    for _ in range(3):  # compiles what is to be compiled
        out, _ = checks.run(name, arrays, case.metadata, precision, graph=True)
        out.backward(np.ones(out.shape))
    for walked in (False, True):
        with without_collector():
            out, tensors = checks.run(name, arrays, case.metadata, precision, graph=True)
            node, array = weakref.ref(out._node), weakref.ref(out._data)
            if walked:
                out.backward(np.ones(out.shape))
                assert node().released
            del out
            assert node() is None
            assert array() is None or name in VIEWS
        del tensors


@pytest.mark.parametrize("recipe", ["float32", "float16_stochastic", "mixed_float16", "O1", "O2"])
def test_training_leaves_no_tensor_to_the_collector(recipe):
    settings = {"scenario": "rounding", "steps": 8, "batch": 4}
    fp.train(recipe, **settings)  # modules, caches
    gc.collect()
    with without_collector():
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            fp.train(recipe, **settings)
            gc.collect()
            left = [x for x in gc.garbage if isinstance(x, fp.Tensor | np.ndarray | np.random.Generator)]
            assert left == []
        finally:
            gc.set_debug(0)
            gc.garbage.clear()


GROWTH = """
import fpsim as fp
def resident(recipe, seed, step, steps):
    if step in (WARM, steps):
        with open("/proc/self/statm") as file:
            print(file.read().split()[1])
WARM = 200
fp.train("mixed_float16", scenario="rounding", steps=WARM + 1000, batch=4, progress=resident)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_thousand_steps_do_not_grow_the_process():
    """In a process of its own, by its resident memory after 200 steps and after 1,200."""
    environment = {**os.environ, "FPSIM_NUMBA": "always"}  # else it is loaded when it pays, which would be the growth
    command = [sys.executable, "-c", GROWTH]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    warm, last = map(int, done.stdout.split())
    assert last < 1.01 * warm
