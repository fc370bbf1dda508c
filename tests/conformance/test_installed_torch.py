"""fpsim beside the PyTorch that is installed (``pip install "fpsim-lab[oracle]"``), driven by the same random scripts.

Scaler: scale, tracker, skipped steps and refusals are equal. Optimizers, each step from an equal state: within one unit
in the last place of the largest number that met (SGD in float32 and float64: equal) where float32 holds the
hyperparameters and the step is small beside the parameter. What differs, and why:

- PyTorch rounds hyperparameters (0.9, 1 - lr * weight_decay) to float32 for float32 tensors, fpsim does not;
- its lerp, addcmul and addcdiv round every operation in float32 and float64, fpsim once; where Adam's step is as large
  as the parameter, several units of the step's last place show;
- its float16 ``add(x, alpha)`` rounds the fused product and sum to float32 first, fpsim once, to float16: one element
  in some 30,000;
- its vectorised ``add(x, alpha)`` fuses product and sum, but the elements that fill no vector are rounded in between:
  sizes here are whole vectors.
"""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fpsim as fp
from tests.amp.loops import LOOPS
from tests.oracles.torch_optim_cases import LETTERS

torch = pytest.importorskip("torch", reason="compares with an installed PyTorch: pip install 'fpsim-lab[oracle]'")

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")

#: PyTorch's class of CPU scalers, and fpsim's, from the same arguments.
BOTH = (torch, fp)


# Loops and op lists --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOOPS)
def test_the_loops_of_pytorchs_notes_give_the_same_numbers(name):
    assert LOOPS[name](fp) == LOOPS[name](torch)


# The scaler ----------------------------------------------------------------------------------------------------------


class Trainer:
    """One parameter and its optimizer per letter, a scaler over them; all in torch, or all in fpsim."""

    def __init__(self, library, optimizers, **arguments):
        self.library = library
        self.params = [self.tensor([1.0, -2.0, 0.3], requires_grad=True) for _ in range(optimizers)]
        self.optimizers = [library.optim.SGD([p], lr=0.125) for p in self.params]
        self.scaler = library.amp.GradScaler("cpu", **arguments)
        self.steps = [0] * optimizers
        for i, optimizer in enumerate(self.optimizers):
            self.count(i, optimizer)

    def tensor(self, values, **options):
        values = np.asarray(values, np.float32).tolist()
        return self.library.tensor(values, dtype=self.library.float32, **options)

    def count(self, i, optimizer):
        step = optimizer.step

        def counted(*args, **kwargs):
            self.steps[i] += 1
            return step(*args, **kwargs)

        optimizer.step = counted

    def backward(self, letters):
        for p, letter in zip(self.params, letters, strict=False):
            p.grad = None
            self.scaler.scale((p * self.tensor(LETTERS[letter])).sum()).backward()

    def state(self):
        state = self.scaler.state_dict()
        numbers = [np.asarray(p.detach()).tolist() for p in self.params]
        return self.scaler.get_scale(), state.get("_growth_tracker"), tuple(self.steps), repr(numbers)


float32s = st.floats(2.0**-126, 2.0**127, width=32)
scalers = st.fixed_dictionaries(
    {
        "init_scale": st.integers(-126, 127).map(lambda k: 2.0**k) | float32s,
        "growth_factor": st.sampled_from([1.1, 2.0, 4.0]) | st.floats(1.001, 8.0),
        "backoff_factor": st.sampled_from([0.25, 0.5, 0.7]) | st.floats(0.001, 0.999),
        "growth_interval": st.integers(1, 4),
        "enabled": st.booleans() | st.just(True),
    }
)
letters = st.sampled_from(sorted(LETTERS) + ["G"] * 4)
iterations = st.tuples(
    st.lists(letters, min_size=2, max_size=2), st.booleans(), st.none() | st.none() | float32s.map(float)
)


@settings(max_examples=150)
@given(scalers, st.integers(1, 2), st.lists(iterations, max_size=12))
def test_scale_tracker_and_skipped_steps_are_torchs(arguments, optimizers, script):
    theirs, ours = (Trainer(library, optimizers, **arguments) for library in BOTH)
    for gradients, unscale_first, new_scale in script:
        for trainer in (theirs, ours):
            trainer.backward(gradients)
            for optimizer in trainer.optimizers:
                if unscale_first:
                    trainer.scaler.unscale_(optimizer)
                trainer.scaler.step(optimizer)
            trainer.scaler.update(new_scale)
        assert ours.state() == theirs.state()


CALLS = {
    "backward": lambda t: t.backward("GG"),
    "overflow": lambda t: t.backward("IG"),
    "unscale_": lambda t: t.scaler.unscale_(t.optimizers[0]),
    "step": lambda t: t.scaler.step(t.optimizers[0]),
    "step the other": lambda t: t.scaler.step(t.optimizers[1]),
    "update": lambda t: t.scaler.update(),
    "new scale": lambda t: t.scaler.update(128.0),
    "closure": lambda t: t.scaler.step(t.optimizers[0], closure=lambda: None),
    "save and load": lambda t: t.scaler.load_state_dict(t.scaler.state_dict()),
}


