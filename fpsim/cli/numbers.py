"""``fpsim inspect`` and ``fpsim formats``.

Layer 12. Reads arguments, calls `fpsim.rounding`, prints.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from fpsim.cli.frame import Command, print_json
from fpsim.formats import MODES, NAMED, Format
from fpsim.rounding import inspect

__all__ = ["COMMANDS"]


def _inspect_arguments(parser: argparse.ArgumentParser) -> None:
    modes = [mode for mode in MODES if mode != "stochastic"]
    parser.add_argument("values", nargs="+", metavar="VALUE", help="decimal numbers, exact as written; inf, nan, 1/3")
    parser.add_argument("--format", nargs="+", default=["float16"], metavar="FORMAT", help="one or more formats")
    parser.add_argument("--mode", choices=modes, default="nearest_even", help="rounding mode (nearest_even)")


def _inspect(options: argparse.Namespace) -> int:
    found = [inspect(value, fmt, options.mode) for value in options.values for fmt in options.format]
    if options.json:
        print_json([one.to_dict() for one in found])
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
        print_json(rows)
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


COMMANDS = (
    Command("inspect", "take a number apart: bits, exact value, error, neighbours", _inspect_arguments, _inspect),
    Command("formats", "the table of all named formats", lambda parser: None, _formats),
)
