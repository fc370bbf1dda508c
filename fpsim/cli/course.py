"""``fpsim course``: build the notebooks into a static site, or check one that was built.

Layer 12. Reads arguments, calls `fpsim.course`, prints.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from fpsim.cli.frame import Command, print_json
from fpsim.errors import ArgumentError, CourseError, expected

__all__ = ["COMMANDS"]


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("build", "check"), help="build the site, or check its links")
    parser.add_argument("site", type=Path, help="its folder; open index.html in it, no server is needed")
    parser.add_argument("--notebooks", type=Path, default=Path("notebooks"), help="folder of the sources (notebooks)")
    parser.add_argument("--only", nargs="+", default=[], metavar="NN", help="these notebooks alone, such as 00 03")
    parser.add_argument("--reader", choices=("student", "teacher"), default="student", help="teacher: with solutions")
    parser.add_argument("--seconds", type=int, default=300, help="limit of one cell (300)")


def _run(options: argparse.Namespace) -> int:
    from fpsim.course.links import problems_of

    pages: list[Any] = []
    if options.action == "build":
        from fpsim.course.site import build

        if options.seconds < 1:
            raise ArgumentError(expected("course", "seconds of at least 1", f"{options.seconds}", "leave it out"))

        def progress(made: Any) -> None:
            pages.append(made)
            if not options.json:
                print(f"{made.file}: ran in {made.seconds:.1f} s", flush=True)

        try:
            problems = build(
                options.site, options.notebooks, options.only, reader=options.reader, seconds=options.seconds,
                progress=progress,
            ).problems  # fmt: skip
        except CourseError as error:
            print(f"fpsim: {error}", file=sys.stderr)
            return 1
    else:
        if not (options.site / "index.html").is_file():
            got = repr(str(options.site))
            raise ArgumentError(expected("course check", "a folder with index.html", got, "build the site first"))
        problems = tuple(problems_of(options.site))
    if options.json:
        print_json({"site": str(options.site), "pages": [vars(made) for made in pages], "problems": problems})
    else:
        for problem in problems:
            print(f"fpsim: {problem}", file=sys.stderr)
        if not problems:
            print(f"{options.site / 'index.html'}: links and sizes are in order")
    return 1 if problems else 0


COMMANDS = (Command("course", "the course's notebooks as a site that needs no server", _arguments, _run),)
