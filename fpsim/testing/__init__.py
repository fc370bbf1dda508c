"""Property-based testing of numeric code: strategies, an exact oracle, assertions that explain, suites of laws.

Layer 13. Needs the extra ``testing`` (hypothesis, mpmath); no other room imports it.
``from fpsim import testing as ft``.
"""

from fpsim.testing import exact, laws
from fpsim.testing.assertions import (
    assert_correctly_rounded,
    assert_faithful,
    assert_max_ulp,
    assert_representable,
    assert_same_bits,
)
from fpsim.testing.bounds import assert_within_bound, error_bound, gamma, gamma_sqrt
from fpsim.testing.gradients import gradcheck
from fpsim.testing.invariance import assert_layout_invariant, assert_scale_invariant
from fpsim.testing.numbers import arrays, midpoints, shapes, values
from fpsim.testing.strategies import (
    LossScaleScript,
    formats,
    loss_scale_scripts,
    orders,
    policies,
    precisions,
    roundings,
    small_nets,
    tensors,
)

__all__ = [
    "LossScaleScript",
    "arrays",
    "assert_correctly_rounded",
    "assert_faithful",
    "assert_layout_invariant",
    "assert_max_ulp",
    "assert_representable",
    "assert_same_bits",
    "assert_scale_invariant",
    "assert_within_bound",
    "error_bound",
    "exact",
    "formats",
    "gamma",
    "gamma_sqrt",
    "gradcheck",
    "laws",
    "loss_scale_scripts",
    "midpoints",
    "orders",
    "policies",
    "precisions",
    "roundings",
    "shapes",
    "small_nets",
    "tensors",
    "values",
]
