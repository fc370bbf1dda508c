"""``fpsim sweep``: train over loss scales and other arguments, print a row for each, draw what became of gradients.

Layer 12. Reads arguments, calls `fpsim.experiments` and `fpsim.plots`, prints and writes.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fpsim.cli.frame import Command, print_json
from fpsim.errors import ArgumentError, expected
from fpsim.experiments import SCENARIOS, sweep
from fpsim.experiments.results import write_results
from fpsim.experiments.sweeping import DEFAULT_STEPS

__all__ = ["COMMANDS", "numbers_of"]

#: More points than this were a typing mistake.
MOST_POINTS = 10_000


def numbers_of(text: str, whole: bool = False) -> list[Any]:
    """The numbers that a text names: ``65536``, ``2**16``, ``2**0:2**24`` (times 2) or ``2**0:2**24:16``; or a word.

    With `whole` a range of whole numbers without its end, as in Python: ``0:5``.

    >>> numbers_of("2**0:2**6:4"), numbers_of("0:3", whole=True), numbers_of("dynamic")
    ([1.0, 4.0, 16.0, 64.0], [0, 1, 2], ['dynamic'])
    """
    parts = text.split(":")
    try:
        numbers = [_number(part) for part in parts]
    except (ValueError, OverflowError):
        if len(parts) == 1 and not whole:
            return [text]
        raise _misread(text) from None
    if whole:
        if len(numbers) > 2 or any(number != int(number) for number in numbers):
            raise _misread(text)
        if len(numbers) == 2 and numbers[1] - numbers[0] > MOST_POINTS:
            raise _misread(text)
        return list(range(*map(int, numbers))) if len(numbers) == 2 else [int(numbers[0])]
    if len(numbers) == 1:
        return numbers
    start, stop, factor = (*numbers, 2.0) if len(numbers) == 2 else numbers[:3]
    if len(numbers) > 3 or not 0 < start <= stop or not factor > 1 or math.log(stop / start, factor) > MOST_POINTS:
        raise _misread(text)
    return [start * factor**i for i in range(int(math.log(stop / start, factor) * (1 + 1e-12)) + 1)]


def _misread(text: str) -> ArgumentError:
    return ArgumentError(
        expected(
            "sweep", "numbers like 65536, 2**16 or 2**0:2**24:4", repr(text), "first:last:factor, or 0:5 for seeds"
        )
    )


def _number(text: str) -> float:
    base, power, exponent = text.partition("**")
    value = float(base) ** float(exponent) if power else float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--scale", nargs="+", default=["2**0:2**24"], metavar="SCALE", help="loss scales, also first:last[:factor]"
    )
    parser.add_argument("--recipe", nargs="+", default=["mixed_float16"], help="formats to train in (mixed_float16)")
    parser.add_argument("--scenario", default="published", help=f"of {' '.join(SCENARIOS)} (published)")
    parser.add_argument("--seed", nargs="+", default=["0"], help="seeds, also first:end as in 0:5 (0)")
    parser.add_argument(
        "--steps", type=int, default=DEFAULT_STEPS, help=f"training steps of each run ({DEFAULT_STEPS})"
    )
    parser.add_argument("--batch", type=int, help="images a step (the scenario's)")
    parser.add_argument("--lr", type=float, help="learning rate (the scenario's)")
    parser.add_argument("--loss-factor", help="multiply the loss itself by this, as in 2**-20 (the scenario's)")
    parser.add_argument("--data", help="digits, fashion, or a folder of IDX files (digits)")
    parser.add_argument("--no-dynamic", action="store_true", help="without the runs with a dynamic scale")
    parser.add_argument("--out", default="figures", help="folder for sweep.png and sweep.json (figures)")


def _sweep(options: argparse.Namespace) -> int:
    from fpsim.plots import scaling, style

    out = Path(options.out)
    write_results(out / ".fpsim-probe", b"")  # whether results can be written, before minutes of training
    (out / ".fpsim-probe").unlink()
    grid: dict[str, list[Any]] = {"scale": [n for text in options.scale for n in numbers_of(text)]}
    settings: dict[str, Any] = {name: getattr(options, name) for name in ("scenario", "steps", "batch", "lr", "data")}
    if options.loss_factor is not None:
        settings["loss_factor"] = numbers_of(options.loss_factor)[0]
    seeds = [n for text in options.seed for n in numbers_of(text, whole=True)]
    for name, values in (("recipe", options.recipe), ("seed", seeds)):
        if len(values) > 1:
            grid[name] = values
        else:
            settings[name] = values[0] if values else 0
    found = sweep(grid, dynamic=not options.no_dynamic, progress=_progress(), **settings)
    saved = found.save(out / "sweep.json")
    files = [saved]
    if found.constant:
        write_results(out / "sweep.png", style.saved_bytes(scaling(found)))
        files.insert(0, out / "sweep.png")
    if options.json:
        print_json({**found.to_dict(), "files": [str(path) for path in files]})
    else:
        print(found.table())
        print(f"Wrote {' and '.join(map(str, files))}; fp.load({str(saved)!r}) reads the results back.")
    return 0


def _progress() -> Callable[[int, int, dict[str, Any]], None] | None:
    """Points done and the time still needed, on a terminal's stderr; nothing elsewhere."""
    if not sys.stderr.isatty():
        return None
    started = time.monotonic()

    def show(done: int, points: int, settings: dict[str, Any]) -> None:
        left = (time.monotonic() - started) / done * (points - done)
        text = f"sweep [{'#' * (30 * done // points):.<30}] {done}/{points}, {left:.0f} s left"
        print(f"\r{text:70}" if done < points else f"\r{'':70}\r", end="", file=sys.stderr, flush=True)

    return show


COMMANDS = (Command("sweep", "train over loss scales, and see the gradients lost at each", _arguments, _sweep),)
