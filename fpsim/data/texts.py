"""The embedded text, as codes of its characters.

Layer 5. Reads only the package's own file, which README.md beside it describes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fpsim.data.images import embedded_file
from fpsim.errors import ArgumentTypeError, DataError, expected

__all__ = ["Text", "text"]


class Text(NamedTuple):
    """Codes int64 ``(n,)`` to train and to test; code c stands for ``characters[c]``.

    >>> import fpsim as fp
    >>> train, test, characters = fp.data.text()
    """

    train: np.ndarray
    test: np.ndarray
    characters: str

    def __repr__(self) -> str:
        return f"Text({len(self.train)} to train, {len(self.test)} to test, {len(self.characters)} characters)"

    def decode(self, codes: Any) -> str:
        """The text that codes ``(n,)`` stand for.

        Raises
        ------
        DataError
            Codes that are not integers from 0 on, below the number of characters.
        """
        codes = np.asarray(codes)
        most = len(self.characters) - 1
        if codes.dtype.kind not in "iu" or (codes.size and not 0 <= codes.min() <= codes.max() <= most):
            got = f"{codes.min()} to {codes.max()}" if codes.dtype.kind in "iu" else f"dtype={codes.dtype}"
            raise DataError(expected("decode", f"integer codes from 0 to {most}", got, "pass what encode() gives"))
        return "".join(self.characters[c] for c in codes.ravel())

    def encode(self, string: str) -> np.ndarray:
        """The codes of a text.

        Raises
        ------
        DataError
            A character that the embedded text does not have.
        """
        if not isinstance(string, str):
            raise ArgumentTypeError(expected("encode", "a string", type(string).__name__, "pass some text"))
        code = {c: i for i, c in enumerate(self.characters)}
        unknown = next((c for c in string if c not in code), None)
        if unknown is not None:
            raise DataError(expected("encode", "characters of the text", repr(unknown), "see characters"))
        return np.array([code[c] for c in string], np.int64)


def text() -> Text:
    """Chapters I to IV of Alice's Adventures in Wonderland (Lewis Carroll, 1865): the last tenth is to test.

    Examples
    --------
    >>> import fpsim as fp
    >>> alice = fp.data.text()
    >>> alice
    Text(42543 to train, 4728 to test, 67 characters)
    >>> alice.decode(alice.train[86:134])
    'Alice was beginning to get very tired of sitting'
    """
    import gzip  # not for those who bring their own data

    string = gzip.decompress(embedded_file("alice.txt.gz")).decode("ascii")
    points = np.frombuffer(string.encode("ascii"), np.uint8)
    alphabet, codes = np.unique(points, return_inverse=True)
    codes = codes.astype(np.int64, copy=False)
    train = len(codes) * 9 // 10
    return Text(codes[:train], codes[train:], alphabet.tobytes().decode("ascii"))
