"""Text for a terminal: paragraphs, labels and columns."""

from __future__ import annotations

from undertow.report.page import Block, Heading, Labels, Table, Text
from undertow.report.text import written


def shown(*blocks: Block) -> list[str]:
    """The lines that are written to 40 columns."""
    return written(blocks, width=40).splitlines()


def test_a_label_stands_once_beside_its_paragraph() -> None:
    """Further lines begin below the text, not below the label."""
    lines = shown(Labels((("data", "word " * 12),), width=8))

    assert lines[0].startswith("data    word")
    assert [line[:8].strip() for line in lines[1:]] == [""] * (len(lines) - 1)
    assert max(map(len, lines)) <= 40


def test_markup_and_controls_are_shown() -> None:
    """Neither rich's markup nor an escape sequence does anything."""
    assert shown(Text("[red]a\x1b[2J[/]")) == ["[red]a␛[2J[/]"]
    assert shown(Labels((("\x1b", "[b]"),), width=4)) == ["␛   [b]"]


def test_columns_are_aligned_below_a_heading() -> None:
    """A numeric column is aligned to the right."""
    table = Table("t", ("a", "n"), (("x", "1"), ("y", "10")), frozenset({1}))

    assert shown(Heading("Heads"), table) == ["Heads", "a   n", "x   1", "y  10"]
