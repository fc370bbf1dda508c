"""The loss scaler as a machine: any sequence of calls does what ten lines of plain Python say."""

import math

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import fpsim as fp
from fpsim.amp.scale_rule import PRESETS

READY, UNSCALED, STEPPED = "ready", "unscaled", "stepped"
RATE = 0.5

#: The least and the largest scale of each library's scaler; the rest of what tells them apart needs larger numbers.
BOUNDS = {
    "torch": (0.0, math.inf), "apex": (0.0, 2.0**24), "keras": (0.0, math.inf), "tf_keras": (1.0, math.inf),
    "jmp": (1.0, math.inf), "fp16_utils": (1.0, math.inf),
}  # fmt: skip


class ScalerMachine(RuleBasedStateMachine):
    """A scaler with two optimizers of a weight each; numbers are so small that float32 holds them exactly."""

    @initialize(
        power=st.integers(-2, 6) | st.just(23),
        interval=st.integers(1, 3),
        growth=st.sampled_from([2.0, 4.0]),
        kind=st.sampled_from(["static", None, *BOUNDS]),
    )
    def begin(self, power, interval, growth, kind):
        self.static, self.kind = kind == "static", kind
        self.floor, self.ceiling = BOUNDS.get(kind, (0.0, math.inf))
        if self.static:
            self.scaler = fp.amp.StaticScaler(2.0**power)
        elif kind is None:
            self.scaler = fp.amp.GradScaler(init_scale=2.0**power, growth_factor=growth, growth_interval=interval)
        else:
            changes = {"initial": 2.0**power, "growth": growth, "interval": interval}
            self.scaler = fp.amp.GradScaler.preset(kind, **changes)
        self.weights = [fp.tensor([1.0], requires_grad=True) for _ in range(2)]
        self.optimizers = [fp.optim.SGD([w], lr=RATE) for w in self.weights]
        # the model
        self.scale, self.tracker, self.interval, self.growth = 2.0**power, 0, interval, growth
        self.known = False  # a scale() came before
        self.stages, self.gradients, self.values = [READY, READY], [None, None], [1.0, 1.0]
        self.bad = [False, False]

    # What a loop does ------------------------------------------------------------------------------------------------

    @precondition(lambda self: READY in self.stages)
    @rule(gradient=st.integers(-3, 3) | st.just(math.inf), data=st.data())
    def backward(self, gradient, data):
        """Scaled gradients add up until they are unscaled."""
        i = data.draw(st.sampled_from([i for i in range(2) if self.stages[i] == READY]))
        self.scaler.scale((self.weights[i] * fp.tensor([float(gradient)])).sum()).backward()
        self.known = True
        self.gradients[i] = (self.gradients[i] or 0.0) + gradient * self.scale

    @rule(i=st.integers(0, 1))
    def unscale(self, i):
        if not self.known or self.stages[i] != READY:
            self.refused(lambda: self.scaler.unscale_(self.optimizers[i]))
        else:
            self.scaler.unscale_(self.optimizers[i])
            self.model_unscales(i)

    @rule(i=st.integers(0, 1))
    def step(self, i):
        missing = self.stages[i] == READY and self.gradients[i] is None
        if not self.known or missing or self.stages[i] == STEPPED:
            self.refused(lambda: self.scaler.step(self.optimizers[i]))
            return
        report = self.scaler.step(self.optimizers[i])
        if self.stages[i] == READY:
            self.model_unscales(i)
        self.stages[i] = STEPPED
        if not self.bad[i]:
            self.values[i] -= RATE * self.gradients[i]
        assert (report.skipped, report.scale) == (self.bad[i], self.scale)
        assert report.scale_after == self.moved()[0]

    @rule(new=st.none() | st.integers(-2, 6))
    def update(self, new):
        new = None if new is None else 2.0**new
        if not self.known or (new is None and self.stages == [READY, READY]):
            self.refused(lambda: self.scaler.update(new))
            return
        self.scaler.update(new)
        self.scale, self.tracker = self.moved() if new is None else (new, self.tracker)
        self.stages, self.bad, self.gradients = [READY, READY], [False, False], [None, None]
        for optimizer in self.optimizers:
            optimizer.zero_grad()

    @precondition(lambda self: self.stages == [READY, READY])
    @rule()
    def reload(self):
        """Others go on from the states; like PyTorch's a new scaler waits for its first scale()."""
        state = self.scaler.state_dict()
        fresh = {"static": fp.amp.StaticScaler, None: fp.amp.GradScaler}
        self.scaler = fresh.get(self.kind, lambda: fp.amp.GradScaler.preset(self.kind))()
        self.scaler.load_state_dict(state)
        states = [optimizer.state_dict() for optimizer in self.optimizers]
        self.optimizers = [fp.optim.SGD([w], lr=7.0) for w in self.weights]
        for optimizer, saved in zip(self.optimizers, states, strict=True):
            optimizer.load_state_dict(saved)
        self.known = False

    # The model -------------------------------------------------------------------------------------------------------

    def model_unscales(self, i):
        if self.gradients[i] is not None:
            self.gradients[i] /= self.scale
            self.bad[i] = not self.static and not math.isfinite(self.gradients[i])
            self.stages[i] = UNSCALED

    def moved(self):
        """The next scale and tracker, as things stand."""
        if self.static:
            return self.scale, self.tracker
        if any(self.bad):
            return max(self.scale * 0.5, self.floor), 0
        if self.tracker + 1 == self.interval:
            return min(self.scale * self.growth, self.ceiling), 0
        return self.scale, self.tracker + 1

    def refused(self, call):
        with pytest.raises(fp.ScalerError):
            call()

    @invariant()
    def both_agree(self):
        if not hasattr(self, "scaler"):
            return
        assert self.scaler.get_scale() == self.scale
        assert self.scaler.state_dict().get("_growth_tracker", self.tracker) == self.tracker
        for weight, gradient, value in zip(self.weights, self.gradients, self.values, strict=True):
            assert weight.item() == value or math.isnan(value)
            assert (weight.grad is None) == (gradient is None)
            assert gradient is None or np.array_equal(weight.grad.numpy(), [gradient], equal_nan=True)


def test_every_preset_has_its_bounds():
    assert set(BOUNDS) == set(PRESETS)


TestScalerMachine = ScalerMachine.TestCase
TestScalerMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
