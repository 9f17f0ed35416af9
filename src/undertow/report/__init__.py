"""
A stored result rendered as a page, as text for a terminal, as Markdown, as JSON or as SARIF.

A document becomes a page of blocks by one function, and any page becomes text by one writer a format. All of it is
pure: the same document gives the same bytes, and nothing is read but templates and the pages of checks.

A new document is a class in `results/`, one page function and its entry in `_KINDS` (and a form in `results/store.py`,
once it is read back from a file); a new format is one writer and its entry in `_WRITERS`.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from undertow.errors import UnknownNameError
from undertow.report.chain_page import chain_page, verification
from undertow.report.diff_page import diff_page
from undertow.report.foreign_views import render_croissant, render_cyclonedx, render_hf_card
from undertow.report.lineage_page import lineage_page
from undertow.report.markdown import render_markdown
from undertow.report.page import Page
from undertow.report.run_decisions import RunBeside
from undertow.report.run_page import run_page
from undertow.report.sarif import render_sarif
from undertow.report.scan_page import scan_page
from undertow.results.model_documents import DiffDocument, LineageDocument
from undertow.results.provenance_documents import GateDocument, VerifyDocument
from undertow.results.run_document import RunDocument
from undertow.results.scan_document import AnyScan, FormerScanDocument, ScanDocument
from undertow.results.store import result_json

__all__ = ["CHAIN_FORMATS", "FORMATS", "SCAN_FORMATS", "page_of", "render"]


def _html(page: Page) -> str:
    # jinja2 and rich are slow to import: only the writer that needs one pays for it.
    from undertow.report.html import render_html

    return render_html(page)


def _text(page: Page) -> str:
    from undertow.report.text import render_text

    return render_text(page)


_WRITERS: dict[str, Callable[[Page], str]] = {
    "html": _html,
    "markdown": render_markdown,
    "text": _text,
    "sarif": render_sarif,
}

_VIEWS: dict[str, Callable[[VerifyDocument], str]] = {
    "croissant": render_croissant,
    "cyclonedx": render_cyclonedx,
    "hf-card": render_hf_card,
}
"""Of a verification, for others; nothing here trusts them."""

FORMATS = ("html", "json", "markdown", "text")
"""Of a run."""

SCAN_FORMATS = (*FORMATS, "sarif")
"""Of a screen, of a lineage and of a diff."""

CHAIN_FORMATS = (*SCAN_FORMATS, *_VIEWS)
"""Of a verification and a decision."""


@dataclass(frozen=True)
class _Kind:
    page: Callable[[Any], Page]
    formats: tuple[str, ...]


_KINDS: dict[type, _Kind] = {
    RunDocument: _Kind(run_page, FORMATS),
    ScanDocument: _Kind(scan_page, SCAN_FORMATS),
    FormerScanDocument: _Kind(scan_page, SCAN_FORMATS),
    LineageDocument: _Kind(lineage_page, SCAN_FORMATS),
    DiffDocument: _Kind(diff_page, SCAN_FORMATS),
    VerifyDocument: _Kind(chain_page, CHAIN_FORMATS),
    GateDocument: _Kind(chain_page, CHAIN_FORMATS),
}


def page_of(document: BaseModel) -> Page:
    """The document as blocks, which every writer writes."""
    page: Page = _KINDS[type(document)].page(document)
    return page


def render(
    document: BaseModel,
    format: str,
    file: str = "RESULT.json",
    scans: Sequence[AnyScan] = (),
    gates: Sequence[GateDocument] = (),
) -> str:
    """
    The document in one of its formats: `FORMATS`, `SCAN_FORMATS` for a screen, a lineage or a diff, `CHAIN_FORMATS` for
    a verification or a decision. `file` is what the command line calls the document; `scans` and `gates` are those
    of a run's rows, which its pages show and its JSON leaves in their own files.

    Raises:
        UnknownNameError: if the format is another.
    """
    kind = _KINDS[type(document)]
    if format not in kind.formats:
        hint = f"undertow report {shlex.quote(file)} --format html"
        raise UnknownNameError("format", format, kind.formats, hint=hint)
    if format == "json":
        return result_json(document)
    if isinstance(document, VerifyDocument | GateDocument) and format in _VIEWS:
        return _VIEWS[format](verification(document))
    if isinstance(document, RunDocument):
        return _WRITERS[format](run_page(document, RunBeside(scans, gates)))
    return _WRITERS[format](kind.page(document))
