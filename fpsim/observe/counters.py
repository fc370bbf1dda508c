"""Counters: what each rounding did to the values handed to it, by role, operation, module and phase.

Layer 7. Compares the value handed over with the value stored; never looks inside an accumulator.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from fpsim.autograd.context import Rounded, Updated, current, using
from fpsim.errors import ArgumentError, expected
from fpsim.rounding.kernel import Array

__all__ = ["Counts", "Report", "observe"]


@dataclass
class Counts:
    """How many of the elements handed to a rounding met which fate. Shares are of the nonzero ones.

    Attributes
    ----------
    elements, nonzero : int
        Handed over.
    overflow : int
        Finite, and rounded with an unbounded exponent beyond the largest finite number.
    to_zero : int
        Not zero, stored as zero.
    subnormal : int
        Stored as a subnormal number.
    inexact : int
        Stored as another value.
    nan : int
        NaN out of operands without NaN, overflow aside.
    infinite : int
        Stored as infinity, for whatever reason.
    """

    elements: int = 0
    nonzero: int = 0
    overflow: int = 0
    to_zero: int = 0
    subnormal: int = 0
    inexact: int = 0
    nan: int = 0
    infinite: int = 0

    def __iadd__(self, other: Counts) -> Counts:
        for f in fields(self):
            setattr(self, f.name, getattr(self, f.name) + getattr(other, f.name))
        return self

    @property
    def exact(self) -> int:
        """Stored as they were: ``exact + inexact + nan`` are all elements."""
        return self.elements - self.inexact - self.nan

    def share(self, what: str) -> float:
        """``what`` as a share of the nonzero elements; 0 where there are none."""
        return getattr(self, what) / self.nonzero if self.nonzero else 0.0


def count(event: Rounded) -> Counts:
    """What one rounding did."""
    before, after, fmt = event.before, event.after, event.fmt
    if after.size == 0:
        return Counts()
    nonzero = int(np.count_nonzero(before))
    magnitude = np.abs(after)
    counts = Counts(
        elements=after.size,
        nonzero=nonzero,
        to_zero=nonzero - int(np.count_nonzero(after)),
        inexact=int(np.count_nonzero(before != after)),
        subnormal=int(np.count_nonzero(magnitude < fmt.smallest_normal)) - int(np.count_nonzero(after == 0)),
    )
    if not magnitude.max() < fmt.max:  # only then is there anything special; true for NaN too
        _count_specials(counts, event, magnitude)
    return counts


def _count_specials(counts: Counts, event: Rounded, magnitude: Array) -> None:
    before, after, fmt = event.before, event.after, event.fmt
    finite = np.isfinite(before)
    # half an ulp beyond the largest number rounds up; a tie does where the last bit is odd, as it is but for OCP E4M3
    edge = fmt.max + np.ldexp(0.5, fmt.emax - fmt.significand_bits)
    beyond = np.abs(before) >= edge if fmt.specials != "fn" else np.abs(before) > edge
    overflow = finite & (beyond | np.isinf(after) | np.isnan(after))
    counts.overflow = int(np.count_nonzero(overflow))
    counts.infinite = int(np.count_nonzero(np.isinf(after)))
    nan = np.asarray(np.isnan(after) & ~overflow)
    counts.inexact -= int(np.count_nonzero(nan))  # NaN differs from itself
    if nan.any():
        for operand in event.operands:
            missing = np.isnan(operand)
            if missing.shape == nan.shape:
                nan &= ~missing
            elif missing.any():  # a sum over a NaN: it came in
                nan = np.zeros_like(nan)
        counts.nan = int(np.count_nonzero(nan))


@dataclass
class Updates:
    """How many updates an optimizer wanted, and how many left the parameter as it was."""

    wanted: int = 0
    lost: int = 0

    @property
    def share(self) -> float:
        """Lost updates as a share of those wanted."""
        return self.lost / self.wanted if self.wanted else 0.0


Key = tuple[str, str, str, str, str]  # role, phase, module, op, format


class Report:
    """What `observe` collected.

    ``report.total(role="gradient")`` sums over all else; ``report.table()`` prints; ``to_dict()`` is for machines.
    """

    def __init__(self, modules: str = "*", every: int = 1) -> None:
        self.counts: dict[Key, Counts] = {}
        self.updates: dict[str, Updates] = {}
        self._modules = modules
        self._every = every
        self._step = 0

    # What the engine calls ------------------------------------------------------------------------------------------

    def rounded(self, event: Rounded) -> None:
        """Count one rounding."""
        if self._step % self._every == 0 and fnmatchcase(event.module, self._modules):
            key = (event.role, event.phase, event.module, event.op, event.fmt.name)
            counts = self.counts.setdefault(key, Counts())
            with np.errstate(all="ignore"):
                counts += count(event)

    def updated(self, event: Updated) -> None:
        """Count one update of one parameter."""
        if self._step % self._every == 0 and fnmatchcase(event.name.rpartition(".")[0], self._modules):
            updates = self.updates.setdefault(event.name, Updates())
            wanted = event.step != 0
            updates.wanted += int(np.count_nonzero(wanted))
            updates.lost += int(np.count_nonzero(wanted & (event.after == event.before)))

    def step(self) -> None:
        """Say that a training step is over, for `every`."""
        self._step += 1

    # What a user asks -----------------------------------------------------------------------------------------------

    def total(self, **which: str) -> Counts:
        """Counts summed over all entries that match, e.g. ``total(role="gradient", module="conv*")``."""
        names = ("role", "phase", "module", "op", "format")
        unknown = set(which) - set(names)
        if unknown:
            raise ArgumentError(expected("total", f"keywords of {', '.join(names)}", f"{sorted(unknown)}", "use those"))
        result = Counts()
        for key, counts in self.counts.items():
            if all(fnmatchcase(part, which.get(name, "*")) for name, part in zip(names, key, strict=True)):
                result += counts
        return result

    @property
    def gradients(self) -> Counts:
        """All gradients, of weights and activations."""
        return self.total(role="*gradient")

    @property
    def lost_updates(self) -> float:
        """Share of the nonzero updates that left their parameter as it was."""
        wanted = sum(u.wanted for u in self.updates.values())
        return sum(u.lost for u in self.updates.values()) / wanted if wanted else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain dicts and lists."""
        names = ("role", "phase", "module", "op", "format")
        rows = [
            {**dict(zip(names, key, strict=True)), **{f.name: getattr(counts, f.name) for f in fields(counts)}}
            for key, counts in self.counts.items()
        ]
        updates = {name: {"wanted": u.wanted, "lost": u.lost} for name, u in self.updates.items()}
        return {"counts": rows, "updates": updates}

    def table(self) -> str:
        """One line for each role, module, operation and format, the shares in percent of nonzero values."""
        if not self.counts:
            return "nothing was rounded while observed"
        heads = ("role", "phase", "module", "op", "format", "elements", "overflow", "to zero", "subnormal", "inexact")
        rows = [heads] + [
            (*key, f"{c.elements:,}", *(_percent(c.share(w)) for w in ("overflow", "to_zero", "subnormal", "inexact")))
            for key, c in self.counts.items()
        ]
        widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
        cells = [
            [cell.ljust(w) if i < 5 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))]
            for row in rows
        ]
        lines = ["  ".join(row).rstrip() for row in cells]
        if self.updates:
            lines.append(f"updates lost: {_percent(self.lost_updates).strip()}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return self.table()


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %" if share else "-"


@contextmanager
def observe(modules: str = "*", every: int = 1) -> Iterator[Report]:
    """Count what every rounding does, for the length of a `with` block.

    Parameters
    ----------
    modules : str
        A pattern of module paths, as in ``"conv*"``.
    every : int
        Count in one step of this many; the steps are told by ``report.step()``.

    Examples
    --------
    >>> import fpsim as fp
    >>> x = fp.tensor([1e-4, 300.0], dtype="float16")
    >>> with fp.observe() as report:
    ...     y = x * x
    >>> counts = report.total(op="multiply")
    >>> counts.to_zero, counts.overflow
    (1, 1)
    """
    if not isinstance(every, int) or every < 1:
        raise ArgumentError(expected("observe", "every of at least 1", f"every={every!r}", "count each step: every=1"))
    report = Report(modules, every)
    with using(observers=(*current().observers, report)):
        yield report
