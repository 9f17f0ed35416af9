"""
A stored run rendered as a page, as text for a terminal, as Markdown or as JSON.

Every renderer is pure: the same document gives the same bytes, and nothing is read but templates.
"""

from __future__ import annotations

from undertow.errors import UnknownNameError
from undertow.results.run import RunDocument
from undertow.results.store import run_json

__all__ = ["FORMATS", "render"]

FORMATS = ("html", "json", "markdown", "text")


def render(document: RunDocument, format: str) -> str:
    """
    The document in one of `FORMATS`.

    Raises:
        UnknownNameError: if the format is another.
    """
    # Each renderer is imported late: jinja2 and rich would slow down `undertow --help`.
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
