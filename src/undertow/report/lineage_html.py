"""The page of a lineage: one offline HTML file without scripts, its figure drawn as inline SVG."""

from __future__ import annotations

import functools

from jinja2 import Environment

from undertow.report import lineage_words, numbers, tables
from undertow.report.environment import embedded, environment
from undertow.report.lineage_figure import fit_figure
from undertow.results.lineage import LineageDocument
from undertow.results.store import result_json


def render_lineage_html(document: LineageDocument) -> str:
    """The document as one self-contained HTML page."""
    template = _environment().get_template("lineage.html.j2")
    return template.render(
        document=document,
        figure=fit_figure(document),
        embedded=embedded(result_json(document)),
    )


@functools.cache
def _environment() -> Environment:
    names = {"numbers": numbers, "tables": tables, "words": lineage_words}
    return environment(filters={}, names=names)
