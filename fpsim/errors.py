"""The errors and warnings that a user can meet, and the one sentence they are written in.

Layer 0. Imports nothing of fpsim.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = [
    "AnomalyError",
    "ArgumentError",
    "ArgumentTypeError",
    "CheckpointError",
    "CheckpointWarning",
    "CourseError",
    "DataError",
    "FormatError",
    "FpsimError",
    "GradientError",
    "HyperparameterRoundingWarning",
    "IndexingError",
    "LossScaleOverflowWarning",
    "LossScaleUnderflowWarning",
    "MissingLibraryError",
    "ObserverError",
    "ObserverWarning",
    "PrecisionError",
    "ResultsError",
    "ScalarRoundingWarning",
    "ScaledGradientWarning",
    "ScalerError",
    "ShapeError",
    "SpoiledGradientWarning",
    "WorkerLostError",
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


def shown(text: object, most: int = 100) -> str:
    r"""What a file or somebody else's error says, fit to stand within a sentence: one line that can be printed.

    >>> shown(ValueError("not a\n\x1b[31mnumber")), shown(MemoryError())
    ('not a ?[31mnumber', 'MemoryError')
    """
    line = " ".join(str(text).split()) or type(text).__name__
    return "".join(c if c.isprintable() else "?" for c in line[:most])


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


class CheckpointError(FpsimError, ValueError):
    """A checkpoint that is missing, damaged or of another run, or a place where none can be written."""


class WorkerLostError(FpsimError, RuntimeError):
    """What a sweep was to run on takes no work, or loses whatever it takes."""


class MissingLibraryError(FpsimError, ImportError):
    """An optional library that is not installed."""


class CourseError(FpsimError, RuntimeError):
    """A notebook of the course that cannot be carried out or shown."""


class ObserverError(FpsimError, RuntimeError):
    """An observer used in a way that has no meaning: left open, in another thread, asked about nothing."""


class AnomalyError(ObserverError, ArithmeticError):
    """An operation made an infinity or a NaN under `detect_anomaly` (a `RuntimeError` too, as in PyTorch).

    Attributes
    ----------
    report : AnomalyReport
        All that is known; its ``module op phase what index value`` are the error's own too.
    """

    def __init__(self, message: str, report: Any = None) -> None:
        super().__init__(message)
        self.report = report
        for name in ("module", "op", "phase", "what", "index", "value"):
            setattr(self, name, getattr(report, name, None))

    def __reduce__(self) -> Any:
        """Between processes all but the report is kept: it holds the operations' arrays."""
        return type(self), (str(self),), {k: v for k, v in vars(self).items() if k != "report"}


class CheckpointWarning(UserWarning):
    """The newest checkpoint is damaged, and the one before it was taken."""


class ObserverWarning(UserWarning):
    """An observer failed and was left out; what it was observing went on."""


class ScalarRoundingWarning(UserWarning):
    """A nonzero scalar became 0 or infinity in the format of the tensor that it met."""


class HyperparameterRoundingWarning(UserWarning):
    """An optimizer's eps or learning rate is not 0 and becomes 0 in the format in which it is used."""


class LossScaleOverflowWarning(UserWarning):
    """Scaling the loss makes an infinity, of the loss or of its gradient."""


class LossScaleUnderflowWarning(UserWarning):
    """The loss scale became so small that its reciprocal is infinite: a bad step will be taken."""


class ScaledGradientWarning(UserWarning):
    """Gradients were changed (clipped?) while they were still multiplied by the loss scale."""


class SpoiledGradientWarning(UserWarning):
    """A gradient became inf or nan after `unscale_` had checked it: the step is taken with it."""
