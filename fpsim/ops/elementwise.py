"""Operations element by element: arithmetic, functions, choices.

Layer 4. Each formula stands beside its gradients; none mentions a format or rounds.
"""

from __future__ import annotations

import numpy as np

from fpsim.autograd.op import Kind, op
from fpsim.kernels.loading import compiled
from fpsim.kernels.threads import in_parallel, share

__all__ = [
    "abs", "add", "clip", "divide", "dropout", "exp", "log", "maximum", "minimum", "multiply", "negative",
    "power", "power_integer", "relu", "sigmoid", "sqrt", "subtract", "tanh", "where",
]  # fmt: skip


_BITS = {4: np.uint32, 8: np.uint64}

#: Seconds an element of a choice takes in NumPy.
IN_NUMPY = 2e-9


def keep(mask, values):
    """`values` where the mask holds, else +0: a choice, not a product, so no inf * 0.

    By bits, in a third of `np.where`'s time on masks without pattern; the memory layout of `values` is kept.
    """
    bits = _BITS.get(values.itemsize)
    if bits is None:  # np.longdouble, in which a shadow's twins may be
        return np.where(mask, values, values.dtype.type(0))
    chosen = np.asarray(mask).astype(bits)
    np.negative(chosen, out=chosen)
    chosen &= values.view(bits)
    return chosen.view(values.dtype)


def _elementwise(kernel, *arrays):
    """A compiled pass over arrays of one shape, in the memory order of the first."""
    out = np.empty_like(arrays[0])
    axes = np.argsort([-stride for stride in out.strides], kind="stable")
    flat = [np.ascontiguousarray(x.transpose(axes)).reshape(-1) for x in (*arrays, out)]
    in_parallel(lambda start, stop: kernel(*flat, start, stop), share(out.size, out.size * 0.4e-9, 16))
    return out


def has_negative_zero(x):
    """Whether any element is -0."""
    if x.itemsize not in _BITS:
        return bool((np.signbit(x) & (x == 0)).any())
    return bool((x.view(_BITS[x.itemsize]) == 1 << (8 * x.itemsize - 1)).any())


@op(Kind.POINTWISE, "elementary")
def add(x, y):
    """``x + y``."""
    return x + y


@add.vjp(0, Kind.EXACT)
def _(g, out, x, y):
    return g


@add.vjp(1, Kind.EXACT)
def _(g, out, x, y):
    return g


@op(Kind.POINTWISE, "elementary")
def subtract(x, y):
    """``x - y``."""
    return x - y


@subtract.vjp(0, Kind.EXACT)
def _(g, out, x, y):
    return g


@subtract.vjp(1, Kind.EXACT)
def _(g, out, x, y):
    return -g


@op(Kind.POINTWISE, "elementary")
def multiply(x, y):
    """``x * y``."""
    return x * y


@multiply.vjp(0, steps="elementary")
def _(g, out, x, y):
    return g * y


@multiply.vjp(1, steps="elementary")
def _(g, out, x, y):
    return g * x


@op(Kind.POINTWISE, "elementary")
def divide(x, y):
    """``x / y``."""
    return x / y


@divide.vjp(0, steps="elementary")
def _(g, out, x, y):
    return g / y


@divide.vjp(1)
def _(g, out, x, y):
    return -(g * x) / (y * y)


@op(Kind.EXACT)
def negative(x):
    """``-x``."""
    return -x


@negative.vjp(0)
def _(g, out, x):
    return -g


def _to_the(x, y):
    """``x ** y``; NumPy squares and takes roots where one exponent serves all numbers, so here that is always done."""
    root = np.where((x == 0) | np.isinf(x), np.abs(x), np.sqrt(x))
    return np.where(y == 2, x * x, np.where(y == 0.5, root, np.power(x, y)))


@op(Kind.POINTWISE, "function")
def power(x, y):
    """``x ** y``."""
    return _to_the(x, y)


@power.vjp(0, steps="function")
def _(g, out, x, y):
    return np.where(y == 0, 0.0, g * y * _to_the(x, y - 1))


@power.vjp(1, steps="function")
def _(g, out, x, y):
    return np.where((x == 0) & (y >= 0), 0.0, g * out * np.log(x))


@op(Kind.POINTWISE, "function")
def power_integer(x, *, n):
    """``x ** n`` for an integer n, which is not rounded."""
    return x ** float(n)


@power_integer.vjp(0, steps="function")
def _(g, out, x, *, n):
    return g * n * x ** float(n - 1) if n else np.zeros_like(x)


@op(Kind.POINTWISE, "function")
def exp(x):
    """``e ** x``."""
    return np.exp(x)


