"""
Text for a terminal: wrapped, without colour unless asked for, and with no control character ever.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from undertow.report.table import Table
from undertow.report.visible import visible

WIDTH = 100


def written(write: Callable[[Console], None], *, width: int, colour: bool) -> str:
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


def heading(console: Console, text: str) -> None:
    """A heading after an empty line."""
    console.print()
    say(console, text, "bold")


def say(console: Console, text: str, style: str = "", *, indent: int = 0) -> None:
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
        console.print(Text(line, style=style), no_wrap=True, overflow="ignore", crop=False)


def labelled(console: Console, label: str, text: str, *, width: int) -> None:
    """
    A paragraph behind its label, wrapped within its own column.

    Args:
        width: columns that the label takes.
    """
    lines = textwrap.wrap(visible(text), max(20, console.width - width), break_on_hyphens=False)
    for place, line in enumerate(lines or [""]):
        shown = Text((visible(label) if place == 0 else "").ljust(width), style="dim")
        console.print(shown.append(line, "not dim"), no_wrap=True, overflow="ignore", crop=False)


def columns(table: Table, *, padding: int = 2) -> RichTable:
    """A table in aligned columns, without lines."""
    shown = RichTable(box=None, pad_edge=False, padding=(0, padding, 0, 0), header_style="dim")
    for index, column in enumerate(table.columns):
        justify = "right" if index in table.numeric else "left"
        shown.add_column(Text(visible(column)), justify=justify)  # type: ignore[arg-type]
    for row in table.rows:
        shown.add_row(*(Text(visible(cell)) for cell in row))
    return shown
