"""`build`: the notebooks, carried out, as a static site: pages that need no server, no kernel and no network.

Layer 11. A notebook runs in a kernel of its own, with nbclient; nbconvert makes HTML of it; `links` checks the rest.
"""

from __future__ import annotations

import html
import os
import re
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import fpsim.widgets.panel as panel
from fpsim.course.copies import copies
from fpsim.course.links import problems_of
from fpsim.errors import ArgumentError, CourseError, MissingLibraryError, expected

__all__ = ["Built", "Page", "build", "page"]

ASSETS = Path(__file__).parent / "assets"
#: A formula in a markdown cell, or code, where a dollar is a dollar.
FORMULA = re.compile(r"(```.*?```|`[^`]*`)|\$\$(.+?)\$\$|\$([^$\n]+)\$", re.DOTALL)


@dataclass(frozen=True)
class Page:
    """One notebook of the site: its name, title and question, and how long it ran."""

    name: str
    title: str
    question: str
    seconds: float

    @property
    def file(self) -> str:
        """Where it stands in the site."""
        return f"{self.name}.html"


@dataclass(frozen=True)
class Built:
    """What was built, and what is wrong with it: broken links, resources from elsewhere, pages too large."""

    folder: Path
    pages: tuple[Page, ...]
    problems: tuple[str, ...]


def build(
    site: str | Path,
    notebooks: str | Path = "notebooks",
    only: Sequence[str] = (),
    *,
    reader: str = "student",
    seconds: int = 300,
    progress: Callable[[Page], Any] = lambda _: None,
) -> Built:
    """Run the notebooks and write ``site/index.html`` and a page for each.

    Parameters
    ----------
    site : str or Path
        Folder that is written to; made if need be.
    notebooks : str or Path
        Folder of the jupytext sources, ``NN_name.py``.
    only : sequence of str
        Numbers or names of the notebooks (``"03"``): all unless given. The index has these alone.
    reader : str
        ``student``, or ``teacher``: with solutions.
    seconds : int
        The limit of one cell.
    progress : callable
        Called with each page when it is written.

    Raises
    ------
    ArgumentError
        No such notebooks.
    CourseError
        A cell that failed.
    MissingLibraryError
        Without jupytext, nbclient or nbconvert.
    """
    sources = _sources(Path(notebooks), only)
    for library in ("jupytext", "nbclient", "nbconvert"):
        _require(library)
    if reader not in ("student", "teacher"):
        remedy = "choose one of them"
        raise ArgumentError(expected("course build", "a reader of student, teacher", repr(reader), remedy))
    folder = Path(site)
    folder.mkdir(parents=True, exist_ok=True)
    texts = {source.stem: copies(source)[reader] for source in sources}
    pages: list[Page] = []
    for place, (name, text) in enumerate(texts.items()):
        begun = time.perf_counter()
        cells = _executed(name, text, seconds)
        made = Page(name, *_heading(name, cells), time.perf_counter() - begun)
        names = list(texts)
        around = (names[place - 1] if place else None, names[place + 1] if place + 1 < len(names) else None)
        (folder / made.file).write_text(page(made.title, _body(cells, names), around), encoding="utf-8")
        pages.append(made)
        progress(made)
    (folder / "index.html").write_text(_index(pages), encoding="utf-8")
    return Built(folder, tuple(pages), tuple(problems_of(folder)))


def _sources(folder: Path, only: Sequence[str]) -> list[Path]:
    found = sorted(folder.glob("[0-9][0-9]_*.py"))
    chosen = [source for source in found if not only or any(source.stem.startswith(name) for name in only)]
    missing = [name for name in only if not any(source.stem.startswith(name) for source in found)]
    if missing or not chosen:
        got = f"{', '.join(missing) or 'none'} in {str(folder)!r}"
        remedy = "name the folder of a clone of the project with --notebooks"
        raise ArgumentError(expected("course build", "notebooks such as 00_tour.py", got, remedy))
    return chosen


def _require(library: str) -> Any:
    from importlib import import_module

    try:
        return import_module(library)
    except ImportError:
        remedy = "pip install fpsim-lab[notebooks]"
        raise MissingLibraryError(
            expected("course build", f"{library} to be installed", "no such module", remedy)
        ) from None


# One notebook --------------------------------------------------------------------------------------------------------


