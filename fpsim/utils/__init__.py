"""PyTorch's path to the data loader: ``fpsim.utils.data``.

Layer 6. Nothing else lives here.
"""

from fpsim.utils import data

__all__ = ["data"]
