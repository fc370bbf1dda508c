"""The staircase is the ulp, at every magnitude."""

import numpy as np
import pytest

import fpsim as fp
from fpsim.plots import ulp_staircase
from fpsim.plots.style import saved_bytes


@pytest.mark.parametrize(
    "name", ["float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float4_e2m1fn", "e5m3"]
)
def test_the_steps_are_the_ulps(name):
    line = ulp_staircase([name], 2.0**-30, 2.0**20).axes[0].lines[0]
    assert line.get_drawstyle() == "steps-post"
    x, y = line.get_data()
    fmt = fp.Format(name)
    assert x[0] == 2.0**-30
    assert x[-1] == min(2.0**20, 2.0 * 2.0 ** min(fmt.emax, 100))
    inside = np.sqrt(x[:-1] * x[1:])
    assert np.array_equal(y[:-1], fp.ulp(inside, name))
    assert np.array_equal(y[:-1], fp.ulp(x[:-1], name))


def test_the_floor_and_the_end_are_marked():
    axes = ulp_staircase(["float16"]).axes[0]
    marks = {line.get_marker(): line.get_xydata().tolist() for line in axes.lines[1:] if len(line.get_xdata())}
    assert marks == {"o": [[2.0**-14, 2.0**-24]], "X": [[2.0**16, 2.0**5]]}
    assert (axes.get_xscale(), axes.get_yscale(), axes.get_xlim()) == ("log", "log", (2.0**-30, 2.0**20))


def test_a_range_without_floor_or_end_has_no_marks():
    axes = ulp_staircase("float32", 1e-3, 1e3).axes[0]
    assert [len(line.get_xdata()) for line in axes.lines[1:]] == [0, 0]
    assert axes.lines[0].get_xdata()[0] == 1e-3
    assert axes.lines[0].get_xdata()[-1] == 1e3


def test_float64_is_drawn_almost_to_its_ends():
    made = ulp_staircase("float64", 2.0**-400, 2.0**400)
    assert made.axes[0].lines[0].get_ydata()[[0, -1]].tolist() == [2.0**-452, 2.0**348]
    saved_bytes(made)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (1, 1), (-1, 1), (1, np.inf), (np.nan, 1), (1e-150, 1)])
def test_limits_are_positive_and_finite(low, high):
    with pytest.raises(fp.ArgumentError) as error:
        ulp_staircase("float16", low, high)
    assert str(error.value) == (
        f"ulp_staircase: expected 2**-400 <= low < high <= 2**400, got low={low!r}, high={high!r}; "
        "give a range of magnitudes."
    )
