"""
What a reader should know of a dataset's rows: mixed shapes, repetitions, hidden text.

Counts of stretches of rows are put together in their order; what comes of it does not depend on who counted which.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

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
_PENDING = 1 << 19
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

    def add(self, items: NDArray[np.uint64], seen: int | None = None) -> None:
        """Take the digests of the next items, shape (items,): of so many, of which the others are passed over anyway."""
        self.seen += len(items) if seen is None else seen
        below = self.below(items)
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

    def passed(self, items: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Take the digests of the next items: those of them that any count of these and more may need."""
        self.add(items)
        return self.below(items)

    def below(self, items: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Those that are remembered at this depth, which no count of more items will be less than."""
        if not self.depth:
            return items
        return items[items < np.uint64(1 << (64 - self.depth))]

    def _merge(self) -> None:
        if not self._pending:
            return
        # `numpy.unique` hashes, which takes four times as long for so many.
        ordered = np.sort(np.concatenate([self._kept, *self._pending]))
        self._kept = ordered[np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]]
        self._pending, self._waiting = [], 0
        while len(self._kept) > self.capacity and self.depth < 63:
            self.depth += 1
            self._kept = self.below(self._kept)


MOST_UNREAD = 1 << 12
"""Columns that are named, about: hostile rows may each have columns of their own."""

_ERRORS = 3
"""Standard errors by which an estimate must differ from none to be told."""


@dataclass
class RowCounts:
    """What a stretch of usable rows shows, wherever it was read."""

    rows: int = 0
    with_ids: int = 0
    shapes: Counter[tuple[tuple[str, ...], bool]] = field(default_factory=Counter)
    """Rows by shape and by whether they are chat."""
    unread: set[str] = field(default_factory=set)
    """Columns that nothing reads, at most `MOST_UNREAD` of them."""
    hidden: Counter[str] = field(default_factory=Counter)
    """Rows with each kind of hidden text."""
    first: dict[str, int] = field(default_factory=dict)
    """Number of the first row with each kind."""
    contents: list[NDArray[np.uint64]] = field(default_factory=list)
    """Digests of their content, but for those that the process knew to be passed over."""
    ids: list[NDArray[np.uint64]] = field(default_factory=list)
    """Of their ids, likewise."""

    def take(
        self, numbers: Sequence[int], texts: Sequence[str], ids: Sequence[str | None], known: Known
    ) -> None:
        """Look at the next rows: their numbers, texts and ids."""
        self.rows += len(texts)
        self.contents.append(known.contents.passed(digests(text.encode() for text in texts)))
        told = [id for id in ids if id is not None]
        if told:
            self.with_ids += len(told)
            coded = digests(id.encode(errors="surrogatepass") for id in told)
            self.ids.append(known.ids.passed(coded))
        if _plain("".join(texts)):
            return
        for text, number in zip(texts, numbers, strict=True):
            for kind in () if _plain(text) else hidden(text):
                self.hidden[kind] += 1
                self.first.setdefault(kind, number)

    def join(self) -> None:
        """Put arrays together, which are sent in one piece then."""
        for arrays in (self.contents, self.ids):
            if arrays:
                arrays[:] = [np.concatenate(arrays)]


@dataclass
class Known:
    """What one process has seen of a dataset: enough to tell what the whole cannot need any more."""

    contents: Distinct = field(default_factory=Distinct)
    ids: Distinct = field(default_factory=Distinct)


@dataclass
class Observed:
    """Running counts over the usable rows of a dataset."""

    counts: RowCounts = field(default_factory=RowCounts)
    contents: Distinct = field(default_factory=Distinct)
    ids: Distinct = field(default_factory=Distinct)

    def take(self, counts: RowCounts, before: int) -> None:
        """The next rows; their numbers begin behind `before` others of their shard."""
        ours = self.counts
        ours.rows += counts.rows
        ours.shapes.update(counts.shapes)
        ours.hidden.update(counts.hidden)
        if len(ours.unread) < MOST_UNREAD:
            ours.unread |= counts.unread
        for kind, number in counts.first.items():
            ours.first.setdefault(kind, number + before)
        for running, seen, arrays in (
            (self.contents, counts.rows, counts.contents),
            (self.ids, counts.with_ids, counts.ids),
        ):
            if seen:
                running.add(np.concatenate(arrays), seen)

    def notes(self) -> Iterator[str]:
        """One sentence on each thing found."""
        shapes, first = self.counts.shapes, self.counts.first
        if len(shapes) > 1:
            found = ", ".join(f"{_named(*kind)} {n}" for kind, n in shapes.most_common())
            yield f"rows of several shapes: {found}"
        yield from _repeated(self.contents, "repeat the content of an earlier one")
        yield from _repeated(self.ids, "have an id that an earlier one has")
        for kind, count in self.counts.hidden.most_common():
            yield f"hidden text ({kind}): {count} rows, the first is row {first[kind]}"


def _plain(text: str) -> bool:
    # Far quicker than a search, and true of most rows.
    return text.isascii() and _joined(text).isprintable()


def _joined(text: str) -> str:
    return text.replace("\n", "").replace("\t", "").replace("\r", "")


def row_text(row: Row) -> str:
    """Every text of a row with its place, lines apart: its digest sees content, not the columns that it came in."""
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
