"""What is in force here and now: default precision, gradients on or off, generator, autocast, observers.

Layer 3. One frozen `Context` in a contextvar, so threads and tasks do not see each other's; changed by `using`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass, replace
from threading import get_ident
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from fpsim.errors import ArgumentError, ObserverError, ObserverWarning, expected
from fpsim.formats import Format, float32
from fpsim.precision import Precision
from fpsim.rounding.kernel import Array

__all__ = [
    "Applied",
    "Autocast",
    "Context",
    "Differentiated",
    "Observer",
    "Rounded",
    "Stored",
    "Updated",
    "current",
    "default_precision",
    "manual_seed",
    "no_grad",
    "seed",
    "stored",
    "using",
]

if TYPE_CHECKING:
    from fpsim.accumulate.counting import Tally
    from fpsim.autograd.exactness import Exact

T = TypeVar("T")


@dataclass(frozen=True)
class Rounded:
    """One rounding of an array, as observers see it.

    `before` is the value handed to the rounding, `after` what was stored, `operands` what the operation had; none may
    be changed. `role` is what was rounded: ``weight``, ``activation``, ``weight_gradient`` or ``gradient``; `mode` how.
    `pointwise`: element i of the result comes from elements i of the (broadcast) operands. `exact` knows the exact
    values where `before` may be their float64 neighbours; else it is None.
    """

    before: Array
    after: Array
    fmt: Format
    op: str
    role: str
    phase: str
    module: str
    operands: tuple[Array, ...] = ()
    mode: str = "nearest_even"
    pointwise: bool = False
    exact: Exact | None = None


@dataclass(frozen=True)
class Applied:
    """One operation carried out forward, of any kind, as observers see it. Nothing in it may be changed.

    `given` are the arguments as they came, `inputs` the tensors that the formula took (cast, where a format did not
    fit; None for what is not a tensor), `arrays` the values of all arguments as the formula took them. `saved` is what
    the formula keeps for its gradients. `precision` is the result's; ``result._node`` the recorded node, or None.
    """

    op: Any  # Op
    given: tuple[Any, ...]
    inputs: tuple[Any, ...]  # Tensor or None each
    arrays: tuple[Array | None, ...]
    metadata: dict[str, Any]
    saved: Any
    precision: Precision
    result: Any  # Tensor
    module: str


@dataclass(frozen=True)
class Differentiated:
    """One contribution to one gradient: what the operation of `node` passes back to its argument number `argument`.

    `gradient` is that of the node's result, `contribution` the gradient formula's result as stored, `total` what the
    gradient of `of` (the tensor that is the argument) is now: the contribution itself if it is the first. `before` is
    what it was added to, None where there was nothing: of a leaf the gradient tensor, else its values.
    """

    node: Any  # Node
    argument: int
    of: Any  # Tensor
    gradient: Array
    contribution: Array
    total: Array
    before: Any  # Tensor, Array or None


@dataclass(frozen=True)
class Stored:
    """Values rounded into a tensor outside of the engine: made from data, changed in place, a gradient unscaled.

    ``tensor = round(formula(source))``, with the formula left out where it is the identity. `source` is a tensor, or an
    array of the values before they were rounded; where it is `tensor` itself, `before` are the values that it had.
    """

    tensor: Any
    source: Any  # Tensor or array_like
    op: str
    formula: Callable[[Any], Any] | None = None
    before: Array | None = None


@dataclass(frozen=True)
class Updated:
    """One optimizer step of one parameter, as observers see it.

    `before` and `after` are the stored values of the parameter (or of its master), `step` the change that was wanted,
    unrounded, in float64: an update is lost where `step` is not zero and `after` equals `before`.
    ``again(p, g, state, steps)`` gives the new values by the same rule from other values; it changes `state`, a dict of
    tensors and numbers like `state_before`, and takes every elementary step by `steps`.
    """

    name: str
    before: Array
    step: Array
    after: Array
    fmt: Format
    op: str = ""
    owner: Any = None  # the tensor updated: the parameter or its master
    gradient: Any = None  # Tensor
    state_before: dict[str, Any] | None = None
    state: dict[str, Any] | None = None
    again: Callable[[Array, Array, dict[str, Any], Any], Array] | None = None


class Observer:
    """Base of whatever wants to see what happens. It must not change an array; what it leaves out costs nothing."""

    #: why it sees nothing any more: what it raised in the middle of a computation, which went on
    failure: Exception | None = None
    #: the thread it was opened in, by `threading.get_ident`; None: any
    thread: int | None = None
    #: whether it wants to know what happens inside accumulators, for which every sum is carried out twice
    accumulators: bool = False

    def rounded(self, event: Rounded) -> None:
        """Called after every rounding of an operation's or a gradient formula's result."""

    def accumulated(self, tally: Tally) -> None:
        """Called after every call of an accumulator, if `accumulators` is true; the rounding of its result follows."""

    def applied(self, event: Applied) -> None:
        """Called after every operation forward."""

    def differentiated(self, event: Differentiated) -> None:
        """Called after every contribution to a gradient."""

    def stored(self, event: Stored) -> None:
        """Called after values were rounded into a tensor outside of the engine."""

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

    def listening(self, event: str) -> bool:
        """Whether any observer has a method for this kind of event: else it need not even be made."""
        return any(getattr(type(o), event, None) is not getattr(Observer, event) for o in self.observers)

    def tell(self, event: str, what: Any) -> None:
        """Tell every observer. One that fails is told nothing more, and the computation goes on without it."""
        for observer in self.observers:
            if observer.failure is not None:
                continue
            if observer.thread not in (None, get_ident()):
                name = type(observer).__name__
                raise ObserverError(
                    expected(name, "the thread it was opened in", "another one", "open one in each thread, inside it")
                )
            try:
                getattr(observer, event)(what)
            except ObserverError:  # raised on purpose
                raise
            except Exception as error:
                observer.failure = error
                got = f"{type(error).__name__}: {error}"
                warnings.warn(
                    f"{type(observer).__name__}.{event} failed ({got}); it sees nothing from here on, "
                    "and nothing that is computed changes.",
                    ObserverWarning,
                    stacklevel=2,
                )


_UNSEEDED = np.random.default_rng()
_CURRENT: ContextVar[Context] = ContextVar("fpsim_context", default=Context(Precision(float32)))  # noqa: B039 (frozen)


def current() -> Context:
    """The context in force."""
    return _CURRENT.get()


def stored(
    tensor: T, source: Any, op: str, formula: Callable[[Any], Any] | None = None, before: Array | None = None
) -> T:
    """Tell the observers that `tensor` took values outside of the engine; gives the tensor."""
    context = _CURRENT.get()
    if context.observers:
        context.tell("stored", Stored(tensor, source, op, formula, before))
    return tensor


@contextmanager
def using(**changes: Any) -> Iterator[Context]:
    """Replace fields of the context for a `with` block; restored however the block ends."""
    token = _CURRENT.set(replace(_CURRENT.get(), **changes))
    try:
        yield _CURRENT.get()
    finally:
        _CURRENT.reset(token)


#: How to undo the blocks that were entered and not left, here: one object, as a decorator has, serves many threads.
_ENTERED: ContextVar[tuple[Token[Context], ...]] = ContextVar("fpsim_entered", default=())


def enter(**changes: Any) -> None:
    """Replace fields of the context until `leave`, for blocks that are classes: `using` cannot be entered twice."""
    _ENTERED.set((*_ENTERED.get(), _CURRENT.set(replace(_CURRENT.get(), **changes))))


def leave() -> None:
    """Put back what was before the last `enter` of this thread or task."""
    *outer, last = _ENTERED.get()
    _ENTERED.set(tuple(outer))
    _CURRENT.reset(last)


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
        enter(grad_enabled=self.enabled)

    def __exit__(self, *exception: object) -> None:
        leave()

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
