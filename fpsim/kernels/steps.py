"""Single rounded operations, compiled: what a kernel does at each step, for each way of rounding.

Layer 1. A way of rounding is a small tuple of constants; `product`, `add` and `rounded` are chosen by its type when a
kernel is compiled. Each gives, element for element, the bits of `fpsim.rounding.kernel`.
"""

from __future__ import annotations

from math import copysign, frexp, isfinite, ldexp

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload, register_jitable

from fpsim.kernels.ways import (
    Bounded,
    Definition,
    Dropping,
    Fused,
    Half,
    HalfBounded,
    HardwareFused,
    Magic,
    Native,
    Stochastic,
    has_fma,
    has_half,
)  # fmt: skip

__all__ = ["add", "product", "rounded", "step"]

# Bits ----------------------------------------------------------------------------------------------------------------


_FIELDS = {types.int32: 0x7F800000, types.int64: 0x7FF0000000000000}


def _integer_for(x):
    return types.int32 if x == types.float32 else types.int64


@intrinsic
def bits_of(typingctx, x):
    """The bit pattern of a float as a signed integer of its width."""

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(signature.return_type))

    return _integer_for(x)(x), codegen


@intrinsic
def float_of(typingctx, bits, like):
    """The float of the type of `like` with this bit pattern."""

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(signature.return_type))

    return like(_integer_for(like), like), codegen


@intrinsic
def to_half(typingctx, x):
    """A float32 rounded to float16, to nearest even: one instruction there and one back."""

    def codegen(context, builder, signature, args):
        if not has_half():  # never called then; LLVM would ask for a library routine that may not exist
            return args[0]
        return builder.fpext(builder.fptrunc(args[0], ir.HalfType()), ir.FloatType())

    return types.float32(types.float32), codegen


@intrinsic
def multiply_add(typingctx, a, b, c):
    """``a * b + c`` of float64 numbers with one rounding, the hardware's."""

    def codegen(context, builder, signature, args):
        return builder.fma(*args) if has_fma() else args[0]  # (as in `to_half`)

    return types.float64(types.float64, types.float64, types.float64), codegen


@intrinsic
def exponent_field(typingctx, x):
    """The bits of x that hold its exponent, where they stand."""

    def codegen(context, builder, signature, args):
        kind = context.get_value_type(signature.return_type)
        return builder.and_(builder.bitcast(args[0], kind), kind(_FIELDS[signature.return_type]))

    return _integer_for(x)(x), codegen


@intrinsic
def with_sign_of(typingctx, magnitude, x):
    """`magnitude` with the sign bit of x put in besides its own."""

    def codegen(context, builder, signature, args):
        kind = context.get_value_type(_integer_for(signature.return_type))
        magnitude, bits = (builder.bitcast(arg, kind) for arg in args)
        sign = builder.and_(bits, kind(-1 << (kind.width - 1)))
        return builder.bitcast(builder.or_(magnitude, sign), context.get_value_type(signature.return_type))

    return x(x, x), codegen


@intrinsic
def at_least(typingctx, field, low):
    """The larger of two exponent fields in their own integer type, so that a vector holds as many as of floats."""

    def codegen(context, builder, signature, args):
        return builder.select(builder.icmp_signed(">", *args), *args)

    return field(field, field), codegen


@intrinsic
def at_most(typingctx, field, high):
    """The smaller of two exponent fields."""

    def codegen(context, builder, signature, args):
        return builder.select(builder.icmp_signed("<", *args), *args)

    return field(field, field), codegen


@intrinsic
def cut(typingctx, x, dropped, half, kept):
    """The float x, the last `dropped` bits of its pattern rounded away to nearest even, whatever x is."""

    def codegen(context, builder, signature, args):
        x, dropped, half, kept = args
        bits = builder.bitcast(x, dropped.type)
        last = builder.and_(builder.lshr(bits, dropped), dropped.type(1))
        rounded = builder.and_(builder.add(builder.add(bits, last), half), kept)
        return builder.bitcast(rounded, x.type)

    return x(x, dropped, dropped, dropped), codegen


