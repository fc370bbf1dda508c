"""What all optimizers share: masters, the state's format, stochastic updates, observers, groups, saving, misuse."""

import numpy as np
import pytest

import fpsim as fp
from fpsim.autograd.context import Observer


def parameter(values, dtype="float16"):
    p = fp.nn.Parameter(values, precision=dtype)
    p.name = "w"
    return p


def give(p, gradient):
    p.grad = fp.tensor(gradient, precision=p.precision.gradient)


def each_optimizer(**options):
    makers = (
        lambda ps, **o: fp.optim.SGD(ps, lr=1e-3, momentum=0.9, **o),
        lambda ps, **o: fp.optim.Adam(ps, lr=1e-4, **o),
        lambda ps, **o: fp.optim.AdamW(ps, lr=1e-4, **o),
    )
    return pytest.mark.parametrize("make", makers, ids=["SGD", "Adam", "AdamW"])


# Masters -------------------------------------------------------------------------------------------------------------


@each_optimizer()
@pytest.mark.filterwarnings("ignore::fpsim.HyperparameterRoundingWarning")
def test_with_masters_small_updates_add_up(make):
    plain, mastered = parameter(np.ones(4)), parameter(np.ones(4))
    optimizers = make([plain]), make([mastered], master="float32")
    for _ in range(20):
        for p, optimizer in zip((plain, mastered), optimizers, strict=True):
            give(p, np.full(4, 2.0**-6))
            optimizer.step()
    assert mastered.master.dtype.name == "float32"
    assert (mastered.master._data < 1).all()
    np.testing.assert_array_equal(mastered._data, fp.round(mastered.master._data, "float16"))


@each_optimizer()
def test_a_master_run_is_the_float32_run_on_the_same_gradients(make):
    rng = np.random.default_rng(0)
    start, gradients = fp.round(rng.normal(size=(3, 5)), "float16"), fp.round(rng.normal(size=(6, 3, 5)), "float16")
    half, single = parameter(start), parameter(start, "float32")
    with_master, plain = make([half], master="float32"), make([single])
    for g in gradients:
        give(half, g)
        give(single, g)
        with_master.step()
        plain.step()
    np.testing.assert_array_equal(half.master._data, single._data)
    np.testing.assert_array_equal(half._data, fp.round(single._data, "float16"))
    state = {name: t for name, t in with_master.state[half].items() if isinstance(t, fp.Tensor)}
    assert {t.dtype.name for t in state.values()} == {"float32"}


def test_a_masters_own_gradient_is_used_before_the_parameters():
    p = parameter([1.0])
    optimizer = fp.optim.SGD([p], lr=1.0, master="float32")
    give(p, [1024.0])
    p.master.grad = fp.tensor([0.25])
    optimizer.step()
    assert p.item() == 0.75
    optimizer.zero_grad()
    assert p.grad is None
    assert p.master.grad is None


def test_masters_are_made_from_the_value_before_the_cast():
    p = fp.nn.Parameter([1 + 2.0**-20], precision="float32")
    optimizer = fp.optim.SGD([p], lr=1.0)
    optimizer.use_masters("float32")
    p.cast_(fp.Precision("float16"))
    assert (p.item(), p.master.item()) == (1.0, 1 + 2.0**-20)


def test_plain_tensors_have_masters_too():
    w = fp.ones(2, dtype="float16", requires_grad=True)
    optimizer = fp.optim.SGD([w], lr=2.0**-12, master="float32")
    give(w, np.ones(2))
    optimizer.step()
    assert w.master.tolist() == [1 - 2.0**-12] * 2


def test_parameters_added_later_get_masters():
    p, q = parameter([1.0]), parameter([2.0])
    optimizer = fp.optim.SGD([p], lr=1.0, master="float32")
    optimizer.add_param_group({"params": [q], "lr": 0.5})
    assert q.master.dtype.name == "float32"


def test_loaded_weights_reach_the_masters():
    net = fp.nn.Linear(2, 1).half()
    fp.optim.SGD(net.parameters(), lr=1.0, master="float32")
    net.load_state_dict({"weight": np.full((1, 2), 1 / 3), "bias": np.zeros(1)})
    assert net.weight.master.tolist() == [[float(np.float32(1 / 3))] * 2]
    assert net.weight.tolist() == [[float(np.float16(1 / 3))] * 2]


