"""Threads and contexts: what is in force in one thread is nobody else's, and a block that fails puts back what was."""

import asyncio
import importlib.util
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest

import fpsim as fp
from fpsim.autograd.context import current, using
from fpsim.experiments import SCENARIOS
from tests.oracles.kernels import kernels

KERNELS = pytest.mark.parametrize(
    "which",
    [
        "numpy",
        pytest.param(
            "compiled", marks=pytest.mark.skipif(not importlib.util.find_spec("numba"), reason="numba is not installed")
        ),
    ],
)


def together(*works):
    """Results of functions, each in a thread of its own, all at once, changing places as often as Python allows."""
    results, failures, start = [None] * len(works), [], threading.Barrier(len(works))

    def run(number, work):
        try:
            start.wait()
            results[number] = work()
        except BaseException as error:
            failures.append(error)
            start.abort()

    threads = [threading.Thread(target=run, args=each) for each in enumerate(works)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    if failures:
        raise failures[0]
    return results


class Convolution(fp.nn.Module):
    """Whose columns lie in memory that each thread keeps."""

    def __init__(self):
        super().__init__()
        self.conv, self.drop, self.fc = fp.nn.Conv2d(1, 4, 3), fp.nn.Dropout(0.5), fp.nn.Linear(144, 10)

    def forward(self, x):
        return self.fc(self.drop(fp.nn.functional.relu(self.conv(x)).flatten(1)))


CONVOLUTION = replace(SCENARIOS["rounding"], network=Convolution)


def trained(recipe, seed, order=None, **settings):
    settings = {"scenario": "rounding", "steps": 6, "batch": 8, **settings}

    def work():
        with fp.observe() as report:
            run = fp.train(recipe, seed=seed, order=order, **settings)
        return run, report.to_dict()

    return work


@KERNELS
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (trained("float16_stochastic", 1), trained("float16_stochastic", 2)),
        (trained("float16_stochastic", 1), trained("float16_stochastic", 1)),
        (trained("mixed_float16", 3), trained("float32", 4, "sequential")),
        (trained("O1", 5), trained("float8_e4m3fn/float32", 6)),
        (trained("float16", 7, "pairwise"), trained("bfloat16_masters", 8, "blocked:8")),
        (trained("float16", 9, scenario=CONVOLUTION), trained("float32", 10, "sequential", scenario=CONVOLUTION)),
    ],
    ids=["stochastic", "twins", "mixed", "autocast", "orders", "convolution"],
)
def test_training_in_two_threads_gives_each_the_bits_it_has_alone(which, one, other):
    with kernels(which, threads=2):
        alone = [one(), other()]
        for (run, report), (run_alone, report_alone) in zip(together(one, other), alone, strict=True):
            assert run.same_numbers(run_alone)
            assert report == report_alone


def in_own_context(precision, seed, grad, steps=200):
    """What a thread sees of a context that it sets, while others set theirs."""

    def work():
        found = set()
        with fp.default_precision(precision), fp.seed(seed), using(grad_enabled=grad):
            first = [fp.zeros(1).precision, fp.uniform(1).item(), (fp.ones(1, requires_grad=True) * 2).requires_grad]
            for _ in range(steps):
                found.add((str(fp.zeros(1).precision), (fp.ones(1, requires_grad=True) * 2).requires_grad))
            return first, found

    return work


def test_precision_seed_and_gradients_are_each_threads_own():
    arguments = [("float16", 1, True), ("bfloat16/float32", 2, False), ("float64", 3, True)]
    found = together(*(in_own_context(*a) for a in arguments))
    for (precision, seed, grad), ((of, drawn, recorded), seen) in zip(arguments, found, strict=True):
        with fp.seed(seed):
            assert drawn == fp.uniform(1, dtype=precision.split("/")[0]).item()
        assert (of, recorded, seen) == (fp.Precision(precision), grad, {(precision, grad)})


@pytest.mark.parametrize(
    "block", [fp.no_grad(), fp.enable_grad(), fp.autocast("float16")], ids=["no", "yes", "autocast"]
)
def test_one_block_may_be_entered_in_many_threads_and_within_itself(block):
    """As a decorator's is, when the function that it decorates runs in several threads."""
    x = fp.ones(2, 2, requires_grad=True)

    @block
    def decorated():
        return x @ x

    def work():
        found = set()
        for _ in range(100):
            with block, block:
                inside = x @ x
            outside, called = x @ x, decorated()
            found.add((inside.requires_grad, str(inside.precision), outside.requires_grad, str(outside.precision)))
            found.add((called.requires_grad, str(called.precision), outside.requires_grad, str(outside.precision)))
        assert current().autocast is None
        return found

    alone = work()
    assert len(alone) == 1
    assert together(work, work, work) == [alone] * 3


def test_one_block_may_be_entered_in_many_tasks():
    block, x = fp.autocast("float16"), fp.ones(2, 2)

    async def task(waits):
        found = []
        with block:
            for _ in range(waits):
                await asyncio.sleep(0)
                found.append((x @ x).dtype.name)
        await asyncio.sleep(0)
        return [*found, (x @ x).dtype.name]

    async def both():
        return await asyncio.gather(task(1), task(3))

    assert asyncio.run(both()) == [["float16", "float32"], ["float16"] * 3 + ["float32"]]


# Blocks that fail ----------------------------------------------------------------------------------------------------

BLOCKS = {
    "default_precision": lambda: fp.default_precision("float16/float32"),
    "seed": lambda: fp.seed(3),
    "no_grad": fp.no_grad,
    "enable_grad": fp.enable_grad,
    "autocast": lambda: fp.autocast("float16"),
    "observe": fp.observe,
    "shadow": fp.shadow,
    "detect_anomaly": fp.detect_anomaly,
    "using": lambda: using(module="here", rounding_rng=np.random.default_rng(0)),
}


def failing_in(name, error, inside):
    with BLOCKS[name]():
        inside(current())
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_that_fails_puts_back_what_was(name, error):
    seen, before = [], current()
    with pytest.raises(error):
        failing_in(name, error, seen.append)
    assert current() == before
    assert (seen == [before]) == (name == "enable_grad")


def test_blocks_that_fail_inside_one_another_put_back_each_its_own():
    before = current()

    def nested(of_outer):
        for name in BLOCKS:
            with pytest.raises(KeyError):
                failing_in(name, KeyError, lambda inside: None)
            assert current() == of_outer

    for name in BLOCKS:
        with pytest.raises(ZeroDivisionError):
            failing_in(name, ZeroDivisionError, nested)
        assert current() == before


def test_an_operation_that_fails_leaves_the_context_as_it_was():
    net = fp.nn.Sequential(fp.nn.Linear(2, 2), fp.nn.Linear(3, 1))
    before = current()
    with pytest.raises(fp.ShapeError):
        net(fp.ones(1, 2))
    assert current() == before
    with fp.autocast("float16"), fp.detect_anomaly():
        inside = current()
        with pytest.raises(fp.AnomalyError):
            fp.tensor([0.0], requires_grad=True) / 0
        assert current() == inside


def test_a_training_that_fails_leaves_the_context_as_it_was():
    def fail(*step):
        raise ZeroDivisionError

    before = current()
    with pytest.raises(ZeroDivisionError):
        fp.train("float16_stochastic", scenario="rounding", steps=3, batch=4, progress=fail)
    assert current() == before
