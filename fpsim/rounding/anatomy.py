"""`inspect`: one number in one format, taken apart: bits, exact value, error, neighbours, and why.

Layer 1. Everything said of the stored number is exact; the rounding itself is `kernel`'s, the code `codes`'.
"""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, localcontext
from fractions import Fraction
from typing import Any

import numpy as np

from fpsim.errors import ArgumentError, ArgumentTypeError, FormatError, expected
from fpsim.formats import Format
from fpsim.rounding.codes import checked_mode, decode, draw_key, encode, nextafter, ulp
from fpsim.rounding.kernel import round_to
from fpsim.rounding.wide import Wide

__all__ = ["Anatomy", "inspect", "largest", "overflow_rule"]

#: Decimal exponents of what `inspect` takes: far beyond every format, and quick.
FARTHEST_DECIMAL = 1000
#: Digits of an exact decimal that a line shows; the attribute has them all.
SHOWN = 72


@dataclass(frozen=True)
class Anatomy:
    """One number in one format; made by `inspect`.

    Attributes
    ----------
    value : str
        What was given, exactly.
    format : Format
    mode : str
        The rounding mode.
    stored : float
        What the format holds instead.
    decimal : str
        All digits of `stored`.
    kind : str
        ``zero subnormal normal inf nan``.
    sign, exponent, significand : str
        The fields of the code, as bits; empty where the format has none.
    code : str
        The fields together, in hexadecimal.
    exponent_value : int or None
        e of ``stored = +-s * 2**e``, 1 <= s < 2 (subnormal numbers and zero: emin); None for inf and nan.
    error, error_ulp, relative_error : Fraction or None
        ``stored - value``; the same in ulps of `stored`; divided by `value`. None where one of them is not finite.
    ulp : float or None
    below, above : float or None
        The format's next values around `stored`; None where there is none.
    note : str
        What happened, in a sentence.
    """

    value: str
    format: Format
    mode: str
    stored: float
    decimal: str
    kind: str
    sign: str
    exponent: str
    significand: str
    code: str
    exponent_value: int | None
    error: Fraction | None
    error_ulp: Fraction | None
    relative_error: Fraction | None
    ulp: float | None
    below: float | None
    above: float | None
    note: str

    @property
    def binary(self) -> str:
        """The stored number as its fields mean it: ``+1.1001100110b x 2**-4 = 1638 x 2**-14``."""
        if self.exponent_value is None or self.ulp is None:
            return str(self.stored)
        hidden, sign = int(self.kind == "normal"), "-" if math.copysign(1.0, self.stored) < 0 else "+"
        point = f".{self.significand}" if self.significand else ""
        units = int(Fraction(abs(self.stored)) / Fraction(self.ulp))
        return f"{sign}{hidden}{point}b x 2**{self.exponent_value} = {sign.strip('+')}{units} x {_power(self.ulp)}"

    def to_dict(self) -> dict[str, Any]:
        """Everything as strings and floats; fractions as the nearest float."""
        plain = {**self.__dict__, "format": self.format.name}
        return {k: _nearest(v) if isinstance(v, Fraction) else v for k, v in plain.items()}

    def _rows(self) -> list[tuple[str, str]]:
        """What is said below the bits, a label and a line each."""
        rows = [("means", self.binary if self.ulp is None else f"{self.binary} ({self.kind})")]
        rows.append(("stored", _cut(self.decimal)))
        rows.append(("given", _cut(self.value)))
        if self.error is not None and self.error_ulp is not None:
            text = f"{_digits(self.error)} = {_digits(self.error_ulp)} ulp" if self.error else "0, exact"
            text += f", relative {_digits(self.relative_error)}" if self.relative_error else ""
            rows.append(("error", text))
        if self.ulp is not None:
            rows.append(("ulp", f"{_power(self.ulp)} = {_digits(Fraction(self.ulp))}"))
        if self.kind != "nan":
            below, above = ("none" if n is None else _neat(n) for n in (self.below, self.above))
            rows.append(("neighbours", f"{below} below, {above} above"))
        return [*rows, ("note", self.note)]

    def __repr__(self) -> str:
        fields = " ".join(bits for bits in (self.sign, self.exponent, self.significand) if bits)
        names = [name for name in ("sign", "exponent", "significand") if getattr(self, name)]
        lines = [f"{_cut(self.value, 24)} in {_described(self.format)}, rounded {self.mode}"]
        lines += [f"  {'bits':<10}  {fields}  ({' '.join(names)}; code {self.code})"]
        for label, text in self._rows():
            first, *more = textwrap.wrap(text, 96) if label == "note" else [text]
            lines += [f"  {label:<10}  {first}", *(" " * 14 + line for line in more)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        import html

        boxes = "".join(
            f'<span style="display:inline-block;margin:0 .6em .3em 0;vertical-align:top">'
            f'<span style="display:flex;flex-wrap:wrap">{_boxes(bits, colour)}</span>'
            f'<span style="font-size:80%">{name}</span></span>'
            for name, bits, colour in (
                ("sign", self.sign, "#E69F00"),
                ("exponent", self.exponent, "#56B4E9"),
                ("significand", self.significand, "#5FC9A5"),
            )
            if bits
        )
        cell = "text-align:left;vertical-align:top;padding:.1em 1em .1em 0"
        rows = "".join(
            f'<tr style="background:none"><td style="{cell};opacity:.75">{label}</td>'
            f'<td style="{cell};overflow-wrap:anywhere">{html.escape(text)}</td></tr>'
            for label, text in [("code", self.code), *self._rows()]
        )
        title = html.escape(f"{_cut(self.value, 24)} in {_described(self.format)}, rounded {self.mode}")
        return (
            '<div style="color:inherit;line-height:1.4;max-width:60em">'
            f'<div style="margin-bottom:.4em"><b>{title}</b></div><div>{boxes}</div>'
            f'<table style="border-collapse:collapse;color:inherit">{rows}</table></div>'
        )


def inspect(value: Any, fmt: Any, mode: str = "nearest_even", rng: np.random.Generator | None = None) -> Anatomy:
    """Take one number apart as `fmt` stores it.

    Parameters
    ----------
    value : str, float, int, Fraction, Decimal or NumPy number
        A string is the decimal number (or ratio) that it spells; a float is its own value, which is rarely that.
    fmt : format
    mode : str
        A rounding mode; ``stochastic`` needs `rng`.

    Raises
    ------
    FormatError
        A number that the format refuses: NaN in FP6 and FP4, what is not positive in E8M0.

    Notes
    -----
    Precision: rounded once from the exact value; error, ulp and decimals are exact.

    Examples
    --------
    >>> import fpsim as fp
    >>> fp.inspect("0.1", "float16")
    0.1 in float16 (1 + 5 + 10 bits), rounded nearest_even
      bits        0 01011 1001100110  (sign exponent significand; code 0x2e66)
      means       +1.1001100110b x 2**-4 = 1638 x 2**-14 (normal)
      stored      0.0999755859375
      given       0.1
      error       -2.44141e-5 = -0.4 ulp, relative -0.000244141
      ulp         2**-14 = 6.10352e-5
      neighbours  0.09991455078125 below, 0.10003662109375 above
      note        between 0.0999755859375 and 0.10003662109375: the first is nearer.
    """
    fmt, mode = Format(fmt), checked_mode("inspect", mode, rng)
    exact, text = _exact(value)
    if fmt.specials == "scale":
        code = _scale_code(exact, text, fmt, mode)
        stored = float(decode(code, fmt))
    else:
        if exact != exact and not fmt.has_nan:
            invariant = f"a number that {fmt.name} has"
            raise FormatError(expected("inspect", invariant, "value=nan", "choose a format with NaN"))
        key = draw_key(rng) if mode == "stochastic" and rng is not None else 0
        stored = float(round_to(_wide(exact), fmt, mode, key=key))
        code = int(encode(stored, fmt))
    bits = f"{code:0{fmt.bits}b}"
    sign, rest = ("", bits) if fmt.specials == "scale" else (bits[0], bits[1:])
    exponent, significand = rest[: fmt.exponent_bits], rest[fmt.exponent_bits :]
    finite = math.isfinite(stored)
    unit = float(ulp(stored, fmt)) if finite else None
    error = Fraction(stored) - Fraction(exact) if finite and _is_number(exact) else None
    below, above = _neighbours(stored, code, fmt)
    return Anatomy(
        value=text,
        format=fmt,
        mode=mode,
        stored=stored,
        decimal=_plain(stored),
        kind=_kind(stored, fmt),
        sign=sign,
        exponent=exponent,
        significand=significand,
        code=f"{code:#0{2 + -(-fmt.bits // 4)}x}",
        exponent_value=max(math.frexp(stored)[1] - 1, fmt.emin) if stored and finite else fmt.emin if finite else None,
        error=error,
        error_ulp=None if error is None or unit is None else error / Fraction(unit),
        relative_error=None if error is None or not exact else error / Fraction(exact),
        ulp=unit,
        below=below,
        above=above,
        note=_note(exact, text, stored, below, above, fmt, mode),
    )


# The number given ----------------------------------------------------------------------------------------------------


def _exact(value: Any) -> tuple[Fraction | float, str]:
    """The value as a fraction, or a float where it is a zero, infinite or NaN; and its exact spelling."""
    try:
        if isinstance(value, str):
            text = value.strip()
            special = text.lower().lstrip("+-")
            if special in ("inf", "infinity", "nan"):
                return float(text), str(float(text))
            # an exponent is looked at before its power of ten is computed
            decimal = Decimal(text) if "/" not in text else Decimal(0)
            exact = Fraction(text) if abs(decimal.adjusted()) <= FARTHEST_DECIMAL else None
        else:
            if not hasattr(value, "as_integer_ratio"):
                value = float(value)
            if value != value or value in (math.inf, -math.inf):
                return float(value), str(float(value))
            exact = Fraction(*value.as_integer_ratio())
            text = "" if not exact or abs(_log2(exact)) > 3.4 * FARTHEST_DECIMAL else _spelt(exact)
    except (ValueError, TypeError, ArithmeticError):
        got = f"value={value!r}"
        raise ArgumentTypeError(expected("inspect", "one real number", got, 'write it like 0.1 or "0.1"')) from None
    if exact is None or (exact and abs(_log2(exact)) > 3.4 * FARTHEST_DECIMAL):
        limit = f"a number between 1e-{FARTHEST_DECIMAL} and 1e{FARTHEST_DECIMAL}"
        raise ArgumentError(expected("inspect", limit, "one far outside", "no format reaches that far"))
    if exact:
        return exact, text
    negative = text.startswith("-") if isinstance(value, str) else math.copysign(1.0, float(value)) < 0
    return (-0.0, text or "-0.0") if negative else (0.0, text or "0")


def _log2(x: Fraction) -> int:
    """Exponent e with ``2**e <= |x| < 2**(e + 1)``."""
    n, d = abs(x.numerator), x.denominator
    e = n.bit_length() - d.bit_length()
    return e if n << max(-e, 0) >= d << max(e, 0) else e - 1


def _to_odd(x: Fraction) -> tuple[int, Fraction]:
    """53 bits of ``0 <= x``, cut off, the last one set if anything was cut; and what was cut."""
    whole = x.numerator // x.denominator
    return whole | (x != whole), x - whole


def _wide(exact: Fraction | float) -> Wide:
    """An exact number for the kernel: 106 bits, the last set to odd, decide every rounding."""
    if isinstance(exact, float):
        return Wide.of(exact)
    exponent = _log2(exact) + 1
    scaled = abs(exact) * Fraction(2) ** (53 - exponent)
    high = scaled.numerator // scaled.denominator
    low, _ = _to_odd((scaled - high) * 2**53)
    sign = 1 if exact > 0 else -1
    # beyond 2**1100 every format has overflowed
    return Wide(np.float64(sign * math.ldexp(high, -53)), sign * math.ldexp(low, -106), min(exponent, 1100))  # type: ignore[arg-type]


def _scale_code(exact: Fraction | float, text: str, fmt: Format, mode: str) -> int:
    """The code of the nearest power of two."""
    remedy = "it codes scales only"
    if mode != "nearest_even":
        raise ArgumentError(expected("inspect", f"mode='nearest_even' for {fmt.name}", f"mode={mode!r}", remedy))
    if exact <= 0:
        raise FormatError(expected("inspect", f"a positive value for {fmt.name}", f"value={text}", remedy))
    if isinstance(exact, Fraction):
        exponent = _log2(exact) + 1
        bits, _ = _to_odd(exact * Fraction(2) ** (53 - exponent))
        exact = math.ldexp(bits, min(max(exponent, -1000), 1000) - 53)
    return int(encode(exact, fmt))


# What is said of it --------------------------------------------------------------------------------------------------


def _kind(stored: float, fmt: Format) -> str:
    if math.isnan(stored):
        return "nan"
    if math.isinf(stored):
        return "inf"
    return "zero" if stored == 0 else "subnormal" if abs(stored) < fmt.smallest_normal else "normal"


def _neighbours(stored: float, code: int, fmt: Format) -> tuple[float | None, float | None]:
    if fmt.specials == "scale":
        values = decode(np.arange(2**fmt.bits), fmt)
        around = [float(values[i]) if 0 <= i < 2**fmt.bits else math.nan for i in (code - 1, code + 1)]
        around = [math.nan, math.nan] if math.isnan(stored) else around
    else:
        around = [float(nextafter(stored, goal, fmt)) for goal in (-math.inf, math.inf)]
    below, above = (None if math.isnan(n) or n == stored else n for n in around)
    return below, above


def _note(
    exact: Fraction | float, text: str, stored: float, below: float | None, above: float | None, fmt: Format, mode: str
) -> str:
    """What happened to the number, in a sentence."""
    if not _is_number(exact):
        return _note_of_special(float(exact), fmt)
    if exact == 0:
        signed = math.copysign(1, exact) < 0
        if signed and not fmt.has_negative_zero:
            return f"{fmt.name} has no -0: +0 is stored."
        return "zero with its sign bit set; it compares equal to +0." if signed else "stored exactly."
    if abs(Fraction(exact)) > Fraction(fmt.max):
        nearly = fmt.has_nan and mode.startswith("nearest") and math.isfinite(stored)
        exceeds = f"{_cut(text.lstrip('+-'), 24)} exceeds {largest(fmt)}"
        return f"{exceeds}{', but only' if nearly else ';'} {overflow_rule(fmt, mode)}."
    choice = "stored exactly" if Fraction(stored) == exact else _choice(Fraction(exact), stored, below, above, mode)
    if stored == 0:
        return f"smaller than {_power(fmt.smallest_subnormal)}, the smallest number above 0; {choice}."
    if abs(stored) < fmt.smallest_normal:
        left = int(abs(stored) / fmt.smallest_subnormal).bit_length()
        start = f"below {_power(fmt.smallest_normal)} numbers are subnormal"
        return f"{start}: {left} of {fmt.p} significand bits {'is' if left == 1 else 'are'} left; {choice}."
    return f"{choice}."


def _note_of_special(exact: float, fmt: Format) -> str:
    if math.isnan(exact):
        return {
            "ieee": "not a number: exponent bits all ones, significand not zero.",
            "fnuz": f"not a number: what would be -0 is {fmt.name}'s only NaN.",
        }.get(fmt.specials, f"not a number: the code of all ones is {fmt.name}'s NaN.")
    if fmt.has_inf:
        return "infinity: exponent bits all ones, significand zero."
    if fmt.has_nan:
        return f"{fmt.name} has no infinity: nan is stored."
    return f"{fmt.name} has neither infinity nor NaN: the largest number is stored."


def _choice(exact: Fraction, stored: float, below: float | None, above: float | None, mode: str) -> str:
    """Between which two values the number lies, and why it became the one it did."""
    other = above if Fraction(stored) < exact else below
    if other is None:
        return f"{_neat(stored)} is the last number"
    first, second = sorted((stored, other))
    which = "first" if stored == first else "second"
    between = f"between {_neat(first)} and {_neat(second)}"
    if not mode.startswith("nearest"):
        return f"{between}: {mode} takes the {which}"
    if exact - Fraction(first) == Fraction(second) - exact:
        why = "whose last bit is 0" if mode == "nearest_even" else "away from zero"
        return f"half-way {between}: the {which}, {why}, is taken"
    return f"{between}: the {which} is nearer"


def overflow_rule(fmt: Format, mode: str = "nearest_even") -> str:
    """What becomes of numbers beyond the format's largest.

    >>> from fpsim import float16, float8_e4m3fn, float4_e2m1fn
    >>> overflow_rule(float16), overflow_rule(float8_e4m3fn)
    ('from 65520 on rounds to inf', 'above 464 rounds to nan')
    >>> overflow_rule(float4_e2m1fn), overflow_rule(float16, "toward_zero")
    ('float4_e2m1fn has neither inf nor nan and keeps its largest', 'toward_zero keeps the largest')
    """
    if not fmt.has_nan:
        return f"{fmt.name} has neither inf nor nan and keeps its largest"
    instead = "inf" if fmt.has_inf else "nan"
    if mode == "toward_zero":
        return "toward_zero keeps the largest"
    if mode in ("up", "down"):
        here, there = ("above", "below") if mode == "up" else ("below", "above")
        return f"{mode} gives {instead} {here} zero and keeps the largest {there}"
    if mode == "stochastic":
        return f"stochastic rounding may give {instead}"
    shown = _apart(_overflow_limit(fmt), Fraction(fmt.max))[0]
    # half-way goes to even, or away from zero: the largest number of `fn` is even
    included = fmt.specials != "fn" or mode == "nearest_away"
    return f"from {shown} on rounds to {instead}" if included else f"above {shown} rounds to {instead}"


def largest(fmt: Format) -> str:
    """The largest number, in the digits that tell it from where overflow begins."""
    return _apart(Fraction(fmt.max), _overflow_limit(fmt))[0]


def _overflow_limit(fmt: Format) -> Fraction:
    """Half-way between the largest number and the one that would follow."""
    return Fraction(fmt.max) + Fraction(float(ulp(fmt.max, fmt))) / 2


# Numbers as text -----------------------------------------------------------------------------------------------------


def _is_number(x: Fraction | float) -> bool:
    return isinstance(x, Fraction) or math.isfinite(x)


def _decimal_context(digits: int) -> Context:
    return Context(prec=digits, Emax=10**6, Emin=-(10**6))


def _spelt(x: Fraction) -> str:
    """All digits where they end, else the ratio."""
    with localcontext(_decimal_context(4000)) as context:
        quotient = Decimal(x.numerator) / Decimal(x.denominator)
        if context.flags[Inexact]:
            return str(x)
        return format(quotient, "f") if -10 <= quotient.adjusted() <= 20 else str(quotient).replace("E", "e")


def _plain(x: float) -> str:
    """All digits of a float."""
    return _spelt(Fraction(x)) if math.isfinite(x) and x else f"{x:g}"


def _neat(x: float) -> str:
    """All digits of a float where they are few, else enough to tell it from every other."""
    text = _plain(x)
    return text if len(text) <= 20 else repr(x)


def _digits(x: Fraction, digits: int = 6) -> str:
    """Like ``%g``, of any size."""
    with localcontext(_decimal_context(digits)):
        rounded = (Decimal(x.numerator) / Decimal(x.denominator)).normalize()
    return format(rounded, "f") if -5 < rounded.adjusted() < 9 else format(rounded, "e")


def _apart(x: Fraction, y: Fraction) -> tuple[str, str]:
    """Two numbers in as few digits, at least 6, as tell them apart."""
    for digits in range(6, 40):
        texts = _digits(x, digits), _digits(y, digits)
        if texts[0] != texts[1]:
            break
    return texts


def _cut(text: str, shown: int = SHOWN) -> str:
    """A long number's first digits and its exponent."""
    if len(text) <= shown + 16:
        return text
    digits, e, exponent = text.partition("e")
    if not e and "." not in digits and "/" not in digits:
        e, exponent = "e", f"+{len(digits.lstrip('-')) - 1}"
        digits = digits[: 2 if digits[0] == "-" else 1] + "." + digits[2 if digits[0] == "-" else 1 :]
    return f"{digits[:shown]}...{e}{exponent}"


def _power(x: float) -> str:
    """A power of two as one."""
    return f"2**{math.frexp(x)[1] - 1}"


def _nearest(x: Fraction) -> float:
    try:
        return float(x)
    except OverflowError:
        return math.inf if x > 0 else -math.inf


def _described(fmt: Format) -> str:
    sign = "" if fmt.specials == "scale" else "1 + "
    return f"{fmt.name} ({sign}{fmt.exponent_bits} + {fmt.significand_bits} bits)"


def _boxes(bits: str, colour: str) -> str:
    style = (
        f"display:inline-block;width:1.2em;text-align:center;font-family:monospace;background:{colour};"
        "color:#000;border:1px solid #555;margin:0 -1px -1px 0"
    )
    return "".join(f'<span style="{style}">{bit}</span>' for bit in bits)
