"""Reads a whole dataset for a screen: every row that cannot be used is named and counted, a uniform sample is kept."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field

from undertow.data.closed import Stored
from undertow.data.dataset import RowDataset, open_dataset
from undertow.data.observations import Observed
from undertow.data.parquet_file import OnFault
from undertow.data.records import Chunk, chunks
from undertow.data.row_leaves import RunningRoot
from undertow.data.rows import Row
from undertow.data.seeds import Reservoir, generator
from undertow.data.shard import Shard
from undertow.errors import NothingLeftError

_PLACES_TOLD = 2
"""Of each reason, in the error where no row can be used."""

_WAYS = {
    "shape": "write these rows as docs/scan.md has their shape, or leave them out",
    "not-json": "write one JSON object a line (jq -c . ROWS > ROWS.jsonl); a file that is one array is called .json",
    "not-utf8": "write them as UTF-8, if they come from Windows: iconv -f WINDOWS-1252 -t UTF-8 ROWS > ROWS.utf8.jsonl",
    "not-csv": 'double the quotes in a cell ("he said ""hi"""), and quote what holds a separator',
    "key-twice": "write each key of a row once",
    "damaged": "fetch the file again and compare its checksum",
    "empty-completion": "leave out the rows that have no answer",
    "line-too-long": "end each row with a line break; a file that is one array is called .json",
    "tokens": "remove the columns of tokens: what is read here is the text",
    "media": "give rows of text alone",
    "none": "name a file that holds rows",
}
"""What to do, by the reason for which most rows cannot be used."""

_HINTS = 8
"""Bad rows of each reason of which it is kept what to do."""

PLACES = 5
"""Bad rows of each reason that are named."""

_LONGEST = 240
"""Characters of a place; what was found may hold a whole hostile row."""


class Excluded(Stored):
    """Rows that could not be used, for one reason."""

    reason: str
    """Permanent id, e.g. `empty-completion`, `too-long`, `not-utf8`, `not-json`, `shape`, `duplicate`."""
    rows: int
    places: tuple[str, ...] = ()
    """The first of them, each as file and row, with what was found."""


@dataclass
class Faults:
    """A running count of the rows that cannot be used."""

    file: str
    """What the dataset is called, e.g. `'rows.jsonl'`."""
    counts: Counter[str] = field(default_factory=Counter)
    places: dict[str, list[str]] = field(default_factory=dict)
    hints: dict[str, list[str]] = field(default_factory=dict)
    """What to do about the first rows of each reason; empty where that is the reason's own."""

    def add(self, reason: str, where: str, text: str, *, hint: str = "") -> None:
        """
        Count a row under a permanent id; `where` is e.g. `row 7`, `text` says what was found there, `hint` what to do.
        """
        self._add(reason, f"{self.file}, {where}", text, 1, hint)

    def of(self, shard: Shard) -> OnFault:
        """
        The same, as a reader of a shard's records tells it: a fault of the whole shard is that of all its rows, named
        at the first.
        """
        file = shard.named

        def add_row(reason: str, number: int, text: str, /, rows: int = 1, hint: str = "") -> None:
            if rows:
                self._add(reason, f"{file}, row {max(1, number)}", text, rows, hint)

        return add_row

    def excluded(self) -> tuple[Excluded, ...]:
        """The counts by reason, as they are stored."""
        return tuple(
            Excluded(reason=reason, rows=count, places=tuple(self.places[reason]))
            for reason, count in sorted(self.counts.items())
        )

    def hint(self, ways: Mapping[str, str] = _WAYS) -> str:
        """What to do about most of the rows: what is said of them, or of their reason."""
        most = max(self.counts, key=lambda reason: self.counts[reason], default="none")
        told = self.hints.get(most, [])
        hint = max(told, key=told.count, default="")
        return hint or ways.get(most, "mend the rows that are named, or give other data")

    def _add(self, reason: str, place: str, text: str, rows: int, hint: str) -> None:
        self.counts[reason] += rows
        hints = self.hints.setdefault(reason, [])
        if len(hints) < _HINTS:
            hints.append(hint)
        named = self.places.setdefault(reason, [])
        if len(named) < PLACES:
            named.append(shown(f"{place}: {text}"))


