"""The errors and warnings that a user can meet, and the one sentence they are written in.

Layer 0. Imports nothing of fpsim.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "ArgumentError",
    "ArgumentTypeError",
    "DataError",
    "FormatError",
    "FpsimError",
    "GradientError",
    "IndexingError",
    "PrecisionError",
    "ResultsError",
    "ScalarRoundingWarning",
    "ScalerError",
    "ShapeError",
]


def nearest(name: object, choices: Iterable[str], count: int = 4, otherwise: Iterable[str] = ()) -> str:
    """The choices spelt most like `name`, for a remedy; `otherwise` (or all choices) where none is near.

    >>> nearest("flaot16", ["float16", "float32", "bfloat16", "e5m2"], 2)
    'float16, bfloat16'
    """
    import difflib  # needed only once something is wrong

    choices = list(choices)
    near = difflib.get_close_matches(str(name).lower(), choices, n=count, cutoff=0.5)
    return ", ".join(near or otherwise or choices)


def expected(op: str, invariant: str, got: str, remedy: str) -> str:
    """Write an error's sentence: what was called, what it expects, what came, what to do.

    >>> expected("matmul", "inner sizes that agree", "x.shape=(2, 3), w.shape=(4, 5)", "transpose one of them")
    'matmul: expected inner sizes that agree, got x.shape=(2, 3), w.shape=(4, 5); transpose one of them.'
    """
    return f"{op}: expected {invariant}, got {got}; {remedy}."


class FpsimError(Exception):
    """Base of every error that fpsim raises on purpose."""


class FormatError(FpsimError, ValueError):
    """A floating-point format that does not exist, or that cannot hold what it was given."""


class PrecisionError(FpsimError, ValueError):
    """Storage, accumulation or gradient formats that do not go together."""


class ShapeError(FpsimError, ValueError):
    """Arrays whose shapes do not fit the operation."""


class IndexingError(ShapeError, IndexError):
    """An index that the tensor does not have (an `IndexError` too, so that iteration ends)."""


class ArgumentError(FpsimError, ValueError):
    """An argument with a value that the function does not take."""


class ArgumentTypeError(FpsimError, TypeError):
    """An argument of a type that the function does not take."""


class GradientError(FpsimError, ValueError, RuntimeError):
    """A backward pass that cannot be carried out (a `RuntimeError` too, as in PyTorch)."""


class ScalerError(FpsimError, ValueError, RuntimeError):
    """A loss scaler used in an order that has no meaning (a `RuntimeError` too, as in PyTorch)."""


class DataError(FpsimError, ValueError):
    """Images, labels or data files that cannot be trained on."""


class ResultsError(FpsimError, ValueError):
    """A results file that is missing, damaged, or not written by fpsim."""


class ScalarRoundingWarning(UserWarning):
    """A nonzero scalar became 0 or infinity in the format of the tensor that it met."""
