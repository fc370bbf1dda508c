"""Loss scalers at work: reports, traps, masters, two optimizers, state, and misuse with its text."""

import contextlib
import warnings

import numpy as np
import pytest

import fpsim as fp


def weight(values, dtype="float32"):
    return fp.tensor(values, dtype=dtype, requires_grad=True)


def one(gradient, dtype="float32", scaler=None, **arguments):
    """A weight whose scaled gradient is given, its optimizer, and a scaler that has been used."""
    w = weight(np.ones_like(np.asarray(gradient, np.float64)), dtype)
    optimizer = fp.optim.SGD([w], lr=0.5)
    scaler = fp.amp.GradScaler(init_scale=4.0, **arguments) if scaler is None else scaler
    scaler.scale(fp.tensor(1.0))
    (w * fp.tensor(gradient, dtype=dtype)).sum().backward()
    return w, optimizer, scaler


# Reports -------------------------------------------------------------------------------------------------------------


def test_a_step_reports_that_it_stepped():
    w, optimizer, scaler = one([4.0, 8.0])
    report = scaler.step(optimizer)
    assert (report.skipped, report.scale, report.why) == (False, 4.0, None)
    assert w.tolist() == [0.5, 0.0]


def test_a_report_tells_the_scale_before_and_after():
    _, optimizer, scaler = one([4.0, 8.0], growth_interval=1)
    report = scaler.step(optimizer)
    assert (report.scale_before, report.scale_after, str(report)) == (4.0, 8.0, "stepped at scale 4, next 8")
    scaler.update()
    assert scaler.get_scale() == report.scale_after
    _, optimizer, scaler = one([4.0, np.nan])
    assert (scaler.step(optimizer).scale_after, scaler.get_scale()) == (2.0, 4.0)


def test_update_settles_the_scale_after_of_every_report():
    a, b = weight([1.0]), weight([1.0])
    optimizers, scaler = [fp.optim.SGD([p], lr=0.5) for p in (a, b)], fp.amp.GradScaler(init_scale=4.0)
    scaler.scale((a + b * fp.tensor([np.inf])).sum()).backward()
    clean, bad = (scaler.step(optimizer) for optimizer in optimizers)
    assert (clean.scale_after, bad.scale_after) == (4.0, 2.0)  # as things stood
    scaler.update()
    assert (clean.scale_after, bad.scale_after) == (2.0, 2.0)
    optimizers[0].zero_grad()
    scaler.scale(a.sum()).backward()
    scaler.step(optimizers[0])
    scaler.update(512.0)
    assert (clean.scale_after, scaler.get_scale()) == (2.0, 512.0)


def test_a_skipped_step_says_where_the_first_inf_stood():
    w, optimizer, scaler = one([[4.0, 1.0], [np.inf, np.nan]])
    report = scaler.step(optimizer)
    assert report == fp.amp.StepReport(True, 4.0, "parameter 0", (1, 0), np.inf)
    assert str(report) == "skipped at scale 4, next 2: the gradient of parameter 0 is inf at (1, 0)"
    assert w.tolist() == [[1, 1], [1, 1]]


def test_a_report_names_the_parameter():
    net = fp.nn.Linear(2, 1)
    optimizer, scaler = fp.optim.SGD(net.parameters(), lr=0.1), fp.amp.GradScaler()
    scaler.scale(net(fp.tensor([[np.inf, 1.0]])).sum()).backward()
    assert scaler.step(optimizer).index == (0, 0)


