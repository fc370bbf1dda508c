"""What is in force here and now: default precision, gradients on or off, generator, autocast, observers.

Layer 3. One frozen `Context` in a contextvar, so threads and tasks do not see each other's; changed by `using`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from fpsim.errors import ArgumentError, expected
from fpsim.formats import Format, float32
from fpsim.precision import Precision
from fpsim.rounding.kernel import Array

__all__ = [
    "Autocast",
    "Context",
    "Observer",
    "Rounded",
    "Updated",
    "current",
    "default_precision",
    "manual_seed",
    "no_grad",
    "seed",
    "using",
]


@dataclass(frozen=True)
class Rounded:
    """One rounding of an array, as observers see it.

    `before` is the value handed to the rounding, `after` what was stored, `operands` what the operation had; none may
    be changed. `role` is what was rounded: ``weight``, ``activation``, ``weight_gradient`` or ``gradient``.
    """

    before: Array
    after: Array
    fmt: Format
    op: str
    role: str
    phase: str
    module: str
    operands: tuple[Array, ...] = ()


@dataclass(frozen=True)
class Updated:
    """One optimizer step of one parameter, as observers see it.

    `before` and `after` are the stored values of the parameter (or of its master), `step` the change that was wanted,
    unrounded, in float64: an update is lost where `step` is not zero and `after` equals `before`.
    """

    name: str
    before: Array
    step: Array
    after: Array
    fmt: Format


class Observer(Protocol):
    """Anything that wants to see what each rounding did. It must not change the arrays."""

    def rounded(self, event: Rounded) -> None:
        """Called after every rounding of a tensor."""

    def updated(self, event: Updated) -> None:
        """Called after every optimizer step of a parameter."""


class Autocast(Protocol):
    """Chooses the precision of operations by their name."""

    def precision_for(self, op: str, inputs: list[Precision]) -> Precision | None:
        """The precision that the operation runs in; None: that of its inputs."""


@dataclass(frozen=True)
class Context:
    """Everything that an operation takes from its surroundings."""

    default: Precision
    grad_enabled: bool = True
    rng: np.random.Generator | None = None
    #: of stochastic rounding alone; `rng` unless given
    rounding_rng: np.random.Generator | None = None
    autocast: Autocast | None = None
    observers: tuple[Observer, ...] = ()
    #: dotted path of the module that is running, and the precision it was assigned
    module: str = ""
    precision: Precision | None = None

    @property
    def generator(self) -> np.random.Generator:
        """The context's generator; an unseeded one where none was set."""
        return self.rng if self.rng is not None else _UNSEEDED

    @property
    def rounding_generator(self) -> np.random.Generator:
        """What stochastic rounding draws from: a stream of its own where one was set, so it shifts no other."""
        return self.rounding_rng if self.rounding_rng is not None else self.generator


_UNSEEDED = np.random.default_rng()
_CURRENT: ContextVar[Context] = ContextVar("fpsim_context", default=Context(Precision(float32)))  # noqa: B039 (frozen)


def current() -> Context:
    """The context in force."""
    return _CURRENT.get()


@contextmanager
def using(**changes: Any) -> Iterator[Context]:
    """Replace fields of the context for a `with` block; restored however the block ends."""
    token = _CURRENT.set(replace(_CURRENT.get(), **changes))
    try:
        yield _CURRENT.get()
    finally:
        _CURRENT.reset(token)


class no_grad:  # PyTorch's name
    """No operation is recorded inside: a `with` block, or a decorator ``@fp.no_grad()``.

    >>> import fpsim as fp
    >>> x = fp.ones(3, requires_grad=True)
    >>> with fp.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    enabled = False

    def __enter__(self) -> None:
        self._token = _CURRENT.set(replace(_CURRENT.get(), grad_enabled=self.enabled))

    def __exit__(self, *exception: object) -> None:
        _CURRENT.reset(self._token)

    def __call__(self, function: Any) -> Any:
        """Decorate `function`."""
        from functools import wraps

        @wraps(function)
        def inner(*args: Any, **kwargs: Any) -> Any:
            with type(self)():
                return function(*args, **kwargs)

        return inner


class enable_grad(no_grad):
    """Operations are recorded inside, whatever surrounds the block."""

    enabled = True


class default_precision:  # (a context manager and a setter, like np.errstate and torch's set_default_dtype)
    """Set the precision of tensors and layers made without one; as a `with` block, until its end.

    >>> import fpsim as fp
    >>> with fp.default_precision("float16/float32"):
    ...     fp.zeros(2).precision
    Precision('float16/float32')
    """

    def __init__(self, precision: Any) -> None:
        self._before = _CURRENT.get().default
        _CURRENT.set(replace(_CURRENT.get(), default=Precision.parse(precision)))

    def __enter__(self) -> Precision:
        return _CURRENT.get().default

    def __exit__(self, *exception: object) -> None:
        _CURRENT.set(replace(_CURRENT.get(), default=self._before))


def _generator(op: str, n: Any) -> np.random.Generator:
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 0:
        raise ArgumentError(expected(op, "a non-negative integer", f"n={n!r}", "seed with one, like 0"))
    return np.random.default_rng(n)


def manual_seed(n: int) -> np.random.Generator:
    """Seed the context's generator, from which layers, dropout and stochastic rounding draw.

    NumPy's global random state is never touched.
    """
    rng = _generator("manual_seed", n)
    _CURRENT.set(replace(_CURRENT.get(), rng=rng))
    return rng


@contextmanager
def seed(n: int) -> Iterator[np.random.Generator]:
    """A generator of its own for a `with` block; the one before is in force again afterwards, where it was."""
    with using(rng=_generator("seed", n)) as context:
        yield context.generator