@pytest.mark.parametrize("first", ["net", "optimizer"])
def test_a_checkpoint_is_read_in_any_order(first):
    def made():
        with fp.seed(0):
            net = fp.nn.Linear(3, 2)
        optimizer = fp.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        return fp.amp.apply(net, "O2", optimizer), optimizer

    net, optimizer = made()
    for _ in range(3):
        optimizer.zero_grad()
        net(fp.ones(1, 3)).sum().backward()
        optimizer.step()
    saved = {"net": net.state_dict(), "optimizer": optimizer.state_dict()}
    again = dict(zip(("net", "optimizer"), made(), strict=True))
    for name in sorted(again, key=lambda name: name != first):
        again[name].load_state_dict(saved[name])
    for p, q in zip(net.parameters(), again["net"].parameters(), strict=True):
        np.testing.assert_array_equal(p.master._data, q.master._data)
        np.testing.assert_array_equal(p._data, q._data)


def test_every_way_to_set_a_weight_reaches_its_master():
    def weight_after(change):
        net = fp.nn.Linear(1, 1)
        fp.amp.apply(net, "O2", fp.optim.SGD(net.parameters(), lr=1.0))
        change(net.weight)
        return net.weight.item(), net.weight.master.item()

    def set_data(w):
        w.data = [[1 + 2.0**-20]]

    def add_in_place(w):
        with fp.no_grad():
            w *= 0.0
            w += 1.5

    assert weight_after(set_data) == (1.0, 1 + 2.0**-20)
    assert weight_after(add_in_place) == (1.5, 1.5)
    assert weight_after(fp.nn.init.ones_) == (1.0, 1.0)


def test_a_state_that_does_not_fit_changes_nothing():
    p = parameter([1.0])
    optimizer = fp.optim.SGD([p], lr=0.5, master="float32")
    for change in (
        {"masters": {0: fp.ones(2)}},
        {"param_groups": [{"params": [0], "lr": -1.0}]},
        {"state": {0: {"momentum_buffer": fp.ones(3)}}},
    ):
        state = {**optimizer.state_dict(), **change}
        with pytest.raises(fp.FpsimError):
            optimizer.load_state_dict(state)
        assert (p.master.item(), optimizer.param_groups[0]["lr"], optimizer.state) == (1.0, 0.5, {})


def test_clipping_acts_on_the_masters_gradients():
    p = parameter([1.0, 1.0])
    fp.optim.SGD([p], lr=1.0, master="float32")
    give(p, [1024.0, 1024.0])
    p.master.grad = fp.tensor([3.0, 4.0])
    assert fp.nn.utils.clip_grad_norm_([p], 10.0).item() == 5.0
    fp.nn.utils.clip_grad_value_([p], 3.5)
    assert (p.master.grad.tolist(), p.grad.tolist()) == ([3.0, 3.5], [1024.0, 1024.0])


# State and rounding of updates ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "name"), [(None, "float16"), ("float32", "float32"), ("bfloat16", "bfloat16")])
@each_optimizer()
@pytest.mark.filterwarnings("ignore::fpsim.HyperparameterRoundingWarning")
def test_state_has_its_own_format_else_the_parameters(make, state, name):
    p = parameter(np.ones(3))
    optimizer = make([p], state=state)
    for _ in range(2):
        give(p, [0.1, 0.2, 0.3])
        optimizer.step()
    tensors = [t for t in optimizer.state[p].values() if isinstance(t, fp.Tensor)]
    assert {t.dtype.name for t in tensors} == {name}
    for t in tensors:
        np.testing.assert_array_equal(t._data, fp.round(t._data, name))


