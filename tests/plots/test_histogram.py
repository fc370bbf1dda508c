"""The picture of exponents: every number is in one bar, and in the band of its fate."""

import numpy as np
import pytest

import fpsim as fp
from fpsim.observe.counting import exponents_of
from fpsim.plots import exponents
from fpsim.plots.histogram import BANDS
from fpsim.plots.style import saved_bytes


def bars(axes):
    """Height of each binade's bar, by band."""
    colours = {name: colour for name, colour, _ in BANDS}
    found = {name: {} for name in colours}
    for patch in axes.patches:
        for name, colour in colours.items():
            if (
                hasattr(patch, "get_width")
                and patch.get_width() < 1
                and fp_colour(patch) == colour
                and patch.get_height()
            ):
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


# Plain numbers -------------------------------------------------------------------------------------------------------

VALUES = np.concatenate([np.ldexp(1.5, np.arange(-30, 18)), [-3.0, 0.0]])


@pytest.mark.parametrize("fmt", ["float16", "bfloat16", "float8_e4m3fn", "float4_e2m1fn"])
def test_arrays_and_their_counts_and_a_report_give_the_same_bars(fmt):
    counts = dict(exponents_of(VALUES).items())
    drawn = [
        bars(exponents(data, format=fmt).axes[0])
        for data in (VALUES, counts, {"x": {str(e): n for e, n in counts.items()}})
    ]
    assert drawn[0] == drawn[1] == drawn[2] == bars(report_of(VALUES, fmt).plot().axes[0])


def test_what_becomes_of_an_array_is_counted_exactly():
    axes = exponents([2.0**-25, 1.0001 * 2.0**-25, 2.0**-15, 65519.0, 65520.0], format="float16").axes[0]
    assert axes.get_title(loc="left") == "values in float16\n20.00 % to zero, 40.00 % subnormal, 20.00 % overflow"


def test_a_scale_moves_the_bars_and_outlines_where_they_were():
    axes = exponents({"gradients": {-30: 1, -20: 3}}, scale=2.0**12).axes[0]
    assert bars(axes) == {"to zero": {}, "subnormal": {-18: 25.0}, "normal": {-8: 75.0}, "overflow": {}}
    (outline,) = [patch.get_data() for patch in axes.patches if hasattr(patch, "get_data")]
    assert {e: n for e, n in zip(outline.edges.tolist(), outline.values.tolist(), strict=False) if n} == {
        -30: 25,
        -20: 75,
    }
    assert axes.get_title(loc="left").startswith("gradients × 2^12 in float16\n25.00 % subnormal")
    low, high = axes.get_xlim()
    assert low < -30 < -7 < high
    assert bars(exponents(VALUES * 2.0**12).axes[0]) == bars(exponents(VALUES, scale=2.0**12).axes[0])


def test_thresholds_are_lines_and_bands_have_names():
    axes = exponents({-30: 1, 0: 1}, thresholds=(-24, -27)).axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    assert {label: line.get_xdata()[0] for label, line in lines.items()} == {"2^-24": -24, "2^-27": -27}
    assert len({line.get_linestyle() for line in lines.values()}) == 2
    assert {text.get_text() for text in axes.texts} >= {"to zero", "subnormal"}
    (legend,) = axes.figure.legends
    assert [t.get_text() for t in legend.get_texts()][-2:] == ["2^-24", "2^-27"]


def test_a_report_can_be_narrowed_to_a_format():
    x = fp.tensor([1.0, 2.0], dtype="float64")
    with fp.observe() as report:
        x.half(), x.float()
    (axes,) = exponents(report, format="float16").axes
    assert "in float16" in axes.get_title(loc="left")
    assert len(report.plot().axes) == 2


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: exponents([0.0]), fp.ArgumentError,
            "exponents: expected a number that is not zero, got none in 'values'; choose other values to draw.",
        ),
        (
            lambda: exponents({}), fp.ArgumentError,
            "exponents: expected a mapping of name to numbers, got an empty one; give one series at least.",
        ),
        (
            lambda: exponents([1.0], "module"), fp.ArgumentError,
            "exponents: expected names and filters for a report only, got 'module'; leave them out.",
        ),
        (
            lambda: exponents([1.0], scale=0.0), fp.ArgumentError,
            "exponents: expected a scale above 0, got scale=0.0; give what the loss is multiplied by.",
        ),
        (
            lambda: exponents({0: 1}, scale=3.0), fp.ArgumentError,
            "exponents: expected a power of 2 for counts, got scale=3.0; give the values themselves, or 2**k.",
        ),
        (
            lambda: exponents({"g": {"low": 1}}), fp.ArgumentTypeError,
            "exponents: expected whole exponents and counts, got g={'low': 1}; count with np.frexp.",
        ),
        (
            lambda: exponents(report_of([1.0], "float16"), scale=2.0), fp.ArgumentError,
            "exponents: expected scale=1 for a report, got scale=2.0; scale the loss.",
        ),
        (
            lambda: exponents("all"), fp.ArgumentTypeError,
            "exponents: expected numbers for 'values', got str; pass an array of them.",
        ),
    ],
)  # fmt: skip
def test_what_has_no_exponents_is_refused(call, kind, message):
    with pytest.raises(kind) as error:
        call()
    assert str(error.value) == message
