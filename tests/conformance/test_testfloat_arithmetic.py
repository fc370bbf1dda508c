"""Arithmetic of float16 tensors: all of TestFloat's vectors, in all five modes."""

import operator

import numpy as np
import pytest

import fpsim as fp
from tests.oracles import rational, testfloat
from tests.oracles.bits import assert_same

OPERATIONS = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "sqrt": lambda x: fp.sqrt(x),
}


@pytest.mark.parametrize("mode", rational.MODES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_on_float16_tensors_are_ieee_754s(name, mode):
    operands, expected = testfloat.vectors(f"f16_{name}", mode)
    precision = fp.Precision("float16", rounding=mode)
    result = OPERATIONS[name](*(fp.tensor(x, precision=precision) for x in operands))
    assert result.numpy().dtype == np.float16
    assert_same(result.numpy(), expected, *operands)
