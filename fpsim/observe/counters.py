"""`observe`: what every rounding did to the values handed to it, by role, pass, module, operation, format and step.

Layer 7. Sorts what `counting` counts. Inside an accumulator it looks only where that was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np

from fpsim.autograd.context import Observer, Rounded, Stored, Updated
from fpsim.autograd.tensor import Tensor
from fpsim.errors import ArgumentError, ArgumentTypeError, ObserverError, expected
from fpsim.formats import Format
from fpsim.observe.counting import Counts, Exponents, count, count_update
from fpsim.observe.observation import Observation
from fpsim.observe.report_forms import Column, ReportForms, percent, plain
from fpsim.rounding.kernel import Array

if TYPE_CHECKING:
    from fpsim.accumulate.counting import Tally

__all__ = ["Counts", "Exponents", "Report", "Updates", "observe"]


@dataclass
class Updates:
    """How many updates an optimizer wanted, and how many left the parameter as it was."""

    wanted: int = 0
    lost: int = 0

    @property
    def share(self) -> float:
        """Lost updates as a share of those wanted."""
        return self.lost / self.wanted if self.wanted else 0.0


#: What a count belongs to; `phase` is the pass: forward, backward, update, or setup (initial weights, casts of them).
NAMES = ("role", "phase", "module", "op", "format", "step")
Key = tuple[str, str, str, str, str, int]

#: Roles of what is rounded outside of operations, where they are not the tensor's own.
_ROLES = {"unscale_": "gradient", "clip_grad_norm_": "gradient", "clip_grad_value_": "gradient", "cast": "weight"}


class Report(ReportForms, Observer):
    """What `observe` collected.

    ``report.total(role="gradient")`` sums over all else, ``report.by("module", "step")`` groups, ``report.flags`` are
    IEEE 754's; ``report.table()`` prints, ``report.plot()`` draws the exponents.
    """

    plotted_by = "exponents"

    def __init__(self, modules: str | Iterable[str] = "*", every: int = 1, accumulators: bool = False) -> None:
        self.updates: dict[str, Updates] = {}
        self.accumulators = accumulators
        self._patterns = _checked_patterns(modules)
        self._every = _checked_every(every)
        self._counts: dict[Key, Counts] = {}
        self._formats: dict[str, Format] = {}
        self._in_accumulator = Counts()
        self._step = 0
        self._went_back = False
        self._seen: set[str] = set()

    # What the engine and the optimizers call ------------------------------------------------------------------------

    def rounded(self, event: Rounded) -> None:
        """Count one rounding."""
        self._note_phase(event.phase)
        in_accumulator, self._in_accumulator = self._in_accumulator, Counts()
        if not self._wants(event.module):
            return
        counts = count(
            event.before, event.after, event.fmt, event.operands, mode=event.mode, pointwise=event.pointwise,
            exact=event.exact,
        )  # fmt: skip
        counts += in_accumulator
        self._add(event.role, event.phase, event.module, event.op, event.fmt, counts)

    def accumulated(self, tally: Tally) -> None:
        """Take note of what happened inside an accumulator; it belongs to the rounding that follows."""
        if not self.accumulators:  # another observer asked
            return
        self._in_accumulator += Counts(additions=tally.additions, absorbed=tally.absorbed, acc_overflow=tally.overflow)

    def updated(self, event: Updated) -> None:
        """Count one update of one parameter."""
        self._note_phase("update")
        module = event.name.rpartition(".")[0]
        if not self._wants(module):
            return
        counts, wanted, lost = count_update(event.before, event.step, event.after, event.fmt)
        updates = self.updates.setdefault(event.name, Updates())
        updates.wanted += wanted
        updates.lost += lost
        self._add("update", "update", module, event.op, event.fmt, counts)

    def stored(self, event: Stored) -> None:
        """Count one rounding outside of operations: data that become a tensor, a master's copy, a gradient unscaled."""
        tensor = event.tensor
        module = (getattr(tensor, "name", None) or "").rpartition(".")[0]
        role = _ROLES.get(event.op, tensor.role)
        if role == "activation" and not isinstance(event.source, Tensor):
            role = "input"
        if role == "input":
            self._note_phase("forward")
        if event.op == "detach" or not self._wants(module):
            return
        before = _values(event.before if event.source is tensor else event.source)
        if before is None or before.shape != tensor.shape:
            return
        with np.errstate(all="ignore"):
            before = before if event.formula is None else event.formula(before.astype(np.float64))
        counts = count(before, tensor._data, tensor.dtype, (before,), mode=tensor.precision.rounding, pointwise=True)
        of_step = role == "gradient" or (event.source is tensor.master and event.before is None)
        phase = "forward" if role == "input" else "update" if of_step else "setup"
        self._add(role, phase, module, event.op, tensor.dtype, counts)

    def step(self) -> None:
        """Say that a training step is over. Without that a new one starts where a forward pass follows a backward."""
        self._step += 1
        self._went_back = False

    def _note_phase(self, phase: str) -> None:
        if phase != "forward":
            self._went_back = True
        elif self._went_back:
            self.step()

    def _wants(self, module: str) -> bool:
        self._seen.add(module)
        return self._step % self._every == 0 and any(fnmatchcase(module, pattern) for pattern in self._patterns)

    def _add(self, role: str, phase: str, module: str, op: str, fmt: Format, counts: Counts) -> None:
        self._formats[fmt.name] = fmt
        key = (role, phase, module, op, fmt.name, self._step)
        if key in self._counts:
            self._counts[key] += counts
        else:
            self._counts[key] = counts

    # What a user asks -----------------------------------------------------------------------------------------------

    def total(self, **which: Any) -> Counts:
        """Counts summed over all that match, e.g. ``total(role="gradient", module="conv*", step=3)``."""
        result = Counts()
        for counts in self._matching(which).values():
            result += counts
        return result

    def by(self, *names: str, **which: Any) -> dict[tuple[Any, ...], Counts]:
        """Counts summed in groups, e.g. ``by("module", "step", role="*gradient")``, in order of appearance.

        >>> import fpsim as fp
        >>> x = fp.tensor([1e-4, 300.0], dtype="float16")
        >>> with fp.observe() as report:
        ...     y = x * x + x
        >>> {op: counts.inexact for (op,), counts in report.by("op").items()}
        {'multiply': 2, 'add': 0}
        """
        _check_names("by", names)
        groups: dict[tuple[Any, ...], Counts] = {}
        for key, counts in self._matching(which).items():
            group = tuple(key[NAMES.index(name)] for name in names)
            groups.setdefault(group, Counts()).__iadd__(counts)
        return groups

    def _matching(self, which: dict[str, Any]) -> dict[Key, Counts]:
        _check_names("total", which)
        return {
            key: counts
            for key, counts in self._counts.items()
            if all(_matches(key[i], which[name]) for i, name in enumerate(NAMES) if name in which)
        }

    @property
    def counts(self) -> dict[tuple[Any, ...], Counts]:
        """Counts by role, phase, module, operation and format, over all steps."""
        return self.by(*NAMES[:-1])

    @property
    def flags(self) -> dict[str, int]:
        """How many rounded operations and conversions raised each of IEEE 754's five flags; tininess after rounding.

        >>> import fpsim as fp
        >>> x = fp.tensor([0.0, 1.0, 300.0], dtype="float16")
        >>> with fp.observe() as report:
        ...     y = x * x / x
        >>> report.flags
        {'inexact': 1, 'underflow': 0, 'overflow': 1, 'divide_by_zero': 0, 'invalid': 1}
        """
        return self.total().flags

    @property
    def gradients(self) -> Counts:
        """All gradients, of weights and activations, as operations make them."""
        return self.total(role="*gradient", phase="backward")

    @property
    def lost_updates(self) -> float:
        """Share of the nonzero updates that left their parameter as it was."""
        wanted = sum(u.wanted for u in self.updates.values())
        return sum(u.lost for u in self.updates.values()) / wanted if wanted else 0.0

    @property
    def steps(self) -> list[int]:
        """The steps that were counted."""
        return sorted({key[-1] for key in self._counts})

    def format(self, name: str) -> Format:
        """A format that was rounded to, by its name in the report."""
        return self._formats[name]

    # Its forms ------------------------------------------------------------------------------------------------------

    nothing = "nothing was rounded while observed"

    def rows(self, *names: str, **which: Any) -> list[dict[str, Any]]:
        """One dict for each group (default: role, phase, module, operation and format), with counts and shares.

        Raises
        ------
        ObserverError
            Where the pattern of modules matched none that ran.
        """
        self._check_patterns()
        names = names or NAMES[:-1]
        rows = []
        for group, c in self.by(*names, **which).items():
            shares = {f"{what}_share": c.share(what) for what in ("overflow", "to_zero", "subnormal", "inexact")}
            if c.additions:
                shares["absorbed_share"] = c.absorbed / c.additions
            exponents = {str(e): n for e, n in c.exponents.items()}
            rows.append({**dict(zip(names, group, strict=True)), **c.numbers(), **shares, "exponents": exponents})
        return rows

    def columns(self) -> Sequence[Column]:
        """Shares in percent of nonzero values; counts of what is rare."""
        return _columns(NAMES[:-1], self.total())

    def table(self, *names: str, **which: Any) -> str:
        """One line for each group: ``table()``, ``table("module", "role")``, ``table("step", role="update")``."""
        return _Grouped(self, names, which).table() if names or which else super().table()

    def notes(self) -> list[str]:
        """What else a reader has to know."""
        notes = []
        if self.updates:
            notes.append(f"updates lost: {percent(self.lost_updates)} of those that were not zero")
        raised = [f"{name.replace('_', ' ')} {n:,}" for name, n in self.flags.items() if n]
        if raised:
            notes.append(f"IEEE 754 flags: {', '.join(raised)}")
        if self.accumulators:
            notes.append(
                "inside accumulators: additions that left the sum as it was, of nonzero terms; sums in order blas are "
                "counted in order sequential, for nobody knows BLAS's own"
            )
        if self.failure is not None:
            notes.append(f"incomplete: counting failed ({type(self.failure).__name__}: {self.failure})")
        return notes

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain dicts and lists: ``counts flags updates steps notes``."""
        updates = {name: {"wanted": u.wanted, "lost": u.lost} for name, u in self.updates.items()}
        content = {"counts": self.rows(), "flags": self.flags, "updates": updates, "steps": self.rows("step", "role")}
        return plain({**content, "notes": self.notes()})

    def _check_patterns(self) -> None:
        if self._counts or not self._seen or self._patterns == ("*",):
            return
        if not any(fnmatchcase(module, pattern) for module in self._seen for pattern in self._patterns):
            ran = ", ".join(sorted(m for m in self._seen if m)) or "operations outside of modules"
            got = f"modules={self._patterns[0] if len(self._patterns) == 1 else self._patterns!r}"
            raise ObserverError(
                expected("observe", "a pattern that matches a module that ran", got, f"there were {ran}")
            )


class _Grouped(ReportForms):
    """A report's rows in other groups."""

    def __init__(self, report: Report, names: tuple[str, ...], which: dict[str, Any]) -> None:
        self._report, self._names, self._which = report, names or NAMES[:-1], which
        self.nothing = report.nothing

    def rows(self) -> list[dict[str, Any]]:
        return self._report.rows(*self._names, **self._which)

    def columns(self) -> Sequence[Column]:
        return _columns(self._names, self._report.total(**self._which))


