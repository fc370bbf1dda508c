"""The picture of what fits: bars that end at the bytes counted, a line where each device ends."""

import pytest

import fpsim as fp
from fpsim.plots.style import saved_bytes


@pytest.fixture(scope="module")
def report():
    decoder = fp.Decoder.named("gpt2", layers=2)
    return fp.cost(decoder, (224, 1024), ["O2", "mixed_float16"], devices=["T4", "Jetson Orin Nano", "H100"])


def test_bars_end_at_what_is_held(report):
    for axes, mode in zip(report.plot().axes, ("training", "inference"), strict=True):
        ends = {}
        for container in axes.containers:
            for bar in container:
                place = round(bar.get_y(), 6)
                ends[place] = max(ends.get(place, 0), bar.get_x() + bar.get_width())
        held = [one.held(mode) / 1e9 for one in report.policies[::-1]]
        assert [ends[place] for place in sorted(ends)] == pytest.approx(held, rel=1e-12)


def test_a_line_for_each_device_that_the_axis_reaches(report):
    left, right = report.plot().axes
    for axes in (left, right):
        reach = axes.get_xlim()[1]
        assert sorted(line.get_xdata()[0] for line in axes.lines) == [m for m in (8, 16, 80) if m <= reach]
    named = {text.get_text() for text in left.texts}
    assert {"Jetson Orin Nano 8", "T4 16"} <= named
    assert not any("H100" in name for name in named)


def test_what_fits_has_the_same_picture(report):
    assert saved_bytes(report.fits().plot()) == saved_bytes(report.plot())
    assert saved_bytes(report.plot(theme="dark")) != saved_bytes(report.plot())
