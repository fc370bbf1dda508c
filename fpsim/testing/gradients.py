"""`gradcheck`: gradients against differences.

Layer 13. Runs a user's function in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fpsim.autograd import Tensor, tensor
from fpsim.errors import ArgumentTypeError, expected
from fpsim.testing.failure import SHOWN, smallest_slice

__all__ = ["gradcheck"]

Array = np.ndarray[Any, Any]

#: Step of a central difference beside 1: the power of two nearest to the cube root of float64's unit roundoff, where
#: the errors of rounding and of truncation are alike, some 1e-11.
STEP = 2.0**-17


def gradcheck(
    fn: Callable[..., Any], inputs: Any, *, rtol: float = 1e-5, atol: float = 1e-7, step: float = STEP
) -> bool:
    """Check the gradient of every output with respect to every input against a central difference, in float64.

    Parameters
    ----------
    fn : callable
        Takes tensors, returns a tensor. Parameters that it closes over should be float64 too.
    inputs : array_like, tensor, or a sequence of them
    rtol, atol : float
        ``|gradient - difference| <= atol + rtol * |difference|``; the differences are good to some 1e-10.
    step : float
        Relative to the input where that is beyond 1; a power of two.

    Returns
    -------
    bool
        True, as PyTorch's does.

    Raises
    ------
    AssertionError
        With the output, the input, both slopes, and how many others are wrong. At a kink the two may differ rightly.

    Examples
    --------
    >>> import fpsim as fp
    >>> gradcheck(lambda x: fp.exp(x).sum(), [0.5, 1.0])
    True
    >>> gradcheck(lambda x: (x * x.detach()).sum(), [3.0])
    Traceback (most recent call last):
        ...
    AssertionError: gradcheck: expected the gradient to be the slope, got 1 of 1 slopes that are not.
      output (), input 0 at (0,) = 3.0
        difference  6
        gradient    3
        apart       0.5 of the difference
      smallest slice of input 0 that holds every failure: [0:1]
    """
    given = list(inputs) if isinstance(inputs, Sequence) and _holds_arrays(inputs) else [inputs]
    arrays = [np.array(_plain(x), np.float64) for x in given]
    wrong, total = [], 0
    for k, array in enumerate(arrays):
        slopes = _differences(fn, arrays, k, step)
        gradients = _gradients(fn, arrays, k)
        total += slopes.size
        apart = np.abs(gradients - slopes)
        bad = ~(apart <= atol + rtol * np.abs(slopes))
        out_ndim = slopes.ndim - array.ndim
        wrong += [
            (k, tuple(map(int, i[:out_ndim])), tuple(map(int, i[out_ndim:])), slopes[tuple(i)], gradients[tuple(i)])
            for i in np.argwhere(bad)
        ]
    if wrong:
        raise AssertionError(_text(wrong, total, arrays))
    return True


def _holds_arrays(inputs: Sequence[Any]) -> bool:
    return any(isinstance(x, Tensor | np.ndarray | list | tuple) for x in inputs)


def _plain(x: Any) -> Array:
    return x._data if isinstance(x, Tensor) else np.asarray(x)


def _call(fn: Callable[..., Any], tensors: Sequence[Tensor]) -> Tensor:
    out = fn(*tensors)
    if not isinstance(out, Tensor):
        got, remedy = type(out).__name__, "return the tensor itself"
        raise ArgumentTypeError(expected("gradcheck", "a function that returns a tensor", got, remedy))
    return out


def _tensors(arrays: Sequence[Array], wanted: int | None = None) -> list[Tensor]:
    return [tensor(a, dtype="float64", requires_grad=i == wanted) for i, a in enumerate(arrays)]


def _gradients(fn: Callable[..., Any], arrays: Sequence[Array], k: int) -> Array:
    """``d out[o] / d x_k[i]`` by one backward pass for each output; zero where none arrives."""
    shape = _call(fn, _tensors(arrays)).shape
    slopes = np.zeros(shape + arrays[k].shape)
    for o in np.ndindex(shape):
        tensors = _tensors(arrays, k)
        out, x = _call(fn, tensors), tensors[k]
        one = np.zeros(shape)
        one[o] = 1.0
        if out.requires_grad:
            out.backward(one)
        if x.grad is not None:
            slopes[o] = x.grad._data
    return slopes


def _differences(fn: Callable[..., Any], arrays: Sequence[Array], k: int, step: float) -> Array:
    """``(out(x + h) - out(x - h)) / 2 h``, h a power of two times `step`."""
    x = arrays[k]
    columns = []
    for i in np.ndindex(x.shape):
        h = step * 2.0 ** max(int(np.frexp(x[i])[1]) - 1, 0)
        values = []
        for towards in (h, -h):
            moved = x.copy()
            moved[i] += towards
            out = _call(fn, _tensors([moved if j == k else a for j, a in enumerate(arrays)]))
            values.append((np.asarray(out._data, np.float64), moved[i]))
        (high, above), (low, below) = values
        columns.append((high - low) / (above - below))
    shape = columns[0].shape if columns else _call(fn, _tensors(arrays)).shape
    return np.moveaxis(np.array(columns).reshape(x.size, *shape), 0, -1).reshape(shape + x.shape)


def _text(wrong: list[Any], total: int, arrays: Sequence[Array]) -> str:
    lines = [f"gradcheck: expected the gradient to be the slope, got {len(wrong)} of {total} slopes that are not."]
    for k, o, i, slope, gradient in wrong[:SHOWN]:
        relative = abs(gradient - slope) / abs(slope) if slope else np.inf
        lines += [
            f"  output {o}, input {k} at {i} = {float(arrays[k][i])!r}",
            f"    difference  {slope:.9g}",
            f"    gradient    {gradient:.9g}",
            f"    apart       {relative:.3g} of the difference",
        ]
    if len(wrong) > SHOWN:
        lines.append(f"  ... and {len(wrong) - SHOWN} more")
    for k in sorted({k for k, *_ in wrong}):
        indices = [i for kk, _, i, *_ in wrong if kk == k]
        if arrays[k].ndim:
            lines.append(f"  smallest slice of input {k} that holds every failure: {smallest_slice(indices)}")
    return "\n".join(lines)
