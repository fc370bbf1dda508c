"""The values recorded from PyTorch, as plain data: every array of a file lies in one flat array of its dtype.

Tests only. Imports neither fpsim nor torch; `record_torch.py` writes the files.
"""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent

#: How far two honest runs may part, relative to the largest element of an array. The elements are sums, of up
#: to some ten thousand terms, which each run adds in its own order: PyTorch's own gradients of the classic
#: network change by 2e-15 (float64) and 4e-6 (float32) with the threads and the convolution's algorithm.
TOLERANCE = {"float64": 1e-12, "float32": 1e-5}


def save(name: str, data: dict[str, Any]) -> Path:
    """Write nested dicts and lists that hold arrays; an array met twice is stored once."""
    flat: dict[str, list[np.ndarray]] = {}
    places: dict[tuple, dict] = {}

    def place(array: np.ndarray) -> dict:
        dtype = array.dtype.name
        key = (dtype, array.shape, array.tobytes())
        if key not in places:
            stored = flat.setdefault(dtype, [])
            places[key] = {"dtype": dtype, "start": sum(a.size for a in stored), "shape": array.shape}
            stored.append(array.ravel())
        return places[key]

    index = json.dumps(data, default=place)
    path = FOLDER / f"torch_{name}.npz"
    joined = {dtype: np.concatenate(arrays) for dtype, arrays in flat.items()}
    np.savez_compressed(path, index=np.array(index), **joined)
    return path


def load(name: str) -> dict[str, Any]:
    """What `save` was given."""
    with np.load(FOLDER / f"torch_{name}.npz") as file:
        flat = dict(file)

    def restore(entry: dict) -> Any:
        if entry.keys() != {"dtype", "start", "shape"}:
            return entry
        start, shape = entry["start"], entry["shape"]
        return flat[entry["dtype"]][start : start + prod(shape)].reshape(shape)

    return json.loads(str(flat["index"]), object_hook=restore)


def assert_near(actual, expected: np.ndarray, tolerance: float, what: str) -> None:
    """Equal up to `tolerance` times the largest finite element; NaN and infinities in the same places."""
    actual = np.asarray(actual)
    assert actual.shape == expected.shape, what
    size = np.abs(expected[np.isfinite(expected)]).max(initial=0)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * size, err_msg=what)
