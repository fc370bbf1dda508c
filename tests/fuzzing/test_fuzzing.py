"""Files that deceive are refused in a typed line, or read; the long run is ``python -m tests.fuzzing``."""

import pickle
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzzing.mutating import HOSTILE, as_json, damaged, places, with_hostile_parts
from tests.fuzzing.readers import LOADED, READERS, Bomb
from tests.fuzzing.running import fuzz, outcome

INPUTS = 150


@pytest.mark.parametrize("name", READERS)
def test_hostile_files_are_refused_or_read(name, tmp_path):
    counts, wrong = fuzz(name, INPUTS, tmp_path)
    assert wrong == []
    assert counts["read"] > 0  # else the files are refused too early to try anything
    assert counts["refused"] > INPUTS / 2


@pytest.mark.parametrize("name", READERS)
@given(content=st.binary(max_size=300))
def test_any_bytes_are_refused_or_read(name, content, tmp_path_factory):
    if name == "idx family":  # whose file is a list of four
        return
    file, _, reader = READERS[name]
    path = tmp_path_factory.mktemp("any") / file
    path.write_bytes(content)
    assert outcome(reader, path) in ("read", "refused")


# The fuzzer itself ---------------------------------------------------------------------------------------------------


def reader_that(raises):
    def read(path):
        if raises is not None:
            raise raises

    return read


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (None, "read"),
        (OSError(2, "No such file"), "refused"),
        (ZeroDivisionError(), "ZeroDivisionError"),
        (OSError("Unable to allocate 8.00 TiB"), "memory: "),
        (OSError("a\nb"), "no line that can be shown"),
        (SystemExit(3), "SystemExit: 3"),
    ],
)
def test_it_tells_what_went_wrong(error, found):
    assert found in outcome(reader_that(error), None)


def test_it_sees_code_that_is_run():
    assert outcome(lambda path: pickle.loads(pickle.dumps(Bomb())), None) == "code was run"
    assert LOADED == []


def test_a_number_is_the_same_file_again():
    rng = lambda: random.Random("x 0 7")  # noqa: E731
    assert damaged(b"0123456789" * 9, rng()) == damaged(b"0123456789" * 9, rng()) != b"0123456789" * 9
    tree = {"a": [1, 2, {"b": 3.0}], "c": "d"}
    assert len(places(tree)) == 7
    assert as_json(with_hostile_parts(tree, rng())) == as_json(with_hostile_parts(tree, rng()))
    assert len({as_json(with_hostile_parts(tree, random.Random(n))) for n in range(200)}) > 100
    assert b"@" not in as_json(list(HOSTILE))
