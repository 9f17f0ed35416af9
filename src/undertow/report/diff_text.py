"""A diff as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from undertow.report import diff_words, numbers
from undertow.report.table import Table
from undertow.report.terminal import WIDTH, columns, heading, labelled, say, written
from undertow.report.visible import visible
from undertow.results.diff import DiffDocument

_LABEL = 13
_ROWS = 10
_STYLES = {"flagged": "bold red", "clear": "green", "undecided": "yellow"}


def render_diff_text(document: DiffDocument, *, width: int = WIDTH, colour: bool = False) -> str:
    """The document as text, `width` columns wide."""
    return written(lambda console: _write(console, document), width=width, colour=colour)


def _write(console: Console, document: DiffDocument) -> None:
    badge = f" {document.verdict.replace('_', ' ').upper()} "
    console.print(Text(badge, f"{_STYLES.get(document.verdict, '')} reverse".strip()), end=" ")
    console.print(Text(visible(f"{document.base} → {', '.join(document.tuned)}")))
    say(console, document.conclusion[:1].upper() + document.conclusion[1:], "bold")
    say(console, diff_words.INFERENCE[document.inference])
    table = diff_words.changes_table(document)
    heading(console, table.name)
    console.print(columns(_short(table.without("category"))))
    if rest := len(document.changes) - _ROWS:
        say(console, f"{rest} more below these" if rest > 0 else "", "dim")
    heading(console, f"Open search: {document.searched}")
    if document.moved:
        console.print(columns(_short(diff_words.moved_table(document.moved))))
    else:
        say(console, "nothing else was found to move")
    heading(console, "Evidence")
    console.print(columns(diff_words.measurements_table(document).without("unit")))
    console.print()
    for label, text in _facts(document):
        labelled(console, label, text, width=_LABEL)


def _short(table: Table) -> Table:
    return Table(table.name, table.columns, table.rows[:_ROWS], table.numeric)


def _facts(document: DiffDocument) -> Iterator[tuple[str, str]]:
    if said := diff_words.spelled(document):
        yield "spelled", said
    yield "limits", " ".join(document.limits)
    yield "again", document.command
    facts = diff_words.facts(document)
    cost = (f"seed {document.seed}", facts["wall time"], facts["peak memory"])
    yield "", ", ".join(fact for fact in cost if fact != numbers.NOTHING)
