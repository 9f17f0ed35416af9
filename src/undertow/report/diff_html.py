"""The page of a diff: one offline HTML file without scripts, its figure drawn as inline SVG."""

from __future__ import annotations

import functools

from jinja2 import Environment

from undertow.report import diff_words, numbers, tables
from undertow.report.diff_figure import change_figure
from undertow.report.environment import embedded, environment
from undertow.results.diff import DiffDocument
from undertow.results.store import result_json


def render_diff_html(document: DiffDocument) -> str:
    """The document as one self-contained HTML page."""
    template = _environment().get_template("diff.html.j2")
    return template.render(
        document=document,
        figure=change_figure(document),
        embedded=embedded(result_json(document)),
    )


@functools.cache
def _environment() -> Environment:
    names = {"numbers": numbers, "tables": tables, "words": diff_words}
    return environment(filters={}, names=names)
