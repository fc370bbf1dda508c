"""`LeNet`: the classic network, two convolutions and two fully connected layers.

Layer 5.
"""

from __future__ import annotations

from fpsim.autograd.tensor import Tensor
from fpsim.nn import functional as F
from fpsim.nn.layers import Conv2d, Linear
from fpsim.nn.module import Module

__all__ = ["LeNet"]


class LeNet(Module):
    """5x5 convolutions to 20 and 64 channels, 2x2 max pooling, 1600-500-10; images (n, 1, 32, 32), log probabilities.

    After LeCun et al. 1998, in the sizes that the literature on mixed precision tutorials made common.

    >>> import fpsim as fp
    >>> fp.nn.LeNet()(fp.zeros(2, 1, 32, 32)).shape
    (2, 10)
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = Conv2d(1, 20, 5)
        self.conv2 = Conv2d(20, 64, 5)
        self.fc1 = Linear(64 * 5 * 5, 500)
        self.fc2 = Linear(500, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Log probabilities of the ten classes."""
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(F.flatten(x, 1)))
        return F.log_softmax(self.fc2(x), dim=1)
