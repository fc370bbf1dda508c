"""`sensitivity`: how far one layer's one role in a narrow format takes a network from its float64 run.

Layer 7. Runs copies of the network; what a role means for a layer is `assigned`, and nothing else decides it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from fpsim import amp, nn, optim
from fpsim.autograd import Tensor, tensor, using
from fpsim.autograd.tensor import store
from fpsim.errors import ArgumentError, ArgumentTypeError, DataError, HyperparameterRoundingWarning, expected
from fpsim.formats import Format, float32, float64
from fpsim.nn import Module
from fpsim.observe.sensitivity_report import Cell, Check, Deviation, Sensitivity
from fpsim.precision import Precision
from fpsim.rounding.kernel import Array

__all__ = ["ROLES", "sensitivity"]

#: What of a layer can be in a narrow format, the rest of the network staying in float64.
ROLES: dict[str, str] = {
    "weight": "its parameters as the layer reads them; the optimizer updates float64 copies",
    "activation": "its result, rounded as it leaves the layer",
    "gradient": "the gradients of its parameters and of its result",
    "accumulator": "its sums, forward and backward, of inputs in float32 where the narrow format has p <= 11",
    "update": "the parameters that the optimizer updates, rounded after each step, and the optimizer's state",
}

#: So many samples of a data set are used unless `samples` says otherwise.
SAMPLES = 64

Assignment = Iterable[tuple[str, str]]


def sensitivity(
    net: Any,
    data: Any,
    fmt: Any = "float16",
    *,
    tolerance: float = 1e-3,
    roles: Iterable[str] = tuple(ROLES),
    layers: str | Iterable[str] = "*",
    steps: int = 4,
    lr: float = 0.05,
    samples: int = SAMPLES,
    loss: Callable[[Tensor, Any], Tensor] = nn.functional.cross_entropy,
    progress: Callable[[int, int], None] | None = None,
) -> Sensitivity:
    """Measure what each role of each layer does in a narrow format, and find the cheapest assignment that holds.

    For every layer with parameters and every role the network is trained for a few steps of plain gradient descent on
    one batch, all of it in float64 but for that role of that layer; and its outputs and losses are compared with those
    of the float64 run from the same weights. Then as many roles as the tolerance seems to allow are made narrow at
    once, and that is run too: where it does not hold, the report says so.

    Parameters
    ----------
    net : nn.Module
        Stays as it is.
    data : (x, y), or images as `fp.data.digits` gives them
        Of these the first `samples` of the training part.
    fmt : format
    tolerance : float
        Of the output's relative deviation; 1e-3 is twice float16's unit roundoff.
    roles : iterable of str
        Of ``weight activation gradient accumulator update``.
    layers : str or iterable of str
        `fnmatch` patterns of the layers' names.
    steps : int
        Of training; the outputs are those after them.
    lr : float
    samples : int
        Used at most.
    loss : callable
        ``loss(outputs, labels)``.
    progress : callable, optional
        Called as ``progress(run, runs)``.

    Returns
    -------
    Sensitivity
        ``table() to_dict() to_json() plot()``; ``report["fc1", "weight"].output`` is a deviation,
        ``report.assignment`` the cheapest, ``report.check`` what running it gave.

    Raises
    ------
    ArgumentError
        Unknown roles, a pattern that matches no layer, a tolerance that is not positive.
    DataError
        No samples, labels that do not fit.

    Notes
    -----
    Deviation is relative, without unit: of the outputs ``|y - y64| / |y64|`` in the Euclidean norm over all samples;
    of the loss the largest ``|l - l64| / |l64|`` over the steps; of the gradient, that of the first step,
    ``|g - g64| / |g64|`` over all parameters. What is not finite deviates infinitely. A bit saved is a bit of a value
    that is held once: a parameter, an element of a result or of a gradient, a running sum (one per element of a
    result).

    The assignment is greedy, not proven the cheapest: roles in the order of deviation per bit saved, while the sum of
    their single deviations stays within the tolerance. Together they may deviate by more, through later layers and
    steps, or by less, so only runs decide: roles are taken back while the run does not hold, else others are added
    one by one while it does.

    Examples
    --------
    >>> import numpy as np, fpsim as fp
    >>> with fp.seed(0):
    ...     net = fp.nn.Sequential(fp.nn.Linear(4, 3), fp.nn.ReLU(), fp.nn.Linear(3, 2))
    >>> x, y = np.eye(4), np.array([0, 1, 0, 1])
    >>> report = fp.sensitivity(net, (x, y), roles=["weight", "activation"], steps=2)
    >>> report.layers, report.check.holds
    (('0', '2'), True)
    """
    narrow, roles = Format(fmt), _roles(roles)
    _check_numbers(tolerance, steps, lr, samples)
    surroundings = {"observers": (), "autocast": None, "precision": None, "module": "", "grad_enabled": True}
    with using(**surroundings), warnings.catch_warnings():
        warnings.simplefilter("ignore", HyperparameterRoundingWarning)  # a learning rate of 0 is what is measured
        plain, _ = amp.in_formats(net, float64, op="sensitivity")
        chosen = _layers(plain, layers)
        bench = _Bench(plain, *_batch(data, samples), narrow, steps, lr, loss)
        sizes = _values_held(bench, chosen)
        cells = []
        total = len(chosen) * len(roles)
        for layer in chosen:
            for role in roles:
                bits = sizes[layer][role] * (float64.bits - narrow.bits)
                cells.append(Cell(layer, role, bench.deviation({(layer, role)}), bits))
                if progress is not None:
                    progress(len(cells), total)
        checks = _checks(bench, cells, tolerance)
    return Sensitivity(narrow, tuple(cells), tuple(checks), float(tolerance), int(steps), len(bench.x))


# Running -------------------------------------------------------------------------------------------------------------


class _Bench:
    """The same few steps of the same network on the same batch, whatever is narrow; the float64 run beside."""

    def __init__(
        self, net: Module, x: Array, y: Array, narrow: Format, steps: int, lr: float, loss: Callable[..., Tensor]
    ) -> None:
        self.net, self.x, self.y, self.narrow = net, x, y, narrow
        self.steps, self.lr, self.loss = steps, lr, loss
        self.reference = self.run(())
        if not all(np.isfinite(part).all() for part in self.reference):
            got = f"losses {', '.join(f'{value:g}' for value in self.reference[1])} with lr={lr:g}"
            raise ArgumentError(expected("sensitivity", "a float64 run that stays finite", got, "use a smaller lr"))

    def run(self, assignment: Assignment) -> tuple[Array, Array, Array]:
        """Outputs after the steps, the losses, and the first step's gradients, all as float64."""
        net = assigned(self.net, assignment, self.narrow)
        optimizer = optim.SGD(net.parameters(), lr=self.lr)
        x = tensor(self.x, dtype=float64)
        losses, gradients = [], np.empty(0)
        with using(rng=np.random.default_rng(0)):  # dropout, the same in every run
            for step in range(self.steps):
                value = self.loss(net(x), self.y)
                value.backward()
                losses.append(value.item())
                if step == 0:
                    parts = [p.grad._data.reshape(-1) for p in net.parameters() if p.grad is not None]
                    gradients = np.concatenate(parts).astype(np.float64)
                optimizer.step()
                optimizer.zero_grad()
            net.eval()
            out = net(x)
        if not isinstance(out, Tensor):
            got = type(out).__name__
            raise ArgumentTypeError(expected("sensitivity", "a network that gives a tensor", got, "wrap it in one"))
        return out._data.astype(np.float64), np.array(losses), gradients

    def deviation(self, assignment: Assignment) -> Deviation:
        """How far a run lies from the float64 run."""
        out, losses, gradients = self.run(assignment)
        out64, losses64, gradients64 = self.reference
        with np.errstate(all="ignore"):
            of_loss = max((_relative(a, b) for a, b in zip(losses, losses64, strict=True)), default=0.0)
        return Deviation(_relative(out, out64), of_loss, _relative(gradients, gradients64))


