"""The classic network against PyTorch: ten steps of SGD from the same weights, every loss and every gradient.

Tests only. PyTorch's values come from ``tests/oracles``; torch itself is not needed.
"""

import numpy as np
import pytest

import fpsim as fp
import fpsim.nn as nn
from tests.oracles.classic_network import SHAPES, STEPS, batches, brief, weights
from tests.oracles.torch_values import TOLERANCE, load

RECORDED = load("network")


@pytest.fixture(scope="module", params=["float64", "float32"])
def run(request):
    """The format, the ten losses, and the ten steps' gradients in brief."""
    fmt = request.param
    with fp.default_precision(fmt):
        net = nn.LeNet()
        net.load_state_dict(weights())
        criterion = nn.CrossEntropyLoss()
        optimizer = fp.optim.SGD(net.parameters(), lr=0.01, momentum=0.5)
        losses, gradients = [], []
        for x, y in zip(*batches(), strict=True):
            optimizer.zero_grad()
            loss = criterion(net(fp.tensor(x)), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            gradients.append({name: brief(np.asarray(p.grad)) for name, p in net.named_parameters()})
    return fmt, losses, gradients


def test_the_losses_are_torchs(run):
    fmt, losses, _ = run
    np.testing.assert_allclose(losses, RECORDED[fmt]["losses"], rtol=TOLERANCE[fmt])


def test_the_first_losses_are_the_published_ones():
    published = [2.4902427852292988, 2.371807289022866, 2.280828243018821]
    np.testing.assert_allclose(RECORDED["float64"]["losses"][:3], published, rtol=1e-15)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("step", range(STEPS))
def test_every_gradient_is_torchs(run, step, name):
    fmt, _, gradients = run
    actual, expected = gradients[step][name], RECORDED[fmt]["gradients"][step][name]
    assert actual.keys() == expected.keys()
    largest = expected.get("largest", np.abs(expected["elements"]).max())
    length = expected.get("length", np.linalg.norm(expected["elements"]))
    for what, theirs in expected.items():
        size = length if what in ("length", "projections") else largest
        np.testing.assert_allclose(actual[what], theirs, rtol=0, atol=TOLERANCE[fmt] * size, err_msg=what)
