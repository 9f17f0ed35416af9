"""
A run as text for a terminal: no colour unless asked for, and no control character ever.
"""

from __future__ import annotations

import io
import textwrap

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from undertow.report import effects, numbers, score_tables, tables
from undertow.report.figures import DotFigure, DotRow
from undertow.report.page import Page, page_of, run_facts
from undertow.report.story import sentence_text
from undertow.report.table import Table
from undertow.report.visible import visible
from undertow.results.run import Comparison, Matrix, RunDocument

WIDTH = 100
_BAR = 30
_SAMPLE_CHARACTERS = 200
_WIDE = 8
_POINTS = 12
"""Most points of a curve that a terminal shows."""


def render_text(document: RunDocument, *, width: int = WIDTH, colour: bool = False) -> str:
    """
    The document as text, `width` columns wide.
    """
    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        no_color=not colour,
        legacy_windows=False,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=False,
        _environ={},
    )
    with console.capture() as captured:
        _write(console, document, page_of(document))
    lines = (line.rstrip() for line in captured.get().splitlines())
    return "\n".join(lines).strip("\n") + "\n"


def _write(console: Console, document: RunDocument, page: Page) -> None:
    _say(console, document.title, "bold")
    console.print()
    _say(console, document.conclusion)
    _headline(console, document, page)
    if document.comparisons:
        _heading(console, "Comparisons")
    for comparison in document.comparisons:
        _comparison(console, comparison)
    for matrix in document.matrices:
        _heading(console, f"{matrix.caption} Unit: {numbers.unit_name(matrix.unit)}.")
        console.print(_matrix(matrix))
    for curves in document.curves:
        _heading(console, f"{curves.caption} {curves.y_label} by {curves.x_label}")
        console.print(_rich(_thinned(tables.curves_table(curves))))
    if document.teachers:
        _heading(console, "Teachers")
        console.print(
            _rich(tables.teachers_table(document.teachers).without("base", "seed", "steps", "time"))
        )
    if document.datasets:
        _heading(console, "Datasets")
        console.print(
            _rich(tables.datasets_table(document.datasets).without("teacher", "digest", "time"))
        )
    for table in score_tables.of(document):
        _heading(console, table.name)
        console.print(_rich(table))
    _endings(console, document)


def _headline(console: Console, document: RunDocument, page: Page) -> None:
    if page.figure:
        _heading(console, page.figure.label)
        console.print(_figure(page.figure))
        chance = "" if page.figure.chance is None else f"   ┆ chance, {page.figure.chance_value}"
        _say(console, f"● one run   ┃ mean   ━ its 95 % interval{chance}", "dim")
    _heading(console, "What was done" if page.story else "The question")
    for sentence in page.story:
        _say(console, sentence_text(sentence), indent=2)
    if not page.story:
        _say(console, document.question, indent=2)
    for column in page.samples:
        _heading(console, column.title)
        for completion in column.completions:
            _say(console, visible(completion, limit=_SAMPLE_CHARACTERS), indent=2)


def _endings(console: Console, document: RunDocument) -> None:
    if document.notes:
        _heading(console, "The doctor’s notes")
    for note in document.notes:
        subject = f"{note.subject}: " if note.subject else ""
        _say(console, f"{note.level}: {subject}{note.message} ({note.id})", indent=2)
    if document.limits:
        _heading(console, "What this cannot show")
    for limit in document.limits:
        _say(console, f"– {limit}", indent=2)
    _heading(console, "How to reproduce it")
    _say(console, document.command, indent=2)
    facts = run_facts(document)
    cost = (f"seed {document.seed}", facts["wall time"], facts["peak memory"])
    _say(console, ", ".join(fact for fact in cost if fact != numbers.NOTHING), indent=2)


def _heading(console: Console, text: str) -> None:
    console.print()
    _say(console, text, "bold")


def _say(console: Console, text: str, style: str = "", *, indent: int = 0) -> None:
    # rich would break a line at a no-break space.
    lines = textwrap.wrap(
        visible(text),
        console.width,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 2 if indent else 0),
        break_on_hyphens=False,
    )
    for line in lines or [""]:
        console.print(Text(line, style=style), no_wrap=True, overflow="ignore", crop=False)


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
    """
    One line of characters: `●` the runs, `━` the interval, `┃` the mean, `┆` chance.
    """

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
    _say(console, one.question or one.name, "bold", indent=2)
    _say(console, f"{estimate}, {effects.limits(one)}", indent=4)
    _say(console, f"{test} ({'; '.join(details)})", indent=4)
    if one.claim:
        _say(console, one.claim, indent=4)


def _matrix(matrix: Matrix) -> RichTable:
    """
    The matrix with its intervals; a wide one with one decimal and shortened names.
    """
    whole = tables.matrix_table(matrix)
    if len(matrix.columns) <= _WIDE:
        return _rich(whole)
    rows = tuple(
        (name, *(numbers.decimal(value, 1) for value in values))
        for name, values in zip(matrix.rows, matrix.values, strict=False)
    )
    names = (whole.columns[0], *(name[:4] for name in matrix.columns))
    return _rich(Table(whole.name, names, rows, whole.numeric), padding=1)


def _thinned(table: Table) -> Table:
    stride = -(-len(table.rows) // _POINTS) or 1
    return Table(table.name, table.columns, table.rows[::stride], table.numeric)


def _rich(table: Table, *, padding: int = 2) -> RichTable:
    shown = RichTable(box=None, pad_edge=False, padding=(0, padding, 0, 0), header_style="dim")
    for index, column in enumerate(table.columns):
        justify = "right" if index in table.numeric else "left"
        shown.add_column(Text(visible(column)), justify=justify)  # type: ignore[arg-type]
    for row in table.rows:
        shown.add_row(*(Text(visible(cell)) for cell in row))
    return shown