def test_a_skipped_step_leaves_the_optimizers_state_alone():
    w = weight([1.0, 1.0])
    optimizer, scaler = fp.optim.SGD([w], lr=0.5, momentum=0.9), fp.amp.GradScaler(init_scale=2.0)
    history = []
    for factor in (1.0, np.inf, 1.0):
        optimizer.zero_grad()
        scaler.scale((w * fp.tensor([factor, 1.0])).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        history.append(w.tolist())
    assert history == [[0.5, 0.5], [0.5, 0.5], pytest.approx([-0.45, -0.45])]


def test_disabled_is_the_identity():
    scaler = fp.amp.GradScaler(enabled=False)
    w = weight([1.0])
    optimizer = fp.optim.SGD([w], lr=0.5)
    loss = (w * 2).sum()
    assert scaler.scale(loss) is loss
    loss.backward()
    scaler.unscale_(optimizer)
    assert scaler.step(optimizer) == fp.amp.StepReport(False, 1.0)
    scaler.update()
    assert (w.item(), scaler.get_scale(), scaler.state_dict()) == (0.0, 1.0, {})


# scale() -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "scalar", "array"),
    [
        ("float16", "float32", "float16"),
        ("bfloat16", "float32", "bfloat16"),
        ("float32", "float32", "float32"),
        ("float64", "float64", "float64"),
    ],
)
def test_a_scalar_comes_out_in_at_least_float32_an_array_in_its_own_format(dtype, scalar, array):
    scaler = fp.amp.GradScaler()
    assert scaler.scale(fp.tensor(0.5, dtype=dtype)).dtype.name == scalar
    assert scaler.scale(fp.tensor([0.5], dtype=dtype)).dtype.name == array


def test_an_array_is_multiplied_by_the_float32_scale_and_rounded_once():
    with pytest.warns(fp.LossScaleOverflowWarning, match="a loss of 1 times the scale 65536 becomes inf in float16"):
        scaled = fp.amp.GradScaler().scale(fp.tensor([0.5, 0.0, 2.0**-10, 1.0], dtype="float16"))
    assert scaled.tolist() == [32768.0, 0.0, 64.0, np.inf]  # as PyTorch's CPU kernel; 0 * inf does not occur


def test_nested_iterables_are_scaled_in_place_of_their_tensors():
    x = fp.tensor(1.0)
    a, (b, c) = fp.amp.GradScaler(init_scale=8.0).scale([x, (x, x)])
    assert [t.item() for t in (a, b, c)] == [8.0] * 3


def test_the_order_of_a_tensors_sums_does_not_matter_to_the_scale():
    precision = fp.Precision("float32", order="sequential")
    assert fp.amp.GradScaler().scale(fp.tensor([1.0], precision=precision)).precision == precision


# Traps that teach ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scale", "finite"), [(65519.0, True), (65520.0, False), (65536.0, False)])
def test_a_float16_loss_overflows_from_65520_on(scale, finite):
    w = weight([2.0])
    optimizer, scaler = fp.optim.SGD([w], lr=0.5), fp.amp.GradScaler(init_scale=scale)
    with (
        contextlib.nullcontext()
        if finite
        else pytest.warns(fp.LossScaleOverflowWarning, match="becomes inf in float16")
    ):
        scaled = scaler.scale(w.half().sum())
    scaled.backward()
    assert scaler.step(optimizer).skipped is not finite


def test_below_2_to_the_minus_127_a_bad_step_is_taken():
    w, optimizer, scaler = one([1.0])
    with pytest.warns(fp.LossScaleUnderflowWarning, match=r"float32\(1/scale\) is inf for the scale 7.34684e-40"):
        scaler.update(2.0**-130)
    assert not scaler.step(optimizer).skipped
    assert np.isinf(w.item())


def test_gradients_spoiled_after_unscaling_are_not_checked_again():
    w, optimizer, scaler = one([1.0])
    scaler.unscale_(optimizer)
    w.grad.replace_values(np.array([np.inf], np.float32))
    with pytest.warns(fp.SpoiledGradientWarning, match="the gradient of parameter 0 was finite when unscale_ checked"):
        assert not scaler.step(optimizer).skipped
    assert np.isinf(w.item())


