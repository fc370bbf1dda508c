"""Assertions about functions: the same bits in any memory layout, and for inputs scaled by a power of two.

Layer 13. Where one fails, the inputs are cut down to the smallest slice that still fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from fpsim.testing.assertions import same_bits
from fpsim.testing.exact import Real, grid_of
from fpsim.testing.failure import Difference, apart, as_reals, elements, format_of, report

__all__ = ["LAYOUTS", "assert_layout_invariant", "assert_scale_invariant"]

Array = np.ndarray[Any, Any]
Slices = tuple[tuple[slice, ...], ...]
#: Of a pair of results: how they differ.
Compare = Callable[[tuple[Array, ...]], list[tuple[tuple[int, ...], Real, Real]]]


def _strided(a: Array) -> Array:
    """Every second place of a larger array, along all axes."""
    wide = np.full([2 * n for n in a.shape], 7, a.dtype)
    view = wide[tuple(slice(None, None, 2) for _ in a.shape)]
    view[...] = a
    return view


def _backwards(a: Array) -> Array:
    """Negative strides."""
    turn = tuple(slice(None, None, -1) for _ in a.shape)
    return np.array(a[turn], order="C")[turn]


def _shifted(a: Array) -> Array:
    """One element behind the start of its memory, so in no vector's place."""
    memory = np.empty(a.size + 1, a.dtype)
    memory[1:] = a.reshape(-1)
    return memory[1:].reshape(a.shape)


#: Arrays of the same elements that lie otherwise in memory.
LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "Fortran order": lambda a: np.array(a, order="F"),
    "every second place": _strided,
    "negative strides": _backwards,
    "shifted by one element": _shifted,
}


def _differences(actual: Array, desired: Array) -> list[tuple[tuple[int, ...], Real, Real]]:
    if actual.shape != desired.shape:
        raise AssertionError(f"expected one shape, got {actual.shape} and {desired.shape}")
    return [(i, d, a) for i, a, d in elements(actual, desired) if not same_bits(a, d)]


# The smallest slice -----------------------------------------------------------------------------------------


def _cuts(low: int, high: int) -> Iterator[tuple[int, int]]:
    """Shorter intervals: halves first, then ever smaller pieces off either end."""
    step = (high - low) // 2
    while step:
        yield low, high - step
        yield low + step, high
        step //= 2


def _axes_of_length(shapes: Iterable[tuple[int, ...]], length: int) -> list[tuple[int, int]]:
    return [(k, axis) for k, shape in enumerate(shapes) for axis, n in enumerate(shape) if n == length]


def smallest_failing(arrays: tuple[Array, ...], compare: Compare) -> Slices:
    """Slices of the inputs, cut as long as the comparison still fails; axes of one length are cut together."""
    at = [[(0, n) for n in a.shape] for a in arrays]

    def slices(at: list[list[tuple[int, int]]]) -> Slices:
        return tuple(tuple(slice(*side) for side in sides) for sides in at)

    def fails(at: list[list[tuple[int, int]]]) -> bool:
        try:
            cut = tuple(np.array(a[s], order="C") for a, s in zip(arrays, slices(at), strict=True))
            return bool(compare(cut))
        except Exception:  # a function need not take every shape
            return False

    def groups() -> Iterator[list[tuple[int, int]]]:
        shapes = [tuple(high - low for low, high in sides) for sides in at]
        for length in sorted({n for shape in shapes for n in shape}, reverse=True):
            together = _axes_of_length(shapes, length)
            yield together
            if len(together) > 1:
                yield from ([one] for one in together)

    progress = True
    while progress:
        progress = False
        for group in groups():
            for low, high in _cuts(*at[group[0][0]][group[0][1]]):
                tried = [list(sides) for sides in at]
                shift = low - at[group[0][0]][group[0][1]][0]
                for k, axis in group:
                    start = at[k][axis][0] + shift
                    tried[k][axis] = (start, start + high - low)
                if fails(tried):
                    at, progress = tried, True
                    break
            if progress:
                break
    return slices(at)


def _spelt(name: str, a: Array, s: tuple[slice, ...]) -> str:
    """``x[0:2, 1:2] = [[...]]``, values where they are few."""
    text = name + (f"[{', '.join(f'{i.start}:{i.stop}' for i in s)}]" if s else "")
    cut = a[s]
    same = cut.size > 1 and (cut == cut.reshape(-1)[0]).all()
    if cut.size <= 8:
        return f"{text} = {cut.tolist()}"
    return f"{text}, all {cut.reshape(-1)[0].item()!r}" if same else text


