"""Functions with one fault each: what every law of `fpsim.testing.laws` must catch, and no other law may.

Tests only. Each takes the place of a correct float16 function except on the inputs that one law looks at.
"""

from __future__ import annotations

import math

import numpy as np

import fpsim as fp
from fpsim.testing import exact

LARGEST, EPS, SMALLEST_NORMAL = 65504.0, 2.0**-10, 2.0**-14


# Rounding ---------------------------------------------------------------------------------------------------


def rounded(v: float, mode: str = "nearest_even") -> float:
    return float(fp.round(v, "float16", mode=mode))


def each(fault):
    """A fault in a single number, for arrays."""
    return lambda x: np.array([fault(float(v)) for v in x.reshape(-1)]).reshape(x.shape)


def on_sizes(fault):
    """A fault of magnitudes in the normal range, the same for either sign; `fault` may return None: no fault."""

    def mutant(v: float) -> float:
        wrong = fault(abs(v)) if SMALLEST_NORMAL <= abs(v) <= LARGEST else None
        return rounded(v) if wrong is None else math.copysign(wrong, v)

    return each(mutant)


def up(v: float, steps: int = 1) -> float:
    for _ in range(steps):
        v = float(np.nextafter(np.float16(v), np.float16(np.inf)))
    return v


def down(v: float) -> float:
    return float(np.nextafter(np.float16(v), np.float16(0)))


def is_value(v: float) -> bool:
    return rounded(v) == v


def is_odd(v: float) -> bool:
    return exact.code(v, "float16") % 2 == 1


def position(v: float) -> float:
    below, above = exact.neighbours(v, "float16")
    return (v - below) / (above - below) if above > below else 0.0


def far_side(v):
    below, above = exact.neighbours(v, "float16")
    return None if is_value(v) or 1 / 8 < position(v) < 7 / 8 else below if position(v) > 0.5 else above


def beyond_the_neighbours(v):
    below, above = exact.neighbours(v, "float16")
    at = position(v)
    if not 1 / 8 < at < 7 / 8 or abs(at - 0.5) < 1 / 16:
        return None
    return up(above) if at > 0.5 else down(below)


def last_is_wrong(function):
    """Of several elements the last is one ulp off."""

    def mutant(x):
        out = np.array(function(x))
        if x.size > 1:
            out[-1] = up(out[-1]) if out[-1] < 1 else down(out[-1])
        return out

    return mutant


ROUNDING = {
    "exact_where_exact": on_sizes(lambda v: up(v) if is_value(v) and not is_odd(v) else None),
    "idempotent": on_sizes(lambda v: down(v) if is_value(v) and is_odd(v) else None),
    "near_a_value": on_sizes(far_side),
    "faithful": on_sizes(beyond_the_neighbours),
    "monotone": on_sizes(lambda v: exact.neighbours(v, "float16")[1] if position(v) == 3 / 16 else None),
    "ties": on_sizes(lambda v: rounded(v, "nearest_away")),
    "beside_a_tie": on_sizes(lambda v: float(np.float16(np.float32(v)))),
    "sign_symmetric": each(lambda v: rounded(v, "toward_zero" if -LARGEST <= v <= -SMALLEST_NORMAL else "nearest_even")),
    "zeros": each(lambda v: abs(v) if v == 0 else rounded(v)),
    "subnormals_kept": each(lambda v: 0.0 if abs(v) < SMALLEST_NORMAL and v and is_value(v) else rounded(v)),
    "gradual_underflow": each(lambda v: 0.0 if abs(v) < SMALLEST_NORMAL and not is_value(v) else rounded(v)),
    "below_overflow": each(lambda v: math.inf if LARGEST < v < 65520 else rounded(v)),
    "overflow": each(lambda v: LARGEST if 65520 <= v < math.inf else rounded(v)),
    "infinities": each(lambda v: math.copysign(LARGEST, v) if math.isinf(v) else rounded(v)),
    "nan": each(lambda v: 0.0 if v != v else rounded(v)),
    "elementwise": last_is_wrong(each(rounded)),
}  # fmt: skip


# Sums -------------------------------------------------------------------------------------------------------