def reasons_told(excluded: Sequence[Excluded]) -> str:
    """Every reason with its rows and the first of them, for the error where no row is left."""
    return "; ".join(
        f"{one.reason} {one.rows} ({'; '.join(one.places[:_PLACES_TOLD])})" for one in excluded
    )


def shown(text: str, longest: int = _LONGEST) -> str:
    r"""
    A hostile text made storable and printable: shortened, and what is not printable as its escape.

    >>> shown("owl\x1b[2J \ud800"), shown("abcdef", longest=3)
    ('owl\\x1b[2J \\ud800', 'abc…')
    """
    short = text if len(text) <= longest else text[:longest] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in short)


Placed = tuple[Shard, int, Row]
"""A row behind its shard and its number in it."""

SOURCES = 64
"""Sources that are judged one by one, the first in the file; the rest are counted together."""

_NAMED = 3
_SHOWN = 60
"""Characters of a source's name in a note."""


@dataclass
class SourceSamples:
    """A reservoir of at most `size` rows for each of the first SOURCES sources."""

    size: int
    seed: int
    sampled: dict[str, Reservoir[Placed]] = field(default_factory=dict)
    further: int = 0
    """Rows of the sources behind the first."""
    further_names: list[str] = field(default_factory=list)
    """The first of those."""

    def extend(self, rows: list[Placed]) -> None:
        """Take the next rows of the stream; those without a source are passed over."""
        groups: dict[str, list[Placed]] = defaultdict(list)
        for placed in rows:
            if (source := placed[2].source) is not None:
                groups[source].append(placed)
        for name, group in groups.items():
            if name not in self.sampled and len(self.sampled) >= SOURCES:
                self._pass_over(name, len(group))
                continue
            if name not in self.sampled:
                self.sampled[name] = Reservoir(self.size, generator(self.seed, "source", name))
            self.sampled[name].extend(group)

    def counts(self) -> dict[str, int]:
        """Rows of each source that is sampled."""
        return {name: reservoir.seen for name, reservoir in self.sampled.items()}

    def samples(self) -> dict[str, tuple[Row, ...]]:
        """A uniform sample of each source's rows, in an order drawn at random."""
        return {
            name: tuple(row for _, _, row in reservoir.sample())
            for name, reservoir in self.sampled.items()
        }

    def notes(self, rows: int) -> list[str]:
        """Which of the file's `rows` usable rows belong to no source that is sampled."""
        notes = []
        if self.further:
            names = ", ".join(f"'{name}'" for name in self.further_names)
            notes.append(
                f"more than {SOURCES} sources: the first {SOURCES} are judged one by one; {self.further} rows of "
                f"further ones ({names}, …) are counted together"
            )
        without = rows - self.further - sum(self.counts().values())
        if self.sampled and without:
            notes.append(f"{without} of {rows} rows name no source")
        return notes

    def _pass_over(self, name: str, rows: int) -> None:
        self.further += rows
        short = shown(name, longest=_SHOWN)
        if len(self.further_names) < _NAMED and short not in self.further_names:
            self.further_names.append(short)


Observer = Callable[[Sequence[Row]], None]
"""Gets each chunk of usable rows, in their order."""


class Data(Stored):
    """The dataset that was screened."""

    path: str
    """As it was named: a file, a folder, a pattern, a URL, a name on the hub."""
    digest: str | None
    """Root over its records' leaves in their order (`rowMerkle` of statements), however they are packed."""
    rows: int
    """Usable rows."""
    sampled: int
    """Rows that model checks saw, drawn uniformly."""
    sources: dict[str, int] = Field(default_factory=dict)
    """Usable rows by source."""
    excluded: tuple[Excluded, ...] = ()
    notes: tuple[str, ...] = ()
    """What a reader should know of the rows: control characters, duplicate ids, many shapes."""
    unread: tuple[str, ...] = ()
    """Columns that hold something and that nothing reads, the first of them in the order of their names."""
    columns: tuple[tuple[str, str], ...] = ()
    """Names that a shape has for columns, each with the column's own name, as they were given."""