@exp.vjp(0, steps="elementary")
def _(g, out, x):
    return g * out


@op(Kind.POINTWISE, "function")
def log(x):
    """Natural logarithm."""
    return np.log(x)


@log.vjp(0, steps="elementary")
def _(g, out, x):
    return g / x


@op(Kind.POINTWISE, "elementary")
def sqrt(x):
    """Square root; its derivative at 0 is infinite."""
    return np.sqrt(x)


@sqrt.vjp(0)
def _(g, out, x):
    return g / (2 * out)


@op(Kind.POINTWISE, "function")
def tanh(x):
    """Hyperbolic tangent."""
    return np.tanh(x)


@tanh.vjp(0)
def _(g, out, x):
    return g * (1 - out * out)


@op(Kind.POINTWISE, "function")
def sigmoid(x):
    """``1 / (1 + exp(-x))``."""
    e = np.exp(-np.abs(x))  # cannot overflow
    return np.where(x < 0, e, 1.0) / (1 + e)


@sigmoid.vjp(0, steps="long formula")  # g * out may be a tie, and 1 - out differ from 1 by 2**-100
def _(g, out, x):
    return g * out * (1 - out)


@op(Kind.EXACT)
def relu(x):
    """``x`` where it is positive, else 0 (-0 and NaN stay)."""
    kernels = compiled(x.size * IN_NUMPY) if x.itemsize in _BITS else None
    return keep(~(x < 0), x) if kernels is None else _elementwise(kernels.relu, x)


@relu.vjp(0)
def _(g, out, x):
    # out says what x does, and backward need not keep both
    kernels = compiled(g.size * IN_NUMPY) if g.itemsize in _BITS and out.dtype == g.dtype else None
    return keep(~(out <= 0), g) if kernels is None else _elementwise(kernels.relu_gradient, out, g)


@op(Kind.EXACT)
def abs(x):
    """Magnitude; its derivative at 0 is 0."""
    return np.abs(x)


@abs.vjp(0)
def _(g, out, x):
    return np.where(x > 0, g, np.where(x < 0, -g, 0))


def _share_of_larger(g, larger, other):
    """The whole gradient to the larger one, half to each in a tie, and to a NaN."""
    return np.where(larger == other, g / 2, np.where((larger > other) | np.isnan(larger), g, 0.0))


@op(Kind.EXACT)
def maximum(x, y):
    """The larger of two, the first of equals; NaN wins; a tie's gradient is halved."""
    return np.where(x == y, x, np.maximum(x, y))  # NumPy's maximum of +0 and -0 is either one


@maximum.vjp(0, Kind.POINTWISE, "elementary")
def _(g, out, x, y):
    return _share_of_larger(g, x, y)


@maximum.vjp(1, Kind.POINTWISE, "elementary")
def _(g, out, x, y):
    return _share_of_larger(g, y, x)


@op(Kind.EXACT)
def minimum(x, y):
    """The smaller of two, the first of equals; NaN wins; a tie's gradient is halved."""
    return np.where(x == y, x, np.minimum(x, y))


@minimum.vjp(0, Kind.POINTWISE, "elementary")
def _(g, out, x, y):
    return _share_of_larger(g, -x, -y)


@minimum.vjp(1, Kind.POINTWISE, "elementary")
def _(g, out, x, y):
    return _share_of_larger(g, -y, -x)


@op(Kind.EXACT)
def where(x, y, *, condition):
    """``x`` where the condition holds, else ``y``."""
    return np.where(condition, x, y)


@where.vjp(0)
def _(g, out, x, y, *, condition):
    return np.where(condition, g, 0)


@where.vjp(1)
def _(g, out, x, y, *, condition):
    return np.where(condition, 0, g)


@op(Kind.EXACT, no_gradient=(1, 2))
def clip(x, low, high):
    """``x`` brought between two bounds (None: no bound); the derivative at a bound is 1."""
    for bound, choose in ((low, np.maximum), (high, np.minimum)):
        if bound is not None:
            x = np.where(x == bound, x, choose(x, bound))  # NumPy's choice between +0 and -0 is either one
    return x


@clip.vjp(0)
def _(g, out, x, low, high):
    inside = np.isnan(x)
    inside |= (x >= (-np.inf if low is None else low)) & (x <= (np.inf if high is None else high))
    return np.where(inside, g, 0)


@op(Kind.POINTWISE)
def dropout(x, *, kept, probability):
    """``x / (1 - probability)`` where kept, else 0; the probability is not rounded."""
    return np.where(kept, x / (1 - probability), 0.0)


@dropout.vjp(0)
def _(g, out, x, *, kept, probability):
    return np.where(kept, g / (1 - probability), 0.0)
