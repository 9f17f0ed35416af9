"""
The page of a verification or a decision: one offline HTML file without scripts, its chain drawn as inline SVG.
"""

from __future__ import annotations

import functools

from jinja2 import Environment

from undertow.report import chain_figure as figure
from undertow.report import chain_words, tables
from undertow.report.environment import embedded, environment
from undertow.report.glossary import CHAIN_GLOSSARY
from undertow.results.provenance import GateDocument, VerifyDocument
from undertow.results.store import result_json

_LONG_CONCLUSION = 200
"""Characters from which the conclusion is set in a smaller size."""


def render_chain_html(document: VerifyDocument | GateDocument) -> str:
    """The document as one self-contained HTML page."""
    checked = chain_words.checked(document)
    return (
        _environment()
        .get_template("chain.html.j2")
        .render(
            document=document,
            gate=document if isinstance(document, GateDocument) else None,
            checked=checked,
            verdict=chain_words.verdict(document),
            long_conclusion=len(document.conclusion) > _LONG_CONCLUSION,
            drawing=figure.chain_figure(checked),
            glossary=CHAIN_GLOSSARY,
            embedded=embedded(result_json(document)),
        )
    )


@functools.cache
def _environment() -> Environment:
    names = {"words": chain_words, "tables": tables, "figure": figure}
    return environment(filters={}, names=names)
