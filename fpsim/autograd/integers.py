"""`IntegerArray`: labels, indices and comparison results, with the few methods that PyTorch code calls on them.

Layer 3. NumPy arrays in everything else: no format, no rounding, no gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fpsim.errors import DataError, expected

__all__ = ["IntegerArray", "as_integers", "integer_type"]


def integer_type(like: Any) -> np.dtype[Any] | None:
    """The integer or bool type of NumPy (or Python) that `like` is, or None."""
    if isinstance(like, type) and (issubclass(like, np.integer | np.bool_) or like in (int, bool)):
        return np.dtype(like)
    return like if isinstance(like, np.dtype) and like.kind in "biu" else None


def as_integers(op: str, data: Any, dtype: np.dtype[Any]) -> IntegerArray:
    """`data` as integers, towards zero, as an array with PyTorch's methods."""
    values = np.asarray(data)
    if values.dtype.kind == "f" and dtype.kind != "b" and not np.isfinite(values).all():
        got = f"{values[~np.isfinite(values)].flat[0]}"
        raise DataError(expected(op, "finite numbers to make integers of", got, "mask it first"))
    return values.astype(dtype).view(IntegerArray)


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
