"""A screen as text for a terminal: about a screenful, the verdict first and the command last."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from undertow.report import numbers, scan_tables, scan_words
from undertow.report.scan_forest import Forest, ForestPanel, ForestRow
from undertow.report.scan_page import Evidence, ScanPage, scan_page
from undertow.report.table import Table
from undertow.report.terminal import WIDTH, columns, heading, labelled, say, written
from undertow.report.visible import visible
from undertow.results.measurement import Verdict
from undertow.results.scan import Data, ScanDocument

_BAR = 34
"""Characters of the figure's axis."""

_LABEL = 13
"""Columns of the labels of facts."""

_TRAITS = 5
_TRAITS_EACH = 2
"""Traits that a terminal shows of a subject: alone, or of one among others."""

_STYLES: dict[Verdict | None, str] = {
    "flagged": "bold red",
    "clear": "green",
    "undecided": "yellow",
    "error": "bold magenta",
}


def render_scan_text(document: ScanDocument, *, width: int = WIDTH, colour: bool = False) -> str:
    """The document as text, `width` columns wide."""
    page = scan_page(document)
    return written(lambda console: _write(console, page), width=width, colour=colour)


def _write(console: Console, page: ScanPage) -> None:
    document = page.document
    badge = f" {scan_words.VERDICTS[document.verdict].upper()} "
    console.print(Text(badge, f"{_STYLES.get(document.verdict, '')} reverse".strip()), end=" ")
    console.print(Text(_short(visible(document.data.path), console.width - len(badge) - 1)))
    say(console, scan_words.found(document), "bold")
    if page.forest:
        _forest(console, page.forest, document)
    if len(document.subjects) > 1:
        heading(console, "Verdicts")
        console.print(_verdicts(document))
    if page.evidence or page.filters:
        heading(console, "Evidence (does not judge transfer)")
        console.print(_evidence([*page.evidence, *page.filters]))
    if document.moved:
        heading(console, "Open search")
        console.print(columns(scan_tables.moved_table(document.moved)))
    console.print()
    for label, text in _facts(document):
        labelled(console, label, text, width=_LABEL)


def _forest(console: Console, figure: Forest, document: ScanDocument) -> None:
    alone = len(figure.panels) == 1
    heading(console, "Expected transfer under the plan, logits")
    grid = RichTable.grid(padding=(0, 2))
    for justify in ("left", "left", "left", "right", "left"):
        grid.add_column(justify=justify, no_wrap=True, overflow="ellipsis")
    for panel in figure.panels:
        _panel(grid, panel, figure, alone=alone)
    first, last = figure.axis.ticks[0].label, figure.axis.ticks[-1].label
    grid.add_row("", "", Text(first + last.rjust(_BAR - len(first)), "dim"), "", "")
    console.print(grid)
    limit = numbers.decimal(document.limit, 2)
    say(console, f"● estimate   ━ interval   ┆ zero   ┃ limit, {limit}", "dim")


def _panel(grid: RichTable, panel: ForestPanel, figure: Forest, *, alone: bool) -> None:
    shown = panel.rows[: _TRAITS if alone else _TRAITS_EACH]
    for place, row in enumerate(shown):
        name = "" if alone or place else scan_words.subject_name(panel.result.subject)
        style = _STYLES.get(row.verdict, "")
        grid.add_row(
            Text(_short(visible(name), 20)),
            Text(_short(visible(row.name), 12)),
            Text(_bar(row, figure), style),
            Text(row.estimate, "bold" if place == 0 else ""),
            Text(row.limits),
        )
    rest = len(panel.rows) - len(shown) + panel.left_out
    if alone and rest:
        grid.add_row("", Text(f"{rest} more", "dim"), Text("below these", "dim"), "", "")


def _bar(row: ForestRow, figure: Forest) -> str:
    def place(position: float) -> int:
        return round(position / 100 * (_BAR - 1))

    cells = [" "] * _BAR
    if row.low is not None and row.high is not None:
        for index in range(place(row.low), place(row.high) + 1):
            cells[index] = "━"
        cells[place(row.low)] = "◂" if row.open_low else "━"
        cells[place(row.high)] = "▸" if row.open_high else "━"
    for mark, position in (("┆┼", figure.zero), ("┃╋", figure.limit)):
        cells[place(position)] = mark[cells[place(position)] != " "]
    if row.at is not None:
        cells[place(row.at)] = "●"
    return "".join(cells)


def _verdicts(document: ScanDocument) -> RichTable:
    table = scan_tables.subjects_table(document).without("why", "seen from dose")
    shown = tuple(tuple(_short(cell, 30) for cell in row[:1]) + row[1:] for row in table.rows)
    return columns(Table(table.name, table.columns, shown, table.numeric))


def _evidence(found: list[Evidence]) -> RichTable:
    grid = RichTable.grid(padding=(0, 2, 0, 0))
    for _ in range(3):
        grid.add_column()
    for one in found:
        against = [each for each in one.measurements if each.detected]
        style = "cyan" if one.detected else "dim"
        told = one.run.reason or "; ".join(dict.fromkeys(each.reason for each in against))
        more = f" ({len(against)} of {len(one.measurements)})" if len(against) > 1 else ""
        grid.add_row(
            Text(visible(one.run.check)),
            Text(one.ending + more, style),
            Text(visible(told, limit=160)),
        )
    return grid


def _facts(document: ScanDocument) -> Iterator[tuple[str, str]]:
    if len(document.subjects) == 1:
        one = document.subjects[0]
        yield "why", one.reason or numbers.NOTHING
        yield "detectable", f"{scan_words.detectable(one)} (says nothing about transfer)"
        yield "advice", scan_words.advice(one, document)
    if seen := scan_words.seen_from(document):
        yield "power", seen
    yield "data", "; ".join(_rows(document.data))
    if document.subjects:
        told = (f"{name}: {text}" for name, text in scan_words.error_rates(document).items())
        yield "error rates", "; ".join(told)
    yield "calibration", " ".join(scan_words.calibration(document))
    yield "limits", " ".join((f"{scan_words.NO_ROW_VERDICTS.split('. ')[0]}.", *document.limits))
    yield "again", document.command
    facts = scan_words.scan_facts(document)
    cost = (f"seed {document.seed}", facts["wall time"], facts["peak memory"])
    yield "", ", ".join(fact for fact in cost if fact != numbers.NOTHING)


def _rows(data: Data) -> Iterator[str]:
    yield f"{numbers.whole(data.rows)} usable rows, {numbers.whole(data.sampled)} seen by models"
    for one in data.excluded:
        where = f" ({numbers.plain(one.places[0].partition(': ')[0])})" if one.places else ""
        yield f"{numbers.whole(one.rows)} left out: {one.reason}{where}"
    yield from data.notes


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