def _fail(
    op: str,
    invariant: str,
    fn: Callable[..., Any],
    arrays: tuple[Array, ...],
    compare: Compare,
    expected: str,
    fmt: Any,
) -> None:
    """Report the difference on the smallest slices of the inputs."""
    shown = format_of(op, fmt, fn(*arrays), *arrays)
    cut = smallest_failing(arrays, compare)
    small = tuple(np.array(a[s], order="C") for a, s in zip(arrays, cut, strict=True))
    found = compare(small)
    grid = grid_of(shown)
    rows = [
        Difference(i, d, a, "zeros of opposite sign" if a == d else apart(a, d, grid), names=(expected, "got"))
        for i, d, a in found
    ]
    letters = ["x", "y", "z", "w"] if len(arrays) <= 4 else [f"input {k}" for k in range(len(arrays))]
    spelt = [_spelt(name, a, s) for name, a, s in zip(letters, arrays, cut, strict=False)]
    more = ["smallest slices that still fail:", *(f"  {line}" for line in spelt)]
    report(op, invariant, rows, as_reals(fn(*small)).size, shown, more)


def assert_layout_invariant(
    fn: Callable[..., Any], *arrays: Any, fmt: Any = None, layouts: Iterable[str] | None = None
) -> None:
    """Check that a function gives the same bits however its arguments lie in memory.

    Parameters
    ----------
    fn : callable
        Takes the arrays; returns an array, a tensor or a number.
    *arrays : array_like
    fmt : format, optional
        In which bits are shown; that of the result unless given.
    layouts : names, optional
        Of `LAYOUTS`; default all.

    Raises
    ------
    AssertionError
        With the layout, the bits, and the smallest slice of the arguments that still fails.

    Examples
    --------
    >>> import fpsim as fp
    >>> ones = np.ones((3000, 2), np.float16)
    >>> assert_layout_invariant(lambda x: fp.Accumulator("float16").sum(x, axis=0), ones)
    >>> assert_layout_invariant(lambda x: x.sum(axis=0), ones)
    Traceback (most recent call last):
        ...
    AssertionError: assert_layout_invariant: expected the same bits in Fortran order, which fails for 2 of 2 elements.
      index (0,)
        C order  2048.0  0 11010 0000000000
        got      2050.0  0 11010 0000000001
        apart    1 ulp
      index (1,)
        C order  2048.0  0 11010 0000000000
        got      2050.0  0 11010 0000000001
        apart    1 ulp
      smallest slice that holds every failure: [0:2]
      smallest slices that still fail:
        x[0:2050, 0:2], all 1.0
    """
    given = tuple(np.asarray(a) for a in arrays)
    for name in LAYOUTS if layouts is None else layouts:

        def compare(inputs: tuple[Array, ...], name: str = name) -> list[tuple[tuple[int, ...], Real, Real]]:
            plain = as_reals(fn(*(np.array(a, order="C") for a in inputs)))
            return _differences(as_reals(fn(*(LAYOUTS[name](a) if a.ndim else a for a in inputs))), plain)

        if compare(given):
            _fail("assert_layout_invariant", f"the same bits in {name}", fn, given, compare, "C order", fmt)


def assert_scale_invariant(
    fn: Callable[..., Any], *arrays: Any, degree: int = 1, exponents: Iterable[int] = (-1, 1, 4), fmt: Any = None
) -> None:
    """Check that scaling every argument by a power of two scales the result, and changes no bit of its significand.

    Powers of two scale without error, so rounding must commute with them where nothing over- or underflows: the caller
    sees to that.

    Parameters
    ----------
    fn : callable
        Takes the arrays, of float dtype; returns an array, a tensor or a number.
    *arrays : array_like
    degree : int
        ``fn(2**k x) == 2**(k * degree) fn(x)``: 1 for a sum of x, 2 for ``dot(x, y)`` with both scaled, 0 for a ratio.
    exponents : iterable of int
        The k to try.
    fmt : format, optional
        In which bits are shown; that of the result unless given.

    Examples
    --------
    >>> assert_scale_invariant(np.sum, [1.0, 0.1])
    >>> assert_scale_invariant(lambda x: x / (np.sum(x) + 1e-8), [1.0, 3.0], degree=0)
    Traceback (most recent call last):
        ...
    AssertionError: assert_scale_invariant: expected fn(2**-1 * x) = 2**0 * fn(x) to the bit, which fails.
    ...
    """
    given = tuple(np.asarray(a) for a in arrays)
    for k in exponents:
        factor = 2.0**k

        def compare(inputs: tuple[Array, ...], k: int = k, factor: float = factor):
            plain = as_reals(fn(*inputs))
            scaled = as_reals(fn(*((a * a.dtype.type(factor)).astype(a.dtype) for a in inputs)))
            return _differences(scaled, _times_power(plain, k * degree))

        if compare(given):
            what = f"fn(2**{k} * x) = 2**{k * degree} * fn(x) to the bit"
            _fail("assert_scale_invariant", what, fn, given, compare, "expected", fmt)


def _times_power(x: Array, exponent: int) -> Array:
    out = np.empty(x.shape, object)
    for i in np.ndindex(x.shape):
        out[i] = x[i] * Fraction(2) ** exponent if isinstance(x[i], Fraction) else x[i]
    return out
