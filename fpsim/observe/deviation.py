"""How far values are from what they should be: relative, in units in the last place, and on which side.

Layer 7. Sums over elements, so that what many operations did adds up; knows no tensors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np

from fpsim.formats import Format
from fpsim.rounding.kernel import Array

__all__ = ["Deviation", "deviation", "ulps_of"]


@dataclass
class Deviation:
    """Errors of many elements, as sums; what is asked for is derived.

    Attributes
    ----------
    elements : int
        Compared.
    finite : int
        Of these, where the value and what it should be are finite: only these are in the sums.
    lost : int
        Where just one of the two is finite: an overflow, a NaN made on the way, or an infinity cut off.
    wrong : int
        Finite, and not exactly what it should be.
    """

    elements: int = 0
    finite: int = 0
    lost: int = 0
    wrong: int = 0
    #: of |error / reference|, over the nonzero references
    relative_sum: float = 0.0
    relative_count: int = 0
    relative_max: float = 0.0
    ulp_sum: float = 0.0
    ulp_abs_sum: float = 0.0
    ulp_max: float = 0.0
    squared_error: float = 0.0
    squared_reference: float = 0.0

    def __iadd__(self, other: Deviation) -> Deviation:
        for f in fields(self):
            mine, theirs = getattr(self, f.name), getattr(other, f.name)
            setattr(self, f.name, max(mine, theirs) if f.name.endswith("_max") else mine + theirs)
        return self

    @property
    def relative(self) -> float:
        """Mean of ``|error / reference|``, where the reference is not zero."""
        return self.relative_sum / self.relative_count if self.relative_count else 0.0

    @property
    def ulp(self) -> float:
        """Mean magnitude of the error, in ulps."""
        return self.ulp_abs_sum / self.finite if self.finite else 0.0

    @property
    def bias(self) -> float:
        """Mean of the signed error, in ulps: rounding to nearest has nearly none, truncation half an ulp to zero."""
        return self.ulp_sum / self.finite if self.finite else 0.0

    @property
    def norm(self) -> float:
        """``||error|| / ||reference||``, Euclidean; infinite where the reference is all zero and the error is not."""
        if not self.squared_error:
            return 0.0
        return math.sqrt(self.squared_error / self.squared_reference) if self.squared_reference else math.inf

    @property
    def exact(self) -> bool:
        """Whether there is no error at all."""
        return not self.wrong and not self.lost


def ulps_of(reference: Array, fmt: Format) -> Array:
    """One unit in the last place of `fmt` at finite references; that of its largest numbers beyond them."""
    _, exponent = np.frexp(reference)
    return np.ldexp(1.0, np.clip(exponent - 1, fmt.emin, fmt.emax) - fmt.significand_bits)


def deviation(values: Array, reference: Array, fmt: Format) -> Deviation:
    """Compare values with what they should be; ulps are those of `fmt` at the reference.

    >>> import fpsim as fp
    >>> d = deviation(np.array([1.0, 2.0]), np.array([1.0, 2.0 + 2**-10]), fp.float16)
    >>> d.wrong, d.ulp_max, d.bias
    (1, 0.5, -0.25)
    """
    d = Deviation(elements=values.size, finite=values.size)
    if not values.size:
        return d
    with np.errstate(all="ignore"):
        error = values - reference
        if not np.isfinite(error).all():
            both = np.isfinite(values) & np.isfinite(reference)
            same = (values == reference) | (np.isnan(values) & np.isnan(reference))
            d.finite = int(np.count_nonzero(both))
            d.lost = int(values.size - np.count_nonzero(both | same))
            error, reference = error[both], reference[both]
        d.wrong = int(np.count_nonzero(error))
        d.squared_reference = float(np.sum(reference * reference))
        d.relative_count = int(np.count_nonzero(reference))
        if d.wrong:
            _add_sizes(d, error, reference, fmt)
    return d


def _add_sizes(d: Deviation, error: Array, reference: Array, fmt: Format) -> None:
    magnitude = np.abs(error)
    relative = magnitude / np.abs(reference)
    relative = relative[reference != 0] if d.relative_count < reference.size else relative
    ulps = ulps_of(reference, fmt)
    in_ulps = magnitude / ulps
    d.relative_sum, d.relative_max = float(np.sum(relative)), float(relative.max(initial=0.0))
    d.ulp_abs_sum, d.ulp_max = float(np.sum(in_ulps)), float(in_ulps.max())
    d.ulp_sum = float(np.sum(error / ulps))
    d.squared_error = float(np.sum(error * error))
