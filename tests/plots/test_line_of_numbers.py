"""The number line shows all numbers of a part, and bins that agree with the rounding."""

import numpy as np
import pytest

import fpsim as fp
from fpsim.plots import number_line
from fpsim.plots.line_of_numbers import _BORDERS, BIN, MOST, STEM, _numbers


def stems(made):
    """Positions of the numbers by kind."""
    return {
        line.get_label(): line.get_xdata().tolist() for line in made.axes[0].lines if np.all(line.get_ydata() == STEM)
    }


def filled(made):
    """The shaded bins, as (low, high)."""
    for collection in made.axes[0].collections:
        if collection.get_label() == "rounds to an even last bit":
            return [(path.vertices[:, 0].min(), path.vertices[:, 0].max()) for path in collection.get_paths()]
    return []


def test_all_numbers_of_a_small_format_by_kind():
    found = stems(number_line("float4_e2m1fn"))
    assert found["zero"] == [0.0]
    assert found["subnormal"] == [-0.5, 0.5]
    assert found["normal"] == [-6, -4, -3, -2, -1.5, -1, 1, 1.5, 2, 3, 4, 6]


@pytest.mark.parametrize("name", ["float16", "bfloat16", "e5m3", "float8_e5m2", "float8_e4m3fnuz", "float8_e8m0fnu"])
def test_numbers_are_those_of_the_format(name):
    fmt = fp.Format(name)
    values = np.unique(fp.all_values(fmt).astype(np.float64))
    values = values[np.isfinite(values)]
    for centre in (0.0, fmt.smallest_normal, 1.0, -2.0, fmt.max):
        near = np.argsort(np.abs(values - centre))[:20]
        low, high = float(values[near].min()), float(values[near].max())
        inside = values[(values >= low) & (values <= high)]
        found = _numbers(fmt, low, high)
        assert found[1:-1].tolist() == inside.tolist()
        assert found[0] == values[values < low].max(initial=-np.inf)
        assert found[-1] == values[values > high].min(initial=np.inf)


@pytest.mark.parametrize("mode", _BORDERS)
@pytest.mark.parametrize("name", ["float4_e2m1fn", "float6_e2m3fn", "e3m2", "float8_e4m3fn"])
def test_what_lies_in_a_shaded_bin_rounds_to_an_even_number(name, mode):
    fmt = fp.Format(name)
    low, high = -2.0, 3.0
    bins = filled(number_line(fmt, low, high, mode=mode))
    assert len(bins) > 2
    x = np.linspace(low, high, 4001)[1:-1]
    inside = np.any([(x > a) & (x < b) for a, b in bins], axis=0)
    at_border = np.any([(x == a) | (x == b) for a, b in bins], axis=0)
    even = fp.encode(fp.round(x, fmt, mode=mode), fmt) % 2 == 0
    assert np.array_equal(inside[~at_border], even[~at_border])


def test_ties_belong_to_the_shaded_bins():
    made = number_line("float4_e2m1fn")
    ties = np.unique([x for pair in filled(made) for x in pair])
    ties = ties[np.abs(ties) < 6]
    assert len(ties) == 14
    assert (fp.encode(fp.round(ties, "float4_e2m1fn"), "float4_e2m1fn") % 2 == 0).all()


def test_a_mark_is_shown_where_it_rounds_to():
    axes = number_line("float16", mark="0.1").axes[0]
    assert axes.texts[-1].get_text() == "0.1 is stored as 0.0999755859375"
    (arrow,) = [t for t in axes.texts if getattr(t, "arrow_patch", None) is not None]
    assert arrow.xy == (0.0999755859375, STEM)
    assert arrow.xyann == (0.1, 0.98)
    low, high = axes.get_xlim()
    assert low < 0.1 < high
    assert len(stems(axes.figure)["normal"]) == 17


def test_a_number_of_the_format_needs_no_arrow():
    axes = number_line("float16", mark=0.5).axes[0]
    assert [t for t in axes.texts if getattr(t, "arrow_patch", None) is not None] == []
    assert axes.texts[-1].get_text() == "0.5 is stored as 0.5"