ACC = fp.Accumulator("float16")
UPWARD = fp.Accumulator("float16", rounding="up")


def fractional(x) -> bool:
    return bool(np.isfinite(x).all() and (x % 1 != 0).any())


def is_swamping(x) -> bool:
    return len(x) >= 3 and np.isfinite(x).all() and (x != 0).all() and np.abs(x).max() >= 2**10 * np.abs(x).min()


def is_ordinary(x) -> bool:
    return len(x) >= 3 and fractional(x) and not is_swamping(x)


def has_both_signs(x) -> bool:
    return bool((x > 0).any() and (x < 0).any())


def instead(applies, fault, correct=ACC.sum):
    """The correct function but where `applies`."""
    return lambda *x: fault(*x) if applies(*x) else correct(*x)


def spoils_its_input(correct):
    def mutant(x, *others):
        result = np.array(correct(x, *others))
        x[...] = 0
        return result

    return mutant


def integers(x) -> bool:
    return bool(np.isfinite(x).all() and (x % 1 == 0).all() and np.abs(x).max(initial=0) <= 2048)


SUMMATION = {
    "empty": instead(lambda x: len(x) == 0, lambda x: np.nan),
    "one_term": instead(lambda x: len(x) == 1, lambda x: 2 * x[0]),
    "two_terms": instead(lambda x: len(x) == 2, lambda x: up(ACC.sum(x))),
    "exact_where_exact": instead(lambda x: len(x) >= 3 and integers(x) and x.any(), lambda x: ACC.sum(x) + 1),
    "within_bound": instead(lambda x: is_ordinary(x) and has_both_signs(x), lambda x: ACC.sum(x[:-1])),
    "sign_symmetric": instead(lambda x: is_ordinary(x) and has_both_signs(x), UPWARD.sum),
    "scale_invariant": instead(lambda x: is_ordinary(x) and np.abs(x).max() < 1, lambda x: ACC.sum(x[::-1])),
    "layout_invariant": instead(lambda x: not x.flags.c_contiguous, lambda x: ACC.sum(x[::-1])),
    "representable": instead(is_ordinary, lambda x: math.fsum(map(float, x))),
    "leaves_its_input": spoils_its_input(ACC.sum),
    "at_least_the_largest": instead(lambda x: is_swamping(x) and (x > 0).all(), lambda x: down(x.max())),
    "zeros": instead(lambda x: len(x) >= 3 and not x.any(), lambda x: 2.0**-24),
    "infinity": instead(lambda x: np.isinf(x).any() and np.isinf(ACC.sum(x)), lambda x: LARGEST),
    "opposite_infinities": instead(lambda x: np.isinf(x).any() and np.isnan(ACC.sum(x)), lambda x: 0.0),
    "nan": instead(lambda x: np.isnan(x).any(), lambda x: ACC.sum(x[~np.isnan(x)])),
    "overflow": instead(lambda x: np.isfinite(x).all() and np.isinf(ACC.sum(x)), lambda x: LARGEST),
}


def in_dot(applies, fault):
    return instead(applies, fault, ACC.dot)


def is_ordinary_pair(x, y) -> bool:
    finite = np.isfinite(x).all() and np.isfinite(y).all()
    ordinary = len(x) >= 3 and finite and x.all() and y.all() and (fractional(x) or fractional(y))
    return bool(ordinary and x.tolist() != y.tolist())


def cancels(x, y) -> bool:
    return is_ordinary_pair(x, y) and has_both_signs(x * y)


def is_one_hot(y) -> bool:
    return np.count_nonzero(y) == 1 and y.max() == 1


def without_last_bit(y):
    return (y.view(np.uint16) & np.uint16(0xFFFE)).view(np.float16)


def nan_as_zero(x):
    return np.where(np.isnan(x), np.float16(0), x)


def any_of(test):
    return lambda x, y: test(x).any() or test(y).any()


