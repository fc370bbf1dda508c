"""`figures`: run experiments, hold their numbers against the literature, write pictures and results files.

Layer 10. A figure is written whether its claims hold or not; who calls is told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fpsim.errors import ArgumentError, expected, nearest
from fpsim.experiments.results import write_results
from fpsim.gallery.canvas import picture
from fpsim.gallery.catalogue import EXHIBITS, exhibit
from fpsim.gallery.exhibit import Claim, Exhibit
from fpsim.gallery.stamp import results_file, stamp, stamped
from fpsim.plots.style import THEMES

__all__ = ["Made", "figures", "made"]


@dataclass(frozen=True)
class Made:
    """One figure that was made.

    Attributes
    ----------
    name : str
    claims : list of Claim
        The numbers it must hit, and whether it does.
    picture, results : Path
        The PNG, and the JSON beside it.
    digest : str
        SHA-256 of the numbers.
    seconds : float
    """

    name: str
    claims: list[Claim]
    picture: Path
    results: Path
    digest: str
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether every number is hit."""
        return all(claim.holds for claim in self.claims)

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        paths = {"picture": str(self.picture), "results": str(self.results)}
        return {**asdict(self), **paths, "holds": self.holds}

    def __str__(self) -> str:
        lines = [f"{self.name} ({self.seconds:.1f} s): {self.picture}, {self.results}", *map(str, self.claims)]
        return "\n  ".join(lines)


def figures(
    *names: str, out: Any = "figures", theme: str = "light", each: Callable[[Made], None] | None = None
) -> list[Made]:
    """Make figures of the gallery, each a PNG with a JSON file beside it.

    Parameters
    ----------
    *names : str
        ``harmonic swamping error_growth ...``; all unless given.
    out : str or Path
        The folder.
    theme : str
        ``light``, or ``dark``, whose files end in ``_dark``.
    each : callable, optional
        Called with each `Made` as soon as it is written.

    Returns
    -------
    list of Made

    Raises
    ------
    ArgumentError
        An unknown name or theme, before anything is computed.
    ResultsError
        A folder that cannot be written, before anything is computed.

    Notes
    -----
    Precision: every sum has a fixed order, so the numbers are the same on every machine, and the files the same bytes
    in one environment.

    Examples
    --------
    >>> import tempfile, fpsim as fp
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (made,) = fp.figures("tensor_core", out=folder)
    ...     print(made.claims[0], fp.verify(made.picture).confirmed)
    ok   1 + four times 2^-24 is 1: 1.0 True
    """
    chosen = [exhibit(name) for name in dict.fromkeys(names or EXHIBITS)]
    if theme not in THEMES:
        raise ArgumentError(
            expected("figures", f"a theme of {', '.join(THEMES)}", f"theme={theme!r}", f"use {nearest(theme, THEMES)}")
        )
    folder = Path(out)
    probe = folder / ".fpsim-probe"
    write_results(probe, b"")
    probe.unlink()
    done = []
    for one in chosen:
        done.append(made(one, folder, theme))
        if each is not None:
            each(done[-1])
    return done


def made(one: Exhibit, folder: Path, theme: str = "light") -> Made:
    """Compute, check, draw and write one exhibit."""
    started = time.perf_counter()
    numbers = one.numbers()
    claims = list(one.check(numbers))
    mark = stamp(one, numbers, theme)
    stem = one.name if theme == "light" else f"{one.name}_{theme}"
    png, results = folder / f"{stem}.png", folder / f"{stem}.json"
    write_results(results, results_file(mark, numbers, _plain(claims)))
    write_results(png, stamped(picture(one, numbers, theme), mark))
    return Made(one.name, claims, png, results, mark["digest"], time.perf_counter() - started)


def _plain(claims: Iterable[Claim]) -> list[dict[str, Any]]:
    return [asdict(claim) for claim in claims]
