"""``fpsim figures`` and ``fpsim verify``.

Layer 12. Reads arguments, calls `fpsim.gallery`, prints.
"""

from __future__ import annotations

import argparse

from fpsim.cli.frame import Command, print_json

__all__ = ["COMMANDS"]


def _figures_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="figures, as --list names them (all)")
    parser.add_argument("--out", default="figures", help="folder for the pictures and their results files (figures)")
    parser.add_argument("--list", action="store_true", help="name the figures and what each must hit; make none")
    parser.add_argument("--dark", action="store_true", help="on a dark ground, into NAME_dark.png")


def _figures(options: argparse.Namespace) -> int:
    from fpsim.gallery import EXHIBITS, exhibit, figures

    if options.list:
        chosen = [exhibit(name) for name in options.names or EXHIBITS]
        if options.json:
            print_json([{"name": one.name, "title": one.title, "must_hit": one.must_hit, "source": one.source,
                         "message": one.message, "settings": one.settings} for one in chosen])  # fmt: skip
        else:
            width = max(len(one.name) for one in chosen)
            print("\n".join(f"{one.name:{width}}  {one.must_hit}\n{'':{width}}  ({one.source})" for one in chosen))
        return 0
    made = figures(
        *options.names, out=options.out, theme="dark" if options.dark else "light",
        each=None if options.json else lambda one: print(one, flush=True),
    )  # fmt: skip
    if options.json:
        print_json([one.to_dict() for one in made])
    else:
        missed = sum(not one.holds for one in made)
        seconds = sum(one.seconds for one in made)
        hit = f"{missed} of {len(made)} figures miss their numbers" if missed else "all numbers hit"
        print(f"{len(made)} figures in {seconds:.0f} s: {hit}.")
    return 0 if all(one.holds for one in made) else 1


def _verify_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="PNG or JSON of a figure, or results of train, compare, sweep"
    )


def _verify(options: argparse.Namespace) -> int:
    from fpsim.gallery import verify

    verdicts = []
    for file in options.files:
        verdicts.append(verify(file))
        if not options.json:
            print(verdicts[-1], flush=True)
    if options.json:
        print_json([verdict.to_dict() for verdict in verdicts])
    return 0 if all(verdict.confirmed for verdict in verdicts) else 1


COMMANDS = (
    Command("figures", "make the gallery: figures that hit the literature's numbers", _figures_arguments, _figures),
    Command("verify", "rerun a figure's experiment and compare its numbers bit for bit", _verify_arguments, _verify),
)
