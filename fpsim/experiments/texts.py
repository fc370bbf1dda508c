"""What a training takes as text: the embedded one, a file, or two strings; checked.

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
from fpsim.files import read_file

__all__ = ["checked", "text_from", "windows"]

#: Larger files are no text that a small network learns.
LARGEST = 64 * 2**20


def text_from(source: Any) -> datasets.Text:
    """A text from ``"text"``, a UTF-8 file (the last tenth is to test), two strings, or as it is."""
    if isinstance(source, datasets.Text):
        return source
    if isinstance(source, str | Path):
        return _embedded() if source == "text" else _read(str(source), _stamp(str(source)))
    if isinstance(source, tuple | list) and len(source) == 2 and all(isinstance(part, str) for part in source):
        return _of_strings(*source)
    got = type(source).__name__
    raise DataError(expected("train", "text, a file, or two strings (train, test)", got, "see fp.data.text"))


@lru_cache(maxsize=1)
def _embedded() -> datasets.Text:
    return _kept(datasets.text())


@lru_cache(maxsize=1)
def _read(source: str, stamp: Any) -> datasets.Text:
    """The text of a file as it was at `stamp`."""
    try:
        string = read_file(Path(source), LARGEST).decode("utf-8")
    except UnicodeDecodeError as error:
        got = f"{source!r}, whose byte {error.start} is another thing"
        raise DataError(expected("train", "a text file in UTF-8", got, "convert it to UTF-8")) from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DataError(expected("train", "text or a text file", f"{source!r}: {why}", "check the path")) from None
    codes, characters = _coded(string)
    train = len(codes) * 9 // 10
    return _kept(datasets.Text(codes[:train], codes[train:], characters))


def _stamp(source: str) -> Any:
    """What changes when the file does."""
    try:
        status = os.stat(source)
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size


def _kept(text: datasets.Text) -> datasets.Text:
    """Read-only, since every later training gets the same."""
    for codes in (text.train, text.test):
        codes.flags.writeable = False
    return text


def _coded(string: str) -> tuple[np.ndarray[Any, Any], str]:
    """Codes of the characters, and the characters in order."""
    points = np.frombuffer(string.encode("utf-32-le", "surrogatepass"), np.uint32)
    alphabet, codes = np.unique(points, return_inverse=True)
    return codes.astype(np.int64), "".join(map(chr, alphabet.tolist()))


def _of_strings(train: str, test: str) -> datasets.Text:
    """The alphabet is that of the training part."""
    codes, characters = _coded(train)
    code = {character: i for i, character in enumerate(characters)}
    unknown = next((i for i, character in enumerate(test) if character not in code), None)
    if unknown is not None:
        got = f"{test[unknown]!r} at {unknown}"
        remedy = "put it into the training part too, or leave it out"
        raise DataError(expected("train", "a test part of the training part's characters", got, remedy))
    return datasets.Text(codes, np.array([code[character] for character in test], np.int64), characters)


def checked(text: datasets.Text, context: int, batch: int) -> datasets.Text:
    """A text long enough for a batch of windows and one to test, of codes that its characters have."""
    for part, codes, least in (("train", text.train, context + batch), ("test", text.test, context + 1)):
        if not isinstance(codes, np.ndarray) or codes.ndim != 1 or codes.dtype.kind not in "iu":
            got = f"{part} of {type(codes).__name__} {getattr(codes, 'dtype', '')} {np.shape(codes)}"
            raise DataError(expected("train", "codes as integers in one dimension", got, "see fp.data.text"))
        if len(codes) < least:
            got = f"{len(codes)} characters to {part}"
            invariant = f"at least {least}, for windows of {context}"
            raise DataError(expected("train", invariant, got, "give a longer text, or a smaller batch"))
        if codes.min() < 0 or codes.max() >= len(text.characters):
            got = f"{part} from {codes.min()} to {codes.max()}"
            raise DataError(expected("train", f"codes from 0 to {len(text.characters) - 1}", got, "see fp.data.text"))
    return text


def windows(codes: np.ndarray[Any, Any], length: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """All of a text in windows beside each other ``(n, length)``, and for each character the next; a rest is left out.

    >>> x, y = windows(np.arange(8), 3)
    >>> x.tolist(), y.tolist()
    ([[0, 1, 2], [3, 4, 5]], [[1, 2, 3], [4, 5, 6]])
    """
    n = (len(codes) - 1) // length
    return codes[: n * length].reshape(n, length), codes[1 : n * length + 1].reshape(n, length)
