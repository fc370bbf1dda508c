"""Weights to files and back: npz, or safetensors' layout. Written whole or not at all, never unpickled.

Layer 5. Values are stored exactly, as float32 or float64; loading rounds them into each parameter's own format.
"""

from __future__ import annotations

import json
import os
import struct
import tempfile
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from fpsim.autograd.tensor import Tensor
from fpsim.errors import DataError, expected
from fpsim.nn.module import Module

__all__ = ["load_weights", "save_weights"]

#: safetensors' names of the dtypes that hold fpsim's values.
_DTYPES = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4"), "F64": np.dtype("<f8"), "I64": np.dtype("<i8")}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
#: safetensors' own limit of a header.
LONGEST_HEADER = 100_000_000


def save_weights(net: Module, path: Any) -> Path:
    """Write all parameters and buffers of a network to ``.npz`` or ``.safetensors``."""
    path = Path(path)
    state = {n: np.asarray(v.numpy() if isinstance(v, Tensor) else v) for n, v in net.state_dict().items()}
    if path.suffix == ".safetensors":
        content = _safetensors(state)
    elif path.suffix == ".npz":
        buffer = BytesIO()
        np.savez(buffer, **state)  # type: ignore[arg-type]
        content = buffer.getvalue()
    else:
        raise DataError(expected("save_weights", "a name ending in .npz or .safetensors", f"{path.name!r}", "rename it"))
    try:
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(beside, path)
    except OSError as error:
        got = f"{path}: {error.strerror}"
        raise DataError(expected("save_weights", "a place that can be written", got, "choose another path")) from None
    return path


def load_weights(net: Module, path: Any, strict: bool = True) -> None:
    """Read what `save_weights` (or another program) wrote into a network, rounded into its parameters' formats.

    Raises
    ------
    DataError
        A file that is missing, cut short, or of another kind; the network is unchanged.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        got = f"{path}: {error.strerror}"
        raise DataError(expected("load_weights", "a file that can be read", got, "check the path")) from None
    net.load_state_dict(_from_safetensors(content, path) if path.suffix == ".safetensors" else _from_npz(content, path), strict)


def _damaged(path: Path, why: str) -> DataError:
    return DataError(expected("load_weights", "a whole .npz or .safetensors file", f"{path}: {why}", "save it again"))


def _from_npz(content: bytes, path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            if sum(part.file_size for part in archive.infolist()) > 64 * len(content) + 2**20:
                raise _damaged(path, "it claims far more data than it holds")
        with np.load(BytesIO(content), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except DataError:
        raise
    except Exception as error:  # zipfile, zlib and np.load raise a dozen types on damaged files
        raise _damaged(path, str(error) or type(error).__name__) from None


def _safetensors(state: dict[str, Any]) -> bytes:
    header: dict[str, Any] = {}
    parts, at = [], 0
    for name, value in state.items():
        dtype = value.dtype.newbyteorder("<")
        raw = np.ascontiguousarray(value, dtype).tobytes()
        header[name] = {"dtype": _NAMES[dtype], "shape": list(value.shape), "data_offsets": [at, at + len(raw)]}
        parts.append(raw)
        at += len(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(parts)


def _from_safetensors(content: bytes, path: Path) -> dict[str, Any]:
    if len(content) < 8:
        raise _damaged(path, "it is shorter than a header")
    (length,) = struct.unpack("<Q", content[:8])
    if length > min(LONGEST_HEADER, len(content) - 8):
        raise _damaged(path, "its header is longer than the file")
    data = memoryview(content)[8 + length :]
    try:
        header = json.loads(content[8 : 8 + length])
        state = {}
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            dtype, (start, stop) = _DTYPES[entry["dtype"]], entry["data_offsets"]
            shape = tuple(int(n) for n in entry["shape"])
            if not 0 <= start <= stop <= len(data) or min(shape, default=0) < 0:
                raise ValueError("offsets outside the file")
            if np.prod(shape, dtype=object) * dtype.itemsize != stop - start:
                raise ValueError(f"{name} has another size than its shape says")
            state[name] = np.frombuffer(data[start:stop], dtype).reshape(shape).astype(dtype.newbyteorder("="))
        return state
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise _damaged(path, str(error)) from None
