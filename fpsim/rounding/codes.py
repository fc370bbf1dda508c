"""Rounding and bit patterns for a user's arrays: check once, then hand over to the kernel.

Layer 1. Public functions over plain arrays; nothing here knows tensors or gradients.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fpsim.errors import ArgumentError, ArgumentTypeError, FormatError, ShapeError, expected
from fpsim.formats import MODES, NAMED, Format
from fpsim.rounding.kernel import Array, round_to
from fpsim.rounding.wide import Wide

__all__ = [
    "all_values",
    "as_floats",
    "checked_mode",
    "decode",
    "draw_key",
    "encode",
    "nextafter",
    "round",
    "spacing",
    "ulp",
]


def round(
    x: Any,
    fmt: Any,
    mode: str = "nearest_even",
    saturate: bool = False,
    flush_subnormals: bool = False,
    rng: np.random.Generator | None = None,
) -> Any:
    """Round every element of `x` once to the values of `fmt`.

    Parameters
    ----------
    x : array_like of real numbers
        Each is rounded directly from its own value, `np.longdouble` and integers included.
    fmt : format
    mode : str
        ``nearest_even nearest_away toward_zero up down stochastic``.
    saturate : bool
        Overflow gives the largest finite number instead of infinity (or NaN).
    flush_subnormals : bool
        Results below the smallest normal number become zero, with their sign.
    rng : np.random.Generator
        Needed by ``stochastic``, which rounds up with the probability of the fraction passed.

    Returns
    -------
    ndarray or NumPy scalar
        In the float dtype of `x` if that holds the format, else float64.

    Raises
    ------
    FormatError
        Unknown format, or NaN for a format without NaN.

    Examples
    --------
    >>> import fpsim as fp
    >>> float(fp.round(0.1, "float16"))
    0.0999755859375
    >>> fp.round([1.0, 2049.0, 70000.0], "float16", mode="toward_zero")
    array([1.0000e+00, 2.0480e+03, 6.5504e+04])
    """
    fmt, mode = Format(fmt), checked_mode("round", mode, rng)
    x = as_array("round", x)
    values = as_floats("round", x)
    key = draw_key(rng) if mode == "stochastic" and rng is not None else 0
    out = round_to(values, fmt, mode, saturate=saturate, flush_subnormals=flush_subnormals, key=key)
    own = x.dtype if x.dtype.kind == "f" and x.dtype.itemsize <= 8 else np.dtype(np.float64)
    dtype = own if Format(own).holds(fmt) else np.dtype(np.float64)
    shared = np.may_share_memory(out, values if isinstance(values, np.ndarray) else x)
    with np.errstate(invalid="ignore"):  # a signalling NaN
        return out.astype(dtype, copy=shared)[()]  # always the caller's own


_NAMES = {fmt.name for fmt in NAMED}


def as_array(op: str, x: Any) -> Array:
    """`x` as an array in the machine's byte order."""
    if type(x) is np.ndarray and x.dtype.isnative:
        return x
    try:
        x = np.asarray(x)
    except ValueError:
        raise ShapeError(
            expected(op, "a rectangular array", "rows of different lengths", "pad or split them")
        ) from None
    return np.asarray(x, x.dtype.newbyteorder("="))


def as_floats(op: str, x: Any) -> Array | Wide:
    """`x` as float32 or float64 values; wide where those would leave something out (long doubles, large integers)."""
    x = as_array(op, x)
    if x.dtype.char in "fd":
        return x
    if x.dtype == np.float16 or (x.dtype.kind == "V" and x.dtype.name in _NAMES):  # ml_dtypes'
        with np.errstate(invalid="ignore"):  # a signalling NaN
            return x.astype(np.float32)
    if x.dtype.kind in "biu":
        values = x.astype(np.float64)
        if x.dtype.itemsize < 8 or not (np.abs(values) >= 2.0**53).any():
            return values
        pairs = zip(x.reshape(-1).tolist(), values.reshape(-1).tolist(), strict=True)
        rest = np.array([float(int(i) - int(v)) for i, v in pairs]).reshape(x.shape)
        return Wide(values, rest, 0)
    if x.dtype.kind == "f":
        return Wide.of(x)
    raise ArgumentTypeError(expected(op, "real numbers", f"dtype={x.dtype}", "convert them to a float array"))


def _float64(x: Array | Wide) -> Array:
    return x.value() if isinstance(x, Wide) else x.astype(np.float64)


def checked_mode(op: str, mode: str, rng: Any, *, needs_rng: bool = True) -> str:
    """`mode`, or the error that says what is wrong with it or with its generator."""
    if mode not in MODES:
        raise ArgumentError(expected(op, f"a mode of {', '.join(MODES)}", f"mode={mode!r}", "choose one of them"))
    if mode == "stochastic" and needs_rng and rng is None:
        raise ArgumentError(
            expected(op, "a generator for stochastic rounding", "rng=None", "pass rng=np.random.default_rng(seed)")
        )
    if rng is not None and not isinstance(rng, np.random.Generator):
        raise ArgumentTypeError(
            expected(op, "a np.random.Generator", f"rng={rng!r}", "pass np.random.default_rng(seed)")
        )
    return mode