@dataclass(frozen=True)
class Screened:
    """What a screen keeps of a dataset."""

    rows: tuple[Row, ...]
    """A uniform sample of the usable rows, in an order drawn at random: any first part is a uniform sample as well."""
    by_source: dict[str, tuple[Row, ...]]
    """A uniform sample of each source's rows, likewise."""
    data: Data
    places: tuple[str, ...] = ()
    """Shard and row of each of `rows`."""
    way: str = ""
    """What to do about most of the rows that cannot be used; empty where there are none."""


def screen_file(
    data: str | Path | RowDataset,
    *,
    max_rows: int = 8192,
    seed: int,
    max_rows_a_source: int | None = None,
    observers: Sequence[Observer] = (),
    progress: Callable[[int], None] = lambda rows: None,
) -> Screened:
    """
    Read a dataset once; memory does not grow with the number of rows.

    `max_rows` are kept of the file and, unless another number is given, of each source; both at least 1. `progress`
    gets the number of usable rows so far.

    Raises:
        DataError: there is no such dataset, or a shard is cut off or another schema.
        NothingLeftError: no row can be used.
    """
    dataset = data if isinstance(data, RowDataset) else open_dataset(data)
    digest, faults, observed = RunningRoot(), Faults(_called(dataset)), Observed()
    whole: Reservoir[Placed] = Reservoir(max_rows, generator(seed, "whole"))
    sources = SourceSamples(max_rows_a_source or max_rows, seed)
    for chunk in chunks(dataset, faults.of, digest):
        _take(chunk, whole, sources, observed)
        for observer in observers:
            observer(chunk.rows)
        progress(whole.seen)
    if not whole.seen:
        raise _nothing_usable(faults)
    kept = whole.sample()
    described = Data(
        path=shown(dataset.reference, longest=4096),
        digest=digest.hexdigest(),
        rows=whole.seen,
        sampled=len(kept),
        sources=sources.counts(),
        excluded=faults.excluded(),
        notes=(
            *(shown(note, longest=4096) for note in dataset.notes),
            *observed.notes(),
            *sources.notes(whole.seen),
        ),
        unread=tuple(shown(name, longest=_SHOWN) for name in sorted(observed.unread)),
        columns=dataset.columns,
    )
    places = tuple(shown(f"{shard.named}, row {number}") for shard, number, _ in kept)
    way = faults.hint() if faults.counts else ""
    return Screened(tuple(row for _, _, row in kept), sources.samples(), described, places, way)


def each_usable_row(data: str | Path | RowDataset, take: Callable[[Row], None]) -> None:
    """
    Read a dataset again and hand over every row that `screen_file` would count, in order; the others are passed over.

    Raises:
        DataError: there is no such dataset, or a shard is cut off or another schema.
    """
    dataset = data if isinstance(data, RowDataset) else open_dataset(data)
    for chunk in chunks(dataset, Faults(dataset.reference).of):
        for row in chunk.rows:
            take(row)


def _take(
    chunk: Chunk, whole: Reservoir[Placed], sources: SourceSamples, observed: Observed
) -> None:
    numbered = [(chunk.shard, *each) for each in zip(chunk.numbers, chunk.rows, strict=True)]
    whole.extend(numbered)
    sources.extend(numbered)
    observed.take(chunk)


def _called(dataset: RowDataset) -> str:
    return dataset.shards[0].named if len(dataset.shards) == 1 else f"'{dataset.reference}'"


def _nothing_usable(faults: Faults) -> NothingLeftError:
    """The error where no row can be used: every reason with its rows, the first of them, and what to do."""
    told = reasons_told(faults.excluded())
    return NothingLeftError(
        f"no row of {shown(faults.file)} can be used: {told or 'it holds no rows'}",
        hint=faults.hint(),
    )
