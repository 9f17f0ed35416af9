"""
A stored result rendered as a page, as text for a terminal, as Markdown, as JSON or as SARIF.

Every renderer is pure: the same document gives the same bytes, and nothing is read but templates and
the pages of checks.
"""

from __future__ import annotations

from undertow.errors import UnknownNameError
from undertow.results.run import RunDocument
from undertow.results.scan import ScanDocument
from undertow.results.store import run_json, scan_json

__all__ = ["FORMATS", "SCAN_FORMATS", "render"]

FORMATS = ("html", "json", "markdown", "text")
"""Of a run."""

SCAN_FORMATS = (*FORMATS, "sarif")
"""Of a screen."""


def render(document: RunDocument | ScanDocument, format: str) -> str:
    """
    The document in one of its formats: `FORMATS`, or `SCAN_FORMATS` for a screen.

    Raises:
        UnknownNameError: if the format is another.
    """
    if isinstance(document, ScanDocument):
        return _scan(document, format)
    return _run(document, format)


# Each renderer is imported late: jinja2 and rich would slow down `undertow --help`.


def _run(document: RunDocument, format: str) -> str:
    if format == "html":
        from undertow.report.html import render_html

        return render_html(document)
    if format == "markdown":
        from undertow.report.markdown import render_markdown

        return render_markdown(document)
    if format == "text":
        from undertow.report.text import render_text

        return render_text(document)
    if format == "json":
        return run_json(document)
    raise UnknownNameError(
        "format", format, FORMATS, hint="undertow report RUN/run.json --format html"
    )


def _scan(document: ScanDocument, format: str) -> str:
    if format == "html":
        from undertow.report.scan_html import render_scan_html

        return render_scan_html(document)
    if format == "markdown":
        from undertow.report.scan_markdown import render_scan_markdown

        return render_scan_markdown(document)
    if format == "text":
        from undertow.report.scan_text import render_scan_text

        return render_scan_text(document)
    if format == "json":
        return scan_json(document)
    if format == "sarif":
        from undertow.report.sarif import render_sarif

        return render_sarif(document)
    raise UnknownNameError(
        "format", format, SCAN_FORMATS, hint="undertow report SCAN.json --format html"
    )
