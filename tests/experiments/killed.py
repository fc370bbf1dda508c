"""Trainings that are killed and resumed, each in a process of its own: ``python -m tests.experiments.killed``.

Where a process dies is counted in calls and returns of functions, Python's and C's, so that it may die between any two
of them, in the middle of a step or of a write, and that the same seed kills at the same places again.
"""

import json
import os
import random
import signal
import sys
from pathlib import Path

import fpsim as fp
import fpsim.experiments.keeping  # before the forks: dying in an import says little

#: So often a run is killed before it may finish.
KILLS = 3
#: Calls at which a checkpoint is half written, half renamed, half tidied up.
WRITING = {"fsync", "replace", "mkstemp", "write_whole", "open", "chmod", "unlink", "write", "close"}


def train(settings, folder):
    """Begin, or go on if there is a checkpoint."""
    if any(folder.glob("step-*.checkpoint")):
        return fp.train(resume=folder)
    return fp.train(**settings, checkpoint=folder, checkpoint_every=2)


def in_a_process(work):
    """Carry it out in a fork; its exit status, or the negative number of the signal that killed it."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        work()
        os._exit(0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)


def places(settings, folder, path):
    """Count the events of a whole run, and those around the writing of checkpoints."""
    total, writing = 0, []

    def note(frame, event, argument):
        nonlocal total
        total += 1
        name = argument.__name__ if event.startswith("c_") else frame.f_code.co_name
        if name in WRITING:
            writing.append(total)

    def work():
        sys.setprofile(note)
        train(settings, folder)
        sys.setprofile(None)
        path.write_text(json.dumps([total, writing]))

    assert in_a_process(work) == 0
    return json.loads(path.read_text())


def killed_at(event, settings, folder):
    count = 0

    def profile(frame, kind, argument):
        nonlocal count
        count += 1
        if count == event:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(profile)
    train(settings, folder)
    sys.setprofile(None)


def main(folder, recipe, kills):
    """Every run is killed up to `KILLS` times; in all at least `kills`. Prints each result's file."""
    settings = {"recipe": recipe, "scenario": "rounding", "steps": 12, "batch": 4}
    total, writing = places(settings, folder / "counted", folder / "places.json")
    done, number = 0, 0
    while done < kills:
        number += 1
        rng, run = random.Random(number), folder / f"run{number}"
        for _ in range(KILLS):
            event = rng.choice(writing) if rng.random() < 0.5 else rng.randrange(1, total)
            status = in_a_process(lambda event=event, run=run: killed_at(event, settings, run))
            assert status in (0, -signal.SIGKILL), status
            done += status == -signal.SIGKILL
        result = folder / f"result{number}.json"
        assert in_a_process(lambda run=run, result=result: train(settings, run).save(result)) == 0
        print(result, flush=True)
    print(done, "killed", file=sys.stderr)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
