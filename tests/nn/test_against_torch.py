"""Every layer, function and loss against PyTorch: results, all gradients, running statistics.

Tests only. The cases and PyTorch's values come from ``tests/oracles``; torch itself is not needed.
"""

import numpy as np
import pytest

import fpsim as fp
import fpsim.nn as nn
import fpsim.nn.functional as F
from tests.oracles.bits import same
from tests.oracles.torch_values import TOLERANCE, assert_near, load

CASES = load("layers")["cases"]


def run(case):
    """What the case recorded, under fpsim: its calls' results, the gradients, and the layer's buffers."""
    inputs = {name: fp.tensor(x, requires_grad=True) for name, x in case["inputs"].items()}
    fixed = {name: fp.tensor(x) if x.dtype == np.float32 else x for name, x in case["fixed"].items()}
    names = {"torch": fp, "nn": nn, "F": F, "np": np, **inputs, **fixed}
    parameters, buffers = {}, {}
    if case["layer"]:
        layer = names["layer"] = eval(case["layer"], names)
        layer.load_state_dict({**layer.state_dict(), **case["weights"]})
        parameters = dict(layer.named_parameters())
    outs = []
    for k, call in enumerate(case["calls"]):
        out = eval(call, names)
        outs.append(np.asarray(out))
        if k < len(case["upstream"]):
            (out * fp.tensor(case["upstream"][k])).sum().backward()
    if case["layer"]:
        buffers = {name: np.asarray(b) for name, b in layer.state_dict().items() if name not in parameters}
    gradients = {name: x.grad for name, x in {**inputs, **parameters}.items() if x.grad is not None}
    return outs, gradients, buffers


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_results_and_gradients_are_torchs(case, precision):
    expected, tolerance = case[precision], 0 if case["bits"] else TOLERANCE[precision]
    with fp.default_precision(precision):
        outs, gradients, buffers = run(case)
    for out, theirs in zip(outs, expected["outs"], strict=True):
        assert out.dtype == theirs.dtype
        assert_near(out, theirs, tolerance, "result")
        assert not case["bits"] or same(out, theirs).all(), f"signs of zero: {out}"
    assert gradients.keys() == expected["gradients"].keys()
    for name, theirs in expected["gradients"].items():
        assert np.asarray(gradients[name]).dtype == theirs.dtype
        assert_near(gradients[name], theirs, tolerance, f"gradient of {name}")
    for name, theirs in expected["buffers"].items():
        assert_near(buffers[name], theirs, tolerance, name)
