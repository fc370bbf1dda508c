"""``fpsim selftest``: for developers and for whoever must be sure of the bits.

Layer 12. Reads arguments, calls `fpsim.selftest`, prints and writes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from fpsim.cli.frame import Command, print_json
from fpsim.experiments.results import write_results

__all__ = ["COMMANDS"]


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--write", metavar="PATH", help="write the digests of this machine, in place of comparing")


def _selftest(options: argparse.Namespace) -> int:
    from fpsim import selftest  # not for the other commands

    if options.write is not None:
        made = {group: selftest.computed(group) for group in selftest.GROUPS}
        path = Path(options.write)
        write_results(path, json.dumps(made, indent=1).encode() + b"\n")
        count = sum(map(len, made.values()))
        print_json({"file": str(path), "results": count}) if options.json else print(f"Wrote {count} digests: {path}")
        return 0
    findings = []
    for finding in selftest.selftest():
        findings.append(finding)
        if not options.json:
            print(finding, flush=True)
    differ = sum(len(finding.differing) for finding in findings)
    if options.json:
        groups = [{"group": f.group, "results": f.count, "differing": list(f.differing)} for f in findings]
        print_json({"groups": groups, "same": not differ})
    elif differ:
        print(f"{differ} results are not the bits that fpsim computes elsewhere.")
    else:
        print("The same bits as everywhere.")
    return 1 if differ else 0


COMMANDS = (Command("selftest", "compare the bits computed here with those of the manifest", _arguments, _selftest),)