def _relative(a: Any, b: Any) -> float:
    """``|a - b| / |b|``; infinite where `a` is not finite, and where only `b` is zero."""
    if not np.isfinite(a).all():
        return float("inf")
    largest = max(float(np.max(np.abs(b), initial=0.0)), float(np.max(np.abs(a), initial=0.0)))
    if largest == 0:
        return 0.0
    a, b = np.ravel(a / largest), np.ravel(b / largest)  # so that no square overflows
    size = float(np.linalg.norm(b))
    return float(np.linalg.norm(a - b)) / size if size else float("inf")


def assigned(net: Module, assignment: Assignment, narrow: Format) -> Module:
    """A copy of a float64 network in which the named roles of the named layers are in the narrow format.

    Everything is said by precisions: of the layer's parameters (and of their masters, which are what an optimizer
    updates), of its operations, and of the cast of its result.
    """
    copied, _ = amp.in_formats(net, op="sensitivity")
    by_layer: dict[str, set[str]] = {}
    for layer, role in assignment:
        by_layer.setdefault(layer, set()).add(role)
    modules = dict(copied.named_modules())
    for layer, roles in by_layer.items():
        compute = _inputs_of(narrow) if "accumulator" in roles else float64
        formats = {role: narrow if role in roles else float64 for role in ROLES}
        gradient = narrow if "gradient" in roles else compute
        module = modules[layer]
        module.precision = Precision(compute, formats["accumulator"], grad=gradient)
        module.output_precision = Precision(formats["activation"], float64, grad=gradient)
        for p in module._parameters.values():
            if p is None:
                continue
            wide = Precision(formats["update"])
            p.master = Tensor(store(p._data, wide), wide) if roles & {"weight", "update"} else None
            p.precision = Precision(formats["weight"], float64, grad=formats["gradient"])
            p.replace_values(store(p._data, p.precision))
    return copied


def _inputs_of(narrow: Format) -> Format:
    """Of what a narrow accumulator sums.

    Float32 for accumulators of at most 11 significand bits: its own rounding is 2**-13 of theirs, and no accumulator
    of a device takes more; sums of float64 products in float16 would take minutes.
    """
    return float32 if narrow.p <= 11 and float32.holds(narrow) else float64