def test_gradients_clipped_after_unscaling_are_no_reason_to_warn():
    w, optimizer, scaler = one([40.0])
    scaler.unscale_(optimizer)
    fp.nn.utils.clip_grad_norm_([w], 1.0)
    assert not scaler.step(optimizer).skipped


@pytest.mark.parametrize("clip", [fp.nn.utils.clip_grad_norm_, fp.nn.utils.clip_grad_value_])
def test_clipping_before_unscaling_warns_and_clips_what_is_scaled(clip):
    w, optimizer, scaler = one([40.0])
    clip([w], 1.0)
    with pytest.warns(fp.ScaledGradientWarning, match=r"parameter 0 was changed .* clip after scaler.unscale_"):
        scaler.unscale_(optimizer)
    assert w.grad.item() == pytest.approx(0.25)  # the bound, divided by the scale


def test_gradients_of_the_last_iteration_are_not_unscaled_again_without_a_warning():
    _, optimizer, scaler = one([40.0])
    scaler.step(optimizer)
    scaler.update()
    with pytest.warns(fp.ScaledGradientWarning, match="and zero_grad"):  # and no backward() since
        scaler.step(optimizer)


def test_at_scale_1_gradients_may_be_changed_at_any_time():
    w, optimizer, scaler = one([40.0], scaler=fp.amp.GradScaler(init_scale=1.0))
    fp.nn.utils.clip_grad_value_([w], 1.0)
    assert not scaler.step(optimizer).skipped


def test_a_loss_that_float32_cannot_hold_times_the_scale_warns():
    with pytest.warns(fp.LossScaleOverflowWarning, match="becomes inf in float32; start"):
        fp.amp.GradScaler().scale(fp.tensor(1e38))


def test_warnings_are_silenced_by_name():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fp.LossScaleOverflowWarning)
        fp.amp.GradScaler().scale(weight([2.0]).half().sum())


def test_a_warning_made_an_error_leaves_everything_as_it_was():
    w, optimizer, scaler = one([40.0])
    fp.nn.utils.clip_grad_value_([w], 1.0)
    before = w.grad.tolist(), scaler.state_dict()
    with pytest.raises(fp.ScaledGradientWarning):
        scaler.step(optimizer)
    assert (w.grad.tolist(), scaler.state_dict(), w.tolist()) == (*before, [1.0])


def test_the_sum_check_skips_finite_gradients_whose_sum_overflows():
    w, optimizer, _ = one([3e38, 3e38])
    scaler = fp.amp.GradScaler.preset("fp16_utils", initial=4.0)
    scaler.scale(fp.tensor(1.0))
    report = scaler.step(optimizer)
    assert (report.skipped, report.index, report.value) == (True, None, np.inf)
    assert report.why == "the sum of the gradient of parameter 0 is inf"
    assert w.tolist() == [1.0, 1.0]


def test_a_check_after_unscaling_sees_an_overflow_of_unscaling():
    """At a scale below 1 unscaling itself overflows: only the scalers that test unscaled gradients skip."""
    skipped = {}
    for name in ("torch", "tf_keras"):
        _, optimizer, scaler = one([3e38], scaler=fp.amp.GradScaler.preset(name, initial=0.5))
        skipped[name] = scaler.step(optimizer).skipped
    assert skipped == {"torch": False, "tf_keras": True}


def test_division_and_multiplication_by_the_reciprocal_differ_in_the_last_bit():
    unscaled = {}
    for name in ("torch", "keras"):
        w, optimizer, scaler = one([5.0], scaler=fp.amp.GradScaler.preset(name, initial=49.0))
        scaler.unscale_(optimizer)
        unscaled[name] = w.grad.numpy()[0]
    assert unscaled["keras"] == np.float32(5) / np.float32(49)
    assert unscaled["torch"] == np.float32(5) * np.float32(1 / 49)


# Masters -------------------------------------------------------------------------------------------------------------


