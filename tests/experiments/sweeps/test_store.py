"""The store: what goes in comes out, only what is missing is computed, and what is no store is refused."""

import json
import math
import sqlite3
from contextlib import closing

import pytest

import fpsim as fp
from fpsim.experiments.sweeps import store
from fpsim.experiments.sweeps.store import Store

FAST = {"scenario": "rounding", "steps": 3}
GRID = {"scale": [1.0, 2.0**12, 2.0**30], "seed": [0, 1]}


def sweep(grid=GRID, **options):
    """Serial; the sweep, and the settings that were computed for it."""
    computed = []
    options = {**FAST, **options}
    found = fp.sweep(grid, "serial", progress=lambda done, points, settings: computed.append(settings), **options)
    return found, computed


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored")
    return folder, sweep(out=folder)[0]


def same(a, b):
    return len(a) == len(b) and all(
        p.settings == q.settings and p.exponents == q.exponents and p.run.same_numbers(q.run)
        for p, q in zip(a, b, strict=True)
    )


def execute(folder, *statement):
    with closing(sqlite3.connect(folder / store.NAME)) as connection, connection:
        return connection.execute(*statement).fetchall()


def test_a_store_gives_back_what_a_sweep_gave(stored):
    folder, found = stored
    for path in (folder, folder / "sweep.sqlite"):
        loaded = fp.load(path)
        assert same(loaded, found)
        assert loaded.reference.run.same_numbers(found.reference.run)
        assert loaded.table() == found.table()
        assert loaded.missing == 0


def test_a_stored_sweep_is_the_one_in_memory(stored):
    assert same(stored[1], sweep()[0])


def test_infinities_and_nan_survive(tmp_path):
    """float16/float32 at a scale of 2**24 is past saving after a step."""
    with pytest.warns(fp.LossScaleOverflowWarning):
        found, _ = sweep({"scale": [2.0**24]}, recipe="float16/float32", out=tmp_path)
    assert math.isnan(found[0].run.loss[-1])
    assert same(fp.load(tmp_path), found)


def test_the_same_sweep_again_computes_nothing(stored):
    folder, found = stored
    again, computed = sweep(out=folder)
    assert computed == []
    assert same(again, found)


def test_a_larger_sweep_computes_only_what_is_missing(stored, tmp_path):
    sweep(out=tmp_path)
    extended, computed = sweep({"scale": [1.0, 2.0**12, 2.0**20, 2.0**30], "seed": [0, 1, 2]}, out=tmp_path)
    assert len(computed) == 4 * 3 + 3 - (3 * 2 + 2)
    assert all(c["seed"] == 2 or c["scale"] == 2.0**20 for c in computed)
    assert same(extended, sweep({"scale": [1.0, 2.0**12, 2.0**20, 2.0**30], "seed": [0, 1, 2]})[0])
    assert len(fp.load(tmp_path)) == len(extended)


def test_the_same_configuration_written_otherwise_is_not_computed_again(stored):
    folder, found = stored
    again, computed = sweep([{"scale": 4096, "seed": 1, "lr": 1e-3, "batch": 32}], out=folder, reference=False)
    assert computed == []
    assert again[0].run.same_numbers(found[3].run)


def test_results_are_there_as_soon_as_they_are_computed(tmp_path):
    seen = []

    def count(done, points, settings):
        seen.append((done, len(fp.load(tmp_path)), fp.load(tmp_path).missing))

    fp.sweep({"lr": [0.1, 0.2, 0.3]}, "serial", out=tmp_path, progress=count, **FAST)
    assert seen == [(1, 1, 2), (2, 2, 1), (3, 3, 0)]


def test_an_interrupted_sweep_goes_on_where_it_was(tmp_path):
    def interrupt(done, points, settings):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fp.sweep({"lr": [0.1, 0.2, 0.3]}, "serial", out=tmp_path, progress=interrupt, **FAST)
    assert fp.load(tmp_path).missing == 1
    assert "1 not computed yet" in fp.load(tmp_path).table()
    found, computed = sweep({"lr": [0.1, 0.2, 0.3]}, out=tmp_path)
    assert [c["lr"] for c in computed] == [0.3]
    assert same(found, sweep({"lr": [0.1, 0.2, 0.3]})[0])


def test_two_sweeps_in_one_store_are_told_apart_by_what_differs(tmp_path):
    sweep({"scale": [8.0]}, out=tmp_path, recipe="mixed_float16", reference=False, dynamic=False)
    sweep({"scale": [8.0]}, out=tmp_path, recipe="O2", reference=False, dynamic=False)
    assert [p.settings for p in fp.load(tmp_path)] == [
        {"scale": 8.0, "recipe": "mixed_float16"},
        {"scale": 8.0, "recipe": "O2"},
    ]


def test_a_failing_configuration_is_recorded_and_not_tried_again_unless_asked(tmp_path):
    grid = {"recipe": ["flaot16", "float16"], "seed": [0, 1]}
    found, computed = sweep(grid, out=tmp_path)
    assert len(computed) == 4
    assert [p.settings for p in found] == [{"recipe": "float16", "seed": s} for s in (0, 1)]
    assert [f.settings for f in found.failures] == [{"recipe": "flaot16", "seed": s} for s in (0, 1)]
    assert found.failures[0].error.startswith("ArgumentError: recipe: expected a recipe's name, got 'flaot16'")
    assert fp.load(tmp_path).failures == found.failures
    assert sweep(grid, out=tmp_path)[1] == []
    assert [c["recipe"] for c in sweep(grid, out=tmp_path, retry=True)[1]] == ["flaot16"] * 2
    ((traceback,),) = execute(tmp_path, "SELECT DISTINCT traceback FROM results WHERE error IS NOT NULL")
    assert traceback.startswith("Traceback")


