"""Observers only look: the same bits with any of them on, failing or not; and clear errors where one is misused."""

import asyncio
import gc
import threading
import warnings
from contextlib import ExitStack
from contextvars import copy_context

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fpsim as fp
import fpsim.nn as nn
import fpsim.nn.functional as F
from fpsim.autograd.context import Observer, current
from fpsim.errors import ObserverError, ObserverWarning
from fpsim.observe.observation import Observation

EVENTS = ("rounded", "applied", "differentiated", "stored", "updated")


class Failing(Observer):
    """Fails at its `after`-th event of one kind."""

    def __init__(self, event, after=1):
        self.seen, self.after = 0, after
        setattr(self, event, self._fail)

    def rounded(self, event):
        pass

    def _fail(self, event):
        self.seen += 1
        if self.seen >= self.after:
            raise ZeroDivisionError("planted")


OBSERVERS = {
    "observe": lambda: fp.observe(),
    "shadow": lambda: fp.shadow(),
    "detect_anomaly": lambda: fp.detect_anomaly(check_nan=False, check_inf=False),
    **{f"failing in {e}": lambda e=e: Observation("failing", Failing(e, 2)) for e in EVENTS},
}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.norm = nn.BatchNorm2d(2)
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(18, 3)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.norm(self.conv(x))), 2)
        return self.head(self.drop(x.flatten(1)))


def bits_of_training(precision, optimizer, scale, seed, observers=()):
    """Every array of three training steps: losses, gradients, parameters, state, and the next random number."""
    found = []
    with fp.seed(seed), ExitStack() as stack:
        model = Net().to(precision)
        make = getattr(fp.optim, optimizer)
        opt = make(model.parameters(), lr=0.05, master="float32", **({"eps": 1e-4} if optimizer == "Adam" else {}))
        scaler = fp.amp.GradScaler(init_scale=scale)
        reports = [stack.enter_context(OBSERVERS[name]()) for name in observers]
        for step in range(3):
            x = fp.tensor(np.random.default_rng(step).normal(size=(4, 1, 8, 8)), precision=precision)
            loss = F.cross_entropy(model(x), np.array([0, 1, 2, 0]))
            scaler.scale(loss).backward()
            scaler.unscale_(opt)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(opt)
            scaler.update()
            found += [loss._data, *(p.grad._data for p in model.parameters()), *(p._data for p in model.parameters())]
            opt.zero_grad()
        found += [x._data for state in opt.state.values() for x in state.values() if isinstance(x, fp.Tensor)]
        found += [b._data for b in model.buffers() if isinstance(b, fp.Tensor)]
        found.append(np.asarray(current().generator.random()))
        for report in reports:
            if hasattr(report, "table"):
                report.table()
    return [(x.dtype, x.shape, np.ascontiguousarray(x).tobytes()) for x in found]


precisions = st.builds(
    fp.Precision,
    st.sampled_from(["float16", "bfloat16", "float32", "float64", "float8_e5m2"]),
    st.sampled_from(["float16", "float32", "float64"]),
    rounding=st.sampled_from(["nearest_even", "stochastic", "toward_zero"]),
    acc_rounding=st.sampled_from(["nearest_even", "stochastic"]),
)


@given(
    precisions,
    st.sampled_from(["SGD", "Adam"]),
    st.sampled_from([1.0, 2.0**10, 2.0**24]),
    st.integers(0, 100),
    st.lists(st.sampled_from(sorted(OBSERVERS)), min_size=1, max_size=3),
)
@settings(max_examples=40)
def test_an_observer_failing_or_not_never_changes_a_result(precision, optimizer, scale, seed, observers):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of the failing observers, and of scales that overflow
        expected = bits_of_training(precision, optimizer, scale, seed)
        assert bits_of_training(precision, optimizer, scale, seed, observers) == expected


@pytest.mark.parametrize("event", EVENTS)
def test_a_failing_observer_is_left_out_and_says_so(event):
    observer = Failing(event, 2)
    w = fp.tensor([1.0, 2.0], requires_grad=True)

    def train():
        with Observation("failing", observer):
            for _ in range(3):
                (fp.tensor([1.0, 2.0]) * w).sum().backward()
                fp.optim.SGD([w], lr=0.1).step()

    text = rf"Failing.{event} failed \(ZeroDivisionError: planted\); it sees nothing from here on"
    with pytest.warns(ObserverWarning, match=text):
        train()
    assert observer.seen == 2
    assert isinstance(observer.failure, ZeroDivisionError)


def test_what_an_observer_does_not_listen_to_is_not_even_made():
    context = current()
    with fp.detect_anomaly():
        assert current().listening("applied")
        assert not current().listening("rounded")
    assert not context.listening("applied")


