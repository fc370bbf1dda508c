"""`ByIdentity`: values kept for objects as long as these live.

Layer 7. For objects whose ``==`` is not identity, as tensors' is not; keeps none of them alive.
"""

from __future__ import annotations

import weakref
from typing import Any, Generic, TypeVar

__all__ = ["ByIdentity"]

V = TypeVar("V")


class ByIdentity(Generic[V]):
    """Values for objects, which it does not keep alive; an object's value goes with it."""

    def __init__(self) -> None:
        self._entries: dict[int, tuple[weakref.ref[Any], V]] = {}

    def __setitem__(self, key: Any, value: V) -> None:
        entries, number = self._entries, id(key)
        entries[number] = (weakref.ref(key, lambda _: entries.pop(number, None)), value)

    def get(self, key: Any) -> V | None:
        """The value of this very object, or None."""
        entry = self._entries.get(id(key))
        return None if entry is None else entry[1]

    def pop(self, key: Any) -> V | None:
        """The same, and forget it."""
        entry = self._entries.pop(id(key), None)
        return None if entry is None else entry[1]

    def __len__(self) -> int:
        return len(self._entries)
