"""Names that PyTorch code expects at the top level: dtypes, devices, small predicates.

Layer 6. Aliases and constants; devices are accepted and ignored.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from fpsim.autograd.context import default_precision, manual_seed
from fpsim.autograd.tensor import Tensor
from fpsim.formats import float16, float32, float64

half, float_, double = float16, float32, float64
long = int64 = np.int64
int_ = int32 = np.int32
uint8, bool_ = np.uint8, np.bool_


def _nothing(*ignored: Any) -> None:
    """What needs a GPU, and does nothing without one."""


cuda = SimpleNamespace(
    is_available=lambda: False, device_count=lambda: 0, synchronize=_nothing, empty_cache=_nothing,
    manual_seed=manual_seed, manual_seed_all=manual_seed,
)  # fmt: skip
accelerator = SimpleNamespace(is_available=lambda: False)
backends = SimpleNamespace(
    mps=SimpleNamespace(is_available=lambda: False), cudnn=SimpleNamespace(deterministic=True, benchmark=False)
)


def set_default_dtype(dtype: Any) -> None:
    """Let tensors and layers be made in `dtype`: `default_precision` as PyTorch spells it."""
    default_precision(dtype)


def is_tensor(x: Any) -> bool:
    """Whether `x` is a tensor; labels and indices are NumPy arrays.

    >>> import fpsim as fp
    >>> fp.is_tensor(fp.zeros(2)), fp.is_tensor(fp.tensor([1, 2], dtype=fp.long))
    (True, False)
    """
    return isinstance(x, Tensor)


is_floating_point = is_tensor
