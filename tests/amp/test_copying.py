"""`in_formats`: a copy in other formats, from masters where there are; the original stays."""

import numpy as np
import pytest

import fpsim as fp
from fpsim import nn

VALUE = 1 + 2.0**-12  # float32 has it, float16 has not


def net_of(value=VALUE, **options):
    net = nn.Sequential(nn.Linear(1, 1, **options), nn.Linear(1, 1, **options))
    net[0].load_state_dict({"weight": np.array([[value]]), "bias": np.zeros(1)})
    return net


def test_the_copy_shares_nothing_that_changes():
    net = net_of()
    copied, _ = fp.amp.in_formats(net, "float16")
    assert copied[0].weight.item() == 1.0
    assert net[0].weight.item() == VALUE
    copied[0].weight.data = np.array([[5.0]])
    assert net[0].weight.item() == VALUE


def test_without_formats_it_is_a_plain_copy():
    net = fp.amp.apply(net_of(), "O2")
    copied, _ = fp.amp.in_formats(net)
    assert copied[0].weight.dtype == fp.float16
    assert copied[0].precision == net[0].precision
    assert copied.output_precision == net.output_precision


@pytest.mark.parametrize("before", ["float16_masters", "O2", "mixed_float16", "O1", "conv16_fc32", "bfloat16"])
@pytest.mark.parametrize(
    "how", ["float32", "float16", "O1", {"0": "bfloat16/float32"}, fp.Precision("float64")], ids=str
)
def test_formats_replace_formats(before, how):
    net = net_of()
    fp.amp.apply(net, before, fp.optim.SGD(net.parameters(), lr=0.1))
    copied, _ = fp.amp.in_formats(net, how)
    fresh = net_of(net[0].weight.item() if net[0].weight.master is None else net[0].weight.master.item())
    fp.amp.apply(fresh, how)
    for ours, theirs in zip(copied.modules(), fresh.modules(), strict=True):
        assert (ours.precision, ours.output_precision, ours.autocast) == (
            theirs.precision, theirs.output_precision, theirs.autocast,
        )  # fmt: skip
    assert copied[0].weight.precision == fresh[0].weight.precision
    assert copied[0].weight.item() == fresh[0].weight.item()
    assert copied[0].weight.master is None


def test_a_master_gives_its_value():
    net = net_of()
    fp.amp.apply(net, "float16_masters", fp.optim.SGD(net.parameters(), lr=0.1))
    assert net[0].weight.item() == 1.0
    assert fp.amp.in_formats(net, "float32")[0][0].weight.item() == VALUE


def test_float64_weights_are_kept_whole():
    net = net_of(1 + 2.0**-40, dtype="float64")
    assert fp.amp.in_formats(net, "float64")[0][0].weight.item() == 1 + 2.0**-40


def test_an_optimizer_of_the_copy_gets_masters_and_state():
    net = net_of()
    copied, optimizer = fp.amp.in_formats(net, "O2", fp.optim.Adam)
    assert copied[0].weight.master.item() == VALUE
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == [id(p) for p in copied.parameters()]
    assert net[0].weight.master is None
