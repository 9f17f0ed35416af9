"""
Reads a whole file for a screen: every row that cannot be used is named and counted, a uniform sample is kept.
"""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from undertow.data.hidden_text import hidden
from undertow.data.lines import LineError, parsed
from undertow.data.reading import STANDARD_INPUT
from undertow.data.reservoir import Reservoir
from undertow.data.rows import Row
from undertow.data.shapes import from_record
from undertow.data.streams import generator
from undertow.errors import DataError, NothingLeftError
from undertow.results.scan import Data, Excluded

PLACES = 5
"""Bad rows of each reason that are named."""

SOURCES = 64
"""Sources that are judged one by one; the rest are counted together."""

_CHUNK = 1024
_REMEMBERED = 2_000_000
"""Rows whose contents are compared for repetition: 8 bytes each are remembered."""


@dataclass(frozen=True)
class Screened:
    """
    What a screen keeps of a file.
    """

    rows: tuple[Row, ...]
    """A uniform sample of the usable rows."""
    by_source: dict[str, tuple[Row, ...]]
    """A uniform sample of each source's rows."""
    data: Data


def screen_file(path: str | Path, *, max_rows: int, seed: int) -> Screened:
    """
    Read `.jsonl`, `.parquet` or standard input (`-`) once; memory does not grow with the number of rows.

    Raises:
        DataError: there is no such file, or none of these formats.
        NothingLeftError: no row can be used.
    """
    tally = _Tally(str(path), max_rows, seed)
    _read(path, tally)
    return tally.screened()


def each_usable_row(path: str | Path, take: Callable[[Row], None]) -> None:
    """
    Read a file again and hand over every row that `screen_file` would count, in order; the others are passed over.

    Raises:
        DataError: there is no such file, or none of these formats.
    """
    _read(path, _Handing(take))


class _Reader(Protocol):
    digest: Any

    def read(self, record: object) -> Row: ...

    def exclude(self, reason: str, place: str) -> None: ...

    def take(self, row: Row, raw: bytes) -> None: ...


@dataclass
class _Handing:
    hand: Callable[[Row], None]
    digest: Any = field(default_factory=hashlib.sha256)

    def read(self, record: object) -> Row:
        return from_record(record)

    def exclude(self, reason: str, place: str) -> None:
        """Was counted when the file was read first."""

    def take(self, row: Row, raw: bytes) -> None:
        self.hand(row)


def _read(path: str | Path, reader: _Reader) -> None:
    if str(path) == STANDARD_INPUT:
        _json_lines(sys.stdin.buffer, "standard input", reader)
        return
    file = Path(path)
    if file.suffix not in (".jsonl", ".parquet"):
        raise DataError(f"'{path}' has the suffix '{file.suffix}'; allowed: .jsonl, .parquet, or -")
    with _opened(file) as stream:
        (_json_lines if file.suffix == ".jsonl" else _parquet)(stream, f"'{path}'", reader)


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    try:
        with file.open("rb") as stream:
            yield stream
    except FileNotFoundError as error:
        raise DataError(f"no such file: '{file}'") from error
    except OSError as error:
        raise DataError(f"cannot read '{file}': {error.strerror or error}") from error


def _json_lines(stream: BinaryIO, place: str, tally: _Reader) -> None:
    for number, line in enumerate(stream, start=1):
        tally.digest.update(line)
        try:
            row = parsed(line, tally.read, first=number == 1)
        except LineError as error:
            tally.exclude(error.reason, f"{place}, row {number}: {error}")
            continue
        if row is not None:
            tally.take(row, line)


def _parquet(stream: BinaryIO, place: str, tally: _Reader) -> None:
    import pyarrow
    from pyarrow import parquet

    while chunk := stream.read(1 << 20):
        tally.digest.update(chunk)
    stream.seek(0)
    number = 0
    try:
        for batch in parquet.ParquetFile(stream).iter_batches(batch_size=_CHUNK):
            for record in batch.to_pylist():
                number += 1
                try:
                    row = tally.read(record)
                except ValueError as error:
                    reason = getattr(error, "reason", "shape")
                    tally.exclude(reason, f"{place}, row {number}: {error}")
                    continue
                tally.take(row, repr(sorted(record.items(), key=str)).encode())
    except UnicodeDecodeError:
        tally.exclude("not-utf8", f"{place}: text that is not UTF-8, after row {number}")
    except (pyarrow.ArrowException, OSError) as error:
        text = str(error).splitlines()[0]
        tally.exclude("damaged", f"{place}: damaged or not Parquet, after row {number} ({text})")


