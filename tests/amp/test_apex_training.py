"""Apex's loop: `initialize`, `scale_loss`, `master_params`; accumulation, several losses, skipped steps, refusals."""

import numpy as np
import pytest

import fpsim as fp

amp = fp.amp


def linear(weight=1.0, inputs=1):
    net = fp.nn.Linear(inputs, 1, bias=False)
    net.weight.data = np.full((1, inputs), weight)
    return net


def initialized(level="O2", lr=0.5, **options):
    net = linear()
    return amp.initialize(net, fp.optim.SGD(net.parameters(), lr=lr), opt_level=level, **options)


def loss_of(net, x):
    """Its gradient is x; divided last, as a mean would be, or the scale itself would meet float16."""
    return net(fp.tensor([[16 * x]])).sum().float() / 16


def backward(net, optimizer, x=1.0, **options):
    with amp.scale_loss(loss_of(net, x), optimizer, **options) as scaled_loss:
        scaled_loss.backward()


@pytest.mark.parametrize("level", ["O0", "O1", "O2", "O3"])
def test_every_level_trains(level):
    net, optimizer = initialized(level)
    for _ in range(2):
        optimizer.zero_grad()
        backward(net, optimizer, 0.25)
        optimizer.step()
    assert net.weight.item() == 1 - 2 * 0.5 * 0.25
    assert net.weight.dtype.name == {"O0": "float32", "O1": "float32", "O2": "float16", "O3": "float16"}[level]


def test_the_block_scales_the_loss_and_leaves_true_gradients():
    net, optimizer = initialized("O1", loss_scale=1024.0)
    loss = net(fp.tensor([[0.25]])).sum()
    with amp.scale_loss(loss, optimizer) as scaled_loss:
        assert (scaled_loss.item(), scaled_loss.dtype.name) == (1024 * loss.item(), "float32")
        scaled_loss.backward()
    assert net.weight.grad.item() == 0.25


def test_with_masters_the_true_gradients_are_the_masters():
    net, optimizer = initialized("O2")
    backward(net, optimizer, 2.0**-16)  # 1.5e-5 has few bits left in float16, and all of them at scale 65536
    (master,) = amp.master_params(optimizer)
    assert (master.grad.item(), master.grad.dtype.name, net.weight.dtype.name) == (2.0**-16, "float32", "float16")
    fp.nn.utils.clip_grad_norm_(amp.master_params(optimizer), 2.0**-20)
    assert master.grad.item() < 2.0**-19


def test_gradients_add_up_over_blocks_whatever_the_scale_does_in_between():
    net, optimizer = initialized("O1")
    optimizer.loss_scalers[0].set_growth_interval(1)
    for x in (2.0**-6, 2.0**-5, 2.0**-4):
        backward(net, optimizer, x)
    assert net.weight.grad.item() == 7 * 2.0**-6
    assert optimizer.loss_scalers[0].get_scale() == 2.0**19


def test_delayed_unscaling_adds_scaled_gradients_and_looks_once():
    net, optimizer = initialized("O2", loss_scale=64.0)
    backward(net, optimizer, 0.25, delay_unscale=True)
    assert net.weight.grad.item() == 16.0
    backward(net, optimizer, 0.5)
    assert net.weight.master.grad.item() == 0.75


def test_an_overflow_halves_the_scale_and_skips_one_step():
    net, optimizer = initialized("O2")
    backward(net, optimizer, 1.5)
    report = optimizer.step()
    assert str(report) == "skipped at scale 65536, next 32768: the gradient of weight is inf at (0, 0)"
    assert (net.weight.item(), optimizer.loss_scalers[0].get_scale()) == (1.0, 2.0**15)
    optimizer.zero_grad()
    backward(net, optimizer, 0.25)
    assert optimizer.step() is None
    assert net.weight.item() == 0.875


def test_every_loss_has_a_scale_of_its_own():
    net, optimizer = initialized("O2", num_losses=2)
    backward(net, optimizer, 0.5, loss_id=0)
    backward(net, optimizer, 1.5, loss_id=1)
    assert [scaler.get_scale() for scaler in optimizer.loss_scalers] == [2.0**16, 2.0**15]
    assert optimizer.step().skipped


def test_floor_and_ceiling_are_initializes():
    net, optimizer = initialized("O2", min_loss_scale=2.0**16, max_loss_scale=2.0**17)
    backward(net, optimizer, 1.5)
    assert optimizer.loss_scalers[0].get_scale() == 2.0**16
    assert optimizer.loss_scalers[0].rule.ceiling == 2.0**17


def test_not_enabled_changes_nothing():
    net, optimizer = initialized("O2", enabled=False)
    loss = net(fp.tensor([[1.0]])).sum()
    with amp.scale_loss(loss, optimizer) as scaled_loss:
        assert scaled_loss is loss
    assert net.weight.dtype.name == "float32"


def test_lists_give_lists_and_each_optimizer_serves_its_network():
    nets = [linear(), linear()]
    optimizers = [fp.optim.SGD(net.parameters(), lr=0.5) for net in nets]
    again, theirs = amp.initialize(nets, optimizers, opt_level="O2")
    assert (again is nets, theirs is optimizers) == (True, True)
    assert all(net.weight.master is not None for net in nets)
    with amp.scale_loss(loss_of(nets[0], 0.5) + loss_of(nets[1], 0.5), optimizers) as scaled_loss:
        scaled_loss.backward()
    for optimizer in optimizers:
        optimizer.step()
    assert [net.weight.item() for net in nets] == [0.75, 0.75]
    assert amp.initialize(linear(), opt_level="O3").weight.dtype.name == "float16"


def test_a_block_that_fails_leaves_the_gradients_of_the_earlier_ones():
    net, optimizer = initialized("O1")
    backward(net, optimizer, 0.25)
    with pytest.raises(ZeroDivisionError), amp.scale_loss(net(fp.ones(1, 1)).sum(), optimizer):
        raise ZeroDivisionError
    assert net.weight.grad.item() == 0.25


def of_two_optimizers():
    net = linear()
    amp.initialize(net, [fp.optim.SGD(net.parameters(), lr=0.5) for _ in range(2)])


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: backward(linear(), fp.optim.SGD(linear().parameters(), lr=1.0)),
            fp.ScalerError,
            "scale_loss: expected an optimizer that was initialized, got one that is not; call initialize first.",
        ),
        (
            lambda: backward(*initialized(), loss_id=1),
            fp.ArgumentError,
            "scale_loss: expected a loss_id below 1, got loss_id=1; pass num_losses= to initialize.",
        ),
        (
            lambda: initialized(num_losses=0),
            fp.ArgumentError,
            "initialize: expected at least one loss, got num_losses=0; count the calls of scale_loss.",
        ),
        (
            of_two_optimizers,
            fp.ArgumentError,
            "initialize: expected at most one optimizer of each network, got 2; give it groups in place of optimizers.",
        ),
        (
            lambda: initialized("O1", master_weights=True),
            fp.ArgumentError,
            "apex: expected overrides that O1 can honour, got master_weights=True with opt_level='O1'; with O1 the "
            "weights themselves are float32; leave it None.",
        ),
    ],
)
def test_misuse_names_its_remedy(call, error, text):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == text
