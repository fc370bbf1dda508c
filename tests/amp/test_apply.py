"""`apply`: per layer, by policy and by recipe; which formats are in force, and what is refused."""

import numpy as np
import pytest

import fpsim as fp
import fpsim.nn as nn
import fpsim.nn.functional as F
from fpsim.autograd.context import Observer

LABELS = np.array([3, 7])


def images(n=2):
    return fp.tensor(np.random.default_rng(0).normal(size=(n, 1, 32, 32)))


def lenet():
    with fp.seed(0):
        return nn.LeNet()


class Normed(nn.Module):
    """A convolution, batch normalisation, and glue between them."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU())
        self.head = nn.Linear(2, 3)

    def forward(self, x):
        return self.head(self.body(x).mean(dim=(2, 3)))


class Seen(Observer):
    """Collects the format of every forward result, by operation and module."""

    def __init__(self):
        self.formats = {}

    def rounded(self, event):
        if event.phase == "forward" and event.op != "cast":
            self.formats[event.module, event.op] = event.fmt.name


def seen(net, x, **changes):
    observer = Seen()
    with fp.autograd.using(observers=(observer,), **changes):
        net(x)
    return observer.formats


def formats(net):
    return {name: p.dtype.name for name, p in net.named_parameters()}


# By pattern ----------------------------------------------------------------------------------------------------------


def test_patterns_give_each_layer_its_precision():
    net = fp.amp.apply(lenet(), {"conv*": "float16/float32", "fc*": "float32"})
    assert net.conv1.precision == fp.Precision("float16/float32")
    assert net.fc1.precision == fp.Precision("float32")
    assert {name: fmt for name, fmt in formats(net).items() if "weight" in name} == {
        "conv1.weight": "float16",
        "conv2.weight": "float16",
        "fc1.weight": "float32",
        "fc2.weight": "float32",
    }


def test_the_last_pattern_wins():
    net = fp.amp.apply(lenet(), {"*": "float16/float32", "fc*": "bfloat16/float32", "fc2": "float32"})
    assert [m.precision.storage.name for m in (net, net.conv1, net.fc1, net.fc2)] == [
        "float16", "float16", "bfloat16", "float32",
    ]  # fmt: skip


def test_a_matched_module_takes_all_inside_it_along():
    net = fp.amp.apply(Normed(), {"body": "float16/float32"})
    assert {m.precision for m in net.body.modules()} == {fp.Precision("float16/float32")}
    assert net.head.precision == fp.Precision("float32")


def test_a_precision_keeps_its_details_and_a_format_alone_is_pure():
    wanted = fp.Precision("float16", "float32", order="blocked:8")
    net = fp.amp.apply(lenet(), {"conv1": wanted, "conv2": "float16", "fc1": fp.bfloat16})
    assert net.conv1.precision == wanted
    assert net.conv2.precision == fp.Precision("float16/float16")
    assert net.fc1.precision == fp.Precision("bfloat16/bfloat16")


def test_a_layers_policy_casts_the_layers_result():
    net = fp.amp.apply(lenet(), {"conv1": fp.amp.policy("p=f32,c=f16,o=f32")})
    assert net.conv1.weight.dtype.name == "float32"
    assert net.conv1(images()).dtype.name == "float32"
    assert seen(net, images())["conv1", "conv2d"] == "float16"


def test_every_parameter_is_rounded_once_from_its_own_value():
    net, same = lenet(), lenet()
    fp.amp.apply(net, {"conv*": "bfloat16/float32"})
    np.testing.assert_array_equal(net.conv1.weight._data, fp.round(same.conv1.weight._data, "bfloat16"))
    np.testing.assert_array_equal(net.fc1.weight._data, same.fc1.weight._data)


# conv16_fc32 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipe", "conv", "fc"),
    [("conv16_fc32", "float16", "float32"), ("conv32_fc16", "float32", "float16")],
)
def test_convolutions_and_fully_connected_layers_apart(recipe, conv, fc):
    net = fp.amp.apply(lenet(), recipe)
    x = images()
    features = F.max_pool2d(F.relu(net.conv1(x)), 2)
    assert (features.dtype.name, features.accumulate.name) == (conv, "float32")
    out = net(x)
    loss = F.cross_entropy(out, LABELS)
    assert (out.dtype.name, loss.dtype.name) == (fc, fc)
    loss.backward()
    for name, p in net.named_parameters():
        assert p.dtype.name == p.grad.dtype.name == (conv if name.startswith("conv") else fc)
    ran = seen(net, x)
    assert {fmt for (module, _), fmt in ran.items() if module.startswith("conv")} == {conv}
    assert {fmt for (module, _), fmt in ran.items() if module.startswith("fc")} == {fc}


def test_conv16_fc32_is_the_same_as_its_patterns():
    x, y = images(), LABELS
    losses = []
    for how in ("conv16_fc32", {"conv*": "float16/float32", "fc*": "float32"}):
        net = fp.amp.apply(lenet(), how)
        losses.append(F.cross_entropy(net(x), y).item())
    assert losses[0] == losses[1]


# Whole networks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "param", "compute", "accumulate", "output"),
    [
        ("float16", "float16", "float16", "float16", "float16"),
        ("float16/float32", "float16", "float16", "float32", "float16"),
        ("float64", "float64", "float64", "float64", "float64"),
        ("mixed_float16", "float32", "float16", "float32", "float32"),
        ("mixed_bfloat16", "float32", "bfloat16", "float32", "float32"),
        ("O0", "float32", "float32", "float32", "float32"),
        ("O2", "float16", "float16", "float32", "float32"),
        ("O3", "float16", "float16", "float32", "float32"),
        ("p=f32,c=bf16", "float32", "bfloat16", "float32", "bfloat16"),
        (fp.amp.policy("float16"), "float16", "float16", "float32", "float16"),
        (fp.amp.recipe("float16/float32"), "float16", "float16", "float32", "float16"),
        (fp.Precision("bfloat16/float32"), "bfloat16", "bfloat16", "float32", "bfloat16"),
        (fp.float16, "float16", "float16", "float16", "float16"),
    ],
    ids=str,
)
def test_one_policy_for_the_whole_network(how, param, compute, accumulate, output):
    net = lenet()
    assert fp.amp.apply(net, how) is net
    assert set(formats(net).values()) == {param}
    assert {m.precision for m in net.modules()} == {fp.Precision(compute, accumulate)}
    out = net(images(1))
    assert out.dtype.name == output
    F.nll_loss(out, LABELS[:1]).backward()
    assert {p.grad.dtype.name for p in net.parameters()} == {param}


def test_o1_runs_the_network_by_pytorchs_lists():
    net = fp.amp.apply(lenet(), "O1")
    assert set(formats(net).values()) == {"float32"}
    ran = seen(net, images(1))
    assert ran["conv1", "conv2d"] == ran["fc2", "linear"] == "float16"
    assert ran["", "log_softmax"] == "float32"
    assert net(images(1)).dtype.name == "float32"


def test_parameters_are_brought_to_the_policys_format_from_any_other():
    for how in ("O1", "mixed_float16", "float32"):
        with fp.default_precision("float64"):
            net = nn.Linear(3, 2)
        assert set(formats(fp.amp.apply(net, how)).values()) == {"float32"}


@pytest.mark.parametrize(
    ("how", "param", "compute"),
    [
        ("O2", "float32", "float32"),
        ("O3", "float16", "float16"),
        ("mixed_float16", "float32", "float32"),
        (fp.amp.policy("float16"), "float16", "float32"),
        ("float16/float32", "float16", "float16"),
    ],
    ids=str,
)
def test_batch_normalisation_stays_wide_where_the_policy_says_so(how, param, compute):
    net = fp.amp.apply(Normed(), how)
    norm = net.body[1]
    assert (norm.weight.dtype.name, norm.precision.storage.name) == (param, compute)
    ran = seen(net, images(2))
    assert ran["body.1", "batch_norm"] == compute
    assert net.body[0].precision.storage.name == "float16"
    assert {np.asarray(b).dtype.name for name, b in net.state_dict().items() if "running" in name} == {"float32"}


def test_sums_can_be_given_an_order():
    net = fp.amp.recipe("mixed_float16", order="sequential").apply(lenet())
    assert net.conv1.precision == fp.Precision("float16", "float32", order="sequential")
    assert F.nll_loss(net(images(1)), LABELS[:1]).precision.order == "sequential"


# With an optimizer ---------------------------------------------------------------------------------------------------


def test_masters_keep_the_value_before_the_cast():
    net, same = lenet(), lenet()
    optimizer = fp.optim.SGD(net.parameters(), lr=0.1)
    fp.amp.apply(net, "O2", optimizer=optimizer)
    for p, before in zip(net.parameters(), same.parameters(), strict=True):
        assert p.master.dtype.name == "float32"
        np.testing.assert_array_equal(p.master._data, before._data)
        np.testing.assert_array_equal(p._data, fp.round(before._data, "float16"))


def test_a_parameter_is_its_master_rounded_from_the_start():
    with fp.default_precision("float64"):
        net = nn.Linear(1, 1, bias=False)
    net.weight.replace_values(np.array([[1 + 2.0**-11 + 2.0**-40]]))  # float32 rounds it to float16's midpoint
    fp.amp.apply(net, "O2", fp.optim.SGD(net.parameters(), lr=0.1))
    assert (net.weight.master.item(), net.weight.item()) == (1 + 2.0**-11, 1.0)


def test_an_o2_training_step_updates_masters_and_rounds_them_into_the_model():
    net = lenet()
    optimizer = fp.optim.SGD(net.parameters(), lr=0.1)
    fp.amp.apply(net, "O2", optimizer)
    scaler = fp.amp.recipe("O2").scaler()
    scaler.scale(F.nll_loss(net(images()), LABELS)).backward()
    before = net.fc2.weight.master._data
    assert not scaler.step(optimizer).skipped
    scaler.update()
    assert not np.array_equal(net.fc2.weight.master._data, before)
    np.testing.assert_array_equal(net.fc2.weight._data, fp.round(net.fc2.weight.master._data, "float16"))


def test_stochastic_updates_move_weights_that_rounding_to_nearest_would_leave():
    moved = {}
    for how in ("float16", "float16_stochastic"):
        with fp.seed(1):
            net = nn.Linear(200, 1)
            net.weight.replace_values(np.ones((1, 200), np.float32))
            optimizer = fp.optim.SGD(net.parameters(), lr=2.0**-13)
            fp.amp.apply(net, how, optimizer)
            net(fp.ones(1, 200)).sum().backward()
            optimizer.step()
        moved[how] = int((net.weight._data != 1).sum())
    assert moved["float16"] == 0
    assert 20 < moved["float16_stochastic"] < 80  # one in four of 200: 50, four standard deviations are 25


def test_the_states_format_is_the_policys():
    net = lenet()
    optimizer = fp.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    fp.amp.apply(net, "p=f16,state=float32", optimizer)
    F.nll_loss(net(images()), LABELS).backward()
    optimizer.step()
    buffers = [t for tensors in optimizer.state.values() for t in tensors.values() if isinstance(t, fp.Tensor)]
    assert {t.dtype.name for t in buffers} == {"float32"}


# Refusals ------------------------------------------------------------------------------------------------------------


def twice(first, second):
    def call():
        net = fp.amp.apply(lenet(), first)
        fp.amp.apply(net, second)

    return call


def of_a_layer():
    net = fp.amp.apply(lenet(), "O3")
    fp.amp.apply(net.conv1, "float32")


REFUSED = [
    (
        lambda: fp.amp.apply(lenet(), {"conv*": "float16", "dense*": "float32"}),
        "apply: expected patterns that match a module, got 'dense*'; the modules are conv1, conv2, fc1, fc2.",
    ),
    (
        twice("O2", "O2"),
        "apply: expected a network without formats of its own, got one with O2; "
        "build the network again, or give all patterns in one call.",
    ),
    (
        twice({"conv1": "float16"}, {"fc*": "float32"}),
        "apply: expected a network without formats of its own, got one with {conv1: float16}; "
        "build the network again, or give all patterns in one call.",
    ),
    (
        of_a_layer,
        "apply: expected a network without formats of its own, got one with O3; "
        "build the network again, or give all patterns in one call.",
    ),
    (
        lambda: fp.amp.apply(lenet(), "mixed_flot16"),
        "recipe: expected a recipe's name, got 'mixed_flot16'; did you mean mixed_float16, mixed_bfloat16, "
        "float16, bfloat16?.",
    ),
    (
        lambda: fp.amp.apply(lenet().parameters(), "O2"),
        "apply: expected an nn.Module, got generator; pass the network first.",
    ),
    (
        lambda: fp.amp.apply(lenet(), "O2", fp.optim.SGD(lenet().parameters(), lr=0.1)),
        "apply: expected an optimizer of the network's parameters, got one of others; make it with net.parameters().",
    ),
    (
        lambda: fp.amp.apply(lenet(), "float16_stochastic"),
        "apply: expected the optimizer, whose updates the recipe rounds, got none for 'float16_stochastic'; "
        "pass optimizer=.",
    ),
    (
        lambda: fp.amp.apply(lenet(), {"conv*": fp.amp.policy("O2")}),
        "apply: expected layers' policies without autocast, masters or state, got 'conv*': params=float16,"
        "compute=float16,output=float32,masters=float32,batchnorm=wide,scaling=apex; "
        "give such a policy to the whole network.",
    ),
]


@pytest.mark.parametrize(("call", "text"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_refused_names_its_remedy(call, text):
    with pytest.raises(fp.ArgumentError) as error:
        call()
    assert str(error.value) == text


def test_a_refused_pattern_leaves_the_network_as_it_was():
    net = lenet()
    with pytest.raises(fp.ArgumentError):
        fp.amp.apply(net, {"conv*": "float16", "dense*": "float32"})
    assert set(formats(net).values()) == {"float32"}
    fp.amp.apply(net, "float16")
