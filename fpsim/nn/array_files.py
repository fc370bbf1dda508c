"""Named arrays to bytes and back: npz, and safetensors' layout.

Layer 5. Trusts nothing that a file says: memory is taken only for bytes that are there, nothing is unpickled or run.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np

__all__ = ["Arrays", "from_npz", "from_safetensors", "to_npz", "to_safetensors"]

Arrays = dict[str, np.ndarray[Any, Any]]

#: safetensors' names of dtypes; BF16 is read only, as the upper halves of float32 numbers.
DTYPES: dict[str, np.dtype[Any]] = {
    "F16": np.dtype("<f2"), "F32": np.dtype("<f4"), "F64": np.dtype("<f8"), "BF16": np.dtype("<u2"),
    "I8": np.dtype("i1"), "I16": np.dtype("<i2"), "I32": np.dtype("<i4"), "I64": np.dtype("<i8"),
    "U8": np.dtype("u1"), "U16": np.dtype("<u2"), "U32": np.dtype("<u4"), "U64": np.dtype("<u8"),
    "BOOL": np.dtype("?"),
}  # fmt: skip
NAMES = {dtype: name for name, dtype in DTYPES.items() if name != "BF16"}

#: A compressed file may hold so many times its own size; beyond that it lies.
LARGEST_EXPANSION = 1032  # where deflate ends
#: Longest name of an array, and longest header of an array in an npz.
LONGEST_NAME, LONGEST_HEADER = 512, 10_000
#: More dimensions than any array of NumPy's has.
MOST_DIMENSIONS = 32


# safetensors ---------------------------------------------------------------------------------------------------------


def to_safetensors(arrays: Mapping[str, np.ndarray[Any, Any]], metadata: Mapping[str, str] | None = None) -> bytes:
    """A length, a JSON header of that length, and every array's bytes in turn."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    parts: list[bytes] = []
    at = 0
    for name, value in arrays.items():
        if name == "__metadata__":
            raise ValueError("safetensors keeps that name for itself")
        _checked_name(name)
        dtype = value.dtype.newbyteorder("<")
        raw = np.ascontiguousarray(value, dtype).tobytes()
        header[name] = {"dtype": NAMES[dtype], "shape": list(value.shape), "data_offsets": [at, at + len(raw)]}
        parts.append(raw)
        at += len(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(parts)


def from_safetensors(content: bytes) -> tuple[Arrays, dict[str, str]]:
    """The arrays and the metadata; ValueError and its kin for anything but a whole file."""
    if len(content) < 8:
        raise ValueError("it is shorter than a header")
    (length,) = struct.unpack("<Q", content[:8])
    if length > len(content) - 8:
        raise ValueError("its header is longer than the file")
    header = json.loads(content[8 : 8 + length], object_pairs_hook=_each_once)
    data = memoryview(content)[8 + length :]
    if not isinstance(header, dict):
        raise ValueError("its header is no object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise ValueError("its metadata are not texts")
    _check_tiling(header, len(data))
    return {_checked_name(name): _entry(name, entry, data) for name, entry in header.items()}, metadata


def _check_tiling(header: Mapping[str, Any], size: int) -> None:
    """Each byte of the data belongs to one array: many arrays over the same bytes would be a bomb."""
    at = 0
    for start, stop in sorted((_whole(start), _whole(stop)) for start, stop in map(_offsets, header.values())):
        if start != at or stop < start:
            raise ValueError("its arrays overlap or leave holes")
        at = stop
    if at != size:
        raise ValueError("its arrays end before or beyond the file")


def _offsets(entry: Any) -> Any:
    return entry["data_offsets"]


def _entry(name: str, entry: Mapping[str, Any], data: memoryview) -> np.ndarray[Any, Any]:
    """One array, after every number of its entry has been checked against the file."""
    if entry["dtype"] not in DTYPES:
        raise ValueError(f"{name} has dtype {entry['dtype']!r:.40}")
    dtype, (start, stop) = DTYPES[entry["dtype"]], entry["data_offsets"]
    shape = tuple(_whole(n) for n in entry["shape"])
    if len(shape) > MOST_DIMENSIONS or math.prod(shape) * dtype.itemsize != stop - start:
        raise ValueError(f"{name} has another size than its shape says")
    values = np.frombuffer(data[start:stop], dtype).reshape(shape)
    if entry["dtype"] == "BF16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(dtype.newbyteorder("="))  # (a copy: the file's bytes can be let go)


def _whole(n: Any) -> int:
    if not isinstance(n, int) or isinstance(n, bool) or not 0 <= n < 2**63:
        raise ValueError("a size is not a whole number")
    return n


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _checked_name(name: str) -> str:
    """A name that an error can print, and that is read as it was written."""
    if not name.isprintable() or len(name) > LONGEST_NAME:
        raise ValueError("the name of an array is not one")
    return name


# npz -----------------------------------------------------------------------------------------------------------------


def to_npz(arrays: Mapping[str, np.ndarray[Any, Any]]) -> bytes:
    """A zip archive with one ``.npy`` file an array, as `numpy.load` reads it."""
    from zipfile import ZipFile  # not for those who never save

    buffer = BytesIO()
    with ZipFile(buffer, "w") as archive:  # np.savez cannot take every name
        for name, value in arrays.items():
            with archive.open(f"{_checked_name(name)}.npy", "w") as entry:
                np.lib.format.write_array(entry, value, allow_pickle=False)
    return buffer.getvalue()


def from_npz(content: bytes, largest: int = 2**28) -> Arrays:
    """The arrays of an npz, numbers only; some exception or other for anything but a whole file.

    The archive's directory and each array's header are checked before the values are unpacked, to `largest` bytes in
    all (or the file's own size, where it is not compressed).
    """
    from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

    with ZipFile(BytesIO(content)) as archive:
        parts = archive.infolist()
        if sum(part.file_size for part in parts) > max(len(content), min(largest, LARGEST_EXPANSION * len(content))):
            raise ValueError("it claims far more data than it can hold")
        if any(part.compress_type not in (ZIP_STORED, ZIP_DEFLATED) for part in parts):
            raise ValueError("it is compressed in a way that npz files are not")
        arrays: Arrays = {}
        for part in parts:
            name = _checked_name(part.filename.removesuffix(".npy"))
            if name in arrays:
                raise ValueError(f"{name} occurs twice")
            with archive.open(part) as file:
                arrays[name] = _from_npy(name, file, part.file_size)
    return arrays


def _from_npy(name: str, file: Any, size: int) -> np.ndarray[Any, Any]:
    """One array, whose header is held against the `size` of its file first."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"{name} is of npy version {version}")
    shape, by_columns, dtype = read(file, max_header_size=LONGEST_HEADER)
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded when allow_pickle=False")
    if dtype.kind not in "fiub" or dtype.shape or len(shape) > MOST_DIMENSIONS:
        raise ValueError(f"{name} is no array of numbers")
    left = size - file.tell()
    if any(n < 0 for n in shape) or math.prod(shape) * dtype.itemsize != left:
        raise ValueError(f"{name} has another size than its shape says")
    raw = file.read()
    if len(raw) != left:
        raise ValueError(f"{name} is cut short")
    values = np.frombuffer(raw, dtype).reshape(shape, order="F" if by_columns else "C")
    return values.astype(dtype.newbyteorder("="))
