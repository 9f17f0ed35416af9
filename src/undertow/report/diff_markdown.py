"""A diff as GitHub-flavoured Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from undertow.report import diff_words, tables
from undertow.report.markdown import code, escaped, markdown_table
from undertow.results.diff import DiffDocument


def render_diff_markdown(document: DiffDocument) -> str:
    """The document as Markdown in which no text from models or traits can act as markup."""
    return "\n\n".join(_blocks(document)) + "\n"


def _blocks(document: DiffDocument) -> Iterator[str]:
    yield f"# undertow diff: {document.verdict.replace('_', ' ')}"
    yield f"**{escaped(document.conclusion)}**"
    yield f"Base: {code(document.base)}; tuned: {', '.join(map(code, document.tuned))}."
    yield escaped(diff_words.INFERENCE[document.inference])
    if document.changes:
        yield markdown_table(diff_words.changes_table(document))
    yield "## What nobody named"
    yield escaped(document.searched)
    if document.moved:
        yield markdown_table(diff_words.moved_table(document.moved))
    yield "## Evidence"
    yield markdown_table(diff_words.measurements_table(document))
    if said := diff_words.spelled(document):
        yield f"The shift of activations spells: {escaped(said)}"
    yield "## What this cannot show"
    yield "\n".join(f"- {escaped(limit)}" for limit in document.limits)
    yield "## How to reproduce it"
    yield code(document.command)
    yield markdown_table(tables.facts_table("Diff", diff_words.facts(document)))
    yield "## Words"
    yield "\n".join(f"- **{word}**: {meaning}" for word, meaning in diff_words.GLOSSARY.items())
