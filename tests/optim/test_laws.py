"""Optimizers under the law: any format, rounding and settings, against the algorithms written in fractions.

Tests only. `Rule` has the elementary steps in exact arithmetic; `sgd` and `adam` are the books' formulas over them.
"""

import math
import pickle
from dataclasses import dataclass, replace
from fractions import Fraction
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fpsim as fp
from fpsim import testing as ft
from fpsim.optim.steps import Steps
from fpsim.testing import exact
from tests.oracles.bits import assert_same, same
from tests.oracles.kernels import kernels
from tests.oracles.rational import real, round_exact, stochastic

pytestmark = pytest.mark.filterwarnings(
    "ignore::fpsim.HyperparameterRoundingWarning", "ignore::fpsim.ScalarRoundingWarning"
)

FLOAT32 = exact.grid_of("float32")


# Exact arithmetic with signed zeros, infinities and NaN --------------------------------------------------------------


def special(function, *xs):
    """What floats give where an operand is not a finite number other than zero, or the result is not."""
    with np.errstate(all="ignore"):
        return float(function(*(np.float64(math.copysign(1.0, x) if isinstance(x, Fraction) else x) for x in xs)))


def times(x, y):
    return x * y if isinstance(x, Fraction) and isinstance(y, Fraction) else special(np.multiply, x, y)


def over(x, y):
    return x / y if isinstance(x, Fraction) and isinstance(y, Fraction) else special(np.divide, x, y)


def plus(x, y):
    if isinstance(x, Fraction) and isinstance(y, Fraction):
        return x + y or 0.0
    for one, other in ((x, y), (y, x)):
        if isinstance(one, Fraction) and other == 0:
            return one
    return special(np.add, x, y)


@dataclass(frozen=True)
class Rule:
    """The steps whose results are stored in one precision; `in_float32`: computed there, with float32's factors."""

    precision: fp.Precision
    in_float32: bool

    def stored(self, value):
        p = self.precision
        fmt = exact.grid_of(p.storage)
        return real(round_exact(value, fmt, p.rounding, p.saturate, p.flush_subnormals))

    def work(self, value):
        return real(round_exact(value, FLOAT32)) if self.in_float32 else value

    def number(self, value):
        return self.work(real(value))

    def alpha(self, value):
        return real(round_exact(real(value), exact.grid_of(self.precision.storage)))

    def mul(self, x, n):
        return self.stored(self.work(times(x, self.number(n))))

    def div(self, x, n):
        return self.stored(self.work(over(x, self.number(n))))

    def sqrt(self, x):
        return self.stored(real(exact.sqrt(x, self.precision.storage)))

    def add(self, x, y, alpha=1.0):
        return self.stored(self.sum_of(x, y, alpha))

    def sum_of(self, x, y, alpha):
        """Not rounded yet: what stochastic rounding chooses around."""
        return plus(x, times(self.alpha(alpha), y))

    def lerp(self, x, end, weight):
        if weight >= 0.5:
            x, end, weight = end, x, self.work(1 - self.number(weight)) or 0.0
        else:
            weight = self.number(weight)
        moved = self.work(plus(end, times(-1 * Fraction(1), x)))
        return self.stored(self.work(plus(x, times(weight, moved))))

    def addcmul(self, x, a, b, value):
        return self.stored(self.work(plus(x, times(self.work(times(self.number(value), a)), b))))

    def addcdiv(self, x, a, b, value):
        return self.stored(self.moved(x, a, b, value))

    def moved(self, x, a, b, value):
        return self.work(plus(x, self.work(over(self.work(times(self.number(value), a)), b))))


@dataclass(frozen=True)
class Rules:
    """Of a changed gradient, of the state, of the parameter."""

    gradient: Rule
    state: Rule
    parameter: Rule


def is_small(fmt):
    """float16, bfloat16, and what is narrower: PyTorch computes these in float32."""
    return fmt == fp.bfloat16 or (fmt.p <= 11 and fmt.emin - fmt.significand_bits >= -74 and fmt.emax <= 64)


