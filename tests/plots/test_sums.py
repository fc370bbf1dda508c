"""Errors stand beside the lines n u and sqrt(n) u; a sum that goes flat is marked where it does."""

import numpy as np
import pytest
from matplotlib.collections import PolyCollection

import fpsim as fp
from fpsim.plots import error_growth, running_sum

N = np.array([4, 16, 64, 256])


def by_label(made):
    return {line.get_label(): line for line in made.axes[0].lines if not line.get_label().startswith("_")}


# Growth --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["float16", fp.float16, 2.0**-11])
def test_errors_and_both_bounds_are_drawn_as_they_are(unit):
    made = error_growth(N, {"sequential": [1e-4, 2e-4, 3e-4, 4e-4]}, unit)
    lines = by_label(made)
    assert lines["sequential"].get_xydata().tolist() == np.stack([N, [1e-4, 2e-4, 3e-4, 4e-4]], axis=1).tolist()
    assert lines["n u (worst case)"].get_ydata().tolist() == (N * 2.0**-11).tolist()
    assert lines["√n u (random errors)"].get_ydata().tolist() == (np.sqrt(N) * 2.0**-11).tolist()
    axes = made.axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("number of terms n", "relative error")


def test_of_several_trials_the_root_mean_square_and_the_range_are_drawn():
    trials = np.array([[1e-4, -3e-4, 1e-3, 2e-3], [1e-4, 4e-4, 3e-3, 0.0]])
    made = error_growth(N, {"pairwise": trials}, "float16")
    np.testing.assert_allclose(by_label(made)["pairwise"].get_ydata(), np.sqrt((trials**2).mean(axis=0)), rtol=1e-15)
    (band,) = [c for c in made.axes[0].collections if isinstance(c, PolyCollection)]
    vertices = np.concatenate([p.vertices for p in band.get_paths()])
    at = vertices[vertices[:, 0] == 16, 1]
    assert (at.min(), at.max()) == (3e-4, 4e-4)
    assert "root mean square" in made.axes[0].get_legend().get_title().get_text()


def test_zero_and_infinity_stand_on_the_edges():
    made = error_growth(N, {"kahan": [0.0, 1e-4, 1e-4, np.inf], "exact": [0.0, 0.0, 0.0, 0.0]}, "float16")
    lines = by_label(made)
    np.testing.assert_array_equal(lines["kahan"].get_ydata(), [np.nan, 1e-4, 1e-4, np.nan])
    marks = [x for x in made.axes[0].lines if x.get_transform() == made.axes[0].get_xaxis_transform()]
    points = sorted(tuple(float(v) for v in mark.get_xydata()[0]) for mark in marks)
    assert points == [(4, 0), (4, 0), (16, 0), (64, 0), (256, 0), (256, 1)]
    assert {"error 0 (bottom edge)", "not finite (top edge)"} <= set(lines)


def test_methods_differ_in_marker_dash_and_colour():
    made = error_growth(N, {name: [1e-4] * 4 for name in "abcdefgh"}, "float16")
    lines = [by_label(made)[name] for name in "abcdefgh"]
    for of in ("get_marker", "get_color"):
        assert len({getattr(line, of)() for line in lines}) == 8
    assert len({str(line._dash_pattern) for line in lines}) == 8


# Running sums --------------------------------------------------------------------------------------------------------


def harmonic(fmt, terms):
    s, sums = 0.0, []
    for n in range(1, terms + 1):
        s = float(fp.round(s + float(fp.round(1 / n, fmt)), fmt))
        sums.append(s)
    return sums


def stop(made):
    return [line.get_xydata()[0].tolist() for line in made.axes[0].lines if line.get_linestyle() == "None"]


