"""`TensorDataset` and `DataLoader`, so that an ordinary PyTorch loop runs.

Layer 5. The order comes from `fpsim.data.batches`' rule: a seed and the epoch, nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fpsim.autograd.context import current
from fpsim.autograd.integers import IntegerArray
from fpsim.autograd.tensor import Tensor, tensor
from fpsim.data import batches
from fpsim.errors import ArgumentError, ShapeError, expected
from fpsim.ops.functions import stack

__all__ = ["DataLoader", "Dataset", "TensorDataset"]


class Dataset:
    """Base of data sets: ``len(set)`` and ``set[i]``."""


class TensorDataset(Dataset):
    """Tensors and label arrays of one length; ``set[i]`` is a tuple of their i-th entries."""

    def __init__(self, *tensors: Any) -> None:
        self.tensors = tuple(t if isinstance(t, Tensor) else _wrapped(np.asarray(t)) for t in tensors)
        if not tensors or len({len(t) for t in self.tensors}) > 1:
            got = ", ".join(str(len(t)) for t in self.tensors) or "none"
            raise ShapeError(expected("TensorDataset", "tensors of one length", got, "cut the longer ones"))

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        return tuple(t[index] for t in self.tensors)


def _wrapped(array: Any) -> Any:
    """Floats as a tensor, integers as an array with PyTorch's methods."""
    return array.view(IntegerArray) if array.dtype.kind in "biu" else tensor(array)


class DataLoader:
    """Batches of a data set; one pass over it per ``for`` loop."""

    def __init__(
        self, dataset: Any, batch_size: int = 1, shuffle: bool = False, drop_last: bool = False, *,
        seed: int | None = None, generator: Any = None, num_workers: int = 0, pin_memory: bool = False,
    ) -> None:  # fmt: skip
        if len(dataset) == 0:
            raise ArgumentError(expected("DataLoader", "at least one sample", "an empty data set", "check the data"))
        self.dataset, self.batch_size = dataset, batch_size
        if seed is None:
            seed = int(current().generator.integers(0, 2**31)) if shuffle else 0
        places = np.arange(len(dataset))
        self._places = batches(places, places, size=batch_size, seed=seed, shuffle=shuffle, drop_last=drop_last)

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Any]:
        for at, _ in self._places:
            if isinstance(self.dataset, TensorDataset):
                yield list(self.dataset[at])
            else:
                yield _collated([self.dataset[int(i)] for i in at])


def _collated(samples: list[Any]) -> list[Any]:
    columns = zip(*samples, strict=True)
    return [stack(column) if isinstance(column[0], Tensor) else _wrapped(np.stack(column)) for column in map(list, columns)]
