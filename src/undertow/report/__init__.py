"""
A stored result rendered as a page, as text for a terminal, as Markdown, as JSON or as SARIF.

Every renderer is pure: the same document gives the same bytes, and nothing is read but templates and
the pages of checks.
"""

from __future__ import annotations

from undertow.errors import UnknownNameError
from undertow.results.provenance import GateDocument, VerifyDocument
from undertow.results.run import RunDocument
from undertow.results.scan import ScanDocument
from undertow.results.store import Result, result_json, run_json, scan_json

__all__ = ["CHAIN_FORMATS", "FORMATS", "SCAN_FORMATS", "render"]

FORMATS = ("html", "json", "markdown", "text")
"""Of a run."""

SCAN_FORMATS = (*FORMATS, "sarif")
"""Of a screen."""


CHAIN_FORMATS = (*SCAN_FORMATS, "croissant", "cyclonedx", "hf-card")
"""Of a verification and a decision; the last three are views for others, which nothing here trusts."""


def render(document: Result, format: str) -> str:
    """
    The document in one of its formats: `FORMATS`, `SCAN_FORMATS` for a screen, `CHAIN_FORMATS` for a decision.

    Raises:
        UnknownNameError: if the format is another.
    """
    if isinstance(document, VerifyDocument | GateDocument):
        return _chain(document, format)
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


def _chain(document: VerifyDocument | GateDocument, format: str) -> str:
    if format == "html":
        from undertow.report.chain_html import render_chain_html

        return render_chain_html(document)
    if format == "markdown":
        from undertow.report.chain_markdown import render_chain_markdown

        return render_chain_markdown(document)
    if format == "text":
        from undertow.report.chain_text import render_chain_text

        return render_chain_text(document)
    if format == "json":
        return result_json(document)
    if format == "sarif":
        from undertow.report.chain_sarif import render_chain_sarif

        return render_chain_sarif(document)
    if format in ("croissant", "cyclonedx", "hf-card"):
        return _published(document, format)
    raise UnknownNameError(
        "format", format, CHAIN_FORMATS, hint="undertow report GATE.json --format html"
    )


def _published(document: VerifyDocument | GateDocument, format: str) -> str:
    checked = document.verification if isinstance(document, GateDocument) else document
    if format == "croissant":
        from undertow.report.croissant import render_croissant

        return render_croissant(checked)
    if format == "cyclonedx":
        from undertow.report.cyclonedx import render_cyclonedx

        return render_cyclonedx(checked)
    from undertow.report.hf_card import render_hf_card

    return render_hf_card(checked)
