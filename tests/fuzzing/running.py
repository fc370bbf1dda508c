"""Hand hostile files to readers, one after the other, under a ceiling of memory and time; gather what went wrong."""

import contextlib
import random
import shutil
import signal
import sys
import traceback
import warnings

from fpsim.errors import FpsimError
from tests.fuzzing.readers import LOADED, READERS

#: Seconds that reading one file may take, and bytes of address space beyond those in use before it.
SECONDS, MEMORY = 20, 2**29


class TooSlow(BaseException):
    """Not an Exception, so that no reader takes it for damage of a file."""


def _too_slow(number, frame):
    raise TooSlow


@contextlib.contextmanager
def limited():
    """A ceiling of memory and an alarm clock for the length of a block, on Linux."""
    if sys.platform != "linux":
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        in_use = int(file.read().split()[0]) * resource.getpagesize()
    handler = signal.signal(signal.SIGALRM, _too_slow)
    resource.setrlimit(resource.RLIMIT_AS, (in_use + MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)


def outcome(reader, path):
    """``"read"`` or ``"refused"``, or what went wrong."""
    if sys.platform == "linux":
        signal.alarm(SECONDS)
    try:
        reader(path)
        found = "read"
    except (FpsimError, OSError) as error:
        found, text = "refused", str(error)
        if "llocate" in text or "MemoryError" in text:  # it is refused at the ceiling too, but should not come so far
            found = f"memory: {text:.200}"
        elif len(text) > 1000 or not text.isprintable():
            found = f"no line that can be shown: {text[:200]!r}"
    except TooSlow:
        found = "too slow"
    except BaseException:
        found = traceback.format_exc(limit=-3)
    finally:
        if sys.platform == "linux":
            signal.alarm(0)
    if LOADED:
        LOADED.clear()
        found = "code was run"
    return found


def fuzz(name, inputs, folder, seed=0, first=0):
    """How many files were read and how many refused, and (number, what went wrong) of the others."""
    file, make, reader = READERS[name]
    seeds, place = folder / "seeds", folder / "file"
    seeds.mkdir(exist_ok=True)
    make(random.Random(0), seeds)  # the valid files, once, outside of the limits
    counts, wrong = {"read": 0, "refused": 0}, []
    with warnings.catch_warnings(), limited():
        warnings.simplefilter("ignore")
        for number in range(first, first + inputs):
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            content = make(random.Random(f"{name} {seed} {number}"), seeds)
            (place / file).write_bytes(content)
            found = outcome(reader, place / file)
            if found in counts:
                counts[found] += 1
            else:
                wrong.append((number, found))
    return counts, wrong
