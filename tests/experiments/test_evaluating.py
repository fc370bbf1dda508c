"""`evaluate`: a trained network in other formats, against its own forward pass; where outputs differ."""

import json
import math

import numpy as np
import pytest

import fpsim as fp
from fpsim import nn
from fpsim.experiments.evaluating import FORMATS
from fpsim.experiments.scenario import DigitMLP

PRECISIONS = ["float64", "float16", "float8_e5m2", "float4_e2m1fn/float32"]


@pytest.fixture(scope="module")
def digits():
    return fp.data.digits(size=8)


@pytest.fixture(scope="module")
def net(digits):
    with fp.seed(0):
        made = DigitMLP(16)
    optimizer = fp.optim.SGD(made.parameters(), lr=0.1, momentum=0.9)
    for x, y in fp.data.batches(digits.train_x, digits.train_y, 32).take(100):
        nn.functional.cross_entropy(made(fp.tensor(x)), y).backward()
        optimizer.step()
        optimizer.zero_grad()
    return made


@pytest.fixture(scope="module")
def report(net, digits):
    return fp.evaluate(net, digits, PRECISIONS)


def linear(weight, **options):
    net = nn.Linear(len(weight[0]), len(weight), bias=False, **options)
    net.load_state_dict({"weight": np.array(weight)})
    return net


def test_accuracy_is_that_of_the_network_itself(net, digits, report):
    with fp.no_grad():
        out = net(fp.tensor(digits.test_x))
    assert report["float32"].accuracy == np.mean(out.argmax(dim=1) == digits.test_y) > 0.8
    loss = nn.functional.cross_entropy(out.double(), digits.test_y).item()
    assert report["float32"].loss == pytest.approx(loss, rel=1e-12)


@pytest.mark.parametrize("name", PRECISIONS)
def test_each_precision_is_what_apply_gives(net, digits, report, name):
    with fp.seed(0):
        own = DigitMLP(16)
    own.load_state_dict(net.state_dict())
    fp.amp.apply(own, name)
    with fp.no_grad():
        out = own(fp.tensor(digits.test_x))
        plain = net(fp.tensor(digits.test_x)).numpy().astype(np.float64)
    values, found = out.numpy().astype(np.float64), report[name]
    own_class, plain_class = values.argmax(1), plain.argmax(1)
    assert found.accuracy == np.mean(own_class == digits.test_y)
    assert found.agreement == np.mean(own_class == plain_class)
    assert [c.sample for c in found.changed] == np.flatnonzero(own_class != plain_class).tolist()
    for c in found.changed:
        assert (c.label, c.float32, c.own) == (digits.test_y[c.sample], plain_class[c.sample], own_class[c.sample])
    assert found.deviation == pytest.approx(np.linalg.norm(values - plain) / np.linalg.norm(plain), rel=1e-12)
    first = found.largest[0]
    assert abs(first.value - first.float32) == np.abs(values - plain).max() == found.largest_difference
    assert values[first.sample, first.output] == first.value
    assert found.nbytes == sum(p.nbytes for p in own.parameters())


def test_classes_add_up_to_the_whole(report):
    for one in report:
        n = sum(c["samples"] for c in one.per_class.values())
        assert n == report.samples == 360
        for what in ("accuracy", "agreement"):
            total = sum(c["samples"] * c[what] for c in one.per_class.values())
            assert total / n == pytest.approx(getattr(one, what))
        assert max(c["largest"] for c in one.per_class.values()) == one.largest_difference


def test_narrower_formats_deviate_more(report):
    deviations = [report[name].deviation for name in ("float32", *PRECISIONS)]
    assert deviations == sorted(deviations)
    assert deviations[0] == 0
    assert report["float4_e2m1fn/float32"].agreement < report["float16"].agreement


def test_what_float32_decides_narrowly_is_lost_first(net, digits, report):
    with fp.no_grad():
        plain = np.sort(np.asarray(net(fp.tensor(digits.test_x))).astype(np.float64))
    margins = plain[:, -1] - plain[:, -2]
    changed = report["float8_e5m2"].changed
    assert [c.margin for c in changed] == [margins[c.sample] for c in changed]
    assert np.mean([c.margin for c in changed]) < margins.mean() / 2


def test_the_network_is_left_as_it_was(net, digits):
    before = {name: p._data.copy() for name, p in net.named_parameters()}
    net.train()
    with fp.observe() as seen:
        fp.evaluate(net, (digits.test_x[:4], digits.test_y[:4]), ["float16", "O2", {"fc1": "float8_e5m2/float32"}])
    assert not seen.counts
    assert net.training
    for name, p in net.named_parameters():
        assert np.array_equal(p._data, before[name])
        assert (p.dtype, p.grad, p.master) == (fp.float32, None, None)
    assert net.precision is None
    assert net.fc1.precision == fp.Precision("float32")


