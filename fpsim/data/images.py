"""The two embedded image sets, the form in which every image set is given, and the reading of embedded files.

Layer 5. Reads only the package's own files, which README.md beside them describes.
"""

from __future__ import annotations

import io
from importlib import resources
from typing import NamedTuple

import numpy as np

from fpsim.errors import ArgumentError, DataError, expected

__all__ = ["Images", "digits", "embedded_file", "fashion"]

#: The files as shipped. A damaged one is refused, not trained on.
SHA256 = {
    "optdigits.npz": "b2dab7b501728c22e9119ad76740b2e17c77a231e42d1e592380d90886f1a05e",
    "alice.txt.gz": "58e770a2488a02c7dca875a2abac7163ab967a5cf94ecd5b7136b2dac40c0d74",
    "fashion_mnist_1500.npz": "38b4dcf67b1d6be71ba9cb344689d03e6796b6e594434f5b44590e646c187a8e",
}

#: The first four fifths of the digits train. The order is as shipped, in which a writer's digits stand
#: together: the test part holds other hands. A nearest neighbour gets 95.6 % of it right, of a shuffled one
#: 99 %.
DIGITS_TRAIN = 1437


class Images(NamedTuple):
    """Pixels as float32 ``(n, 1, size, size)`` in [0, 1] and labels as int64 ``(n,)``, to train and to test.

    >>> import fpsim as fp
    >>> train_x, train_y, test_x, test_y = fp.data.digits()
    """

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray

    def __repr__(self) -> str:
        shape = "x".join(str(n) for n in self.train_x.shape[1:])
        return f"Images({len(self.train_x)} to train, {len(self.test_x)} to test, {shape})"


def digits(size: int = 32) -> Images:
    """The 1797 handwritten digits of UCI's optical recognition set: 1437 to train, 360 to test.

    A pixel counts the set dots, 0 to 16, in a block of a scanned bitmap, divided by 16. Each is repeated 4 by
    4 for ``size=32``; ``size=8`` gives the blocks themselves.

    Raises
    ------
    ArgumentError
        A `size` other than 8 and 32.

    Notes
    -----
    Precision: every pixel k/16 is exact in float16, bfloat16 and float8_e4m3fn, so rounding the input adds
    nothing to an experiment.

    Examples
    --------
    >>> import fpsim as fp
    >>> fp.data.digits()
    Images(1437 to train, 360 to test, 1x32x32)
    >>> fp.data.digits(size=8).train_x[0, 0, 0].tolist()
    [0.0, 0.0, 0.3125, 0.8125, 0.5625, 0.0625, 0.0, 0.0]
    """
    if size not in (8, 32):
        raise ArgumentError(expected("digits", "a size of 8 or 32", f"size={size!r}", "use digits() or digits(size=8)"))
    with _embedded("optdigits.npz") as arrays:
        pixels, labels = arrays["images"], arrays["labels"].astype(np.int64)
    x = pixels[:, np.newaxis] / np.float32(16)
    x = x.repeat(size // 8, axis=2).repeat(size // 8, axis=3)
    return Images(x[:DIGITS_TRAIN], labels[:DIGITS_TRAIN], x[DIGITS_TRAIN:], labels[DIGITS_TRAIN:])


def fashion(size: int = 32) -> Images:
    """1500 images of Fashion-MNIST, ten kinds of clothing: 1000 to train, 500 to test; harder than digits.

    28x28 pixels 0 to 255, divided by 256, with a border of zeros up to `size`. The whole set: see `idx`.

    Raises
    ------
    ArgumentError
        A `size` below 28.

    Notes
    -----
    Precision: every pixel k/256 is exact in formats of 8 or more significand bits, bfloat16 among them.

    Examples
    --------
    >>> import fpsim as fp
    >>> fp.data.fashion()
    Images(1000 to train, 500 to test, 1x32x32)
    """
    with _embedded("fashion_mnist_1500.npz") as arrays:
        return Images(
            framed("fashion", arrays["train_images"], size),
            arrays["train_labels"].astype(np.int64),
            framed("fashion", arrays["test_images"], size),
            arrays["test_labels"].astype(np.int64),
        )


def framed(op: str, pixels: np.ndarray, size: int) -> np.ndarray:
    """uint8 images ``(n, h, w)`` divided by 256, centred in ``(n, 1, size, size)``."""
    n, h, w = pixels.shape
    side = max(h, w)
    if not isinstance(size, int) or size < side:
        remedy = f"use size={max(side, 32)}"
        raise ArgumentError(expected(op, f"a whole size of at least {side}", f"size={size!r}", remedy))
    x = np.zeros((n, 1, size, size), np.float32)
    top, left = (size - h) // 2, (size - w) // 2
    np.divide(pixels, np.float32(256), out=x[:, 0, top : top + h, left : left + w])
    return x


def embedded_file(name: str) -> bytes:
    """The bytes of a file inside the package, which are those that were shipped."""
    import hashlib  # not for those who bring their own data

    content = (resources.files("fpsim.data") / name).read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        got = f"{len(content)} bytes that differ from it"
        raise DataError(expected(name, "the file as it was shipped", got, "reinstall fpsim-lab"))
    return content


def _embedded(name: str) -> np.lib.npyio.NpzFile:
    return np.load(io.BytesIO(embedded_file(name)), allow_pickle=False)
