"""Weights to files and back: npz, or safetensors' layout. Written whole or not at all, never unpickled.

Layer 5. Values are stored exactly, as float16, float32 or float64; loading rounds them into each parameter's format.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from fpsim.autograd.tensor import Tensor
from fpsim.errors import DataError, expected
from fpsim.files import write_whole
from fpsim.nn.module import LoadedKeys, Module

__all__ = ["load_weights", "save_weights"]

Arrays = dict[str, np.ndarray[Any, Any]]

#: safetensors' names of dtypes; BF16 is read only, as the upper halves of float32 numbers.
DTYPES: dict[str, np.dtype[Any]] = {
    "F16": np.dtype("<f2"), "F32": np.dtype("<f4"), "F64": np.dtype("<f8"), "BF16": np.dtype("<u2"),
    "I64": np.dtype("<i8"), "I32": np.dtype("<i4"), "U8": np.dtype("u1"), "BOOL": np.dtype("?"),
}  # fmt: skip
NAMES = {dtype: name for name, dtype in DTYPES.items() if name != "BF16"}

#: A compressed file may hold so many times its own size, and a little more; beyond that it is a bomb.
LARGEST_EXPANSION = 1100  # deflate ends at 1032


def save_weights(net: Module, path: Any) -> Path:
    """Write all parameters and buffers of a network to a ``.npz`` or ``.safetensors`` file.

    Parameters
    ----------
    net : nn.Module
    path : str or Path
        Its ending chooses the layout. An existing file is replaced in one step.

    Raises
    ------
    DataError
        Another ending, or a place that cannot be written; nothing is left behind.
    """
    path = Path(path)
    state = {n: np.asarray(v.numpy() if isinstance(v, Tensor) else v) for n, v in net.state_dict().items()}
    if path.suffix == ".safetensors":
        content = _to_safetensors(state)
    elif path.suffix == ".npz":
        from zipfile import ZipFile  # not for those who never save

        buffer = BytesIO()
        with ZipFile(buffer, "w") as archive:  # np.savez cannot take every name
            for name, value in state.items():
                with archive.open(f"{name}.npy", "w") as entry:
                    np.lib.format.write_array(entry, value, allow_pickle=False)
        content = buffer.getvalue()
    else:
        got = repr(path.name)
        raise DataError(expected("save_weights", "a name ending in .npz or .safetensors", got, "rename it"))
    try:
        write_whole(path, content)
    except OSError as error:
        got = f"{path}: {error.strerror}"
        raise DataError(expected("save_weights", "a place that can be written", got, "choose another path")) from None
    return path


def load_weights(net: Module, path: Any, strict: bool = True) -> LoadedKeys:
    """Read what `save_weights`, or another program, wrote into a network; each value rounded once.

    Raises
    ------
    DataError
        A file that is missing, cut short, or of another kind; the network is unchanged.
    ArgumentError, ShapeError
        Weights of another network: see `Module.load_state_dict`.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        got = f"{path}: {error.strerror}"
        raise DataError(expected("load_weights", "a file that can be read", got, "check the path")) from None
    read = _from_safetensors if path.suffix == ".safetensors" else _from_npz
    try:
        state = read(content)
    except Exception as error:  # zipfile, zlib, json and np.load raise a dozen types on damaged files
        got = f"{path}: {error or type(error).__name__}"
        raise DataError(expected("load_weights", "a whole .npz or .safetensors file", got, "save it again")) from None
    return net.load_state_dict(state, strict)


def _from_npz(content: bytes) -> Arrays:
    from zipfile import ZipFile

    with ZipFile(BytesIO(content)) as archive:
        if sum(part.file_size for part in archive.infolist()) > LARGEST_EXPANSION * len(content) + 2**20:
            raise ValueError("it claims far more data than it can hold")
    with np.load(BytesIO(content), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _to_safetensors(state: Mapping[str, np.ndarray[Any, Any]]) -> bytes:
    """A length, a JSON header of that length, and every array's bytes in turn."""
    header: dict[str, Any] = {}
    parts: list[bytes] = []
    at = 0
    for name, value in state.items():
        dtype = value.dtype.newbyteorder("<")
        raw = np.ascontiguousarray(value, dtype).tobytes()
        header[name] = {"dtype": NAMES[dtype], "shape": list(value.shape), "data_offsets": [at, at + len(raw)]}
        parts.append(raw)
        at += len(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(parts)


def _from_safetensors(content: bytes) -> Arrays:
    if len(content) < 8:
        raise ValueError("it is shorter than a header")
    (length,) = struct.unpack("<Q", content[:8])
    if length > len(content) - 8:
        raise ValueError("its header is longer than the file")
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
    return {name: _entry(name, entry, data) for name, entry in entries.items()}


def _entry(name: str, entry: Mapping[str, Any], data: bytes) -> np.ndarray[Any, Any]:
    """One array, after every number of its entry has been checked against the file."""
    if entry["dtype"] not in DTYPES:
        raise ValueError(f"{name} has dtype {entry['dtype']}")
    dtype, (start, stop) = DTYPES[entry["dtype"]], entry["data_offsets"]
    shape = tuple(int(n) for n in entry["shape"])
    if not 0 <= start <= stop <= len(data) or min(shape, default=0) < 0:
        raise ValueError(f"{name} lies outside the file")
    if math.prod(shape) * dtype.itemsize != stop - start:
        raise ValueError(f"{name} has another size than its shape says")
    values = np.frombuffer(data[start:stop], dtype).reshape(shape)
    if entry["dtype"] == "BF16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(dtype.newbyteorder("="))
