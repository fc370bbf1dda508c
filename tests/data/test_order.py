"""The batch order: each row once an epoch, the same for the same seed, restored by two integers."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fpsim.data import batches
from fpsim.errors import ArgumentError, ArgumentTypeError, DataError, ShapeError


def loader(n=10, size=3, seed=0, **options):
    return batches(np.arange(n) * 0.5, np.arange(n), size, seed, **options)


def labels(pairs):
    return [y.tolist() for _, y in pairs]


@given(n=st.integers(1, 40), size=st.integers(1, 45), seed=st.integers(0, 2**70), drop_last=st.booleans())
def test_an_epoch_visits_each_row_once_in_len_batches(n, size, seed, drop_last):
    size = min(size, n) if drop_last else size
    one = loader(n, size, seed, drop_last=drop_last)
    for _ in range(2):
        got = labels(one)
        seen = list(itertools.chain(*got))
        assert len(got) == len(one)
        assert len(set(seen)) == len(seen) == (n - n % size if drop_last else n)
        assert all(len(batch) == size for batch in got[:-1])


@given(n=st.integers(1, 20), size=st.integers(1, 8), seed=st.integers(0, 9), done=st.integers(0, 30))
def test_a_restored_loader_goes_on_as_if_never_stopped(n, size, seed, done):
    whole, stopped, resumed = (loader(n, size, seed) for _ in range(3))
    labels(stopped.take(done))
    resumed.load_state_dict(json.loads(json.dumps(stopped.state_dict())))
    assert labels(resumed.take(7)) == labels(whole.take(done + 7))[done:]


def test_the_order_of_a_seed_never_changes():
    one = loader(n=8, size=4, seed=7)
    assert labels(one.take(4)) == [[1, 6, 5, 2], [4, 7, 0, 3], [1, 4, 3, 2], [6, 5, 0, 7]]


def test_samples_and_labels_stay_together():
    for x, y in loader().take(9):
        assert np.array_equal(x, y * 0.5)


def test_epochs_and_seeds_differ_and_repeat():
    one = loader(n=50)
    first, second = labels(one), labels(one)
    assert first != second
    assert first != labels(loader(n=50, seed=1))
    assert first == labels(loader(n=50))


def test_a_seed_sequence_spawns_orders_of_its_own():
    a, b = np.random.SeedSequence(0).spawn(2)
    assert labels(loader(n=50, seed=a)) != labels(loader(n=50, seed=b))
    assert labels(loader(n=50, seed=a)) == labels(loader(n=50, seed=a))
    assert labels(loader(n=50, seed=np.random.SeedSequence(3))) == labels(loader(n=50, seed=3))


def test_without_shuffling_the_rows_come_in_order():
    assert labels(loader(n=5, size=2, shuffle=False).take(4)) == [[0, 1], [2, 3], [4], [0, 1]]


def test_a_loop_left_early_is_followed_by_the_next_whole_epoch():
    one, reference = loader(), loader()
    for _ in one:
        break
    labels(reference)
    assert labels(one) == labels(reference)


def test_a_restored_loop_ends_its_epoch_and_the_next_is_whole():
    one, reference = loader(), loader()
    one.load_state_dict({"epoch": 0, "index": 2})
    assert labels(one) == labels(reference)[2:]
    assert labels(one) == labels(reference)


def test_state_names_the_batch_that_comes_next():
    one = loader(n=10, size=3)
    states = [one.state_dict() for _ in one]
    assert [(s["epoch"], s["index"]) for s in states] == [(0, 1), (0, 2), (0, 3), (1, 0)]
    assert repr(one) == "Batches(4 of 3 from 10 samples, at {'epoch': 1, 'index': 0})"


def test_the_shuffle_is_uniform():
    """Each of 4! orders, 24000 draws: chi-square with 23 degrees of freedom, the 99.99 % point is 58.6."""
    counts = {}
    for _, y in loader(n=4, size=4).take(24000):
        counts[tuple(y)] = counts.get(tuple(y), 0) + 1
    assert len(counts) == 24
    assert sum((c - 1000) ** 2 / 1000 for c in counts.values()) < 58.6


def test_lists_are_taken_as_arrays():
    ((x, y),) = batches([[1.0, 2.0]], [3], size=1)
    assert x.tolist() == [[1.0, 2.0]]
    assert y.tolist() == [3]


X, Y = np.zeros((4, 1, 2, 2)), np.arange(4)
NAN = X.copy()
NAN[2, 0, 1, 0] = np.nan
ONE = "one label a sample, in one dimension"
INT = "use an int, such as 32"
BAD = [
    (
        lambda: batches(X, Y[:3], 2),
        ShapeError,
        f"{ONE}, got x.shape=(4, 1, 2, 2), y.shape=(3,); pass x (n, ...) and y (n,)",
    ),
    (
        lambda: batches(X, np.eye(4, dtype=int), 2),
        ShapeError,
        f"{ONE}, got x.shape=(4, 1, 2, 2), y.shape=(4, 4); pass x (n, ...) and y (n,)",
    ),
    (
        lambda: batches(1.0, 1, 2),
        ShapeError,
        f"{ONE}, got x.shape=(), y.shape=(); pass x (n, ...) and y (n,)",
    ),
    (
        lambda: batches(X[:0], Y[:0], 2),
        DataError,
        "at least one sample, got x.shape=(0, 1, 2, 2); pass some data",
    ),
    (
        lambda: batches(X, Y * 1.0, 2),
        DataError,
        "labels as integers, got y.dtype=float64; convert them: y.astype(int)",
    ),
    (
        lambda: batches(X, Y - 1, 2),
        DataError,
        "labels from 0 on, got a label -1; number the classes 0, 1, 2, ...",
    ),
    (
        lambda: batches(NAN, Y, 2),
        DataError,
        "finite samples, got x[2, 0, 1, 0]=nan; clean the data, or np.nan_to_num(x)",
    ),
    (lambda: batches(X, Y, 0), ArgumentError, f"a size of 1 or more, got size=0; {INT}"),
    (
        lambda: batches(X, Y, 5, drop_last=True),
        ArgumentError,
        f"a size of 1 to 4, the samples there are, got size=5, drop_last=True; {INT}",
    ),
    (lambda: batches(X, Y, 2.0), ArgumentTypeError, f"a whole size, got size=2.0; {INT}"),
    (lambda: batches(X, Y, True), ArgumentTypeError, f"a whole size, got size=True; {INT}"),
    (lambda: batches(X, Y, 2, -1), ArgumentError, "a seed of 0 or more, got seed=-1; use an int, such as 0"),
    (
        lambda: batches(X, Y, 2, None),
        ArgumentTypeError,
        "a whole seed or a SeedSequence, got seed=None; use an int, such as 0",
    ),
]


@pytest.mark.parametrize(("call", "error", "text"), BAD)
def test_bad_input_is_refused(call, error, text):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == f"batches: expected {text}."


@pytest.mark.parametrize(
    "state",
    [{}, {"epoch": 0}, {"epoch": -1, "index": 0}, {"epoch": 0, "index": 4}, {"epoch": 0.0, "index": 0}],
)
def test_a_state_that_fits_no_batch_is_refused(state):
    with pytest.raises(ArgumentError) as caught:
        loader().load_state_dict(state)
    assert str(caught.value) == (
        f"load_state_dict: expected a whole epoch from 0 and an index below 4, got state={state!r}; "
        "pass what state_dict() returned."
    )
