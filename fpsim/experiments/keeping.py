"""`Keeping`: when a training writes its checkpoints, from which one it goes on, and what Ctrl-C does to it.

Layer 8. `checkpoints` writes and reads; what is in them, and the steps, are `training`'s.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from fpsim.errors import ArgumentError, CheckpointError, expected
from fpsim.experiments.checkpoints import Checkpoints, read_state, restore

__all__ = ["Interrupted", "Keeping", "keeping_for"]

#: Checkpoints of a run, unless `checkpoint_every` is given.
A_RUN = 10

#: What helps where settings differ that are no arguments.
_REMEDIES = {
    "images": "give the same images with data=",
    "text": "give the same text with data=",
    "fpsim": "go on with that version, since another may round otherwise, or begin anew",
    "image_size": "give the same scenario=",
    "pixel_factor": "give the same scenario=",
    "context": "give the same scenario=",
}


def _is_setting(value: Any) -> bool:
    return len(value) < 500 and value.isprintable() if isinstance(value, str) else isinstance(value, int | float | None)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C in a training that keeps checkpoints: its last step was finished, and a checkpoint written.

    Attributes
    ----------
    folder : Path
        To resume from.
    step, steps : int
        That were done, of how many.
    """

    def __init__(self, folder: Path, step: int, steps: int) -> None:
        super().__init__(f"train: interrupted after step {step} of {steps}; go on with train(resume={str(folder)!r})")
        self.folder, self.step, self.steps = folder, step, steps

    def __reduce__(self) -> Any:
        """Between processes."""
        return type(self), (self.folder, self.step, self.steps)


class Resumable(Protocol):
    """What can be kept: `settings` that must be the same in whatever goes on, `done` of `steps`, and a state."""

    settings: dict[str, Any]
    steps: int

    @property
    def done(self) -> int:
        """Steps carried out."""

    def state_dict(self) -> dict[str, Any]:
        """All that changes from step to step."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""


def keeping_for(checkpoint: Any, every: Any, resume: Any) -> Keeping:
    """The checkpoints that `train`'s arguments ask for, checked."""
    if every is not None and (isinstance(every, bool) or not isinstance(every, int) or every < 1):
        got = f"checkpoint_every={every!r}"
        raise ArgumentError(expected("train", "a whole number of steps, at least 1", got, "leave it out for ten a run"))
    if checkpoint is None and resume is None:
        got = f"checkpoint_every={every} alone"
        raise ArgumentError(expected("train", "a folder for the checkpoints", got, "add checkpoint='runs/a'"))
    return Keeping(checkpoint, every, resume)


class Keeping:
    """The checkpoints of one run.

    Parameters
    ----------
    folder : str or Path, optional
        Where they are written: the folder that is resumed from unless given.
    every : int, optional
        Steps between two of them.
    resume : str or Path, optional
        A folder of checkpoints, or one of them, to go on from.
    """

    def __init__(self, folder: Any, every: int | None, resume: Any) -> None:
        self.begun: dict[str, Any] | None = None
        self._every, self._interrupted, self._written = every, False, 0
        if resume is not None:
            resume = Path(resume)
            self._kept = Checkpoints(resume.parent if resume.is_file() else resume)
            self.begun = read_state(resume, self._kept)
            self._check_begun(resume)
            if self._every is None:
                self._every = self.begun["every"]
        self._goes_on_here = resume is not None
        if folder is not None and (resume is None or Path(folder).resolve() != self._kept.folder.resolve()):
            self._goes_on_here = False
            self._kept = Checkpoints(folder)
            if there := self._kept.files():
                got, remedy = f"{there[0]}", f"go on with resume={str(folder)!r}, or remove them"
                raise CheckpointError(expected("train", "a folder without checkpoints", got, remedy))

    def _check_begun(self, path: Path) -> None:
        begun = self.begun
        assert begun is not None
        settings, every = begun.get("settings"), begun.get("every")
        plain = isinstance(settings, dict) and all(_is_setting(x) for x in settings.values())
        if not plain or not isinstance(every, int) or every < 1 or not isinstance(begun.get("training"), dict):
            got = f"{path}, which is of something else"
            raise CheckpointError(expected("train", "a checkpoint that train wrote", got, "use fp.load_checkpoint"))

    @property
    def folder(self) -> Path:
        """Where checkpoints are written."""
        return self._kept.folder

    def completed(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a training, those left out as they were when the run was begun."""
        then = {} if self.begun is None else self.begun["settings"]
        return {name: then.get(name) if value is None else value for name, value in given.items()}

    def begin(self, run: Resumable) -> None:
        """Bring the run to where it was, if it was begun before; write the first checkpoint of a new folder."""
        if self.begun is not None:
            self._check_settings(run.settings, self.begun["settings"])
            restore(run, self.begun["training"])
            self.begun = None
        if self._every is None:
            self._every = max(1, run.steps // A_RUN)
        self._written = run.done
        if not self._goes_on_here:
            self._write(run)

    def _check_settings(self, ours: Mapping[str, Any], then: Mapping[str, Any]) -> None:
        for name, value in ours.items():
            if name != "data" and (name not in then or then[name] != value):  # the images' digest counts, not the name
                was, now = (f"{name}={x!r:.80}" for x in (then.get(name), value))
                remedy = _REMEDIES.get(name, f"leave {name} out to go on as it was begun, or begin anew")
                raise CheckpointError(expected("train", f"the {was} of the checkpoint", now, remedy))

    def after_step(self, run: Resumable) -> None:
        """Write a checkpoint where one is due; leave where Ctrl-C was pressed."""
        assert self._every is not None
        if self._interrupted or run.done % self._every == 0 or run.done == run.steps:
            self._write(run)
        if self._interrupted:
            raise Interrupted(self.folder, run.done, run.steps)

    def _write(self, run: Resumable) -> None:
        state = {"settings": run.settings, "every": self._every, "training": run.state_dict()}
        self._kept.write(run.done, state)
        self._written = run.done

    @contextmanager
    def until_interrupted(self, run: Resumable) -> Iterator[None]:
        """Inside, Ctrl-C waits for the end of the step; a second one does not, and goes back to the last checkpoint."""

        def wait(number: int, frame: FrameType | None) -> None:
            self._interrupted = True
            signal.signal(signal.SIGINT, signal.default_int_handler)

        ours = threading.current_thread() is threading.main_thread()
        ours = ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else somebody else's
        if ours:
            signal.signal(signal.SIGINT, wait)
        try:
            yield
            if self._interrupted:
                raise Interrupted(self.folder, run.done, run.steps)
        except Interrupted:
            raise
        except KeyboardInterrupt:
            raise Interrupted(self.folder, self._written, run.steps) from None
        finally:
            if ours:
                signal.signal(signal.SIGINT, signal.default_int_handler)
