"""`check`: was an exercise answered rightly? If not, a hint that fits the mistake; never the solution.

Layer 11. Computes what is right, compares, prints; an answer, however strange, raises nothing.

A right answer is never written down: each exercise holds a function that computes it. So it cannot go stale, it may
be an array or the behaviour of a function, and a look at the exercise's source teaches rather than tells. A hash could
do none of this, and that of a small number is guessed in a second.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fpsim.course import answers, exercises
from fpsim.errors import ArgumentError, ArgumentTypeError, expected, nearest

__all__ = ["Exercise", "Verdict", "all_exercises", "check", "find", "judge"]


@dataclass(frozen=True)
class Exercise:
    """One exercise: how its answer is judged, and what to say.

    Parameters
    ----------
    name : str
        ``ex03.2``: the second exercise of notebook 03.
    right : callable without arguments
        Computes the right answer (after `measure`, where there is one).
    hint : str
        For who has not answered yet, and for wrong answers that are not listed.
    wrong : sequence of (answer, hint)
        The most common wrong answers, each with the hint that leads on from it. They are compared as `right` is.
    misconception : str
        What a wrong answer shows that the student believes; for the teacher.
    measure : callable, optional
        What is compared instead of the answer itself: of a function its results on some inputs, of an array one
        property, of an answer that may be one of many a word that says what is wrong with it. What it gives None for
        counts as not answered.
    within : float
        Numbers may differ by this relative error.

    Examples
    --------
    >>> from fpsim.accumulate import Accumulator
    >>> stop = Exercise(
    ...     "ex99.1",
    ...     right=lambda: Accumulator("bfloat16").sum([1.0] * 999),
    ...     hint="from which power of two on are the neighbours 2 apart?",
    ...     wrong=[(128, "there the neighbours are still 1 apart"), (999, "can the format hold every whole number?")],
    ...     misconception="a sum is wrong only where it leaves the range",
    ... )
    >>> check(stop, 128.0)
    ex99.1: not yet. There the neighbours are still 1 apart.
    >>> check(stop, 256)
    ex99.1: right.
    """

    name: str
    right: Callable[[], Any]
    hint: str
    wrong: Sequence[tuple[Any, str]]
    misconception: str
    measure: Callable[[Any], Any] | None = None
    within: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """What `judge` found: ``right``, ``wrong`` or ``unanswered``, and the sentence to say."""

    exercise: str
    state: str
    hint: str = ""

    def __str__(self) -> str:
        if self.state == "right":
            return f"{self.exercise}: right."
        opening = "not answered yet. Hint:" if self.state == "unanswered" else "not yet."
        return f"{self.exercise}: {opening} {_sentence(self.hint)}"


def check(exercise: str | Exercise, answer: Any = None) -> None:
    """Print whether the answer to an exercise is right, or a hint.

    Parameters
    ----------
    exercise : str or Exercise
        ``ex03.2``, or a teacher's own `Exercise`.
    answer : object, optional
        Any; ``...`` and None stand for no answer yet.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        There is no such exercise. No answer raises.

    Examples
    --------
    >>> check("ex03.1", ...)  # doctest: +ELLIPSIS
    ex03.1: not answered yet. Hint: ...
    """
    print(judge(exercise, answer))


def judge(exercise: str | Exercise, answer: Any = None) -> Verdict:
    """The verdict that `check` prints, for programs that grade."""
    of = exercise if isinstance(exercise, Exercise) else find(exercise)
    if answers.nothing(answer):
        return Verdict(of.name, "unanswered", of.hint)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            found = answer if of.measure is None else of.measure(answer)
        except (Exception, SystemExit) as error:  # the student's function's, or the answer is quite another thing
            said = f"{answers.what(answer)} gave {type(error).__name__}: {error}"
            return Verdict(of.name, "wrong", f"{of.hint} ({said})")
        if answers.nothing(found):
            return Verdict(of.name, "unanswered", of.hint)
        right = of.right()
        if answers.same(found, right, of.within):
            return Verdict(of.name, "right")
        for mistake, hint in of.wrong:
            if answers.same(found, _measured(of, mistake), of.within):
                return Verdict(of.name, "wrong", hint)
        came, wanted = answers.what(found), answers.what(right)
    return Verdict(of.name, "wrong", of.hint if came == wanted else f"{of.hint} (the answer is {wanted}, not {came})")


def find(name: str) -> Exercise:
    """The exercise of that name."""
    if not isinstance(name, str):
        got = f"exercise={name!r}"
        raise ArgumentTypeError(expected("check", "the name of an exercise", got, "write check('ex03.2', answer)"))
    chapter = re.fullmatch(r"(ex\d\d)\.\d+", name)
    if chapter and chapter[1] in _chapters():
        for exercise in _exercises_of(chapter[1]):
            if exercise.name == name:
                return exercise
    names = [exercise.name for exercise in all_exercises()]
    remedy = f"the nearest is {nearest(name, names, 1, otherwise=names[:1])}"
    raise ArgumentError(expected("check", "the name of an exercise", f"exercise={name!r}", remedy))


def all_exercises() -> list[Exercise]:
    """The exercises of all notebooks, in order."""
    return [exercise for chapter in _chapters() for exercise in _exercises_of(chapter)]


def _chapters() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(exercises.__path__))


def _exercises_of(chapter: str) -> Sequence[Exercise]:
    return importlib.import_module(f"{exercises.__name__}.{chapter}").EXERCISES


def _measured(exercise: Exercise, mistake: Any) -> Any:
    return mistake if exercise.measure is None else exercise.measure(mistake)


def _sentence(hint: str) -> str:
    """With a capital, unless it opens with a name or a formula (``fp.round``, ``y = x``), and one full stop."""
    opened = re.sub(r"^(?:a(?= [a-z])|[a-z]{2,}(?=[ ,;:']))", lambda word: word[0].capitalize(), hint)
    return opened + ("" if hint.endswith((".", "?", "!", ")")) else ".")
