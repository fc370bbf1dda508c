"""Every operation in every format: rounded once, each gradient, memory layouts, special values, derivatives.

The cases are in `cases`, the second opinion in `reference`, the laws in `checks`, the table in `table`; the functions
on every number of the 16-bit formats are in `test_every_code`.
"""

import pytest

from fpsim.autograd.op import OPS
from tests.ops import checks
from tests.ops.cases import CASES, FORMATS

every_op = pytest.mark.parametrize("name", sorted(OPS))
every_format = pytest.mark.parametrize("fmt", FORMATS)


def test_every_operation_has_cases():
    assert set(CASES) == set(OPS)


@every_format
@every_op
def test_a_result_is_rounded_once(name, fmt):
    assert checks.compared("rounded once", name, fmt) > 0


@every_format
@every_op
def test_each_gradient_is_rounded_once(name, fmt):
    assert checks.compared("each vjp", name, fmt) > 0


@every_format
@every_op
def test_memory_layout_changes_no_bit(name, fmt):
    assert checks.compared("layouts", name, fmt) > 0


@every_format
@every_op
def test_special_values_keep_the_law(name, fmt):
    assert checks.compared("special values", name, fmt) > 0


@every_op
def test_gradients_are_the_derivatives(name):
    assert checks.derivatives(name) > 0
