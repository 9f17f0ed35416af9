"""What a reader should know of a file's rows: mixed shapes, repetitions, hidden text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from undertow.data.chunks import Chunk
from undertow.data.distinct import Distinct, digests
from undertow.data.hidden_text import hidden
from undertow.data.rows import Row

_BREAKS = re.compile("[\n\t\r]+")
_ERRORS = 3
"""Standard errors by which an estimate must differ from none to be told."""


@dataclass
class Observed:
    """Running counts over the usable rows of a file."""

    shapes: Counter[tuple[tuple[str, ...], bool]] = field(default_factory=Counter)
    """Rows by shape and by whether they are chat."""
    contents: Distinct = field(default_factory=Distinct)
    ids: Distinct = field(default_factory=Distinct)
    hidden: Counter[str] = field(default_factory=Counter)
    """Rows with each kind of hidden text."""
    first: dict[str, int] = field(default_factory=dict)
    """Number of the first row with each kind."""

    def take(self, chunk: Chunk) -> None:
        """Look at the next rows."""
        chat = (row.chat for row in chunk.rows)
        self.shapes.update(zip(chunk.shapes, chat, strict=True))
        texts = [_text(row) for row in chunk.rows]
        self.contents.add(digests(text.encode() for text in texts))
        if chunk.ids:
            self.ids.add(digests(id.encode(errors="surrogatepass") for id in chunk.ids))
        self._look_for_hidden(texts, chunk.numbers)

    def notes(self) -> Iterator[str]:
        """One sentence on each thing found."""
        if len(self.shapes) > 1:
            found = ", ".join(f"{_named(*kind)} {n}" for kind, n in self.shapes.most_common())
            yield f"rows of several shapes: {found}"
        yield from _repeated(self.contents, "repeat the content of an earlier one")
        yield from _repeated(self.ids, "have an id that an earlier one has")
        for kind, count in self.hidden.most_common():
            yield f"hidden text ({kind}): {count} rows, the first is row {self.first[kind]}"

    def _look_for_hidden(self, texts: list[str], numbers: list[int]) -> None:
        if _plain("".join(texts)):
            return
        for text, number in zip(texts, numbers, strict=True):
            for kind in () if _plain(text) else hidden(text):
                self.hidden[kind] += 1
                self.first.setdefault(kind, number)


def _plain(text: str) -> bool:
    # Far quicker than a search, and true of most rows.
    return text.isascii() and _BREAKS.sub("", text).isprintable()


def _text(row: Row) -> str:
    # Every text of the row with its place, lines apart: the digest sees content, not the columns it came in.
    parts = [f"{turn.role} {turn.content}" for turn in row.prompt]
    rejected = [] if row.rejected is None else ["rejected", row.rejected]
    return "\n\n".join([*parts, "chat" if row.chat else "text", row.completion, *rejected])


def _named(shape: tuple[str, ...], chat: bool) -> str:
    return " + ".join(f"'{name}'" for name in shape) + ("" if chat else " (plain text)")


def _repeated(found: Distinct, what: str) -> Iterator[str]:
    if found.repeated <= _ERRORS * found.error:
        return
    if found.exact:
        yield f"{found.repeated} of {found.seen} rows {what}"
    else:
        share, error = found.repeated / found.seen, found.error / found.seen
        yield f"about {share:.1%} (± {error:.1%}) of {found.seen} rows {what}"