@dataclass
class _Tally:
    path: str
    max_rows: int
    seed: int
    digest: Any = field(default_factory=hashlib.sha256)
    shapes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    places: dict[str, list[str]] = field(default_factory=dict)
    sources: Counter[str] = field(default_factory=Counter)
    hidden: Counter[str] = field(default_factory=Counter)
    ids: set[int] = field(default_factory=set)
    repeated_ids: int = 0
    contents: set[int] = field(default_factory=set)
    repeated: int = 0

    def __post_init__(self) -> None:
        self.whole: Reservoir[Row] = Reservoir(self.max_rows, generator(self.seed, "whole"))
        self.own: dict[str, Reservoir[Row]] = {}

    def read(self, record: object) -> Row:
        """A row; its shape and its id, if it has one, are counted."""
        row = from_record(record)
        assert isinstance(record, dict)
        self.shapes[_shape(record)] += 1
        given = record.get("id")
        if given is not None and len(self.ids) < _REMEMBERED:
            key = hash(str(given))
            self.repeated_ids += key in self.ids
            self.ids.add(key)
        return row

    def exclude(self, reason: str, place: str) -> None:
        """Count a row that cannot be used, and name it if it is one of the first."""
        self.reasons[reason] += 1
        named = self.places.setdefault(reason, [])
        if len(named) < PLACES:
            named.append(place)

    def take(self, row: Row, raw: bytes) -> None:
        """Count a usable row and offer it to the samples."""
        self.whole.offer(row)
        if row.source is not None:
            self.sources[row.source] += 1
            own = self.own.get(row.source)
            if own is None and len(self.own) < SOURCES:
                stream = generator(self.seed, "source", row.source)
                own = self.own[row.source] = Reservoir(self.max_rows, stream)
            if own is not None:
                own.offer(row)
        for kind in hidden(row.completion):
            self.hidden[kind] += 1
        if len(self.contents) < _REMEMBERED:
            key = hash(raw.strip())
            self.repeated += key in self.contents
            self.contents.add(key)

    def screened(self) -> Screened:
        """What is kept."""
        if not self.whole.seen:
            counts = ", ".join(f"{reason} {count}" for reason, count in self.reasons.items())
            first = next((places[0] for places in self.places.values()), "the file is empty")
            raise NothingLeftError(
                f"no row of '{self.path}' can be used ({counts or 'none'}): {first}"
            )
        excluded = tuple(
            Excluded(reason=reason, rows=count, places=tuple(self.places[reason]))
            for reason, count in sorted(self.reasons.items())
        )
        data = Data(
            path=self.path,
            digest=self.digest.hexdigest(),
            rows=self.whole.seen,
            sampled=len(self.whole.items),
            sources=dict(self.sources.most_common(SOURCES)),
            excluded=excluded,
            notes=tuple(self._notes()),
        )
        by_source = {name: tuple(each.items) for name, each in self.own.items()}
        return Screened(tuple(self.whole.items), by_source, data)

    def _notes(self) -> Iterator[str]:
        rows = self.whole.seen
        if len(self.shapes) > 1:
            found = ", ".join(f"{shape} {count}" for shape, count in self.shapes.most_common())
            yield f"rows of several shapes: {found}"
        if self.repeated:
            yield f"{self.repeated} of {min(rows, _REMEMBERED + self.repeated)} rows repeat an earlier one"
        if self.repeated_ids:
            yield f"{self.repeated_ids} rows have an id that an earlier one has"
        for kind, count in self.hidden.most_common():
            yield f"{count} completions hold a {kind}"
        if len(self.sources) > SOURCES:
            yield f"{len(self.sources)} sources; the first {SOURCES} are judged one by one"


def _shape(record: dict[str, object]) -> str:
    for name in ("messages", "text", "chosen", "completion"):
        if record.get(name) is not None:
            return name
    return "unknown"
