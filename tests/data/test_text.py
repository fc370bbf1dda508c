"""The embedded text and windows of it: the codes, the true text, an order that is restored like that of batches."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fpsim as fp
from fpsim.data import images
from fpsim.data.texts import text
from fpsim.errors import DataError

ALICE = text()


def test_it_is_alice_from_the_rabbit_hole_to_the_caterpillar():
    whole = ALICE.decode(np.concatenate([ALICE.train, ALICE.test]))
    assert len(whole) == 47271
    assert whole.split()[:8] == "CHAPTER I Down the Rabbit-Hole Alice was beginning".split()
    assert whole.endswith(
        "quietly smoking a long hookah, and taking not the smallest notice\nof her or of anything else.\n"
    )
    assert [f"CHAPTER {n}" in whole for n in ("I", "II", "III", "IV", "V")] == [True] * 4 + [False]


def test_codes_count_the_characters_in_order():
    assert ALICE.characters == "".join(sorted(set(ALICE.characters)))
    assert set(ALICE.train.tolist()) == set(range(len(ALICE.characters)))
    assert set(ALICE.test.tolist()) <= set(ALICE.train.tolist())
    assert ALICE.train.dtype == ALICE.test.dtype == np.int64
    assert len(ALICE.train) == (len(ALICE.train) + len(ALICE.test)) * 9 // 10


def test_encode_undoes_decode():
    assert (ALICE.encode(ALICE.decode(ALICE.test)) == ALICE.test).all()
    assert ALICE.decode(ALICE.encode("")) == ""


def test_a_damaged_file_is_refused(monkeypatch):
    monkeypatch.setitem(images.SHA256, "alice.txt.gz", "0" * 64)
    with pytest.raises(DataError, match="expected the file as it was shipped"):
        text()


def windows(pairs):
    return [(x.tolist(), y.tolist()) for x, y in pairs]


@given(
    n=st.integers(4, 40), length=st.integers(1, 3), size=st.integers(1, 5), seed=st.integers(0, 9),
    done=st.integers(0, 30),
)  # fmt: skip
def test_a_restored_loader_goes_on_as_if_never_stopped(n, length, size, seed, done):
    size = min(size, n - length)
    whole, stopped, resumed = (fp.data.sequences(np.arange(n), length, size, seed) for _ in range(3))
    windows(stopped.take(done))
    resumed.load_state_dict(json.loads(json.dumps(stopped.state_dict())))
    assert windows(resumed.take(7)) == windows(whole.take(done + 7))[done:]


@given(n=st.integers(2, 40), length=st.integers(1, 5), size=st.integers(1, 4), seed=st.integers(0, 9))
def test_an_epoch_starts_at_every_place_at_most_once_and_y_follows_x(n, length, size, seed):
    length = min(length, n - 1)
    size = min(size, n - length)
    loader = fp.data.sequences(10 * np.arange(n), length, size, seed)
    starts = []
    for x, y in loader:
        assert x.shape == y.shape == (size, length)
        assert (y == x + 10).all()
        assert (np.diff(x, axis=1) == 10).all()
        starts += x[:, 0].tolist()
    assert len(set(starts)) == len(starts) == (n - length) // size * size


def test_the_order_of_a_seed_never_changes():
    loader = fp.data.sequences(ALICE.train, length=8, size=2, seed=7)
    assert [ALICE.decode(row) for x, _ in loader.take(2) for row in x] == [
        "d sudden",
        "ttle dog",
        "eat the ",
        " assembl",
    ]


def test_batches_are_copies():
    codes = np.arange(9)
    x, _ = next(fp.data.sequences(codes, 3, 2).take(1))
    x[:] = 0
    assert (codes == np.arange(9)).all()
