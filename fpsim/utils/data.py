"""`TensorDataset` and `DataLoader`, so that an ordinary PyTorch loop runs.

Layer 6. The order of samples is that of `fpsim.data.batches`; nothing runs in other processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fpsim.autograd.context import current
from fpsim.autograd.integers import IntegerArray
from fpsim.autograd.tensor import Tensor, tensor
from fpsim.data import batches
from fpsim.errors import ArgumentError, ShapeError, expected
from fpsim.ops.functions import getitem, stack

__all__ = ["DataLoader", "Dataset", "TensorDataset"]


class Dataset:
    """Base of data sets: ``len(dataset)`` and ``dataset[i]``."""


class TensorDataset(Dataset):
    """Tensors and arrays of one length; ``dataset[i]`` is the tuple of their i-th entries.

    Floating-point arrays become tensors of the default precision; integer arrays (labels) stay integers.
    """

    def __init__(self, *tensors: Any) -> None:
        self.tensors = tuple(_wrapped(t) for t in tensors)
        if not tensors or len({len(t) for t in self.tensors}) > 1:
            got = ", ".join(str(len(t)) for t in self.tensors) or "none"
            raise ShapeError(expected("TensorDataset", "tensors of one length", got, "cut the longer ones"))

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        return tuple(getitem(t, index) if isinstance(t, Tensor) else t[index] for t in self.tensors)


def _wrapped(x: Any) -> Any:
    """Floats as a tensor, integers as an array with PyTorch's methods."""
    if isinstance(x, Tensor):
        return x
    array = np.asarray(x)
    return array.view(IntegerArray) if array.dtype.kind in "biu" else tensor(array)


class DataLoader:
    """Batches of a data set; each ``for`` loop is one epoch, shuffled anew.

    Parameters
    ----------
    dataset
        A `TensorDataset`, or anything with a length whose entries are tuples.
    batch_size : int
    shuffle, drop_last : bool
    collate_fn : callable, optional
        Makes a batch of a list of entries.
    generator : np.random.Generator, optional
        Of the order; the context's unless given. `seed` gives the order by a number instead.
    num_workers, pin_memory
        Accepted and ignored.

    Examples
    --------
    >>> import numpy as np, fpsim as fp
    >>> data = fp.utils.data.TensorDataset(np.eye(5), np.arange(5))
    >>> [y.tolist() for x, y in fp.utils.data.DataLoader(data, batch_size=2)]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self, dataset: Any, batch_size: int = 1, shuffle: bool | None = False, sampler: None = None,
        batch_sampler: None = None, num_workers: int = 0, collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False, drop_last: bool = False, *, generator: np.random.Generator | None = None,
        seed: int | None = None, **ignored: Any,
    ) -> None:  # fmt: skip
        if sampler is not None or batch_sampler is not None:
            raise ArgumentError(expected("DataLoader", "shuffle=", "a sampler", "order the data set itself"))
        if len(dataset) == 0:
            raise ArgumentError(expected("DataLoader", "at least one sample", "an empty data set", "check the data"))
        self.dataset, self.batch_size, self.collate_fn = dataset, batch_size, collate_fn
        if seed is None:
            source = current().generator if generator is None else generator
            seed = int(source.integers(0, 2**31)) if shuffle else 0
        places = np.arange(len(dataset))
        self._places = batches(places, places, batch_size, seed, shuffle=bool(shuffle), drop_last=drop_last)

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Any]:
        for places, _ in self._places:
            if self.collate_fn is None and isinstance(self.dataset, TensorDataset):
                yield list(self.dataset[places])
            else:
                yield (self.collate_fn or _collated)([self.dataset[int(i)] for i in places])


def _collated(entries: list[Any]) -> Any:
    if not isinstance(entries[0], tuple | list):
        return _stacked(entries)
    return [_stacked(list(column)) for column in zip(*entries, strict=True)]


def _stacked(column: list[Any]) -> Any:
    return stack(column) if isinstance(column[0], Tensor) else _wrapped(np.stack([np.asarray(x) for x in column]))
