"""Sums in exact arithmetic: of terms, of products, of matrices, of powers; and the orders of summation, literally.

Layer 13. An oracle: written from the documented semantics. It must not use the accumulators that it judges.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np

from fpsim.errors import ArgumentError, ShapeError, expected
from fpsim.testing.exact.grid import Real, grid_of, real, round_real

__all__ = ["accumulate", "add", "dot", "matmul", "mean", "polynomial", "product", "sum", "variance"]

Array = np.ndarray[Any, Any]


def product(x: Any, y: Any) -> Real:
    """``x * y`` exactly; IEEE 754's rules for zeros, infinities and NaN.

    >>> product(0.5, 3.0), product(0.0, -2.0)
    (Fraction(3, 2), -0.0)
    """
    x, y = real(x), real(y)
    if math.isfinite(x) and math.isfinite(y) and x and y:
        return Fraction(x) * Fraction(y)
    return _sign_or_special(x) * _sign_or_special(y)


def _sign_or_special(x: Real) -> float:
    """Beside a zero, an infinity or a NaN the size of a number does not count."""
    return x if isinstance(x, float) else math.copysign(1.0, x)


def add(x: Any, y: Any, mode: str = "nearest_even") -> Real:
    """``x + y`` exactly; an exact zero from opposite signs is +0, in mode ``down`` -0."""
    x, y = real(x), real(y)
    specials = [v for v in (x, y) if isinstance(v, float) and not math.isfinite(v)]
    if specials:
        return math.fsum(specials) if len({*specials}) == 1 else math.nan
    if total := Fraction(x) + Fraction(y):
        return total
    if math.copysign(1, x) == math.copysign(1, y):
        return math.copysign(0.0, x)
    return -0.0 if mode == "down" else 0.0


def _total(terms: Iterable[Real]) -> Real:
    """The exact sum: a fraction, or the infinity or NaN that the terms force."""
    total, special = Fraction(0), 0.0
    for term in terms:
        if isinstance(term, float) and not math.isfinite(term):
            special += term
        else:
            total += Fraction(term)
    return total if special == 0 else special


def _along(x: Any, axis: int | tuple[int, ...] | None) -> tuple[Array, tuple[int, ...]]:
    """Rows of the elements to be reduced, in C order, and the shape of what stays."""
    x = np.asarray(x)
    axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = tuple(sorted(i % x.ndim for i in axes))
    kept = tuple(i for i in range(x.ndim) if i not in axes)
    shape = tuple(x.shape[i] for i in kept)
    return x.transpose(kept + axes).reshape(math.prod(shape), -1 if x.size else 0), shape


def _each_row(function: Callable[[list[Real]], Real], x: Any, axis: int | tuple[int, ...] | None) -> Any:
    rows, shape = _along(x, axis)
    out = np.empty(len(rows), object)
    for i, row in enumerate(rows):
        out[i] = function([real(v) for v in row])
    return out.reshape(shape) if shape else out[0]


def sum(x: Any, axis: int | tuple[int, ...] | None = None) -> Any:
    """``sum_k x_k``, exactly.

    Parameters
    ----------
    x : array_like of floats, integers or fractions
    axis : int or tuple, optional
        Default: all.

    Returns
    -------
    Fraction (a float where it is infinite or NaN), or an object array of them

    Examples
    --------
    >>> sum([1.0, 2.0**-60, -1.0]) == Fraction(1, 2**60)
    True
    """
    return _each_row(_total, x, axis)


def mean(x: Any, axis: int | tuple[int, ...] | None = None) -> Any:
    """``sum_k x_k / n``, exactly.

    >>> mean([1.0, 2.0])
    Fraction(3, 2)
    """
    return _each_row(lambda row: _total(row) / len(row), x, axis)


def variance(x: Any, axis: int | tuple[int, ...] | None = None, correction: int = 0) -> Any:
    """``sum_k (x_k - mean)**2 / (n - correction)`` of finite numbers, exactly.

    >>> variance([1.0, 2.0, 3.0])
    Fraction(2, 3)
    """

    def of(row: list[Real]) -> Real:
        middle = _total(row) / len(row)
        return _total((Fraction(v) - Fraction(middle)) ** 2 for v in row) / (len(row) - correction)

    return _each_row(of, x, axis)


def dot(x: Any, y: Any) -> Real:
    """``sum_k x_k * y_k`` of two sequences of one length, exactly.

    >>> dot([1.0, 2.0**30], [3.0, 2.0**30])
    Fraction(1152921504606846979, 1)
    """
    xs, ys = (np.asarray(v) for v in (x, y))
    if xs.shape != ys.shape or xs.ndim != 1:
        got = f"x.shape={xs.shape}, y.shape={ys.shape}"
        raise ShapeError(expected("exact.dot", "two sequences of one length", got, "use exact.matmul for matrices"))
    return _total(product(a, b) for a, b in zip(xs, ys, strict=True))


def matmul(x: Any, y: Any) -> Any:
    """``out[..., i, j] = sum_k x[..., i, k] * y[..., k, j]``, exactly; batched and broadcast as `np.matmul` does.

    Returns an object array of fractions (floats where infinite or NaN).

    >>> matmul([[1.0, 2.0]], [[0.5], [0.25]])
    array([[Fraction(1, 1)]], dtype=object)
    """
    xs, ys = (np.asarray(v) for v in (x, y))
    one_row, one_column = xs.ndim == 1, ys.ndim == 1
    xs, ys = (xs[None, :] if one_row else xs), (ys[:, None] if one_column else ys)
    if xs.ndim < 2 or ys.ndim < 2 or xs.shape[-1] != ys.shape[-2]:
        got = f"x.shape={np.shape(x)}, y.shape={np.shape(y)}"
        raise ShapeError(expected("exact.matmul", "inner sizes that agree", got, "transpose one of them"))
    batch = np.broadcast_shapes(xs.shape[:-2], ys.shape[:-2])
    xs, ys = (np.broadcast_to(v, (*batch, *v.shape[-2:])) for v in (xs, ys))
    out = np.empty((*batch, xs.shape[-2], ys.shape[-1]), object)
    for place in np.ndindex(out.shape):
        *b, i, j = place
        out[place] = dot(xs[(*b, i)], ys[(*b, slice(None), j)])
    out = out[..., 0, :] if one_row else out
    return (out[..., 0] if one_column else out)[()]


def polynomial(coefficients: Any, x: Any) -> Real:
    """``sum_k coefficients[k] * x**k`` (constant term first) at a finite number, exactly.

    >>> polynomial([1, 0, 1], 0.5)
    Fraction(5, 4)
    """
    at = Fraction(real(x))
    return reduce(lambda value, c: value * at + Fraction(real(c)), reversed(list(coefficients)), Fraction(0))


def accumulate(
    terms: Iterable[Any],
    fmt: Any,
    order: str = "sequential",
    fma: bool = False,
    mode: str = "nearest_even",
    saturate: bool = False,
    watch: Callable[[str, float], None] | None = None,
) -> float:
    """The sum of exact terms as an accumulator of a format makes it, rounded at each step.

    Parameters
    ----------
    terms : iterable of numbers
        Of a dot product: its exact products, ``[exact.product(a, b) for a, b in zip(x, y)]``.
    fmt : format
    order : str
        ``sequential pairwise blocked:B blocked:B@FORMAT kahan exact``, as documented for `fp.Accumulator`.
    fma : bool
        The terms are products that are not rounded on their own.
    watch : callable, optional
        Told of every rounding and its result: ``term`` or ``sum``, or ``difference`` inside `kahan`.

    Examples
    --------
    >>> accumulate([2048.0, 1.0, 1.0], "float16"), accumulate([2048.0, 1.0, 1.0], "float16", "kahan")
    (2048.0, 2050.0)
    """
    grid = grid_of(fmt)
    numbers = [real(t) for t in terms]

    def rounded(x: Real, what: str) -> float:
        value = round_real(x, grid, mode, saturate)
        if watch is not None:
            watch(what, value)
        return value

    def plus(s: float, p: Real) -> float:
        # A zero changes no sum: one of -0 alone stays +0, also `down`, where IEEE 754 has +0 + -0 = -0.
        return s if mode == "down" and p == 0 else rounded(add(s, p, mode), "sum")

    def minus(x: float, y: float) -> float:
        return rounded(add(x, -y, mode), "difference")

    if order == "exact":
        return rounded(_total(numbers), "sum")
    name, _, size = order.partition("@")[0].partition(":")
    length = int(size) if name == "blocked" and size.isdecimal() else 0
    if length and "@" in order:
        blocks = (numbers[i : i + length] for i in range(0, len(numbers), length))
        sums = [accumulate(b, order.partition("@")[2], "sequential", fma, mode, saturate, watch) for b in blocks]
        return float(reduce(plus, [rounded(real(t), "term") for t in sums], 0.0))
    if not fma:
        numbers = [rounded(t, "term") for t in numbers]
    if order == "sequential":
        return float(reduce(plus, numbers, 0.0))
    if order == "pairwise":
        return _pairwise([float(t) for t in numbers], plus)
    if order == "kahan":
        return _kahan([float(t) for t in numbers], plus, minus)
    if not length:
        choices = "sequential, pairwise, blocked:B, blocked:B@FORMAT, kahan, exact"
        raise ArgumentError(expected("exact.accumulate", f"an order of {choices}", f"order={order!r}", "choose one"))
    starts = range(0, len(numbers), length)
    return float(reduce(plus, [reduce(plus, numbers[i : i + length], 0.0) for i in starts], 0.0))


Step = Callable[[float, float], float]


def _pairwise(terms: list[float], plus: Step) -> float:
    if not terms:
        return 0.0
    if len(terms) == 1:
        return terms[0]
    half = len(terms) // 2
    return plus(_pairwise(terms[:half], plus), _pairwise(terms[half:], plus))


def _kahan(terms: list[float], plus: Step, minus: Step) -> float:
    s = c = 0.0
    for p in terms:
        y = minus(p, c)
        t = plus(s, y)
        c = minus(minus(t, s), y)
        s = t
    return s
