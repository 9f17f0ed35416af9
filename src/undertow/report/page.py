"""
A page as blocks: what a document shows and in which order, for writers that know no document.

A page has a long form, for a browser and for Markdown, and a brief one, for a terminal. Where the long form differs by
writer, a block names the writers that show it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from undertow.report.plain_text import in_words, tone
from undertow.report.svg import Mark

Writers = frozenset[str]
EVERYWHERE: Writers = frozenset({"html", "markdown", "text"})
HTML: Writers = frozenset({"html"})
MARKDOWN: Writers = frozenset({"markdown"})


@dataclass(frozen=True)
class Strong:
    """Words that stand out."""

    text: str


@dataclass(frozen=True)
class Mono:
    """Text from data or of a program, letter by letter."""

    text: str
    struck: bool = False
    """Whether it was removed."""


@dataclass(frozen=True)
class Name:
    """A name from data, which must not change the direction of the text around it."""

    text: str


@dataclass(frozen=True)
class Remark:
    """Small print on a line of its own."""

    text: str | Mono


@dataclass(frozen=True)
class Badge:
    """A word in a frame, coloured by its tone, e.g. a verdict."""

    text: str
    tone: str


def verdict_badge(verdict: str) -> Badge:
    """A verdict in words, coloured as itself."""
    return Badge(in_words(verdict), tone(verdict))


@dataclass(frozen=True)
class Drawing:
    """A small figure within a line; for a browser only."""

    marks: tuple[Mark, ...]
    style: str
    width: int | None = None
    height: int | None = None


def key_sign(width: int, height: int, *marks: Mark) -> Drawing:
    """A sign of a figure's key, in CSS pixels."""
    return Drawing(marks, "inline", width, height)


Inline = str | Strong | Mono | Name | Remark | Badge | Drawing
Phrase = Inline | tuple[Inline, ...]


def inlines(phrase: Phrase) -> tuple[Inline, ...]:
    """The phrase in its parts."""
    return phrase if isinstance(phrase, tuple) else (phrase,)


@dataclass(frozen=True, kw_only=True)
class Block:
    """A part of a page; each kind has a writing of its own in each writer."""

    only: Writers = EVERYWHERE
    """The writers that show it."""


@dataclass(frozen=True)
class Text(Block):
    """A paragraph."""

    phrase: Phrase
    style: str = ""
    """`strong`, `about` (in a lower voice), `cannot`, or a tone such as a verdict."""
    indent: int = 0
    """Columns, in a terminal."""


@dataclass(frozen=True)
class Heading(Block):
    """A heading without a section of its own."""

    phrase: Phrase


@dataclass(frozen=True)
class Gap(Block):
    """An empty line in a terminal."""


@dataclass(frozen=True)
class Listing(Block):
    """Items in a list; one that opens with a badge hangs by it."""

    items: tuple[Phrase, ...]
    style: str = ""
    """`limits`, `prose` (paragraphs in a browser), `notes`, `rules`."""
    tone: str = ""
    """Of the first item, in a browser."""


@dataclass(frozen=True)
class Terms(Block):
    """Words and what they mean."""

    entries: tuple[tuple[str | Badge, Phrase], ...]


@dataclass(frozen=True)
class Questions(Block):
    """What a reader asks first: question, short answer, remark."""

    entries: tuple[tuple[str, Phrase, str], ...]


@dataclass(frozen=True)
class Labels(Block):
    """Paragraphs behind their labels, for a terminal."""

    entries: tuple[tuple[str, str], ...]
    width: int
    """Columns that labels take."""


@dataclass(frozen=True)
class Table(Block):
    """A table of phrases; with `fold` a browser shows it on demand."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Phrase, ...], ...]
    numeric: frozenset[int] = frozenset()
    """Indices of the columns that are aligned to the right."""
    caption: str = ""
    captioned: Writers = EVERYWHERE
    """The writers that show the caption; a browser shows none above a fold."""
    fold: str = ""
    style: str = ""
    """`wrap` where cells may take several lines, `texts` for rows of data."""
    tight: bool = False
    """Whether a terminal leaves one column between two, not two."""

    def without(self, *names: str) -> Table:
        """The table without the columns of these names."""
        kept = [index for index, column in enumerate(self.columns) if column not in names]
        return replace(
            self,
            columns=tuple(self.columns[index] for index in kept),
            rows=tuple(tuple(row[index] for index in kept) for row in self.rows),
            numeric=frozenset(place for place, index in enumerate(kept) if index in self.numeric),
        )

    def shown(self, **fields: Any) -> Table:
        """The table with other settings of how it is shown."""
        return replace(self, **fields)


@dataclass(frozen=True)
class Records(Block):
    """A table whose cells hold several things each, which becomes a list on a narrow screen."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Phrase, ...], ...]
    numeric: frozenset[int]
    style: str
    notes: tuple[Phrase, ...] = ()
    """A line below each row, if there is any."""


