"""Strategies: how well they cover, how they shrink, that what they draw is what they say; measured, not believed."""

import math
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

import fpsim as fp
from fpsim import testing as ft
from fpsim.testing import exact
from tests.oracles import rational

ROOT = Path(__file__).parents[2]


def drawn(strategy, count):
    """The first `count` examples, the same in every run."""
    found = []

    @settings(
        max_examples=count, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(strategy)
    def look(x):
        found.append(x)

    look()
    return found[:count]


def smallest(strategy, condition):
    return find(strategy, condition, settings=settings(database=None, deadline=None, max_examples=2000))


def test_500_draws_cover_float16():
    x = drawn(ft.values("float16"), 500)
    assert len(x) == 500
    assert len({repr(v) for v in x}) >= 400
    finite = [v for v in x if math.isfinite(v) and v]
    seen = Counter(math.frexp(v)[1] - 1 for v in finite)
    assert set(range(-14, 16)) <= set(seen)
    assert 0.02 <= sum(abs(v) < 2.0**-14 for v in finite) / 500 <= 0.25
    assert {0.0, math.inf} <= {abs(v) for v in x}
    assert any(v != v for v in x)
    assert {65504.0, 2.0**-14, 2.0**-24} & {abs(v) for v in x}
    assert any(1 <= v < 2 and exact.code(v, "float16") % 2 for v in x)  # an odd last bit in [1, 2)
    assert 0.35 <= sum(math.copysign(1, v) < 0 for v in x) / 500 <= 0.65


@pytest.mark.parametrize("fmt", sorted(rational.NAMED))
def test_values_are_values_of_the_format(fmt):
    for x in drawn(ft.values(fmt), 150):
        assert exact.code(x, fmt) is not None
    limited = ft.values(fmt, allow_inf=False, allow_nan=False, allow_subnormal=False, signed=False)
    for x in drawn(limited, 60):
        assert x == 0 or fp.Format(fmt).smallest_normal <= x <= fp.Format(fmt).max


def test_bounds_exponents_and_ties_are_kept():
    assert all(-1.5 <= x <= 3 for x in drawn(ft.values("float16", min_value=-1.5, max_value=3), 60))
    assert all(2 <= abs(x) < 8 for x in drawn(ft.values("float16", exponents=(1, 2)), 60))
    x = [v for v in drawn(ft.values("float32", ties_of="float16"), 200) if math.isfinite(v)]
    between = [exact.neighbours(v, "float16") for v in x]
    ties = sum(low != high and 2 * v == low + high for v, (low, high) in zip(x, between, strict=True))
    assert ties >= 40
    assert all(exact.neighbours(v, "float16")[0] != v for v in drawn(ft.midpoints("float16"), 60))


@pytest.mark.parametrize(
    ("condition", "simplest"),
    [
        (lambda x: True, 0.0),
        (lambda x: x != 0, 1.0),
        (lambda x: x < 0, -1.0),
        (lambda x: abs(x) > 1000 and math.isfinite(x), 1024.0),
        (lambda x: x * x > 65504 and math.isfinite(x), 256.0),
        (lambda x: 1 < x < 2 and exact.code(x, "float16") % 2, 1 + 2.0**-10),
        (lambda x: math.isinf(x), math.inf),
    ],
)
def test_values_shrink_to_the_simplest(condition, simplest):
    assert smallest(ft.values("float16"), condition) == simplest


def test_other_strategies_shrink_to_the_best_known():
    assert smallest(ft.formats(), lambda fmt: True).name == "float16"
    assert smallest(ft.formats(named=True), lambda fmt: not fmt.has_inf).name == "float8_e4m3fn"
    assert smallest(ft.roundings(), lambda mode: True) == "nearest_even"
    assert smallest(ft.orders(), lambda order: True) == "sequential"
    assert smallest(ft.shapes(), lambda shape: True) == ()
    script = smallest(ft.loss_scale_scripts(), lambda s: "inf" in s.steps)
    assert script.steps == ("inf",)


def sum_and_size(x):
    return exact.sum(x), exact.sum(np.abs(x))


@pytest.mark.parametrize("fmt", ["float16", "bfloat16", "float32", "float8_e4m3fn"])
def test_spreads_strain_sums_as_they_say(fmt):
    grid = exact.grid_of(fmt)
    for x in drawn(ft.arrays(fmt, 6, spread="exponent"), 40):
        assert sum_and_size(x)[1] <= grid.max
    ranges = [
        np.log2(np.abs(x)).max() - np.log2(np.abs(x)).min() for x in drawn(ft.arrays(fmt, 6, spread="exponent"), 40)
    ]
    assert np.median(ranges) > (fp.Format(fmt).emax - fp.Format(fmt).emin) / 3
    conditions = []
    for x in drawn(ft.arrays(fmt, 6, spread="cancelling"), 40):
        total, size = sum_and_size(x)
        conditions.append(float(size / abs(total)) if total else math.inf)
    assert np.median(conditions) > 2.0 ** (grid.p - 3)
    for x in drawn(ft.arrays(fmt, 6, spread="swamping"), 40):
        large = np.abs(x).max()
        others = np.sort(np.abs(x))[:-1]
        assert (others.astype(float) <= float(exact.ulp(large, fmt)) / 2).all()


@pytest.mark.parametrize("condition", [10.0, 1e3, 1e6])
@pytest.mark.parametrize("n", [3, 4, 7])
def test_dot_products_have_the_condition_that_was_asked_for(n, condition):
    for x, y in drawn(ft.arrays("float16", n, spread="ill_conditioned", condition=condition), 40):
        assert x.dtype == y.dtype == np.float16
        actual = 2 * exact.dot(np.abs(x), np.abs(y)) / abs(exact.dot(x, y))
        assert condition / 2 <= actual <= condition * 2


def test_arrays_have_the_dtype_and_shape():
    assert drawn(ft.arrays("float16", (2, 3)), 1)[0].dtype == np.float16
    assert drawn(ft.arrays("bfloat16", ()), 1)[0].shape == ()
    assert drawn(ft.arrays("float64", (0, 2)), 1)[0].shape == (0, 2)
    assert {x.ndim for x in drawn(ft.arrays("float32", ft.shapes()), 60)} == {0, 1, 2, 3}


def test_settings_cover_what_fpsim_has():
    assert {f.name for f in drawn(ft.formats(named=True), 100)} == {f.name for f in ft.strategies.ARITHMETIC}
    assert set(drawn(ft.roundings(stochastic=True), 50)) == set(fp.formats.MODES)
    assert {o.partition(":")[0] for o in drawn(ft.orders(blas=True), 60)} == {
        "blas", "sequential", "pairwise", "blocked", "kahan", "exact",
    }  # fmt: skip
    assert all(f.bits <= 8 for f in drawn(ft.formats(max_bits=8), 60))
    precisions = drawn(ft.precisions(), 100)
    assert {p.fma for p in precisions} == {p.saturate for p in precisions} == {True, False}
    assert len({p.storage for p in precisions}) > 8
    assert len({str(p) for p in drawn(ft.policies(), 60)}) > 20


def test_small_nets_run_forward_and_backward():
    for net, x in drawn(ft.small_nets(), 40):
        net(x).sum().backward()
        assert all(p.grad is not None for p in net.parameters())


def test_scalers_follow_the_script():
    for script in drawn(ft.loss_scale_scripts(), 60):
        scaler = fp.amp.GradScaler(**script.arguments)
        weight = fp.nn.Parameter(fp.tensor([1.0]))
        optimizer = fp.optim.SGD([weight], lr=0.0)

        def step(gradient, scaler=scaler, weight=weight, optimizer=optimizer):
            with np.errstate(all="ignore"):
                scaled = np.float32(gradient) * np.float32(scaler.get_scale())
            scaler.scale(fp.tensor(0.0))
            weight.grad = fp.tensor([scaled])
            scaler.step(optimizer)
            scaler.update()
            return scaler.get_scale()

        assert script.play(step) == script.scales()


def test_from_type_works_where_fpsim_is_installed(tmp_path):
    """With the entry point of pyproject.toml, and without importing fpsim.testing."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    installed = tmp_path / "fpsim_entry-0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: fpsim-entry\nVersion: 0\n")
    lines = [f"{name} = {value}" for name, value in project["entry-points"]["hypothesis"].items()]
    (installed / "entry_points.txt").write_text("\n".join(["[hypothesis]", *lines]) + "\n")
    program = (
        "import sys, hypothesis\n"
        "from hypothesis import find, strategies as st\n"
        "assert 'fpsim.testing.strategies' not in sys.modules or 'fpsim.testing' in sys.modules\n"
        "import fpsim as fp\n"
        "for kind in (fp.Tensor, fp.Format, fp.Precision, fp.amp.Policy):\n"
        "    assert isinstance(find(st.from_type(kind), lambda x: True), kind)\n"
        "print('drawn')"
    )
    paths = f"{tmp_path}:{ROOT}"
    out = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": paths, "PATH": ""},
    )  # fmt: skip
    assert out.stdout == "drawn\n", out.stderr


def test_strategies_for_types_can_be_registered_again():
    from fpsim.testing.registration import register

    register()
    assert isinstance(smallest(st.from_type(fp.Tensor), lambda x: True), fp.Tensor)
