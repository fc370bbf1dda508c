"""How networks are made, looked at, changed and run: PyTorch's mechanics, and the precision of each module."""

import copy

import numpy as np
import pytest

import fpsim as fp
import fpsim.nn as nn
import fpsim.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(2)])
        self.scale = nn.Parameter([2.0])
        self.register_buffer("seen", fp.zeros(1))
        self.register_buffer("scratch", fp.zeros(1), persistent=False)
        self.norm = nn.BatchNorm2d(4, affine=False)

    def forward(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return x * self.scale


PARAMETERS = [
    "scale", "first.weight", "first.bias", "blocks.0.0.weight", "blocks.0.0.bias", "blocks.1.0.weight",
    "blocks.1.0.bias",
]  # fmt: skip
BUFFERS = ["seen", "norm.running_mean", "norm.running_var", "norm.num_batches_tracked"]

# Parts ---------------------------------------------------------------------------------------------------------------


def test_parameters_come_in_the_order_of_definition_as_in_torch():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == PARAMETERS
    assert [p.shape for p in net.parameters()] == [(1,), (4, 3), (4,), (4, 4), (4,), (4, 4), (4,)]


def test_modules_are_walked_from_the_outside_in():
    names = [name for name, _ in Net().named_modules()]
    assert names == ["", "first", "blocks", "blocks.0", "blocks.0.0", "blocks.0.1", "blocks.1", "blocks.1.0",
                     "blocks.1.1", "norm"]  # fmt: skip
    assert [name for name, _ in Net().named_children()] == ["first", "blocks", "norm"]
    assert len(list(Net().modules())) == 10


def test_a_shared_module_or_parameter_counts_once():
    layer = nn.Linear(2, 2)
    net = nn.Sequential(layer, layer, nn.Linear(2, 2))
    net[2].weight = layer.weight
    assert [name for name, _ in net.named_parameters()] == ["0.weight", "0.bias", "2.bias"]


def test_assigning_none_removes_and_deleting_forgets():
    layer = nn.Linear(2, 2)
    layer.bias = None
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    net = Net()
    del net.first
    assert "first.weight" not in net.state_dict()
    with pytest.raises(AttributeError, match="Net has no attribute 'first'"):
        net.first  # noqa: B018


def test_training_mode_reaches_every_module():
    net = Net()
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    net.train()
    assert all(m.training for m in net.modules())


def test_apply_visits_children_first():
    order = []
    nn.Sequential(nn.Linear(1, 1), nn.ReLU()).apply(lambda m: order.append(type(m).__name__))
    assert order == ["Linear", "ReLU", "Sequential"]


def test_gradients_can_be_switched_off_and_forgotten():
    net = nn.Linear(2, 1)
    net(fp.ones(1, 2)).sum().backward()
    assert net.weight.grad.tolist() == [[1.0, 1.0]]
    net.zero_grad(set_to_none=False)
    assert net.weight.grad.tolist() == [[0.0, 0.0]]
    net.zero_grad()
    assert net.weight.grad is None
    net.requires_grad_(False)
    assert not net(fp.ones(1, 2)).requires_grad


def test_containers_index_slice_and_grow():
    net = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1))
    assert isinstance(net[1], nn.ReLU)
    assert isinstance(net[-1], nn.Linear)
    assert len(net[:2]) == 2
    assert isinstance(net[:2], nn.Sequential)
    assert len(net.append(nn.Tanh())) == 4
    named = nn.Sequential({"a": nn.Linear(1, 1), "b": nn.ReLU()})
    assert [name for name, _ in named.named_children()] == ["a", "b"]
    parts = nn.ModuleDict({"x": nn.Linear(1, 1)})
    parts["y"] = nn.ReLU()
    assert (list(parts), "y" in parts, len(parts)) == (["x", "y"], True, 2)
    assert [name for name, _ in parts.named_parameters()] == ["x.weight", "x.bias"]


def test_a_network_can_be_copied():
    net = Net()
    other = copy.deepcopy(net)
    with fp.no_grad():
        other.first.weight *= 0.0
    assert net.first.weight._data.any()
    assert list(other.state_dict()) == list(net.state_dict())


