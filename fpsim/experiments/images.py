"""What a training takes as images: a name, a folder of IDX files, four arrays; checked.

Layer 8. Reads through `fpsim.data`; draws nothing, trains nothing.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from fpsim import data as datasets
from fpsim.errors import DataError, expected

__all__ = ["checked", "images_from"]


def images_from(source: Any, size: int) -> datasets.Images:
    """Images from a name, a folder of IDX files, or four arrays; the last ones named are kept."""
    if isinstance(source, str | Path):
        return _named(str(source), size, _stamp(str(source)))
    if isinstance(source, tuple | list) and len(source) == 4:
        x, y, test_x, test_y = (np.asarray(part) for part in source)
        return datasets.Images(x, y, test_x, test_y)
    got = type(source).__name__
    raise DataError(expected("train", "a name, a folder, or (train_x, train_y, test_x, test_y)", got, "see fp.data"))


@lru_cache(maxsize=2)
def _named(source: str, size: int, stamp: Any) -> datasets.Images:
    """Images by name, or of a folder as it was at `stamp`; read-only, since every later training gets the same."""
    if source in ("digits", "fashion"):
        images: Any = getattr(datasets, source)(size=size)
    else:
        if not Path(source).exists():
            raise DataError(
                expected("train", "digits, fashion or a folder of IDX files", repr(source), "check the path")
            )
        images = datasets.idx(source, size=size)
        if not isinstance(images, datasets.Images):
            raise DataError(expected("train", "a folder with images and labels", repr(source), "give the folder"))
    for array in images:
        array.flags.writeable = False
    return images


def _stamp(source: str) -> Any:
    """What changes when the files in a folder do; of fpsim's own sets nothing."""
    folder = Path(source)
    if source in ("digits", "fashion") or not folder.is_dir():
        return None
    found = [(entry.name, entry.stat()) for entry in os.scandir(folder)]
    return tuple(sorted((name, status.st_mtime_ns, status.st_size) for name, status in found))


def checked(images: datasets.Images, size: int, factor: float) -> datasets.Images:
    """Images that the network can take: shapes, labels, finite pixels; pixels multiplied by `factor`."""
    for part, x, y in (("train", images.train_x, images.train_y), ("test", images.test_x, images.test_y)):
        if x.ndim != 4 or x.shape[1:] != (1, size, size) or len(x) == 0:
            got = f"{part}_x.shape={x.shape}"
            raise DataError(
                expected("train", f"images of shape (n, 1, {size}, {size}), n at least 1", got, "reshape them")
            )
        if y.shape != (len(x),) or y.dtype.kind not in "iu":
            got = f"{part}_y.shape={y.shape}, dtype={y.dtype}"
            raise DataError(expected("train", f"{len(x)} integer labels", got, "give one class per image"))
        if y.min() < 0 or y.max() > 9:
            got = f"{part}_y from {y.min()} to {y.max()}"
            raise DataError(expected("train", "labels from 0 to 9", got, "number the classes from 0"))
        if not np.isfinite(x).all():
            where = tuple(int(i) for i in np.argwhere(~np.isfinite(x))[0])
            got = f"{part}_x[{', '.join(map(str, where))}]={x[where]}"
            raise DataError(expected("train", "finite pixels", got, "replace missing pixels first"))
    return images if factor == 1 else images._replace(train_x=images.train_x * factor, test_x=images.test_x * factor)