def _columns(names: Sequence[str], total: Counts) -> list[Column]:
    columns = [Column(name, name, left=name != "step") for name in names]
    columns.append(Column("elements", "elements"))
    for what in ("overflow", "to_zero", "subnormal", "inexact"):
        columns.append(Column(f"{what}_share", what.replace("_", " "), lambda share: percent(share or None)))
    rare = [what for what in ("nan", "infinite", "divide_by_zero", "acc_overflow") if getattr(total, what)]
    columns += [Column(what, what.replace("_", " "), lambda n: f"{n:,}" if n else "-") for what in rare]
    if total.additions:
        columns.append(Column("absorbed_share", "absorbed", percent))
    columns.append(Column("exponents", "exponents", _range_of))
    return columns


def _range_of(exponents: dict[str, int]) -> str:
    found = list(exponents)
    return f"{found[0]} to {found[-1]}" if found else "-"


def _matches(part: str | int, wanted: Any) -> bool:
    return part == wanted if isinstance(part, int) else fnmatchcase(part, str(wanted))


def _values(source: Any) -> Array | None:
    """The values of a tensor or an array; None where they are no plain array of numbers."""
    found = np.asarray(getattr(source, "_data", source))
    return found if found.dtype.kind in "fiub" else None


def _check_names(op: str, names: Iterable[str]) -> None:
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        raise ArgumentError(expected(op, f"keywords of {', '.join(NAMES)}", f"{unknown}", "use those"))