@pytest.mark.parametrize(("mark", "stored"), [(65519, "65504"), (65520, "inf"), (-70000, "-inf"), (1e6, "inf")])
def test_overflow_is_an_area_that_starts_half_an_ulp_above_the_largest(mark, stored):
    axes = number_line("float16", mark=mark).axes[0]
    words = {-70000: "-70000, beyond the left end,", 1e6: "1000000, beyond the right end,"}
    assert axes.texts[-1].get_text() == f"{words.get(mark, mark)} is stored as {stored}"
    (area,) = [c for c in axes.collections if c.get_hatch()]
    edges = area.get_paths()[0].vertices[:, 0]
    assert (edges.min() if mark > 0 else -edges.max()) == 65520
    assert "overflow" in [t.get_text() for t in axes.texts]


def test_a_format_that_saturates_has_no_overflow():
    axes = number_line("float4_e2m1fn", 0, 20).axes[0]
    assert not [c for c in axes.collections if c.get_hatch()]
    assert filled(number_line("float4_e2m1fn", 0, 20))[-1] == (3.5, 5.0)


def test_a_scale_has_positive_numbers_only():
    made = number_line("float8_e8m0fnu", -1.0, 9.0)
    assert stems(made)["normal"][-4:] == [1.0, 2.0, 4.0, 8.0]
    assert min(stems(made)["normal"]) == 2.0**-127
    assert not [c for c in made.axes[0].collections if c.get_hatch()]
    for low, high in filled(made):
        inside = np.array([low + 1e-3 * (high - low), high - 1e-3 * (high - low)])
        assert (fp.encode(inside, "float8_e8m0fnu") % 2 == 0).all()


def test_even_two_numbers_are_a_line():
    found = stems(number_line("float32", 1.0, float(np.nextafter(np.float32(1), np.float32(2)))))
    assert found["normal"] == [1.0, 1.0 + 2.0**-23]
    assert stems(number_line("float64", 0.3, 0.3 + 2.0**-54)) == {"normal": [0.3, 0.3 + 2.0**-54]}


def test_between_two_numbers_there_is_none():
    assert stems(number_line("float16", 1.0001, 1.0002)) == {}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: number_line("float16", 1, 0),
            "number_line: expected low < high, both finite, got low=1, high=0; give both, or neither.",
        ),
        (
            lambda: number_line("float16", 1),
            "number_line: expected low < high, both finite, got low=1, high=None; give both, or neither.",
        ),
        (
            lambda: number_line("float16", 0, np.inf),
            "number_line: expected low < high, both finite, got low=0, high=inf; give both, or neither.",
        ),
        (
            lambda: number_line("float16", 0, 1, mark=2),
            "number_line: expected a mark between low and high, got mark=2 from 0 to 1; move the limits or the mark.",
        ),
        (
            lambda: number_line("float16", mark="nan"),
            "number_line: expected a finite mark, got mark=nan; give low and high, and no mark.",
        ),
        (
            lambda: number_line("float16", mode="nearest"),
            "number_line: expected a mode of nearest_even, nearest_away, toward_zero, up, down, got mode='nearest'; "
            "choose one.",
        ),
    ],
)
def test_a_part_that_cannot_be_shown_is_refused(call, message):
    with pytest.raises(fp.ArgumentError) as error:
        call()
    assert str(error.value) == message


@pytest.mark.parametrize("name", ["float16", "float64", "float8_e4m3fn"])
def test_more_numbers_than_one_can_see_are_refused(name):
    if name == "float8_e4m3fn":
        assert sum(map(len, stems(number_line(name, -448, 448)).values())) == 253
        return
    with pytest.raises(
        fp.ArgumentError, match=rf"number_line: expected at most {MOST} numbers, got \d+ of {name}; move"
    ):
        number_line(name, 0, 1)
    assert BIN < STEM
