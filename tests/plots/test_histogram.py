"""The picture of exponents: every number is in one bar, and in the band of its fate."""

import numpy as np
import pytest

import fpsim as fp
from fpsim.plots.histogram import BANDS
from fpsim.plots.style import saved_bytes


def bars(axes):
    """Height of each binade's bar, by band."""
    colours = {name: colour for name, colour, _ in BANDS}
    found = {name: {} for name in colours}
    for patch in axes.patches:
        for name, colour in colours.items():
            if patch.get_width() < 1 and fp_colour(patch) == colour and patch.get_height():
                found[name][round(patch.get_x() + patch.get_width() / 2 - 0.5)] = patch.get_height()
    return found


def fp_colour(patch):
    from matplotlib.colors import to_hex

    return to_hex(patch.get_facecolor()).upper()


def report_of(values, fmt):
    x = fp.tensor(values, dtype="float64")
    with fp.observe() as report:
        x.to(fmt)
    return report


@pytest.mark.parametrize(
    ("fmt", "smallest", "largest"), [("float16", -24, 15), ("float8_e5m2", -16, 15), ("bfloat16", -133, 127)]
)
def test_bars_lie_in_the_bands_of_their_fates(fmt, smallest, largest):
    f = fp.Format(fmt)
    exponents = [smallest - 2, smallest - 1, smallest, f.emin, 0, largest, largest + 1]
    report = report_of([1.25 * 2.0**e for e in exponents], fmt)
    found = bars(report.plot().axes[0])
    assert {name: sorted(bars) for name, bars in found.items()} == {
        "to zero": [smallest - 2], "subnormal": [smallest - 1, smallest], "normal": [f.emin, 0, largest],
        "overflow": [largest + 1],
    }  # fmt: skip
    assert sum(h for band in found.values() for h in band.values()) == pytest.approx(100)
    counts = report.total()
    assert (counts.to_zero, counts.subnormal, counts.overflow) == (1, 2, 1)


def test_there_is_a_panel_for_each_group_with_named_axes_on_one_scale():
    net = fp.nn.Sequential(fp.nn.Linear(3, 4), fp.nn.Linear(4, 2))
    fp.amp.apply(net, "float16")
    optimizer = fp.optim.SGD(net.parameters(), lr=0.1)
    with fp.observe() as report:
        net(fp.ones(2, 3, dtype="float16")).sum().backward()
        optimizer.step()
    panels = report.plot().axes
    titles = [axes.get_title(loc="left").splitlines()[0] for axes in panels if axes.get_visible()]
    assert titles == [f"{r} in float16" for r in ("input", "activation", "gradient", "weight gradient", "update")]
    assert len({axes.get_xlim() for axes in panels if axes.get_visible()}) == 1
    assert all(axes.get_xlabel() and axes.get_ylabel() for axes in panels if axes.get_visible())
    (only,) = report.plot("module", module="1", role="activation").axes
    assert only.get_title(loc="left").startswith("1 in float16")


def test_the_same_report_gives_the_same_bytes():
    report = report_of(np.ldexp(1.0, np.arange(-30, 20)), "float16")
    assert saved_bytes(report.plot()) == saved_bytes(report.plot())


def test_zeros_alone_have_no_exponents():
    with pytest.raises(fp.ObserverError, match="plot: expected a number that is not zero"):
        report_of([0.0, 0.0], "float16").plot()
