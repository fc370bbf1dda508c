"""`shadow`: every tensor's float64 twin beside it, and what each operation's rounding did: made here, or passed on.

Layer 7. Compares what was stored with its twin; `twins` carries the twins along.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from fpsim.autograd.context import Applied, Differentiated, Observer, Stored, Updated
from fpsim.autograd.tensor import Tensor
from fpsim.errors import ArgumentError, ArgumentTypeError, ObserverError, expected
from fpsim.formats import Format, float64
from fpsim.observe.budget import ErrorBudget, budget_of
from fpsim.observe.deviation import Deviation, deviation
from fpsim.observe.module_patterns import ModulePatterns
from fpsim.observe.observation import Observation
from fpsim.observe.report_forms import Column, ReportForms
from fpsim.observe.twins import Passage, Twin, Twins
from fpsim.observe.unrounded import Float64, LongDouble, has_longdouble
from fpsim.rounding.kernel import Array

__all__ = ["Errors", "ShadowReport", "shadow"]

#: What tells one line of the report from another.
NAMES = ("role", "phase", "module", "op", "format")

Key = tuple[str, str, str, str, str]


class Errors:
    """The errors of one line: `made` by the operation itself, `inherited` from its inputs, and both: `total`."""

    def __init__(self) -> None:
        self.calls = 0
        self.made, self.inherited, self.total = Deviation(), Deviation(), Deviation()

    def __iadd__(self, other: Errors) -> Errors:
        self.calls += other.calls
        self.made += other.made
        self.inherited += other.inherited
        self.total += other.total
        return self

    def add(self, stored: Array, twin: Twin, fmt: Format) -> None:
        """Measure one result."""
        self.calls += 1
        made = deviation(stored, twin.ideal, fmt)
        self.made += made
        if twin.ideal is twin.value:
            self.inherited += Deviation(elements=made.elements, finite=made.finite)
            self.total += made
        else:
            self.inherited += deviation(twin.ideal, twin.value, fmt)
            self.total += deviation(stored, twin.value, fmt)


class _Track:
    """Twins in one arithmetic, and what was measured against them."""

    def __init__(self, twins: Twins) -> None:
        self.twins = twins
        self.lines: dict[Key, Errors] = {}

    def add(self, key: Key, passage: Passage, fmt: Format) -> None:
        stored: Array = passage.stored.astype(self.twins.arithmetic.dtype, copy=False)
        self.lines.setdefault(key, Errors()).add(stored, passage.twin, fmt)


class ShadowReport(ReportForms, Observer):
    """What `shadow` found: for each role, phase, module, operation and format the error made there and inherited.

    ``report.table()`` prints; ``report.total(op="matmul").made.ulp_max`` asks; ``report.twin(y)``, ``report.made(y)``,
    ``report.inherited(y)`` and ``report.error(y)`` give arrays for a tensor that is still alive; ``report.budget(y)``
    splits its error by source.

    Attributes
    ----------
    twin_format : str
        ``"float64"``; ``"longdouble"`` where all that ran was float64 and the platform has something wider.
    """

    nothing = "nothing ran while shadowed"
    plotted_by = "shadow_errors"

    def __init__(self, modules: str | Iterable[str] = "*") -> None:
        self._modules = ModulePatterns("shadow", modules)
        self._narrow = _Track(Twins(Float64(), remember=True))
        #: beside it as long as everything is float64
        self._wide = _Track(Twins(LongDouble(), remember=False)) if has_longdouble() else None
        self._all_float64 = True
        self._last: Callable[[], Tensor | None] = lambda: None

    # What the engine calls ------------------------------------------------------------------------------------------

    def applied(self, event: Applied) -> None:
        """Follow one operation."""
        self._last = weakref.ref(event.result)
        fmt, inputs = event.result.dtype, [x.dtype for x in event.inputs if x is not None]
        key = ("activation", "forward", event.module, event.op.name, fmt.name)
        self._follow("applied", event, [key], fmt, [*inputs, fmt, event.precision.accumulate])

    def differentiated(self, event: Differentiated) -> None:
        """Follow one contribution to a gradient."""
        precision, node = event.of.precision.gradient, event.node
        role = "weight_gradient" if event.of.role == "weight" else "gradient"
        keys = [(role, "backward", node.module, op, precision.storage.name) for op in (node.op.name, "add gradients")]
        self._follow("differentiated", event, keys, precision.storage, [precision.storage, node.precision.accumulate])

    def stored(self, event: Stored) -> None:
        """Follow values rounded into a tensor."""
        fmt = event.tensor.dtype
        role = "weight_gradient" if event.formula is not None else event.tensor.role  # (unscaled, or clipped)
        key = (role, "storing", _module_of(getattr(event.tensor, "name", None)), event.op, fmt.name)
        self._follow("stored", event, [] if event.op == "detach" else [key], fmt, [fmt])

    def updated(self, event: Updated) -> None:
        """Follow one optimizer step of one parameter."""
        key = ("weight", "update", _module_of(event.name), event.op, event.fmt.name)
        self._follow("updated", event, [key], event.fmt, [event.fmt, event.gradient.dtype])

    def _follow(self, event: str, what: Any, keys: list[Key], fmt: Format, met: list[Format]) -> None:
        if any(f != float64 for f in met):
            self._all_float64, self._wide = False, None
        wanted = bool(keys) and self._modules.match(keys[0][2])
        for track in (self._narrow, self._wide):
            if track is None:
                continue
            passed = getattr(track.twins, event)(what)
            if wanted:
                for key, passage in zip(keys, passed if isinstance(passed, list) else [passed], strict=False):
                    track.add(key, passage, fmt)

    # What a user asks of it all -------------------------------------------------------------------------------------

    @property
    def _track(self) -> _Track:
        return self._narrow if self._wide is None else self._wide

    @property
    def twin_format(self) -> str:
        """In what the twins are computed."""
        return self._track.twins.arithmetic.name

    @property
    def lines(self) -> dict[Key, Errors]:
        """The errors by (role, phase, module, op, format), in the order in which they first ran."""
        self._modules.check()
        return self._track.lines

    def total(self, **which: str) -> Errors:
        """All lines that match, as one: ``report.total(phase="backward", module="conv*").made.relative``."""
        unknown = set(which) - set(NAMES)
        if unknown:
            raise ArgumentError(expected("total", f"keywords of {', '.join(NAMES)}", f"{sorted(unknown)}", "use those"))
        result = Errors()
        for key, errors in self._checked_lines("total").items():
            if all(fnmatchcase(part, which.get(name, "*")) for name, part in zip(NAMES, key, strict=True)):
                result += errors
        return result

    def _checked_lines(self, asked: str) -> dict[Key, Errors]:
        lines = self.lines
        if not lines:
            got, remedy = "none", "run the network inside the with block"
            raise ObserverError(expected(asked, "a report of something that ran", got, remedy))
        return lines

    # What a user asks of a tensor -----------------------------------------------------------------------------------

    def _twin_of(self, x: Any, asked: str) -> Twin:
        if not isinstance(x, Tensor):
            raise ArgumentTypeError(expected(asked, "a tensor", type(x).__name__, "pass the result itself"))
        twin = self._track.twins.known(x)
        if twin is None:
            got = "one that is not, or that changed since"
            raise ObserverError(
                expected(asked, "a tensor that was made or used inside the block", got, "make it there")
            )
        return twin

    def twin(self, x: Tensor) -> Array:
        """What the tensor would be without rounding: an array of float64 (or np.longdouble)."""
        return self._twin_of(x, "twin").value.copy()

    def error(self, x: Tensor) -> Array:
        """As stored minus the twin, signed: what was made there and what was inherited."""
        twin = self._twin_of(x, "error")
        return self._difference(x._data, twin.value)

    def made(self, x: Tensor) -> Array:
        """As stored minus what the operation gives from the same inputs without rounding: the local error."""
        twin = self._twin_of(x, "made")
        return self._difference(x._data, twin.ideal)

    #: the same under its other name
    local = made

    def inherited(self, x: Tensor) -> Array:
        """What the operation, without rounding, makes of the errors of its inputs."""
        twin = self._twin_of(x, "inherited")
        return self._difference(twin.ideal, twin.value)

    def _difference(self, a: Array, b: Array) -> Array:
        with np.errstate(invalid="ignore"):
            return np.asarray(a.astype(b.dtype) - b)

    def budget(
        self, y: Tensor | None = None, *, weights: Sequence[Tensor] = (), exact: Mapping[Tensor, Any] | None = None
    ) -> ErrorBudget:
        """Split the error of ``y = f(x, w)`` into rounding of x, of w, of the operations, and of the accumulation.

        The recorded operations run again in float64 with one of the four roundings on at a time.

        Parameters
        ----------
        y : Tensor, optional
            A result made inside the block; the last one unless given.
        weights : tensors, optional
            What counts as w; the parameters and the leaves that require a gradient unless given.
        exact : dict of tensor to array, optional
            The unrounded values of leaves that were made before the block, where they are known.

        Examples
        --------
        >>> import fpsim as fp
        >>> with fp.shadow() as report:
        ...     x, w = fp.tensor([0.1, 0.7], dtype="float16"), fp.tensor([0.3, 1 / 3], dtype="float16")
        ...     y = (x * w).sum()
        >>> split = report.budget(y, weights=[w])
        >>> float(split.off), split.total.shape == y.shape
        (0.0, True)
        """
        y = self._last() if y is None else y
        if y is None:
            raise ObserverError(expected("budget", "a result that still exists", "none", "pass y of y = f(x, w)"))
        twin = self._twin_of(y, "budget")
        known = self._narrow.twins.known(y)
        recipe = twin.recipe if known is None else known.recipe
        return budget_of(y, recipe, None if known is None else known.value, weights, exact or {})

    # Forms ----------------------------------------------------------------------------------------------------------

    def rows(self) -> list[dict[str, Any]]:
        """One dict a line: names, how often, and of made, inherited and total the measures."""
        return [
            {
                **dict(zip(NAMES, key, strict=True)),
                "calls": errors.calls,
                "elements": errors.total.elements,
                **{
                    f"{what}_{measure}": getattr(getattr(errors, what), measure)
                    for what in ("made", "inherited", "total")
                    for measure in ("relative", "relative_max", "norm", "ulp", "ulp_max", "bias", "wrong", "lost")
                },
            }
            for key, errors in self.lines.items()
        ]

    def columns(self) -> Sequence[Column]:
        """What the table shows."""
        shown = [
            ("made_relative", "made"), ("made_ulp_max", "max ulp"), ("made_bias", "bias"),
            ("inherited_relative", "inherited"), ("inherited_ulp_max", "max ulp"),
            ("total_relative", "total"), ("total_lost", "lost"),
        ]  # fmt: skip
        return [*(Column(name, name) for name in NAMES), *(Column(key, head) for key, head in shown)]

    def title(self) -> str:
        """The line above the table."""
        return f"Errors against {'np.' if self.twin_format == 'longdouble' else ''}{self.twin_format} twins"

    def notes(self) -> list[str]:
        """What a reader must know."""
        notes = [
            "made, inherited, total: mean relative errors; bias: mean signed error made, in ulp of the format;",
            "lost: elements of which only the tensor or only its twin is finite.",
        ]
        if self._all_float64 and self.lines and self._wide is None:
            notes.append("No wider type than float64 on this platform: errors of float64 tensors show as 0.")
        if self.failure is not None:
            notes.append(f"Stopped by {type(self.failure).__name__}: {self.failure}")
        return notes

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain dicts and lists."""
        return {"twin": self.twin_format, **super().to_dict()}

    def __repr__(self) -> str:
        return f"<{self.nothing}>" if not self._track.lines else super().__repr__()


