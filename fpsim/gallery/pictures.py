"""Text inside of PNG files: written in an iTXt chunk, read back with every length and checksum looked at.

Layer 10. Knows PNG's chunks (W3C, 2003), not what the text says.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

__all__ = ["SIGNATURE", "DamagedPicture", "text_of", "with_text"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"


class DamagedPicture(ValueError):
    """A PNG that is cut short, or whose checksums do not fit."""


def with_text(png: bytes, texts: dict[str, str]) -> bytes:
    """The same picture with texts by keyword, before its image data."""
    chunks = b"".join(
        _chunk(b"iTXt", keyword.encode("latin-1") + b"\0\0\0\0\0" + text.encode()) for keyword, text in texts.items()
    )
    end_of_header = len(SIGNATURE) + 12 + 13  # IHDR is always first and 13 bytes long
    return png[:end_of_header] + chunks + png[end_of_header:]


def text_of(png: bytes) -> dict[str, str]:
    """The texts that `with_text` wrote, by keyword.

    Raises
    ------
    DamagedPicture
    """
    found = {}
    for kind, content in _chunks(png):
        if kind == b"iTXt":
            keyword, _, rest = content.partition(b"\0")
            if rest[:4] == b"\0\0\0\0":  # neither compressed nor translated
                found[keyword.decode("latin-1")] = rest[4:].decode(errors="replace")
    return found


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(SIGNATURE)
    while at < len(png):
        if at + 12 > len(png):
            break
        length = int.from_bytes(png[at : at + 4], "big")
        end = at + 12 + length
        if end > len(png):
            break
        kind, content = png[at + 4 : at + 8], png[at + 8 : end - 4]
        if zlib.crc32(kind + content) != int.from_bytes(png[end - 4 : end], "big"):
            raise DamagedPicture("a checksum does not fit")
        yield kind, content
        if kind == b"IEND":
            return
        at = end
    raise DamagedPicture("it is cut short")
