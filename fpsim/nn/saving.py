"""Weights to files and back: npz, or safetensors' layout. Written whole or not at all, never unpickled.

Layer 5. Values are stored exactly, as float16, float32 or float64; loading rounds them into each parameter's format.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fpsim.autograd.tensor import Tensor
from fpsim.errors import DataError, expected, shown
from fpsim.files import read_file, write_whole
from fpsim.nn.array_files import Arrays, from_npz, from_safetensors, to_npz, to_safetensors
from fpsim.nn.module import LoadedKeys, Module

__all__ = ["load_weights", "save_weights"]

#: No file of weights is larger; unpacked, one may take so many bytes, or this many for each number of the network.
LARGEST, LARGEST_UNPACKED, LARGEST_NUMBER = 2**36, 2**28, 16


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
        Another ending, names that a file cannot hold, or a place that cannot be written; nothing is left behind.
    """
    path = Path(path)
    state = {n: np.asarray(v.numpy() if isinstance(v, Tensor) else v) for n, v in net.state_dict().items()}
    if path.suffix not in (".safetensors", ".npz"):
        got = repr(path.name)
        raise DataError(expected("save_weights", "a name ending in .npz or .safetensors", got, "rename it"))
    try:
        content = to_safetensors(state) if path.suffix == ".safetensors" else to_npz(state)
    except ValueError as error:
        got = f"{error}, in {', '.join(map(ascii, state)):.80}"
        raise DataError(expected("save_weights", "names that can be read again", got, "rename these")) from None
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
        content = read_file(path, LARGEST)
    except OSError as error:
        got = f"{path}: {error.strerror}"
        raise DataError(expected("load_weights", "a file that can be read", got, "check the path")) from None
    numbers = sum(np.size(part) for part in net.state_dict().values())
    room = max(LARGEST_UNPACKED, LARGEST_NUMBER * numbers)
    try:
        state: Arrays = from_safetensors(content)[0] if path.suffix == ".safetensors" else from_npz(content, room)
    except Exception as error:  # zipfile, zlib, json and NumPy raise a dozen types on damaged files
        got = f"{path}: {shown(error)}"
        raise DataError(expected("load_weights", "a whole .npz or .safetensors file", got, "save it again")) from None
    return net.load_state_dict(state, strict)
