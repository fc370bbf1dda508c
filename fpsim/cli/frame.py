"""The frame of every command: parsing, errors in one line, exit status 0, 1 (failed) or 2 (bad arguments).

Layer 12. Knows no command; computes nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

from fpsim.errors import CheckpointWarning, FpsimError

__all__ = ["Command", "complain", "one_line_warnings", "print_json", "run"]


@dataclass(frozen=True)
class Command:
    """One subcommand: what it says of itself, what it takes, what it does (returning the exit status)."""

    name: str
    help: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


# The frame -----------------------------------------------------------------------------------------------------------


def run(commands: Sequence[Command], bare: Callable[[], int], argv: Sequence[str]) -> int:
    """Run one of the commands, or `bare` where none is named; the exit status."""
    try:
        try:
            status = _run(commands, bare, list(argv))
            sys.stdout.flush()
            return status
        except BrokenPipeError:  # the reader left, as `head` does: nobody is there to be told
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 128 + 13
    except FpsimError as error:
        return complain(str(error), 2)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return complain(f"{where}{error.strerror or error}", 1)
    except KeyboardInterrupt:
        return complain("interrupted", 130)


def _run(commands: Sequence[Command], bare: Callable[[], int], argv: list[str]) -> int:
    try:
        options = _parser(commands).parse_args([_shielded(argument) for argument in argv])
    except SystemExit as left:  # argparse has printed help, or the one line of an error
        return int(left.code or 0)
    if options.command is not None:
        return options.command.run(options)
    return bare()


class _Parser(argparse.ArgumentParser):
    """Errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(complain(f"{message}; see `{self.prog} --help`", 2, self.prog))


def _parser(commands: Sequence[Command]) -> argparse.ArgumentParser:
    parser = _Parser(prog="fpsim", description="See what floating-point formats do to numbers and to networks.")
    parser.set_defaults(command=None)
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in commands:
        added = subparsers.add_parser(command.name, help=command.help, description=command.help.capitalize() + ".")
        command.arguments(added)
        added.add_argument("--json", action="store_true", help="print JSON, for machines")
        added.set_defaults(command=command)
    return parser


def _shielded(argument: str) -> str:
    """Keep argparse from taking -1e-7, -inf or -1/3 for an option: what starts with a space is not one."""
    return f" {argument}" if re.match(r"-(\d|\.\d|inf|nan)", argument) else argument


def complain(message: str, status: int, prog: str = "fpsim") -> int:
    """Say it in one line on stderr; the exit status."""
    print(f"{prog}: {' '.join(message.split())}", file=sys.stderr)
    return status


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Inside, warnings are shown as errors are, in one line without the place in the code."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", CheckpointWarning)
        warnings.showwarning = lambda message, *place: complain(str(message), 0)  # type: ignore[assignment]
        yield


def print_json(content: Any) -> None:
    """As JSON, infinities and NaN as strings: JSON has no numbers for them."""
    print(json.dumps(_plain(content), indent=1, allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value