REPRS = {  # recorded from PyTorch 2.13
    "nn.Linear(5, 3)": "Linear(in_features=5, out_features=3, bias=True)",
    "nn.Linear(5, 3, bias=False)": "Linear(in_features=5, out_features=3, bias=False)",
    "nn.Conv2d(2, 4, 3)": "Conv2d(2, 4, kernel_size=(3, 3), stride=(1, 1))",
    "nn.Conv2d(2, 4, (3, 1), stride=2, padding=1, dilation=2, groups=2, bias=False)": "Conv2d(2, 4, "
    "kernel_size=(3, 1), stride=(2, 2), padding=(1, 1), dilation=(2, 2), groups=2, bias=False)",
    "nn.Conv2d(2, 4, 3, padding='same')": "Conv2d(2, 4, kernel_size=(3, 3), stride=(1, 1), padding=same)",
    "nn.MaxPool2d(2)": "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)",
    "nn.MaxPool2d(3, 1, 1, 2, ceil_mode=True)": "MaxPool2d(kernel_size=3, stride=1, padding=1, dilation=2, "
    "ceil_mode=True)",
    "nn.AvgPool2d((2, 3), 1, 1, True, False, 3)": "AvgPool2d(kernel_size=(2, 3), stride=1, padding=1)",
    "nn.BatchNorm2d(3)": "BatchNorm2d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)",
    "nn.BatchNorm2d(3, affine=False, momentum=None)": "BatchNorm2d(3, eps=1e-05, momentum=None, affine=False, "
    "bias=False, track_running_stats=True)",
    "nn.LayerNorm(6)": "LayerNorm((6,), eps=1e-05, elementwise_affine=True, bias=True)",
    "nn.LayerNorm([2, 3], elementwise_affine=False)": "LayerNorm((2, 3), eps=1e-05, elementwise_affine=False, "
    "bias=False)",
    "nn.Embedding(10, 3)": "Embedding(10, 3)",
    "nn.Embedding(10, 3, padding_idx=0)": "Embedding(10, 3, padding_idx=0)",
    "nn.Dropout(0.2, True)": "Dropout(p=0.2, inplace=True)",
    "nn.Flatten()": "Flatten(start_dim=1, end_dim=-1)",
    "nn.ReLU()": "ReLU()",
    "nn.ReLU(True)": "ReLU(inplace=True)",
    "nn.Tanh()": "Tanh()",
    "nn.Sigmoid()": "Sigmoid()",
    "nn.GELU()": "GELU(approximate='none')",
    "nn.Softmax(1)": "Softmax(dim=1)",
    "nn.LogSoftmax(dim=1)": "LogSoftmax(dim=1)",
    "nn.CrossEntropyLoss()": "CrossEntropyLoss()",
    "nn.Identity()": "Identity()",
    "nn.Sequential()": "Sequential()",
    "nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU()))": "Sequential(\n"
    "  (0): Linear(in_features=2, out_features=3, bias=True)\n  (1): Sequential(\n    (0): ReLU()\n  )\n)",
    "nn.ModuleList([nn.Tanh(), nn.Tanh(), nn.ReLU()])": "ModuleList(\n  (0-1): 2 x Tanh()\n  (2): ReLU()\n)",
    "nn.ModuleDict({'a': nn.Tanh()})": "ModuleDict(\n  (a): Tanh()\n)",
}


@pytest.mark.parametrize("expression", REPRS)
def test_reprs_are_torchs(expression):
    assert repr(eval(expression, {"nn": nn})) == REPRS[expression]


# State ---------------------------------------------------------------------------------------------------------------


def test_the_state_is_parameters_and_persistent_buffers():
    state = Net().state_dict()
    assert set(state) == {*PARAMETERS, *BUFFERS}
    assert not any(getattr(value, "requires_grad", False) for value in state.values())
    assert list(nn.Linear(1, 1).state_dict(prefix="fc.")) == ["fc.weight", "fc.bias"]


