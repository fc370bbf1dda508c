"""The twins of every operation: float64's very bits, near np.longdouble's, and split and replayed in any precision."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fpsim as fp
from fpsim.errors import FpsimError
from fpsim.observe import shadow as shadow_module
from fpsim.observe.replay import SOURCES, replay
from tests.ops.cases import CASES, precisions
from tests.ops.checks import differentiable, run


def cases_of(name, fmt):
    """Each registry case of an operation: its arrays on the grid, metadata and an upstream gradient."""
    rng = np.random.default_rng(0)
    for case in CASES[name]:
        arrays = case.draw(rng, fmt)
        shape = run(name, arrays, case.metadata, fp.Precision(fmt))[0].shape
        yield arrays, case.metadata, rng.normal(size=shape)


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_operation_of_float64_has_its_twins_bits_forward_and_backward(name):
    """A failing observer would warn, and warnings are errors."""
    for arrays, metadata, g in cases_of(name, "float64"):
        with fp.shadow() as report:
            fp.ones(1, dtype="float16") * 1  # so that the twins are float64
            out, tensors = run(name, arrays, metadata, fp.Precision("float64"), graph=True)
            out.backward(g)
        assert report.total(format="float64").total.exact
        for i in differentiable(name, arrays):
            assert_array_equal(report.twin(tensors[i].grad), tensors[i].grad._data)


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_operation_against_longdouble_is_near(name):
    """Errors of float64 results, in a type of 64 bits: at most some units in the last place of the largest element."""
    for arrays, metadata, g in cases_of(name, "float64"):
        with fp.shadow() as report:
            out, tensors = run(name, arrays, metadata, fp.Precision("float64"), graph=True)
            out.backward(g)
        results = [out, *(tensors[i].grad for i in differentiable(name, arrays))]
        for x in results:
            assert report.twin(x).dtype == (np.longdouble if report.twin_format == "longdouble" else np.float64)
            largest = np.abs(x._data[np.isfinite(x._data)]).max(initial=0.0)
            error = report.error(x)
            assert np.all(np.abs(error[np.isfinite(error)]) <= 2.0**-46 * max(largest, 1.0))


@pytest.mark.parametrize("fmt", ["float16", "float8_e4m3fn", "float32"])
@pytest.mark.parametrize("name", sorted(CASES))
def test_every_operation_is_split_and_replayed(name, fmt):
    """In every precision of the registry test: error = made + inherited; all roundings on give the result's bits."""
    for i, (arrays, metadata, g) in enumerate(cases_of(name, fmt)):
        precision = precisions(fmt)[i % 5]
        try:
            run(name, arrays, metadata, precision)
        except FpsimError:
            continue
        with fp.shadow() as report:
            fp.ones(1, dtype="float16") * 1
            out, tensors = run(name, arrays, metadata, precision, graph=True)
            out.backward(g)
        for x in (out, *(tensors[k].grad for k in differentiable(name, arrays))):
            error = report.error(x)
            finite = np.isfinite(error)
            split = (report.made(x) + report.inherited(x))[finite]
            assert_allclose(error[finite], split, rtol=1e-12, atol=1e-13)
        recipe = report._narrow.twins.known(out).recipe
        assert_array_equal(replay(recipe), report.twin(out))
        assert_array_equal(replay(recipe, *SOURCES), out._data.astype(np.float64))


def test_a_twin_of_longdouble_for_float64():
    x = fp.tensor([0.1, 0.7], dtype="float64", requires_grad=True)
    optimizer = fp.optim.SGD([x], lr=0.1)
    with fp.shadow() as report:
        y = fp.exp(x * x / 3).sum()
        y.backward()
        optimizer.step()
    assert report.twin_format == ("longdouble" if np.finfo(np.longdouble).nmant > 52 else "float64")
    if report.twin_format == "longdouble":
        exact = np.array([0.1, 0.7], np.longdouble)
        assert report.twin(y).dtype == np.longdouble
        assert abs(report.twin(y) - np.exp(exact * exact / 3).sum()) < 1e-18
        assert 0 < report.total(op="divide", phase="forward").made.ulp_max <= 0.5
        assert report.total(phase="update").made.wrong > 0


def test_without_a_wider_type_the_report_says_so(monkeypatch):
    monkeypatch.setattr(shadow_module, "has_longdouble", lambda: False)
    with fp.shadow() as report:
        fp.ones(2, dtype="float64") / 3
    assert report.twin_format == "float64"
    assert report.total(op="divide").total.exact
    assert "No wider type than float64 on this platform: errors of float64 tensors show as 0." in report.table()
