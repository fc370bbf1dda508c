"""Floating-point formats as data: what a format can hold, derived from a handful of integers.

Layer 0. Knows names and figures only: it never touches an array of values.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fpsim.errors import FormatError, expected, nearest

__all__ = ["MODES", "Format", "FormatInfo", "finfo"]

#: The rounding modes, under IEEE 754's names in short.
MODES = ("nearest_even", "nearest_away", "toward_zero", "up", "down", "stochastic")

#: How the code points that are not ordinary numbers are spent:
#: ieee    the largest exponent means infinity (significand 0) and NaN (otherwise): IEEE 754
#: fn      only the all-ones code is NaN, there is no infinity: OCP FP8 E4M3
#: fnuz    the code of -0 is the only NaN: no infinity, no negative zero
#: finite  every code is a number: OCP FP6 and FP4
#: scale   no sign, no zero; the all-ones code is NaN: OCP E8M0
SPECIALS = ("ieee", "fn", "fnuz", "finite", "scale")


@dataclass(frozen=True, init=False, repr=False, eq=False)
class Format:
    """A binary floating-point format with a sign, `exponent_bits` and `significand_bits` stored bits.

    ``Format(anything)`` takes a name (``"float16"``, ``"fp16"``, ``"e5m10"``), a NumPy or ml_dtypes type, or another
    format; keywords describe a format of your own. Two formats are equal when their values are:

    >>> import fpsim as fp
    >>> fp.Format("e5m10") == fp.float16
    True
    >>> fp.Format(exponent_bits=6, significand_bits=9)
    Format('e6m9', max=4.29077e+09, eps=0.00195312, smallest_subnormal=1.81899e-12)

    Parameters
    ----------
    like : str, np.dtype, type or Format, optional
        What to parse. Aliases: ``fp16 bf16 fp32 fp64 tf32 half single double``.
    exponent_bits : int
        2 to 11.
    significand_bits : int
        Stored bits, without the hidden one: 1 to 52.
    bias : int, optional
        ``2**(exponent_bits - 1) - 1`` unless given.
    specials : str
        How infinity and NaN are coded: ``ieee fn fnuz finite`` (``scale``: for `float8_e8m0fnu` alone).

    Raises
    ------
    FormatError
        A name that is not a format (the nearest valid names are listed), or one that float64 cannot hold exactly.
    """

    exponent_bits: int
    significand_bits: int
    bias: int
    specials: str
    _interned: ClassVar[dict[tuple[int, int, int, str], Format]] = {}

    def __new__(
        cls,
        like: Any = None,
        *,
        exponent_bits: int | None = None,
        significand_bits: int | None = None,
        bias: int | None = None,
        specials: str = "ieee",
    ) -> Format:
        """One object for each format: equal formats are the same object."""
        if isinstance(like, Format):
            return like
        if like is not None:
            if not (exponent_bits is significand_bits is bias is None):
                raise FormatError(
                    expected("Format", "a name or keywords", f"{like!r} and keywords", "give only one of them")
                )
            fields = _parse(like)
        else:
            fields = _checked(exponent_bits, significand_bits, bias, specials)
        made = cls._interned.get(fields)
        if made is None:
            made = super().__new__(cls)
            for name, value in zip(("exponent_bits", "significand_bits", "bias", "specials"), fields, strict=True):
                object.__setattr__(made, name, value)
            made = cls._interned.setdefault(fields, made)
        return made

    # Names ----------------------------------------------------------------------------------------------------------

    @functools.cached_property
    def name(self) -> str:
        """The standard's or ml_dtypes' name, else ``eXmY``."""
        return _NAME_OF.get(self._fields, self._plain_name)

    @property
    def _plain_name(self) -> str:
        plain = f"e{self.exponent_bits}m{self.significand_bits}"
        if self.bias != _usual_bias(self.exponent_bits, self.specials):
            plain += f"b{self.bias}"
        return plain + ("" if self.specials == "ieee" else self.specials)

    @property
    def _fields(self) -> tuple[int, int, int, str]:
        return (self.exponent_bits, self.significand_bits, self.bias, self.specials)

    def __reduce__(self) -> tuple[Callable[..., Format], tuple[int, int, int, str]]:
        return (_from_fields, self._fields)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        figures = f"max={self.max:g}, eps={self.eps:g}, smallest_subnormal={self.smallest_subnormal:g}"
        hint = ""
        if self == float8_e4m3:
            hint = f"; IEEE-like: OCP's E4M3 is float8_e4m3fn, max {float8_e4m3fn.max:g}"
        return f"Format({self.name!r}, {figures}{hint})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """The same in IPython, and where Hypothesis shows an example: else it would list every field."""
        printer.text(repr(self))

    # Widths ---------------------------------------------------------------------------------------------------------

    @property
    def bits(self) -> int:
        """Width of a code."""
        return self.exponent_bits + self.significand_bits + (self.specials != "scale")

    @property
    def p(self) -> int:
        """Precision: significand bits, the hidden one counted."""
        return self.significand_bits + 1

    @property
    def decimal_digits(self) -> float:
        """``p * log10(2)``: 3.31 for float16, 7.22 for float32, 15.95 for float64."""
        return self.p * math.log10(2)

    # Range ----------------------------------------------------------------------------------------------------------

    @functools.cached_property
    def emin(self) -> int:
        """Exponent of the smallest normal number."""
        return (0 if self.specials == "scale" else 1) - self.bias

    @functools.cached_property
    def emax(self) -> int:
        """Exponent of the largest finite number."""
        top = 2**self.exponent_bits - 1 - self.bias
        if self.specials in ("ieee", "scale"):
            top -= 1
        return top

    @functools.cached_property
    def max(self) -> float:
        """Largest finite number."""
        ulps_below = 2 if self.specials == "fn" else 1
        return math.ldexp(2 ** (self.significand_bits + 1) - ulps_below, self.emax - self.significand_bits)

    @functools.cached_property
    def smallest_normal(self) -> float:
        """``2**emin``."""
        return math.ldexp(1.0, self.emin)

    @functools.cached_property
    def smallest_subnormal(self) -> float:
        """``2**(emin - significand_bits)``; the smallest normal number where there are no subnormal ones."""
        return math.ldexp(1.0, self.emin - self.significand_bits)

    @functools.cached_property
    def eps(self) -> float:
        """Distance from 1 to the next number: ``2**-significand_bits``."""
        return math.ldexp(1.0, -self.significand_bits)

    @functools.cached_property
    def unit_roundoff(self) -> float:
        """Largest relative error of one rounding to nearest: ``eps / 2``."""
        return self.eps / 2

    # Specials -------------------------------------------------------------------------------------------------------

    @functools.cached_property
    def has_inf(self) -> bool:
        """Whether infinity has a code."""
        return self.specials == "ieee"

    @functools.cached_property
    def has_nan(self) -> bool:
        """Whether NaN has a code."""
        return self.specials != "finite"

    @property
    def has_subnormals(self) -> bool:
        """Whether there are numbers between 0 and the smallest normal one."""
        return self.specials != "scale"

    @property
    def has_negative_zero(self) -> bool:
        """Whether -0 has a code of its own."""
        return self.specials not in ("fnuz", "scale")

    # Relations ------------------------------------------------------------------------------------------------------

    def holds(self, other: Format) -> bool:
        """Whether every value of `other`, specials included, is a value of this format.

        >>> import fpsim as fp
        >>> fp.float32.holds(fp.bfloat16), fp.float16.holds(fp.bfloat16)
        (True, False)
        """
        return _holds(self, other)

    @functools.cached_property
    def carrier(self) -> np.dtype[Any]:
        """The NumPy dtype in which fpsim keeps this format's values: float32 where that holds them, else float64."""
        return np.dtype(np.float32 if float32.holds(self) else np.float64)


