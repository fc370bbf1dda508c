"""The command line: ``fpsim`` alone is the tour, ``fpsim COMMAND`` one of `COMMANDS`.

Layer 10. Reads arguments, calls the library, prints; it computes nothing. Exit status 0, 1 (failed), 2 (bad arguments).
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import math
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from fpsim.errors import FpsimError
from fpsim.formats import MODES, NAMED, Format
from fpsim.rounding import inspect

__all__ = ["COMMANDS", "Command", "main"]


# The commands --------------------------------------------------------------------------------------------------------


def _inspect_arguments(parser: argparse.ArgumentParser) -> None:
    modes = [mode for mode in MODES if mode != "stochastic"]
    parser.add_argument("values", nargs="+", metavar="VALUE", help="decimal numbers, exact as written; inf, nan, 1/3")
    parser.add_argument("--format", nargs="+", default=["float16"], metavar="FORMAT", help="one or more formats")
    parser.add_argument("--mode", choices=modes, default="nearest_even", help="rounding mode (nearest_even)")


def _inspect(options: argparse.Namespace) -> int:
    found = [inspect(value, fmt, options.mode) for value in options.values for fmt in options.format]
    if options.json:
        _print_json([one.to_dict() for one in found])
    else:
        print("\n\n".join(map(repr, found)))
    return 0


_COLUMNS: dict[str, Callable[[Format], Any]] = {
    "name": lambda f: f.name,
    "bits": lambda f: f.bits,
    "exponent": lambda f: f.exponent_bits,
    "significand": lambda f: f.significand_bits,
    "p": lambda f: f.p,
    "digits": lambda f: f.decimal_digits,
    "max": lambda f: f.max,
    "smallest_normal": lambda f: f.smallest_normal,
    "smallest_subnormal": lambda f: f.smallest_subnormal if f.has_subnormals else None,
    "eps": lambda f: f.eps,
    "has_inf": lambda f: f.has_inf,
    "has_nan": lambda f: f.has_nan,
}


def _formats(options: argparse.Namespace) -> int:
    rows = [{name: value(fmt) for name, value in _COLUMNS.items()} for fmt in NAMED]
    if options.json:
        _print_json(rows)
        return 0
    heads = [name.replace("has_", "").replace("_", " ") for name in _COLUMNS]
    cells = [heads, *([_cell(name, row[name]) for name in _COLUMNS] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for first, *others in cells:
        figures = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        print("  ".join([first.ljust(widths[0]), *figures]))
    print("\nexponent, significand: stored bits; p: significand bits with the hidden one; digits: p * log10(2).")
    print("Any other split is a format too: fpsim inspect 0.1 --format e6m9")
    return 0


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.2f}" if name == "digits" else f"{value:.6g}"
    return str(value)


@dataclass(frozen=True)
class Command:
    """One subcommand: what it says of itself, what it takes, what it does (returning the exit status)."""

    name: str
    help: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


#: Every subcommand, in the order of ``fpsim --help``; each also takes ``--json``, found as ``options.json``.
COMMANDS = (
    Command("inspect", "take a number apart: bits, exact value, error, neighbours", _inspect_arguments, _inspect),
    Command("formats", "the table of all named formats", lambda parser: None, _formats),
)


# The frame -----------------------------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status.

    >>> main(["inspect", "0.1", "--format", "float8"])
    2
    """
    try:
        try:
            status = _run(list(sys.argv[1:] if argv is None else argv))
            sys.stdout.flush()
            return status
        except BrokenPipeError:  # the reader left, as `head` does: nobody is there to be told
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 128 + 13
    except FpsimError as error:
        return _complain(str(error), 2)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _complain(f"{where}{error.strerror or error}", 1)
    except KeyboardInterrupt:
        return _complain("interrupted", 130)


def _run(argv: list[str]) -> int:
    try:
        options = _parser().parse_args([_shielded(argument) for argument in argv])
    except SystemExit as left:  # argparse has printed help, or the one line of an error
        return int(left.code or 0)
    if options.command is not None:
        return options.command.run(options)
    if importlib.util.find_spec("fpsim.experiments.tour") is None:
        _parser().print_help()
        return 0
    return int(importlib.import_module("fpsim.experiments.tour").main() or 0)


class _Parser(argparse.ArgumentParser):
    """Errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(_complain(f"{message}; see `{self.prog} --help`", 2, self.prog))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="fpsim", description="See what floating-point formats do to numbers and to networks.")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in COMMANDS:
        added = commands.add_parser(command.name, help=command.help, description=command.help.capitalize() + ".")
        command.arguments(added)
        added.add_argument("--json", action="store_true", help="print JSON, for machines")
        added.set_defaults(command=command)
    return parser


def _shielded(argument: str) -> str:
    """Keep argparse from taking -1e-7, -inf or -1/3 for an option: what starts with a space is not one."""
    return f" {argument}" if re.match(r"-(\d|\.\d|inf|nan)", argument) else argument


def _complain(message: str, status: int, prog: str = "fpsim") -> int:
    print(f"{prog}: {' '.join(message.split())}", file=sys.stderr)
    return status


def _print_json(content: Any) -> None:
    """As JSON, infinities and NaN as strings: JSON has no numbers for them."""
    print(json.dumps(_plain(content), indent=1, allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value