def test_with_masters_float16_gradients_are_unscaled_into_float32():
    net = fp.nn.Linear(1, 1, bias=False).half()
    net.weight.replace_values(np.array([[1.0]], np.float32))
    optimizer, scaler = fp.optim.SGD(net.parameters(), lr=1.0, master="float32"), fp.amp.GradScaler(init_scale=1024.0)
    scaler.scale((net.weight * fp.tensor([[2.0**-14]], dtype="float16")).sum()).backward()
    scaler.unscale_(optimizer)
    assert (net.weight.grad.dtype.name, net.weight.grad.item()) == ("float16", 2.0**-4)
    assert (net.weight.master.grad.dtype.name, net.weight.master.grad.item()) == ("float32", 2.0**-14)
    scaler.step(optimizer)
    assert net.weight.master.item() == 1 - 2.0**-14
    assert net.weight.item() == 1.0  # the float16 copy is the master rounded


def test_with_masters_an_overflow_of_the_float16_gradient_skips():
    net = fp.nn.Linear(1, 1, bias=False).half()
    optimizer, scaler = fp.optim.SGD(net.parameters(), lr=1.0, master="float32"), fp.amp.GradScaler(init_scale=1024.0)
    before = net.weight.item()
    scaler.scale((net.weight * fp.tensor([[100.0]], dtype="float16")).sum()).backward()
    report = scaler.step(optimizer)
    assert report.skipped
    assert report.index == (0, 0)
    assert net.weight.item() == before


# Two optimizers, state -----------------------------------------------------------------------------------------------


def test_of_two_optimizers_only_the_clean_one_steps_and_the_scale_backs_off_for_both():
    a, b = weight([1.0]), weight([1.0])
    optimizers = [fp.optim.SGD([p], lr=0.5) for p in (a, b)]
    scaler = fp.amp.GradScaler(init_scale=4.0)
    scaler.scale((a * np.float32(1) + b).sum()).backward()
    b.grad = fp.tensor([np.nan])
    assert [scaler.step(optimizer).skipped for optimizer in optimizers] == [False, True]
    scaler.update()
    assert (a.item(), b.item(), scaler.get_scale()) == (0.5, 1.0, 2.0)


def test_a_state_goes_on_where_it_was():
    _, optimizer, scaler = one([1.0], growth_interval=2)
    scaler.step(optimizer)
    scaler.update()
    state = scaler.state_dict()
    assert state == {
        "scale": 4.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 2, "_growth_tracker": 1,
    }  # fmt: skip
    _, optimizer, other = one([1.0])
    other.load_state_dict(state)
    other.step(optimizer)
    other.update()
    assert other.get_scale() == 8.0


def test_a_new_scale_leaves_the_tracker():
    _, optimizer, scaler = one([1.0], growth_interval=3)
    scaler.step(optimizer)
    scaler.update()
    scaler.update(100.0)
    assert (scaler.get_scale(), scaler.state_dict()["_growth_tracker"]) == (100.0, 1)


def test_the_scale_is_a_float32():
    assert fp.amp.GradScaler(init_scale=1000.0 / 3).get_scale() == float(np.float32(1000.0 / 3))


def test_torchs_spellings():
    assert fp.amp.GradScaler("cuda").get_scale() == 65536.0
    assert fp.amp.GradScaler(device="cuda", init_scale=8.0).get_scale() == 8.0
    scaler = fp.amp.GradScaler(1024.0)
    scaler.set_growth_factor(4.0)
    scaler.set_backoff_factor(0.25)
    scaler.set_growth_interval(10)
    assert (scaler.get_scale(), scaler.is_enabled()) == (1024.0, True)
    assert (scaler.get_growth_factor(), scaler.get_backoff_factor(), scaler.get_growth_interval()) == (4.0, 0.25, 10)


# The constant scale --------------------------------------------------------------------------------------------------


