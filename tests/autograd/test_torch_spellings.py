"""PyTorch's older spellings of a tensor."""

import fpsim as fp
from fpsim.autograd import Variable


def test_a_variable_is_a_tensor_that_wants_a_gradient_only_when_told():
    x = fp.tensor([1.0])
    assert Variable(x).requires_grad is False
    assert Variable(x, requires_grad=True).requires_grad is True