@functools.cache
def _holds(a: Format, b: Format) -> bool:
    return (
        a.p >= b.p
        and a.max >= b.max
        and a.emin - a.significand_bits <= b.emin - b.significand_bits
        and a.has_inf >= b.has_inf
        and a.has_nan >= b.has_nan
        and a.has_negative_zero >= b.has_negative_zero
        and (a.specials != "scale" or a == b)
    )


def _usual_bias(exponent_bits: int, specials: str) -> int:
    return int(2 ** (exponent_bits - 1)) - (specials != "fnuz")


def _checked(exponent_bits: Any, significand_bits: Any, bias: Any, specials: Any) -> tuple[int, int, int, str]:
    """The four fields, or the reason why they are not a format."""
    limits = "exponent_bits from 2 to 11 and significand_bits from 1 to 52"
    if specials not in SPECIALS:
        raise FormatError(expected("Format", f"specials in {SPECIALS}", f"specials={specials!r}", "choose one"))
    for name, value, low, high in (
        ("exponent_bits", exponent_bits, 2, 11),
        ("significand_bits", significand_bits, 0 if specials == "scale" else 1, 52),
    ):
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or not low <= value <= high:
            raise FormatError(expected("Format", limits, f"{name}={value!r}", "choose a split that float64 holds"))
    exponent_bits, significand_bits = int(exponent_bits), int(significand_bits)
    if bias is None:
        bias = _usual_bias(exponent_bits, specials)
    if specials == "scale" and (exponent_bits, significand_bits, bias) != (8, 0, 127):
        got = f"e{exponent_bits}m{significand_bits} with specials='scale'"
        raise FormatError(expected("Format", "e8m0 as the only scale", got, "take float8_e8m0fnu"))
    reserved = 2 if specials == "ieee" else 1
    fits = isinstance(bias, int | np.integer) and (
        2**exponent_bits - reserved - bias <= 1023 and 1 - bias - significand_bits >= -1074
    )
    if not fits:
        raise FormatError(
            expected("Format", "a range that float64 holds exactly", f"bias={bias!r}", "use fewer exponent bits")
        )
    return exponent_bits, significand_bits, int(bias), specials


