"""Every figure of the gallery hits its number: the quick ones computed here, the slow ones smaller and as committed."""

import json
from pathlib import Path

import pytest

from fpsim.experiments.repeating import digest
from fpsim.gallery import EXHIBITS, exhibit
from fpsim.gallery.exhibit import plain

FIGURES = Path(__file__).parents[2] / "figures"
#: Figures that take longer than a test may: their first steps alone are computed again.
BEGUN = {"dynamic_scale", "adam", "ratios", "master_weights"}
NAMES = tuple(EXHIBITS)


def committed(name):
    return json.loads((FIGURES / f"{name}.json").read_text(encoding="utf-8"))


def claims(one, numbers):
    found = list(one.check(numbers))
    assert found
    return found


@pytest.mark.parametrize("name", [name for name in NAMES if name not in BEGUN])
def test_a_figure_hits_its_numbers_and_has_the_committed_ones(name):
    one = EXHIBITS[name]
    numbers = one.numbers()
    assert [str(claim) for claim in claims(one, numbers) if not claim.holds] == []
    assert numbers == json.loads(json.dumps(numbers))  # plain data: what a results file gives back
    assert digest(numbers) == committed(name)["digest"]


@pytest.mark.parametrize("name", NAMES)
def test_committed_numbers_hit_what_they_must(name):
    one, file = EXHIBITS[name], committed(name)
    assert file["settings"] == plain(one.settings)
    assert file["digest"] == digest(file["numbers"])
    assert [str(claim) for claim in claims(one, file["numbers"]) if not claim.holds] == []


def test_the_numbers_of_the_literature():
    """Once more, apart from the exhibits' own checks."""
    harmonic = committed("harmonic")["numbers"]
    assert (harmonic["float16"]["limit"], harmonic["float16"]["first_lost"]) == (7.0859375, 513)
    assert (harmonic["bfloat16"]["limit"], harmonic["bfloat16"]["first_lost"]) == (5.0625, 65)
    assert (harmonic["float32"]["limit"], harmonic["float32"]["first_lost"]) == (15.403682708740234, 2097152)
    swamping = committed("swamping")["numbers"]
    assert (swamping["e6m9"]["stopped_at"], swamping["float16"]["stopped_at"], swamping["n"][-1]) == (4096, 8192, 16384)
    assert swamping["e6m9"]["blocked"][-1] == pytest.approx(swamping["true"][-1], rel=0.01)
    lost = committed("lost_updates")["numbers"]
    assert (lost["float16"][-1], round(lost["float32"][-1], 4)) == (1.0, 2.0002)
    assert committed("loss_scaling")["numbers"]["scaled"]["same_bits"] is True
    assert len(committed("dynamic_scale")["numbers"]["skipped"]) <= 12
    adam = committed("adam")["numbers"]
    assert (adam["eps_in_float16"], adam["update_of_zero"]) == (0.0, "nan")
    assert max(adam["float16"]["running_mean"]) < 1
    core = committed("tensor_core")["numbers"]
    sums = dict(zip(core["start"], core["sum"]["tensor_core"], strict=True))
    assert (sums[1.0], sums[1 - 2.0**-24]) == (1.0, 1 + 2.0**-23)
    attention = committed("attention")["numbers"]
    assert attention["absorbed"]["float16"][attention["stream"].index(11)] == pytest.approx(1 / 3**0.5, abs=0.02)
    assert max(attention["infinite"]["with"]) == 0
    fp8 = committed("fp8_scaling")["numbers"]
    assert [fp8["unscaled"][fmt].index(1.0) for fmt in ("float8_e4m3fn", "float8_e5m2")] == [10, 17]
    blocks = committed("mx_blocks")["numbers"]
    assert [blocks[fmt]["neighbours_left"].index(0) for fmt in ("mxfp8_e4m3", "mxfp6_e3m2", "mxfp4_e2m1")] == [
        20,
        11,
        6,
    ]
    promotion = committed("promotion")["numbers"]["largest"]
    assert promotion["nearest"][-1] < 0.02 < promotion["cut"][-1]
    assert promotion["nearest_promoted"][-1] < 1e-4
    masters = committed("master_weights")["numbers"]["runs"]
    assert {recipe: len(runs) for recipe, runs in masters.items()} == dict.fromkeys(masters, 3)


@pytest.mark.parametrize("name", NAMES)
def test_a_check_can_fail(name):
    """Other numbers in the place of the right ones miss at least one claim."""
    one = EXHIBITS[name]
    assert any(not claim.holds for claim in one.check(spoiled(committed(name)["numbers"])))


def spoiled(value):
    """Every number as its half and a bit, every truth its contrary, every histogram 40 binades further up."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value / 2 + 0.03125
    if isinstance(value, dict) and value.keys() <= set(map(str, range(-200, 200))):
        return {str(int(e) + 40): n for e, n in value.items()}
    if isinstance(value, dict):
        return {k: v if k == "start" else spoiled(v) for k, v in value.items()}
    return [spoiled(v) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", NAMES)
def test_a_caption_names_command_source_and_number(name):
    one = exhibit(name)
    assert one.caption == committed(name)["caption"]
    for part in (f"fpsim figures {name}", one.source, one.must_hit, one.message):
        assert part in one.caption


def test_the_dynamic_scale_begins_as_committed():
    one, whole = EXHIBITS["dynamic_scale"], committed("dynamic_scale")["numbers"]
    begun = one.numbers({**one.settings, "steps": 7})
    assert begun == {**{what: whole[what][:7] for what in ("scale", "loss")}, "skipped": [0, 1, 2, 3, 4]}


def test_the_running_mean_begins_as_committed():
    one, whole = EXHIBITS["adam"], committed("adam")["numbers"]
    begun = one.numbers({**one.settings, "steps": 200})
    for fmt in ("float16", "float32"):
        assert begun[fmt]["running_mean"] == whole[fmt]["running_mean"][:5]
        assert begun[fmt]["update"] == whole[fmt]["update"]
    assert begun["smallest_gradient_squared"] == whole["smallest_gradient_squared"] == pytest.approx(5.46e-3, rel=1e-3)


def test_the_master_weights_begin_as_committed():
    one, whole = EXHIBITS["master_weights"], committed("master_weights")["numbers"]
    begun = one.numbers({**one.settings, "steps": 100, "seeds": [0], "counted": 4})
    assert begun["step"] == whole["step"][:1]
    for recipe, (run,) in begun["runs"].items():
        assert run["loss"] == whole["runs"][recipe][0]["loss"][:1]
    assert begun["runs"]["float16"][0]["lost_updates"] > 0.5 > begun["runs"]["float32"][0]["lost_updates"]


def test_a_few_steps_show_what_the_ratios_show():
    one = EXHIBITS["ratios"]
    numbers = one.numbers({**one.settings, "steps": 4, "every": 3})
    assert [str(claim) for claim in claims(one, numbers) if not claim.holds] == []
