"""A check's page as text for a terminal."""

from __future__ import annotations

from rich.console import Console

from undertow.report.check_page import CheckPage
from undertow.report.terminal import WIDTH, heading, say, written

_KINDS = {
    "transfer": "judges transfer: its interval is compared with the limit",
    "evidence": "gives evidence in a unit of its own; never judges transfer",
}


def render_explanation(page: CheckPage, *, width: int = WIDTH, colour: bool = False) -> str:
    """The page as text, `width` columns wide."""
    return written(lambda console: _write(console, page), width=width, colour=colour)


def _write(console: Console, page: CheckPage) -> None:
    say(console, page.id, "bold")
    say(console, page.summary)
    say(console, f"This check {_KINDS[page.kind]}.", "dim")
    for text in page.introduction:
        console.print()
        _paragraph(console, text)
    for name, paragraphs in page.sections:
        heading(console, name)
        for text in paragraphs:
            _paragraph(console, text)


def _paragraph(console: Console, text: str) -> None:
    if "\n" not in text:
        say(console, text)
        return
    for line in text.split("\n"):
        say(console, line, indent=len(line) - len(line.lstrip()))
