"""IDX files: what is written comes back, and nothing that a header claims is believed."""

import gzip
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from fpsim import data
from fpsim.data.idx_files import TYPES
from fpsim.errors import ArgumentError, DataError


def idx_bytes(values):
    kind = next(code for code, dtype in TYPES.items() if np.dtype(dtype).newbyteorder("=") == values.dtype)
    sizes = b"".join(n.to_bytes(4, "big") for n in values.shape)
    return bytes([0, 0, kind, values.ndim]) + sizes + values.astype(values.dtype.newbyteorder(">")).tobytes()


def write_family(folder, suffix="", sign="-", n=(5, 3)):
    rng = np.random.default_rng(0)
    written = []
    for part, count in zip(("train", "t10k"), n, strict=True):
        pixels = rng.integers(0, 256, (count, 28, 28), np.uint8)
        labels = rng.integers(0, 10, count, np.uint8)
        for kind, values in (("images-idx3", pixels), ("labels-idx1", labels)):
            content = idx_bytes(values)
            name = f"{part}-{kind.replace('-', sign)}-ubyte{suffix}"
            (folder / name).write_bytes(gzip.compress(content) if suffix else content)
        written += [pixels, labels]
    return written


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
def test_a_file_gives_the_array_that_was_written(tmp_path, dtype, packed):
    values = np.arange(-12, 12).astype(dtype).reshape(2, 3, 4)
    content = idx_bytes(values)
    file = tmp_path / "values"
    file.write_bytes(gzip.compress(content) if packed else content)
    got = data.idx(file)
    assert got.dtype == values.dtype
    assert np.array_equal(got, values)
    got[0] = 0  # the array is the caller's own


@pytest.mark.parametrize(("suffix", "sign"), [("", "-"), (".gz", "-"), ("", "."), (".gz", ".")])
def test_a_folder_gives_framed_images(tmp_path, suffix, sign):
    train, train_y, test, test_y = write_family(tmp_path, suffix, sign)
    got = data.idx(str(tmp_path))
    assert got.train_x.shape == (5, 1, 32, 32)
    assert np.array_equal(got.train_x[:, 0, 2:30, 2:30] * 256, train)
    assert np.array_equal(got.test_x[:, 0, 2:30, 2:30] * 256, test)
    assert np.array_equal(got.train_y, train_y)
    assert np.array_equal(got.test_y, test_y)
    assert got.train_y.dtype == np.int64
    assert data.idx(tmp_path, size=28).test_x.shape == (3, 1, 28, 28)


KINDS = "an IDX file, which begins 00 00, a type of 08 09 0b 0c 0d 0e"
BAD = {
    "empty": (b"", f"{KINDS}, got nothing in f"),
    "npy": (b"\x93NUMPY", f"{KINDS}, got 93 4e 55 4d in f"),
    "unknown type": (b"\0\0\x0a\1\0\0\0\1\0", f"{KINDS}, got 00 00 0a 01 in f"),
    "no dimension": (b"\0\0\x08\0", "1 to 8 dimensions, got 0 in f"),
    "255 dimensions": (b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"7", "1 to 8 dimensions, got 255 in f"),
    "half a header": (b"\0\0\x08\3\0\0\0\1\0\0", "3 sizes in the header, got 6 bytes in f"),
    "no value": (b"\0\0\x08\2\0\0\0\0\0\0\0\x1c", "at least one value, got shape=(0, 28) in f"),
    "cut off": (
        b"\0\0\x08\1\0\0\0\3\1\2",
        "the 3 bytes of values that shape=(3,) needs, got 2 in f",
    ),
    "too long": (
        b"\0\0\x08\1\0\0\0\3\1\2\3\4",
        "the 3 bytes of values that shape=(3,) needs, got more than 3 in f",
    ),
    "a claim of 2^40": (
        b"\0\0\x08\2\0\x10\0\0\0\x10\0\0\1",
        "at most 2147483648 bytes of values, got shape=(1048576, 1048576) in f",
    ),
    "a claim of 2^260": (
        b"\0\0\x0e\x08" + b"\xff" * 32 + b"\1",
        f"at most 2147483648 bytes of values, got shape={(2**32 - 1,) * 8} in f",
    ),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_without_taking_memory(tmp_path, case, packed):
    content, text = BAD[case]
    file = tmp_path / "f"
    file.write_bytes(gzip.compress(content) if packed else content)
    tracemalloc.start()
    with pytest.raises(DataError) as caught:
        data.idx(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(caught.value) == f"idx: expected {text}; fetch the file again."
    assert peak < 4e6


def test_a_damaged_gzip_file_is_refused(tmp_path):
    content = gzip.compress(idx_bytes(np.arange(1000, dtype=np.int32)))
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 0xFF
    for damaged in (content[: len(content) // 2], bytes(flipped), content[:3]):
        file = tmp_path / "f.gz"
        file.write_bytes(damaged)
        with pytest.raises(DataError, match=r"^idx: expected a file that can be read, got f\.gz: "):
            data.idx(file)


def test_a_path_to_nothing_is_refused(tmp_path):
    with pytest.raises(DataError) as caught:
        data.idx("no/such")
    assert str(caught.value) == ("idx: expected an IDX file or a folder of them, got path='no/such'; check the path.")
    with pytest.raises(DataError) as caught:
        data.idx(tmp_path)
    assert str(caught.value) == (
        "idx: expected a file train-images-idx3-ubyte or train-images-idx3-ubyte.gz, "
        f"got none of that name in {str(tmp_path)!r}; name the folder that holds it."
    )


def test_files_that_do_not_fit_each_other_are_refused(tmp_path):
    write_family(tmp_path)
    labels = tmp_path / "train-labels-idx1-ubyte"
    labels.write_bytes(idx_bytes(np.zeros(4, np.uint8)))
    with pytest.raises(DataError) as caught:
        data.idx(tmp_path)
    assert str(caught.value) == (
        "idx: expected 5 labels as uint8, got uint8 (4,) in train-labels-idx1-ubyte; fetch both files again."
    )
    images = tmp_path / "train-images-idx3-ubyte"
    images.write_bytes(idx_bytes(np.zeros((5, 28), np.uint8)))
    with pytest.raises(DataError) as caught:
        data.idx(tmp_path)
    assert str(caught.value) == (
        "idx: expected images as uint8 (n, rows, columns), got uint8 (5, 28) in train-images-idx3-ubyte; "
        "read it alone: idx(file)."
    )


def test_a_frame_smaller_than_the_images_is_refused(tmp_path):
    write_family(tmp_path)
    with pytest.raises(ArgumentError, match=r"^idx: expected a whole size of at least 28, got size=16; use size=32\.$"):
        data.idx(tmp_path, size=16)


@given(
    values=npst.arrays(np.int16, npst.array_shapes(max_dims=8, max_side=3)),
    at=st.integers(0, 10**6),
    flip=st.integers(1, 255),
    cut=st.booleans(),
)
def test_a_flipped_or_cut_file_gives_an_array_or_a_data_error(tmp_path_factory, values, at, flip, cut):
    content = bytearray(idx_bytes(values))
    at %= len(content)
    content[at] ^= flip
    file = tmp_path_factory.mktemp("idx") / "f"
    file.write_bytes(content[:at] if cut else content)
    try:
        got = data.idx(file)
    except DataError:
        return
    assert got.nbytes <= len(content)
    assert got.nbytes == math.prod(got.shape) * got.itemsize
