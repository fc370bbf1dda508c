"""Shares of lost updates are bars or lines of their height; ratios lie in their binades beside the thresholds."""

import itertools

import numpy as np
import pytest
from matplotlib.patches import StepPatch

import fpsim as fp
from fpsim.plots import lost_updates, update_ratios

SHARES = {"float32": {"conv1": 0.0, "fc1": 0.00001}, "float16": {"conv1": 0.25, "fc1": 0.875}}


# Lost ----------------------------------------------------------------------------------------------------------------


def test_bars_are_the_shares_and_say_so():
    (axes,) = lost_updates(SHARES).axes
    bars = {c.get_label(): [float(bar.get_width()) for bar in c] for c in axes.containers}
    assert bars == {"float32": [0.0, 0.001], "float16": [25.0, 87.5]}
    assert [t.get_text() for t in axes.texts] == ["0", "<0.01 %", "25.00 %", "87.50 %"]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["conv1", "fc1"]
    assert axes.get_xlabel() == "% of nonzero updates"


def test_bars_of_recipes_differ_in_hatch_and_colour_and_do_not_overlap():
    recipes = {f"recipe{i}": {"fc1": 0.1, "fc2": 0.2} for i in range(5)}
    (axes,) = lost_updates(recipes).axes
    bars = [bar for c in axes.containers for bar in c]
    assert len({c[0].get_hatch() for c in axes.containers}) == 5
    assert len({c[0].get_facecolor() for c in axes.containers}) == 5
    spans = sorted((bar.get_y(), bar.get_y() + bar.get_height()) for bar in bars)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))


def test_shares_by_step_are_lines_a_panel_a_layer():
    shares = {"float16": {"conv1": [0.1, 0.2], "fc1": [0.3, 0.4]}, "float32": {"conv1": [0, 0], "fc1": [0, 0]}}
    made = lost_updates(shares, steps=[10, 20])
    panels = [axes for axes in made.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in panels] == ["conv1", "fc1"]
    for axes, layer in zip(panels, ("conv1", "fc1"), strict=True):
        for line in axes.lines:
            assert line.get_xdata().tolist() == [10, 20]
            assert line.get_ydata().tolist() == [100 * s for s in shares[line.get_label()][layer]]
    assert len({axes.get_ylim() for axes in panels}) == 1


# Ratios --------------------------------------------------------------------------------------------------------------


def histogram(axes):
    """Heights by exponent, of each series."""
    outlines = [p for p in axes.patches if isinstance(p, StepPatch) and not p.get_fill()]
    return {
        p.get_label(): dict(zip(p.get_data().edges[:-1].tolist(), p.get_data().values.tolist(), strict=True))
        for p in outlines
    }


def test_ratios_lie_in_their_binades():
    made = update_ratios([1.0, 1.5, 2.0, -3.9, 2047.9, 2048.0, 4096.0, 1e300])
    (found,) = histogram(made.axes[0]).values()
    nonzero = {e: share for e, share in found.items() if share}
    assert nonzero == {0: 25.0, 1: 25.0, 10: 12.5, 11: 12.5, 12: 12.5, 996: 12.5}


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float8_e4m3fn"])
def test_the_threshold_is_where_an_update_is_first_lost(name):
    fmt = fp.Format(name)
    axes = update_ratios([1.0, 2.0**30], formats=name).axes[0]
    line = next(x for x in axes.lines if x.get_label().startswith(name))
    p = line.get_xdata()[0]
    assert line.get_label() == f"{name}: 2^{p} = {2**p}"

    def lost(weight, ratio):
        return fp.round(weight + weight / ratio, fmt) == weight

    weights = np.append(np.linspace(1, 2, 64, endpoint=False), 2 - fmt.eps)
    weights = np.unique(fp.round(weights, fmt).astype(np.float64))
    assert not lost(weights, 2.0**p * (1 - fmt.eps)).any()
    assert lost(weights, 2.0**p).any()
    assert lost(weights, 2.0 ** (p + 1)).all()
    areas = {patch.get_label(): patch.get_x() for patch in axes.patches if hasattr(patch, "get_x")}
    assert areas == {f"may be lost in {name}": p, f"always lost in {name}": p + 1}


def test_the_share_beyond_the_threshold_is_said_and_what_has_no_ratio():
    made = update_ratios({"fc1": [1.0, 2048.0, 5000.0, np.inf, 0.0], "fc2": {"10": 1, "11": 3}})
    assert list(histogram(made.axes[0])) == [
        "fc1: 66.67 % from 2^11 on\n(40.00 % without a ratio)", "fc2: 75.00 % from 2^11 on",
    ]  # fmt: skip


def test_counts_are_shares():
    (found,) = histogram(update_ratios({9: 3, 11: 1, 12: 0}).axes[0]).values()
    assert found == {9: 75.0, 10: 0.0, 11: 25.0}


# Bad input -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: lost_updates({}), fp.ArgumentError,
            "lost_updates: expected a mapping of recipe to layers, got an empty one; give one series at least.",
        ),
        (
            lambda: lost_updates({"float16": 0.5}), fp.ArgumentTypeError,
            "lost_updates: expected a mapping of layer to share, got float; pass a dict, one name a series.",
        ),
        (
            lambda: lost_updates({"float16": {"fc1": 25.0}}), fp.ArgumentError,
            "lost_updates: expected shares from 0 to 1, got fc1=25.0; divide the lost by the nonzero updates.",
        ),
        (
            lambda: lost_updates({"a": {"fc1": 0.5}, "b": {"fc2": 0.5}}), fp.ShapeError,
            "lost_updates: expected the same layers and steps for every recipe, got a: fc1; b: fc2; "
            "give every recipe all layers, and all as many steps.",
        ),
        (
            lambda: lost_updates({"a": {"fc1": [0.5, 0.5]}}, steps=[1]), fp.ShapeError,
            "lost_updates: expected a step for each share, got 1 steps for 2 shares; give as many.",
        ),
        (
            lambda: update_ratios({}), fp.ArgumentError,
            "update_ratios: expected a mapping of name to numbers, got an empty one; give one series at least.",
        ),
        (
            lambda: update_ratios([np.inf, 0.0]), fp.ArgumentError,
            "update_ratios: expected a finite ratio above 0, got none of 'ratios'; divide |weights| by |updates|.",
        ),
        (
            lambda: update_ratios({"fc1": {"low": 3}}), fp.ArgumentTypeError,
            "update_ratios: expected whole exponents and counts, got fc1={'low': 3}; count with np.frexp.",
        ),
    ],
)  # fmt: skip
def test_what_is_no_update_is_refused(call, kind, message):
    with pytest.raises(kind) as error:
        call()
    assert str(error.value) == message