@settings(max_examples=200)
@given(st.lists(st.sampled_from(sorted(CALLS)), max_size=12))
def test_calls_in_any_order_are_refused_where_torch_refuses_them(calls):
    trainers = [Trainer(library, 2, init_scale=1024.0, growth_interval=2) for library in BOTH]
    for name in calls:
        refused = []
        for trainer in trainers:
            try:
                CALLS[name](trainer)
            except (RuntimeError, AssertionError) as error:
                refused.append(type(error))
            else:
                refused.append(None)
        if name.startswith("step") and all(p.grad is None for p in trainers[0].params):
            return  # a step without gradients leaves torch's optimizer half unscaled; here it leaves no trace
        assert (refused[0] is None) == (refused[1] is None), (name, refused)
        assert trainers[1].state() == trainers[0].state()


# Optimizers ----------------------------------------------------------------------------------------------------------

SIZE = 64  # whole vectors

FORMATS = {"float16": np.float16, "float32": np.float32, "float64": np.float64}


def makers(fraction, betas, rates):
    """A class of optimizers and its arguments, drawn from strategies of numbers between 0 and 1, and of rates."""
    sgd = st.fixed_dictionaries(
        {"lr": rates},
        optional={"momentum": fraction, "weight_decay": rates, "maximize": st.booleans()},
    ).flatmap(
        lambda given: st.fixed_dictionaries(
            {name: st.just(value) for name, value in given.items()},
            optional={"nesterov": st.just(True)} if given.get("momentum") else {"dampening": st.just(0.0)},
        )
    )
    adam = st.fixed_dictionaries(
        {"lr": rates, "weight_decay": rates | st.just(0.0), "betas": st.tuples(*betas)},
        optional={
            "eps": st.sampled_from([1e-8, 1e-7, 1e-3]), "amsgrad": st.booleans(), "maximize": st.booleans(),
        },
    )  # fmt: skip
    return st.tuples(st.just("SGD"), sgd) | st.tuples(st.sampled_from(["Adam", "AdamW"]), adam)


#: Hyperparameters that float32 holds, as it holds 1 - lr * weight_decay; and any.
sixty_fourths = st.integers(1, 63).map(lambda k: k / 64)
short = makers(sixty_fourths, (sixty_fourths, sixty_fourths), st.integers(1, 15).map(lambda k: k / 2048))
any_numbers = makers(
    st.floats(0.01, 0.999),
    (st.floats(0.5, 0.99), st.floats(0.9, 0.999)),
    st.sampled_from([0.01, 0.1]) | st.floats(1e-4, 0.5),
)


def numbers(rng, fmt, count=SIZE):
    """Of both signs and many sizes; squares and quotients stay within float16."""
    size = rng.uniform(1, 2, count) * 2.0 ** rng.integers(-4, 3, count)
    return (size * rng.choice([-1.0, 1.0], count)).astype(FORMATS[fmt])


def our_state(optimizer, p):
    return {name: t for name, t in optimizer.state.get(p, {}).items() if isinstance(t, fp.Tensor)}


def values_of(optimizer, p):
    """PyTorch's parameter and state, copied."""
    state = {name: t for name, t in optimizer.state[p].items() if t is not None and name != "step"}
    return {name: t.detach().numpy().copy() for name, t in {"parameter": p, **state}.items()}


def distances(maker, fmt, seed, steps):
    """How far each number is off, in units of the last place of the largest number that met in it."""
    name, arguments = maker
    rng = np.random.default_rng(seed)
    start = numbers(rng, fmt)
    theirs, ours = torch.tensor(start, requires_grad=True), fp.tensor(start, dtype=fmt, requires_grad=True)
    optimizer, ours_optimizer = (
        getattr(library.optim, name)([p], **arguments) for library, p in zip(BOTH, (theirs, ours), strict=True)
    )
    for _ in range(steps):
        g = numbers(rng, fmt)
        theirs.grad, ours.grad = torch.tensor(g), fp.tensor(g, dtype=fmt)
        before = values_of(optimizer, theirs)
        optimizer.step()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fp.HyperparameterRoundingWarning)
            ours_optimizer.step()
        after = values_of(optimizer, theirs)
        for what, mine in {"parameter": ours, **our_state(ours_optimizer, ours)}.items():
            old, new = before.get(what, np.zeros_like(g)), after[what]
            usual = np.full_like(g, arguments["lr"])  # the size of Adam's step, unless its moments cancel
            met = [old, new, new - old] + ([usual] if what == "parameter" else [g, before["parameter"]])
            yield what, np.asarray(mine.detach()), new, np.abs(met).max(0)
            mine.replace_values(new.astype(mine._data.dtype))  # the next step starts from an equal state


def check(maker, fmt, seed, steps, ulps):
    for what, actual, expected, met in distances(maker, fmt, seed, steps):
        finite = np.isfinite(expected)
        np.testing.assert_array_equal(np.isfinite(actual), finite, what)
        off = np.abs(actual[finite].astype(np.float64) - expected[finite]) / np.spacing(met[finite])
        allowed = max(ulps[maker[0]], 1 if fmt == "float16" else 0)
        assert off.max(initial=0) <= allowed, (what, off.max())


each_format, seeds, lengths = st.sampled_from(sorted(FORMATS)), st.integers(0, 2**32), st.integers(1, 5)


@settings(max_examples=150)
@given(short, each_format, seeds, lengths)
def test_every_step_from_an_equal_state_is_within_one_ulp_of_torchs(maker, fmt, seed, steps):
    check(maker, fmt, seed, steps, ulps={"SGD": 0, "Adam": 1, "AdamW": 1})


@settings(max_examples=150)
@given(any_numbers, each_format, seeds, lengths)
def test_any_hyperparameters_and_large_steps_keep_it_within_a_few(maker, fmt, seed, steps):
    check(maker, fmt, seed, steps, ulps={"SGD": 2, "Adam": 8, "AdamW": 8})