@pytest.mark.parametrize("rng", [None, np.random.default_rng(3)], ids=["the context's generator", "its own"])
def test_stochastic_updates_are_right_on_average(rng):
    p = parameter(np.ones(20_000))
    optimizer = fp.optim.SGD([p], lr=1.0, update_rounding="stochastic", rng=rng)
    with fp.seed(0):
        for _ in range(16):
            give(p, np.full(20_000, 2.0**-15))  # a 16th of the spacing below 1
            optimizer.step()
    assert set(np.unique(p._data)) <= {1 - k * 2.0**-11 for k in range(17)}
    assert abs(p._data.mean() - (1 - 2.0**-11)) < 4 * 2.0**-11 / np.sqrt(20_000)


def test_stochastic_updates_repeat_with_the_seed():
    def run():
        with fp.seed(5):
            p = parameter(np.ones(1000))
            optimizer = fp.optim.SGD([p], lr=1.0, momentum=0.5, update_rounding="stochastic")
            for _ in range(3):
                give(p, np.full(1000, 1e-4))
                optimizer.step()
            return p._data

    np.testing.assert_array_equal(run(), run())


def test_without_update_rounding_the_parameters_own_mode_rounds():
    p = fp.nn.Parameter([1.0], precision=fp.Precision("float16", rounding="down"))
    give(p, [2.0**-20])
    fp.optim.SGD([p], lr=1.0).step()
    assert p.item() == 1 - 2.0**-11


def test_adams_epsilon_is_zero_in_float16():
    p = parameter([1.0])
    give(p, [2.0**-14])  # its square is 0 in float16, so the step is m / 0
    with pytest.warns(fp.HyperparameterRoundingWarning, match="Adam: eps=1e-08 becomes 0 in float16, whose smallest"):
        fp.optim.Adam([p], lr=1e-3).step()
    assert p.item() == -np.inf


@pytest.mark.parametrize("options", [{"eps": 1e-7}, {"master": "float32"}, {"state": "float32"}, {"eps": 0.0}])
def test_an_epsilon_that_stays_what_it_is_gives_no_warning(options):
    p = parameter([1.0])
    give(p, [1.0])
    fp.optim.Adam([p], **options).step()


def test_a_learning_rate_that_is_zero_in_the_parameters_format_warns_once_and_moves_nothing():
    p = parameter([1.0])
    give(p, [1024.0])
    optimizer = fp.optim.SGD([p], lr=2.0**-25)
    with pytest.warns(fp.HyperparameterRoundingWarning, match="SGD: lr=2.98023e-08 becomes 0 in float16"):
        optimizer.step()
    optimizer.step()  # no second warning, which would be an error here
    assert p.item() == 1.0


def test_the_warning_made_an_error_comes_before_any_update():
    p, q = parameter([1.0], "float32"), parameter([1.0])
    give(p, [1.0])
    give(q, [1.0])
    with pytest.raises(fp.HyperparameterRoundingWarning):
        fp.optim.SGD([p, q], lr=1e-9).step()
    assert (p.item(), q.item()) == (1.0, 1.0)


@each_optimizer()
def test_observers_see_every_update(make):
    seen = []

    class Watcher(Observer):
        def updated(self, event):
            seen.append(event)

    p = parameter([1.0, 1.0])
    give(p, [2.0**-20, 1.0])
    optimizer = make([p], master="float32")
    before = p.master._data
    with fp.autograd.using(observers=(Watcher(),)):
        optimizer.step()
    (event,) = seen
    assert (event.name, event.fmt.name, event.step.dtype) == ("w", "float32", np.float64)
    np.testing.assert_array_equal(event.before, before)
    np.testing.assert_array_equal(event.after, p.master._data)
    np.testing.assert_allclose(event.after, event.before + event.step, rtol=1e-6)


def test_a_lost_update_is_seen_as_wanted_but_lost():
    p = parameter([1.0, 1.0, 1.0])
    give(p, [0.0, 2.0**-13, 1.0])
    with fp.observe() as report:
        fp.optim.SGD([p], lr=1.0).step()
    assert report.lost_updates == 0.5


# Groups, state_dict, closure -----------------------------------------------------------------------------------------


