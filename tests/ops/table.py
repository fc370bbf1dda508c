"""Operations x formats x laws: how many values each law was checked on. ``python -m tests.ops.table`` prints it.

Tests only. A cell is ``rounded once / each vjp / layouts / special values``; a failing check shows as ``FAIL``. The
derivatives are float64's own, so they have one column.
"""

from __future__ import annotations

import warnings

from fpsim.autograd.op import OPS
from tests.ops import checks
from tests.ops.cases import FORMATS

Row = dict[str, list[int | None]]


def counted(check, *args: str) -> int | None:
    """How many values a check compared; None where it failed."""
    try:
        return check(*args)
    except AssertionError:
        return None


def rows() -> dict[str, Row]:
    """For each operation, a list of counts for each format and for the derivatives."""
    return {
        name: {fmt: [counted(checks.compared, check, name, fmt) for check in checks.CHECKS] for fmt in FORMATS}
        | {"derivatives": [counted(checks.derivatives, name)]}
        for name in sorted(OPS)
    }


def shown(counts: list[int | None]) -> str:
    return "/".join("FAIL" if n is None else str(n) if n < 1000 else f"{n / 1000:.0f}k" for n in counts)


def markdown(rows: dict[str, Row]) -> str:
    columns = [*FORMATS, "derivatives"]
    lines = [["op", *columns], ["---"] * (len(columns) + 1)]
    lines += [[name, *(shown(row[column]) for column in columns)] for name, row in rows.items()]
    total = sum(n or 0 for row in rows.values() for counts in row.values() for n in counts)
    head = f"{' / '.join(checks.CHECKS)}: values compared, {total:,} in all"
    return "\n".join([head, "", *(f"| {' | '.join(line)} |" for line in lines)])


if __name__ == "__main__":
    warnings.simplefilter("error")
    print(markdown(rows()))