def _from_fields(exponent_bits: int, significand_bits: int, bias: int, specials: str) -> Format:
    return Format(exponent_bits=exponent_bits, significand_bits=significand_bits, bias=bias, specials=specials)


# Every float format of IEEE 754 that float64 holds, and of ml_dtypes, under its name there.
_NAMED: dict[str, tuple[int, int, int, str]] = {
    "float16": (5, 10, 15, "ieee"),
    "bfloat16": (8, 7, 127, "ieee"),
    "tfloat32": (8, 10, 127, "ieee"),
    "float32": (8, 23, 127, "ieee"),
    "float64": (11, 52, 1023, "ieee"),
    "float8_e3m4": (3, 4, 3, "ieee"),
    "float8_e4m3": (4, 3, 7, "ieee"),
    "float8_e4m3fn": (4, 3, 7, "fn"),
    "float8_e4m3fnuz": (4, 3, 8, "fnuz"),
    "float8_e4m3b11fnuz": (4, 3, 11, "fnuz"),
    "float8_e5m2": (5, 2, 15, "ieee"),
    "float8_e5m2fnuz": (5, 2, 16, "fnuz"),
    "float8_e8m0fnu": (8, 0, 127, "scale"),
    "float6_e2m3fn": (2, 3, 1, "finite"),
    "float6_e3m2fn": (3, 2, 3, "finite"),
    "float4_e2m1fn": (2, 1, 1, "finite"),
}
_NATIVE = {np.dtype(name): _NAMED[name] for name in ("float16", "float32", "float64")}
_NAME_OF = {fields: name for name, fields in _NAMED.items()}
_ALIASES = {
    "half": "float16",
    "fp16": "float16",
    "f16": "float16",
    "bf16": "bfloat16",
    "single": "float32",
    "float": "float32",
    "fp32": "float32",
    "f32": "float32",
    "double": "float64",
    "fp64": "float64",
    "f64": "float64",
    "tf32": "tfloat32",
    # the bare split of a named format whose specials are not IEEE's: e4m3fn, e5m2fnuz, e8m0fnu, e2m1fn ...
    **{name.partition("_")[2]: name for name in _NAMED if name.endswith(("fn", "fnuz", "fnu"))},
}
_SPLIT = re.compile(r"e(\d+)m(\d+)(?:b(-?\d+))?(fn|fnuz|finite|)")


