"""A lineage as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from undertow.report import lineage_words, numbers
from undertow.report.terminal import WIDTH, columns, heading, labelled, say, written
from undertow.report.visible import visible
from undertow.results.lineage import LineageDocument

_LABEL = 17
_STYLES = {"flagged": "bold red", "clear": "green", "undecided": "yellow"}


def render_lineage_text(
    document: LineageDocument, *, width: int = WIDTH, colour: bool = False
) -> str:
    """The document as text, `width` columns wide."""
    return written(lambda console: _write(console, document), width=width, colour=colour)


def _write(console: Console, document: LineageDocument) -> None:
    badge = f" {lineage_words.BADGES[document.verdict].upper()} "
    console.print(Text(badge, f"{_STYLES.get(document.verdict, '')} reverse".strip()), end=" ")
    console.print(Text(visible(document.student)))
    say(console, document.conclusion[:1].upper() + document.conclusion[1:], "bold")
    say(console, document.advice)
    if len(document.teachers) > 1:
        heading(console, "Teachers, the riskiest first")
        console.print(columns(lineage_words.teachers_table(document).without("ordinary channel")))
    heading(console, "What was measured")
    console.print(columns(lineage_words.measurements_table(document).without("n", "unit")))
    console.print()
    for label, text in _facts(document):
        labelled(console, label, text, width=_LABEL)


def _facts(document: LineageDocument) -> Iterator[tuple[str, str]]:
    first = document.teachers[0]
    yield "hidden channel", first.hidden_channel
    yield "ordinary channel", first.ordinary_channel
    if said := lineage_words.power(first):
        yield "power", said
    yield "error rate", lineage_words.error_rate(document)
    yield "limits", " ".join(document.limits)
    yield "again", document.command
    facts = lineage_words.facts(document)
    cost = (f"seed {document.seed}", facts["wall time"], facts["peak memory"])
    yield "", ", ".join(fact for fact in cost if fact != numbers.NOTHING)