def test_a_constant_scale_never_checks_and_never_skips():
    w, optimizer, scaler = one([np.inf, 8.0], scaler=fp.amp.StaticScaler(4.0))
    assert not scaler.step(optimizer).skipped
    scaler.update()
    assert (w.tolist(), scaler.get_scale(), scaler.state_dict()) == ([-np.inf, 0.0], 4.0, {"scale": 4.0})


def test_a_constant_scale_unscales_float16_gradients_in_float16():
    w, optimizer, scaler = one([2.0**-14], "float16", scaler=fp.amp.StaticScaler(2.0**12))
    scaler.unscale_(optimizer)
    assert w.grad.item() == 0.0  # 2^-26 underflows again


def test_a_constant_scale_goes_on_from_its_state():
    scaler = fp.amp.StaticScaler(2.0)
    scaler.load_state_dict(fp.amp.StaticScaler(512.0).state_dict())
    assert scaler.scale(fp.tensor(1.0)).item() == 512.0
    scaler.load_state_dict({"scale": 4.0})
    assert (scaler.get_scale(), scaler.rule.check) == (4.0, "never")


# Misuse --------------------------------------------------------------------------------------------------------------


def unscale_twice():
    _, optimizer, scaler = one([1.0])
    scaler.unscale_(optimizer)
    scaler.unscale_(optimizer)


def unscale_after_step():
    _, optimizer, scaler = one([1.0])
    scaler.step(optimizer)
    scaler.unscale_(optimizer)


def step_twice():
    _, optimizer, scaler = one([1.0])
    scaler.step(optimizer)
    scaler.step(optimizer)


def before_scale(method):
    def call():
        optimizer = fp.optim.SGD([weight([1.0])], lr=0.5)
        arguments = () if method == "update" else (optimizer,)
        getattr(fp.amp.GradScaler(), method)(*arguments)

    return call


def update_without_step():
    _, _, scaler = one([1.0])
    scaler.update()


def step_without_gradients():
    scaler = fp.amp.GradScaler()
    scaler.scale(fp.tensor(1.0))
    scaler.step(fp.optim.SGD([weight([1.0])], lr=0.5))


def step_with_closure():
    _, optimizer, scaler = one([1.0])
    scaler.step(optimizer, closure=lambda: None)


def float16_without_masters():
    _, optimizer, scaler = one([1.0], "float16")
    scaler.step(optimizer)


def float8_without_masters():
    _, optimizer, scaler = one([1.0], "float8_e5m2")
    scaler.step(optimizer)


def bad_new_scale():
    _, _, scaler = one([1.0])
    scaler.update("big")


MISUSE = [
    (
        unscale_twice,
        "unscale_: expected one call per optimizer and update(), got a second call after unscale_(); "
        "call update() at the end of each iteration.",
    ),
    (
        unscale_after_step,
        "unscale_: expected one call per optimizer and update(), got a second call after step(); "
        "call update() at the end of each iteration.",
    ),
    (
        step_twice,
        "step: expected one call per optimizer and update(), got a second call; call update() after it.",
    ),
    *(
        (
            before_scale(method),
            f"{method}: expected an earlier scale(loss), got none yet; call scaler.scale(loss).backward() first.",
        )
        for method in ("unscale_", "step", "update")
    ),
    (
        update_without_step,
        "update: expected gradients that were checked, got none since the last update(); call step(optimizer) first.",
    ),
    (
        step_without_gradients,
        "step: expected parameters with gradients, got none, so nothing was checked; "
        "call backward() on the scaled loss.",
    ),
    (
        step_with_closure,
        "step: expected an optimizer step without closure, got a closure; compute the loss before it.",
    ),
    (
        float16_without_masters,
        "unscale_: expected gradients with float32's range, got that of parameter 0 in float16; Attempting to unscale "
        "FP16 gradients: keep the weights in float32, or give the optimizer master='float32'.",
    ),
    (
        float8_without_masters,
        "unscale_: expected gradients with float32's range, got that of parameter 0 in float8_e5m2; "
        "keep the weights in float32, or give the optimizer master='float32'.",
    ),
    (
        bad_new_scale,
        "update: expected a number as new scale, got new_scale='big'; give a float.",
    ),
    (
        lambda: fp.amp.GradScaler().load_state_dict({}),
        "load_state_dict: expected a scaler's state, got an empty one; it was saved from a disabled scaler.",
    ),
    (
        lambda: fp.amp.GradScaler().load_state_dict({"scale": 2.0, "growth_factor": 2.0}),
        "load_state_dict: expected a scaler's state, got one without backoff_factor, growth_interval, "
        "_growth_tracker; load what state_dict() gave.",
    ),
]


