"""The command line: ``fpsim`` alone is the tour, ``fpsim COMMAND`` one of `COMMANDS`.

Layer 12. `frame` holds what all commands share; to add one, append a `Command` to a file's ``COMMANDS``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fpsim.cli import course, experiments, gallery, measuring, numbers, selftest, sweeps
from fpsim.cli.frame import Command, run
from fpsim.experiments.tour import tour

__all__ = ["COMMANDS", "Command", "main"]

#: Every subcommand, in the order of ``fpsim --help``; each also takes ``--json``, found as ``options.json``.
COMMANDS: tuple[Command, ...] = (
    *experiments.COMMANDS, *sweeps.COMMANDS, *measuring.COMMANDS, *gallery.COMMANDS, *numbers.COMMANDS,
    *course.COMMANDS, *selftest.COMMANDS,
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status.

    >>> main(["inspect", "0.1", "--format", "float8"])
    2
    """
    return run(COMMANDS, tour, sys.argv[1:] if argv is None else argv)
