"""Costs of the classic network, counted by hand; the devices' figures; the text that says what surprises."""

import json
import re
from functools import partial

import numpy as np
import pytest

import fpsim as fp
from fpsim import nn
from fpsim.observe.cost_report import duration, megabytes
from fpsim.observe.devices import DEVICES, Device, Rate

N = 8
#: Of the classic network: 5x5 kernels to 20 and to 64 channels, 1600-500-10, each with biases.
WEIGHTS = 20 * 25 + 64 * 20 * 25 + 500 * 1600 + 10 * 500
PARAMETERS = WEIGHTS + 20 + 64 + 500 + 10
#: An image's values that backward reads: the input (for conv1's weights), relu 1 (for itself and pooling), pool 1 (for
#: pooling and conv2's weights), relu 2, pool 2 (for pooling and fc1's weights), relu 3, the log probabilities.
KEPT = 32 * 32 + 20 * 28 * 28 + 20 * 14 * 14 + 64 * 10 * 10 + 64 * 5 * 5 + 500 + 10
#: Multiply-adds of an image: outputs times the terms of each.
CONV1, CONV2, FC1, FC2 = 20 * 28 * 28 * 25, 64 * 10 * 10 * 20 * 25, 1600 * 500, 500 * 10
FORWARD = CONV1 + CONV2 + FC1 + FC2
#: Each product once forward and twice backward, but for conv1's gradient of the image.
TRAINING = 3 * FORWARD - CONV1


@pytest.fixture(scope="module")
def found():
    policies = ["float32", "O2", "mixed_float16", "float16/float32", "float16", "conv16_fc32", "O1", "float64"]
    return fp.cost(nn.LeNet(), (N, 1, 32, 32), policies)


def test_the_classic_network_in_float32(found):
    one = found["float32"]
    assert one.parameters == PARAMETERS == 838094
    assert one.training == {
        "weights": 4 * PARAMETERS, "masters": 0, "gradients": 4 * PARAMETERS, "state": 8 * PARAMETERS,
        "activations": 4 * N * KEPT, "cast weights": 0, "buffers": 0,
    }  # fmt: skip
    assert one.macs() == {"float32/float32": N * TRAINING}
    assert one.macs("inference") == {"float32/float32": N * FORWARD}


def test_masters_make_sixteen_bytes_of_mixed_precision(found):
    one = found["O2"]
    assert one.training == {
        "weights": 2 * PARAMETERS, "masters": 4 * PARAMETERS, "gradients": 2 * PARAMETERS, "state": 8 * PARAMETERS,
        "activations": 2 * N * KEPT, "cast weights": 0, "buffers": 0,
    }  # fmt: skip
    assert one.macs() == {"float16/float32": N * TRAINING}
    assert sum(one.bytes_per_parameter().values()) == sum(found["float32"].bytes_per_parameter().values()) == 16
    assert one.unscaled == 4 * PARAMETERS
    unscaled = fp.cost(nn.Linear(2, 2), (1, 2), "float16_masters")["float16_masters"]  # no loss scaler
    assert (unscaled.training["masters"], unscaled.unscaled) == (4 * 6, 0)


@pytest.mark.parametrize("policy", ["mixed_float16", "O1"])
def test_casting_at_use_keeps_the_cast_weights_too(found, policy):
    one = found[policy]
    assert one.training["weights"] == one.training["gradients"] == 4 * PARAMETERS
    # biases are not read by backward, conv1's weights neither: the image wants no gradient
    assert one.training["cast weights"] == 2 * (WEIGHTS - 20 * 25)
    assert one.macs() == {"float16/float32": N * TRAINING}


def test_autocast_keeps_log_probabilities_in_float32(found):
    # log_softmax is on autocast's float32 list
    assert found["O1"].training["activations"] == 2 * N * (KEPT - 10) + 4 * N * 10
    assert found["mixed_float16"].training["activations"] == 2 * N * KEPT


