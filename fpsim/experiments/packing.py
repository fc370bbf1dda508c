"""The state of a training as bytes and back: checksummed, with a version, never unpickled.

Layer 8. Knows plain data, arrays and tensors; where the bytes go is `checkpoints`'.

A line ``fpsim checkpoint 1``, a line with the SHA-256 of all that follows and of the first line, then safetensors'
layout: the arrays, and as metadata the state's tree in JSON and the version of fpsim.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any

import numpy as np

from fpsim.autograd.tensor import Tensor, store
from fpsim.errors import ArgumentTypeError, CheckpointError, expected, shown
from fpsim.formats import Format
from fpsim.nn.array_files import NAMES, Arrays, from_safetensors, to_safetensors
from fpsim.precision import Precision

__all__ = ["fpsim_version", "pack", "unpack"]

#: First line of every checkpoint; the number is the format's version.
KIND, VERSION = "fpsim checkpoint", 1


def pack(state: Any) -> bytes:
    """Nested dicts and lists of numbers, texts, arrays and tensors as bytes, bit for bit what `unpack` gives back."""
    arrays: Arrays = {}
    tree = json.dumps(_to_plain(state, arrays), allow_nan=False)
    payload = to_safetensors(arrays, {"fpsim": fpsim_version(), "state": tree})
    first = f"{KIND} {VERSION}\n".encode()
    return first + hashlib.sha256(first + payload).hexdigest().encode() + b"\n" + payload


def unpack(content: bytes, name: str = "these bytes") -> Any:
    """The state that `pack` was given; tuples as lists. `name` is what an error calls the bytes.

    Raises
    ------
    CheckpointError
        Anything but a whole checkpoint of this version.
    """

    def refused(why: str) -> CheckpointError:
        return CheckpointError(expected("resume", "a checkpoint", f"{name}, {why}", "take another, or start anew"))

    first, _, rest = content.partition(b"\n")
    if (found := re.fullmatch(rf"{KIND} (\d{{1,9}})".encode(), first)) is None:
        raise refused("which fpsim did not write")
    if int(found[1]) != VERSION:
        raise refused(f"whose format is version {int(found[1])}, not {VERSION}")
    digest, _, payload = rest.partition(b"\n")
    if hashlib.sha256(first + b"\n" + payload).hexdigest().encode() != digest:
        raise refused("which is damaged: its checksum is another one")
    try:
        arrays, metadata = from_safetensors(payload)
        return _from_plain(json.loads(metadata["state"]), arrays)
    except Exception as error:  # with a right checksum, so made by somebody to deceive
        raise refused(f"which is damaged: {shown(error)}") from None


def _to_plain(value: Any, arrays: Arrays) -> Any:
    """As JSON in which every object names what it stands for, and arrays are named by number."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, list | tuple):
        return [_to_plain(x, arrays) for x in value]
    if isinstance(value, Mapping) and all(isinstance(key, str | int) for key in value):
        return {"dict": [[key, _to_plain(x, arrays)] for key, x in value.items()]}
    if isinstance(value, Tensor):
        precision = {f.name: getattr(value.precision, f.name) for f in fields(Precision)}
        named = {name: x.name if isinstance(x, Format) else x for name, x in precision.items()}
        return {"tensor": _name_of(value._data, arrays), "precision": named}
    if isinstance(value, np.ndarray | np.generic) and value.dtype in NAMES:
        return {"array" if isinstance(value, np.ndarray) else "number": _name_of(np.asarray(value), arrays)}
    got = type(value).__name__
    raise ArgumentTypeError(expected("checkpoint", "numbers, texts, arrays and tensors", got, "leave it out"))


def _name_of(array: Any, arrays: Arrays) -> str:
    name = str(len(arrays))
    arrays[name] = array
    return name


def _from_plain(value: Any, arrays: Arrays) -> Any:
    if isinstance(value, list):
        return [_from_plain(x, arrays) for x in value]
    if not isinstance(value, dict):
        return value
    if "dict" in value:
        return {key: _from_plain(x, arrays) for key, x in value["dict"]}
    if "tensor" in value:
        precision = Precision(**value["precision"])
        return Tensor(store(arrays[value["tensor"]], Precision(precision.storage)), precision)  # on the grid, whatever
    if "number" in value:
        return arrays[value["number"]][()]
    return float(value["float"]) if "float" in value else arrays[value["array"]]


@cache
def fpsim_version() -> str:
    """The installed version; another one may round otherwise."""
    from importlib.metadata import PackageNotFoundError, version  # not for those who never save

    try:
        return version("fpsim-lab")
    except PackageNotFoundError:  # run from a checkout
        return "unknown"
