"""A screen as GitHub-flavoured Markdown, for a pull request or a data card."""

from __future__ import annotations

from collections.abc import Iterator

from undertow.report import numbers, scan_tables, scan_words, tables
from undertow.report.glossary import SCAN_GLOSSARY
from undertow.report.markdown import code, escaped, markdown_table
from undertow.report.scan_page import Evidence, ScanPage, scan_page
from undertow.report.toml_text import toml_text
from undertow.report.visible import visible
from undertow.results.scan import ScanDocument


def render_scan_markdown(document: ScanDocument) -> str:
    """The document as Markdown in which no text from the data can act as markup."""
    return "\n\n".join(_blocks(scan_page(document))) + "\n"


def _blocks(page: ScanPage) -> Iterator[str]:
    document = page.document
    yield f"# undertow scan: {scan_words.VERDICTS[document.verdict]}"
    yield f"**{escaped(scan_words.found(document)) or numbers.NOTHING}**"
    yield f"Rows: {code(document.data.path)}, student: {code(document.student)}."
    if document.subjects:
        yield markdown_table(scan_tables.subjects_table(document))
        yield "\n".join(
            f"- **{verdict}**: {escaped(meaning)}"
            for verdict, meaning in scan_words.error_rates(document).items()
        )
        yield escaped(scan_words.DETECTABLE_IS_NOT_DANGEROUS)
    if seen := scan_words.seen_from(document):
        yield escaped(seen)
    if page.forest:
        yield "## Expected transfer under the plan"
        yield markdown_table(scan_tables.transfers_table(document))
    yield "## Can this screen be trusted here?"
    yield "\n".join(f"- {escaped(sentence)}" for sentence in scan_words.calibration(document))
    if page.evidence:
        yield "## Evidence"
    for one in page.evidence:
        yield from _check(one)
    if page.filters:
        yield "## What content filters see"
    for one in page.filters:
        yield from _check(one)
    yield "## Open search"
    yield escaped(scan_words.search(document))
    if document.moved:
        yield markdown_table(scan_tables.moved_table(document.moved))
    yield from _data(document)
    yield "## What this cannot show"
    limits = (scan_words.NO_ROW_VERDICTS, *document.limits)
    yield "\n".join(f"- {escaped(limit)}" for limit in limits)
    yield from _reproduce(document)
    yield "## Words"
    yield "\n".join(f"- **{word}**: {meaning}" for word, meaning in SCAN_GLOSSARY.items())


def _check(one: Evidence) -> Iterator[str]:
    yield f"### {code(one.run.check)}: {one.ending}"
    if said := " ".join(text for text in (one.page.summary, one.run.reason) if text):
        yield escaped(said)
    if one.measurements:
        yield markdown_table(one.table)
    if one.cannot:
        yield f"**What it cannot tell you.** {escaped(one.cannot)}"


def _data(document: ScanDocument) -> Iterator[str]:
    data = document.data
    yield "## Data"
    yield (
        f"{numbers.whole(data.rows)} usable rows; the models saw {numbers.whole(data.sampled)} of "
        "them, drawn uniformly."
    )
    if data.sources:
        yield markdown_table(scan_tables.sources_table(data))
    if data.excluded:
        yield markdown_table(scan_tables.excluded_table(data.excluded), "Rows left out")
    if data.notes:
        yield "\n".join(f"- {escaped(note)}" for note in data.notes)


def _reproduce(document: ScanDocument) -> Iterator[str]:
    yield "## How to reproduce it"
    yield code(document.command)
    yield markdown_table(tables.facts_table("Scan", scan_words.scan_facts(document)))
    for name, facts in (
        ("Hardware", document.hardware),
        ("Packages", document.packages),
        ("Inputs, SHA-256", document.inputs),
    ):
        if facts:
            yield markdown_table(tables.facts_table(name, facts), name)
    if document.checks:
        yield markdown_table(scan_tables.checks_table(document.checks), "Checks")
    for title, settings in (("plan", document.plan), ("configuration", document.config)):
        # An indented block, since no run of backticks in a value can end it.
        yield f"The resolved {title}:"
        yield "\n".join(f"    {visible(line)}" for line in toml_text(settings).split("\n"))