def test_pure_formats_halve_everything(found):
    one = found["float16"]
    assert {k: 2 * v for k, v in one.training.items()} == found["float32"].training
    assert one.macs() == {"float16/float16": N * TRAINING}
    assert {k: v // 2 for k, v in found["float64"].training.items()} == found["float32"].training


def test_layers_of_their_own_formats(found):
    one = found["conv16_fc32"]
    convolutions = N * (3 * (CONV1 + CONV2) - CONV1)
    assert one.macs() == {"float16/float32": convolutions, "float32/float32": N * 3 * (FC1 + FC2)}
    conv_parameters = 20 * 25 + 20 + 64 * 500 + 64
    assert one.training["weights"] == 2 * conv_parameters + 4 * (PARAMETERS - conv_parameters)


def test_inference_holds_weights_and_the_widest_moment(found):
    # at the first relu: its argument and its result
    for name, size in (("float32", 4), ("float16", 2), ("mixed_float16", 2)):
        alive = 2 * 20 * 28 * 28 * N * size
        assert found[name].inference == {"weights": size * PARAMETERS, "activations": alive, "buffers": 0}


def test_traffic_of_an_update_by_hand(found):
    # float32 with Adam: gradient, weight and two moments read, weight and moments written
    assert found["float32"].traffic()["update"] == 7 * 4 * PARAMETERS
    # O2: a float16 gradient, master and moments read and written, a float16 weight written
    assert found["O2"].traffic()["update"] == (2 + 6 * 4 + 2) * PARAMETERS


def test_traffic_of_inference_by_hand(found):
    # each operation reads its arguments and writes its result; flattening moves nothing
    values = [32 * 32 + 15680, 2 * 15680, 15680 + 3920, 3920 + 6400, 2 * 6400, 6400 + 1600, 1600 + 500, 2 * 500,
              500 + 10, 2 * 10]  # fmt: skip
    assert found["float32"].traffic("inference") == {"forward": 4 * (N * sum(values) + PARAMETERS)}


@pytest.mark.parametrize(
    ("optimizer", "arrays"),
    [("sgd", 0), ("momentum", 1), ("Adam", 2), ("adamw", 2), (partial(fp.optim.Adam, amsgrad=True), 3)],
    ids=str,
)
def test_what_an_optimizer_keeps(optimizer, arrays):
    found = fp.cost(nn.Linear(3, 2), (1, 3), "float16", optimizer=optimizer)
    assert found["float16"].training["state"] == arrays * 2 * 8
    assert found["float32"].training["state"] == arrays * 4 * 8


def test_counts_agree_with_a_real_step():
    """Weights, masters, gradients and state as tensors hold them after a step of training."""
    for name in ("float32", "float16/float32", "float16_masters", "bfloat16"):
        with fp.seed(0):
            net = nn.LeNet()
        optimizer = fp.optim.SGD(net.parameters(), lr=0.1, momentum=0.5)
        fp.amp.apply(net, name, optimizer)
        nn.functional.nll_loss(net(fp.zeros(2, 1, 32, 32)), np.array([1, 2])).backward()
        optimizer.step()
        held = {
            "weights": sum(p.nbytes for p in net.parameters()),
            "masters": sum(p.master.nbytes for p in net.parameters() if p.master is not None),
            "gradients": sum(p.grad.nbytes for p in net.parameters()),
            "state": sum(t.nbytes for s in optimizer.state.values() for t in s.values() if isinstance(t, fp.Tensor)),
        }
        counted = fp.cost(nn.LeNet(), (2, 1, 32, 32), name, optimizer="momentum")[name].training
        assert {part: counted[part] for part in held} == held


def test_the_network_is_left_as_it_was():
    with fp.seed(0):
        net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(), nn.Flatten(), nn.Linear(8, 2))
    before = {name: np.array(value) for name, value in net.state_dict().items()}
    with fp.seed(1) as rng:
        state = rng.bit_generator.state
        with fp.observe() as report:
            found = fp.cost(net, (3, 1, 4, 4), "O2")
        assert rng.bit_generator.state == state
    assert not report.counts
    assert all(np.array_equal(np.asarray(value), before[name]) for name, value in net.state_dict().items())
    assert net.training
    assert all(p.grad is None and p.master is None and p.dtype == fp.float32 for p in net.parameters())
    # batch normalisation stays in float32: 4 parameters of 4 bytes; its statistics 2 x 2 x 4 bytes, a count of 8
    assert found["O2"].training["weights"] == 2 * (18 + 2 + 16 + 2) + 4 * 4
    assert found["O2"].training["buffers"] == 24


def test_frozen_parameters_have_no_gradient_and_no_state():
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    net[0].requires_grad_(False)
    one = fp.cost(net, (1, 4), "float32")["float32"]
    assert (one.training["weights"], one.training["gradients"]) == (4 * 30, 4 * 10)
    assert one.training["state"] == 2 * 4 * 10
    assert one.training["activations"] == 4 * 4  # the second layer's input alone
    assert one.macs() == {"float32/float32": 16 + 8 + 8}


def test_a_batch_of_indices():
    net = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 2))
    one = fp.cost(net, np.array([[1, 2, 3]]), "float32")["float32"]
    assert one.macs("inference") == {"float32/float32": 3 * 8}


def test_patterns_and_precisions_as_policies():
    found = fp.cost(nn.LeNet(), (1, 1, 32, 32), [{"conv*": "float16/float32"}, fp.Precision("bfloat16", "float32")])
    names = [one.name for one in found]
    assert names == ["float32", "conv*: float16/float32", "bfloat16/float32"]
    assert set(found["conv*: float16/float32"].macs()) == {"float16/float32", "float32/float32"}


