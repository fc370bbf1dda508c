"""The picture of a cost: bars that end at the bytes counted, points on or below the roofs."""

import numpy as np
import pytest

import fpsim as fp
from fpsim.plots.style import saved_bytes


@pytest.fixture(scope="module")
def cost():
    return fp.cost(fp.nn.LeNet(), (8, 1, 32, 32), ["O2", "float16"])


def test_bars_end_at_what_is_held_in_training(cost):
    left, _ = cost.plot().axes
    ends = {}
    for bar in left.patches:
        row = round(bar.get_y() + bar.get_height() / 2)
        ends[row] = max(ends.get(row, 0), bar.get_x() + bar.get_width())
    held = [sum(one.training.values()) / 1e6 for one in cost.policies[::-1]]
    assert [ends[i] for i in range(3)] == pytest.approx(held)


@pytest.mark.parametrize("device", ["V100", "jetson orin nano"])
def test_points_lie_under_the_roofs_of_the_device(cost, device):
    _, right = cost.plot(device, "inference").axes
    chosen = next(d for d in cost.devices if d.name.lower() == device.lower())
    points = [line.get_xydata()[0] for line in right.lines if line.get_marker() in ("o", "s") and len(line.get_xdata())]
    assert len(points) == 4 * 2  # layers, formats
    peak = max(rate.tflops for rate in chosen.rates) * 1e12
    for intensity, reached in points:
        assert reached <= min(peak, intensity * chosen.bandwidth * 1e9) * (1 + 1e-12)
    texts = [text.get_text() for text in right.texts]
    assert {"conv1", "conv2", "fc1", "fc2"} < set(texts)
    assert right.get_title(loc="left").startswith(chosen.name)
    _, named = right.get_legend_handles_labels()
    assert named == list(dict.fromkeys(step.storage.name for one in cost.policies for step in one.steps("inference")))


def test_the_same_report_gives_the_same_bytes(cost):
    assert saved_bytes(cost.plot()) == saved_bytes(cost.plot())


def test_a_network_without_products_has_a_picture_too():
    made = fp.cost(fp.nn.BatchNorm2d(2), (2, 2, 3, 3), "O2").plot()
    assert all(np.isfinite(axes.get_xlim()).all() for axes in made.axes)