def test_a_network_of_masters_is_evaluated_by_its_masters():
    """1 + 2**-12 is 1 in float16; the master remembers it."""
    net = linear([[1.0, 0.0], [1 + 2.0**-12, 0.0]])
    optimizer = fp.optim.SGD(net.parameters(), lr=0.1)
    fp.amp.apply(net, "O2", optimizer)
    found = fp.evaluate(net, (np.array([[1.0, 0.0]]), np.array([1])), "float16")
    assert (found["float32"].accuracy, found["float16"].accuracy) == (1.0, 0.0)
    assert found["float16"].changed[0] == (0, 1, 1, 0, 2.0**-12)


def test_a_network_trained_in_one_format_is_evaluated_in_another(net, digits):
    half = fp.amp.in_formats(net, "bfloat16")[0]
    found = fp.evaluate(half, (digits.test_x, digits.test_y), ["bfloat16"])
    own = fp.evaluate(net, (digits.test_x, digits.test_y), ["bfloat16"])
    assert found["bfloat16"].accuracy == own["bfloat16"].accuracy
    assert found["bfloat16"].loss == own["bfloat16"].loss


def test_nan_has_no_class_and_infinity_has():
    net = linear([[1.0, 1.0], [0.5, 1.0], [1.0, -1.0]])
    x = np.array([[6e4, 1.0], [7e4, 1.0], [7e4, 7e4]], np.float32)
    found = fp.evaluate(net, (x, np.array([0, 0, 0])), "float16")["float16"]
    # three infinities: the first of equals; inf, inf, inf - inf = NaN: none
    assert [(c.sample, c.own) for c in found.changed] == [(2, -1)]
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.not_finite == 2
    assert found.deviation == found.largest_difference == math.inf


def test_without_labels_there_is_no_accuracy(net, digits):
    found = fp.evaluate(net, digits.test_x[:20], "float8_e5m2")
    assert found["float8_e5m2"].accuracy is None
    assert "accuracy" not in found.table()
    assert sum(c["samples"] for c in found["float32"].per_class.values()) == 20
    assert found["float8_e5m2"].agreement == 1 - len(found["float8_e5m2"].changed) / 20


def test_batches_change_nothing(net, digits):
    data = (digits.test_x[:50], digits.test_y[:50])
    reports = [fp.evaluate(net, data, ["float16"], batch=n, order="blocked:8").to_json() for n in (1, 7, 50)]
    assert reports[0] == reports[1] == reports[2]


def test_batch_normalisation_runs_on_its_statistics():
    with fp.seed(0):
        net = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(4, 2))
    x = np.linspace(0, 1, 8, dtype=np.float32).reshape(2, 1, 2, 2)
    y = np.array([0, 1])
    found = fp.evaluate(net, (x, y), "float16")
    assert net.training
    assert found["float32"].loss == pytest.approx(
        nn.functional.cross_entropy(net.eval()(fp.tensor(x)), y).item(), rel=1e-6
    )
    assert found["float32"].loss != pytest.approx(
        nn.functional.cross_entropy(net.train()(fp.tensor(x)), y).item(), rel=1e-3
    )


def test_two_nans_do_not_agree():
    x = np.array([[np.inf, np.inf], [1.0, 2.0]], np.float32)
    found = fp.evaluate(linear([[1.0, 1.0], [1.0, -1.0]]), (x, np.array([0, 0])), "float16")
    for name in ("float32", "float16"):
        assert (found[name].accuracy, found[name].agreement, found[name].not_finite) == (0.5, 0.5, 1)
        assert [(c.sample, c.float32, c.own) for c in found[name].changed] == [(0, -1, -1)]


def test_indices_as_samples():
    with fp.seed(0):
        net = nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Linear(6, 2))
    found = fp.evaluate(net, (np.array([[0, 1], [2, 4]]), np.array([0, 1])), "bfloat16")
    assert found.samples == 2


def test_several_formats_by_default_each_once(net, digits):
    found = fp.evaluate(net, (digits.test_x[:4], digits.test_y[:4]))
    assert [one.name for one in found] == ["float32", *FORMATS]
    twice = fp.evaluate(net, (digits.test_x[:4], digits.test_y[:4]), ["float16", "half", "float32"])
    assert [one.name for one in twice][:2] == ["float32", "float16"]


def test_reports_in_all_forms(report):
    lines = report.table().splitlines()
    assert lines[0].startswith("DigitMLP, 360 samples, 10 classes")
    assert [line.split()[0] for line in lines[3:8]] == ["float32", *PRECISIONS]
    changed = report["float8_e5m2"].changed
    assert f"class changed at {changed[0].sample} ({changed[0].float32} -> {changed[0].own}, label " in report.table()
    content = json.loads(report.to_json())
    assert len(content["formats"][3]["changed"]) == len(changed)
    assert content["formats"][3]["largest"][0].keys() == {"sample", "output", "float32", "value"}
    assert "<table" in report._repr_html_()


def test_progress_is_told(net, digits):
    told = []
    fp.evaluate(net, digits.test_x[:5], "float16", batch=3, progress=lambda *a: told.append(a))
    assert told == [("float32", 3, 5), ("float32", 5, 5), ("float16", 3, 5), ("float16", 5, 5)]
