"""
Digests of a dataset's records, part by part: in this process or by an engine's workers, and put together in their order.

What a scan, a clean or a statement says of all rows stands on these 32 bytes a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeVar

from undertow.data.parquet_file import CHUNK, pass_over
from undertow.data.records import (
    Reference,
    ShardPart,
    as_dataset,
    made,
    part_records,
    parts,
    refusal,
)
from undertow.data.row_leaves import SIZE, LeafList, RowError, leaf, running_root

R = TypeVar("R")

LeafSpread = Callable[
    [Callable[[ShardPart], tuple[bytes, int]], Sequence[ShardPart]],
    Iterator[tuple[int, tuple[bytes, int]]],
]
"""An engine's `map`, of what reads leaves."""


@dataclass(frozen=True)
class Survey:
    """What a dataset holds, part by part."""

    parts: tuple[ShardPart, ...]
    rows: tuple[int, ...]
    """Records of each part, what stands in the place of one among them."""
    lines: tuple[int, ...]
    """Of each part of JSON Lines."""
    digest: str
    """Root over the leaves of all records in their order, in hex."""

    def before(self) -> list[int]:
        """By how many lines the rows of each part are behind its own number."""
        made, shard, before = [], None, 0
        for part, lines in zip(self.parts, self.lines, strict=True):
            if part.shard != shard:
                shard, before = part.shard, 0
            made.append(before if part.by_lines else 0)
            before += lines
        return made

    def firsts(self) -> list[int]:
        """Number of the first row of each part in the whole, from 0."""
        return [0, *accumulate(self.rows)][:-1]


def surveyed(
    data: Reference,
    spread: LeafSpread | None = None,
    take: Callable[[bytes], object] = lambda leaves: None,
) -> Survey:
    """
    Read a dataset's records, in this process or as its parts are `spread`; `take` gets their leaves in their order.

    Raises:
        DataError: a shard cannot be read, or is cut off.
    """
    every = [part for shard in as_dataset(data).shards for part in parts(shard)]
    rows, lines = [0] * len(every), [0] * len(every)
    with running_root(len(every) if spread else 1) as digest:
        for index, leaves, counted in part_by_part(every, spread):
            digest.extend(leaves)
            take(leaves)
            rows[index] += len(leaves) // SIZE
            lines[index] += counted
        return Survey(tuple(every), tuple(rows), tuple(lines), digest.hexdigest())


def dataset_root(data: Reference, spread: LeafSpread | None = None) -> str:
    """
    The digest of a dataset: the root over its records' leaves in their order, in hex, however they are packed.

    Raises:
        DataError: a shard cannot be read, or is cut off.
    """
    return surveyed(data, spread).digest


def part_by_part(
    every: Sequence[ShardPart], spread: LeafSpread | None = None
) -> Iterator[tuple[int, bytes, int]]:
    """
    (index of the part, leaves of its records, lines) in the order of the parts, whoever reads them; a part may come in
    several stretches, of which the last one tells its lines.

    Raises:
        DataError: a shard cannot be read, or is cut off.
    """
    if spread is not None and len(every) > 1:
        for index, (leaves, lines) in enumerate(in_order(spread(_leaves_as_they_are, every))):
            yield index, leaves, lines
        return
    for index, part in enumerate(every):
        kept = LeafList()
        for _ in part_records(part, pass_over, None, kept):
            if len(kept) > CHUNK * SIZE:
                yield index, kept.given(), 0
        yield index, kept.given(), kept.lines


def in_order(results: Iterable[tuple[int, R]]) -> Iterator[R]:
    """Results that come behind their indices in any order, in that of the indices."""
    waiting: dict[int, R] = {}
    done = 0
    for index, result in results:
        waiting[index] = result
        while done in waiting:
            yield waiting.pop(done)
            done += 1


def _leaves_as_they_are(part: ShardPart) -> tuple[bytes, int]:
    leaves = LeafList()
    for _ in part_records(part, pass_over, None, leaves):
        pass
    return leaves.given(), leaves.lines


def part_leaves(part: ShardPart) -> bytes:
    """
    The leaves of a part's records in their order, 32 bytes each; blank lines are no records.

    Raises:
        DataError: naming the shard and the row, if it is no JSON, has a key twice or no canonical spelling.
    """
    behind = f" behind byte {part.start}" if part.by_lines and part.start else ""
    fault, leaves = refusal(part.shard, behind), LeafList(strict=True)
    try:
        for _ in part_records(part, fault, None, leaves):
            pass
    except RowError:  # the same again, with the number of the row
        return b"".join(value for _, value in made(part_records(part, fault), leaf, fault))
    return leaves.given()
