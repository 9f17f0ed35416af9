"""What a reader should know of a file's rows: mixed shapes, repetitions, hidden text."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from undertow.data.records import Chunk
from undertow.data.rows import Row

_ZERO_WIDTH = "\u00ad\u180e\u200b\u2060-\u2064\ufeff"
_JOINERS = "\u200c\u200d"

KINDS: dict[str, re.Pattern[str]] = {
    "control character": re.compile("[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9a\x9c-\x9f]"),
    "escape sequence": re.compile("[\x1b\x9b]"),
    # A joiner between two characters beyond ASCII shapes a script or an emoji; elsewhere it draws nothing.
    "zero-width character": re.compile(
        f"[{_ZERO_WIDTH}]|(?<![^\x00-\x7f{_JOINERS}])[{_JOINERS}]|[{_JOINERS}](?![^\x00-\x7f{_JOINERS}])"
    ),
    "bidirectional control": re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"),
    # Behind a black flag they spell the region that it belongs to, in at most six characters.
    "tag character": re.compile(
        "(?<![\U0001f3f4\U000e0030-\U000e007a])[\U000e0001\U000e0020-\U000e007f]"
        "|[\U000e0030-\U000e007a]{7}"
    ),
    # Two or more in a row select nothing, but can spell bytes.
    "variation selectors": re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{2}"),
}
"""What counts as hidden, by name."""

_ANY = re.compile("|".join(f"(?:{pattern.pattern})" for pattern in KINDS.values()))


def hidden(text: str) -> tuple[str, ...]:
    """
    Names of the kinds of hidden text in it, in the order of `KINDS`; empty for text that is what it looks like.

    Tabs, line feeds and carriage returns are no control characters here.

    >>> hidden("3\\u200b, 7"), hidden("3, 7\\n")
    (('zero-width character',), ())
    """
    if not _ANY.search(text):
        return ()
    return tuple(name for name, pattern in KINDS.items() if pattern.search(text))


_DIGEST = 8
_PENDING = 1 << 18
"""Digests that wait before they are merged: merging sorts, so it is done seldom."""


def digests(items: Iterable[bytes]) -> NDArray[np.uint64]:
    """64 bits of BLAKE2b of each item, shape (items,); the same in every process, unlike `hash`."""
    joined = b"".join(hashlib.blake2b(item, digest_size=_DIGEST).digest() for item in items)
    return np.frombuffer(joined, dtype=np.uint64)


@dataclass
class Distinct:
    """
    Counts different items by adaptive sampling: of the digests seen, those below 2^(64 - depth) are remembered, and
    the depth grows by one whenever they are more than `capacity`.

    Source: Wegman's algorithm, analysed in Flajolet, On adaptive sampling, Computing 43 (1990): the estimate is
    unbiased up to small periodic terms, its relative standard error about 1.20 / sqrt(capacity).
    """

    capacity: int = 1 << 20
    seen: int = 0
    """Items, with repetitions."""
    depth: int = 0
    _kept: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))
    _pending: list[NDArray[np.uint64]] = field(default_factory=list)
    _waiting: int = 0

    def add(self, items: NDArray[np.uint64]) -> None:
        """Take the digests of the next items, shape (items,)."""
        self.seen += len(items)
        below = self._below(items)
        self._pending.append(below)
        self._waiting += len(below)
        if self._waiting >= _PENDING or len(self._pending) >= _PENDING:
            self._merge()

    @property
    def exact(self) -> bool:
        """Whether `count` is no estimate."""
        self._merge()
        return self.depth == 0

    @property
    def count(self) -> int:
        """Different items, never more than were seen."""
        self._merge()
        return min(self.seen, len(self._kept) << self.depth)

    @property
    def repeated(self) -> int:
        """Items that an earlier one is equal to."""
        return self.seen - self.count

    @property
    def error(self) -> float:
        """Standard error of `count`, in items; 0 where it is exact."""
        return 0.0 if self.exact else 1.2 / float(np.sqrt(self.capacity)) * self.count

    def _below(self, items: NDArray[np.uint64]) -> NDArray[np.uint64]:
        if not self.depth:
            return items
        return items[items < np.uint64(1 << (64 - self.depth))]

    def _merge(self) -> None:
        if not self._pending:
            return
        self._kept = np.unique(np.concatenate([self._kept, *self._pending]))
        self._pending, self._waiting = [], 0
        while len(self._kept) > self.capacity and self.depth < 63:
            self.depth += 1
            self._kept = self._below(self._kept)


MOST_UNREAD = 1 << 12
"""Columns that are named, about: hostile rows may each have columns of their own."""

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
    unread: set[str] = field(default_factory=set)
    """Columns that nothing reads, at most `MOST_UNREAD` of them."""
    hidden: Counter[str] = field(default_factory=Counter)
    """Rows with each kind of hidden text."""
    first: dict[str, int] = field(default_factory=dict)
    """Number of the first row with each kind."""

    def take(self, chunk: Chunk) -> None:
        """Look at the next rows."""
        chat = (row.chat for row in chunk.rows)
        self.shapes.update(zip(chunk.shapes, chat, strict=True))
        if chunk.unread and len(self.unread) < MOST_UNREAD:
            self.unread |= chunk.unread
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
    coded = [turn.fields for turn in row.prompt if turn.fields]
    coded += [text for text in (row.fields, row.rejected_fields, row.context) if text]
    parts += [json.dumps(json.loads(text), ensure_ascii=False) for text in coded]
    rejected = [] if row.rejected is None else ["rejected", row.rejected]
    return "\n\n".join([*parts, "chat" if row.chat else "text", row.completion, *rejected])


def _named(shape: tuple[str, ...], chat: bool) -> str:
    return " + ".join(f"'{name}'" for name in shape) + ("" if chat else " (plain text)")


def _repeated(items: Distinct, what: str) -> Iterator[str]:
    if items.repeated <= _ERRORS * items.error:
        return
    if items.exact:
        yield f"{items.repeated} of {items.seen} rows {what}"
    else:
        share, error = items.repeated / items.seen, items.error / items.seen
        yield f"about {share:.1%} (± {error:.1%}) of {items.seen} rows {what}"
