"""The course: what its notebooks use and what a teacher needs.

Layer 11. `check` judges an answer; the exercises themselves are in `exercises`, the notebooks in ``notebooks/``.
"""

from fpsim.course.checks import Exercise, check

__all__ = ["Exercise", "check"]
