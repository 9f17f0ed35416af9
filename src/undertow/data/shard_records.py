"""The records of one shard, whatever its format, strictly decoded; and whether the shards of a dataset have one schema."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice

from undertow.data.arrow_file import arrow_batches, arrow_columns
from undertow.data.csv_records import csv_records
from undertow.data.dataset import RowDataset
from undertow.data.json_records import (
    LONGEST_LINE,
    Broken,
    LineLayout,
    Readable,
    ReadAgain,
    array_records,
    bounded_lines,
    is_blank,
    line_records,
)
from undertow.data.parquet_file import (
    Batch,
    OnFault,
    ReadColumns,
    parquet_batches,
    parquet_columns,
    pass_over,
)
from undertow.data.remote_files import hub_records
from undertow.data.row_leaves import LeafList, plain_line
from undertow.data.row_shapes import SHAPES
from undertow.data.shard import HUB, UNPACKED, Shard, damage, shard_bytes
from undertow.errors import DataError

_SHAPED = frozenset(name for shape in SHAPES for name in shape.columns)

_SEPARATORS = {"csv": ",", "tsv": "\t"}


def shard_records(
    shard: Shard,
    fault: OnFault,
    columns: ReadColumns | None = None,
    leaves: LeafList | None = None,
) -> Iterator[tuple[int, object]]:
    """
    The records of a shard behind their numbers from 1; what is no record goes to `fault`.

    Args:
        columns: which are read of a format that names them once; all without.
        leaves: gets that of every record, and of what stands in the place of one.

    Raises:
        DataError: it cannot be read, or is cut off or damaged so that it is not known what is missing.
    """
    yield from _read(shard, fault, columns, leaves)


def leafed_lines(
    lines: Iterable[bytes],
    fault: OnFault,
    leaves: LeafList | None,
    *,
    mark: bool = True,
    layout: LineLayout | None = None,
) -> Iterator[tuple[int, object]]:
    """
    The records of lines behind their numbers from 1, as `line_records` gives them, while `leaves` gets that of each, and
    `layout` the numbers of the blank ones.
    """
    if leaves is None:
        yield from line_records(lines, fault, mark=mark)
        return
    number = 0
    for number, line in enumerate(lines, start=1):
        plain = plain_line(line) if len(line) <= LONGEST_LINE else None
        if plain is not None:
            leaves.take_leaf(plain[1])
            yield number, plain[0]
            continue
        first, told = mark and number == 1, partial(_at_line, fault, number)
        if layout is not None and len(line) <= LONGEST_LINE and is_blank(line, first):
            layout.blank.append(number)
        for _, record in line_records([line], told, leaves.take_broken, mark=first):
            leaves.take(record)
            yield number, record
    leaves.lines = number


def _at_line(
    fault: OnFault, number: int, reason: str, _: int, text: str, /, rows: int = 1, hint: str = ""
) -> None:
    fault(reason, number, text, rows, hint)


def refuse_other_schema(dataset: RowDataset) -> Iterator[Shard]:
    """
    The shards of a dataset, each once its columns are known to be those of the first.

    JSON names the columns of each row, so that only those that make the shape of its first row have to be the same.

    Raises:
        DataError: naming the first shard with other columns, and what is missing or too much.
    """
    expected: tuple[Shard, frozenset[str]] | None = None
    for shard in dataset.shards:
        if len(dataset.shards) > 1 and (columns := shard_columns(shard)) is not None:
            expected = expected or (shard, columns)
            if columns != expected[1]:
                raise other_schema(shard, columns, *expected)
        yield shard


def other_schema(
    shard: Shard, columns: frozenset[str], first: Shard, expected: frozenset[str]
) -> DataError:
    """The error of a shard with these columns, where the first has the `expected` ones."""

    def words(names: frozenset[str]) -> str:
        return ", ".join(f"'{name}'" for name in sorted(names)) or "none"

    return DataError(
        f"{shard.named} has another schema: found the columns {words(columns)}; expected, as in "
        f"{first.named}: {words(expected)}",
        hint="leave this shard out, or bring it into the columns of the others",
    )


def shard_columns(shard: Shard) -> frozenset[str] | None:
    """The columns that have to be the same in all shards; None where nothing can be said of them."""
    if shard.format == HUB:
        return None  # the library has cast them to one schema
    if shard.format == "parquet":
        with shard_bytes(shard) as stream:
            return frozenset(parquet_columns(stream, pass_over)) or None
    if shard.format == "arrow":
        with shard_bytes(shard) as stream:
            return frozenset(arrow_columns(stream, shard))
    first: object = None
    with suppress(DataError):  # what is wrong with it is told where it is read
        first = next((record for _, record in islice(shard_records(shard, pass_over), 1)), None)
    if not isinstance(first, dict):
        return None
    if shard.format in _SEPARATORS:
        return frozenset(first)
    return _SHAPED.intersection(name for name, value in first.items() if value is not None)


def _read(
    shard: Shard, fault: OnFault, columns: ReadColumns | None, leaves: LeafList | None
) -> Iterator[tuple[int, object]]:
    if shard.format == HUB:
        yield from leafed(hub_records(shard.path), leaves)
        return
    with shard_bytes(shard) as stream:
        if shard.format == "parquet":
            yield from leafed(_each(parquet_batches(stream, columns, fault)), leaves)
        elif shard.format == "arrow":
            yield from leafed(_each(arrow_batches(stream, shard, columns, fault)), leaves)
        else:
            yield from _text(shard, stream, fault, leaves)


def leafed(
    numbered: Iterable[tuple[int, object]], leaves: LeafList | None
) -> Iterator[tuple[int, object]]:
    """The same records, while `leaves` gets that of each."""
    for number, record in numbered:
        if leaves is not None:
            leaves.take(record)
        yield number, record


def _text(
    shard: Shard, stream: Readable, fault: OnFault, leaves: LeafList | None
) -> Iterator[tuple[int, object]]:
    broken: Broken = leaves.take_broken if leaves is not None else lambda content: None
    # What was unpacked in front of a cut comes out only in blocks that end before it.
    block = UNPACKED if shard.compression else 0
    if shard.format in _SEPARATORS:
        lines = bounded_lines(stream, block)
        numbered = leafed(
            csv_records(lines, shard.named, fault, broken, _SEPARATORS[shard.format]), leaves
        )
    elif shard.format == "json" and (stream := ReadAgain(stream)).first != b"{":
        numbered = leafed(array_records(stream, shard.named, fault, broken, block), leaves)
    else:  # many a `.json` holds a row a line
        numbered = leafed_lines(bounded_lines(stream, block), fault, leaves)
    done = 0
    try:
        for done, record in numbered:
            yield done, record
    except OSError as error:
        if shard.compression is None:
            raise
        raise damage(shard, done, error) from error


def _each(batches: Iterator[Batch]) -> Iterator[tuple[int, object]]:
    for batch in batches:
        yield from batch