def test_what_is_set_inside_the_block_stays_in_force_after_it():
    """Closing takes the observer out and nothing else: a seed set inside must not be undone by it."""

    def run():
        with fp.observe():
            fp.manual_seed(7)
            fp.default_precision("float16")
        assert current().observers == ()
        assert fp.zeros(1).dtype.name == "float16"
        return fp.randn(2).tolist()

    expected = np.random.default_rng(7).normal(size=2).astype(np.float16).tolist()
    assert copy_context().run(run) == expected


def test_blocks_may_close_in_any_order():
    def run():
        outer, inner = fp.shadow(), fp.shadow()
        first, second = outer.__enter__(), inner.__enter__()
        outer.__exit__(None, None, None)
        fp.ones(2) / 3
        inner.__exit__(None, None, None)
        assert first.lines == {}
        assert len(second.lines) == 2
        assert current().observers == ()

    copy_context().run(run)


def test_an_exception_passes_and_the_block_is_closed():
    with pytest.raises(ZeroDivisionError), fp.shadow():
        1 / 0  # noqa: B018
    assert current().observers == ()


@pytest.mark.parametrize("name", ["shadow", "observe", "detect_anomaly"])
def test_a_block_is_used_once(name):
    block = getattr(fp, name)()
    with block:
        with pytest.raises(ObserverError) as caught:
            block.__enter__()
        remedy = f"write `with fp.{name}() as report:` again"
        assert str(caught.value) == f"{name}: expected a new block, got one that is open already; {remedy}."
    with pytest.raises(ObserverError) as caught:
        block.__enter__()
    assert str(caught.value) == f"{name}: expected a new block, got one that was used; {remedy}."
    with pytest.raises(ObserverError) as caught:
        block.__exit__(None, None, None)
    text = f"{name}: expected an open block, got one that is not open; use `with`, which closes it once."
    assert str(caught.value) == text


def test_the_block_is_not_its_report():
    block = fp.shadow()
    with pytest.raises(ObserverError) as caught:
        block.table()
    assert str(caught.value) == (
        "shadow: expected a with block and its report, got its block asked for table; "
        "write `with fp.shadow() as report:`, ask the report."
    )
    with pytest.raises(AttributeError, match="Observation has no attribute 'nothing_like_it'"):
        block.nothing_like_it  # noqa: B018


def test_a_block_left_open_is_reported_when_it_is_forgotten():
    def leave_open():
        block = fp.shadow()
        block.__enter__()
        del block
        gc.collect()

    with pytest.warns(ObserverWarning, match=r"fp.shadow\(\) was left open; use `with`, which closes it."):
        copy_context().run(leave_open)


def in_a_thread(function, *args):
    """Run it in a thread of its own; what it raised, or None."""
    raised = []

    def run():
        try:
            function(*args)
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised[0] if raised else None


def test_an_observer_in_another_thread_is_an_error():
    with fp.shadow() as report:
        fp.ones(2) / 3
        error = in_a_thread(copy_context().run, lambda: fp.ones(2) / 3)
    assert isinstance(error, ObserverError)
    assert str(error) == (
        "ShadowReport: expected the thread it was opened in, got another one; open one in each thread, inside it."
    )
    assert report.total(op="divide").calls == 1


def test_threads_that_share_no_context_do_not_see_each_others_observers():
    with fp.shadow() as report:
        assert in_a_thread(lambda: fp.ones(2) / 3) is None
    assert report.lines == {}


def test_a_block_closed_in_another_thread_is_an_error():
    def run():
        block = fp.shadow()
        block.__enter__()
        error = in_a_thread(block.__exit__, None, None, None)
        block.__exit__(None, None, None)
        return str(error)

    text = "shadow: expected to be closed in its own thread, got another one; open and close it in one thread."
    assert copy_context().run(run) == text


def test_a_block_closed_in_another_task_is_an_error():
    async def run():
        block = fp.shadow()

        async def opening():
            block.__enter__()

        await asyncio.create_task(opening())
        with pytest.raises(ObserverError) as caught:
            block.__exit__(None, None, None)
        block._open = False
        return str(caught.value)

    text = "shadow: expected to be closed where it was opened, got another task; open and close it in one task."
    assert asyncio.run(run()) == text


@pytest.mark.parametrize("modules", ["cnv*", ["cnv*", "fc*"]])
def test_a_pattern_that_matches_no_module(modules):
    with fp.shadow(modules) as report:
        Net()(fp.ones(1, 1, 8, 8))
    for ask in (report.table, report.total, report.to_dict):
        with pytest.raises(ObserverError) as caught:
            ask()
        assert str(caught.value) == (
            f"shadow: expected a pattern that matches a module that ran, got modules={modules!r}; "
            "there were conv, drop, head, norm."
        )


def test_a_report_of_nothing():
    with fp.shadow() as report:
        pass
    with pytest.raises(ObserverError) as caught:
        report.total()
    text = "total: expected a report of something that ran, got none; run the network inside the with block."
    assert str(caught.value) == text
