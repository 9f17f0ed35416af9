"""
The page of a run: one offline HTML file without scripts, its plots drawn as inline SVG.
"""

from __future__ import annotations

import functools
import json
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from undertow.report import effects, numbers, score_tables, tables
from undertow.report.arms import known_arms
from undertow.report.candidates import shift_panels
from undertow.report.figures import whiskers
from undertow.report.glossary import GLOSSARY
from undertow.report.heat import heat_cells
from undertow.report.lines import line_figure
from undertow.report.page import page_of, run_facts
from undertow.report.toml_text import toml_text
from undertow.report.visible import visible
from undertow.results.run import RunDocument
from undertow.results.store import run_json

_SAMPLE_CHARACTERS = 400
_LONG_VERDICT = 260
"""Characters from which the verdict is set in a smaller size."""


def render_html(document: RunDocument) -> str:
    """
    The document as one self-contained HTML page.
    """
    return (
        _environment()
        .get_template("run.html.j2")
        .render(
            document=document,
            page=page_of(document),
            long_verdict=len(document.conclusion) > _LONG_VERDICT,
            arm_names=known_arms(document),
            panels=shift_panels(document),
            whiskers=whiskers(document.comparisons),
            facts=tables.facts_table("Run", run_facts(document)),
            config_lines=toml_text(document.config).split("\n"),
            glossary=GLOSSARY,
            embedded=_embedded(document),
        )
    )


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("undertow.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["sample"] = lambda text: visible(text, limit=_SAMPLE_CHARACTERS)
    environment.globals.update(
        effects=effects,
        numbers=numbers,
        tables=tables,
        score_tables=score_tables,
        heat_cells=heat_cells,
        line_figure=line_figure,
    )
    return environment


def _shown(value: Any) -> Any:
    """
    Every value that a template writes, so that no text can be forgotten; markup is ours.
    """
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return visible(value)


def _embedded(document: RunDocument) -> Markup:
    """
    The document as JSON that cannot end its script element: pure ASCII without `<`, `>` and `&`.
    """
    text = json.dumps(json.loads(run_json(document)), separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
