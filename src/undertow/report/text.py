"""A run as text for a terminal: no colour unless asked for, and no control character ever."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from undertow.report import effects, numbers, score_tables, tables
from undertow.report.figures import DotFigure, DotRow
from undertow.report.page import Page, page_of, run_facts
from undertow.report.story import sentence_text
from undertow.report.table import Table
from undertow.report.terminal import WIDTH, columns, heading, say, written
from undertow.report.visible import visible
from undertow.results.run import Comparison, Matrix, RunDocument

_BAR = 30
_SAMPLE_CHARACTERS = 200
_WIDE = 8
_POINTS = 12
"""Most points of a curve that a terminal shows."""


def render_text(document: RunDocument, *, width: int = WIDTH, colour: bool = False) -> str:
    """The document as text, `width` columns wide."""
    page = page_of(document)
    return written(lambda console: _write(console, document, page), width=width, colour=colour)


def _write(console: Console, document: RunDocument, page: Page) -> None:
    say(console, document.title, "bold")
    console.print()
    say(console, document.conclusion)
    _headline(console, document, page)
    if document.comparisons:
        heading(console, "Comparisons")
    for comparison in document.comparisons:
        _comparison(console, comparison)
    for matrix in document.matrices:
        heading(console, f"{matrix.caption} Unit: {numbers.unit_name(matrix.unit)}.")
        console.print(_matrix(matrix))
    for curves in document.curves:
        heading(console, f"{curves.caption} {curves.y_label} by {curves.x_label}")
        console.print(columns(_thinned(tables.curves_table(curves))))
    if document.teachers:
        heading(console, "Teachers")
        console.print(
            columns(
                tables.teachers_table(document.teachers).without("base", "seed", "steps", "time")
            )
        )
    if document.datasets:
        heading(console, "Datasets")
        console.print(
            columns(tables.datasets_table(document.datasets).without("teacher", "digest", "time"))
        )
    for table in score_tables.of(document):
        heading(console, table.name)
        console.print(columns(table))
    _endings(console, document)


def _headline(console: Console, document: RunDocument, page: Page) -> None:
    if page.figure:
        heading(console, page.figure.label)
        console.print(_figure(page.figure))
        chance = "" if page.figure.chance is None else f"   ┆ chance, {page.figure.chance_value}"
        say(console, f"● one run   ┃ mean   ━ its 95 % interval{chance}", "dim")
    heading(console, "What was done" if page.story else "The question")
    for sentence in page.story:
        say(console, sentence_text(sentence), indent=2)
    if not page.story:
        say(console, document.question, indent=2)
    for column in page.samples:
        heading(console, column.title)
        for completion in column.completions:
            say(console, visible(completion, limit=_SAMPLE_CHARACTERS), indent=2)


def _endings(console: Console, document: RunDocument) -> None:
    if document.notes:
        heading(console, "The doctor’s notes")
    for note in document.notes:
        subject = f"{note.subject}: " if note.subject else ""
        say(console, f"{note.level}: {subject}{note.message} ({note.id})", indent=2)
    if document.limits:
        heading(console, "What this cannot show")
    for limit in document.limits:
        say(console, f"– {limit}", indent=2)
    heading(console, "How to reproduce it")
    say(console, document.command, indent=2)
    facts = run_facts(document)
    cost = (f"seed {document.seed}", facts["wall time"], facts["peak memory"])
    say(console, ", ".join(fact for fact in cost if fact != numbers.NOTHING), indent=2)


def _figure(figure: DotFigure) -> RichTable:
    grid = RichTable.grid(padding=(0, 2))
    grid.add_column(ratio=None)
    grid.add_column(no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(no_wrap=True)
    for row in figure.rows:
        who = f"{row.summary.label}, {row.summary.detail}".removesuffix(", ")
        style = {"same": "yellow", "other": "cyan", "plain": ""}[row.summary.tone]
        grid.add_row(
            Text(visible(who)),
            Text(_strip(row, figure.chance), style),
            Text(row.value, "bold"),
            Text(row.limits),
        )
    grid.add_row("", _scale(figure), "", "")
    return grid


def _strip(row: DotRow, chance: float | None) -> str:
    """One line of characters: `●` the runs, `━` the interval, `┃` the mean, `┆` chance."""

    def place(position: float) -> int:
        return round(position / 100 * (_BAR - 1))

    cells = [" "] * _BAR
    if chance is not None:
        cells[place(chance)] = "┆"
    if row.low is not None and row.high is not None:
        for index in range(place(row.low), place(row.high) + 1):
            cells[index] = "━"
    cells[place(row.mean)] = "┃"
    for dot in row.dots:
        cells[place(dot.x)] = "●"
    return "".join(cells)


def _scale(figure: DotFigure) -> str:
    first, last = figure.axis.ticks[0].label, figure.axis.ticks[-1].label
    return first + last.rjust(_BAR - len(first))


def _comparison(console: Console, one: Comparison) -> None:
    unit = numbers.unit_name(one.unit)
    estimate = f"{effects.estimate(one)} {unit}"
    test = f"{one.test}, {one.n}: p = {numbers.p_value(one.p)}".replace("= <", "<")
    details = [f"least possible p {numbers.p_value(one.smallest_p)}"]
    if one.detectable is not None:
        details.append(f"would have seen {effects.detectable(one)} {unit}")
    say(console, one.question or one.name, "bold", indent=2)
    say(console, f"{estimate}, {effects.limits(one)}", indent=4)
    say(console, f"{test} ({'; '.join(details)})", indent=4)
    if one.claim:
        say(console, one.claim, indent=4)


def _matrix(matrix: Matrix) -> RichTable:
    """The matrix with its intervals; a wide one with one decimal and shortened names."""
    whole = tables.matrix_table(matrix)
    if len(matrix.columns) <= _WIDE:
        return columns(whole)
    rows = tuple(
        (name, *(numbers.decimal(value, 1) for value in values))
        for name, values in zip(matrix.rows, matrix.values, strict=False)
    )
    names = (whole.columns[0], *(name[:4] for name in matrix.columns))
    return columns(Table(whole.name, names, rows, whole.numeric), padding=1)


def _thinned(table: Table) -> Table:
    stride = -(-len(table.rows) // _POINTS) or 1
    return Table(table.name, table.columns, table.rows[::stride], table.numeric)