def draw_key(rng: np.random.Generator) -> int:
    """The 64-bit key of one stochastic rounding call."""
    return int(rng.integers(0, 2**64, dtype=np.uint64))


def encode(x: Any, fmt: Any) -> Any:
    """The integer code of each value, as the format lays it out: sign, exponent, significand.

    Values that the format does not have are rounded to nearest even first. NaN gets the format's quiet NaN.

    Returns
    -------
    ndarray of uint8, uint16, uint32 or uint64
        The smallest that holds ``fmt.bits``.

    Examples
    --------
    >>> import fpsim as fp
    >>> hex(fp.encode(1.0, "float16")), hex(fp.encode(-2.0, "float8_e4m3fn"))
    ('0x3c00', '0xc0')
    """
    fmt = Format(fmt)
    given = as_floats("encode", x)
    if fmt.specials == "scale":
        return _encode_scale(_float64(given), fmt)
    with np.errstate(invalid="ignore"):  # a signalling NaN
        values = round_to(given, fmt).astype(np.float64)
    m = fmt.significand_bits
    finite = np.isfinite(values)
    magnitude = np.where(finite, np.abs(values), 0.0)
    exponent = np.where(magnitude == 0, fmt.emin, np.maximum(np.frexp(magnitude)[1] - 1, fmt.emin))
    # in units of the last place; the hidden bit adds one to the exponent field, which starts at 0 for subnormals
    significand = np.ldexp(magnitude, m - exponent).astype(np.uint64)
    code = ((exponent - fmt.emin).astype(np.uint64) << np.uint64(m)) + significand
    top = np.uint64((2**fmt.exponent_bits - 1) << m)
    code = np.where(np.isinf(values), top, code)
    code |= np.signbit(values).astype(np.uint64) << np.uint64(fmt.bits - 1)
    code = np.where(np.isnan(values), np.uint64(_nan_code(fmt)), code)
    return code.astype(_code_dtype(fmt))[()]


def _nan_code(fmt: Format) -> int:
    if fmt.specials == "ieee":
        return (2 ** (fmt.exponent_bits + 1) - 1) << (fmt.significand_bits - 1)
    if fmt.specials == "fnuz":
        return int(1 << (fmt.bits - 1))
    return int(2 ** (fmt.bits - (fmt.specials == "fn")) - 1)


def _encode_scale(values: Array, fmt: Format) -> Any:
    if (values <= 0).any():
        where = int(np.flatnonzero(values.reshape(-1) <= 0)[0])
        got = f"{values.reshape(-1)[where]} at flat index {where}"
        raise FormatError(expected("encode", f"positive values, as {fmt.name} has no others", got, "take magnitudes"))
    fraction, exponent = np.frexp(np.where(np.isfinite(values), values, 1.0))
    power = exponent - 1  # value = (2 * fraction) * 2**power; a tie at 1.5 goes to the even code
    power = power + ((fraction > 0.75) | ((fraction == 0.75) & ((power + fmt.bias) % 2 == 1)))
    code = np.clip(power + fmt.bias, 0, None)
    return np.where(np.isfinite(values) & (code < _nan_code(fmt)), code, _nan_code(fmt)).astype(np.uint8)[()]


def _code_dtype(fmt: Format) -> type:
    return next(t for t in (np.uint8, np.uint16, np.uint32, np.uint64) if np.dtype(t).itemsize * 8 >= fmt.bits)


def decode(codes: Any, fmt: Any) -> Any:
    """The value of each integer code.

    Returns
    -------
    ndarray of np.float16 (for float16), float32 or float64
        The smallest of these dtypes that holds the format.

    Examples
    --------
    >>> import fpsim as fp
    >>> float(fp.decode(0x7BFF, "float16")), float(fp.decode(0x7E, "float8_e4m3fn"))
    (65504.0, 448.0)
    """
    fmt = Format(fmt)
    codes = np.asarray(codes)
    if codes.dtype.kind not in "iu":
        raise ArgumentTypeError(expected("decode", "integer codes", f"dtype={codes.dtype}", "encode values first"))
    if codes.size and (int(codes.min()) < 0 or int(codes.max()) >= 2**fmt.bits):
        got = f"codes from {int(codes.min())} to {int(codes.max())}"
        raise ArgumentError(expected("decode", f"codes from 0 to 2**{fmt.bits} - 1", got, f"{fmt.name} has no others"))
    m = np.uint64(fmt.significand_bits)
    code = codes.astype(np.uint64)
    if fmt.specials == "scale":
        value = np.ldexp(1.0, code.astype(np.int64) - fmt.bias)
        value = np.where(code == _nan_code(fmt), np.nan, value)
    else:
        field = (code >> m) & np.uint64(2**fmt.exponent_bits - 1)
        fraction = code & np.uint64((1 << fmt.significand_bits) - 1)
        hidden = (field > 0).astype(np.uint64) << m
        exponent = np.maximum(field, np.uint64(1)).astype(np.int64) - fmt.bias - fmt.significand_bits
        with np.errstate(over="ignore"):  # codes of infinity and NaN, replaced below
            value = np.ldexp((fraction + hidden).astype(np.float64), exponent)
        top = field == 2**fmt.exponent_bits - 1
        negative = (code >> np.uint64(fmt.bits - 1)) != 0
        if fmt.specials == "ieee":
            value = np.where(top, np.where(fraction == 0, np.inf, np.nan), value)
        elif fmt.specials == "fn":
            value = np.where(top & (fraction == 2**fmt.significand_bits - 1), np.nan, value)
        elif fmt.specials == "fnuz":
            value = np.where(code == _nan_code(fmt), np.nan, value)
        value = np.where(negative & ~np.isnan(value), -value, value)
    dtype = np.float16 if fmt == Format("float16") else fmt.carrier
    return value.astype(dtype)[()]


