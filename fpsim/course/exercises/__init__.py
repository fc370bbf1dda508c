"""The exercises of the course, a file a notebook: ``ex03.py`` holds those of ``notebooks/03_*.py``.

Layer 11. Each file has ``EXERCISES``, a tuple of `fpsim.course.checks.Exercise`; `fpsim.course.checks` finds them.
"""
