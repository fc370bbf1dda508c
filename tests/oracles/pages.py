"""A page's Python examples, run as a reader types them: from the first to the last, sharing their names.

Tests only. One test runs a whole page, since the examples build on each other and tests may be spread over processes.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def blocks(page: str) -> list[tuple[int, str]]:
    """The Python blocks of a page, by path from the project's folder, each with the number of its first line."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(text.count("\n", 0, match.start(1)), match[1]) for match in found]


def failures(page: str) -> str:
    """What the examples of a page do that the page does not say; empty where all is as it says."""
    names: dict = {}
    report = io.StringIO()
    for line, block in blocks(page):
        if ">>>" not in block:
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile("\n" * line + block, page, "exec"), names)
            continue
        example = doctest.DocTestParser().get_doctest(block, names, page, page, line)
        doctest.DocTestRunner(verbose=False).run(example, out=report.write, clear_globs=False)
        names.update(example.globs)
    return report.getvalue()
