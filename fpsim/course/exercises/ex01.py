"""The exercises of 01_anatomy_of_a_float.

Layer 11. What is right is read off the formats themselves.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fpsim.course.checks import Exercise
from fpsim.formats import Format, float8_e4m3fn, float16
from fpsim.rounding import decode
from fpsim.rounding import round as rounded

__all__ = ["EXERCISES"]

#: Codes on which a student's `value` is tried: both ends of every exponent, and all that is subnormal.
CODES = sorted({0, 1, 2, 3, 341, 512, 614, 1022, 1023, *(e << 10 | t for e in range(1, 31) for t in (0, 1, 614, 1023))})


def _values(value: Any) -> list[Any]:
    return [value(code) for code in CODES]


def _first_missing(fmt: Format) -> int:
    return next(n for n in range(1, 1000) if rounded(float(n), fmt) != n)


def _finest_reaching(largest: float) -> str:
    splits = [Format(f"e{e}m{15 - e}") for e in range(2, 11)]
    return min((fmt for fmt in splits if fmt.max >= largest), key=lambda fmt: fmt.eps).name


def _as_if_normal(code: int) -> float:
    return 2.0 ** ((code >> 10) - 15) * (1 + (code & 1023) / 1024)


def _one_power_too_low(code: int) -> float:
    e, t = code >> 10, code & 1023
    return 2.0**-15 * t / 1024 if e == 0 else _as_if_normal(code)


EXERCISES = (
    Exercise(
        "ex01.1",
        right=lambda: decode(np.uint16(0b0_10001_0100000000), float16),
        hint="read the middle five bits as a whole number, take away the bias; the last ten are a fraction of 1024",
        wrong=[
            (1.0, "a power of two times 0.25: the 1 that nobody stores is missing in front of the fraction"),
            (163840.0, "the exponent field was taken as it stands. Its bias lets it mean small powers, too"),
        ],
        misconception="the fields hold the exponent and the significand themselves (no bias, no hidden bit)",
    ),
    Exercise(
        "ex01.2",
        right=lambda: _first_missing(float8_e4m3fn),
        hint="whole numbers are complete up to 2 to the power p, where the spacing becomes 2",
        wrong=[
            (9, "2 to the power of the stored bits, and one more. How many bits does the significand really have?"),
            (16, "a power of two has a significand of 1.0: it is always there. Its neighbour is not"),
            (449, "the range ends there, but whole numbers are missing long before"),
        ],
        misconception="a format has all whole numbers up to its largest one (or: the hidden bit does not count)",
    ),
    Exercise(
        "ex01.3",
        right=lambda: _finest_reaching(1e6),
        hint="with e exponent bits the largest number is nearly 2 to the power 2^(e-1). What is the least e that "
        "reaches a million, and what is left of the 16 bits?",
        wrong=[
            ("e5m10", "that is float16: a million is infinite there"),
            (
                "e8m7",
                "that is bfloat16: it reaches a million, and 3e38 too. Range that nobody needs costs significand bits",
            ),
        ],
        misconception="more range than needed is free",
    ),
    Exercise(
        "ex01.4",
        right=lambda: [float(x) for x in decode(np.array(CODES, np.uint16), float16)],
        measure=_values,
        hint="split the code with >> 10 and & 1023 and use the formula of section 1; then try 0 and 1, where the "
        "exponent field is empty and another rule holds",
        wrong=[
            (
                _as_if_normal,
                "right for normal numbers. But code 0 must give 0: with an exponent field of 0 there is no hidden bit",
            ),
            (
                _one_power_too_low,
                "nearly: but the numbers must go on evenly below the smallest normal one. Is code 1 half of code 2, "
                "and is code 1023 one step below code 1024?",
            ),
        ],
        misconception="subnormal numbers follow the formula of the normal ones, with an exponent of 0",
    ),
)
