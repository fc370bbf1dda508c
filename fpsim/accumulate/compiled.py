"""The orders of accumulation by compiled kernels: which way of rounding serves, which axis is the fast one.

Layer 2. Gives the bits of `orders`, or None where NumPy shall do the work (kahan, exact, tensor_core, the directed
modes, or too little of it). What it knows of rounding it has from `rounding.work` and `rounding.kernel`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fpsim.accumulate.orders import Arithmetic
from fpsim.formats import Format, bfloat16, float16
from fpsim.kernels import ways
from fpsim.kernels.loading import compiled
from fpsim.kernels.threads import in_parallel, share
from fpsim.kernels.ways import Way
from fpsim.rounding.kernel import Array
from fpsim.rounding.wide import Wide
from fpsim.rounding.work import Work, is_medium, is_small

__all__ = ["kernels_for", "matmul", "spread_taps", "way_for"]

#: Seconds for one multiply-add, and for one step of all sums at once, in NumPy; and for a multiply-add compiled.
IN_NUMPY, PER_STEP, COMPILED = 3e-9, 20e-6, 0.15e-9
#: Columns that a kernel works on at once: fewer cost as much.
LANES = 16


def kernels_for(mode: str, order: str, length: int, outputs: int) -> Any:
    """The compiled kernels, where they serve this order and mode and there is enough to do for them."""
    if order in ("kahan", "exact") or order.startswith("tensor_core") or mode not in ("nearest_even", "stochastic"):
        return None
    return compiled(length * (outputs * IN_NUMPY + PER_STEP))


def way_for(
    kernels: Any, a: Arithmetic, fma: bool, work: Work, x: Array, y: Array, order: str, length: int
) -> Way | None:
    """How products of x and y, exact or rounded as if so in `work`, and sums of `length` of them are rounded."""
    fmt = a.fmt
    largest = kernels.largest(x.ravel("K")) * kernels.largest(y.ravel("K"))  # NaN or infinite where an input is
    if not fmt.has_nan and not np.isfinite(largest):
        return None  # NumPy's way to an error message
    exact_in_float64 = x.dtype == y.dtype == np.float32
    if a.mode == "stochastic":
        spans = fmt.emax + 2 - (fmt.emin - fmt.significand_bits) <= 53  # float64 holds every sum of two numbers
        if spans and exact_in_float64 and not fma:
            return ways.stochastic(fmt, a.saturate, a.key)
    elif fma:
        if exact_in_float64 and is_medium(fmt):
            return ways.fused(fmt, a.saturate)
    elif a.exact_in_carrier and (work is fmt.carrier.type):
        return ways.Native()
    elif work is np.float32 and is_small(fmt):
        if fmt == bfloat16:
            return ways.dropping(fmt, np.float32, a.saturate)
        # partial sums stay within twice the sum of magnitudes, sums of blocks within twice that (`_cannot_overflow`)
        if order != "pairwise" and 4.04 * (length * (largest + fmt.smallest_subnormal)) < fmt.max:
            return ways.bounded(fmt, np.float32)
        if fmt == float16 and not a.saturate and ways.has_half():
            return ways.half_bounded(fmt) if order != "pairwise" and largest < fmt.max else ways.Half()
        return ways.magic(fmt, np.float32, a.saturate)
    elif work is not Wide and is_medium(fmt):
        return ways.magic(fmt, np.float64, a.saturate)
    return ways.definition(fmt, a.saturate, a.mode, a.key, fma)


def _dtype_of(way: Way, fmt: Format) -> np.dtype[Any]:
    """Of the arrays that a kernel works on."""
    if isinstance(way, ways.Native):
        return fmt.carrier
    narrow = isinstance(way, ways.Half | ways.HalfBounded | ways.Bounded | ways.Dropping)
    if isinstance(way, ways.Magic):
        narrow = way.largest.dtype == np.float32
    return np.dtype(np.float32 if narrow else np.float64)


def matmul(
    kernels: Any, way: Way, x: Array, y: Array, fmt: Format, order: tuple[str | None, int], first_output: int
) -> Array:
    """``x @ y`` of two matrices, summed in an order: its name and its block length."""
    name, block = order
    length, columns = y.shape
    dtype = _dtype_of(way, fmt)
    places = tuple(np.uint64(2 * length * n) for n in (first_output, columns, 1))
    across = _fits_better_transposed(x, y)
    if across:  # the same sums with the roles of rows and columns exchanged
        x, y, places = y.T, x.T, (places[0], places[2], places[1])
    x, y = _as_rows(x, dtype), _as_rows(y, dtype)
    out = np.empty((len(x), y.shape[1]), dtype)
    part = np.empty_like(out) if name == "blocked" else np.empty((0, 0), dtype)
    seconds = out.size * length * COMPILED

    def task(top: int, bottom: int, left: int, right: int) -> None:
        region = (top, bottom, left, right)
        if name == "pairwise":
            kernels.matmul_pairwise(way, x, y, out, places, region)
        else:
            kernels.matmul(way, x, y, out, part, block, places, region)

    if len(x) >= 8:
        pieces = [(top, bottom, 0, y.shape[1]) for top, bottom in share(len(x), seconds, 4)]
    else:
        pieces = [(0, len(x), left, right) for left, right in share(y.shape[1], seconds, LANES)]
    in_parallel(task, pieces)
    if across:
        out = out.T
    if dtype == fmt.carrier:
        return out
    with np.errstate(all="ignore"):
        return out.astype(fmt.carrier)


def _as_rows(x: Array, dtype: np.dtype[Any]) -> Array:
    if x.dtype == dtype:
        return np.ascontiguousarray(x)
    with np.errstate(all="ignore"):  # signalling NaNs
        return np.ascontiguousarray(x, dtype)


def spread_taps(
    kernels: Any, way: Way, g: Array, w: Array, size: tuple[int, int], stride: Any, before: Any, dilation: Any,
    groups: int, fmt: Format,
) -> Array:  # fmt: skip
    """The input gradient of a convolution, (n, c, row, column), its memory ordered (c, row, column, n)."""
    dtype = _dtype_of(way, fmt)
    (n, outputs, _, q), (_, c, *kernel), (height, width) = g.shape, w.shape, size
    g = np.ascontiguousarray(g.transpose(1, 2, 3, 0), dtype)
    w = np.ascontiguousarray(w, dtype)
    out = np.empty((groups * c, height, width, n), dtype)
    outputs //= groups
    steps = 2 * outputs * int(np.prod(kernel))
    together = stride[1] == 1 and not isinstance(way, ways.Stochastic | ways.Definition)
    for group in range(groups):
        # in the hash the outputs of a group are numbered (sample, row, column, channel)
        first = group * n * height * width * c
        distances = (first, 1, width * c, c, height * width * c)
        places = tuple(np.uint64(steps * k) for k in distances)
        of_group, own = slice(group * outputs, (group + 1) * outputs), slice(group * c, (group + 1) * c)

        def task(start: int, stop: int, taken: Any = (g[of_group], w[of_group], out[own], places)) -> None:
            g, w, out, places = taken
            kernels.spread_taps(way, g, w, out, stride, before, dilation, together, places, start, stop)

        in_parallel(task, share(c, outputs * n * c * q * g.shape[1] * int(np.prod(kernel)) * COMPILED))
    return out.transpose(3, 0, 1, 2).astype(fmt.carrier, copy=False)


def _fits_better_transposed(x: Array, y: Array) -> bool:
    """Whether rows should run along the fast axis: the cost of idle lanes and of copies, in multiply-adds."""
    rows, columns = x.shape[0], y.shape[1]
    as_they_are = -columns % LANES * x.size
    transposed = -rows % LANES * y.size
    for z in (x, y):
        as_they_are += 0 if z.flags.c_contiguous else 8 * z.size
        transposed += 0 if z.flags.f_contiguous else 8 * z.size
    return transposed < as_they_are
