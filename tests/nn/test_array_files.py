"""Arrays in bytes: exact round trips, and claims that are held against the bytes before memory is taken."""

import io
import json
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from fpsim.nn.array_files import DTYPES, from_npz, from_safetensors, to_npz, to_safetensors

KINDS = sorted({dtype.str for name, dtype in DTYPES.items() if name != "BF16"})
ARRAYS = st.dictionaries(
    st.text("abc.01", max_size=4),
    npst.arrays(st.sampled_from(KINDS).map(np.dtype), npst.array_shapes(min_dims=0, min_side=0, max_side=3)),
    max_size=3,
)  # fmt: skip


def bits(arrays):
    return {name: (value.dtype.newbyteorder("="), value.shape, value.tobytes()) for name, value in arrays.items()}


@given(ARRAYS, st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2))
def test_what_is_written_is_read_bit_for_bit(arrays, metadata):
    read, about = from_safetensors(to_safetensors(arrays, metadata))
    assert (bits(read), about) == (bits(arrays), metadata)
    assert bits(from_npz(to_npz(arrays))) == bits(arrays)


@given(ARRAYS)
def test_numpy_reads_the_npz(arrays):
    with np.load(io.BytesIO(to_npz(arrays)), allow_pickle=False) as read:
        assert bits({name: read[name] for name in read.files}) == bits(arrays)


def test_columns_first_and_big_endian_arrays_are_read():
    buffer = io.BytesIO()
    np.savez(buffer, a=np.asfortranarray(np.arange(6.0).reshape(2, 3)), b=np.arange(3, dtype=">f4"))
    read = from_npz(buffer.getvalue())
    np.testing.assert_array_equal(read["a"], np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(read["b"], [0, 1, 2])
    assert read["b"].dtype == np.float32


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(start, stop, shape=None, dtype="U8"):
    return {"dtype": dtype, "shape": [stop - start] if shape is None else shape, "data_offsets": [start, stop]}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (safetensors({f"w{i}": entry(0, 8) for i in range(9)}, b"12345678"), "overlap"),
        (safetensors({"a": entry(0, 4), "b": entry(5, 8)}, b"12345678"), "leave holes"),
        (safetensors({"a": entry(0, 4)}, b"12345678"), "end before or beyond the file"),
        (safetensors({"a": entry(0, 2**62)}, b"1234"), "end before or beyond the file"),
        (safetensors(b'{"a": {}, "a": {}}'), "occurs twice"),
        (safetensors({"a\n": entry(0, 1)}, b"1"), "the name of an array"),
        (safetensors({"a" * 600: entry(0, 1)}, b"1"), "the name of an array"),
        (safetensors({"a": entry(0, 1, [1] * 40)}, b"1"), "another size"),
        (safetensors({"a": entry(0, 1, [True])}, b"1"), "not a whole number"),
        (safetensors({"a": entry(0, 1, [1.0])}, b"1"), "not a whole number"),
        (safetensors({"__metadata__": {"a": 1}}), "metadata"),
        (safetensors({"a": entry(0, 1, [1], ["U8"])}, b"1"), "unhashable"),
    ],
)  # fmt: skip
def test_a_header_that_lies_is_refused(content, text):
    with pytest.raises((ValueError, TypeError), match=text):
        from_safetensors(content)


def npz(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def npy(shape, descr="<f8", data=b""):
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + data


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (npz(w=npy("(1099511627776,)")), "another size than its shape says"),
        (npz(w=npy("(1099511627776, 1099511627776, 0)", data=b"12345678")), "another size"),
        (npz(w=npy("(-1,)", data=b"12345678")), "another size"),
        (npz(w=npy("(1,)", "|O", b"12345678")), "allow_pickle=False"),
        (npz(w=npy("(1,)", "<U2", b"12345678")), "no array of numbers"),
        (npz(w=npy("(1,)", [("a", "<f8")], b"12345678")), "no array of numbers"),
        (npz(w=npy("__import__('os').getpid()")), "alformed|annot parse"),
        (npz(w=b"\x93NUMPY\3\0\0\0\0\0"), "npy version"),
        (npz(**{"w": npy("(0,)"), "w.npy": npy("(0,)")}), "w occurs twice"),
    ],
)
def test_an_array_that_lies_is_refused(content, text):
    if text == "w occurs twice":  # the second's name ends at the zero byte
        content = content.replace(b"w.npy.npy", b"w.npy\0npy")
    with pytest.raises(ValueError, match=text):
        from_npz(content)


def test_an_archive_packed_in_another_way_is_refused():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("w.npy", npy("(0,)"))
    with pytest.raises(ValueError, match="compressed in a way"):
        from_npz(buffer.getvalue())


def test_a_bomb_is_refused_before_it_is_unpacked():
    """A real one: 32 MiB of zeros in 32 KiB, its header and its sizes all true; and the same with false sizes."""
    size = 2**25
    array = npy(f"({size},)", "|u1", bytes(size))
    bomb = npz(w=array)
    false = bomb.replace(struct.pack("<I", len(array)), struct.pack("<I", 2**31))
    assert len(bomb) < 2**16
    tracemalloc.start()
    for content, largest in ((bomb, 2**20), (false, 2**40)):
        with pytest.raises(ValueError, match=r"far more data|another size"):
            from_npz(content, largest)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22
    assert from_npz(bomb, 2**26)["w"].size == size


@pytest.mark.parametrize("read", [from_safetensors, from_npz])
def test_reading_takes_no_more_than_a_few_times_the_file(read):
    content = (to_safetensors if read is from_safetensors else to_npz)({"w": np.zeros(2**20)})
    tracemalloc.start()
    read(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.5 * len(content)
