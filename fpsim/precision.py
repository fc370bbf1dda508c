"""`Precision`: how a tensor is stored, how sums into it are accumulated, how its gradient is stored.

Layer 2. Frozen data and the rule of promotion; no arrays, no tensors.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from functools import cache, cached_property
from typing import Any

import numpy as np

from fpsim.accumulate import Accumulator
from fpsim.errors import FormatError, PrecisionError, expected
from fpsim.formats import Format, bfloat16, float16, float32, float64
from fpsim.rounding.codes import checked_mode

__all__ = ["Precision", "promote"]


@dataclass(frozen=True)
class Precision:
    """Storage, accumulation and gradient formats of a tensor, and how each is rounded.

    Parameters
    ----------
    storage : format or str
        Every element is a value of it. ``"float16/float32"`` gives storage and accumulator at once.
    accumulate : format, optional
        Of the sums into the tensor; the storage format unless given.
    order, fma
        Of the sums: see `Accumulator`.
    rounding, acc_rounding : str
        Rounding modes of the storage and of the accumulator.
    grad : format, optional
        Of the tensor's gradient; the storage format unless given.
    grad_rounding : str, optional
        Of the gradient; as `rounding` unless given.
    saturate, flush_subnormals : bool
        Of storage and gradient: overflow gives the largest finite number; subnormal results become zero.

    Examples
    --------
    >>> import fpsim as fp
    >>> fp.Precision("float16/float32")
    Precision('float16/float32')
    >>> fp.Precision("bfloat16", rounding="stochastic").accumulate.name
    'bfloat16'
    """

    storage: Format
    accumulate: Format = None  # type: ignore[assignment]  # always a Format after __post_init__
    order: str | None = None
    fma: bool = False
    rounding: str = "nearest_even"
    acc_rounding: str = "nearest_even"
    grad: Format | None = None
    grad_rounding: str | None = None
    saturate: bool = False
    flush_subnormals: bool = False

    def __post_init__(self) -> None:
        storage, accumulate = self.storage, self.accumulate
        if isinstance(storage, str) and "/" in storage:
            if accumulate is not None:
                got = f"{storage!r} and accumulate={accumulate!r}"
                raise PrecisionError(expected("Precision", "one accumulator", got, "leave one of the two out"))
            storage, accumulate = (part.strip() for part in storage.split("/", 1))
        storage = Format(storage)
        for name, value in (
            ("storage", storage),
            ("accumulate", storage if accumulate is None else Format(accumulate)),
            ("grad", None if self.grad is None else Format(self.grad)),
        ):
            object.__setattr__(self, name, value)
            if value is not None and value.specials == "scale":
                got = f"{name}={value.name}"
                raise FormatError(expected("Precision", "formats with arithmetic", got, "it codes scales only"))
        for mode in (self.rounding, self.grad_rounding or self.rounding):
            checked_mode("Precision", mode, None, needs_rng=False)
        self.accumulator()  # checks the accumulator's own arguments

    @classmethod
    def parse(cls, like: Any) -> Precision:
        """A precision as it is, or made from ``"storage/accumulate"`` or anything that is a format."""
        return like if isinstance(like, Precision) else cls(like)

    def accumulator(
        self, rng: np.random.Generator | None = None, inputs: tuple[Format, ...] | None = None
    ) -> Accumulator:
        """The accumulator of sums into such a tensor, told the formats of its inputs where they are known."""
        made = _accumulator(self, inputs)
        return made if self.acc_rounding != "stochastic" else replace(made, rng=rng)

    @cached_property
    def gradient(self) -> Precision:
        """The precision of this tensor's gradient, as a tensor."""
        return _gradient(self)

    def __hash__(self) -> int:
        return self._hash

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone: hashes of texts differ between processes, so a hash that came along would find nothing."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @cached_property
    def _hash(self) -> int:
        return hash(tuple(getattr(self, f.name) for f in fields(self)))

    def __str__(self) -> str:
        return self.storage.name if self.storage == self.accumulate else f"{self.storage.name}/{self.accumulate.name}"

    def __repr__(self) -> str:
        plain = Precision(self.storage, self.accumulate)
        others = [
            f", {f.name}={str(value) if isinstance(value, Format) else value!r}"
            for f in fields(self)
            if (value := getattr(self, f.name)) != getattr(plain, f.name)
        ]
        return f"Precision({str(self)!r}{''.join(others)})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """The same in IPython, and where Hypothesis shows an example: else it would list every field."""
        printer.text(repr(self))


@cache
def _accumulator(p: Precision, inputs: tuple[Format, ...] | None) -> Accumulator:
    return Accumulator(p.accumulate, p.order, p.fma, p.acc_rounding, p.saturate, inputs=inputs)


@cache
def _gradient(p: Precision) -> Precision:
    storage = p.storage if p.grad is None else p.grad
    return replace(p, storage=storage, rounding=p.grad_rounding or p.rounding, grad=None, grad_rounding=None)


def promote(precisions: Iterable[Precision]) -> Precision:
    """The precision of an operation on tensors of these precisions.

    The storage that holds the others', else the first of float16, bfloat16, float32, float64 that holds them all; the
    wider accumulator. A gradient format only where all agree.

    Raises
    ------
    PrecisionError
        Equal formats that disagree in order, fma, rounding, saturation or flushing.
    """
    first, *rest = precisions
    result = first
    for other in rest:
        if other is not result and other != result:
            result = _promote_two(result, other)
    return result


def _promote_two(a: Precision, b: Precision) -> Precision:
    storage, accumulate = _wider(a.storage, b.storage), _wider(a.accumulate, b.accumulate)
    stored = _taken("storage", storage, a, b, ("rounding", "saturate", "flush_subnormals"))
    summed = _taken("accumulate", accumulate, a, b, ("order", "fma", "acc_rounding"))
    agree = (a.grad, a.grad_rounding) == (b.grad, b.grad_rounding)
    return Precision(
        storage,
        accumulate,
        order=summed.order,
        fma=summed.fma,
        rounding=stored.rounding,
        acc_rounding=summed.acc_rounding,
        grad=a.grad if agree else None,
        grad_rounding=a.grad_rounding if agree else None,
        saturate=stored.saturate,
        flush_subnormals=stored.flush_subnormals,
    )


def _wider(a: Format, b: Format) -> Format:
    if a.holds(b):
        return a
    if b.holds(a):
        return b
    return next(f for f in (float16, bfloat16, float32, float64) if f.holds(a) and f.holds(b))


def _taken(part: str, fmt: Format, a: Precision, b: Precision, details: tuple[str, ...]) -> Precision:
    """Of the two, the one whose details hold: the one that has the promoted format (both: they must agree)."""
    candidates = [p for p in (a, b) if getattr(p, part) == fmt]
    if len(candidates) == 2:
        for name in details:
            ours, theirs = getattr(a, name), getattr(b, name)
            if ours != theirs:
                got = f"{name}={ours!r} and {name}={theirs!r}"
                invariant = f"one {name} for tensors of one {part} format"
                raise PrecisionError(expected("promotion", invariant, got, "bring one to the other with .to()"))
    return candidates[0] if candidates else a