def test_each_group_has_its_settings():
    p, q = parameter([1.0]), parameter([1.0])
    optimizer = fp.optim.SGD([{"params": [p], "lr": 0.5}, {"params": q}], lr=0.25)
    for x in (p, q):
        give(x, [1.0])
    optimizer.step()
    assert (p.item(), q.item()) == (0.5, 0.75)
    optimizer.param_groups[1]["lr"] = 0.125
    optimizer.step()
    assert q.item() == 0.625


def test_parameters_without_a_gradient_stay():
    p = parameter([1.0])
    fp.optim.Adam([p]).step()
    assert p.item() == 1.0


def test_named_parameters_are_taken_too():
    net = fp.nn.Linear(2, 1)
    optimizer = fp.optim.SGD(net.named_parameters(), lr=0.1)
    assert optimizer.param_groups[0]["params"] == list(net.parameters())


@each_optimizer()
def test_a_run_goes_on_from_its_state_dict(make):
    rng = np.random.default_rng(1)
    gradients = rng.normal(size=(6, 4))

    def steps(p, optimizer, some):
        for g in some:
            give(p, g)
            optimizer.step()

    p = parameter(np.ones(4))
    whole = make([p], master="float32")
    steps(p, whole, gradients)
    first = parameter(np.ones(4))
    begun = make([first], master="float32")
    steps(first, begun, gradients[:3])
    second = parameter(first._data)
    resumed = make([second], master="float32")
    resumed.load_state_dict(begun.state_dict())
    steps(second, resumed, gradients[3:])
    np.testing.assert_array_equal(second.master._data, p.master._data)
    np.testing.assert_array_equal(second._data, p._data)


def test_a_closure_is_called_with_gradients_on():
    w = fp.tensor([3.0], requires_grad=True)
    optimizer = fp.optim.SGD([w], lr=0.5)

    def closure():
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    with fp.no_grad():
        assert optimizer.step(closure).item() == 9.0
    assert w.item() == 0.0


def test_zero_grad_forgets_or_zeroes():
    p = parameter([1.0])
    optimizer = fp.optim.SGD([p], lr=1.0)
    give(p, [1.0])
    optimizer.zero_grad(set_to_none=False)
    assert p.grad.tolist() == [0.0]
    optimizer.zero_grad()
    assert p.grad is None


def test_a_step_makes_a_stale_graph_an_error():
    w = fp.tensor([3.0], requires_grad=True)
    loss = (w * w).sum()
    w.grad = fp.tensor([1.0])
    fp.optim.SGD([w], lr=1.0).step()
    with pytest.raises(fp.GradientError, match="an input of multiply changed since"):
        loss.backward()


# Misuse --------------------------------------------------------------------------------------------------------------