def _parse(like: Any) -> tuple[int, int, int, str]:
    if isinstance(like, np.dtype) and (native := _NATIVE.get(like)):
        return native
    if like is float:
        return _NAMED["float64"]
    if isinstance(like, str):
        text = like.strip().lower()
        text = _ALIASES.get(text, text)
        if text in _NAMED:
            return _NAMED[text]
        if split := _SPLIT.fullmatch(text):
            exponent, significand, bias, specials = split.groups()
            return _checked(int(exponent), int(significand), int(bias) if bias else None, specials or "ieee")
    elif isinstance(like, np.dtype | type):
        name = np.dtype(like).name if not isinstance(like, type) else like.__name__
        if name in _NAMED:
            return _NAMED[name]
    names = [*_NAMED, *_ALIASES]
    near = nearest(like, names, otherwise=list(_NAMED)[:5])
    raise FormatError(
        expected("Format", "a floating-point format", repr(like), f"did you mean {near}? Or a split like e5m10")
    )


float16 = Format("float16")
bfloat16 = Format("bfloat16")
tfloat32 = Format("tfloat32")
float32 = Format("float32")
float64 = Format("float64")
float8_e3m4 = Format("float8_e3m4")
float8_e4m3 = Format("float8_e4m3")
float8_e4m3fn = Format("float8_e4m3fn")
float8_e4m3fnuz = Format("float8_e4m3fnuz")
float8_e4m3b11fnuz = Format("float8_e4m3b11fnuz")
float8_e5m2 = Format("float8_e5m2")
float8_e5m2fnuz = Format("float8_e5m2fnuz")
float8_e8m0fnu = Format("float8_e8m0fnu")
float6_e2m3fn = Format("float6_e2m3fn")
float6_e3m2fn = Format("float6_e3m2fn")
float4_e2m1fn = Format("float4_e2m1fn")

#: The named formats, widest first within a family; what `fpsim formats` prints.
NAMED: tuple[Format, ...] = tuple(Format(name) for name in _NAMED)
__all__ += list(_NAMED)


@dataclass(frozen=True)
class FormatInfo:
    """The figures of a format under `np.finfo`'s names and meanings; made by `finfo`."""

    dtype: Format
    bits: int
    eps: float
    epsneg: float
    iexp: int
    machep: int
    max: float
    maxexp: int
    min: float
    minexp: int
    negep: int
    nexp: int
    nmant: int
    precision: int
    resolution: float
    smallest_normal: float
    smallest_subnormal: float
    tiny: float


def finfo(fmt: Any) -> FormatInfo:
    """The figures of `fmt` under `np.finfo`'s names and meanings.

    >>> import fpsim as fp
    >>> fp.finfo("float16").max, fp.finfo("bfloat16").eps
    (65504.0, 0.0078125)
    """
    fmt = Format(fmt)
    m = fmt.significand_bits
    # NumPy's rule, but that ml_dtypes grants FP8 and E8M0 one digit where the rule gives none.
    digits = max(math.floor(m * math.log10(2)), 1 if fmt.has_nan else 0)
    # 1 - epsneg is the number below 1: where 1 is the smallest normal number the spacing does not shrink there.
    negep = -fmt.p if fmt.emin < 0 else -m
    scale = m - max(math.frexp(10.0**-digits)[1] - 1, fmt.emin)
    return FormatInfo(
        dtype=fmt,
        bits=fmt.bits,
        eps=fmt.eps,
        epsneg=2.0**negep,
        iexp=fmt.exponent_bits,
        machep=-m,
        max=fmt.max,
        maxexp=fmt.emax + 1,
        min=fmt.smallest_normal if fmt.specials == "scale" else -fmt.max,
        minexp=fmt.emin,
        negep=negep,
        nexp=fmt.exponent_bits,
        nmant=m,
        precision=digits,
        resolution=math.ldexp(round(math.ldexp(10.0**-digits, scale)), -scale),
        smallest_normal=fmt.smallest_normal,
        smallest_subnormal=fmt.smallest_subnormal,
        tiny=fmt.smallest_normal,
    )
