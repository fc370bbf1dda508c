"""`Accumulator`: how sums, dot products and matrix products are accumulated, as the user says it.

Layer 2. Brings axes, batches and memory layouts into the form that `orders` loops over; rounds nothing itself.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fpsim.accumulate import compiled, orders
from fpsim.accumulate.exact import exact_matmul, exact_sum
from fpsim.accumulate.orders import Arithmetic, Terms
from fpsim.accumulate.promoted import Promoted
from fpsim.accumulate.tensor_core import TensorCore
from fpsim.errors import ArgumentError, ArgumentTypeError, FormatError, PrecisionError, ShapeError, expected
from fpsim.formats import Format, bfloat16, float32, float64
from fpsim.kernels.threads import in_parallel, threads
from fpsim.rounding.codes import as_array, as_floats, checked_mode, draw_key
from fpsim.rounding.kernel import Array, is_rounded
from fpsim.rounding.quiet import quiet
from fpsim.rounding.wide import Wide
from fpsim.rounding.work import Work, is_small, run, sum_to_odd, work_for

__all__ = ["ORDERS", "Accumulator", "parse_order"]

ORDERS = ("blas", "sequential", "pairwise", "blocked:B", "blocked:B@FORMAT", "kahan", "exact", "tensor_core")

#: Independent sums that advance together: one tile of float32 sums, its terms and its magic numbers share the cache.
TILE = 1 << 16
#: Sums enough for a core of its own: with fewer, threads spend their time on handing over Python's lock.
SHARED = 1 << 14
#: Terms that the pairwise order holds at once.
HELD = 1 << 20


@dataclass(frozen=True)
class Accumulator:
    """A running sum of a given format: what it holds, in which order it adds, how it rounds.

    Parameters
    ----------
    format : format
        Every partial sum is a value of it.
    order : str, optional
        ``blas sequential pairwise blocked:B blocked:B@FORMAT kahan exact tensor_core``. None: ``blas`` for a float32
        or float64 accumulator that holds its inputs and rounds to nearest even, else ``sequential``. In
        ``blocked:128@e8m13`` blocks of 128 are summed in the format e8m13, their sums in `format`.
    fma : bool
        ``s = round(x * y + s)``, the product not rounded on its own (``sequential`` and ``blocked`` only).
    rounding : str
        A rounding mode; ``stochastic`` needs `rng`.
    saturate : bool
        Overflow gives the largest finite number.
    rng : np.random.Generator, optional

    Notes
    -----
    Precision: in a sum the terms are rounded to the format, in a product each ``x * y`` is rounded once from its
    exact value, each addition once. Every order but ``blas`` gives the same bits on every machine, for every memory
    layout and number of threads. ``exact`` rounds the real sum once (Kulisch).

    Examples
    --------
    >>> import numpy as np, fpsim as fp
    >>> ones = np.ones(10_000)
    >>> float(fp.Accumulator("float16").sum(ones)), float(fp.Accumulator("float16", "blocked:64").sum(ones))
    (2048.0, 10000.0)
    """

    format: Format
    order: str | None = None
    fma: bool = False
    rounding: str = "nearest_even"
    saturate: bool = False
    rng: np.random.Generator | None = None
    #: The formats of the inputs, where the caller knows them; else the arrays are looked at.
    inputs: tuple[Format, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "format", Format(self.format))
        checked_mode("Accumulator", self.rounding, self.rng, needs_rng=False)
        if self.format.specials == "scale":
            raise FormatError(
                expected(
                    "Accumulator", "a format with arithmetic", f"format={self.format.name}", "it codes scales only"
                )
            )
        name, _ = parse_order(self.order)
        if self.fma and name not in (None, "sequential", "blocked"):
            got = f"order={self.order!r} with fma=True"
            raise ArgumentError(expected("Accumulator", "order sequential or blocked:B with fma", got, "leave one out"))
        if "@" in (self.order or "") and self.rounding == "stochastic":
            got = f"order={self.order!r}"
            invariant = "an order of one format for stochastic rounding"
            raise ArgumentError(expected("Accumulator", invariant, got, "use blocked:B, or another rounding"))
        if name == "tensor_core" and (self.format.p > 24 or self.rounding != "nearest_even"):
            got = f"format={self.format.name}, rounding={self.rounding!r}"
            invariant = "an accumulator of at most float32's precision, without a rounding mode, for order tensor_core"
            raise PrecisionError(expected("Accumulator", invariant, got, "use float32 and leave the rounding out"))
        if name == "blas" and not self._rounds_like_blas:
            got = f"format={self.format.name}, rounding={self.rounding!r}, saturate={self.saturate}"
            invariant = "a float32 or float64 accumulator that rounds to nearest even for order blas"
            raise PrecisionError(expected("Accumulator", invariant, got, "use order='sequential'"))

    @functools.cached_property
    def _rounds_like_blas(self) -> bool:
        plain = self.rounding == "nearest_even" and not self.saturate and not self.fma
        return self.format in (float32, float64) and plain

    @functools.cached_property
    def _holds_inputs(self) -> bool:
        return self.inputs is not None and all(self.format.holds(f) for f in self.inputs)

    # What a user calls ----------------------------------------------------------------------------------------------

    def sum(self, x: Any, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Any:
        """``sum_k x_k`` over `axis` (default: all), one joint sum in C order of the summed axes, taken ascending.

        Returns an array of the accumulator's values, float32 or float64, or a scalar.
        """
        (x,) = self._arrays("sum", x)
        axes = _axes("sum", axis, x.ndim)
        order = self._order("sum", x)
        if order == "blas":
            with quiet():
                return np.sum(x.astype(self.format.carrier, copy=False), axis=axes, keepdims=keepdims)
        kept = tuple(i for i in range(x.ndim) if i not in axes)
        kept_shape = tuple(x.shape[i] for i in kept)
        length = math.prod(x.shape[i] for i in axes)
        terms = x.transpose(axes + kept).reshape(length, math.prod(kept_shape))
        total = self._reduce_terms(terms, order).reshape(kept_shape)
        return (np.expand_dims(total, axes) if keepdims else total)[()]

    def dot(self, x: Any, y: Any) -> Any:
        """``sum_k x_k * y_k`` of two 1-D arrays."""
        x, y = as_array("dot", x), as_array("dot", y)
        if x.ndim != 1 or y.shape != x.shape:
            got = f"x.shape={x.shape}, y.shape={y.shape}"
            raise ShapeError(expected("dot", "two 1-D arrays of one length", got, "use matmul for matrices"))
        return self.matmul(x, y)

    def matmul(self, x: Any, y: Any) -> Any:
        """``out[..., i, j] = sum_k x[..., i, k] * y[..., k, j]``, batched and broadcast as `np.matmul` does."""
        x, y = self._arrays("matmul", x, y)
        one_row, one_column = x.ndim == 1, y.ndim == 1
        _check_matmul(x, y)
        x, y = (x[None, :] if one_row else x), (y[:, None] if one_column else y)
        order = self._order("matmul", x, y)
        if order == "blas":
            with quiet():
                out = np.matmul(*(a.astype(self.format.carrier, copy=False) for a in (x, y)))
        else:
            out = self._matmul(x, y, order)
        if one_row:
            out = out[..., 0, :]
        return (out[..., 0] if one_column else out)[()]

    def step(self, operation: np.ufunc, *arrays: Any, into: Array | None = None) -> Array:
        """One elementary step of a longer formula, rounded once to the accumulator's format.

        `into` is an array of the result's shape that may be overwritten, an operand whose values end here.
        """
        a = self._arithmetic()
        elementary = operation in (np.add, np.subtract, np.multiply, np.divide, np.sqrt, np.square)
        # (the last bit of a function may depend on how the numbers lie in memory)
        floats = [np.asarray(x, order=None if elementary else "C") for x in arrays]
        formats = [self._format_in_step(x) for x in floats]
        work = work_for("elementary" if elementary else "function", self.format, formats, self.rounding)
        if work is Wide and operation is np.add and self.format == float32 and self.rounding == "nearest_even":
            return a.round(sum_to_odd(*floats))  # the same, in fewer steps: eps beside a variance
        if into is None or work is Wide or into.dtype != work:
            return a.round(run(work, operation, *floats))
        into = run(work, operation, *floats, out=into)
        return a.round(into, out=into if into.dtype == self.format.carrier and into.flags.c_contiguous else None)

    def _format_in_step(self, x: Array) -> Format:
        """What describes an operand: an input or a partial result, or a hyperparameter or count in float64."""
        if x.ndim and x.dtype == self.format.carrier:
            return self.format if self._holds_inputs else Format(x.dtype)
        lies_on = is_rounded(x, self.format) if x.ndim else _is_value(float(x), self.format)
        return self.format if lies_on else Format(x.dtype)

    def round(self, x: Any) -> Array:
        """`x` rounded to the accumulator's format."""
        (x,) = self._arrays("round", x)
        return self._arithmetic().round(x)

    def order_for(self, *arrays: Array) -> str:
        """The order by name that these inputs are summed in; refuses `blas` where the accumulator is too narrow."""
        return self._order("sum", *arrays)

    # How it is carried out ------------------------------------------------------------------------------------------

    def _arrays(self, op: str, *arrays: Any) -> tuple[Array, ...]:
        floats = (as_floats(op, x) for x in arrays)
        # a long double or a large integer is not a value of any format here: its float64 neighbour is
        return tuple(x.value() if isinstance(x, Wide) else x for x in floats)

    def _formats(self, *arrays: Array) -> tuple[Format, ...]:
        """The narrowest description known of the inputs: told, or the accumulator's format where values lie on it."""
        if self.inputs is not None:
            return self.inputs
        formats = []
        for x in arrays:
            own = Format(x.dtype)
            if not self.format.holds(own) and is_rounded(x, self.format):
                own = self.format
            formats.append(own)
        return tuple(formats)

    def _order(self, op: str, *arrays: Array) -> str:
        """The order by name, None resolved for these inputs; `blas` refused where the accumulator is too narrow."""
        if self.order is not None and self.order != "blas":
            return self.order
        formats = self.inputs or tuple(Format(x.dtype) for x in arrays)
        fits = self._rounds_like_blas and (self._holds_inputs or all(self.format.holds(f) for f in formats))
        if self.order == "blas" and not fits:
            got = f"inputs of {', '.join(f.name for f in formats)} for {self.format.name}"
            raise PrecisionError(
                expected(op, "an accumulator that holds its inputs for order blas", got, "use order='sequential'")
            )
        return "blas" if fits else "sequential"

    def _arithmetic(self, bounded: bool = False) -> Arithmetic:
        key = 0
        if self.rounding == "stochastic":
            checked_mode("Accumulator", self.rounding, self.rng)
            assert self.rng is not None
            key = draw_key(self.rng)
        return Arithmetic(self.format, self.rounding, self.saturate, key, bounded)

    def _reduce_terms(self, x: Array, order: str) -> Array:
        """``sum_k x[k, r]`` for an array of shape (length, R)."""
        length, width = x.shape
        a = self._arithmetic()
        if order == "exact":
            return a.round(exact_sum(x))
        if order.startswith("tensor_core"):
            return TensorCore.parse(order).sum(x, a)
        if "@" in order:
            inner, zeros = self._of_blocks(order), np.zeros(width, self.format.carrier)
            part = functools.partial(_sum_of_terms, inner, x)
            with quiet():
                return Promoted.parse(order).total(length, zeros, part, a)
        kernels = compiled.kernels_for(self.rounding, order, length, width)
        if kernels is not None:
            ones = np.ones((1, length), np.float32)  # whose products with the terms are the terms
            work = np.result_type(x.dtype, self.format.carrier).type
            way = compiled.way_for(kernels, a, False, work, ones, x, order, length)
            if way is not None:
                return compiled.matmul(kernels, way, ones, x, self.format, parse_order(order), 0)[0]
        first = None if self.rounding != "stochastic" else np.arange(width, dtype=np.uint64) * np.uint64(2 * length)
        place = None if first is None else first + 2 * np.arange(length, dtype=np.uint64)[:, None]
        rounded = a.round(x, place)
        if order == "sequential" and a.exact_in_carrier and width < 64:
            return _native_sequential(rounded)
        if order == "sequential" and self.format == Format("float16") and not self.saturate and width < 64:
            if self.rounding == "nearest_even":  # NumPy's own half addition is correctly rounded, one step at a time
                return _native_sequential(rounded.astype(np.float16)).astype(np.float32)
        terms = Terms(length, (width,), lambda k: rounded[k], lambda k: Wide.of(x[k]), first)
        with quiet():
            return self._by_order(terms, a, order, fma=False)  # a sum has no products

    def _by_order(self, terms: Terms, a: Arithmetic, order: str, fma: bool) -> Array:
        name, block = parse_order(order)
        if name == "pairwise":
            return orders.pairwise(terms, a)
        if name == "kahan":
            return orders.kahan(terms, a)
        if name == "blocked":
            return orders.blocked(terms, a, fma, block)
        return orders.sequential(terms, a, fma)

    def _matmul(self, x: Array, y: Array, order: str) -> Array:
        """Matrix products in any order but `blas`: (..., I, K) @ (..., K, J)."""
        if "@" in order:
            return self._matmul_in_blocks(x, y, order)
        single = x.ndim == y.ndim == 2
        batch = () if single else np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
        (rows, length), columns = x.shape[-2:], y.shape[-1]
        count = math.prod(batch)
        formats, a = self._formats(x, y), self._arithmetic()
        kernels, way = compiled.kernels_for(self.rounding, order, length * count, rows * columns), None
        if kernels is not None:
            way = self._way(kernels, a, order, x, y, formats, length)
            if way is not None and single:
                return compiled.matmul(kernels, way, x, y, self.format, parse_order(order), 0)
        xs = np.broadcast_to(x, (*batch, rows, length)).reshape(count, rows, length)
        ys = np.broadcast_to(y, (*batch, length, columns)).reshape(count, length, columns)
        out = np.empty((len(xs), rows, columns), self.format.carrier)
        for i, (one_x, one_y, one_out) in enumerate(zip(xs, ys, out, strict=True)):
            if order == "exact":
                one_out[...] = a.round(exact_matmul(one_x, one_y))
            elif order.startswith("tensor_core"):
                one_out[...] = TensorCore.parse(order).matmul(one_x, one_y, a)
            elif way is not None:
                first = i * rows * columns
                one_out[...] = compiled.matmul(kernels, way, one_x, one_y, self.format, parse_order(order), first)
            else:
                self._one_product(one_x, one_y, one_out, order, a, formats, i * rows * columns)
        return out.reshape(*batch, rows, columns)

    def _of_blocks(self, order: str) -> Accumulator:
        """What sums the blocks of an order with a format of its own."""
        plain = self.fma, self.rounding, self.saturate, self.rng, self.inputs
        return Accumulator(Promoted.parse(order).inner, "sequential", *plain)

    def _matmul_in_blocks(self, x: Array, y: Array, order: str) -> Array:
        """Matrix products whose blocks of terms are summed in a format of their own."""
        batch = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
        zeros = np.zeros((*batch, x.shape[-2], y.shape[-1]), self.format.carrier)
        inner = self._of_blocks(order)

        def part(k: slice) -> Array:
            return np.asarray(inner.matmul(x[..., k], y[..., k, :]))

        with quiet():
            return Promoted.parse(order).total(y.shape[-2], zeros, part, self._arithmetic())

    def _way(
        self, kernels: Any, a: Arithmetic, order: str, x: Array, y: Array, formats: tuple[Format, ...], length: int
    ) -> Any:
        """How the compiled kernels round products of x and y, and sums of `length` of them."""
        work = _product_work(self.format, formats, x, y, self.rounding)
        return compiled.way_for(kernels, a, self.fma, work, x, y, order, length)

    def spread_taps(
        self, g: Array, w: Array, size: tuple[int, int], stride: Any, before: Any, dilation: Any, groups: int
    ) -> Array | None:
        """The input gradient of a convolution, sequentially, by the compiled kernel; None where that cannot serve.

        ``out[n, c, i, j] = sum_{o, r, s} g[n, o, p, q] * w[o, c, r, s]`` over the taps that exist, those with
        ``i = p * stride + r * dilation - before`` (and so for columns); `size` is (rows, columns) of the input.
        """
        n, c = len(g), groups * w.shape[1]
        taps = len(w) // groups * math.prod(w.shape[2:])
        kernels = compiled.kernels_for(self.rounding, "sequential", taps, n * c * math.prod(size))
        if kernels is None:
            return None
        way = self._way(kernels, self._arithmetic(), "sequential", g, w, self._formats(g, w), taps)
        if way is None:
            return None
        return compiled.spread_taps(kernels, way, g, w, size, stride, before, dilation, groups, self.format)

    def _one_product(
        self, x: Array, y: Array, out: Array, order: str, a: Arithmetic, formats: tuple[Format, ...], first_output: int
    ) -> None:
        """One matrix product, tile by tile, the tiles on all cores; no bit depends on the tiles."""
        (rows, length), columns = x.shape, y.shape[1]
        work = _product_work(self.format, formats, x, y, self.rounding)
        # (the bounded steps take no care of the sign of zero: right where a sum starts at +0, as all but pairwise do;
        # and their magic numbers need room above the format's largest, which bfloat16 leaves none in float32)
        plain = self.rounding == "nearest_even" and not self.saturate and self.format != bfloat16
        if is_small(self.format) and plain and order != "pairwise":
            a = replace(a, bounded=_cannot_overflow(x, y, self.format))
        xt, y = np.ascontiguousarray(x.T), np.ascontiguousarray(y)
        in_tile = TILE if order != "pairwise" else max(HELD // max(length, 1), 1)
        wide = max(min(columns, in_tile), 1)
        tiles_down = -(-rows * wide // in_tile)
        if rows * wide >= SHARED * threads():
            tiles_down += -tiles_down % threads()  # an equal share for every core
        high = max(-(-rows // max(tiles_down, 1)), 1)

        def tile(at: tuple[int, int]) -> None:
            i, j = slice(at[0], at[0] + high), slice(at[1], at[1] + wide)
            shape = out[i, j].shape
            first = None
            if self.rounding == "stochastic":
                place = np.arange(rows * columns, dtype=np.uint64).reshape(rows, columns)[i, j]
                first = (place + np.uint64(first_output)) * np.uint64(2 * length)
            term = _products(xt[:, i], y[:, j], a, work, shape, first)
            exact = _exact_products(xt[:, i], y[:, j])
            with quiet():
                out[i, j] = self._by_order(Terms(length, shape, term, exact, first), a, order, self.fma)

        tiles = [((i, j),) for i in range(0, rows, high) for j in range(0, columns, wide)]
        if out.size < SHARED * threads():
            for (at,) in tiles:
                tile(at)
        else:
            in_parallel(tile, tiles)


def parse_order(order: str | None) -> tuple[str | None, int]:
    """The name of an order and its block length (0 where there is none).

    >>> parse_order("blocked:64")
    ('blocked', 64)
    """
    if order is None or order in ("blas", "sequential", "pairwise", "kahan", "exact"):
        return order, 0
    name, _, block = order.partition(":") if isinstance(order, str) else ("", "", "")
    if name == "blocked" and block.isdecimal() and int(block) > 0:
        return name, int(block)
    if name == "blocked" and "@" in block:
        return name, Promoted.parse(str(order)).block
    if name == "tensor_core":
        return name, TensorCore.parse(str(order)).block
    raise ArgumentError(
        expected(
            "Accumulator", f"an order of {', '.join(ORDERS)}", f"order={order!r}", "choose one; B as in blocked:64"
        )
    )


def _sum_of_terms(acc: Accumulator, x: Array, k: slice) -> Array:
    return np.asarray(acc.sum(x[k], axis=0))


def _axes(op: str, axis: int | tuple[int, ...] | None, ndim: int) -> tuple[int, ...]:
    """`axis` as ascending non-negative integers."""
    if axis is None:
        return tuple(range(ndim))
    given = axis if isinstance(axis, tuple) else (axis,)
    if any(isinstance(i, bool) or not isinstance(i, int | np.integer) for i in given):
        raise ArgumentTypeError(expected(op, "integer axes", f"axis={axis!r}", "count from 0 or from -1"))
    axes = tuple(sorted({int(i) % ndim if ndim else int(i) for i in given}))
    if any(not -ndim <= i < ndim for i in given) or len(axes) < len(given):
        raise ShapeError(expected(op, f"different axes of {ndim}", f"axis={axis!r}", "count from 0 or from -1"))
    return axes


def _check_matmul(x: Array, y: Array) -> None:
    if x.ndim == y.ndim == 2 and x.shape[1] == y.shape[0]:
        return
    got = f"x.shape={x.shape}, y.shape={y.shape}"
    if x.ndim == 0 or y.ndim == 0:
        raise ShapeError(expected("matmul", "arrays of at least one dimension", got, "use * to scale"))
    if x.shape[-1] != y.shape[0 if y.ndim == 1 else -2]:
        raise ShapeError(expected("matmul", "inner sizes that agree", got, "transpose one of them"))
    try:
        np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    except ValueError:
        raise ShapeError(
            expected("matmul", "batch sizes that broadcast", got, "make the leading sizes equal or 1")
        ) from None


@functools.lru_cache(maxsize=1024)
def _is_value(x: float, fmt: Format) -> bool:
    return is_rounded(np.asarray(x), fmt)


def _product_work(fmt: Format, formats: tuple[Format, ...], x: Array, y: Array, mode: str) -> Work:
    """The arithmetic in which ``x * y``, rounded to `fmt` afterwards, is rounded as if once."""
    nearest = mode in ("nearest_even", "nearest_away")
    if nearest and is_small(fmt) and all(is_small(f) for f in formats):
        return np.float32
    if x.dtype == y.dtype == np.float32:  # their products are exact in float64
        return np.float32 if fmt == float32 and mode == "nearest_even" else np.float64
    return work_for("elementary", fmt, formats, mode)


def _cannot_overflow(x: Array, y: Array, fmt: Format) -> bool:
    """Whether no partial sum can overflow, whatever the rounding does.

    A step ``round(s + p)`` moves s by at most 2 |p|: a p below half an ulp of s moves it by nothing, or by one ulp in a
    tie; a larger p by p and half an ulp. So sums stay within ``2 sum |p|``, and sums of blocks within twice that.
    """
    with quiet():
        largest = float((np.abs(x) @ np.abs(y)).max(initial=0.0))
    return 4 * (1.01 * largest + x.shape[1] * fmt.smallest_subnormal) < fmt.max


def _products(
    xt: Array, y: Array, a: Arithmetic, work: Work, shape: tuple[int, ...], first: Array | None
) -> Callable[[int], Array]:
    """``term(k)``: the products ``x[i, k] * y[k, j]`` of a tile, rounded; valid until the next call where reused."""
    if work is np.float32 and (a.bounded or a.exact_in_carrier):
        # so many steps at once that their products fill a tile: few calls where the sums are few
        ahead = min(max(TILE // max(math.prod(shape), 1), 1), max(len(xt), 1))
        products = np.empty((ahead, *shape), np.float32)
        round_in_place = None if a.exact_in_carrier else a.rounder(products.shape)
        first_held = -ahead

        def term(k: int) -> Array:
            nonlocal first_held
            if not first_held <= k < first_held + ahead:
                first_held = min(k, len(xt) - ahead)
                held = slice(first_held, first_held + ahead)
                np.multiply(xt[held, :, None], y[held, None, :], out=products)
                if round_in_place is not None:
                    round_in_place(products)
            return products[k - first_held]

        return term

    def term_generally(k: int) -> Array:
        place = None if first is None else first + np.uint64(2 * k)
        return a.round(run(work, np.multiply, xt[k][:, None], y[k]), place)

    return term_generally


def _exact_products(xt: Array, y: Array) -> Callable[[int], Wide]:
    return lambda k: np.multiply(Wide.of(xt[k][:, None]), Wide.of(y[k]))  # type: ignore[call-overload]


def _native_sequential(terms: Array) -> Array:
    """``s = s + term`` down axis 0 from +0, in the dtype's own arithmetic: `np.add.accumulate` does just that."""
    s = np.zeros(terms.shape[1:], terms.dtype)
    with quiet():
        for start in range(0, len(terms), 1 << 16):
            s = np.add.accumulate(np.concatenate([s[None], terms[start : start + (1 << 16)]]), axis=0)[-1]
    return s
