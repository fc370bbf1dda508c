"""Means over seeds and Student's intervals around them.

Layer 8. Numbers in, numbers out; knows no run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from fpsim.errors import ArgumentError, expected

__all__ = ["Mean", "mean_of", "t_quantile"]


class Mean(NamedTuple):
    """A mean of `n` values; where they are normally distributed, `half_width` on each side holds the true one.

    One value has no interval: its `half_width` is NaN. A value that is infinite or NaN spoils the mean, as it should.
    """

    mean: float
    half_width: float
    n: int

    def __str__(self) -> str:
        return f"{self.mean:.4g}" + (f" ± {self.half_width:.2g}" if math.isfinite(self.half_width) else "")


def mean_of(values: Sequence[float], confidence: float = 0.95) -> Mean:
    """The mean of independent values with its interval: ``mean ± t(n - 1) * s / sqrt(n)``.

    >>> print(mean_of([1.0, 2.0, 3.0]))
    2 ± 2.5
    """
    n = len(values)
    if n == 0:
        raise ArgumentError(expected("mean", "values, at least one", "none", "give the runs of one seed or more"))
    mean = math.fsum(values) / n if all(map(math.isfinite, values)) else sum(values) / n
    if n == 1 or not math.isfinite(mean):
        return Mean(mean, math.nan, n)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    return Mean(mean, t_quantile((1 + confidence) / 2, n - 1) * deviation / math.sqrt(n), n)


def t_quantile(probability: float, freedom: int) -> float:
    """The value that a variable with Student's distribution stays below with this probability, above one half.

    The distribution function of whole degrees of freedom is a finite sum of powers of the cosine of
    ``atan(t / sqrt(freedom))``: Abramowitz & Stegun 26.7.3 and 26.7.4. Halving the angle's interval inverts it.

    >>> round(t_quantile(0.975, 4), 3)
    2.776
    """
    if not 0.5 < probability < 1:
        raise ArgumentError(
            expected("interval", "a confidence between 0 and 1", f"{2 * probability - 1:g}", "give 0.95 for 95 %")
        )
    low, high = 0.0, math.pi / 2
    while low < (middle := (low + high) / 2) < high:
        if _within(middle, freedom) < 2 * probability - 1:
            low = middle
        else:
            high = middle
    return math.sqrt(freedom) * math.tan(middle)


def _within(angle: float, freedom: int) -> float:
    """The probability of ``|t| < sqrt(freedom) * tan(angle)``."""
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for k in range(odd, freedom - 1, 2):
        total += term
        term *= cosine * cosine * (k + 1) / (k + 2)
    return 2 / math.pi * (angle + sine * total) if odd else sine * total
