"""What a code means, by the definition of binary formats, in fractions.

Tests only. Imports nothing of fpsim.
"""

from __future__ import annotations

from fractions import Fraction

INF, NAN = "inf", "nan"


def usual_bias(exponent_bits: int, specials: str) -> int:
    """The middle of the exponents."""
    return 2 ** (exponent_bits - 1) - (0 if specials == "fnuz" else 1)


def meaning(code: int, exponent_bits: int, significand_bits: int, bias: int, specials: str) -> Fraction | str:
    """The number of a code; ``inf``, ``-inf`` or ``nan``."""
    sign = code >> (exponent_bits + significand_bits)
    field = code >> significand_bits & (2**exponent_bits - 1)
    fraction = code & (2**significand_bits - 1)
    ones = field == 2**exponent_bits - 1
    if specials == "ieee" and ones:
        return NAN if fraction else "-" * sign + INF
    if specials == "fn" and ones and fraction == 2**significand_bits - 1:
        return NAN
    if specials == "fnuz" and sign and not field and not fraction:
        return NAN
    hidden = 2**significand_bits if field else 0
    magnitude = (hidden + fraction) * Fraction(2) ** (max(field, 1) - bias - significand_bits)
    return -magnitude if sign else magnitude
