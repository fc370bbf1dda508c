"""Networks that end their process, for tests of what a sweep does about it; other processes import them from here."""

import os
import signal
from dataclasses import replace
from pathlib import Path

from fpsim.experiments.scenario import SCENARIOS

SMALLEST = SCENARIOS["rounding"]
#: Where `mortal` notes that it has died once.
NOTE = "FPSIM_TEST_NOTE"


def deadly():
    """Never comes to life."""
    os.kill(os.getpid(), signal.SIGKILL)


def mortal():
    """Dies once, of all processes that see the note."""
    note = Path(os.environ[NOTE])
    if not note.exists():
        note.touch()
        deadly()
    return SMALLEST.network()


def unsound():
    """Fails as Python code does."""
    raise ZeroDivisionError("no network")


DEADLY, MORTAL, UNSOUND = (replace(SMALLEST, name=n.__name__, network=n) for n in (deadly, mortal, unsound))
