"""The manifest: it names every result, every kernel and thread count keeps to it, and what differs is named."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

import fpsim as fp
from fpsim import selftest
from fpsim.autograd.op import OPS
from fpsim.cli import main
from fpsim.selftest import inputs, operations
from fpsim.selftest.numbers import FORMATS
from tests.oracles.kernels import kernels

QUICK = [group for group in selftest.GROUPS if group not in ("operations", "training", "sums")]


@pytest.mark.parametrize("group", selftest.GROUPS)
def test_numpy_alone_computes_the_bits_of_the_manifest(group):
    with kernels("numpy"):
        assert selftest.computed(group) == selftest.manifest()[group]


@pytest.mark.parametrize("group", selftest.GROUPS)
def test_compiled_kernels_on_two_threads_compute_the_bits_of_the_manifest(group):
    pytest.importorskip("numba")
    with kernels("compiled", threads=2):
        assert selftest.computed(group) == selftest.manifest()[group]


def test_the_manifest_has_these_groups_and_no_others():
    assert list(selftest.manifest()) == list(selftest.GROUPS)


def test_every_operation_and_every_recipe_is_in_it():
    assert set(operations.CALLS) == set(OPS)
    assert {entry.partition(",")[0] for entry in selftest.manifest()["operations"]} == set(OPS)
    assert set(selftest.manifest()["training"]) == set(fp.amp.RECIPES)


def test_no_two_results_are_the_same_by_chance_of_the_input():
    """A digest that many entries share would come of an input that says nothing."""
    for group in ("rounding", "sums", "optimizers", "training"):
        digests = list(selftest.manifest()[group].values())
        assert len(set(digests)) > 0.8 * len(digests), group


# The platform's functions ---------------------------------------------------------------------------------------------


def is_exact_power(x, y, result):
    """Whether a power needs no rounding in float64: a library gives it then, and in narrow formats it may be a tie."""
    finite = np.isfinite([x, y, result]).all()
    return bool(finite and y == int(y) and x and Fraction(float(x)) ** int(y) == Fraction(float(result)))


@contextmanager
def another_library(direction):
    """exp, log, tanh and pow whose results in float64 are a neighbour of this platform's."""

    def beside(function):
        def other(*arrays):
            result = function(*arrays)
            if getattr(result, "dtype", None) != np.float64:
                return result
            exact = result == np.rint(result)  # 0, 1 and infinity, which no library misses
            if len(arrays) == 2:
                exact |= np.vectorize(is_exact_power, otypes=[bool])(*arrays, result)
            return np.where(exact, result, np.nextafter(result, direction))

        return other

    with pytest.MonkeyPatch.context() as patch:
        for name in ("exp", "log", "log1p", "tanh", "power"):
            patch.setattr(np, name, beside(getattr(np, name)))
        # what the operator ** calls cannot be replaced, so the formulas are
        integer = OPS["power_integer"]
        slope = replace(integer.vjps[0], formula=lambda g, out, x, *, n: g * n * np.power(x, float(n - 1)))
        patch.setattr(integer, "rule", replace(integer.rule, formula=lambda x, *, n: np.power(x, float(n))))
        patch.setitem(integer.vjps, 0, slope)
        yield


@pytest.mark.parametrize("direction", [np.inf, -np.inf])
def test_no_result_hangs_on_the_last_bit_of_the_platforms_functions(direction, monkeypatch):
    """In float32 a function is float64's, rounded: no input here lies so near to a tie that the library shows."""
    monkeypatch.setattr(operations, "OPS", {name: OPS[name] for name in operations.FUNCTIONS})
    with kernels("numpy"), another_library(direction):
        made = selftest.computed("operations")
    assert len(made) > 100
    assert made == {name: selftest.manifest()["operations"][name] for name in made}


def test_training_does_not_either():
    with kernels("numpy"), another_library(np.inf):
        assert selftest.computed("training") == selftest.manifest()["training"]


def test_those_left_out_hang_on_it_and_no_others(monkeypatch):
    """In float64 the library's own bits show."""
    left_out = operations.FUNCTIONS
    monkeypatch.setattr(operations, "PRECISIONS", {"float64": operations.PRECISIONS["float64"]})
    monkeypatch.setattr(operations, "FUNCTIONS", frozenset())
    with kernels("numpy"):
        here = selftest.computed("operations")
        with another_library(np.inf):
            there = selftest.computed("operations")
    assert {name.partition(",")[0] for name in here if here[name] != there[name]} == left_out


