"""Error bounds of sums and dot products, a priori and running, as fractions; and the assertion that one holds.

Layer 13. Sources: N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed. (2002), sections 3.1, 3.3 and
4.2; C.-P. Jeannerod and S. M. Rump, SIAM J. Matrix Anal. Appl. 34(2), 2013; N. J. Higham and T. Mary, SIAM J. Sci.
Comput. 41(5), 2019.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from fpsim.accumulate import Accumulator
from fpsim.errors import ArgumentError, ShapeError, expected
from fpsim.formats import Format
from fpsim.precision import Precision
from fpsim.testing import exact
from fpsim.testing.exact import Grid, grid_of
from fpsim.testing.exact.grid import floor_log2, two
from fpsim.testing.failure import Difference, apart, as_reals, number, report

__all__ = ["BOUNDS", "assert_within_bound", "error_bound", "gamma", "gamma_sqrt"]

Array = np.ndarray[Any, Any]

#: The bounds by name; None chooses the one of the accumulator's order.
BOUNDS = ("gamma", "n_u", "sqrt", "pairwise", "blocked", "compensated", "exact", "running")

#: What `bound` of an order is, unless another is asked for.
_OF_ORDER = {
    "sequential": "gamma",
    "blas": "gamma",
    "pairwise": "pairwise",
    "blocked": "blocked",
    "kahan": "compensated",
    "exact": "exact",
}


def gamma(n: int, u: Fraction) -> Fraction:
    """``gamma_n = n u / (1 - n u)``, for ``n u < 1``.

    >>> gamma(10, Fraction(1, 2**11))
    Fraction(5, 1019)
    """
    if n * u >= 1:
        got = f"n={n}, u={number(u)}"
        raise ArgumentError(expected("gamma", "n u < 1", got, 'use bound="n_u", which holds for every n'))
    return n * u / (1 - n * u)


def gamma_sqrt(n: int, u: Fraction, lam: float = 6.0) -> Fraction:
    """``exp(lam sqrt(n) u + n u**2 / (1 - u)) - 1``: holds with probability ``1 - 2 n exp(-lam**2 (1 - u)**2 / 2)``.

    If rounding errors behave as independent random numbers of mean zero (Higham and Mary, 2019, theorem 2.4).
    """
    return Fraction(math.expm1(lam * math.sqrt(n) * float(u) + n * float(u) ** 2 / (1 - float(u))) * (1 + 1e-12))


@dataclass(frozen=True)
class _Sum:
    """One sum: its exact terms, how it is accumulated, and how often a term is rounded on its way."""

    terms: list[Fraction]
    grid: Grid
    order: str
    fma: bool
    mode: str
    saturate: bool

    @property
    def nearest(self) -> bool:
        return self.mode in ("nearest_even", "nearest_away")

    @property
    def u(self) -> Fraction:
        """The largest relative error of a rounding: eps in the directed modes and the stochastic one."""
        return self.grid.unit_roundoff * (1 if self.nearest else 2)

    @property
    def eta(self) -> Fraction:
        """The largest error of a rounding to a subnormal number."""
        return self.grid.quantum / (2 if self.nearest else 1)

    @property
    def size(self) -> Fraction:
        """``sum |terms|``."""
        return sum(map(abs, self.terms), Fraction(0))

    @property
    def rounds_terms(self) -> bool:
        if self.order == "exact" or self.fma:
            return False
        return any(exact.round(t, self.grid, "toward_zero", True) != t for t in self.terms)

    def depth(self, bound: str) -> int:
        """Additions that a term goes through, at most (the first, to +0, is exact), and its own rounding."""
        n = max(len(self.terms), 1)
        additions = n - 1
        if bound == "pairwise":
            additions = (n - 1).bit_length()
        elif bound == "blocked":
            block = int(self.order.partition(":")[2])
            additions = min(block, n) - 1 + -(-n // block) - 1
        return additions + (self.fma or self.rounds_terms)


def _relative(s: _Sum, bound: str, lam: float) -> Fraction:
    """The factor of ``sum |terms|``."""
    depth = s.depth(bound)
    if bound == "n_u":
        if not s.nearest:
            got = f"rounding={s.mode!r}"
            raise ArgumentError(expected("error_bound", "rounding to nearest for n_u", got, 'use bound="gamma"'))
        return depth * s.u
    return gamma_sqrt(depth, s.u, lam) if bound == "sqrt" else gamma(depth, s.u)


def _up(x: Fraction) -> Fraction:
    """A number a little above `x`, of few digits, so that a long recursion stays quick."""
    if not x:
        return x
    step = two(floor_log2(x) - 80)
    return -(-x // step) * step


def _compensated(s: _Sum) -> Fraction:
    """Kahan's sum, by induction over its steps ``y = p - c, t = s + y, d = t - s, c = d - y``, each rounded.

    Exactly, ``s_k - c_k = s_(k-1) - c_(k-1) + p_k`` but for the errors of y, d and c: at most u times each of them.
    So ``|error| <= |c_n| + u sum (|y_k| + |d_k| + |c_k|)``, which is ``3 u sum |p|`` to first order. The sizes are
    bounded by those of the terms, step by step.
    """
    u = s.u
    total = c = error = Fraction(0)
    for term in s.terms:
        p = abs(term) * (1 + u) + s.eta
        y = (1 + u) * (p + c)
        total = _up((1 + u) * (total + y))
        d = (1 + u) * (y + u * total)
        c = _up((1 + u) * u * (total + y + u * total))
        error = _up(error + u * (y + d + c))
    return error + c + s.rounds_terms * (u * s.size + len(s.terms) * s.eta)


def _running(s: _Sum) -> Fraction:
    """``u sum |result|`` over the roundings that really happen (Higham, section 3.3)."""
    results: list[tuple[str, float]] = []
    exact.accumulate(
        s.terms, s.grid, s.order, s.fma, s.mode, s.saturate, watch=lambda what, value: results.append((what, value))
    )
    if not all(math.isfinite(value) for _, value in results):
        return two(3000)
    terms = [value for what, value in results if what == "term"]
    bound = len(terms) * s.eta * s.rounds_terms + (len(s.terms) * s.eta if s.fma else 0)
    if s.order != "kahan":
        return bound + s.u * sum((abs(Fraction(v)) for _, v in results), Fraction(0))
    inner = sum((abs(Fraction(v)) for what, v in results if what != "sum"), Fraction(0))
    last = abs(Fraction(results[-1][1])) if results else Fraction(0)
    return bound + s.u * inner + last


def _bound_of(s: _Sum, bound: str | None, lam: float) -> tuple[Fraction, str]:
    """The bound and the name it goes by."""
    if not s.terms:
        return Fraction(0), "0, there are no terms"
    default = bound is None
    if bound is None:
        bound = _OF_ORDER[s.order.partition(":")[0]]
    if bound not in BOUNDS:
        raise ArgumentError(
            expected("error_bound", f"a bound of {', '.join(BOUNDS)}", f"bound={bound!r}", "choose one")
        )
    if bound == "blocked" and not s.order.startswith("blocked:"):
        raise ArgumentError(
            expected("error_bound", "a blocked order for that bound", f"order={s.order!r}", "use order='blocked:64'")
        )
    if bound == "running":
        return _running(s), "the running bound, u * sum |every rounded result|"
    if bound == "compensated":
        return _compensated(s), "the compensated bound, 3 u * sum |terms| to first order"
    if bound == "exact":
        total = abs(sum(s.terms, Fraction(0)))
        return max(s.u * total, s.eta), "half an ulp" if s.nearest else "an ulp"
    if default and s.nearest and s.depth(bound) * s.u >= 1:
        bound = "n_u"
    depth, underflow = s.depth(bound), (s.fma or s.rounds_terms) * len(s.terms) * s.eta
    relative = _relative(s, bound, lam)
    name = {"n_u": f"{depth} u", "sqrt": f"gamma_{depth}({lam:g})"}.get(bound, f"gamma_{depth}")
    return relative * s.size + (1 + relative) * underflow, f"{name} * sum |terms|" + " + underflow" * bool(underflow)


# Arrays -----------------------------------------------------------------------------------------------------


def _how(accumulator: Any) -> tuple[Accumulator, Precision | None]:
    """The accumulator, and the precision in which its result is stored where that rounds again."""
    if isinstance(accumulator, Accumulator):
        return accumulator, None
    precision = Precision.parse(accumulator)
    plain = precision.storage == precision.accumulate
    return precision.accumulator(), None if plain else precision


def _rows(op: str, x: Any, y: Any, axis: Any) -> tuple[Iterator[tuple[tuple[int, ...], list[Any]]], tuple[int, ...]]:
    """For every result its index and its exact terms; the shape of the results."""
    from fpsim.testing.exact.sums import _along

    xs = as_reals(x)
    if y is None:
        rows, shape = _along(xs, axis)
        return ((i, list(row)) for i, row in zip(np.ndindex(shape), rows, strict=True)), shape
    ys = as_reals(y)
    one_row, one_column = xs.ndim == 1, ys.ndim == 1
    left, right = (xs[None, :] if one_row else xs), (ys[:, None] if one_column else ys)
    if min(left.ndim, right.ndim) < 2 or left.shape[-1] != right.shape[-2]:
        got = f"x.shape={xs.shape}, y.shape={ys.shape}"
        raise ShapeError(expected(op, "inner sizes that agree", got, "transpose one of them"))
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    left, right = (np.broadcast_to(v, (*batch, *v.shape[-2:])) for v in (left, right))
    shape = batch + (() if one_row else left.shape[-2:-1]) + (() if one_column else right.shape[-1:])

    def products() -> Iterator[tuple[tuple[int, ...], list[Any]]]:
        places = np.ndindex(*batch, left.shape[-2], right.shape[-1])
        for index, (*b, i, j) in zip(np.ndindex(shape), places, strict=True):
            pairs = zip(left[(*b, i)], right[(*b, slice(None), j)], strict=True)
            yield index, [exact.product(p, q) for p, q in pairs]

    return products(), shape


def _summed(op: str, terms: list[Any], acc: Accumulator) -> _Sum:
    if not all(math.isfinite(t) for t in terms):
        raise ArgumentError(expected(op, "finite inputs", "inf or nan among them", "bounds say nothing about those"))
    order = "sequential" if acc.order in (None, "blas") else str(acc.order)
    if order.partition(":")[0] not in _OF_ORDER or "@" in order:
        raise ArgumentError(expected(op, "an order with a proven bound", f"order={order!r}", "use another one"))
    numbers = [Fraction(t) for t in terms]
    return _Sum(numbers, grid_of(acc.format), order, acc.fma, acc.rounding, acc.saturate)


def error_bound(
    x: Any, y: Any = None, accumulator: Any = "float32", *, bound: str | None = None, axis: Any = None, lam: float = 6.0
) -> Any:
    """The bound that `assert_within_bound` holds results against: a fraction, or an object array of them.

    >>> float(error_bound([1.0, 2.0, 3.0], None, "float16")) == float(gamma(2, Fraction(1, 2**11)) * 6)
    True
    """
    acc, _ = _how(accumulator)
    rows, shape = _rows("error_bound", x, y, axis)
    out = np.empty(shape, object)
    for index, terms in rows:
        out[index] = _bound_of(_summed("error_bound", terms, acc), bound, lam)[0]
    return out[()]


def assert_within_bound(
    actual: Any,
    x: Any,
    y: Any = None,
    accumulator: Any = "float32",
    *,
    bound: str | None = None,
    axis: int | tuple[int, ...] | None = None,
    lam: float = 6.0,
) -> None:
    """Check that sums of `x`, or products of `x` and `y`, are within the error that their accumulator may make.

    Parameters
    ----------
    actual : tensor, array or number
        The results: ``sum(x, axis)`` where `y` is None, else ``x @ y``.
    x, y : tensors or arrays of finite numbers
    accumulator : `fp.Accumulator`, precision, format or name
        ``"float16/float32"`` accumulates in float32 and stores in float16: that rounding is allowed for.
    bound : str, optional
        A priori, from n and the sizes of the terms alone: ``gamma`` (n additions in any order), ``n_u`` (the same
        without second-order terms, for any n; to nearest only), ``pairwise``, ``blocked``, ``compensated``,
        ``exact``; ``sqrt`` (with a probability, see `gamma_sqrt`). ``running``: from the partial sums that the
        accumulator really has. None: that of the accumulator's order (``gamma`` for blas), and ``n_u`` where
        ``n u >= 1``.
    axis : optional
        Of a sum.
    lam : float
        Of ``sqrt``.

    Raises
    ------
    AssertionError
        With the error, the bound, and how many times too large the error is. A result that is infinite or NaN though
        no partial sum can have overflowed fails too.

    Examples
    --------
    >>> import numpy as np, fpsim as fp
    >>> x = np.full(4096, 1.0)
    >>> assert_within_bound(fp.Accumulator("float16").sum(x), x, None, "float16")
    >>> assert_within_bound(2048.0, x, None, fp.Accumulator("float16", "pairwise"))
    Traceback (most recent call last):
        ...
    AssertionError: assert_within_bound: expected an error within the bound for float16, pairwise, which fails.
      expected  4096.0  0 11011 0000000000
      got       2048.0  0 11010 0000000000
      apart     512 ulps
      error     2048.0
      bound     24.141453831041257367... = gamma_12 * sum |terms|
      exceeded  84.8333 times
    """
    acc, stored = _how(accumulator)
    results = as_reals(actual)
    rows, shape = _rows("assert_within_bound", x, y, axis)
    if results.shape != shape:
        got = f"actual.shape={results.shape} for results of shape {shape}"
        raise ShapeError(expected("assert_within_bound", "one result for each sum", got, "check axis"))
    fmt = acc.format if stored is None else stored.storage
    wrong = []
    for index, terms in rows:
        s = _summed("assert_within_bound", terms, acc)
        most, name = _bound_of(s, bound, lam)
        total = sum(s.terms, Fraction(0))
        if stored is not None:
            most, name = most + _storage_error(abs(total) + most, stored), f"{name} + storage"
        one = _failure(index, results[index], total, most, name, s, fmt)
        if one is not None:
            wrong.append(one)
    if wrong:
        what = f"an error within the bound for {acc.format.name}, {acc.order or 'sequential'}"
        report("assert_within_bound", what, wrong, results.size, fmt)


def _storage_error(size: Fraction, stored: Precision) -> Fraction:
    grid = grid_of(stored.storage)
    nearest = stored.rounding in ("nearest_even", "nearest_away")
    flush = two(grid.emin) if stored.flush_subnormals else Fraction(0)
    return max(size * grid.unit_roundoff, grid.quantum / 2, flush / 2) * (1 if nearest and not flush else 2)


def _failure(
    index: tuple[int, ...], got: Any, total: Fraction, most: Fraction, name: str, s: _Sum, fmt: Format
) -> Difference | None:
    grid = grid_of(fmt)
    if not math.isfinite(got):
        # twice: a step may move a partial sum by its own rounding
        if 2 * s.size + most > min(s.grid.max, grid.max):
            return None
        more: tuple[tuple[str, str], ...] = (("bound", f"no partial sum can overflow: sum |terms| = {number(s.size)}"),)
        return Difference(index, total, got, apart(got, total, grid), more=more)
    error = abs(Fraction(got) - total)
    at_the_end = abs(got) in (grid.max, s.grid.max)  # saturated, or rounded inward
    if error <= most or (at_the_end and 2 * s.size + most > min(s.grid.max, grid.max)):
        return None
    more = (
        ("error", number(error)),
        ("bound", f"{number(most)} = {name}"),
        ("exceeded", f"{float(error / most):.6g} times" if most else "it must be exact"),
    )
    return Difference(index, total, got, apart(got, total, grid), more=more)