@pytest.mark.parametrize(("misuse", "text"), MISUSE, ids=range(len(MISUSE)))
def test_misuse_names_its_remedy(misuse, text):
    with pytest.raises(fp.ScalerError) as error:
        misuse()
    assert str(error.value) == text
    assert isinstance(error.value, RuntimeError)


@pytest.mark.parametrize("name", ["unscale_", "step", "update", "closure", "no gradients", "state", "scale", "wide"])
def test_misuse_leaves_scaler_optimizer_and_weights_as_they_were(name):
    dtype = "float16" if name == "wide" else "float32"
    w, optimizer, scaler = one([4.0, 8.0], dtype)
    if name == "unscale_":
        scaler.unscale_(optimizer)
    elif name == "step":
        scaler.step(optimizer)
    elif name == "no gradients":
        w.grad = None
    misuse = {
        "unscale_": lambda: scaler.unscale_(optimizer),
        "step": lambda: scaler.step(optimizer),
        "update": lambda: scaler.update(float("nan")),
        "closure": lambda: scaler.step(optimizer, lambda: None),
        "no gradients": lambda: scaler.step(optimizer),
        "state": lambda: scaler.load_state_dict({**scaler.state_dict(), "scale": 8.0, "_growth_tracker": "two"}),
        "scale": lambda: scaler.scale([fp.tensor(1.0), "loss"]),
        "wide": lambda: scaler.step(optimizer),
    }[name]

    def everything():
        gradient = None if w.grad is None else w.grad.tolist()
        return scaler.state_dict(), scaler.rule, w.tolist(), gradient, optimizer.state_dict()["state"]

    before = everything()
    for _ in range(2):  # the second call meets the same scaler
        with pytest.raises((fp.ScalerError, fp.ArgumentTypeError)):
            misuse()
        assert everything() == before


def test_after_a_refusal_training_goes_on():
    w, optimizer, scaler = one([4.0])
    w.grad = None
    for call in (scaler.step, scaler.unscale_, scaler.step):
        with contextlib.suppress(fp.ScalerError):
            call(optimizer)
    w.grad = fp.tensor([8.0])
    assert not scaler.step(optimizer).skipped
    scaler.update()
    assert w.item() == 0.0


def test_a_scale_that_was_refused_does_not_count_as_a_scale():
    scaler = fp.amp.GradScaler()
    with pytest.raises(fp.ArgumentTypeError):
        scaler.scale("loss")
    with pytest.raises(fp.ScalerError, match="an earlier scale"):
        scaler.update()


def test_a_loaded_scale_waits_for_scale_as_in_pytorch():
    scaler = fp.amp.GradScaler()
    scaler.load_state_dict({**scaler.state_dict(), "scale": 0.0})  # a scale that decayed is saved and loaded too
    assert scaler.get_scale() == 0.0
    with pytest.raises(fp.ScalerError, match="an earlier scale"):
        scaler.update()


def test_only_tensors_are_scaled():
    with pytest.raises(fp.ArgumentTypeError) as error:
        fp.amp.GradScaler().scale("loss")
    assert str(error.value) == "scale: expected a tensor or an iterable of tensors, got str; scale the loss tensor."