def _checked_patterns(modules: Any) -> tuple[str, ...]:
    patterns = (modules,) if isinstance(modules, str) else modules
    if not isinstance(patterns, list | tuple) or not patterns or not all(isinstance(p, str) for p in patterns):
        remedy = "name modules as in 'conv*'"
        raise ArgumentTypeError(expected("observe", "a pattern or a list of them", f"modules={modules!r}", remedy))
    return tuple(patterns)


def _checked_every(every: Any) -> int:
    if isinstance(every, bool) or not isinstance(every, int | np.integer) or every < 1:
        raise ArgumentError(expected("observe", "every of at least 1", f"every={every!r}", "count each step: every=1"))
    return int(every)


def observe(modules: str | Iterable[str] = "*", every: int = 1, *, accumulators: bool = False) -> Observation[Report]:
    """Count what every rounding does, for the length of a `with` block.

    Parameters
    ----------
    modules : str or list of str
        Patterns of module paths, as in ``"conv*"``; what runs outside of modules has the path ``""``.
    every : int
        Count in one step of this many. A step ends where a forward pass follows a backward pass, or where
        ``report.step()`` says so.
    accumulators : bool
        Look inside the accumulators too: additions absorbed, overflows. Every sum is carried out a second time, step
        by step, which takes many times as long.

    Notes
    -----
    A counter compares the value handed to a rounding with the value stored; for a sum or a product of matrices the
    value handed over is the accumulator's result. ``fp.tensor`` and the copies of masters are counted as well (roles
    ``input`` and ``weight``). Nothing that is computed changes by being observed, not by a bit. Blocks nest.

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
    if not isinstance(accumulators, bool):
        got = f"accumulators={accumulators!r}"
        raise ArgumentTypeError(expected("observe", "accumulators to be True or False", got, "choose one"))
    return Observation("observe", Report(modules, every, accumulators))