def _module_of(name: str | None) -> str:
    return (name or "").rpartition(".")[0]


def shadow(modules: str | Iterable[str] = "*") -> Observation[ShadowReport]:
    """Run the float64 twin of every tensor through the same graph, gradients and optimizer included.

    Every result is compared with two others: with what its operation gives without rounding from the same stored
    inputs (their difference is *made* there), and with its twin, which was never rounded at all (the rest is
    *inherited*). No result changes.

    Parameters
    ----------
    modules : str or list of str
        Patterns of the dotted paths of the modules to report on; the twins run everywhere.

    Returns
    -------
    context manager
        Giving a `ShadowReport`.

    Notes
    -----
    Precision: a twin is what fpsim gives for float64 tensors; where everything that ran is float64 it is NumPy's
    np.longdouble, if that is wider. A tensor met for the first time is its own twin, or its master's; of one made from
    data inside the block the data is. Scalars count as given. Masks, labels and the factor of `clip_grad_norm_` are
    the stored run's. Twins are freed with their tensors.

    Examples
    --------
    >>> import fpsim as fp
    >>> x = fp.tensor([0.1, 0.2, 0.3], dtype="float64")
    >>> with fp.shadow() as report:
    ...     y = fp.exp((x * 3).half()).double()
    >>> report.total(op="multiply").made.exact, report.total(op="exp").made.ulp_max < 0.51
    (True, True)
    """
    return Observation("shadow", ShadowReport(modules))