W = fp.ones(2, requires_grad=True)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: fp.optim.SGD([], lr=0.1),
            fp.ArgumentError,
            "SGD: expected at least one parameter, got none; pass net.parameters().",
        ),
        (
            lambda: fp.optim.SGD(W, lr=0.1),
            fp.ArgumentTypeError,
            "SGD: expected an iterable of tensors, got a tensor; pass [parameter].",
        ),
        (
            lambda: fp.optim.SGD([np.ones(2)], lr=0.1),
            fp.ArgumentTypeError,
            "SGD: expected leaf tensors, got ndarray; pass net.parameters().",
        ),
        (
            lambda: fp.optim.Adam([W * 2]),
            fp.ArgumentTypeError,
            "Adam: expected leaf tensors, got an operation's result; pass net.parameters().",
        ),
        (
            lambda: fp.optim.SGD([W, W], lr=0.1),
            fp.ArgumentError,
            "SGD: expected each parameter once, got one twice; remove it from one group.",
        ),
        (
            lambda: fp.optim.SGD([W], lr=-0.1),
            fp.ArgumentError,
            "SGD: expected a learning rate of at least 0, got lr=-0.1; correct it.",
        ),
        (
            lambda: fp.optim.SGD([W], momentum=-1),
            fp.ArgumentError,
            "SGD: expected momentum and weight decay of at least 0, got momentum=-1, weight_decay=0.0; correct them.",
        ),
        (
            lambda: fp.optim.SGD([W], nesterov=True),
            fp.ArgumentError,
            "SGD: expected momentum and no dampening with nesterov=True, got momentum=0.0, dampening=0.0; "
            "correct them.",
        ),
        (
            lambda: fp.optim.AdamW([W], betas=(0.9, 1.0)),
            fp.ArgumentError,
            "AdamW: expected betas from 0 to below 1, got betas=(0.9, 1.0); correct them.",
        ),
        (
            lambda: fp.optim.Adam([{"params": [W], "rate": 1}]),
            fp.ArgumentError,
            "Adam: expected settings of lr, betas, eps, weight_decay, amsgrad, maximize, got rate=1; use one of those.",
        ),
        (
            lambda: fp.optim.SGD([{"parameters": [W]}]),
            fp.ArgumentError,
            "SGD: expected a group with params, got keys 'parameters'; add params=[...].",
        ),
        (
            lambda: fp.optim.SGD([W]).load_state_dict({"weight": W}),
            fp.ArgumentError,
            "load_state_dict: expected what state_dict() gave, got something else; load an optimizer's state.",
        ),
        (
            lambda: fp.optim.SGD([W]).load_state_dict(fp.optim.SGD([W, fp.ones(3)]).state_dict()),
            fp.ArgumentError,
            "load_state_dict: expected groups of [1] parameters, got [2]; build the optimizer as the saved one.",
        ),
        (
            lambda: fp.nn.utils.clip_grad_norm_([W], -1.0),
            fp.ArgumentError,
            "clip_grad_norm_: expected a norm of at least 0 and a positive type, got max_norm=-1.0, norm_type=2.0; "
            "correct them.",
        ),
        (
            lambda: fp.optim.clip_grad_value_([np.ones(2)], 1.0),
            fp.ArgumentTypeError,
            "clip_grad_value_: expected parameters, got ndarray; pass net.parameters().",
        ),
        (
            lambda: fp.optim.lr_scheduler.StepLR(fp.optim.SGD([W]), 0),
            fp.ArgumentError,
            "StepLR: expected a step size of at least 1, got step_size=0; correct it.",
        ),
        (
            lambda: fp.optim.lr_scheduler.OneCycleLR(fp.optim.SGD([W], momentum=0.5), 1.0),
            fp.ArgumentError,
            "OneCycleLR: expected total_steps, or epochs and steps_per_epoch, got neither; give one of them.",
        ),
        (
            lambda: fp.optim.lr_scheduler.LambdaLR(fp.optim.SGD([W]), [abs, abs]),
            fp.ArgumentError,
            "LambdaLR: expected one for each of 1 groups, got 2 functions; give one each.",
        ),
    ],
)
def test_misuse_names_the_remedy(call, error, text):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == text


def test_an_unknown_rounding_of_updates_is_refused():
    with pytest.raises(fp.FpsimError, match="nearest_even, nearest_away"):
        fp.optim.SGD([W], update_rounding="sideways")


def test_clipping_can_refuse_infinite_gradients():
    p = parameter([1.0])
    give(p, [np.inf])
    with pytest.raises(fp.GradientError) as caught:
        fp.nn.utils.clip_grad_norm_([p], 1.0, error_if_nonfinite=True)
    assert str(caught.value) == (
        "clip_grad_norm_: expected finite gradients, got a norm of inf; unscale them, or skip the step."
    )


# Schedules -----------------------------------------------------------------------------------------------------------


def test_a_lambda_multiplies_the_initial_rate():
    optimizer = fp.optim.SGD([W], lr=0.5)
    schedule = fp.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5**epoch)
    rates = []
    for _ in range(3):
        rates.append(schedule.get_last_lr()[0])
        schedule.step()
    assert rates == [0.5, 0.25, 0.125]


def test_a_schedule_goes_on_from_its_state_dict():
    def make():
        return fp.optim.lr_scheduler.CosineAnnealingLR(fp.optim.SGD([W], lr=1.0), T_max=10)

    whole, begun, resumed = make(), make(), make()
    for _ in range(4):
        begun.step()
    resumed.load_state_dict(begun.state_dict())
    for _ in range(6):
        whole.step()
    for _ in range(2):
        resumed.step()
    assert resumed.get_last_lr() == whole.get_last_lr()
