"""What an elementwise formula gives exactly, for observers that must tell rounded from exact.

Layer 3. Asked of some elements, by masks: `judged` is cheap, `wide` is not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fpsim.rounding.kernel import Array
from fpsim.rounding.paired import Paired, in_safe_range
from fpsim.rounding.wide import Wide

#: Elements of a block, which with its some twenty intermediate results shares the cache.
BLOCK = 1 << 13

__all__ = ["Exact", "ExactFormula", "ExactWide"]


class Exact:
    """The exact values behind an array of float64 numbers; masks have its shape, or (1,) where it has no axes."""

    #: whether all operands are float32's: no product or quotient of several of them underflows in float64
    is_narrow: bool = False

    def wide(self, mask: Array) -> Wide:
        """The exact values of the elements that a mask chooses."""
        raise NotImplementedError

    def judged(self, mask: Array) -> tuple[Array, Array]:
        """For each element that a mask chooses: is the exact value another one, and is that uncertain."""
        raise NotImplementedError


class ExactWide(Exact):
    """Values that are wide already."""

    def __init__(self, values: Wide) -> None:
        self._values = values

    def wide(self, mask: Array) -> Wide:
        """A part of them."""
        x = self._values
        return Wide(*(np.atleast_1d(part)[mask] for part in (x.hi, x.lo, x.exponent)))

    def judged(self, mask: Array) -> tuple[Array, Array]:
        """Another one where something is left beside a number that float64 holds."""
        x = self.wide(mask)
        return x.lo != 0, np.asarray((x.exponent < -900) & (x.hi != 0))


class ExactFormula(Exact):
    """A formula of ``+ - * /`` and square roots, on operands that broadcast to `shape`, element by element."""

    def __init__(
        self, formula: Callable[..., Any], operands: tuple[Array | None, ...], metadata: dict[str, Any],
        shape: tuple[int, ...],
    ) -> None:  # fmt: skip
        self._formula, self._operands, self._metadata, self._shape = formula, operands, metadata, shape or (1,)
        self.is_narrow = all(x is None or x.dtype == np.float32 for x in operands)

    def wide(self, mask: Array) -> Wide:
        """The formula on wide numbers."""
        return Wide.of(self._on(Wide.of, np.flatnonzero(mask)))

    def judged(self, mask: Array) -> tuple[Array, Array]:
        """The formula on pairs: another one where the second number is not zero."""
        places = np.flatnonzero(mask)
        differs, unsure = np.zeros(places.size, bool), np.zeros(places.size, bool)
        for start in range(0, places.size, BLOCK):
            block = slice(start, start + BLOCK)
            result = Paired.of(self._on(Paired.of, places[block]))
            differs[block] = result.lo != 0
            unsure[block] = ~np.isfinite(result.hi)
            for x in self._operands:
                if x is not None and x.dtype == np.float64:
                    unsure[block] |= ~in_safe_range(self._at(places[block], x))
        return differs, unsure

    def _on(self, kind: Callable[[Array], Any], places: Array) -> Any:
        arrays = (None if x is None else kind(self._at(places, x)) for x in self._operands)
        options = {name: self._at(places, value) for name, value in self._metadata.items()}
        with np.errstate(all="ignore"):
            return self._formula(*arrays, **options)

    def _at(self, places: Array, x: Any) -> Any:
        """An operand's elements at some places of the result, in C order."""
        if not isinstance(x, np.ndarray):
            return x
        if x.shape == self._shape and x.flags.c_contiguous:
            return x.reshape(-1)[places]
        return np.broadcast_to(x, self._shape)[np.unravel_index(places, self._shape)]
