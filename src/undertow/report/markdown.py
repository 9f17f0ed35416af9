"""A run as GitHub-flavoured Markdown, for a pull request or a notebook."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from undertow.report import numbers, score_tables, tables
from undertow.report.candidates import shift_panels
from undertow.report.glossary import GLOSSARY
from undertow.report.page import Page, page_of, run_facts
from undertow.report.story import Fragment
from undertow.report.table import Table
from undertow.report.toml_text import toml_text
from undertow.report.visible import visible
from undertow.results.run import Dataset, RunDocument

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~#$&!])")
_LINK = re.compile(r"(?i)(?<=:)//|(?<=www)\.|@")
_SAMPLE_CHARACTERS = 400


def render_markdown(document: RunDocument) -> str:
    """The document as Markdown in which no text from the data can act as markup."""
    return "\n\n".join(_blocks(document, page_of(document))) + "\n"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is: no emphasis, HTML, table cell, link or mention."""
    plain = _SPECIAL.sub(r"\\\1", visible(text))
    return _LINK.sub(lambda found: "".join(f"&#{ord(sign)};" for sign in found[0]), plain)


def code(text: str, *, cell: bool = False) -> str:
    """
    Text as a code span, fenced by more backticks than it holds.

    Args:
        cell: whether it stands in a table, where a bar has to be escaped even in code.
    """
    shown = visible(text, limit=_SAMPLE_CHARACTERS)
    shown = shown.replace("|", "\\|") if cell else shown
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    space = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{space}{shown}{space}{fence}" if shown.strip() else "(nothing)"


def markdown_table(table: Table, caption: str = "") -> str:
    """A table, below its caption in bold if it has one."""
    marks = ("---:" if index in table.numeric else "---" for index in range(len(table.columns)))
    lines = [f"**{escaped(caption)}**", ""] if caption else []
    lines += [_row(map(escaped, table.columns)), _row(marks)]
    lines += [_row(map(escaped, row)) for row in table.rows]
    return "\n".join(lines)


def _blocks(document: RunDocument, page: Page) -> Iterator[str]:
    yield f"# {escaped(document.title)}"
    yield f"**{escaped(document.conclusion) or numbers.NOTHING}**"
    yield escaped(document.question)
    if page.figure:
        yield markdown_table(tables.figure_table(page.figure), page.figure.label)
    if page.story:
        sentences = ("".join(map(_fragment, sentence)) for sentence in page.story)
        yield " ".join(sentences)
    for column in page.samples:
        yield f"**{escaped(column.title)}**"
        yield "\n".join(f"- {code(completion)}" for completion in column.completions)
    yield from _measured(document)
    yield from _made(document)
    if document.notes:
        yield "## The doctor’s notes"
        yield "\n".join(
            f"- **{note.level}** {escaped(f'{note.subject}: ' if note.subject else '')}"
            f"{escaped(note.message)} ({code(note.id)})"
            for note in document.notes
        )
    if document.limits:
        yield "## What this cannot show"
        yield "\n".join(f"- {escaped(limit)}" for limit in document.limits)
    yield from _reproduce(document)
    yield "## Words"
    yield "\n".join(f"- **{word}**: {meaning}" for word, meaning in GLOSSARY.items())


def _measured(document: RunDocument) -> Iterator[str]:
    if document.comparisons:
        yield "## Comparisons"
        yield markdown_table(tables.comparisons_table(document.comparisons))
    for matrix in document.matrices:
        yield f"## {escaped(matrix.name)}"
        yield markdown_table(
            tables.matrix_table(matrix), f"{matrix.caption} Unit: {numbers.unit_name(matrix.unit)}."
        )
    for curves in document.curves:
        yield f"## {escaped(curves.name)}"
        yield markdown_table(tables.curves_table(curves), f"{curves.caption} {curves.y_label}.")
    if document.arms:
        yield "## Every run"
        yield markdown_table(tables.runs_table(document.arms))
        yield markdown_table(tables.origins_table(document.arms), "What each run was made from")
    for panel in shift_panels(document):
        yield markdown_table(
            tables.shifts_table(panel), f"Which answer moved: {panel.title.lower()}"
        )


def _made(document: RunDocument) -> Iterator[str]:
    if document.teachers:
        yield "## Teachers"
        yield markdown_table(tables.teachers_table(document.teachers))
    if document.datasets:
        yield "## Datasets"
        yield markdown_table(tables.datasets_table(document.datasets))
    for dataset in document.datasets:
        if dataset.samples or dataset.removed_samples:
            yield _rows(dataset)
    for table in score_tables.of(document):
        yield f"## {escaped(table.name)}"
        yield markdown_table(table)


def _rows(dataset: Dataset) -> str:
    lines = [f"**Rows of {escaped(dataset.name)}**", "", "| asked | answered | filter |"]
    lines.append("| --- | --- | --- |")
    kept = [(asked, answer, "kept") for asked, answer in dataset.samples]
    removed = [(*row[:2], f"removed: {row[2]}") for row in dataset.removed_samples]
    lines += [
        _row((code(asked, cell=True), code(answer, cell=True), escaped(outcome)))
        for asked, answer, outcome in kept + removed
    ]
    return "\n".join(lines)


def _reproduce(document: RunDocument) -> Iterator[str]:
    yield "## How to reproduce it"
    yield code(document.command)
    yield markdown_table(tables.facts_table("Run", run_facts(document)))
    for name, facts in (
        ("Hardware", document.hardware),
        ("Packages", document.packages),
        ("Inputs, SHA-256", document.inputs),
    ):
        if facts:
            yield markdown_table(tables.facts_table(name, facts), name)
    # An indented block, since no run of backticks in a value can end it.
    config = toml_text(document.config).split("\n")
    yield "The resolved configuration:"
    yield "\n".join(f"    {visible(line)}" for line in config)


def _fragment(fragment: Fragment) -> str:
    if fragment.kind == "code":
        return code(fragment.text)
    return f"**{escaped(fragment.text)}**" if fragment.kind == "strong" else escaped(fragment.text)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
