"""``report.flags`` of operations on tensors and of conversions: the flag column of all of TestFloat's vectors.

Vectors that raise the same flags run together: then each count is all or nothing, so every element is checked.
"""

import operator

import numpy as np
import pytest

import fpsim as fp
from fpsim.rounding.flags import FLAGS
from tests.oracles import rational, testfloat

NAMES = {"f16": "float16", "f32": "float32", "f64": "float64"}
OPERATIONS = {
    "f16_add": operator.add,
    "f16_sub": operator.sub,
    "f16_mul": operator.mul,
    "f16_div": operator.truediv,
    "f16_sqrt": lambda x: fp.sqrt(x),
}
CONVERSIONS = ["f32_to_f16", "f64_to_f16", "f64_to_f32", "f16_to_f32"]


def signaling(x):
    """Where a NaN's first significand bit is 0."""
    bits = x.view(f"u{x.itemsize}")
    return np.isnan(x) & (bits >> (np.finfo(x.dtype).nmant - 1) & 1 == 0)


def groups(name, mode):
    """Operands and flags of the vectors that raise the same, those with a signaling NaN apart."""
    operands, _ = testfloat.vectors(name, mode)
    flags = testfloat.flags(name, mode)
    with_signal = np.logical_or.reduce([signaling(x) for x in operands])
    for signal in (False, True):
        for value in np.unique(flags[with_signal == signal]):
            chosen = (flags == value) & (with_signal == signal)
            yield [x[chosen] for x in operands], int(value), signal


def expected(flags, size):
    return {name: size if flags & bit else 0 for name, bit in FLAGS.items()}


@pytest.mark.parametrize("mode", rational.MODES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_raise_ieee_754s_flags(name, mode):
    precision = fp.Precision("float16", rounding=mode)
    for operands, flags, signal in groups(name, mode):
        with fp.observe() as making:
            tensors = [fp.tensor(x, precision=precision) for x in operands]
        with fp.observe() as report:
            OPERATIONS[name](*tensors)
        if signal:  # fpsim's own NaNs are quiet: a signaling one raises its flag where it becomes one of them
            assert flags == FLAGS["invalid"]
            assert making.flags == expected(flags, sum(signaling(x).sum() for x in operands))
        else:
            assert report.flags == expected(flags, operands[0].size)
            assert not any(making.flags.values())


@pytest.mark.parametrize("mode", rational.MODES)
@pytest.mark.parametrize("name", CONVERSIONS)
def test_conversions_raise_ieee_754s_flags(name, mode):
    source, target = NAMES[name[:3]], fp.Precision(NAMES[name[-3:]], rounding=mode)
    for (x,), flags, signal in groups(name, mode):
        with fp.observe() as report:
            fp.tensor(x, precision=target)
        assert report.flags == expected(flags, x.size)
        if not signal:
            tensor = fp.tensor(x, dtype=source)
            with fp.observe() as report:
                tensor.to(precision=target)
            assert report.flags == expected(flags, x.size)
