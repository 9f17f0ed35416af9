"""A page as text for a terminal: wrapped, without colour unless asked for, and with no control character ever."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text as RichText

from undertow.report.figure import Diagram, Heat, Lane, Lanes, Plot
from undertow.report.page import (
    Block,
    Columns,
    Command,
    Drawing,
    Fold,
    Gap,
    Grid,
    Heading,
    Inline,
    Labels,
    Listing,
    Page,
    Part,
    Phrase,
    Questions,
    Records,
    Remark,
    SampleList,
    Section,
    Settings,
    Strong,
    Table,
    Terms,
    Text,
    inlines,
)
from undertow.report.plain_text import capital, shortened, visible

WIDTH = 100
_FORMAT = "text"
_SAMPLE_CHARACTERS = 200

_STYLES = {
    "strong": "bold",
    "about": "dim",
    "flagged": "bold red",
    "stands-out": "bold red",
    "refused": "bold red",
    "broken": "red",
    "clear": "green",
    "within": "cyan",
    "allowed": "green",
    "verified": "green",
    "passed": "green",
    "undecided": "yellow",
    "error": "bold magenta",
    "not_matched": "dim",
    "detected": "cyan",
    "same": "yellow",
    "other": "cyan",
}
"""What a style or a tone is in a terminal; the others are plain."""


def render_text(page: Page, *, width: int = WIDTH, colour: bool = False) -> str:
    """The brief page as text, `width` columns wide; the whole page where it has no brief form."""

    def write(console: Console) -> None:
        _head(console, page)
        _write(console, page.brief or page.sections)
        _end(console, page)

    return _captured(write, width=width, colour=colour)


def written(blocks: Iterable[Block], *, width: int = WIDTH, colour: bool = False) -> str:
    """The blocks as text."""
    return _captured(lambda console: _write(console, blocks), width=width, colour=colour)


def _captured(write: Callable[[Console], None], *, width: int, colour: bool) -> str:
    """What is written to a console of the width, without blanks at the ends of lines."""
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
        write(console)
    lines = (line.rstrip() for line in captured.get().splitlines())
    return "\n".join(lines).strip("\n") + "\n"


def _head(console: Console, page: Page) -> None:
    """The verdict and what it is on, in one line, then the conclusion."""
    if page.badge is None:
        _write(console, (Text(page.name, "strong"), Gap(), Text(page.conclusion)))
        return
    badge, name = f" {page.badge.text.upper()} ", visible(_plain(page.subject))
    console.print(RichText(badge, f"{_style(page.badge.tone)} reverse".strip()), end=" ")
    room = len(name) if page.spare is None else console.width - len(badge) - page.spare
    console.print(RichText(shortened(name, room)))
    _say(console, capital(page.conclusion), "bold")
    if page.point is not None:
        _say(console, f"→ {page.point.todo}")
        if page.point.command:
            _say(console, page.point.command, indent=2)


def _end(console: Console, page: Page) -> None:
    """The verdict once more, for whoever sees the last lines of a long page: in the sentence for people to repeat."""
    if page.badge is not None and page.point is not None:
        console.print()
        _say(console, f"{capital(page.badge.text)}: {page.point.verdict}", _style(page.badge.tone))


def _write(console: Console, blocks: Iterable[Block]) -> None:
    for block in blocks:
        if _FORMAT in block.only:
            _WRITERS[type(block)](console, block)


def _section(console: Console, block: Section) -> None:
    if _FORMAT in block.titled:
        _heading(console, Heading(block.title))
    _write(console, block.blocks)


def _part(console: Console, block: Part) -> None:
    _heading(console, Heading((*inlines(block.title), f": {block.badge.text}")))
    _write(console, block.blocks)


def _several(console: Console, block: Columns | Fold) -> None:
    _write(console, block.blocks)


def _text(console: Console, block: Text) -> None:
    _say(console, _plain(block.phrase), _style(block.style), indent=block.indent)


def _heading(console: Console, block: Heading) -> None:
    console.print()
    _say(console, _plain(block.phrase), "bold")


def _gap(console: Console, block: Gap) -> None:
    console.print()


def _table(console: Console, block: Table) -> None:
    padding = 1 if block.tight else 2
    table = RichTable(box=None, pad_edge=False, padding=(0, padding, 0, 0), header_style="dim")
    for index, column in enumerate(block.columns):
        right = index in block.numeric
        table.add_column(RichText(visible(column)), justify="right" if right else "left")
    for row in block.rows:
        table.add_row(*(RichText(visible(_plain(cell))) for cell in row))
    console.print(table)


def _records(console: Console, block: Records) -> None:
    _table(console, Table("", block.columns, block.rows, block.numeric))


def _grid(console: Console, block: Grid) -> None:
    grid = RichTable.grid(padding=(0, 2))
    for index in range(max(map(len, block.rows), default=0)):
        right = index in block.right
        grid.add_column(justify="right" if right else "left", no_wrap=index in block.whole)
    for row in block.rows:
        grid.add_row(*(RichText(visible(cell.text), _style(cell.style)) for cell in row))
    console.print(grid)


def _labels(console: Console, block: Labels) -> None:
    room = max(20, console.width - block.width)
    for label, text in block.entries:
        lines = textwrap.wrap(visible(text), room, break_on_hyphens=False)
        for place, line in enumerate(lines or [""]):
            shown = RichText((visible(label) if place == 0 else "").ljust(block.width), style="dim")
            _print(console, shown.append(line, "not dim"))


def _listing(console: Console, block: Listing) -> None:
    dash = "– " if block.style == "limits" else ""
    for item in block.items:
        _say(console, f"{dash}{_plain(item)}", indent=2)


def _terms(console: Console, block: Terms | Questions) -> None:
    for word, *told in block.entries:
        _say(console, f"{_plain(word)} {' '.join(_plain(part) for part in told)}", indent=2)


def _lanes(console: Console, block: Lanes) -> None:
    grid = RichTable.grid(padding=(0, 2))
    if block.indented:
        grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=block.indented)
    for justify in ("left", "right", "left"):
        grid.add_column(justify=justify, no_wrap=True)
    for panel in block.panels:
        for place, lane in enumerate(panel.lanes):
            title = panel.title if place == 0 else ""
            grid.add_row(*_cells(block, title, lane))
    ticks, length = block.panels[-1].ticks, max(len(lane.strip) for lane in block.panels[0].lanes)
    first, last = ticks[0].label, ticks[-1].label
    grid.add_row(
        *_cells(
            block, "", Lane("", (), style="about", strip=first + last.rjust(length - len(first)))
        )
    )
    console.print(grid)
    if block.legend:
        _say(console, block.legend, "dim")


def _cells(block: Lanes, title: Phrase, lane: Lane) -> Iterator[RichText]:
    style = _style(lane.style.partition(" ")[0])
    bold = isinstance(inlines(lane.value)[0], Strong)
    if block.indented:
        yield RichText(visible(_plain(title)))
    yield RichText(visible(_plain(lane.who)), style if lane.who and not lane.marks else "")
    yield RichText(lane.strip, style)
    yield RichText(visible(_plain(lane.value)), "bold" if bold else "")
    yield RichText(lane.limits)


def _plot(console: Console, block: Plot) -> None:
    _table(console, block.numbers)


def _nothing(console: Console, block: Block) -> None:
    """What needs a browser."""


def _settings(console: Console, block: Settings) -> None:
    for line in block.lines:
        _say(console, line, indent=2)


def _samples(console: Console, block: SampleList) -> None:
    _heading(console, Heading(block.title))
    for row in block.rows:
        _say(console, visible(row, limit=_SAMPLE_CHARACTERS), indent=2)


def _command(console: Console, block: Command) -> None:
    _say(console, block.text, indent=2)


_WRITERS: dict[type[Block], Callable[[Console, Any], None]] = {
    Columns: _several,
    Command: _command,
    Diagram: _nothing,
    Fold: _several,
    Gap: _gap,
    Grid: _grid,
    Heading: _heading,
    Heat: _nothing,
    Labels: _labels,
    Lanes: _lanes,
    Listing: _listing,
    Part: _part,
    Plot: _plot,
    Questions: _terms,
    Records: _records,
    SampleList: _samples,
    Section: _section,
    Settings: _settings,
    Table: _table,
    Terms: _terms,
    Text: _text,
}


def _plain(phrase: Phrase) -> str:
    return "".join(map(_plain_part, inlines(phrase)))


def _plain_part(part: Inline) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, Drawing):
        return ""
    return f", {_plain(part.text)}" if isinstance(part, Remark) else _plain(part.text)


def _style(style: str) -> str:
    return _STYLES.get(style, "")


def _say(console: Console, text: str, style: str = "", *, indent: int = 0) -> None:
    """A paragraph; lines after its first hang by two more columns where it is indented."""
    # rich would break a line at a no-break space.
    lines = textwrap.wrap(
        visible(text),
        console.width,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 2 if indent else 0),
        break_on_hyphens=False,
    )
    for line in lines or [""]:
        _print(console, RichText(line, style=style))


def _print(console: Console, line: RichText) -> None:
    console.print(line, no_wrap=True, overflow="ignore", crop=False)
