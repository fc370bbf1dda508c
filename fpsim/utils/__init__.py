"""PyTorch's path to the data loader: ``fpsim.utils.data``.

Layer 5.
"""

from fpsim.utils import data

__all__ = ["data"]
