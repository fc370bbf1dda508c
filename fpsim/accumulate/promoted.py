"""Order ``blocked:B@FORMAT``: blocks summed in a narrow format, their sums in the accumulator's own.

Layer 2. What an order of that name says; `accumulator` lets one accumulator of the narrow format sum the blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fpsim.accumulate.orders import Arithmetic
from fpsim.errors import ArgumentError, FormatError, expected
from fpsim.formats import Format
from fpsim.rounding.kernel import Array

__all__ = ["Promoted"]


@dataclass(frozen=True)
class Promoted:
    """Blocks of `block` terms summed sequentially in `inner`; the sums of blocks in the accumulator's own format.

    For each block, in order, with ``s`` (at first +0) of the accumulator::

        t = +0;  for k in the block: p = round_inner(x_k * y_k), t = round_inner(t + p)
        s = round(s + round(t))

    The accumulation reported of NVIDIA's H800: its tensor cores keep some 14 bits of a sum of FP8 products, which
    DeepSeek-V3 adds to float32 registers every 128 terms (2024, arXiv:2412.19437, section 3.3.2):
    ``blocked:128@e8m13``, of a float32 accumulator. An accumulator of format ``e8m13`` is the same without promotion.
    """

    block: int
    inner: Format

    @classmethod
    def parse(cls, order: str) -> Promoted:
        """``blocked:B@FORMAT``.

        >>> Promoted.parse("blocked:128@e8m13").inner.p
        14
        """
        block, _, name = order.removeprefix("blocked:").partition("@")
        invariant, remedy = "blocked:B@FORMAT with B of at least 1", "blocked:128@e8m13 sums 128 terms in 14 bits"
        try:
            inner = Format(name)
        except FormatError as error:
            got = f"order={order!r} ({error})"
            raise ArgumentError(expected("Accumulator", invariant, got, remedy)) from None
        if not block.isdecimal() or int(block) < 1 or inner.specials == "scale":
            raise ArgumentError(expected("Accumulator", invariant, f"order={order!r}", remedy))
        return cls(int(block), inner)

    def total(self, length: int, zeros: Array, part: Callable[[slice], Array], a: Arithmetic) -> Array:
        """The sum of the blocks' sums, which ``part(terms)`` gives."""
        s = zeros
        for start in range(0, length, self.block):
            t = part(slice(start, min(start + self.block, length)))
            s = a.add(s, t if a.fmt.holds(self.inner) else a.round(t))
        return s