@dataclass(frozen=True)
class Columns(Block):
    """Blocks side by side where there is room."""

    blocks: tuple[Block, ...]
    style: str = "columns"


@dataclass(frozen=True)
class Fold(Block):
    """Blocks that a browser shows on demand."""

    summary: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Command(Block):
    """A command to type."""

    text: str
    indent: int = 0


@dataclass(frozen=True)
class Settings(Block):
    """A configuration, line by line."""

    name: str
    lines: tuple[str, ...]
    summary: str


@dataclass(frozen=True)
class SampleList(Block):
    """A few rows to look at, under a title."""

    title: str
    rows: tuple[str, ...]


@dataclass(frozen=True)
class Styled:
    """A cell of a terminal's grid."""

    text: str
    style: str = ""


@dataclass(frozen=True)
class Grid(Block):
    """Cells in columns without a head, for a terminal: a figure in characters, a list of short facts."""

    rows: tuple[tuple[Styled, ...], ...]
    right: frozenset[int] = frozenset()
    """Indices of the columns that are aligned to the right."""
    whole: frozenset[int] = frozenset()
    """Indices of those that never take a second line."""


@dataclass(frozen=True)
class Part(Block):
    """A part of a section with a title and a badge of its own."""

    title: Phrase
    badge: Badge
    blocks: tuple[Block, ...]
    quiet: bool = False


@dataclass(frozen=True)
class Section(Block):
    """A part of a page that can be linked to."""

    id: str
    title: str
    blocks: tuple[Block, ...]
    titled: Writers = EVERYWHERE
    """The writers that show the title."""
    about: str = ""
    """A sentence below the title, in a browser."""
    nav: str = ""
    """Its name among the links below the headline; none if empty."""
    prose: bool = False
    open: bool = False
    """Whether a browser shows it at once on a page with a point."""


@dataclass(frozen=True)
class Point:
    """What a reader takes away from the first five seconds; a browser folds the sections of a page that has one."""

    verdict: str
    """In one sentence for people to repeat."""
    todo: str
    """What to do next, in a sentence or two."""
    command: str
    """What to type for it; nothing if empty."""
    sure: tuple[str, ...]
    """How sure the verdict is, in plain words; then what that takes for granted."""
    facts: tuple[str, ...]
    """What was read, under which policy, at which cost, in a few words each."""


@dataclass(frozen=True)
class Lead:
    """What a reader sees in the first five seconds, below the verdict: a figure, and words beside it."""

    figure: Block | None = None
    beside: tuple[Block, ...] = ()
    style: str = ""
    """Of the words: `facts` for answers."""
    wide: bool = False
    """Whether the words stand below the figure."""
    below: tuple[Block, ...] = ()


@dataclass(frozen=True)
class FindingRule:
    """What a finding is an instance of."""

    id: str
    summary: str
    tags: tuple[str, ...]
    level: str = "error"
    description: str | None = None
    help: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """Something that a reviewer of code is told, on a file or a model as a whole."""

    rule: str
    level: str
    """`error`, `warning` or `note`."""
    message: str
    place: str
    """The file or the model."""
    identity: tuple[object, ...]
    """What, with the rule, makes it the same finding the next time."""
    source: str | None = None
    """A part of the file."""
    properties: Mapping[str, object] | None = None


@dataclass(frozen=True)
class Notice:
    """Something that happened while the document was made, in a check if it is named."""

    message: str
    level: str
    check: str | None = None


@dataclass(frozen=True)
class FindingLog:
    """All findings of a document, and what else is said of how they were found."""

    rules: tuple[FindingRule, ...]
    results: tuple[Finding, ...]
    properties: Mapping[str, object]
    command: str
    notices: tuple[Notice, ...] = ()
    succeeded: bool = True
    file: str | None = None
    """The one file that was examined."""
    digest: str | None = None


@dataclass(frozen=True)
class Page:
    """One document for readers."""

    document: BaseModel
    id: str
    """Of the document within the file, e.g. `scan`."""
    verb: str
    subject: Phrase
    window: str
    """The title of the browser's window."""
    title: Phrase
    """The question above the verdict."""
    badge: Badge | None
    conclusion: str
    sections: tuple[Block, ...]
    point: Point | None = None
    lead: Lead = Lead()
    brief: tuple[Block, ...] = ()
    """What a terminal shows below verdict and conclusion; the sections if empty."""
    spare: int | None = None
    """Columns left free behind a subject that is cut to the terminal's first line; None where it is never cut."""
    findings: FindingLog | None = None

    @property
    def name(self) -> str:
        """The title where there is no question above the verdict."""
        return f"undertow {self.verb}: {self.badge.text}" if self.badge else self.window
