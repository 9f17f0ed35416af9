"""A page as GitHub-flavoured Markdown, in which no text from data can act as markup."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from undertow.report.figure import Diagram, Heat, Lanes, Plot
from undertow.report.page import (
    Badge,
    Block,
    Columns,
    Command,
    Drawing,
    Fold,
    Heading,
    Inline,
    Listing,
    Mono,
    Page,
    Part,
    Phrase,
    Questions,
    Records,
    SampleList,
    Section,
    Settings,
    Strong,
    Table,
    Terms,
    Text,
    inlines,
)
from undertow.report.plain_text import NOTHING, visible

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~#$&!])")
_LINK = re.compile(r"(?i)(?<=:)//|(?<=www)\.|@")
_SAMPLE_CHARACTERS = 400
_FORMAT = "markdown"


def render_markdown(page: Page) -> str:
    """The long page as Markdown."""
    blocks = [f"# {escaped(page.name)}", f"**{escaped(page.conclusion) or NOTHING}**"]
    if page.point is not None:
        command = f" {code(page.point.command)}" if page.point.command else ""
        blocks.append(f"**What to do.** {escaped(page.point.todo)}{command}")
        blocks.append(f"**How sure.** {escaped(' '.join(page.point.sure).strip())}")
    return "\n\n".join([*blocks, *_written(page.sections)]) + "\n"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is: no emphasis, HTML, table cell, link or mention."""
    plain = _SPECIAL.sub(r"\\\1", visible(text))
    return _LINK.sub(lambda link: "".join(f"&#{ord(sign)};" for sign in link[0]), plain)


def code(text: str, *, cell: bool = False) -> str:
    """
    Text as a code span, fenced by more backticks than it holds.

    Args:
        cell: whether it stands in a table, where a bar has to be escaped even in code.
    """
    shown = visible(text, limit=_SAMPLE_CHARACTERS)
    shown = shown.replace("|", "\\|") if cell else shown
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    space = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{space}{shown}{space}{fence}" if shown.strip() else "(nothing)"


def _written(blocks: Iterable[Block]) -> Iterator[str]:
    for block in blocks:
        if _FORMAT in block.only:
            yield from _WRITERS[type(block)](block)


def _section(block: Section) -> Iterator[str]:
    if _FORMAT in block.titled:
        yield f"## {escaped(block.title)}"
    yield from _written(block.blocks)


def _part(block: Part) -> Iterator[str]:
    yield f"### {_phrase(block.title)}: {escaped(block.badge.text)}"
    yield from _written(block.blocks)


def _several(block: Columns | Fold) -> Iterator[str]:
    yield from _written(block.blocks)


def _text(block: Text) -> Iterator[str]:
    yield _phrase(block.phrase)


def _heading(block: Heading) -> Iterator[str]:
    yield f"**{_phrase(block.phrase)}**"


def _listing(block: Listing) -> Iterator[str]:
    yield "\n".join(f"- {_phrase(item)}" for item in block.items)


def _terms(block: Terms) -> Iterator[str]:
    words = ((word.text if isinstance(word, Badge) else word, told) for word, told in block.entries)
    yield "\n".join(f"- **{escaped(word)}**: {_phrase(told)}" for word, told in words)


def _questions(block: Questions) -> Iterator[str]:
    yield "\n".join(
        f"- **{escaped(question)}** {_phrase(answer)}{f' ({escaped(remark)})' if remark else ''}"
        for question, answer, remark in block.entries
    )


def _table(block: Table) -> Iterator[str]:
    marks = ("---:" if index in block.numeric else "---" for index in range(len(block.columns)))
    caption = block.caption if _FORMAT in block.captioned else ""
    lines = [f"**{escaped(caption)}**", ""] if caption else []
    lines += [_row(map(escaped, block.columns)), _row(marks)]
    lines += [_row(_phrase(cell, cell=True) for cell in row) for row in block.rows]
    yield "\n".join(lines)


def _records(block: Records) -> Iterator[str]:
    yield from _table(Table("", block.columns, block.rows, block.numeric))


def _figure(block: Lanes | Plot) -> Iterator[str]:
    if block.numbers:
        yield from _table(block.numbers.shown(caption=block.caption))


def _nothing(block: Block) -> Iterator[str]:
    """What needs a browser, or a terminal."""
    return iter(())


def _samples(block: SampleList) -> Iterator[str]:
    yield f"**{escaped(block.title)}**"
    yield "\n".join(f"- {code(row)}" for row in block.rows)


def _command(block: Command) -> Iterator[str]:
    yield code(block.text)


def _settings(block: Settings) -> Iterator[str]:
    # An indented block, since no run of backticks in a value can end it.
    yield f"The resolved {block.name}:"
    yield "\n".join(f"    {visible(line)}" for line in block.lines)


_WRITERS: dict[type[Block], Callable[[Any], Iterator[str]]] = {
    Diagram: _nothing,
    Heat: _nothing,
    Lanes: _figure,
    Plot: _figure,
    Questions: _questions,
    Records: _records,
    Columns: _several,
    Command: _command,
    Fold: _several,
    Heading: _heading,
    Listing: _listing,
    Part: _part,
    SampleList: _samples,
    Section: _section,
    Settings: _settings,
    Table: _table,
    Terms: _terms,
    Text: _text,
}


def _phrase(phrase: Phrase, *, cell: bool = False) -> str:
    return "".join(_inline(part, cell=cell) for part in inlines(phrase))


def _inline(part: Inline, *, cell: bool) -> str:
    if isinstance(part, str):
        return escaped(part)
    if isinstance(part, Drawing):
        return ""
    if isinstance(part, Mono):
        return code(part.text, cell=cell)
    if isinstance(part, Strong | Badge):
        return f"**{escaped(part.text)}**"
    return _inline(part.text, cell=cell)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
