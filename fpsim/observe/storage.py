"""`Storage`: how many bits an element takes where it is stored, in a format or in an MX block.

Layer 7. Counts bits; `fpsim.mx` makes the blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fpsim import mx
from fpsim.errors import ArgumentError, FormatError, expected
from fpsim.formats import Format, float8_e8m0fnu

__all__ = ["Storage"]


@dataclass(frozen=True)
class Storage:
    """A format in which numbers are stored, one by one or in blocks that share a scale.

    >>> Storage.parse("float8_e4m3fn").bits, Storage.parse("mxfp8_e4m3").bits, Storage.parse("mxfp4").bits
    (8.0, 8.25, 4.25)
    """

    name: str
    format: Format
    #: elements that share a scale of 8 bits; 0: none
    block: int = 0

    @classmethod
    def parse(cls, like: Any) -> Storage:
        """A format, its name, or an MX format's name."""
        if isinstance(like, Storage):
            return like
        try:
            if isinstance(like, mx.MXFormat) or (isinstance(like, str) and like.strip().lower().startswith("mx")):
                blocks = mx.MXFormat.parse(like)
                return cls(blocks.name, blocks.element, blocks.block)
            fmt = Format(like)
        except FormatError:
            remedy = f"use a format such as float16, or one of {', '.join(mx.NAMES)}"
            raise ArgumentError(expected("cost", "a format to store in", f"{like!r}", remedy)) from None
        return cls(fmt.name, fmt)

    @property
    def bits(self) -> float:
        """Of an element, with its share of the scale."""
        return self.format.bits + (float8_e8m0fnu.bits / self.block if self.block else 0.0)

    def nbytes(self, size: int, axis: int) -> int:
        """Bytes of `size` elements in rows of `axis`; blocks lie along a row, and its last may be shorter."""
        scales = size // axis * -(-axis // self.block) if self.block else 0
        return -(-size * self.format.bits // 8) + scales

    def __str__(self) -> str:
        return self.name
