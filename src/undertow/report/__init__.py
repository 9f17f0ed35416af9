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
from undertow.results.scan import ScanDocument
from undertow.results.store import Result, diff_json, lineage_json, run_json, scan_json

__all__ = ["FORMATS", "SCAN_FORMATS", "render"]

FORMATS = ("html", "json", "markdown", "text")
"""Of a run."""

SCAN_FORMATS = (*FORMATS, "sarif")
"""Of a screen, of a lineage and of a diff."""

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


def render(document: Result, format: str) -> str:
    """
    The document in one of its formats: `FORMATS`, or `SCAN_FORMATS` for a screen, a lineage or a diff.

    Raises:
        UnknownNameError: if the format is another.
    """
    if format == "json":
        return _json(document)
    if isinstance(document, ScanDocument):
        renderers, file = _SCAN, "SCAN.json"
    elif isinstance(document, LineageDocument):
        renderers, file = _LINEAGE, "LINEAGE.json"
    elif isinstance(document, DiffDocument):
        renderers, file = _DIFF, "DIFF.json"
    else:
        renderers, file = _RUN, "RUN/run.json"
    if format not in renderers:
        raise UnknownNameError(
            "format", format, [*renderers, "json"], hint=f"undertow report {file} --format html"
        )
    module, _, name = renderers[format].partition(":")
    rendered: str = getattr(importlib.import_module(f"{__name__}.{module}"), name)(document)
    return rendered


def _json(document: Result) -> str:
    if isinstance(document, ScanDocument):
        return scan_json(document)
    if isinstance(document, LineageDocument):
        return lineage_json(document)
    if isinstance(document, DiffDocument):
        return diff_json(document)
    return run_json(document)