DOT = {
    "empty": in_dot(lambda x, y: len(x) == 0, lambda x, y: np.nan),
    "one_product": in_dot(lambda x, y: len(x) == 1, lambda x, y: up(ACC.dot(x, y))),
    "exact_where_exact": in_dot(
        lambda x, y: len(x) >= 3 and integers(x) and integers(y), lambda x, y: ACC.dot(x, y) + 1
    ),
    "unit_vector": in_dot(lambda x, y: is_ordinary(x) and is_one_hot(y), lambda x, y: up(ACC.dot(x, y))),
    "within_bound": in_dot(cancels, lambda x, y: ACC.dot(x[:-1], y[:-1])),
    "commutative": in_dot(is_ordinary_pair, lambda x, y: ACC.dot(x, without_last_bit(y))),
    "sign_symmetric": in_dot(cancels, UPWARD.dot),
    "scale_invariant": in_dot(
        lambda x, y: is_ordinary_pair(x, y) and np.abs(x).max() * np.abs(y).max() < 4,
        lambda x, y: ACC.dot(x[::-1], y[::-1]),
    ),
    "layout_invariant": in_dot(lambda x, y: not x.flags.c_contiguous, lambda x, y: ACC.dot(x[::-1], y[::-1])),
    "representable": in_dot(is_ordinary_pair, lambda x, y: math.fsum((x.astype(float) * y).tolist())),
    "leaves_its_inputs": spoils_its_input(ACC.dot),
    "squares": in_dot(
        lambda x, y: is_ordinary(x) and x.tolist() == y.tolist(), lambda x, y: down(down(np.abs(x).max() ** 2))
    ),
    "infinity": in_dot(lambda x, y: np.isinf(x).any() and np.isinf(ACC.dot(x, y)), lambda x, y: LARGEST),
    "infinity_times_zero": in_dot(
        lambda x, y: np.isinf(x).any() and np.isnan(ACC.dot(x, y)) and not np.isnan(x).any(), lambda x, y: 0.0
    ),
    "nan": in_dot(any_of(np.isnan), lambda x, y: ACC.dot(nan_as_zero(x), nan_as_zero(y))),
    "overflow": in_dot(
        lambda x, y: np.isfinite(x).all() and np.isfinite(y).all() and np.isinf(ACC.dot(x, y)), lambda x, y: LARGEST
    ),
}


# Activations ------------------------------------------------------------------------------------------------


def tanh(v: float) -> float:
    return float(exact.tanh(v, "float16"))


def of_sizes(low: float, high: float, fault):
    """A fault where ``low <= |x| < high``, the same for either sign."""

    def mutant(v: float) -> float:
        wrong = fault(abs(v)) if low <= abs(v) < high else None
        return tanh(v) if wrong is None else math.copysign(wrong, v)

    return halves(mutant)


def halves(fault):
    return lambda x: each(fault)(x).astype(np.float16)


def scattered(function):
    """One ulp off where the array is not contiguous."""
    return lambda x: function(x) if x.flags.c_contiguous else np.nextafter(function(x), np.float16(0))


ACTIVATION = {
    "accurate": of_sizes(2.0**-3, 4, lambda v: min(rounded(tanh(v) * (1 + 4 * EPS)), 1.0)),
    "accurate_near_zero": of_sizes(2.0**-24, 2.0**-4, lambda v: rounded(v * (1 - 8 * EPS) - 2.0**-23)),
    "saturates": of_sizes(8, math.inf, lambda v: math.nan),
    "monotone": of_sizes(2.0**-4, 4, lambda v: min(up(tanh(v)), 1.0) if is_odd(v) else None),
    "in_range": of_sizes(8, math.inf, lambda v: 1 + EPS),
    "symmetric": halves(lambda v: -down(tanh(-v)) if -4 < v <= -(2.0**-3) else tanh(v)),
    "zero": halves(lambda v: 0.0 if v == 0 else tanh(v)),
    "infinities": halves(lambda v: math.nan if math.isinf(v) else tanh(v)),
    "nan": halves(lambda v: 0.0 if v != v else tanh(v)),
    "representable": lambda x: np.where(
        (np.abs(x) >= 2.0**-3) & (np.abs(x) < 4), np.tanh(x.astype(float)), halves(tanh)(x)
    ),
    "elementwise": last_is_wrong(halves(tanh)),
    "layout_invariant": scattered(halves(tanh)),
    "leaves_its_input": spoils_its_input(halves(tanh)),
}
