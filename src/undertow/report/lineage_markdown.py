"""A lineage as GitHub-flavoured Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from undertow.report import lineage_words, tables
from undertow.report.markdown import code, escaped, markdown_table
from undertow.results.lineage import LineageDocument


def render_lineage_markdown(document: LineageDocument) -> str:
    """The document as Markdown in which no text from the models can act as markup."""
    return "\n\n".join(_blocks(document)) + "\n"


def _blocks(document: LineageDocument) -> Iterator[str]:
    yield f"# undertow lineage: {lineage_words.BADGES[document.verdict]}"
    yield f"**{escaped(document.conclusion)}**"
    yield escaped(document.advice)
    yield f"Student: {code(document.student)}."
    yield markdown_table(lineage_words.teachers_table(document))
    for one in document.teachers:
        if said := lineage_words.power(one):
            yield f"{code(one.teacher)}: {escaped(said)}"
    yield "## What was measured"
    yield escaped(lineage_words.error_rate(document))
    yield markdown_table(lineage_words.measurements_table(document))
    yield markdown_table(lineage_words.details_table(document), "Further numbers")
    yield "## What this cannot show"
    yield "\n".join(f"- {escaped(limit)}" for limit in document.limits)
    yield "## How to reproduce it"
    yield code(document.command)
    yield markdown_table(tables.facts_table("Lineage", lineage_words.facts(document)))
    yield "## Words"
    yield "\n".join(f"- **{word}**: {meaning}" for word, meaning in lineage_words.GLOSSARY.items())
