"""Batches of a data set or of windows of a text, shuffled anew each epoch, in an order that two integers restore.

Layer 5. Takes rows of arrays; never changes a value, never uses NumPy's global random state.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from fpsim.errors import ArgumentError, ArgumentTypeError, DataError, ShapeError, expected

__all__ = ["Batches", "batches", "sequences"]


class Batches:
    """What `batches` returns: ``for xb, yb in loader`` is one epoch, ``loader.take(steps)`` that many.

    Epoch e visits the rows in ``argsort(PCG64(SeedSequence(seed, spawn_key=(e,))).random_raw(n))``: raw bits,
    which NumPy keeps the same from version to version, as it does not promise for `permutation`. So the order
    is a function of the seed and the epoch, and the position in it is two integers: `state_dict`.
    """

    def __init__(self, x: Any, y: np.ndarray, size: int, seed: np.random.SeedSequence, shuffle: bool, drop_last: bool):
        self.x, self.y, self.size = x, y, size
        self._seed, self._shuffle, self._drop_last = seed, shuffle, drop_last
        self._epoch, self._index = 0, 0  # of the batch that comes next
        self._begun = False  # an epoch was begun here, rather than restored by load_state_dict

    def __repr__(self) -> str:
        return f"Batches({len(self)} of {self.size} from {len(self.y)} samples, at {self.state_dict()})"

    def __len__(self) -> int:
        """Batches in an epoch."""
        whole, rest = divmod(len(self.y), self.size)
        return whole + (rest > 0 and not self._drop_last)

    def __iter__(self) -> Iterator[tuple[Any, np.ndarray]]:
        """One epoch, as PyTorch's loader: after a loop that was left early the next epoch begins.

        Only the first loop after `load_state_dict` starts inside an epoch, and ends it.
        """
        if self._begun and self._index > 0:
            self._epoch, self._index = self._epoch + 1, 0
        yield from self.take(len(self) - self._index)

    def take(self, steps: int) -> Iterator[tuple[Any, np.ndarray]]:
        """The next `steps` batches, from where the last one ended, through as many epochs as it takes."""
        self._begun = True
        epoch, index, order = self._epoch, self._index, None
        for _ in range(steps):
            if order is None:
                order = self._order(epoch)
            rows = order[index * self.size : (index + 1) * self.size]
            index += 1
            if index == len(self):
                epoch, index, order = epoch + 1, 0, None
            self._epoch, self._index = epoch, index
            yield self.x[rows], self.y[rows]

    def state_dict(self) -> dict[str, int]:
        """Which batch comes next: its epoch, and its index in the epoch."""
        return {"epoch": self._epoch, "index": self._index}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on where `state_dict` was called, in a loader of the same data, size and seed."""
        epoch, index = (state.get(name, -1) for name in ("epoch", "index"))
        if not (_whole(epoch) and epoch >= 0 and _whole(index) and 0 <= index < len(self)):
            invariant = f"a whole epoch from 0 and an index below {len(self)}"
            got = f"state={dict(state)!r}"
            raise ArgumentError(expected("load_state_dict", invariant, got, "pass what state_dict() returned"))
        self._epoch, self._index, self._begun = int(epoch), int(index), False

    def _order(self, epoch: int) -> np.ndarray:
        n = len(self.y)
        if not self._shuffle:
            return np.arange(n)
        key = np.random.SeedSequence(self._seed.entropy, spawn_key=(*self._seed.spawn_key, epoch))
        return np.argsort(np.random.PCG64(key).random_raw(n), kind="stable")


def batches(
    x: Any,
    y: Any,
    size: int,
    seed: int | np.random.SeedSequence = 0,
    *,
    shuffle: bool = True,
    drop_last: bool = False,
) -> Batches:
    """Pairs of up to `size` rows of `x` and of `y`, in an order drawn from `seed` alone.

    Parameters
    ----------
    x : array or Tensor (n, ...)
        Samples; batches are of the same kind. Every value finite.
    y : integer array (n,)
        Labels, from 0 on.
    size : int
        Rows in a batch; the last one of an epoch may be shorter, or is left out with `drop_last`.
    seed : int or numpy.random.SeedSequence
        The same seed gives the same batches, on every machine.

    Raises
    ------
    DataError
        No sample, a pixel that is NaN or infinite, labels that are not integers or are negative.
    ShapeError
        As many labels as samples are needed, in one dimension.
    ArgumentError, ArgumentTypeError
        A `size` below 1, or that leaves no batch; a negative `seed`; either not an integer.

    Examples
    --------
    >>> import numpy as np, fpsim as fp
    >>> loader = fp.data.batches(np.arange(5.0), np.arange(5), size=2, seed=0)
    >>> [y.tolist() for x, y in loader]
    [[3, 1], [4, 2], [0]]
    >>> [y.tolist() for x, y in loader.take(2)], loader.state_dict()
    ([[1, 3], [2, 0]], {'epoch': 1, 'index': 2})
    """
    if not hasattr(x, "shape"):
        x = np.asarray(x)
    y = np.asarray(y)
    _check_samples(x, y)
    _check_size("batches", "size", size, len(y) if drop_last else None, "samples")
    return Batches(x, y, int(size), _sequence_of("batches", seed), shuffle, drop_last)


