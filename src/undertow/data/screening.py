"""
Reads a whole file for a screen: every row that cannot be used is named and counted, a uniform sample is kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from undertow.data.chunks import Chunk, chunks, file_named
from undertow.data.faults import Faults, shown
from undertow.data.observed import Observed
from undertow.data.reservoir import Reservoir
from undertow.data.rows import Row
from undertow.data.sources import Numbered, SourceSamples
from undertow.data.streams import generator
from undertow.errors import NothingLeftError
from undertow.results.scan import Data

Observer = Callable[[Sequence[Row]], None]
"""Gets each chunk of usable rows, in their order."""


@dataclass(frozen=True)
class Screened:
    """What a screen keeps of a file."""

    rows: tuple[Row, ...]
    """A uniform sample of the usable rows, in an order drawn at random: any first part is a uniform sample as well."""
    by_source: dict[str, tuple[Row, ...]]
    """A uniform sample of each source's rows, likewise."""
    data: Data
    places: tuple[str, ...] = ()
    """File and row of each of `rows`."""


def screen_file(
    path: str | Path,
    *,
    max_rows: int = 8192,
    seed: int,
    max_rows_a_source: int | None = None,
    observers: Sequence[Observer] = (),
    progress: Callable[[int], None] = lambda rows: None,
) -> Screened:
    """
    Read `.jsonl`, `.parquet` or standard input (`-`) once; memory does not grow with the number of rows.

    `max_rows` are kept of the file and, unless another number is given, of each source; both at least 1. `progress`
    gets the number of usable rows so far.

    Raises:
        DataError: there is no such file, or none of these formats.
        NothingLeftError: no row can be used.
    """
    digest = hashlib.sha256()
    faults, observed = Faults(file_named(path)), Observed()
    whole: Reservoir[Numbered] = Reservoir(max_rows, generator(seed, "whole"))
    sources = SourceSamples(max_rows_a_source or max_rows, seed)
    for chunk in chunks(path, faults, digest.update):
        _take(chunk, whole, sources, observed)
        for observer in observers:
            observer(chunk.rows)
        progress(whole.seen)
    if not whole.seen:
        raise NothingLeftError(_nothing(faults))
    kept = whole.sample()
    data = Data(
        path=shown(str(path), longest=4096),
        digest=digest.hexdigest(),
        rows=whole.seen,
        sampled=len(kept),
        sources=sources.counts(),
        excluded=faults.excluded(),
        notes=(*observed.notes(), *sources.notes(whole.seen)),
    )
    places = tuple(shown(f"{faults.file}, row {number}") for number, _ in kept)
    return Screened(tuple(row for _, row in kept), sources.samples(), data, places)


def each_usable_row(path: str | Path, take: Callable[[Row], None]) -> None:
    """
    Read a file again and hand over every row that `screen_file` would count, in order; the others are passed over.

    Raises:
        DataError: there is no such file, or none of these formats.
    """
    for chunk in chunks(path, Faults(file_named(path))):
        for row in chunk.rows:
            take(row)


def _take(
    chunk: Chunk, whole: Reservoir[Numbered], sources: SourceSamples, observed: Observed
) -> None:
    numbered = list(zip(chunk.numbers, chunk.rows, strict=True))
    whole.extend(numbered)
    sources.extend(numbered)
    observed.take(chunk)


def _nothing(faults: Faults) -> str:
    counts = ", ".join(f"{reason} {count}" for reason, count in sorted(faults.counts.items()))
    first = next((places[0] for places in faults.places.values()), "it holds no rows")
    return f"no row of {shown(faults.file)} can be used ({counts or 'none found'}): {first}"
