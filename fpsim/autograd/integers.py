"""`IntegerArray`: labels, indices and comparison results, with the few methods that PyTorch code calls on them.

Layer 3. NumPy arrays in everything else: no format, no rounding, no gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["IntegerArray"]


class IntegerArray(np.ndarray):
    """An integer or bool array that also answers to ``.to(device)``, ``.float()``, ``.eq()`` and the like."""

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """The array itself for a device; a tensor for a format."""
        from fpsim.autograd.tensor import tensor

        like = next((a for a in (*args, *kwargs.values()) if not isinstance(a, str | bool)), None)
        if like is None:
            return self
        return self.astype(like) if isinstance(like, type) and issubclass(like, np.generic) else tensor(self, like)

    def float(self) -> Any:
        """A tensor of the default precision."""
        from fpsim.autograd.tensor import tensor

        return tensor(self)

    def double(self) -> Any:
        """A float64 tensor."""
        from fpsim.autograd.tensor import tensor

        return tensor(self, "float64")

    def cpu(self) -> IntegerArray:
        """The array itself."""
        return self

    def detach(self) -> IntegerArray:
        """The array itself: it has no graph."""
        return self

    def numpy(self) -> np.ndarray[Any, Any]:
        """A plain array."""
        return np.asarray(self).view(np.ndarray)

    def long(self) -> IntegerArray:
        """As int64."""
        return self.astype(np.int64).view(IntegerArray)

    def eq(self, other: Any) -> IntegerArray:
        """Equal, element by element."""
        return np.equal(self, np.asarray(other)).view(IntegerArray)

    def view_as(self, other: Any) -> IntegerArray:
        """In the shape of `other`."""
        return self.reshape(other.shape)

    def numel(self) -> int:
        """Number of elements."""
        return self.size

    def dim(self) -> int:
        """Number of axes."""
        return self.ndim
