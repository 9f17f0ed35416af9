"""
A stored result rendered as a page, as text for a terminal, as Markdown, as JSON or as SARIF.

Every renderer is pure: the same document gives the same bytes, and nothing is read but templates and
the pages of checks.
"""

from __future__ import annotations

import importlib

from undertow.errors import UnknownNameError
from undertow.results.diff import DiffDocument
from undertow.results.lineage import LineageDocument
from undertow.results.provenance import GateDocument, VerifyDocument
from undertow.results.scan import ScanDocument
from undertow.results.store import Result, result_json

__all__ = ["CHAIN_FORMATS", "FORMATS", "SCAN_FORMATS", "render"]

FORMATS = ("html", "json", "markdown", "text")
"""Of a run."""

SCAN_FORMATS = (*FORMATS, "sarif")
"""Of a screen, of a lineage and of a diff."""

_VIEWS = ("croissant", "cyclonedx", "hf-card")

CHAIN_FORMATS = (*SCAN_FORMATS, *_VIEWS)
"""Of a verification and a decision; the last three are views for others, which nothing here trusts."""

# Each renderer is imported late: jinja2 and rich would slow down `undertow --help`.
_RUN = {
    "html": "html:render_html",
    "markdown": "markdown:render_markdown",
    "text": "text:render_text",
}
_SCAN = {
    "html": "scan_html:render_scan_html",
    "markdown": "scan_markdown:render_scan_markdown",
    "text": "scan_text:render_scan_text",
    "sarif": "sarif:render_sarif",
}
_LINEAGE = {
    "html": "lineage_html:render_lineage_html",
    "markdown": "lineage_markdown:render_lineage_markdown",
    "text": "lineage_text:render_lineage_text",
    "sarif": "lineage_sarif:render_lineage_sarif",
}
_DIFF = {
    "html": "diff_html:render_diff_html",
    "markdown": "diff_markdown:render_diff_markdown",
    "text": "diff_text:render_diff_text",
    "sarif": "diff_sarif:render_diff_sarif",
}
_CHAIN = {
    "html": "chain_html:render_chain_html",
    "markdown": "chain_markdown:render_chain_markdown",
    "text": "chain_text:render_chain_text",
    "sarif": "chain_sarif:render_chain_sarif",
    "croissant": "croissant:render_croissant",
    "cyclonedx": "cyclonedx:render_cyclonedx",
    "hf-card": "hf_card:render_hf_card",
}


def render(document: Result, format: str) -> str:
    """
    The document in one of its formats: `FORMATS`, `SCAN_FORMATS` for a screen, a lineage or a diff, `CHAIN_FORMATS` for
    a verification or a decision.

    Raises:
        UnknownNameError: if the format is another.
    """
    if format == "json":
        return result_json(document)
    renderers, file = _renderers(document)
    if format not in renderers:
        raise UnknownNameError(
            "format", format, [*renderers, "json"], hint=f"undertow report {file} --format html"
        )
    if isinstance(document, GateDocument) and format in _VIEWS:
        document = document.verification
    module, _, name = renderers[format].partition(":")
    rendered: str = getattr(importlib.import_module(f"{__name__}.{module}"), name)(document)
    return rendered


def _renderers(document: Result) -> tuple[dict[str, str], str]:
    """(renderer of each format but JSON, what the document is called on the command line)."""
    if isinstance(document, ScanDocument):
        return _SCAN, "SCAN.json"
    if isinstance(document, LineageDocument):
        return _LINEAGE, "LINEAGE.json"
    if isinstance(document, DiffDocument):
        return _DIFF, "DIFF.json"
    if isinstance(document, VerifyDocument | GateDocument):
        return _CHAIN, "GATE.json"
    return _RUN, "RUN/run.json"
