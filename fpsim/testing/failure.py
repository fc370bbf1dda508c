"""What an assertion says when it fails: expected, got, the bits of both, how far apart, where.

Layer 13. Text alone; it decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any, NoReturn

import numpy as np

from fpsim.autograd import Tensor
from fpsim.errors import ArgumentError, FormatError, ShapeError, expected
from fpsim.formats import Format
from fpsim.testing.exact import Grid, Real, code, grid_of, real, ulp
from fpsim.testing.exact import round as round_exactly

__all__ = ["Difference", "apart", "as_reals", "bits", "elements", "format_of", "number", "report", "smallest_slice"]

Array = np.ndarray[Any, Any]

#: Elements that a message shows.
SHOWN = 3


def format_of(op: str, fmt: Any, *arrays: Any) -> Format:
    """The format that was named, else that of the first tensor or float array."""
    if fmt is not None:
        return Format(fmt)
    for x in arrays:
        if isinstance(x, Tensor):
            return x.dtype
        dtype = getattr(x, "dtype", np.dtype(float) if isinstance(x, float) else None)
        if dtype is not None:
            try:
                return Format(dtype)
            except FormatError:
                continue
    raise ArgumentError(expected(op, "a format, or values that have one", "fmt=None", 'pass fmt="float16", say'))


def as_reals(x: Any) -> Array:
    """Tensors, arrays, numbers and fractions as an object array of exact numbers."""
    given = x._data if isinstance(x, Tensor) else np.asarray(x)
    out = np.empty(given.shape, object)
    for i in np.ndindex(given.shape):
        out[i] = real(given[i])
    return out


def pair(op: str, actual: Any, desired: Any) -> tuple[Iterator[Any], int]:
    """Index, actual and desired number of every element, and how many; a single desired number stands for all."""
    a, d = as_reals(actual), as_reals(desired)
    if d.ndim == 0 and a.ndim:
        d = np.broadcast_to(d, a.shape)
    if a.shape != d.shape:
        got = f"actual.shape={a.shape}, desired.shape={d.shape}"
        raise ShapeError(expected(op, "arrays of one shape", got, "reshape one of them"))
    return elements(a, d), a.size


def elements(*arrays: Array) -> Iterator[Any]:
    """Index and elements of arrays of one shape, in C order."""
    for i in np.ndindex(arrays[0].shape):
        yield (i, *(a[i] for a in arrays))


# One number -------------------------------------------------------------------------------------------------


def number(x: Real) -> str:
    """A number to read: shortest where float64 has it, else 20 digits and an ellipsis."""
    if isinstance(x, float):
        return repr(float(x))
    try:
        if float(x) == x:
            return repr(float(x))
    except OverflowError:
        pass
    quotient = Context(prec=20).divide(Decimal(x.numerator), Decimal(x.denominator))
    return f"{quotient}{'' if Fraction(quotient) == x else '...'}"


def bits(x: Real, grid: Grid) -> str:
    """Sign, exponent and significand of a value; what to say of a number that is none.

    >>> bits(1.0, grid_of("float16"))
    '0 01111 0000000000'
    """
    try:
        coded = code(float(x), grid) if isinstance(x, float) or float(x) == x else None
    except OverflowError:
        coded = None
    if coded is None:
        return "not a value of the format"
    text = f"{coded:0{grid.bits}b}"
    return f"{text[0]} {text[1 : 1 + grid.exponent_bits]} {text[1 + grid.exponent_bits :]}"


def apart(actual: Real, desired: Real, grid: Grid) -> Fraction | str:
    """``|actual - desired|`` in ulps of `desired`; in words where that is no number.

    >>> apart(1.0, math.inf, grid_of("float16"))
    'infinity is no number of ulps from a finite number'
    """
    if actual != actual or desired != desired:
        return Fraction(0) if actual != actual and desired != desired else "only one of them is nan"
    if isinstance(desired, Fraction):  # an exact result that overflows means what it rounds to
        rounded = round_exactly(desired, grid)
        desired = desired if math.isfinite(rounded) else rounded
        if desired != desired:
            return Fraction(0) if actual != actual else "the exact value overflows, and the format has no infinity"
    if math.isinf(actual) or math.isinf(desired):
        if actual == desired:
            return Fraction(0)
        both = math.isinf(actual) and math.isinf(desired)
        return "infinities of opposite sign" if both else "infinity is no number of ulps from a finite number"
    return abs(Fraction(actual) - Fraction(desired)) / ulp(desired, grid)


def ulps(distance: Fraction | str) -> str:
    """A distance in words."""
    if isinstance(distance, str):
        return distance
    if distance == 1:
        return "1 ulp"
    return f"{distance.numerator if distance.denominator == 1 else format(float(distance), '.6g')} ulps"


# The message ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """One element that failed."""

    index: tuple[int, ...]
    expected: Real
    got: Real
    distance: Fraction | str
    names: tuple[str, str] = ("expected", "got")
    more: tuple[tuple[str, str], ...] = ()

    def lines(self, grid: Grid) -> list[str]:
        """The element in a few aligned lines."""
        numbers = [number(self.expected), number(self.got)]
        wide = max(map(len, numbers))
        width = max(len(name) for name in (*self.names, "apart", *(name for name, _ in self.more)))
        rows = [
            f"{name:{width}}  {text:{wide}}  {bits(x, grid)}"
            for name, text, x in zip(self.names, numbers, (self.expected, self.got), strict=True)
        ]
        if self.distance != 0:
            rows.append(f"{'apart':{width}}  {ulps(self.distance)}")
        return rows + [f"{name:{width}}  {text}" for name, text in self.more]


def smallest_slice(indices: Sequence[tuple[int, ...]]) -> str:
    """The smallest slice that holds all of some elements.

    >>> smallest_slice([(0, 3), (1, 2)])
    '[0:2, 2:4]'
    """
    sides = [(min(axis), max(axis) + 1) for axis in zip(*indices, strict=True)]
    return "[" + ", ".join(f"{low}:{high}" for low, high in sides) + "]"


def report(
    op: str, invariant: str, differences: list[Difference], size: int, fmt: Format, more: Sequence[str] = ()
) -> NoReturn:
    """Raise the AssertionError that explains the differences; the first few of them in full."""
    grid = grid_of(fmt)
    where = "" if size == 1 else f" for {len(differences)} of {size} elements"
    lines = [f"{op}: expected {invariant}, which fails{where}."]
    for one in differences[:SHOWN]:
        indent = "  "
        if one.index:
            lines.append(f"  index {one.index}")
            indent = "    "
        lines += [indent + line for line in one.lines(grid)]
    if len(differences) > SHOWN:
        lines.append(f"  ... and {len(differences) - SHOWN} more")
    if differences and differences[0].index:
        lines.append(f"  smallest slice that holds every failure: {smallest_slice([d.index for d in differences])}")
    raise AssertionError("\n".join([*lines, *(f"  {line}" for line in more)]))
