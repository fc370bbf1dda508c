"""The embedded images: shapes, exact pixels, a fixed split, and a damaged file refused."""

import numpy as np
import pytest

from fpsim import data
from fpsim.data import images
from fpsim.errors import ArgumentError, DataError


@pytest.mark.parametrize(
    ("load", "train", "test", "step"), [(data.digits, 1437, 360, 16), (data.fashion, 1000, 500, 256)]
)
def test_images_are_float32_on_an_exact_grid_with_int64_labels(load, train, test, step):
    got = load()
    for x, y, n in ((got.train_x, got.train_y, train), (got.test_x, got.test_y, test)):
        assert x.shape == (n, 1, 32, 32)
        assert x.dtype == np.float32
        assert x.min() == 0
        assert 0.9 < x.max() <= 1
        assert np.array_equal(x * step, np.round(x * step))
        assert y.shape == (n,)
        assert y.dtype == np.int64
        assert np.bincount(y).min() > n / 13


def test_a_large_digit_repeats_each_block_of_the_small_one():
    small, large = data.digits(size=8), data.digits(size=32)
    assert np.array_equal(large.train_x[:, :, 2::4, 3::4], small.train_x)
    assert np.array_equal(large.test_x, np.kron(small.test_x, np.ones((4, 4))))
    assert np.array_equal(large.test_y, small.test_y)


def test_digits_stay_in_the_published_order():
    assert data.digits().train_y[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert data.digits().test_y[-5:].tolist() == [9, 0, 8, 9, 8]


def test_fashion_is_centred_in_zeros():
    framed, plain = data.fashion(size=32).test_x, data.fashion(size=28).test_x
    assert np.array_equal(framed[:, :, 2:30, 2:30], plain)
    assert framed.sum(dtype=np.float64) == plain.sum(dtype=np.float64)


def test_each_call_gives_arrays_of_its_own():
    data.digits().train_x[:] = 7
    assert data.digits().train_x.max() == 1


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: data.digits(size=28),
            "digits: expected a size of 8 or 32, got size=28; use digits() or digits(size=8).",
        ),
        (
            lambda: data.fashion(size=27),
            "fashion: expected a whole size of at least 28, got size=27; use size=32.",
        ),
        (
            lambda: data.fashion(size=32.0),
            "fashion: expected a whole size of at least 28, got size=32.0; use size=32.",
        ),
    ],
)
def test_a_wrong_size_is_refused(call, text):
    with pytest.raises(ArgumentError) as caught:
        call()
    assert str(caught.value) == text


def test_a_damaged_embedded_file_is_refused(monkeypatch):
    monkeypatch.setitem(images.SHA256, "optdigits.npz", "0" * 64)
    with pytest.raises(DataError) as caught:
        data.digits()
    assert str(caught.value) == (
        "optdigits.npz: expected the file as it was shipped, got 45394 bytes that differ from it; reinstall fpsim-lab."
    )
