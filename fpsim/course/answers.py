"""Answers of students, compared as people would: 2048 is 2048.0, a list is an array, a format is its name.

Layer 11. Knows no exercise.
"""

from __future__ import annotations

import cmath
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from numbers import Number
from typing import Any

import numpy as np

from fpsim.autograd.tensor import Tensor
from fpsim.formats import Format

__all__ = ["nothing", "same", "what"]


#: What an answer may be, and how to call it; True is a number too, so it comes first.
KINDS: tuple[tuple[Any, str], ...] = (
    (bool, "True or False"),
    (Number, "a number"),
    (str, "a word"),
    (set | frozenset, "a set"),
    (Mapping, "a dictionary"),
)


def same(answer: Any, wanted: Any, within: float = 0.0) -> bool:
    """Whether an answer is the one that is wanted; numbers up to the relative error `within`, NaN equal to NaN.

    >>> same(np.float16(2048), 2048), same([1, 2], np.array([1.0, 2.0])), same("Float16 ", Format("float16"))
    (True, True, True)
    >>> same(True, 1.0), same("2048", 2048), same(3.15, 3.14, within=0.01)
    (False, False, True)
    """
    try:
        return _same(_plain(answer), _plain(wanted), within)
    except Exception:  # an answer that cannot even be compared is not the one that is wanted
        return False


def nothing(answer: Any) -> bool:
    """Whether there is no answer yet: None or ``...``, or only such in a list, as an empty function gives.

    >>> nothing(...), nothing([None, None]), nothing([]), nothing(0)
    (True, True, False, False)
    """
    if type(answer) in (list, tuple):
        return len(answer) > 0 and all(part is None or part is ... for part in answer)
    return answer is None or answer is ...


def what(answer: Any) -> str:
    """What kind of thing an answer is, in a student's words.

    >>> what(0.5), what([1, 2]), what("float16"), what(len)
    ('a number', 'a sequence of 2', 'a word', 'a function')
    """
    try:
        plain = _plain(answer)
        if isinstance(plain, list):
            return f"a sequence of {len(plain)}"
        for kind, name in KINDS:
            if isinstance(plain, kind):
                return name
        if callable(plain):
            return "a function"
    except Exception:  # it resists being looked at
        pass
    return f"of type {type(answer).__name__}"


def _plain(x: Any) -> Any:
    """Without NumPy's and fpsim's types: a number, a word, a list, or what it was."""
    if isinstance(x, Tensor):
        x = x.numpy()
    if isinstance(x, Format):
        return x.name
    if isinstance(x, np.dtype) or (isinstance(x, type) and issubclass(x, np.generic)):
        return np.dtype(x).name
    if isinstance(x, np.generic):
        x = x.item()
    if isinstance(x, np.ndarray):
        x = x.item() if x.size == 1 else list(x)
    if isinstance(x, np.generic):  # ml_dtypes's items, and long doubles, are NumPy scalars still
        x = float(x)
    if isinstance(x, str):
        return x.strip().lower()
    return list(x) if isinstance(x, tuple) else x


def _same(answer: Any, wanted: Any, within: float) -> bool:
    if isinstance(wanted, Mapping):
        return (
            isinstance(answer, Mapping)
            and answer.keys() == wanted.keys()
            and all(same(answer[key], wanted[key], within) for key in wanted)
        )
    if isinstance(wanted, set | frozenset):
        given = list(answer) if isinstance(answer, set | frozenset | list) else []
        return len(given) == len(wanted) and all(any(same(a, w, within) for a in given) for w in wanted)
    if isinstance(wanted, list):
        return (
            isinstance(answer, list)
            and len(answer) == len(wanted)
            and all(same(a, w, within) for a, w in zip(answer, wanted, strict=True))
        )
    if isinstance(wanted, bool) or isinstance(answer, bool):
        return isinstance(wanted, bool) and isinstance(answer, bool) and answer == wanted
    if isinstance(wanted, Number):
        return isinstance(answer, Number) and _same_number(answer, wanted, within)
    if isinstance(answer, str) and isinstance(wanted, str) and answer != wanted:
        return Format(answer) == Format(wanted)  # half, fp16 and float16 are one
    return type(answer) is type(wanted) and bool(answer == wanted)


def _same_number(answer: Any, wanted: Any, within: float) -> bool:
    a, w = (Fraction(x) if isinstance(x, Decimal) and x.is_finite() else x for x in (answer, wanted))
    if a == w or not within:
        return bool(a == w) or (cmath.isnan(complex(a)) and cmath.isnan(complex(w)))
    return cmath.isfinite(complex(w)) and abs(complex(a) - complex(w)) <= within * abs(complex(w))