def ulp(x: Any, fmt: Any) -> Any:
    """The weight of the last place at `x`: ``2**(max(e, emin) - significand_bits)`` with ``2**e <= |x| < 2**(e+1)``.

    Beyond the largest finite number it is that number's ulp; of infinity and NaN it is NaN. Always positive.

    >>> import fpsim as fp
    >>> float(fp.ulp(1.0, "float16")), float(fp.ulp(0.0, "float16")) == 2.0**-24
    (0.0009765625, True)
    """
    fmt = Format(fmt)
    values = _float64(as_floats("ulp", x))
    exponent = np.frexp(np.where(np.isfinite(values), values, 1.0))[1] - 1
    exponent = np.where(values == 0, fmt.emin, np.clip(exponent, fmt.emin, fmt.emax))
    return np.where(np.isfinite(values), np.ldexp(1.0, exponent - fmt.significand_bits), np.nan)[()]


def nextafter(x: Any, y: Any, fmt: Any) -> Any:
    """The first value of the format after `x` in the direction of `y`; `y` itself where the two are equal.

    `x` need not be a value of the format. Past the largest finite number comes what overflow gives: infinity, NaN in
    a format without infinity, the number itself in a format with neither.

    >>> import fpsim as fp
    >>> float(fp.nextafter(1.0, 2.0, "bfloat16"))
    1.0078125
    """
    fmt = Format(fmt)
    start, goal = (_float64(as_floats("nextafter", n)) for n in (x, y))
    try:
        start, goal = np.broadcast_arrays(start, goal)
    except ValueError:
        got = f"{start.shape}, {goal.shape}"
        raise ShapeError(expected("nextafter", "shapes that broadcast", got, "make the sizes equal or 1")) from None
    tiny = Wide(np.where((start == 0) | np.isinf(start), 0.5, np.abs(Wide.of(start).hi)), 0, 0)  # not inf - inf
    tiny.exponent = np.where(start == 0, -2000, Wide.of(start).exponent - 60)  # any distance below half an ulp will do
    above = round_to(start + tiny, fmt, "up").astype(np.float64)
    below = round_to(start - tiny, fmt, "down").astype(np.float64)
    if fmt.has_inf:
        above = np.where(start == -np.inf, -fmt.max, above)
        below = np.where(start == np.inf, fmt.max, below)
    step = np.where(goal > start, above, below)
    if fmt.has_negative_zero:  # a number stepping down to zero keeps its sign, as in C and NumPy
        step = np.where((step == 0) & (start != 0), np.copysign(0.0, start), step)
    step = np.where(start == goal, goal, step)
    return np.where(np.isnan(start) | np.isnan(goal), np.nan, step)[()]


def spacing(x: Any, fmt: Any) -> Any:
    """The distance from `x` (rounded to the format first) to the next value away from zero, with the sign of `x`.

    >>> import fpsim as fp
    >>> float(fp.spacing(-1.0, "float16"))
    -0.0009765625
    """
    fmt = Format(fmt)
    values = round_to(as_floats("spacing", x), fmt).astype(np.float64)
    with np.errstate(invalid="ignore"):
        return (nextafter(values, np.copysign(np.inf, values), fmt) - values)[()]


def all_values(fmt: Any) -> Array:
    """Every value of a format of at most 16 bits in ascending order, infinities and both zeros included, NaN not.

    >>> import fpsim as fp
    >>> fp.all_values("float4_e2m1fn")[8:]
    array([0. , 0.5, 1. , 1.5, 2. , 3. , 4. , 6. ], dtype=float32)
    """
    fmt = Format(fmt)
    if fmt.bits > 16:
        raise FormatError(
            expected(
                "all_values", "a format of at most 16 bits", f"{fmt.name} of {fmt.bits}", "sample its codes instead"
            )
        )
    values = decode(np.arange(2**fmt.bits, dtype=np.uint32), fmt)
    negative_first = np.lexsort((~np.signbit(values), values))
    values = values[negative_first]
    return np.asarray(values[~np.isnan(values)])