@register_jitable
def hashed_uniform(key, place):
    """`fpsim.rounding.kernel.hashed_uniform` for one place."""
    z = place * np.uint64(0x9E3779B97F4A7C15) + key
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return np.float64(np.int64(z >> np.uint64(11))) * 2.0**-53


# Rounding one number -------------------------------------------------------------------------------------------------


@register_jitable
def by_magic(m, x):
    """Any number, to nearest even."""
    big = float_of(at_most(at_least(exponent_field(x), m.low), m.high) + m.to_magic, x)
    r = with_sign_of((x + big) - big, x)
    return (copysign(m.beyond, r) if abs(r) > m.largest else r) + m.zero


@register_jitable
def by_magic_bounded(m, x):
    """A number that does not overflow; a negative one that rounds to zero gives +0."""
    big = float_of(at_least(exponent_field(x), m.low) + m.to_magic, x)
    return (x + big) - big


@register_jitable
def by_magic_normal(m, x):
    """The same for a number on the grid of the format's subnormal ones."""
    big = float_of(exponent_field(x) + m.to_magic, x)
    return (x + big) - big


@register_jitable
def by_dropping(m, x):
    """Half an ulp, less the last bit kept, added to the bits, which are then cut; the carry does the rest."""
    r = cut(x, m.dropped, m.half, m.kept)
    r = copysign(m.beyond, r) if abs(r) > m.largest else r
    return r if x == x else x  # a NaN's payload must not carry


@register_jitable
def by_chance(m, x, place):
    """A float64 number, up with the probability of the fraction passed."""
    last = min(max((exponent_field(x) >> 52) - 1023, m.emin), m.emax) - m.significand_bits
    scaled = abs(x) * float_of((1023 - last) << 52, x)
    whole = np.floor(scaled)
    away = 1.0 if hashed_uniform(m.key, place) < scaled - whole else 0.0
    r = (whole + away) * float_of((1023 + last) << 52, x)
    return copysign(m.beyond if r > m.largest else r, x) + m.zero


@register_jitable
def by_definition(m, hi, lo, exponent, place):
    """``(hi + lo) * 2**exponent``, as `_by_scaling` does it."""
    if isfinite(hi):
        magnitude, below = abs(hi), -lo if copysign(1.0, hi) < 0 else lo
        top = exponent - 1 if magnitude == 0.5 and below < 0 else exponent
        last = min(max(top - 1, m.emin), m.emax) - m.significand_bits
        shift = max(exponent - last, -300)
        scaled, rest = ldexp(magnitude, shift), ldexp(below, shift)
        whole = np.floor(scaled)
        above = scaled - whole
        if above == 0 and rest < 0:
            whole, above = whole - 1, above + 1
        if m.stochastic:
            away = hashed_uniform(m.key, place) < above + rest
        else:
            half = (above - 0.5) + rest
            away = half > 0 or (half == 0 and np.floor(whole / 2) * 2 != whole)
        r = copysign(ldexp(whole + (1.0 if away else 0.0), last), hi)
    else:
        r = hi
    return (copysign(m.beyond, r) if abs(r) > m.largest else r) + m.zero


# Numbers with a residue: (hi + lo) * 2**exponent, as in `fpsim.rounding.wide` -----------------------------------------


@register_jitable
def wide(hi, lo, exponent):
    """The three parts with hi in [0.5, 1)."""
    if hi == 0:
        return hi, 0.0, -1_000_000
    if not isfinite(hi):
        return hi, 0.0, 0
    significand, shift = frexp(hi)
    return significand, ldexp(lo, -shift), exponent + shift


@register_jitable
def wide_product(a, b):
    """A * b, exactly."""
    (a, _, ea), (b, _, eb) = wide(a, 0.0, 0), wide(b, 0.0, 0)
    p = a * b
    if p == 0 or not isfinite(p):
        return wide(p, 0.0, 0)
    c = a * 134217729.0
    a1 = c - (c - a)
    a2 = a - a1
    c = b * 134217729.0
    b1 = c - (c - b)
    b2 = b - b1
    return wide(p, ((a1 * b1 - p) + a1 * b2 + a2 * b1) + a2 * b2, ea + eb)


