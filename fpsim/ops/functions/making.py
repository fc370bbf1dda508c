"""Making tensors: zeros, ones, random numbers, from NumPy.

Layer 4. Drawn in float64 and rounded once.
"""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from fpsim.autograd.context import current, stored
from fpsim.autograd.integers import IntegerArray
from fpsim.autograd.tensor import Tensor, chosen_precision, note_device, store
from fpsim.errors import ArgumentError, ArgumentTypeError, expected
from fpsim.ops.functions.arguments import _not_none, _sizes, _takes_tensor
from fpsim.rounding.codes import as_array, checked_mode


def _made(op: str, values: Any, options: dict[str, Any]) -> Tensor:
    requires_grad = options.pop("requires_grad", False)
    if options.pop("device", None) is not None:
        note_device()
    unknown = set(options) - {"dtype", "accumulate", "precision"}
    if unknown:
        raise ArgumentTypeError(
            expected(op, "dtype, accumulate, precision, requires_grad or device", f"{sorted(unknown)}", "leave it out")
        )
    precision = chosen_precision(op, options.get("dtype"), options.get("accumulate"), options.get("precision"))
    return stored(Tensor(store(values, precision), precision, requires_grad), values, op)


def zeros(*sizes: Any, **options: Any) -> Tensor:
    """Zeros; takes ``dtype accumulate precision requires_grad device`` like all that make tensors."""
    return _made("zeros", np.zeros(_sizes("zeros", sizes, least=0)), options)


def ones(*sizes: Any, **options: Any) -> Tensor:
    """Ones."""
    return _made("ones", np.ones(_sizes("ones", sizes, least=0)), options)


def full(size: Any, fill_value: float, **options: Any) -> Tensor:
    """One value everywhere, rounded to the format."""
    _not_none("full", fill_value)
    value = as_array("full", fill_value)
    if value.ndim or value.dtype.kind not in "biuf":
        raise ArgumentTypeError(expected("full", "one number", f"fill_value={fill_value!r}", "use tensor for arrays"))
    return _made("full", np.full(_sizes("full", (size,), least=0), value), options)


def randn(*sizes: Any, rng: np.random.Generator | None = None, **options: Any) -> Tensor:
    """Standard normal numbers, drawn in float64 and rounded: the same numbers in every format."""
    return _made("randn", _generator("randn", rng).normal(size=_sizes("randn", sizes, least=0)), options)


def uniform(
    *sizes: Any, low: float = 0.0, high: float = 1.0, rng: np.random.Generator | None = None, **options: Any
) -> Tensor:
    """Numbers uniform in [low, high), drawn in float64 and rounded."""
    numbers = builtins.all(isinstance(n, int | float | np.number) and np.isfinite(n) for n in (low, high))
    if not (numbers and low <= high):
        got = f"low={low!r}, high={high!r}"
        raise ArgumentError(expected("uniform", "finite numbers low <= high", got, "check the bounds"))
    return _made("uniform", _generator("uniform", rng).uniform(low, high, _sizes("uniform", sizes, least=0)), options)


def _generator(op: str, rng: Any) -> np.random.Generator:
    checked_mode(op, "stochastic", rng, needs_rng=False)
    return current().generator if rng is None else rng


rand = uniform


def arange(*bounds: float, **options: Any) -> Tensor:
    """``np.arange``, rounded to the format."""
    try:
        values = np.arange(*bounds)
    except (TypeError, ValueError, ZeroDivisionError):
        got = ", ".join(map(repr, bounds)) or "nothing"
        raise ArgumentError(
            expected("arange", "start, stop and a step that is not 0", got, "check the numbers")
        ) from None
    return _made("arange", values, options)


@_takes_tensor
def zeros_like(x: Tensor, **options: Any) -> Tensor:
    """Zeros of the same shape and precision."""
    return _made("zeros_like", np.zeros(x.shape), {"precision": x.precision, **options})


@_takes_tensor
def ones_like(x: Tensor, **options: Any) -> Tensor:
    """Ones of the same shape and precision."""
    return _made("ones_like", np.ones(x.shape), {"precision": x.precision, **options})


def from_numpy(array: Any) -> Any:
    """A tensor in the array's own float format; integers and bools stay NumPy arrays, as labels and masks are."""
    array = as_array("from_numpy", array)
    if array.dtype.kind in "cSUOMm":
        raise ArgumentTypeError(expected("from_numpy", "real numbers", f"dtype={array.dtype}", "convert them first"))
    return array.view(IntegerArray) if array.dtype.kind in "biu" else _made("from_numpy", array, {"dtype": array.dtype})