def rules(owner, gradient, state, rounding):
    changed = fp.precision.promote([fp.Precision(owner.storage), fp.Precision(gradient)])
    parameter = replace(owner, rounding=rounding)
    meet = (owner.storage, gradient, state)

    def rule(precision):
        small = precision.rounding == "nearest_even" and all(map(is_small, (precision.storage, *meet)))
        return Rule(precision, small)

    return Rules(rule(changed), rule(fp.Precision(state)), rule(parameter))


# The algorithms ------------------------------------------------------------------------------------------------------


def sgd(p, g, state, to, *, lr, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False, maximize=False):
    """The parameter's new value before and after its last rounding."""
    g = times(Fraction(-1), g) if maximize else g
    if weight_decay:
        g = to.gradient.add(g, p, weight_decay)
    if momentum:
        v = state.get("v")
        v = to.state.stored(g) if v is None else to.state.add(to.state.mul(v, momentum), g, 1 - dampening)
        state["v"] = v
        g = to.gradient.add(g, v, momentum) if nesterov else v
    return to.parameter.sum_of(p, g, -lr)


def adam(p, g, state, to, *, lr, betas, eps, weight_decay=0.0, amsgrad=False, maximize=False, decoupled=False):
    g = times(Fraction(-1), g) if maximize else g
    if weight_decay and decoupled:
        p = to.parameter.mul(p, 1 - lr * weight_decay)
    elif weight_decay:
        g = to.gradient.add(g, p, weight_decay)
    t = state["t"] = state.get("t", 0) + 1
    state["m"] = m = to.state.lerp(state.get("m", 0.0), g, 1 - betas[0])
    v = to.state.addcmul(to.state.mul(state.get("v", 0.0), betas[1]), g, g, 1 - betas[1])
    state["v"] = v
    if amsgrad:
        top = state.get("top", 0.0)
        state["top"] = v = math.nan if v != v or top != top else max(top, v)
    root = to.state.div(to.state.sqrt(v), math.sqrt(1 - betas[1] ** t))
    return to.parameter.moved(p, m, to.state.add(root, Fraction(1), eps), -lr / (1 - betas[0] ** t))


def adamw(*args, **options):
    return adam(*args, decoupled=True, **options)


@st.composite
def optimizers(draw):
    """Name, settings."""
    rate = st.sampled_from([0.0, 1e-3, 0.01, 0.1, 0.25, 0.3, 1.0, 3.0])
    decay = st.sampled_from([0.0, 0.0, 0.01, 0.1, 0.5])
    name = draw(st.sampled_from(["SGD", "Adam", "AdamW"]))
    made = {"lr": draw(rate), "weight_decay": draw(decay), "maximize": draw(st.booleans())}
    if name == "SGD":
        momentum = draw(st.sampled_from([0.0, 0.5, 0.9, 0.99]))
        dampening = draw(st.sampled_from([0.0, 0.0, 0.1, 0.5]))
        nesterov = bool(momentum) and not dampening and draw(st.booleans())
        return name, {**made, "momentum": momentum, "dampening": dampening, "nesterov": nesterov}
    betas = draw(st.sampled_from([(0.9, 0.999), (0.5, 0.75), (0.0, 0.0), (0.3, 0.9), (0.95, 0.99)]))
    eps = draw(st.sampled_from([1e-8, 1e-3, 0.125, 1.0]))
    return name, {**made, "betas": betas, "eps": eps, "amsgrad": draw(st.booleans())}


RULES = {"SGD": sgd, "Adam": adam, "AdamW": adamw}
STEPS, SIZE = 2, 3


