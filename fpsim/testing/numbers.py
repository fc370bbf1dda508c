"""Strategies for numbers and arrays of a format: sign, exponent and significand, and spreads that strain sums.

Layer 13. Draws, checks nothing. Every strategy shrinks to the simplest value: 0, 1, a power of two.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import strategies as st

from fpsim.errors import ArgumentError, expected, nearest
from fpsim.formats import Format
from fpsim.testing.exact import grid_of, neighbours
from fpsim.testing.exact import round as round_exactly
from fpsim.testing.exact.grid import Grid, floor_log2, two

__all__ = ["SPREADS", "arrays", "dtype_of", "midpoints", "shapes", "values"]

Array = np.ndarray[Any, Any]
Draw = Any
Shape = int | tuple[int, ...] | st.SearchStrategy[tuple[int, ...]]

SPREADS = ("exponent", "cancelling", "swamping", "ill_conditioned")

#: Bits of a significand drawn at once: Hypothesis draws whole numbers of up to 24 bits evenly.
CHUNK = 20


def dtype_of(fmt: Any) -> np.dtype[Any]:
    """The NumPy dtype in which drawn arrays of a format come: its own, else the smaller of float32 and float64."""
    fmt = Format(fmt)
    return np.dtype(np.float16) if fmt == Format("float16") else fmt.carrier


def _significand(draw: Draw, bits: int) -> int:
    """`bits` even bits, the leading ones first; shrinks to 0."""
    n = 0
    for left in range(bits, 0, -CHUNK):
        take = min(left, CHUNK)
        n = n << take | draw(st.integers(0, 2**take - 1))
    return n


def _number(draw: Draw, grid: Grid, low: int, high: int) -> Fraction:
    """A positive number with an exponent from `low` to `high`; below `emin` it is subnormal."""
    e = draw(st.integers(low, high))
    m = grid.significand_bits
    stored = m + min(e - grid.emin, 0)  # significand bits below the leading one
    return min((two(stored) + _significand(draw, stored)) * two(e - stored), grid.max)


#: Codes of exponents below emin: they share the subnormal numbers among them.
BELOW = 4


@st.composite
def _values(
    draw: Draw, grid: Grid, low: int, high: int, signed: bool, specials: tuple[float, ...], ties: Grid | None
) -> float:
    """Always the same few choices, so that an example of any kind shrinks to an ordinary one."""
    m, kind = grid.significand_bits, draw(st.integers(0, 15))
    if kind == 0:
        return -0.0 if signed and grid.has_negative_zero and draw(st.booleans()) else 0.0
    if ties is not None and kind >= 10:
        return abs(draw(_midpoints(ties))) * (-1 if signed and draw(st.booleans()) else 1)
    least = min(grid.emin, high)
    e = draw(st.integers(least - BELOW * (low < grid.emin), high + bool(specials)))
    bits = _significand(draw, m)
    sign = -1 if signed and draw(st.booleans()) else 1
    if e > high:
        return specials[bits % len(specials)] * sign
    if kind == 15:  # a power of two, or beside one: at either end the least and the largest number
        bits = (0, 1, 2**m - 1)[bits % 3]
    if e < grid.emin:
        x = max(bits >> (grid.emin - 1 - e) * m // BELOW, 1) * grid.quantum
    else:
        x = min((2**m + bits) * two(e - m), grid.max)
    return float(sign * x)


@st.composite
def _midpoints(draw: Draw, grid: Grid) -> float:
    x = _number(draw, grid, grid.emin, floor_log2(grid.max))
    step = two(max(floor_log2(x), grid.emin) - grid.significand_bits)
    return float((x + step / 2) * draw(st.sampled_from([1, -1])))


def midpoints(fmt: Any) -> st.SearchStrategy[float]:
    """Numbers halfway between two neighbouring values of a format of at most 52 bits of precision: its ties."""
    grid = grid_of(fmt)
    if grid.p > 52:
        raise ArgumentError(
            expected("midpoints", "a format whose ties float64 holds", f"p={grid.p}", "choose a narrower one")
        )
    return _midpoints(grid)


def values(
    fmt: Any,
    *,
    min_value: float | None = None,
    max_value: float | None = None,
    exponents: tuple[int, int] | None = None,
    signed: bool = True,
    allow_subnormal: bool = True,
    allow_inf: bool = True,
    allow_nan: bool = True,
    ties_of: Any = None,
) -> st.SearchStrategy[float]:
    """Values of a format: an even sign, exponent and significand, with zeros, subnormal numbers and both ends.

    Of 500 draws in float16 more than 400 are distinct, every exponent comes, and fewer than 25 % are subnormal.

    Parameters
    ----------
    fmt : format
    min_value, max_value : float, optional
    exponents : (int, int), optional
        Least and largest exponent e of ``2**e <= |x| < 2**(e + 1)``; zero, ends and specials stay out of it then.
    signed : bool
        Also negative numbers and -0.
    allow_subnormal, allow_inf, allow_nan : bool
        Where the format has them.
    ties_of : format, optional
        A narrower format: every third number is then a midpoint of it, as far as `fmt` holds that.

    Returns
    -------
    strategy of float

    Examples
    --------
    >>> from hypothesis import find
    >>> import numpy as np
    >>> find(values("float16"), lambda x: abs(x * x) > 65504)
    256.0
    """
    grid = grid_of(fmt)
    top, least = floor_log2(grid.max), grid.emin - (grid.significand_bits if allow_subnormal else 0)
    if exponents is not None:
        low, high = max(exponents[0], least), min(exponents[1], top)
        if low > high:
            got = f"exponents={exponents}"
            raise ArgumentError(expected("values", f"exponents from {least} to {top}", got, "swap or widen them"))
        return st.composite(lambda draw: _signed(draw, _number(draw, grid, low, high), signed))()
    bounded = min_value is not None or max_value is not None
    specials = (math.inf,) * (allow_inf and grid.has_inf) + (math.nan,) * (allow_nan and grid.has_nan and not bounded)
    ties = None if ties_of is None else grid_of(ties_of)
    if bounded:
        lowest = -math.inf if min_value is None else min_value
        highest = math.inf if max_value is None else max_value
        signed, top = signed and lowest < 0, _highest_exponent(lowest, highest, top)
        drawn = _values(grid, min(least, top), top, signed, specials, ties)
        drawn = drawn.filter(lambda x: lowest <= x <= highest)
    else:
        drawn = _values(grid, least, top, signed, specials, ties)
    return drawn if ties is None else drawn.filter(lambda x: round_exactly(x, grid) == x or x != x)


def _signed(draw: Draw, x: Fraction, signed: bool) -> float:
    return float(-x if signed and draw(st.booleans()) else x)


def _highest_exponent(lowest: float, highest: float, top: int) -> int:
    largest = max(abs(lowest), abs(highest))
    return top if math.isinf(largest) or not largest else min(top, floor_log2(Fraction(largest)))


def shapes(
    *, min_dims: int = 0, max_dims: int = 3, min_side: int = 0, max_side: int = 5
) -> st.SearchStrategy[tuple[int, ...]]:
    """Shapes of arrays, 0-d and empty ones included; shrinks to ``()``."""
    return st.lists(st.integers(min_side, max_side), min_size=min_dims, max_size=max_dims).map(tuple)


def arrays(
    fmt: Any,
    shape: Shape,
    *,
    spread: str | None = None,
    condition: float = 1e4,
    elements: st.SearchStrategy[float] | None = None,
    signed: bool = True,
) -> st.SearchStrategy[Array]:
    """Arrays of finite values of a format.

    Parameters
    ----------
    fmt : format
    shape : int, tuple, or strategy of tuples
    spread : str, optional
        None: independent `values`. Otherwise arrays that strain sums, shuffled:
        ``exponent``: magnitudes over the format's whole range (as far as their sum stays in it);
        ``cancelling``: opposites that differ in their last bits, so little is left of the sum;
        ``swamping``: one large number and many below half its ulp;
        ``ill_conditioned``: a dot product: two arrays x, y stacked along a new first axis, whose last axes of at
        least 3 elements have ``2 sum |x_k y_k| / |sum x_k y_k|`` within a factor 2 of `condition`.
    condition : float
        Of ``ill_conditioned``; from 8 to what the format's range allows.
    elements : strategy of float, optional
        Instead of `values`; only without a spread.
    signed : bool
        Without a spread, or with ``exponent`` or ``swamping``: also negative numbers.

    Returns
    -------
    strategy of ndarray
        float16 arrays for float16, else float32 or float64.

    Examples
    --------
    >>> import fpsim as fp
    >>> from hypothesis import find
    >>> find(arrays("float16", 3), lambda x: np.isinf(fp.Accumulator("float16").dot(x, x)))
    array([  0.,   0., 256.], dtype=float16)
    """
    if spread is not None and spread not in SPREADS:
        got = f"spread={spread!r}"
        raise ArgumentError(
            expected("arrays", f"a spread of {', '.join(SPREADS)}", got, f"did you mean {nearest(spread, SPREADS, 1)}")
        )
    grid, dtype = grid_of(fmt), dtype_of(fmt)
    sizes = shape if isinstance(shape, st.SearchStrategy) else st.just((shape,) if isinstance(shape, int) else shape)
    if spread == "ill_conditioned":
        _check_condition(grid, condition)
    if elements is None:
        elements = values(fmt, allow_inf=False, allow_nan=False, signed=signed)

    @st.composite
    def build(draw: Draw) -> Array:
        size = tuple(draw(sizes))
        if spread == "ill_conditioned":
            return _ill_conditioned(draw, grid, size, condition).astype(dtype)
        n = math.prod(size)
        if spread is None:
            flat = [draw(elements) for _ in range(n)]
        else:
            flat = _SPREAD[spread](draw, grid, n, signed)
        return np.array(flat, np.float64).astype(dtype).reshape(size)

    return build()


def _shuffled(draw: Draw, x: list[float]) -> list[float]:
    return draw(st.permutations(x)) if x else x


def _exponents(draw: Draw, grid: Grid, n: int, signed: bool) -> list[float]:
    top = floor_log2(grid.max) - max(n, 1).bit_length()
    return [_signed(draw, _number(draw, grid, grid.emin, max(top, grid.emin)), signed) for _ in range(n)]


def _cancelling(draw: Draw, grid: Grid, n: int, signed: bool) -> list[float]:
    """Pairs ``x, -x'`` with x' a few places beside x; of an odd number one is left."""
    top = floor_log2(grid.max) - max(n, 1).bit_length()
    low = max(grid.emin, min(0, top) - grid.p)
    out: list[float] = []
    for _ in range(n // 2):
        x = _number(draw, grid, low, max(top // 2, low))
        beside = x + draw(st.integers(-2, 2)) * two(max(floor_log2(x), grid.emin) - grid.significand_bits)
        out += [float(x), -round_exactly(beside, grid)]
    if n % 2:
        out.append(float(_number(draw, grid, low, max(min(0, top), low))))
    return _shuffled(draw, out)


def _swamping(draw: Draw, grid: Grid, n: int, signed: bool) -> list[float]:
    """One large number, and others below half its last place."""
    if n == 0:
        return []
    top = floor_log2(grid.max) - 1
    e = draw(st.integers(min(max(grid.emin + 2, 0), top), top))
    large = _number(draw, grid, e, e)
    half = floor_log2(large) - grid.significand_bits - 1  # exponent of half an ulp
    low, high = max(half - 3, grid.emin - grid.significand_bits), max(half - 1, grid.emin - grid.significand_bits)
    sign = -1 if signed and draw(st.booleans()) else 1
    return _shuffled(draw, [float(sign * x) for x in [large, *(_number(draw, grid, low, high) for _ in range(n - 1))]])


def _limit_of_condition(grid: Grid) -> float:
    return float(two(min(-2 * grid.emin, 900)))


def _check_condition(grid: Grid, condition: float) -> None:
    if not 8 <= condition <= _limit_of_condition(grid):
        limits = f"a condition from 8 to {_limit_of_condition(grid):g}"
        raise ArgumentError(expected("arrays", limits, f"condition={condition!r}", "or take a wider format"))


def _ill_conditioned(draw: Draw, grid: Grid, size: tuple[int, ...], condition: float) -> Array:
    n = size[-1] if size else 0
    if n < 3:
        got = f"shape={size}"
        raise ArgumentError(expected("arrays", "a last axis of at least 3 for ill_conditioned", got, "make it longer"))
    out = np.empty((2, *size))
    for row in np.ndindex(size[:-1]):
        out[(slice(None), *row)] = np.transpose(_one_dot(draw, grid, n, condition))
    return out


def _one_dot(draw: Draw, grid: Grid, n: int, condition: float) -> list[tuple[float, float]]:
    """Products that cancel in pairs, spelt differently, and one that is left: ``sum |x y| / condition`` in size."""
    pairs: list[tuple[float, float]] = []
    room = min(2, -grid.emin)
    for _ in range((n - 1) // 2):
        x, y = (_number(draw, grid, 0, 0) for _ in range(2))
        shift = draw(st.integers(-room, room)) if x * two(room) <= grid.max and grid.max >= 8 else 0
        if y * two(-shift) > grid.max or not _is_on(y * two(-shift), grid) or not _is_on(x * two(shift), grid):
            shift = 0
        pairs += [(float(x), float(y)), (-float(x * two(shift)), float(y * two(-shift)))]
    left = 2 * sum(abs(Fraction(x) * Fraction(y)) for x, y in pairs) / (Fraction(condition) - 2)  # (it counts too)
    e = floor_log2(left)
    half = max(e // 2, grid.emin)
    rest = [(float(two(half)), float(two(e - half)))]
    if n % 2 == 0:
        rest.append((0.0, draw(st.sampled_from([0.0, 1.0]))))
    return draw(st.permutations(pairs + rest))


def _is_on(x: Fraction, grid: Grid) -> bool:
    below, above = neighbours(x, grid)
    return below == above


_SPREAD = {"exponent": _exponents, "cancelling": _cancelling, "swamping": _swamping}