@pytest.mark.parametrize(
    ("fmt", "terms", "first", "limit"), [("bfloat16", 100, 65, 5.0625), ("float16", 700, 513, 7.0859375)]
)
def test_the_harmonic_sum_goes_flat_where_the_literature_says(fmt, terms, first, limit):
    made = running_sum({fmt: harmonic(fmt, terms)})
    assert stop(made) == [[first, limit]]
    (line,) = [x for x in by_label(made).values()]
    assert line.get_label() == f"{fmt}: stays at {limit!r}\nfrom term {first} on"
    assert line.get_xdata().tolist() == list(range(1, terms + 1))


def test_a_sum_that_grows_to_its_end_has_no_mark():
    made = running_sum({"float64": np.arange(1.0, 50.0), "once": [1.0, 2.0, 2.0] + [3.0] * 1})
    assert stop(made) == []
    assert list(by_label(made)) == ["float64", "once"]


def test_a_stop_that_is_given_is_marked_at_the_last_sum():
    made = running_sum({"float32": ([1, 10, 100], [1.0, 15.0, 15.5])}, stop={"float32": 20}, logx=True)
    assert stop(made) == [[20, 15.5]]
    assert made.axes[0].get_xscale() == "log"
    assert list(by_label(made)) == ["float32: stays at 15.5\nfrom term 20 on"]


def test_sums_of_some_n_are_not_searched_and_stops_can_be_left_out():
    assert stop(running_sum({"float32": ([1, 10, 100], [1.0, 15.0, 15.0])})) == []
    assert stop(running_sum({"float16": [1.0] * 50}, stop={})) == []


@pytest.mark.parametrize("exact", [lambda n: 2 * n, [2.0, 4.0, 6.0], ([1, 2, 3], [2.0, 4.0, 6.0])])
def test_the_exact_sum_is_a_line_of_its_own(exact):
    line = by_label(running_sum({"float16": [2.0, 4.0, 4.0]}, exact=exact))["exact sum"]
    assert line.get_xydata().tolist() == [[1, 2], [2, 4], [3, 6]]


# Bad input -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: error_growth([4], {}, "float16"), fp.ArgumentError,
            "error_growth: expected a mapping of name to errors, got an empty one; give one series at least.",
        ),
        (
            lambda: error_growth([4, 8], {"kahan": [1.0]}, "float16"), fp.ShapeError,
            "error_growth: expected an error for each n, got 1 of 'kahan' for 2 n; give as many.",
        ),
        (
            lambda: error_growth([8, 4], {"kahan": [1.0, 1.0]}, "float16"), fp.ArgumentError,
            "error_growth: expected n ascending from 1 or more, got n=[8, 4]; sort it.",
        ),
        (
            lambda: error_growth([4], {"kahan": [1.0]}, 11), fp.ArgumentError,
            "error_growth: expected a unit roundoff between 0 and 1, got unit_roundoff=11; name the format.",
        ),
        (
            lambda: running_sum([1.0]), fp.ArgumentTypeError,
            "running_sum: expected a mapping of name to sums, got list; pass a dict, one name a series.",
        ),
        (
            lambda: running_sum({"float16": []}), fp.ShapeError,
            "running_sum: expected arrays of 1 axes with something in them, got float16.shape=(0,); "
            "pass one value a step.",
        ),
        (
            lambda: running_sum({"float16": ([1, 2], [1.0])}), fp.ShapeError,
            "running_sum: expected a sum for each of ascending n, got 2 n and 1 sums for 'float16'; "
            "give as many, sorted.",
        ),
        (
            lambda: running_sum({"float16": [1.0]}, stop=3), fp.ArgumentTypeError,
            "running_sum: expected a mapping of name to a number of terms, got stop=3; name the sum.",
        ),
        (
            lambda: running_sum({"float16": [1.0]}, stop={"float16": 3}), fp.ArgumentError,
            "running_sum: expected stops of the sums, got stop={'float16': 3}; "
            "name one of float16, and a term that was added.",
        ),
    ],
)  # fmt: skip
def test_what_is_no_sum_is_refused(call, kind, message):
    with pytest.raises(kind) as error:
        call()
    assert str(error.value) == message
