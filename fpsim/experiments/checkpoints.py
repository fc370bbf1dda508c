"""Checkpoints: the last two states of a training, in a folder; each file is written whole or not at all.

Layer 8. Knows files and folders; `packing` makes a state bytes, and what belongs into one is `training`'s.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from fpsim.errors import ArgumentError, CheckpointError, CheckpointWarning, expected, shown
from fpsim.experiments.packing import pack, unpack
from fpsim.files import read_file, write_whole

__all__ = [
    "Checkpoints",
    "begun_or_new",
    "load_checkpoint",
    "read_checkpoint",
    "read_state",
    "restore",
    "save_checkpoint",
]

#: No checkpoint is larger.
LARGEST = 2**36
#: The newest, and the last good one should the newest be damaged.
GENERATIONS = 2

_NAME = re.compile(r"step-(\d{1,12})\.checkpoint")


def read_checkpoint(path: Any) -> Any:
    """The state in one file.

    Raises
    ------
    CheckpointError
        A file that is missing, damaged, of another version, or not a checkpoint.
    """
    path = Path(path)
    try:
        content = read_file(path, LARGEST)
    except OSError as error:
        got = f"{path}: {error.strerror}"
        raise CheckpointError(expected("resume", "a file that can be read", got, "check the path")) from None
    return unpack(content, str(path))


class Checkpoints:
    """A folder with the last two checkpoints of one run, ``step-000120.checkpoint``.

    Parameters
    ----------
    folder : str or Path
        Made by the first `write`.
    """

    def __init__(self, folder: Any) -> None:
        self.folder = Path(folder)
        self._good: list[Path] = []  # the newest last

    def files(self) -> list[Path]:
        """The checkpoints that are there, damaged or not, the newest first."""
        try:
            names = [path for path in self.folder.iterdir() if _NAME.fullmatch(path.name)]
        except (OSError, ValueError):
            return []
        return sorted(names, key=_step_of, reverse=True)

    def write(self, step: int, state: Any) -> Path:
        """Write the checkpoint of a step, then remove those that are older than the one before it.

        Raises
        ------
        CheckpointError
            A place that cannot be written, a full disk; earlier checkpoints are as they were.
        """
        path = self.folder / f"step-{step:06d}.checkpoint"
        content = pack(state)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, content)
        except OSError as error:
            remedy = f"the last good one is {self._good[-1]}: resume from it" if self._good else "choose another folder"
            got = f"{path}: {error.strerror}"
            raise CheckpointError(expected("checkpoint", "a place that can be written", got, remedy)) from None
        self._good = [*(good for good in self._good if good != path), path][-GENERATIONS:]
        self._remove_older()
        return path

    def _remove_older(self) -> None:
        oldest = min(map(_step_of, self._good))
        with contextlib.suppress(OSError):  # what cannot be removed does no harm
            for path in self.files():
                if _step_of(path) < oldest:
                    path.unlink()
            for left in self.folder.glob(".step-*.checkpoint.*"):  # of a process that was killed while it wrote
                left.unlink()

    def read(self, path: Any) -> Any:
        """The state in one file of the folder, which then counts as the last good one."""
        state = read_checkpoint(path)
        self._good = [Path(path)]
        return state

    def newest(self) -> Any:
        """The state of the newest checkpoint that is whole, with a warning where a newer one is damaged.

        Raises
        ------
        CheckpointError
            No checkpoint, or none that is whole.
        """
        found, damage = self.files(), []
        for path in found:
            try:
                state = self.read(path)
            except CheckpointError as error:
                damage.append(str(error))
                continue
            if damage:
                text = f"{damage[0].split(';')[0]}; the run goes on from {path.name}."
                warnings.warn(text, CheckpointWarning, stacklevel=2)
            return state
        if damage:
            raise CheckpointError(damage[0])
        got = f"none in {str(self.folder)!r}"
        raise CheckpointError(expected("resume", "a folder with checkpoints", got, "name one given as checkpoint="))

    def go_on_before(self, step: int) -> None:
        """Take the newest checkpoint for good, unless it is of a later step than comes next: then it is another run's.

        Raises
        ------
        CheckpointError
            A whole checkpoint of a later step.
        """
        for path in self.files():
            if _step_of(path) < step:
                self._good = [path]
                return
            if _step_of(path) > step and _is_whole(path):
                got = f"step {step} in {str(self.folder)!r}, which holds one of step {_step_of(path)}"
                raise CheckpointError(expected("save_checkpoint", "a later step each time", got, "use another folder"))


def _is_whole(path: Path) -> bool:
    try:
        read_checkpoint(path)
    except CheckpointError:
        return False
    return True


def _step_of(path: Path) -> int:
    found = _NAME.fullmatch(path.name)
    return int(found[1]) if found else -1


def begun_or_new(folder: Any, *names: str) -> dict[str, Path]:
    """Arguments of `train` for one of several runs, with a folder of its own in the folder: it begins there or goes on.

    >>> str(begun_or_new("runs", "rounding", "float16/float32", "seed 0")["checkpoint"])
    'runs/rounding, float16 float32, seed 0'
    """
    own = Path(folder) / ", ".join(names).replace("/", " ")
    return {"resume" if Checkpoints(own).files() else "checkpoint": own}


# For a loop of one's own ---------------------------------------------------------------------------------------------


def save_checkpoint(folder: Any, step: int, **parts: Any) -> Path:
    """Write all that a training needs to go on, as the checkpoint of a step; the one before it is kept.

    Parameters
    ----------
    folder : str or Path
    step : int
    **parts
        By name: whatever has a ``state_dict`` (network, optimizer, scaler, scheduler, batches), generators of NumPy's,
        and plain data: numbers, texts, lists, dicts, arrays, tensors.

    Raises
    ------
    CheckpointError
        A place that cannot be written, a full disk; earlier checkpoints are as they were.

    Examples
    --------
    >>> import fpsim as fp, tempfile
    >>> net = fp.nn.Linear(2, 1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = fp.save_checkpoint(folder, 7, net=net, losses=[0.5, 0.25])
    ...     fp.load_checkpoint(folder, net=net)
    {'losses': [0.5, 0.25], 'step': 7}
    """
    if isinstance(step, bool) or not isinstance(step, int | np.integer) or step < 0:
        got = f"step={step!r}"
        raise ArgumentError(expected("save_checkpoint", "a step of at least 0", got, "count them from 0"))
    checkpoints = Checkpoints(folder)
    checkpoints.go_on_before(step)
    return checkpoints.write(int(step), {**{name: _state_of(part) for name, part in parts.items()}, "step": int(step)})


def load_checkpoint(path: Any, **parts: Any) -> dict[str, Any]:
    """Bring the objects that are given to `save_checkpoint` back to what they were; the rest is returned.

    Parameters
    ----------
    path : str or Path
        The folder, or one file in it.
    **parts
        The network, the optimizer and so on, made anew in the same way, under the names they were saved by.

    Raises
    ------
    CheckpointError
        No whole checkpoint there, or none of such parts.
    """
    state = read_state(path, Checkpoints(path))
    if missing := [name for name in parts if name not in state]:
        got = f"one without {', '.join(missing)}"
        raise CheckpointError(expected("load_checkpoint", "a checkpoint of these parts", got, "use the names it has"))
    generators_last = sorted(parts, key=lambda name: isinstance(parts[name], np.random.Generator))
    for name in generators_last:  # should another part have drawn from one
        restore(parts[name], state.pop(name))
    return state


def read_state(path: Any, folder: Checkpoints) -> dict[str, Any]:
    """The state in a file, or in the newest whole checkpoint of a folder; a dict by name."""
    state = folder.read(path) if Path(path).is_file() else folder.newest()
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        got = f"{str(path)!r}, which holds something else"
        raise CheckpointError(expected("resume", "a training's checkpoint", got, "take another one"))
    return state


def _state_of(part: Any) -> Any:
    if isinstance(part, np.random.Generator):
        return part.bit_generator.state
    return part.state_dict() if hasattr(part, "state_dict") else part


def restore(part: Any, state: Any) -> None:
    """Give an object, or a generator, the state that it had."""
    try:
        if isinstance(part, np.random.Generator):
            part.bit_generator.state = state
        else:
            part.load_state_dict(state)
    except CheckpointError:  # of a part of it
        raise
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError, IndexError) as error:
        got = f"one that does not fit: {shown(error)}"
        raise CheckpointError(expected("resume", "a checkpoint of the same training", got, "take another")) from None
