"""The page of a screen: one offline HTML file without scripts, its figure drawn as inline SVG."""

from __future__ import annotations

import functools

from jinja2 import Environment

from undertow.report import numbers, scan_tables, scan_words, tables
from undertow.report.environment import embedded, environment
from undertow.report.glossary import SCAN_GLOSSARY
from undertow.report.scan_forest import in_order
from undertow.report.scan_page import scan_page
from undertow.report.toml_text import toml_text
from undertow.results.scan import ScanDocument
from undertow.results.store import result_json

_LONG_CONCLUSION = 260
"""Characters from which the conclusion is set in a smaller size."""


def render_scan_html(document: ScanDocument) -> str:
    """The document as one self-contained HTML page."""
    template = _environment().get_template("scan.html.j2")
    return template.render(
        document=document,
        page=scan_page(document),
        long_conclusion=len(document.conclusion) > _LONG_CONCLUSION,
        plan_lines=toml_text(document.plan).split("\n"),
        config_lines=toml_text(document.config).split("\n"),
        glossary=SCAN_GLOSSARY,
        embedded=embedded(result_json(document)),
    )


@functools.cache
def _environment() -> Environment:
    names = {
        "numbers": numbers,
        "tables": tables,
        "scan_tables": scan_tables,
        "words": scan_words,
        "in_order": in_order,
    }
    return environment(filters={}, names=names)
