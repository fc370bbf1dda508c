"""Names that PyTorch code expects at the top level: dtypes, devices, small predicates.

Layer 5. Each is an alias; devices are accepted and ignored.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from fpsim import formats
from fpsim.autograd.tensor import Tensor

half, float_, double = formats.float16, formats.float32, formats.float64
long = int64 = np.int64
int32, uint8, bool_ = np.int32, np.uint8, np.bool_

cuda = SimpleNamespace(is_available=lambda: False, device_count=lambda: 0)
backends = SimpleNamespace(
    mps=SimpleNamespace(is_available=lambda: False), cudnn=SimpleNamespace(deterministic=True, benchmark=False)
)


def is_tensor(x: Any) -> bool:
    """Whether `x` is a tensor."""
    return isinstance(x, Tensor)


def is_floating_point(x: Any) -> bool:
    """Whether `x` is a tensor: labels and indices are NumPy arrays."""
    return isinstance(x, Tensor)