# Inputs ---------------------------------------------------------------------------------------------------------------


def test_integers_are_splitmix64():
    """The first outputs for the seed 0, as published with the generator's source."""
    seeded = [name for name in ("", "a") if inputs.zlib.crc32(name.encode()) == 0]
    assert [hex(n) for n in inputs.integers(seeded[0], 3)] == [
        "0xe220a8397b1dcdaf", "0x6e789e6aa1b965f4", "0x6c45d188009454f",
    ]  # fmt: skip


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_values_lie_on_the_grid_and_use_all_of_their_bits(fmt):
    x = inputs.values("x", (500,), fmt)
    assert np.array_equal(fp.round(x, fmt), x)
    odd = np.abs(x) / fp.ulp(x, fmt) % 2 == 1
    assert odd.mean() > 0.3
    assert (x < 0).any()
    assert (inputs.values("x", (500,), fmt, positive=True) > 0).all()


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_numbers_to_be_rounded_meet_midpoints_and_both_ends(fmt):
    x = inputs.real("x", 2000, fmt)
    finite = x[np.isfinite(x)]
    assert (np.abs(finite) > fmt.max).any() or fmt.emax == 1023
    assert (np.abs(finite[finite != 0]) < fmt.smallest_subnormal).any() or fmt.emin == -1022
    if fmt.p < 53:
        down, up = fp.round(finite, fmt, "down", saturate=True), fp.round(finite, fmt, "up", saturate=True)
        assert ((finite - down == up - finite) & (down != up)).sum() > 20


def test_a_digest_sees_dtype_shape_and_the_sign_of_zero_and_no_layout_nor_payload():
    x = np.array([[1.0, 2.0, np.nan], [0.0, -0.0, np.inf]])
    same = [x, np.asfortranarray(x), x.astype(">f8"), np.where(np.isnan(x), -np.float64("nan"), x)]
    assert len({inputs.digest(a) for a in same}) == 1
    others = [x, x.T, x.reshape(-1), x.astype(np.float32), np.abs(x), x * 2]
    assert len({inputs.digest(a) for a in others}) == len(others)


# What is told ---------------------------------------------------------------------------------------------------------


def test_what_differs_is_missing_or_new_is_named(monkeypatch):
    made = selftest.computed("generators")
    monkeypatch.setattr(selftest.checking, "GROUPS", {"generators": lambda: iter(made.items())})
    (finding,) = selftest.selftest({"generators": made})
    assert (finding.count, finding.differing) == (4, ())
    assert str(finding) == "generators     4 results  ok"
    other = {**made, "dropout": "0" * 64, "gone": "1" * 64}
    del other["batches"]
    (finding,) = selftest.selftest({"generators": other})
    assert finding.differing == ("dropout", "batches", "gone")
    assert str(finding) == "generators     4 results  3 differ, the first: dropout"


@pytest.fixture
def one_group(monkeypatch):
    """Only the generators, which are quick."""
    groups = {"generators": selftest.GROUPS["generators"]}
    for module in (selftest, selftest.checking):
        monkeypatch.setattr(module, "GROUPS", groups)


def test_the_command_prints_a_line_for_each_group(one_group, capsys):
    assert main(["selftest"]) == 0
    assert capsys.readouterr().out.splitlines() == ["generators     4 results  ok", "The same bits as everywhere."]
    assert main(["selftest", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"groups": [{"group": "generators", "results": 4, "differing": []}], "same": True}


def test_the_command_fails_where_a_bit_differs(one_group, capsys, monkeypatch):
    monkeypatch.setattr("fpsim.rounding.kernel.hashed_uniform", lambda key, index: np.full(index.shape, 0.5))
    with kernels("numpy"):
        assert main(["selftest"]) == 1
    assert "1 differ, the first: stochastic rounding" in capsys.readouterr().out


def test_a_manifest_is_written(one_group, capsys, tmp_path):
    assert main(["selftest", "--write", str(tmp_path / "made.json")]) == 0
    assert json.loads((tmp_path / "made.json").read_text()) == {"generators": selftest.manifest()["generators"]}
    assert main(["selftest", "--write", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("numba", ["off", "auto"])
def test_a_new_process_computes_them_too(numba):
    program = f"from fpsim import selftest; print(*(selftest.computed(g) == selftest.manifest()[g] for g in {QUICK}))"
    environment = {**os.environ, "FPSIM_NUMBA": numba, "FPSIM_THREADS": "2"}
    told = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["True"] * len(QUICK)