def test_what_was_lost_with_its_worker_is_always_tried_again(tmp_path):
    sweep({"lr": [0.1, 0.2]}, out=tmp_path)
    execute(
        tmp_path, "UPDATE results SET run = NULL, error = 'WorkerLostError: it died' WHERE run LIKE '%\"lr\": 0.2%'"
    )
    assert len(fp.load(tmp_path).failures) == 1
    found, computed = sweep({"lr": [0.1, 0.2]}, out=tmp_path)
    assert [c["lr"] for c in computed] == [0.2]
    assert found.failures == []


def test_the_reference_may_be_a_point_as_well(tmp_path):
    grid = [{"recipe": "float32"}, {"recipe": "mixed_float16", "scale": 8.0}]
    found, computed = sweep(grid, out=tmp_path, dynamic=False)
    assert len(computed) == 2
    assert found.reference.run.same_numbers(found[0].run)
    assert len(fp.load(tmp_path)) == 2


def test_a_row_can_be_read_without_fpsim(stored):
    folder, found = stored
    (row,) = execute(folder, "SELECT run, hex(loss) FROM results JOIN configurations USING (key) WHERE place = 1")
    assert json.loads(row[0])["accuracy"] == found[0].run.accuracy
    assert memoryview(bytes.fromhex(row[1])).cast("d").tolist() == found[0].run.loss


# What is no store ----------------------------------------------------------------------------------------------------


@pytest.fixture
def written(tmp_path):
    sweep({"lr": [0.1]}, out=tmp_path)
    return tmp_path


def refused(do):
    with pytest.raises(fp.ResultsError) as error:
        do()
    assert error.value.__cause__ is None
    return str(error.value)


def test_a_store_of_another_version_is_refused_to_read_and_to_write(written):
    execute(written, "UPDATE about SET value = '2' WHERE name = 'version'")
    for op, do in (("load", lambda: fp.load(written)), ("sweep", lambda: sweep({"lr": [0.2]}, out=written))):
        assert refused(do) == (
            f"{op}: expected a store of version 1, got {written / store.NAME} of version 2, written by fpsim "
            f"{store.fpsim_version()}; use the fpsim that wrote it, or choose another path."
        )


def test_results_of_two_versions_of_fpsim_are_not_mixed_but_read(written):
    execute(written, "UPDATE about SET value = '0.0.1' WHERE name = 'fpsim'")
    assert refused(lambda: sweep({"lr": [0.2]}, out=written)) == (
        f"sweep: expected a store written by fpsim {store.fpsim_version()}, got {written / store.NAME} by fpsim 0.0.1; "
        "choose another --out (fp.load still reads this one), so that no results of two are mixed."
    )
    assert len(fp.load(written)) == 1


@pytest.mark.parametrize(
    "content", [b"no database at all, but long enough to be taken for one" * 20, b"SQLite format 3\0" + b"\1" * 4096]
)
def test_another_file_is_refused(tmp_path, content):
    (tmp_path / store.NAME).write_bytes(content)
    for op, do in (("load", lambda: fp.load(tmp_path)), ("sweep", lambda: sweep(out=tmp_path))):
        assert refused(do).startswith(f"{op}: expected a store")
    assert (tmp_path / store.NAME).read_bytes() == content


def test_somebody_elses_database_is_refused_and_left_alone(tmp_path):
    execute(tmp_path, "CREATE TABLE about (name TEXT, value TEXT)")
    before = (tmp_path / store.NAME).read_bytes()
    for do in (lambda: fp.load(tmp_path), lambda: sweep(out=tmp_path)):
        assert "which fpsim did not write" in refused(do)
    assert (tmp_path / store.NAME).read_bytes() == before


def test_a_missing_store_is_refused_and_not_made(tmp_path):
    assert refused(lambda: fp.load(tmp_path / "no.sqlite")).startswith("load: expected a store that can be opened")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE results SET run = '{}'",
        "UPDATE results SET run = '[1]'",
        "UPDATE results SET run = 'no json'",
        "UPDATE results SET run = x'00ff'",
        "UPDATE results SET loss = x'0011'",
        "UPDATE results SET loss = NULL",
        "UPDATE results SET loss = x''",
        "UPDATE results SET exponents = '[]'",
        "UPDATE results SET exponents = '{\"a\": 1}'",
        "UPDATE configurations SET arguments = '[]'",
        "UPDATE configurations SET arguments = '{\"lr\": [1]}'",
        "UPDATE configurations SET arguments = NULL WHERE 0",
        "UPDATE about SET value = '{' WHERE name = 'swept'",
        "UPDATE about SET value = '[1]' WHERE name = 'swept'",
        "UPDATE results SET run = json_set(run, '$.steps', 9)",
        "DROP TABLE results",
    ],
)
def test_rows_that_are_damaged_are_one_clear_error(written, damage):
    execute(written, damage)
    if damage.endswith("WHERE 0"):
        assert len(fp.load(written)) == 1  # the unharmed one, so that the others' errors mean something
    else:
        assert refused(lambda: fp.load(written)).startswith("load: expected ")


def test_a_folder_that_cannot_be_made_is_refused_before_training(tmp_path):
    (tmp_path / "file").touch()
    assert refused(lambda: sweep(out=tmp_path / "file" / "runs")).startswith(
        "sweep: expected a folder that can be written"
    )


def test_a_store_in_memory_is_as_good():
    with Store.writing(None) as made:
        assert made.known() == {}
        assert made.load().points == []
