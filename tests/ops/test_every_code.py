"""The functions on every number of float16 and bfloat16, against mpmath: minutes, so ``pytest -m exhaustive``."""

import numpy as np
import pytest

import fpsim as fp
from tests.ops import checks, reference
from tests.oracles.bits import same


@pytest.mark.exhaustive
@pytest.mark.parametrize("fmt", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "tanh", "sigmoid", "gelu"])
def test_functions_are_correctly_rounded_everywhere(name, fmt):
    values = np.array(fp.all_values(fmt), np.float64)
    precision = fp.Precision(fmt)
    expected, _ = reference.forward(name, [values], {}, precision)
    wrong = ~same(checks.run(name, [values], {}, precision)[0]._data, expected)
    assert wrong.sum() == 0, f"{wrong.sum()} of {values.size} wrong, first at {values[wrong][0].hex()}"