# Choosing ------------------------------------------------------------------------------------------------------------


def _checks(bench: _Bench, cells: list[Cell], tolerance: float) -> list[Check]:
    """Every assignment that was run: the proposed one, with roles taken back until it holds, with others added."""
    cells = sorted(cells, key=lambda c: (c.deviation.output / max(c.bits_saved, 1), c.layer, c.role))

    def run(chosen: list[Cell]) -> Check:
        assignment = frozenset((c.layer, c.role) for c in chosen)
        return Check(assignment, sum(c.deviation.output for c in chosen), bench.deviation(assignment), tolerance)

    able = [c for c in cells if c.bits_saved > 0 and c.deviation.output <= tolerance]
    chosen: list[Cell] = []
    for cell in able:
        if sum(c.deviation.output for c in chosen) + cell.deviation.output <= tolerance:
            chosen.append(cell)
    checks = [run(chosen)]
    while not checks[-1].holds and chosen:
        chosen.pop()  # the one that deviates most per bit saved
        checks.append(run(chosen))
    if len(checks) == 1:  # deviations may cancel, so that more fit than their sum says
        for cell in able:
            if cell not in chosen:
                checks.append(run([*chosen, cell]))
                if checks[-1].holds:
                    chosen = [*chosen, cell]
    return checks


def _values_held(bench: _Bench, layers: list[str]) -> dict[str, dict[str, int]]:
    """How many values each role of a layer holds, found by running it once."""
    sizes: dict[str, int] = {}
    net, _ = amp.in_formats(bench.net, op="sensitivity")
    modules = dict(net.named_modules())
    for layer in layers:
        module = modules[layer]

        def sized(*inputs: Any, _forward: Any = module.forward, _layer: str = layer, **options: Any) -> Any:
            out = _forward(*inputs, **options)
            sizes[_layer] = sizes.get(_layer, 0) + (out.size if isinstance(out, Tensor) else 0)
            return out

        object.__setattr__(module, "forward", sized)
    with using(rng=np.random.default_rng(0), grad_enabled=False):
        net(tensor(bench.x, dtype=float64))
    held = {}
    for layer in layers:
        parameters = sum(p.size for p in modules[layer]._parameters.values() if p is not None)
        out = sizes.get(layer, 0)
        held[layer] = {
            "weight": parameters,
            "activation": out,
            "gradient": parameters + out,
            "accumulator": out,
            "update": parameters,
        }
    return held


# Arguments -----------------------------------------------------------------------------------------------------------


def _roles(given: Iterable[str]) -> tuple[str, ...]:
    roles = (given,) if isinstance(given, str) else tuple(dict.fromkeys(given))
    unknown = [role for role in roles if role not in ROLES]
    if unknown or not roles:
        got = f"roles={list(roles)}"
        raise ArgumentError(expected("sensitivity", f"roles of {', '.join(ROLES)}", got, "leave it out for all"))
    return roles


def _check_numbers(tolerance: Any, steps: Any, lr: Any, samples: Any) -> None:
    for name, value, kind, invariant in (
        ("tolerance", tolerance, (int, float), "a positive number"),
        ("lr", lr, (int, float), "a positive number"),
        ("steps", steps, (int, np.integer), "a whole number of at least 1"),
        ("samples", samples, (int, np.integer), "a whole number of at least 1"),
    ):
        if not isinstance(value, kind) or isinstance(value, bool) or not value > 0 or value == float("inf"):
            raise ArgumentError(expected("sensitivity", invariant, f"{name}={value!r}", "correct it"))


def _layers(net: Module, patterns: str | Iterable[str]) -> list[str]:
    """Names of the layers with parameters that match."""
    names = [
        name
        for name, module in net.named_modules()
        if any(p is not None for p in module._parameters.values()) and (name or not module._modules)
    ]
    listed = [patterns] if isinstance(patterns, str) else list(patterns)
    for pattern in listed:
        if not any(fnmatchcase(name, pattern) for name in names):
            known = ", ".join(repr(name) if not name else name for name in names)
            got = f"layers={pattern!r}"
            remedy = f"the layers are {known}" if names else "pass a network with parameters"
            raise ArgumentError(expected("sensitivity", "patterns that match a layer with parameters", got, remedy))
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in listed)]


def _batch(data: Any, samples: int) -> tuple[Array, Array]:
    """Inputs and labels, at most so many."""
    if not isinstance(data, tuple | list) or len(data) not in (2, 4):
        got = type(data).__name__
        raise DataError(expected("sensitivity", "(x, y), or images with labels", got, "pass (x, y)"))
    x, y = (np.asarray(part)[:samples] for part in data[:2])
    if x.ndim == 0 or len(x) == 0 or len(x) != len(y):
        got = f"x.shape={x.shape}, y.shape={y.shape}"
        raise DataError(expected("sensitivity", "as many labels as samples, at least one", got, "pass (x, y)"))
    return x, y
