"""IDX files, the format of MNIST and its family: ``00 00 type ndim``, big-endian sizes, then the values.

Layer 5. Trusts nothing that a header says: memory is taken only for bytes that were read. No pickle, no code.
"""

from __future__ import annotations

import gzip
import io
import math
import zlib
from pathlib import Path

import numpy as np

from fpsim.data.images import Images, framed
from fpsim.errors import DataError, expected

__all__ = ["idx", "read_idx"]

#: The third byte of the file.
TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

CHUNK = 1 << 20
#: Bytes of values; EMNIST, the largest of the family, has a quarter of that. More would be a bomb.
LARGEST = 1 << 31
#: A frame holds at most so many times the pixels of its image: millions of images of one pixel would be a bomb too.
LARGEST_FRAME = 64


def idx(path: str | Path, size: int = 32) -> Images | np.ndarray:
    """A folder of MNIST, Fashion-MNIST or their kin as `Images`; one file as the array that it holds.

    The folder holds ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte`` and the same for ``t10k``, plain
    or as ``.gz``. Pixels are divided by 256 and framed up to `size`, as in `fashion`. Nothing is downloaded.

    Raises
    ------
    DataError
        A file that is missing, damaged, of another kind, or that does not fit its partner.

    Examples
    --------
    >>> import fpsim as fp
    >>> fp.data.idx("/no")
    Traceback (most recent call last):
        ...
    fpsim.errors.DataError: idx: expected an IDX file or a folder of them, got path='/no'; check the path.
    """
    path = Path(path)
    if path.is_dir():
        return Images(*_part(path, "train", size), *_part(path, "t10k", size))
    if path.is_file():
        return read_idx(path)
    got = f"path={str(path)!r}"
    raise DataError(expected("idx", "an IDX file or a folder of them", got, "check the path"))


def read_idx(path: str | Path) -> np.ndarray:
    """The array in one IDX file, plain or gzipped, in the machine's byte order.

    Raises
    ------
    DataError
        Anything but a whole IDX file of at least one value.
    """
    path = Path(path)
    try:
        with path.open("rb") as plain:
            packed = plain.read(2) == b"\x1f\x8b"
            plain.seek(0)
            with gzip.open(plain) if packed else plain as file:
                return _parse(file, path)
    except (OSError, EOFError, zlib.error) as error:
        remedy = "fetch the file again or check its permissions"
        raise DataError(expected("idx", "a file that can be read", f"{path.name}: {error}", remedy)) from error


def _parse(file: io.BufferedIOBase, path: Path) -> np.ndarray:
    def refuse(invariant: str, got: str) -> DataError:
        return DataError(expected("idx", invariant, f"{got} in {path.name}", "fetch the file again"))

    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in TYPES:
        kinds = " ".join(f"{kind:02x}" for kind in TYPES)
        raise refuse(f"an IDX file, which begins 00 00, a type of {kinds}", magic.hex(" ") or "nothing")
    dtype, ndim = np.dtype(TYPES[magic[2]]), magic[3]
    if not 1 <= ndim <= 8:
        raise refuse("1 to 8 dimensions", f"{ndim}")
    header = file.read(4 * ndim)
    if len(header) < 4 * ndim:
        raise refuse(f"{ndim} sizes in the header", f"{len(header)} bytes")
    shape = tuple(int(n) for n in np.frombuffer(header, ">u4"))
    claimed = math.prod(shape) * dtype.itemsize
    if claimed == 0:
        raise refuse("at least one value", f"shape={shape}")
    if claimed > LARGEST:
        raise refuse(f"at most {LARGEST} bytes of values", f"shape={shape}")
    values = bytearray()
    while len(values) <= claimed and (chunk := file.read(CHUNK)):
        values += chunk
    if len(values) != claimed:
        found = f"{len(values)}" if len(values) < claimed else f"more than {claimed}"
        raise refuse(f"the {claimed} bytes of values that shape={shape} needs", found)
    return np.frombuffer(values, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _part(folder: Path, part: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    images, labels = (_find(folder, part, kind) for kind in ("images-idx3", "labels-idx1"))
    pixels, y = read_idx(images), read_idx(labels)
    if pixels.ndim != 3 or pixels.dtype != np.uint8:
        got = f"{pixels.dtype} {pixels.shape} in {images.name}"
        raise DataError(expected("idx", "images as uint8 (n, rows, columns)", got, "read it alone: idx(file)"))
    if y.shape != pixels.shape[:1] or y.dtype != np.uint8:
        got = f"{y.dtype} {y.shape} in {labels.name}"
        raise DataError(expected("idx", f"{len(pixels)} labels as uint8", got, "fetch both files again"))
    h, w = pixels.shape[1:]
    if isinstance(size, int) and LARGEST_FRAME * h * w < size * size:
        got = f"{h}x{w} in {images.name}"
        raise DataError(expected("idx", f"images that fill a part of {size}x{size}", got, "choose a smaller size="))
    return framed("idx", pixels, size), y.astype(np.int64)


def _find(folder: Path, part: str, kind: str) -> Path:
    names = [f"{part}-{spelled}-ubyte" for spelled in (kind, kind.replace("-", "."))]
    for name in [*names, *(f"{name}.gz" for name in names)]:
        if (folder / name).is_file():
            return folder / name
    got = f"none of that name in {str(folder)!r}"
    raise DataError(expected("idx", f"a file {names[0]} or {names[0]}.gz", got, "name the folder that holds it"))