@st.composite
def runs(draw, rounding=None):
    """Everything about a few steps of one parameter."""
    stored = draw(ft.formats())
    mode = draw(ft.roundings() if rounding is None else st.just(rounding))
    precision = fp.Precision(stored, rounding=mode, saturate=draw(st.booleans()), flush_subnormals=draw(st.booleans()))
    gradient = draw(st.just(stored) | ft.formats(named=True))
    state = draw(st.none() | ft.formats(named=True))
    master = draw(st.none() | st.sampled_from(["float32", "bfloat16", "float64"]))
    start = fp.tensor(draw(ft.arrays(stored, SIZE)), precision=precision)._data.astype(float)
    gradients = [draw(ft.arrays(gradient, SIZE)) for _ in range(STEPS)]
    return precision, gradient, state, master, draw(optimizers()), start, gradients


def made(name, options, parameters, **more):
    return getattr(fp.optim, name)(parameters, **options, **more)


def give(p, g, fmt):
    p.grad = fp.tensor(g, precision=fp.Precision(fmt))


def as_law_says(run, update_rounding=None):
    """The parameter, and its master, after each step."""
    precision, gradient, state, master, (name, options), start, gradients = run
    owner = precision if master is None else fp.Precision(master)
    to = rules(owner, gradient, fp.Format(state or owner.storage), update_rounding or owner.rounding)
    values = [real(x) for x in start.tolist()]
    if master is not None:
        values = [real(round_exact(x, exact.grid_of(master))) for x in values]
    states = [{} for _ in values]
    for g in gradients:
        moved = [RULES[name](p, real(x), s, to, **options) for p, x, s in zip(values, g.tolist(), states, strict=True)]
        values = [to.parameter.stored(value) for value in moved]
        yield np.array(values, float)


def check_run(run, law=None):
    precision, gradient, state, master, (name, options), start, gradients = run
    p = fp.nn.Parameter(start, precision=precision)
    optimizer = made(name, options, [p], state=state, master=master)
    law = as_law_says(run) if law is None else law
    for g in gradients:
        give(p, g, gradient)
        try:
            expected = next(law)
        except fp.FormatError:  # a NaN where the format has none
            with pytest.raises(fp.FormatError):
                optimizer.step()
            return
        optimizer.step()
        owner = p if p.master is None else p.master
        if precision.rounding == "down":  # zeros of exact cancellation have the mode's sign, or the sum's
            assert_same(owner._data + 0.0, expected + 0.0)
        else:
            assert_same(owner._data, expected)
        if p.master is not None:
            how = (precision.rounding, precision.saturate, precision.flush_subnormals)
            assert_same(p._data, [round_exact(real(x), exact.grid_of(p.dtype), *how) for x in expected.tolist()])


@settings(max_examples=100, deadline=None)
@given(runs())
def test_every_step_is_the_algorithm_rounded_where_the_law_says(run):
    with kernels("numpy"):
        check_run(run)


@settings(max_examples=40, deadline=None)
@given(runs("nearest_even"))
def test_the_compiled_steps_are_the_same(run):
    pytest.importorskip("numba")
    with kernels("compiled"):
        check_run(run)


