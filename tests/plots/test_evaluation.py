"""The picture of an evaluation: accuracies and agreements as measured, by precision and by class."""

import numpy as np
import pytest

import fpsim as fp
from fpsim.experiments.scenario import DigitMLP
from fpsim.plots.style import saved_bytes


@pytest.fixture(scope="module")
def report():
    with fp.seed(0):
        net = DigitMLP(8)
    return fp.evaluate(net, fp.data.digits(size=8), ["bfloat16", "float4_e2m1fn/float32"])


def test_dots_are_accuracies_and_rings_agreements(report):
    left = report.plot().axes[0]
    dots = [line.get_xdata()[0] for line in left.lines if line.get_fillstyle() == "full"]
    rings = [line.get_xdata()[0] for line in left.lines if line.get_fillstyle() == "none"]
    assert dots == [100 * one.accuracy for one in report.formats[::-1]]
    assert rings == [100 * one.agreement for one in report.formats[:0:-1]]


def test_classes_stand_in_columns(report):
    right = report.plot().axes[1]
    shares = np.asarray(right.images[0].get_array())
    assert shares.shape == (2, 10)
    assert shares[1, 3] == 100 * report["float4_e2m1fn/float32"].per_class[3]["agreement"]


def test_float32_alone_has_a_picture(report):
    with fp.seed(0):
        alone = fp.evaluate(DigitMLP(8), fp.data.digits(size=8), "float32")
    assert saved_bytes(alone.plot()) == saved_bytes(alone.plot())
