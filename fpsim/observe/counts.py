"""`Counts` and `Exponents`: what a report holds of many roundings, as numbers that add up.

Layer 7. Holds and adds; `counting` finds them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields

import numpy as np

from fpsim.rounding.flags import FLAGS
from fpsim.rounding.kernel import Array

__all__ = ["Counts", "Exponents"]


class Exponents:
    """How many of some numbers lie in each binade ``[2**e, 2**(e + 1))``, zeros, infinities and NaN aside.

    >>> import numpy as np
    >>> from fpsim.observe.counting import exponents_of
    >>> exponents = exponents_of(np.array([1.0, 1.5, -0.25, 0.0]))
    >>> dict(exponents.items()), exponents.lowest, exponents.highest
    ({-2: 1, 0: 2}, -2, 0)
    """

    def __init__(self, lowest: int = 0, numbers: Array | None = None) -> None:
        numbers = np.zeros(0, np.int64) if numbers is None else numbers
        occupied = np.flatnonzero(numbers)
        if occupied.size:
            self.lowest, self._numbers = lowest + int(occupied[0]), numbers[occupied[0] : occupied[-1] + 1].copy()
        else:
            self.lowest, self._numbers = 0, np.zeros(0, np.int64)

    @property
    def highest(self) -> int:
        """The exponent of the largest number."""
        return self.lowest + len(self._numbers) - 1

    @property
    def total(self) -> int:
        """How many numbers there are in all."""
        return int(self._numbers.sum())

    def items(self) -> Iterator[tuple[int, int]]:
        """Each exponent that occurs, ascending, and how often."""
        return ((self.lowest + i, int(n)) for i, n in enumerate(self._numbers) if n)

    def __bool__(self) -> bool:
        return bool(self._numbers.size)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Exponents) and list(self.items()) == list(other.items())

    __hash__ = None  # type: ignore[assignment]  # it grows

    def __iadd__(self, other: Exponents) -> Exponents:
        if not other or not self:
            self.lowest, self._numbers = (other if other else self).lowest, (other if other else self)._numbers.copy()
            return self
        lowest, highest = min(self.lowest, other.lowest), max(self.highest, other.highest)
        if (lowest, highest) != (self.lowest, self.highest):
            grown = np.zeros(highest - lowest + 1, np.int64)
            grown[self.lowest - lowest : self.highest - lowest + 1] = self._numbers
            self.lowest, self._numbers = lowest, grown
        self._numbers[other.lowest - lowest : other.highest - lowest + 1] += other._numbers
        return self

    def __repr__(self) -> str:
        return f"Exponents({dict(self.items())})"


@dataclass
class Counts:
    """How many of the elements handed to a rounding met which fate. Shares are of the nonzero ones.

    Attributes
    ----------
    elements, nonzero : int
        Handed over.
    overflow : int
        Finite, and rounded with an unbounded exponent beyond the largest finite number.
    to_zero : int
        Not zero, stored as zero.
    subnormal : int
        Stored as a subnormal number.
    inexact : int
        Stored as another value.
    nan : int
        NaN out of operands without NaN, overflow aside.
    infinite : int
        Stored as infinity, for whatever reason.
    underflow, divide_by_zero, invalid : int
        Raised IEEE 754's flag of that name (see `fpsim.rounding.flags.raised`); the other two flags are `inexact` and
        `overflow`.
    additions, absorbed, acc_overflow : int
        Inside accumulators, where that was asked for: additions of a nonzero term, those that left the sum as it was,
        and products, terms and sums that overflowed.
    exponents : Exponents
        Of the values handed over; of an optimizer's step, of the changes that it wanted.
    """

    elements: int = 0
    nonzero: int = 0
    overflow: int = 0
    to_zero: int = 0
    subnormal: int = 0
    inexact: int = 0
    nan: int = 0
    infinite: int = 0
    underflow: int = 0
    divide_by_zero: int = 0
    invalid: int = 0
    additions: int = 0
    absorbed: int = 0
    acc_overflow: int = 0
    exponents: Exponents = field(default_factory=Exponents)

    def __iadd__(self, other: Counts) -> Counts:
        for name in _NUMBERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.exponents += other.exponents
        return self

    @property
    def exact(self) -> int:
        """Stored as they were: ``exact + inexact + nan`` are all elements."""
        return self.elements - self.inexact - self.nan

    @property
    def flags(self) -> dict[str, int]:
        """How many elements raised each of IEEE 754's five flags."""
        return {name: getattr(self, name) for name in FLAGS}

    def share(self, what: str) -> float:
        """``what`` as a share of the nonzero elements; 0 where there are none."""
        return getattr(self, what) / self.nonzero if self.nonzero else 0.0

    def numbers(self) -> dict[str, int]:
        """All counts by name, without the histogram."""
        return {name: getattr(self, name) for name in _NUMBERS}


#: All fields of `Counts` but the histogram.
_NUMBERS = tuple(f.name for f in fields(Counts) if f.name != "exponents")