def test_a_network_in_formats_is_counted_in_others():
    net = fp.amp.apply(nn.LeNet(), "O2")
    assert fp.cost(net, (N, 1, 32, 32), "float32")["float32"].training["weights"] == 4 * PARAMETERS


# Devices -------------------------------------------------------------------------------------------------------------


def test_a_roofline_by_hand():
    """32x64 by 64x10 in float32: 2 * 20480 operations, 4 * (2048 + 640 + 10 + 320) bytes."""
    fast = Device(
        "fast", "cloud", (Rate(fp.float32, fp.float32, 1.0),), bandwidth=1, memory=1, watts=1, source="made up"
    )
    slow = Device(
        "slow", "edge", (Rate(fp.float32, fp.float32, 1e-6),), bandwidth=1, memory=1, watts=1, source="made up"
    )
    found = fp.cost(nn.Linear(64, 10), (32, 64), "float32", devices=[fast, slow])
    moving = found["float32"].time(fast, "inference")
    assert moving.seconds == pytest.approx(4 * 3018 / 1e9, rel=1e-12)
    assert moving.memory_bound == 1
    computing = found["float32"].time(slow, "inference")
    assert computing.seconds == pytest.approx(2 * 20480 / 1e6, rel=1e-12)
    assert computing.memory_bound == 0


def test_a_device_computes_in_the_fastest_format_that_holds_the_numbers():
    cpu, h100, v100 = (DEVICES[name] for name in ("EPYC 7763", "H100", "V100"))
    assert cpu.rate(fp.float16, fp.float16).inputs == fp.float32
    assert h100.rate(fp.float8_e4m3fn, fp.float32).tflops == 1979
    assert h100.rate(fp.float32, fp.float32).inputs == fp.float32  # tfloat32 does not hold it
    assert v100.rate(fp.bfloat16, fp.float32).inputs == fp.float32  # no bfloat16 before Ampere
    assert v100.rate(fp.float16, fp.float64).inputs == fp.float64  # its tensor cores sum in float32
    assert DEVICES["Jetson Orin Nano"].rate(fp.float64, fp.float64) is None


def test_the_table_has_the_devices_with_their_sources():
    assert {"V100", "A100", "H100", "T4"} < set(DEVICES)
    assert {d.kind for d in DEVICES.values()} == {"cloud", "desktop", "edge", "cpu"}
    for device in DEVICES.values():
        assert re.search(r"(datasheet|data sheet|whitepaper).*\b20\d\d\b", device.source), device.name
        assert device.bandwidth > 0
        assert all(r.tflops > 0 for r in device.rates)


def test_no_figure_no_time(found):
    assert found["float64"].time(DEVICES["Jetson Orin Nano"]) is None
    assert found.to_dict()["rows"][-1]["training seconds"]["Jetson Orin Nano"] is None


# Forms ---------------------------------------------------------------------------------------------------------------


def test_the_text_says_what_surprises(found):
    text = found.table()
    assert (
        "O2 with adam holds 16 bytes a parameter in training (2 weights + 4 masters + 2 gradients + 8 state), just as "
        "float32 does. The saving is in activations (0.466 MB instead of 0.932) and traffic a step ("
    ) in text
    assert "mixed_float16 with adam holds 18 bytes a parameter" in text
    assert ", more than float32's 16" in text
    assert "O2 holds 4 bytes a parameter more for the length of the update" in text
    for device in DEVICES:
        assert text.count(device) == 2  # training and inference


def test_a_saving_is_claimed_only_where_there_is_one():
    """At one image the casts of mixed_float16 move more than its activations save."""
    found = fp.cost(nn.LeNet(), (1, 1, 32, 32), "mixed_float16")
    moved = [sum(found[name].traffic().values()) for name in ("mixed_float16", "float32")]
    assert moved[0] > moved[1]
    assert "The saving is in activations (0.058 MB instead of 0.117)." in found.table()


def test_reports_in_all_forms(found):
    content = json.loads(found.to_json())
    assert content["rows"][0]["training bytes"]["weights"] == 4 * PARAMETERS
    assert content["devices"][0]["source"].startswith("NVIDIA V100")
    html = found._repr_html_()
    assert html.count("<table") == 4
    assert "just as float32 does" in html
    assert str(found) == found.table()


def test_float32_stands_beside_without_being_asked_for():
    assert [one.name for one in fp.cost(nn.Linear(2, 2), (1, 2), "O2")] == ["float32", "O2"]


def test_units():
    assert [duration(s) for s in (2.0, 3.14e-3, 5e-7, None)] == ["2 s", "3.14 ms", "0.5 us", "-"]
    assert megabytes(10**9) == "1,000"
