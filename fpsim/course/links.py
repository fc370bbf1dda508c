"""`problems_of`: what is wrong with a folder of pages: links that lead nowhere, resources from elsewhere, their size.

Layer 11. Reads HTML; asks no network.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

__all__ = ["LARGEST", "problems_of"]

#: Bytes of a page: some seconds on a slow line.
LARGEST = 5_000_000
#: Attributes from which a browser loads at once, without being asked.
LOADED = {"src", "srcset", "poster", "data"}
#: Elements whose `href` is loaded too.
LOADING = {"link", "image", "use"}
#: What CSS and scripts load.
FROM_ELSEWHERE = re.compile(
    r"""@import|url\(\s*['"]?(?!data:|#)[^)]*\)|\b(?:fetch|import|importScripts|XMLHttpRequest|WebSocket)\s*\(|https?://(?!www\.w3\.org/)"""
)


class _Reader(HTMLParser):
    """Gathers a page's anchors, links and what it loads."""

    def __init__(self) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.code: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.anchors |= {found[name] for name in ("id", "name") if found.get(name)}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        self.loaded += [value for name, value in found.items() if name in LOADED and value]
        if tag in LOADING and found.get("href"):
            self.loaded.append(found["href"])
        if found.get("style"):
            self.code.append(found["style"])
        self._inside = tag if tag in ("style", "script") and found.get("type") != "application/json" else ""

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.code.append(data)


def problems_of(folder: Path) -> Iterator[str]:
    """Each problem of each page, in a line."""
    pages = {path.name: path for path in sorted(folder.glob("*.html"))}
    readers = {name: _read(path) for name, path in pages.items()}
    for name, path in pages.items():
        reader = readers[name]
        for link in reader.links:
            where, anchor = urldefrag(link)
            if urlsplit(link).scheme in ("http", "https", "mailto"):
                continue
            target = unquote(where) or name
            if not (folder / target).is_file():
                yield f"{name}: {link!r} leads to no file"
            elif anchor and target in readers and not {anchor, unquote(anchor)} & readers[target].anchors:
                yield f"{name}: {link!r} leads to no heading"
        for source in reader.loaded:
            if urlsplit(source).scheme != "data" and not (folder / unquote(urldefrag(source)[0])).is_file():
                yield f"{name}: loads {source[:80]!r}, which the site does not have"
        for code in reader.code:
            for found in FROM_ELSEWHERE.findall(code):
                yield f"{name}: a style or script has {found[:80]!r}"
        size = path.stat().st_size
        if size > LARGEST:
            yield f"{name}: {size:,} bytes, more than {LARGEST:,}"


def _read(path: Path) -> _Reader:
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader
