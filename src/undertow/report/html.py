"""The page of a run: one offline HTML file without scripts, its plots drawn as inline SVG."""

from __future__ import annotations

import functools

from jinja2 import Environment

from undertow.report import effects, numbers, score_tables, tables
from undertow.report.arms import known_arms
from undertow.report.candidates import shift_panels
from undertow.report.environment import embedded, environment
from undertow.report.figures import whiskers
from undertow.report.glossary import GLOSSARY
from undertow.report.heat import heat_cells
from undertow.report.lines import line_figure
from undertow.report.page import page_of, run_facts
from undertow.report.toml_text import toml_text
from undertow.report.visible import visible
from undertow.results.run import RunDocument
from undertow.results.store import result_json

_SAMPLE_CHARACTERS = 400
_LONG_VERDICT = 260
"""Characters from which the verdict is set in a smaller size."""


def render_html(document: RunDocument) -> str:
    """The document as one self-contained HTML page."""
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
            embedded=embedded(result_json(document)),
        )
    )


@functools.cache
def _environment() -> Environment:
    return environment(
        filters={"sample": lambda text: visible(text, limit=_SAMPLE_CHARACTERS)},
        names={
            "effects": effects,
            "numbers": numbers,
            "tables": tables,
            "score_tables": score_tables,
            "heat_cells": heat_cells,
            "line_figure": line_figure,
        },
    )
