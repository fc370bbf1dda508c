"""Training loops from PyTorch's notes: accumulation, several losses, two optimizers, clipping, schedules."""

import numpy as np
import pytest

import fpsim as fp
from tests.amp.loops import accumulation, clipping, schedule, several_losses_and_optimizers


def test_accumulated_gradients_are_unscaled_once_and_one_inf_skips_the_whole_batch():
    # the mean of the four x: (0.5, 1.5), then (0.5, 5.5); lr 0.5
    assert accumulation(fp) == [([0.75, -2.75], 1024.0), ([0.5, -5.5], 2048.0), ([0.5, -5.5], 1024.0)]


def test_two_losses_and_two_optimizers_share_a_scaler():
    # d(loss0 + loss1)/dw = 5 and -1; lr 0.25; the second step skips the first optimizer, and halves the scale for both
    assert several_losses_and_optimizers(fp) == [([-0.25, 2.25], 128.0), ([-0.25, 2.5], 64.0), ([-1.5, 2.75], 128.0)]


def test_clipping_by_norm_acts_on_the_true_gradients():
    # (3, 4) has norm 5; the factor is round(round(1 / (5 + 1e-6)) * 2.5) in float32: PyTorch's numbers
    after, gradient = [1.5000003576278687, 2.000000476837158], [1.4999996423721313, 1.9999995231628418]
    assert clipping(fp, "norm") == [(after, gradient)]


def test_clipping_by_value_acts_on_the_true_gradients():
    assert clipping(fp, "value") == [([1.5, 2.5], [1.5, 1.5]), ([0.0, 1.0], [1.5, 1.5]), ([0.0, 0.0], [0.0, 1.0])]


def test_a_schedule_waits_while_steps_are_skipped():
    assert [lr for _, (lr,), _ in schedule(fp)] == [0.5, 0.5, 0.5, 0.25]


def test_a_schedule_takes_the_scalers_report():
    def rates(tell):
        w = fp.tensor([1.0], requires_grad=True)
        optimizer, scaler = fp.optim.SGD([w], lr=1.0), fp.amp.GradScaler()
        scheduler = fp.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
        for factor in (1.0, np.inf, np.inf, 1.0):
            optimizer.zero_grad()
            scaler.scale((w * fp.tensor([factor])).sum()).backward()
            report = scaler.step(optimizer)
            scheduler.step(report) if tell else scheduler.step()
            scaler.update()
        return scheduler.last_epoch

    assert (rates(tell=True), rates(tell=False)) == (2, 4)


def test_accumulation_in_float16_gradients_loses_what_float32_ones_keep():
    """Adding 2**-12 to 1 sixteen times: in the gradient's own format each sum is rounded."""
    sums = {}
    for how in ("float16", fp.Precision("float16", grad="float32")):
        w = fp.nn.Parameter([1.0], precision=how)
        for x in (1.0, *[2.0**-12] * 16):
            (w * fp.tensor([x], precision=how)).sum().backward()
        sums[str(w.grad.dtype)] = w.grad.item()
    assert sums == {"float16": 1.0, "float32": 1 + 2.0**-8}


def test_with_masters_accumulated_float16_gradients_are_unscaled_into_float32():
    w = fp.tensor([1.0], dtype="float16", requires_grad=True)
    optimizer, scaler = fp.optim.SGD([w], lr=1.0, master="float32"), fp.amp.GradScaler(init_scale=256.0)
    for _ in range(2):
        scaler.scale((w * fp.tensor([2.0**-16], dtype="float16")).sum()).backward()
    scaler.unscale_(optimizer)
    assert (w.grad.item(), w.master.grad.item()) == (2.0**-7, 2.0**-15)
    fp.nn.utils.clip_grad_norm_([w], 2.0**-16)
    assert w.master.grad.item() < 2.0**-15
    scaler.step(optimizer)
    assert w.master.item() == float(np.float32(1 - w.master.grad.item()))


@pytest.mark.parametrize("report", [3, "skipped", fp.tensor(1.0)])
def test_a_schedule_refuses_what_is_no_report(report):
    scheduler = fp.optim.lr_scheduler.StepLR(fp.optim.SGD([fp.ones(1, requires_grad=True)], lr=1.0), 1)
    with pytest.raises(fp.ArgumentTypeError, match="step: expected what scaler"):
        scheduler.step(report)
    assert scheduler.last_epoch == 0