def sequences(codes: Any, length: int, size: int, seed: int | np.random.SeedSequence = 0) -> Batches:
    """Windows of a text and, for each of their characters, the next one: pairs ``(size, length)`` of codes.

    ``y[i, j]`` follows ``x[i, j]`` in the text. An epoch starts a window at every place of the text once, in an order
    drawn from `seed` alone; the few windows that fill no batch are left out.

    Parameters
    ----------
    codes : integer array (n,)
        A text, such as ``fp.data.text().train``.
    length : int
        Characters in a window, below n.
    size : int
        Windows in a batch, at most ``n - length``.
    seed : int or numpy.random.SeedSequence
        The same seed gives the same batches, on every machine.

    Raises
    ------
    DataError
        Codes that are not integers in one dimension, or are negative.
    ArgumentError, ArgumentTypeError
        A `length` or `size` that is not a whole number in its bounds; a negative `seed`, or one that is no integer.

    Examples
    --------
    >>> import fpsim as fp
    >>> alice = fp.data.text()
    >>> loader = fp.data.sequences(alice.train, length=12, size=2, seed=0)
    >>> x, y = next(loader.take(1))
    >>> [(alice.decode(a), alice.decode(b)) for a, b in zip(x, y)]
    [('  go and tak', ' go and take'), ('oves, and sh', 'ves, and she')]
    """
    codes = np.asarray(codes)
    if codes.dtype.kind not in "iu" or codes.ndim != 1 or (codes.size and codes.min() < 0):
        got = f"{codes.dtype} {codes.shape}" + (
            f" from {codes.min()}" if codes.size and codes.dtype.kind in "iu" else ""
        )
        remedy = "pass codes such as text().train"
        raise DataError(expected("sequences", "codes from 0 on, as integers in one dimension", got, remedy))
    _check_size("sequences", "length", length, len(codes) - 1, "characters with a next one")
    windows = np.lib.stride_tricks.sliding_window_view(codes, length + 1)
    _check_size("sequences", "size", size, len(windows), "windows")
    return Batches(
        windows[:, :-1], windows[:, 1:], int(size), _sequence_of("sequences", seed), shuffle=True, drop_last=True
    )


def _check_size(op: str, name: str, size: Any, most: int | None, counted: str) -> None:
    """A whole number from 1 on, and up to the number of what is counted where there is a limit."""
    if not _whole(size):
        raise ArgumentTypeError(expected(op, f"a whole {name}", f"{name}={size!r}", "use an int, such as 32"))
    if size < 1 or (most is not None and size > most):
        bounds = " or more" if most is None else f" to {most}, the {counted} there are"
        got = f"{name}={size}" + (", drop_last=True" if op == "batches" and most is not None else "")
        raise ArgumentError(expected(op, f"a {name} of 1{bounds}", got, "use an int, such as 32"))


def _sequence_of(op: str, seed: Any) -> np.random.SeedSequence:
    if isinstance(seed, np.random.SeedSequence):
        return seed
    if not _whole(seed):
        got, remedy = f"seed={seed!r}", "use an int, such as 0"
        raise ArgumentTypeError(expected(op, "a whole seed or a SeedSequence", got, remedy))
    if seed < 0:
        raise ArgumentError(expected(op, "a seed of 0 or more", f"seed={seed}", "use an int, such as 0"))
    return np.random.SeedSequence(int(seed))


def _check_samples(x: Any, y: np.ndarray) -> None:
    if y.ndim != 1 or x.shape[:1] != y.shape:
        got = f"x.shape={tuple(x.shape)}, y.shape={y.shape}"
        raise ShapeError(expected("batches", "one label a sample, in one dimension", got, "pass x (n, ...) and y (n,)"))
    if len(y) == 0:
        raise DataError(expected("batches", "at least one sample", f"x.shape={tuple(x.shape)}", "pass some data"))
    if y.dtype.kind not in "iu":
        raise DataError(expected("batches", "labels as integers", f"y.dtype={y.dtype}", "convert them: y.astype(int)"))
    if y.min() < 0:
        raise DataError(
            expected("batches", "labels from 0 on", f"a label {y.min()}", "number the classes 0, 1, 2, ...")
        )
    finite = np.isfinite(np.asarray(x))
    if not finite.all():
        where = tuple(int(k) for k in np.argwhere(~finite)[0])
        got = f"x[{', '.join(map(str, where))}]={np.asarray(x)[where]}"
        raise DataError(expected("batches", "finite samples", got, "clean the data, or np.nan_to_num(x)"))


def _whole(n: Any) -> bool:
    return isinstance(n, numbers.Integral) and not isinstance(n, bool)