def test_loading_gives_the_same_network():
    source, target = Net(), Net()
    x = fp.ones(2, 3)
    assert repr(target.load_state_dict(source.state_dict())) == "<All keys matched successfully>"
    np.testing.assert_array_equal(target(x), source(x))


def test_loading_rounds_arrays_once_into_each_parameters_format():
    layer = nn.Linear(1, 1).half()
    layer.load_state_dict({"weight": np.array([[1 + 2.0**-11 + 2.0**-40]]), "bias": [70000.0]})
    assert layer.weight.item() == 1 + 2.0**-10  # through float32 it would be 1
    assert layer.bias.item() == np.inf
    assert layer.weight.dtype.name == "float16"


def test_without_strict_what_does_not_match_is_told():
    layer = nn.Linear(1, 1)
    keys = layer.load_state_dict({"weight": np.ones((1, 1)), "more": np.ones(1)}, strict=False)
    assert keys == (["bias"], ["more"])
    assert layer.weight.item() == 1.0


@pytest.mark.parametrize(
    ("state", "error", "text"),
    [
        (
            {"weight": np.ones((1, 2)), "more": np.ones(1)},
            fp.ArgumentError,
            "load_state_dict: expected the network's own names, got missing bias; unknown more; or pass strict=False.",
        ),
        (
            {"weight": np.ones((2, 1)), "bias": np.ones(1)},
            fp.ShapeError,
            "load_state_dict: expected numbers of shape (1, 2), got weight of shape (2, 1) and dtype float64; "
            "load it into a network of the same sizes.",
        ),
        (
            {"weight": np.array([["a", "b"]]), "bias": np.ones(1)},
            fp.ShapeError,
            "load_state_dict: expected numbers of shape (1, 2), got weight of shape (1, 2) and dtype <U1; "
            "load it into a network of the same sizes.",
        ),
        (
            [np.ones(2)],
            fp.ArgumentTypeError,
            "load_state_dict: expected a dict of arrays, got list; pass what state_dict() gave.",
        ),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(state, error, text):
    layer = nn.Linear(2, 1)
    before = layer.weight._data
    with pytest.raises(error) as caught:
        layer.load_state_dict(state)
    assert str(caught.value) == text
    assert layer.weight._data is before


# Precision -----------------------------------------------------------------------------------------------------------


def test_layers_compute_in_the_default_precision_of_their_making():
    with fp.default_precision("float16/float32"):
        layer = nn.Linear(2, 2)
    assert str(layer.precision) == "float16/float32"
    assert str(layer(fp.ones(1, 2)).precision) == "float16/float32"
    assert nn.Linear(2, 2, dtype="bfloat16").weight.dtype.name == "bfloat16"
    assert nn.ReLU().precision is None


def test_half_float_and_double_round_in_place():
    layer = nn.Linear(2, 2)
    weight = layer.weight
    wide = weight._data.copy()
    assert layer.half() is layer
    assert layer.weight is weight
    np.testing.assert_array_equal(weight._data, fp.round(wide, "float16"))
    assert layer.double().weight.dtype.name == "float64"
    np.testing.assert_array_equal(weight._data, fp.round(wide, "float16"))
    assert layer.to("cuda", dtype=fp.bfloat16).weight.dtype.name == "bfloat16"
    assert str(layer.to("float16/float32").precision) == "float16/float32"


def test_a_modules_precision_holds_whatever_its_inputs_accumulators():
    layer = nn.Linear(2, 1).to("float16/float16")
    out = layer(fp.ones(1, 2, dtype="float16", accumulate="float32"))
    assert str(out.precision) == "float16"


def test_gradients_cross_the_border_into_the_inputs_format():
    x = fp.ones(1, 2, requires_grad=True)
    net = nn.Sequential(nn.Linear(2, 2).half(), nn.Linear(2, 1))
    net(x).sum().backward()
    assert x.grad.dtype.name == "float32"
    assert net[0].weight.grad.dtype.name == "float16"
    assert net[1].weight.grad.dtype.name == "float32"


def test_running_statistics_stay_in_their_own_format():
    layer = nn.BatchNorm2d(2).half()
    x = fp.tensor(np.random.default_rng(0).normal(size=(4, 2, 3, 3)), dtype="float16")
    layer(x)
    assert layer.running_mean.dtype.name == "float32"
    mean = x._data.astype(np.float64).mean(axis=(0, 2, 3))
    np.testing.assert_allclose(layer.running_mean._data, 0.1 * mean, rtol=1e-6)  # float16 would be off by 5e-4
    unbiased = x._data.astype(np.float64).var(axis=(0, 2, 3), ddof=1)
    np.testing.assert_allclose(layer.running_var._data, 0.9 + 0.1 * unbiased, rtol=1e-6)


def test_the_functional_form_moves_the_statistics_it_is_given():
    x = fp.tensor(np.arange(8.0).reshape(2, 1, 2, 2))
    mean, var = fp.zeros(1), fp.ones(1)
    F.batch_norm(x, mean, var, training=True, momentum=0.5)
    assert mean.tolist() == [1.75]
    assert var.tolist() == [3.5]


def test_observers_see_dotted_paths_that_are_the_modules_names():
    net = Net()
    with fp.observe() as report:
        net(fp.ones(1, 3))
    seen = {module for _, _, module, _, _ in report.counts}
    assert seen == {"", "first", "blocks.0.0", "blocks.1.0"}
    assert seen <= {name for name, _ in net.named_modules()}


# Initial weights -----------------------------------------------------------------------------------------------------

LAYERS = ["nn.Linear(7, 5)", "nn.Conv2d(2, 3, 3)", "nn.Embedding(11, 4, padding_idx=2)", "nn.LeNet()"]


@pytest.mark.parametrize("fmt", ["float16", "bfloat16", "float32", "float8_e4m3fn"])
@pytest.mark.parametrize("make", LAYERS)
def test_weights_are_drawn_in_float64_and_rounded_once(make, fmt):
    def weights(precision):
        with fp.seed(3), fp.default_precision(precision):
            return list(eval(make, {"nn": nn}).parameters())

    for wide, narrow in zip(weights("float64"), weights(fmt), strict=True):
        assert wide.dtype.name == "float64"
        np.testing.assert_array_equal(narrow._data, fp.round(wide._data, fmt))


def test_a_generator_of_ones_own_leaves_the_contexts_alone():
    def first(**options):
        with fp.seed(0):
            nn.Linear(3, 3, **options)
            return nn.Linear(1, 1).weight.item()

    with fp.seed(0):
        untouched = nn.Linear(1, 1).weight.item()
    assert first(rng=np.random.default_rng(1)) == untouched != first()


def test_linear_starts_uniform_within_torchs_bound():
    with fp.seed(0):
        w = nn.Linear(100, 1000).weight._data
    assert np.abs(w).max() <= 0.1
    assert abs(w.std() - 0.1 / np.sqrt(3)) < 1e-3
    assert abs(w.mean()) < 1e-3


@pytest.mark.parametrize(
    ("name", "std"),
    [
        ("xavier_uniform_", np.sqrt(2 / 300)),
        ("xavier_normal_", np.sqrt(2 / 300)),
        ("kaiming_uniform_", np.sqrt(2 / 100)),
        ("kaiming_normal_", np.sqrt(2 / 100)),
        ("normal_", 1.0),
        ("uniform_", np.sqrt(1 / 12)),
    ],
)
def test_torchs_initialisers_have_their_spread(name, std):
    weight = nn.Linear(100, 200).weight
    with fp.seed(0):
        assert getattr(nn.init, name)(weight) is weight
    assert abs(weight._data.std() / std - 1) < 0.02


def test_constants_are_filled_in_place():
    layer = nn.Linear(2, 2)
    nn.init.constant_(layer.weight, 0.1)
    nn.init.zeros_(layer.bias)
    assert set(layer.weight._data.flat) == {np.float32(0.1)}
    assert not layer.bias._data.any()


# Dropout -------------------------------------------------------------------------------------------------------------


def test_dropout_follows_the_seed_and_the_mode():
    layer, x = nn.Dropout(0.25), fp.ones(10_000)
    with fp.seed(1):
        out = layer(x)
    with fp.seed(1):
        np.testing.assert_array_equal(layer(x), out)
    assert set(out.tolist()) == {0.0, float(np.float32(4 / 3))}
    assert abs(out._data.astype(bool).mean() - 0.75) < 0.02
    assert layer.eval()(x) is x


# Misuse --------------------------------------------------------------------------------------------------------------


class Forgetful(nn.Module):
    def __init__(self):
        self.fc = nn.Linear(1, 1)


def replaced():
    layer = nn.Linear(1, 1)
    layer.weight = np.ones((1, 1))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            Forgetful,
            fp.ArgumentError,
            "Forgetful: expected super().__init__() first, got fc before it; call super().__init__() in __init__.",
        ),
        (
            replaced,
            fp.ArgumentTypeError,
            "Linear: expected an nn.Parameter or None there, got weight=ndarray; wrap it: nn.Parameter(x).",
        ),
        (
            lambda: nn.Module()(fp.ones(1)),
            fp.ArgumentError,
            "Module: expected a forward method, got none; define forward(self, x).",
        ),
        (
            lambda: nn.Sequential(np.tanh),
            fp.ArgumentTypeError,
            "Sequential: expected an nn.Module, got 0=ufunc; pass a module.",
        ),
        (
            lambda: Net().get_submodule("second"),
            fp.ArgumentError,
            "get_submodule: expected the name of a module, got 'second'; use one of first, blocks, blocks.0, "
            "blocks.0.0, blocks.0.1, blocks.1, blocks.1.0, blocks.1.1, norm.",
        ),
        (
            lambda: nn.Linear(0, 3),
            fp.ArgumentError,
            "Linear: expected whole numbers of at least 1, got in_features=0; correct it.",
        ),
        (
            lambda: nn.Linear(2, 3)(fp.ones(4, 5)),
            fp.ShapeError,
            "linear: expected 2 features in the last axis, got x.shape=(4, 5), weight.shape=(3, 2); flatten the input.",
        ),
        (
            lambda: nn.Linear(2, 3)(np.ones((1, 2))),
            fp.ArgumentTypeError,
            "linear: expected a tensor, got ndarray; make one with fp.tensor(x).",
        ),
        (
            lambda: nn.Conv2d(3, 4, 3, groups=2),
            fp.ArgumentError,
            "Conv2d: expected channels that the groups divide, got in_channels=3, out_channels=4, groups=2; "
            "change the groups.",
        ),
        (
            lambda: nn.Conv2d(1, 1, 3, padding_mode="reflect"),
            fp.ArgumentError,
            "Conv2d: expected padding_mode='zeros', got padding_mode='reflect'; pad with fp.pad first.",
        ),
        (
            lambda: nn.Conv2d(1, 1, 3, padding="some"),
            fp.ArgumentError,
            "Conv2d: expected numbers, 'same' or 'valid', got padding='some'; choose one.",
        ),
        (
            lambda: nn.Conv2d(1, 1, (3, 0)),
            fp.ArgumentError,
            "Conv2d: expected one or two integers of at least 1, got kernel_size=(3, 0); correct it.",
        ),
        (
            lambda: nn.Conv2d(2, 1, 3)(fp.ones(1, 1, 5, 5)),
            fp.ShapeError,
            "conv2d: expected images (n, 2, row, column), got x.shape=(1, 1, 5, 5), weight.shape=(1, 2, 3, 3), "
            "groups=1; check the channels and groups.",
        ),
        (
            lambda: nn.Conv2d(1, 1, 5)(fp.ones(1, 1, 3, 3)),
            fp.ShapeError,
            "conv2d: expected images at least as large as the kernel, got x.shape=(1, 1, 3, 3), "
            "weight.shape=(1, 1, 5, 5), groups=1; add padding.",
        ),
        (
            lambda: nn.MaxPool2d(2, return_indices=True),
            fp.ArgumentError,
            "MaxPool2d: expected values only, got return_indices=True; leave it out.",
        ),
        (
            lambda: nn.MaxPool2d(2, padding=2)(fp.ones(1, 1, 4, 4)),
            fp.ArgumentError,
            "max_pool2d: expected padding of at most half the kernel, got padding=(2, 2), kernel_size=(2, 2); "
            "make it smaller.",
        ),
        (
            lambda: nn.BatchNorm2d(3)(fp.ones(2, 4, 1, 1)),
            fp.ShapeError,
            "BatchNorm2d: expected images (n, 3, row, column), got x.shape=(2, 4, 1, 1); check num_features.",
        ),
        (
            lambda: nn.BatchNorm2d(3)(fp.ones(1, 3, 1, 1)),
            fp.ShapeError,
            "batch_norm: expected more than one value per channel in training, got x.shape=(1, 3, 1, 1); use eval().",
        ),
        (
            lambda: nn.LayerNorm(3)(fp.ones(2, 4)),
            fp.ShapeError,
            "layer_norm: expected last sizes (3,), got x.shape=(2, 4); check normalized_shape.",
        ),
        (
            lambda: nn.Embedding(3, 2)(np.array([0, 3])),
            fp.DataError,
            "embedding: expected indices from 0 to 2, got indices from 0 to 3; enlarge the embedding.",
        ),
        (
            lambda: nn.Embedding(3, 2)(np.array([0.5])),
            fp.ArgumentTypeError,
            "embedding: expected integer indices, got dtype=float64; convert with .astype(int).",
        ),
        (
            lambda: nn.Embedding(3, 2, padding_idx=3),
            fp.ArgumentError,
            "Embedding: expected a row below 3, got padding_idx=3; correct it.",
        ),
        (
            lambda: nn.Embedding(3, 2, max_norm=1.0),
            fp.ArgumentError,
            "Embedding: expected rows as they are, got max_norm=1.0, scale_grad_by_freq=False; leave both out.",
        ),
        (
            lambda: nn.Dropout(1.5),
            fp.ArgumentError,
            "Dropout: expected a probability from 0 to 1, got p=1.5; correct it.",
        ),
        (
            lambda: nn.CrossEntropyLoss(size_average=False)(fp.ones(1, 2), [0]),
            fp.ArgumentError,
            "cross_entropy: expected reduction= in place of PyTorch's former arguments, got size_average=False, "
            "reduce=None; leave both out.",
        ),
        (
            lambda: nn.NLLLoss(reduction="max")(fp.ones(1, 2), [0]),
            fp.ArgumentError,
            "nll_loss: expected a reduction of mean, sum, none, got 'max'; choose one.",
        ),
        (
            lambda: F.cross_entropy(fp.ones(2, 3), np.array([0, 3])),
            fp.DataError,
            "cross_entropy: expected labels from 0 to 2, got labels from 0 to 3; number the classes from 0.",
        ),
        (
            lambda: F.cross_entropy(fp.ones(2, 3), np.array([0, 1, 2])),
            fp.ShapeError,
            "cross_entropy: expected labels of shape (2,), got input.shape=(2, 3), target.shape=(3,); "
            "give one label per sample.",
        ),
        (
            lambda: F.nll_loss(fp.ones(0, 3), np.array([], int)),
            fp.DataError,
            "nll_loss: expected at least one sample, got input.shape=(0, 3); skip empty batches.",
        ),
        (
            lambda: F.mse_loss(fp.ones(2), fp.ones(3)),
            fp.ShapeError,
            "mse_loss: expected a target of the input's shape, got input.shape=(2,), target.shape=(3,); reshape one.",
        ),
        (
            lambda: nn.init.xavier_uniform_(fp.ones(3)),
            fp.ShapeError,
            "xavier_uniform_: expected a weight of at least two axes, got shape=(3,); use normal_ or zeros_.",
        ),
    ],
)
def test_misuse_names_the_remedy(call, error, text):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == text