@pytest.mark.parametrize("fmt", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_the_formats_of_training_keep_the_law_on_many_numbers(name, fmt):
    """Ties and cancellations, through NumPy and through the kernels that a network's weights go through."""
    rng, size = np.random.default_rng(3), 80
    momentum = {"momentum": 0.9} if name == "SGD" else {"betas": (0.9, 0.99), "eps": 1e-3, "amsgrad": True}
    options = {"lr": 0.01, "weight_decay": 0.1, **momentum}

    def draw():
        few = rng.integers(1, 64, size) * 2.0 ** rng.integers(-8, 2, size)
        x = np.where(rng.random(size) < 0.5, few, rng.normal(size=size)) * rng.choice([-1, 1], size)
        return np.asarray(fp.round(x, fmt), float)

    run = (fp.Precision(fmt), fp.Format(fmt), None, None, (name, options), draw(), [draw(), draw()])
    expected = list(as_law_says(run))
    for which in ("numpy", "compiled") if find_spec("numba") else ("numpy",):
        with kernels(which):
            check_run(run, iter(expected))


# Chance --------------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(runs("stochastic"), st.integers(0, 2**32))
def test_stochastic_updates_stay_on_the_neighbours_of_the_exact_value(run, seed):
    precision, gradient, state, _, (name, options), start, gradients = run
    if name == "AdamW":
        options = {**options, "weight_decay": 0.0}  # (else two roundings)
    p = fp.nn.Parameter(start, precision=replace(precision, rounding="nearest_even", saturate=False))
    start = p._data.astype(float)
    optimizer = made(name, options, [p], state=state, update_rounding="stochastic", rng=np.random.default_rng(seed))
    owner = replace(p.precision, rounding="stochastic", flush_subnormals=False)
    to = rules(owner, gradient, fp.Format(state or p.dtype), "stochastic")
    give(p, gradients[0], gradient)
    try:
        moved = [
            RULES[name](real(x), real(g), {}, to, **options) for x, g in zip(start, gradients[0].tolist(), strict=True)
        ]
        optimizer.step()
    except fp.FormatError:
        return
    for value, got in zip(moved, p._data.astype(float), strict=True):
        if isinstance(value, Fraction):
            low, high, _ = stochastic(value, exact.grid_of(p.dtype))
            assert (same(got, low) | same(got, high)).all() or (precision.flush_subnormals and got == 0), (value, got)


@pytest.mark.parametrize("fmt", ["float16", "bfloat16", "float8_e4m3fn", "e5m6", "float32"])
@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_stochastic_updates_are_unbiased(name, fmt):
    options = {"lr": 0.01, "weight_decay": 0.0} | ({} if name == "SGD" else {"betas": (0.5, 0.75), "eps": 0.125})
    n, start, g = 20_000, 1.25, float(fp.round(0.3, fmt))
    p = fp.nn.Parameter(np.full(n, start), precision=fmt)
    optimizer = made(name, options, [p], update_rounding="stochastic", rng=np.random.default_rng(8))
    give(p, np.full(n, g), fmt)
    optimizer.step()
    to = rules(replace(p.precision, rounding="stochastic"), p.dtype, p.dtype, "stochastic")
    value = RULES[name](real(start), real(g), {}, to, **options)
    toward, away, share = stochastic(value, exact.grid_of(fmt))
    assert set(np.unique(p._data).tolist()) <= {toward, away}
    assert abs(np.mean(p._data == away) - float(share)) < 4.5 * math.sqrt(float(share * (1 - share)) / n) + 1e-9


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_every_parameter_and_every_step_has_its_own_chance(name):
    options = {"lr": 1.0} if name == "SGD" else {"lr": 2.0**-3, "betas": (0.5, 0.75), "eps": 0.125}
    pair = [fp.nn.Parameter(np.ones(200), precision="float16") for _ in range(2)]
    optimizer = made(name, options, pair, update_rounding="stochastic", rng=np.random.default_rng(0))
    moved = []
    for _ in range(2):
        for p in pair:
            p.data = np.ones(200)
            give(p, np.full(200, 2.0**-12), "float16")
        optimizer.step()
        moved += [p._data != 1 for p in pair]
    assert all(20 < (a != b).sum() < 180 for i, a in enumerate(moved) for b in moved[:i])


@pytest.mark.parametrize("which", ["numpy", "compiled"])
@pytest.mark.parametrize("factor", [1, -1])
def test_a_tie_that_only_the_last_bit_of_the_product_breaks(which, factor):
    """``x + alpha y`` is 2**-70 nearer to x than the middle of two float32 numbers, which is what float64 gives."""
    if which == "compiled":
        pytest.importorskip("numba")
    x, y, alpha = np.float32([1 + 2.0**-23]), np.float32([1 - 2.0**-23]), factor * 2.0**-24 * (1 + 2.0**-23)
    with kernels(which):
        assert Steps(fp.Precision("float32"), (fp.float32,)).add(x, y, alpha).tolist() == x.tolist()


def test_a_weight_of_one_gives_the_end_itself():
    """In float32, where ``x + (end - x)`` would lose it beside a large x."""
    x, end = np.float32([2.0**60]), np.float32([1.5])
    assert Steps(fp.Precision("bfloat16"), (fp.bfloat16,)).lerp(x, end, 1.0).tolist() == [1.5]


# What all optimizers share -------------------------------------------------------------------------------------------


def after(name, options, starts, gradients, precision, fmt, **more):
    """Parameters after these steps; `gradients` has a list a step."""
    parameters = [fp.nn.Parameter(x, precision=precision) for x in starts]
    optimizer = made(name, options, parameters, **more)
    for gs in gradients:
        for p, g in zip(parameters, gs, strict=True):
            give(p, g, fmt)
        optimizer.step()
    return parameters, optimizer


@st.composite
def several(draw):
    """Like `runs`, for three parameters, in formats with NaN."""
    stored = draw(ft.formats().filter(lambda f: f.has_nan))
    arrays = st.lists(ft.arrays(stored, 2), min_size=3, max_size=3)
    return stored, draw(optimizers()), draw(arrays), [draw(arrays) for _ in range(3)]


@settings(max_examples=20, deadline=None)
@given(several(), st.sampled_from(["float32", "bfloat16", "e8m16", "float64"]))
def test_masters_are_an_optimizer_of_their_own_format_whose_parameters_are_rounded_copies(drawn, master):
    fmt, (name, options), starts, gradients = drawn
    half, _ = after(name, options, starts, gradients, fp.Precision(fmt), fmt, master=master)
    on_the_grid = [fp.round(x, master) for x in starts]
    plain, _ = after(name, options, on_the_grid, gradients, fp.Precision(master), fmt)
    for p, q in zip(half, plain, strict=True):
        assert_same(p.master._data, q._data)
        assert_same(p._data, fp.round(q._data, fmt))


@settings(max_examples=20, deadline=None)
@given(several(), st.permutations(range(3)), st.booleans(), st.none() | st.just("float32"))
def test_neither_the_order_of_parameters_nor_their_groups_matter(drawn, order, grouped, master):
    fmt, (name, options), starts, gradients = drawn
    one, _ = after(name, options, starts, gradients, fp.Precision(fmt), fmt, master=master)
    parameters = [fp.nn.Parameter(x, precision=fmt) for x in starts]
    turned = [parameters[i] for i in order]
    groups = [{"params": turned[:1], **options}, {"params": turned[1:], **options}]
    optimizer = made(name, {} if grouped else options, groups if grouped else turned, master=master)
    for gs in gradients:
        for p, g in zip(parameters, gs, strict=True):
            give(p, g, fmt)
        optimizer.step()
    for p, q in zip(one, parameters, strict=True):
        assert_same(q._data, p._data)


@settings(max_examples=20, deadline=None)
@given(several(), st.integers(0, 3), st.booleans(), st.sampled_from([None, "stochastic"]), st.booleans())
def test_a_run_goes_on_from_a_state_dict_at_any_step(drawn, at, mastered, chance, pickled):
    fmt, (name, options), starts, gradients = drawn
    more = {"master": "float32" if mastered else None, "update_rounding": chance}
    with fp.seed(4):
        whole, _ = after(name, options, starts, gradients, fp.Precision(fmt), fmt, **more)
    with fp.seed(4):
        begun, optimizer = after(name, options, starts, gradients[:at], fp.Precision(fmt), fmt, **more)
        state = optimizer.state_dict()
        state = pickle.loads(pickle.dumps(state)) if pickled else state
        again = [fp.nn.Parameter(p._data, precision=fmt) for p in begun]
        resumed = made(name, {"lr": 7.0}, again, **more)  # settings are in the state
        resumed.load_state_dict(state)
        for gs in gradients[at:]:
            for p, g in zip(again, gs, strict=True):
                give(p, g, fmt)
            resumed.step()
    for p, q in zip(whole, again, strict=True):
        assert_same(q._data, p._data)


# Clipping ------------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(ft.formats().filter(lambda f: f.has_nan), st.data(), st.sampled_from([0.0, 0.1, 0.5, 1.0, 3.0, 1e4, math.inf]))
def test_clipping_by_norm_rounds_where_the_law_says(fmt, data, limit):
    """The elements are small whole numbers times one power of two: float64 has their squares' sum exactly."""
    grid = exact.grid_of(fmt)
    scale = data.draw(st.integers(max(grid.emin, -200), 0))
    few = st.integers(-(2 ** min(grid.p, 8)), 2 ** min(grid.p, 8))
    whole = data.draw(st.lists(few, min_size=1, max_size=4))
    g = np.array([float(fp.round(math.ldexp(n, scale), fmt, saturate=True)) for n in whole])
    p = fp.zeros(g.size, dtype=fmt)
    give(p, g, fmt)
    rule = Rule(fp.Precision(fmt), False)
    norm = rule.stored(real(float(np.sqrt(np.sum(g * g)))))
    factor = rule.stored(times(rule.stored(over(Fraction(1), rule.add(norm, Fraction(1), 1e-6))), real(limit)))
    factor = factor if factor != factor else min(factor, 1)
    assert_same(fp.nn.utils.clip_grad_norm_([p], limit)._data, float(norm))
    expected = [float(rule.stored(times(real(x), real(float(factor))))) for x in g.tolist()]
    assert_same(p.grad._data, expected, g)


@settings(max_examples=30, deadline=None)
@given(ft.formats(), st.data(), st.sampled_from([0.0, 0.1, 0.5, 1.0, 3.0, 1e4, math.inf]))
def test_clipping_by_value_is_exact_but_for_the_bound(fmt, data, limit):
    g = data.draw(ft.arrays(fmt, 4))
    p = fp.zeros(4, dtype=fmt)
    give(p, g, fmt)
    bound = round_exact(real(limit), exact.grid_of(fmt)) if fmt.has_inf or limit < math.inf else None
    if bound is None or bound != bound:
        return
    fp.nn.utils.clip_grad_value_([p], limit)
    np.testing.assert_array_equal(p.grad._data, np.minimum(np.maximum(g, -bound), bound))


# Schedules -----------------------------------------------------------------------------------------------------------

SCHEDULES = {
    "ConstantLR": {"total_iters": 2},
    "CosineAnnealingLR": {"T_max": 5},
    "ExponentialLR": {"gamma": 0.5},
    "LambdaLR": {"lr_lambda": lambda epoch: 1 / (1 + epoch)},
    "MultiStepLR": {"milestones": [1, 3]},
    "OneCycleLR": {"max_lr": 1.0, "total_steps": 9},
    "StepLR": {"step_size": 2},
}


def test_every_schedule_has_its_case():
    assert set(SCHEDULES) == set(fp.optim.lr_scheduler.__all__) - {"LRScheduler"}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_and_its_optimizer_go_on_from_their_states(name):
    def make():
        optimizer = fp.optim.SGD([fp.ones(1, requires_grad=True)], lr=0.5, momentum=0.9)
        return optimizer, getattr(fp.optim.lr_scheduler, name)(optimizer, **SCHEDULES[name])

    def rates(optimizer, schedule, steps):
        seen = []
        for _ in range(steps):
            seen.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
            schedule.step()
        return seen

    whole = rates(*make(), 7)
    for at in range(7):
        begun, resumed = make(), make()
        rates(*begun, at)
        for old, new in zip(begun, resumed, strict=True):
            new.load_state_dict(pickle.loads(pickle.dumps(old.state_dict())))
        assert rates(*resumed, 7 - at) == whole[at:]