@register_jitable
def wide_sum(x, y):
    """X + y, exactly but for what no rounding can see."""
    (xh, xl, xe), (yh, yl, ye) = x, y
    exponent = max(xe, ye)
    to_x, to_y = max(xe - exponent, -300), max(ye - exponent, -300)
    a, b = ldexp(xh, to_x), ldexp(yh, to_y)
    s = a + b
    part = s - a
    t = (a - (s - part)) + (b - part) if isfinite(s) else 0.0
    t += ldexp(xl, to_x) + ldexp(yl, to_y)
    if t == 0:
        return wide(s, 0.0, exponent)
    hi = s + t
    return wide(hi, t - (hi - s), exponent)


# Steps, by way of rounding -------------------------------------------------------------------------------------------


def rounded(m, x, place):
    """``round(x)``."""


def product(m, a, b, place):
    """``round(a * b)``."""


def add(m, s, p, place):
    """``round(s + p)`` for numbers of the format."""


def step(m, s, a, b, place):
    """``round(s + round(a * b))``, or fused ``round(s + a * b)``; the second rounding's place is `place` + 1."""


@overload(rounded)
def _(m, x, place):
    return _ROUNDED[m.instance_class]


@overload(product)
def _(m, a, b, place):
    if m.instance_class is Definition:
        return _defined_product
    if m.instance_class is HalfBounded:
        return lambda m, a, b, place: by_magic_bounded(m, a * b)
    return lambda m, a, b, place: rounded(m, a * b, place)


@overload(add)
def _(m, s, p, place):
    if m.instance_class is Definition:
        return _defined_sum
    if m.instance_class is Bounded:
        return lambda m, s, p, place: by_magic_normal(m, s + p)
    return lambda m, s, p, place: rounded(m, s + p, place)


@overload(step)
def _(m, s, a, b, place):
    if m.instance_class is Fused:
        return _fused_to_odd
    if m.instance_class is HardwareFused:
        return lambda m, s, a, b, place: multiply_add(a, b, s)
    if m.instance_class is Definition:
        return _defined_step
    return lambda m, s, a, b, place: add(m, s, product(m, a, b, place), place + np.uint64(1))


_ROUNDED = {
    Native: lambda m, x, place: x,
    Half: lambda m, x, place: to_half(x),
    HalfBounded: lambda m, x, place: to_half(x),
    Magic: lambda m, x, place: by_magic(m, x),
    Bounded: lambda m, x, place: by_magic_bounded(m, x),
    Dropping: lambda m, x, place: by_dropping(m, x),
    Fused: lambda m, x, place: by_magic(m, x),
    Stochastic: lambda m, x, place: by_chance(m, np.float64(x), place),
    Definition: lambda m, x, place: _defined(m, wide(x, 0.0, 0), place),
}


@register_jitable
def _defined(m, x, place):
    hi, lo, exponent = x
    return by_definition(m, hi, lo, exponent, place)


def _defined_product(m, a, b, place):
    return _defined(m, wide_product(a, b), place)


def _defined_sum(m, s, p, place):
    return _defined(m, wide_sum(wide(s, 0.0, 0), wide(p, 0.0, 0)), place)


def _defined_step(m, s, a, b, place):
    if m.fma:
        return _defined(m, wide_sum(wide(s, 0.0, 0), wide_product(a, b)), place + np.uint64(1))
    return add(m, s, product(m, a, b, place), place + np.uint64(1))


def _fused_to_odd(m, s, a, b, place):
    """A * b is exact in float64; what the sum leaves out makes its last bit odd, which `by_magic` then rounds once."""
    p = a * b
    total = s + p
    part = total - s
    rest = (s - (total - part)) + (p - part)
    bits = bits_of(total)
    towards = np.int64(1) if (rest > 0) == (total > 0) else np.int64(-1)
    inexact = (rest != 0) & (abs(rest) < np.inf) & ((bits & 1) == 0)  # NaN and infinity leave NaN in `rest`
    return by_magic(m, float_of(bits + (towards if inexact else np.int64(0)), total))