def _executed(name: str, text: str, seconds: int) -> Any:
    """The notebook with its outputs; controls show themselves with all their frames."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    notebook = nbformat.reads(text, as_version=4)
    here = str(Path(panel.__file__).parents[2])
    paths = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {
        **os.environ,
        panel.ENVIRONMENT: "frames",
        "PYTHONPATH": paths,
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        quiet = ["--IPKernelApp.log_level=ERROR"]
        client = NotebookClient(
            notebook,
            timeout=seconds,
            kernel_name="python3",
            resources=resources,
            extra_arguments=quiet,
            coalesce_streams=True,
        )
        try:
            client.execute(env=environment)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            plain = re.sub(r"\x1b\[[\d;]*m", "", str(error)).strip().splitlines()
            raise CourseError(f"{name}: a cell failed: {plain[-1] if plain else type(error).__name__}") from error
    return notebook


def _heading(name: str, notebook: Any) -> tuple[str, str]:
    """Title and question, from the first markdown cell."""
    first = next((cell.source for cell in notebook.cells if cell.cell_type == "markdown"), "")
    title = re.search(r"^# +(.+)$", first, re.MULTILINE)
    question = re.search(r"\*\*Question\.\*\*(.+?)(?:\n\s*\n|\Z)", first, re.DOTALL)
    return (title[1].strip() if title else name), (" ".join(question[1].split()) if question else "")


def _body(notebook: Any, names: Sequence[str]) -> str:
    """The cells as HTML."""
    from nbconvert import HTMLExporter

    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = FORMULA.sub(_formula, cell.source)
    notebook.metadata.pop("widgets", None)
    body, _ = HTMLExporter(template_name="basic").from_notebook_node(notebook)
    body = re.sub(r"<pre>(?=ex\d\d\.\d+: )", '<pre class="hint">', body)  # what `check` says: prose, not a table
    return _described(_linked(body, names))


def _formula(found: re.Match[str]) -> str:
    """A formula as a picture, with its source to be read aloud; matplotlib sets it."""
    if found[1] is not None:
        return found[1]
    from io import BytesIO

    from matplotlib.font_manager import FontProperties
    from matplotlib.mathtext import math_to_image

    source = " ".join((found[2] or found[3]).split())
    drawn = BytesIO()
    try:
        size = FontProperties(size=14 if found[2] else 12, math_fontfamily="dejavuserif")
        math_to_image(f"${source}$", drawn, prop=size, format="svg", dpi=72)
    except ValueError as error:
        raise CourseError(f"a formula that matplotlib cannot set: {source!r}: {str(error).splitlines()[-1]}") from None
    data = b64encode(drawn.getvalue()).decode()
    picture = f'<img class="formula" alt="{html.escape(source)}" src="data:image/svg+xml;base64,{data}">'
    return f"\n\n<p>{picture}</p>\n\n" if found[2] else picture


def _linked(body: str, names: Sequence[str]) -> str:
    """Links between notebooks lead to their pages; so do notebooks that are named in the text."""
    for name in names:
        body = re.sub(rf'href="(?:\./)?{re.escape(name)}\.(?:ipynb|py)(#[^"]*)?"', rf'href="{name}.html\1"', body)
        body = body.replace(f"<code>{name}</code>", f'<a href="{name}.html"><code>{name}</code></a>')
    return re.sub(r"(<a [^>]*>)<a [^>]*>(<code>[^<]*</code>)</a></a>", r"\1\2</a>", body)


def _described(body: str) -> str:
    """A figure is described by the heading that it stands under."""
    heading = ""

    def describe(found: re.Match[str]) -> str:
        nonlocal heading
        if found[1] is not None:
            heading = html.unescape(re.sub(r"<[^>]+>|¶", "", found[2])).strip()
            return found[0]
        return f'alt="Figure: {html.escape(heading)}"'

    none = r'alt="No description has been provided for this image"'
    return re.sub(rf"(<h[1-4][^>]*>)(.*?)</h[1-4]>|{none}", describe, body, flags=re.DOTALL)


# Pages ---------------------------------------------------------------------------------------------------------------


def page(title: str, body: str, around: tuple[str | None, str | None] = (None, None)) -> str:
    """A whole page: style, scripts and links to the pages before and after it."""
    from pygments.formatters import HtmlFormatter

    before, after = around
    links = ['<a href="index.html">The course</a>']
    links += [f'<a rel="prev" href="{before}.html">← {html.escape(before)}</a>'] if before else []
    links += [f'<a rel="next" href="{after}.html">{html.escape(after)} →</a>'] if after else []
    style = [
        _asset("page.css"),
        HtmlFormatter(style="default").get_style_defs(".highlight"),
        panel.asset("widgets.css"),
    ]
    controls = "data-fpsim=" in body
    script = f"<script>(() => {{\n{panel.scripts()}\n}})();</script>" if controls else ""
    template = Template(_asset("page.html"))
    return template.substitute(
        title=html.escape(title), style="\n".join(style), links="\n".join(links), body=body, script=script
    )


def _index(pages: Sequence[Page]) -> str:
    items = "\n".join(
        f'<li><a href="{made.file}">{html.escape(made.title)}</a><p>{html.escape(made.question)}</p></li>'
        for made in pages
    )
    body = (
        "<h1>Mixed precision on a laptop</h1>\n"
        "<p>The notebooks of the fpsim course, carried out. Controls work on these pages as they are: without Python, "
        "without a network, on a phone. To change the code, open the notebooks themselves in Jupyter: "
        "<code>pip install fpsim-lab[notebooks]</code>.</p>\n"
        f'<ol class="course">\n{items}\n</ol>'
    )
    return page("fpsim: mixed precision on a laptop", body).replace('<a href="index.html">The course</a>', "", 2)


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")
