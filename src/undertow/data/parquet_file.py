"""The records of a Parquet file in batches; of what is damaged the reader is told, and it goes on behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

from undertow.data.column_names import NAME_THEM, advised
from undertow.data.row_shapes import SHAPES, NoShapeError
from undertow.data.strict_json import decoded
from undertow.errors import first_line

CHUNK = 1024
"""Rows that are held at a time, at most."""

_BUFFER = 1 << 20
"""Bytes; without a buffer, a whole column of a row group is held at once."""

Batch = list[tuple[int, dict[str, object]]]
"""Records, each behind its number in the file, from 1."""


class OnFault(Protocol):
    """Takes what is wrong with a row: it raises, or counts and lets the reading go on."""

    def __call__(
        self, reason: str, number: int, text: str, /, rows: int = 1, hint: str = ""
    ) -> None:
        """
        `reason` is a permanent id, `number` the row's, or 0 where the whole file is meant; `rows` are lost in all; `hint`
        says what to do, where that is more than what the reason says.
        """


def pass_over(reason: str, number: int, text: str, /, rows: int = 1, hint: str = "") -> None:
    """Passes over a fault: where it is nobody's affair, or was told when it was counted."""


@dataclass(frozen=True)
class ReadColumns:
    """Which columns of a Parquet file are read."""

    shapes: Sequence[Sequence[str]]
    """A file must have all columns of one of them."""
    allowed: str
    """The shapes in words, for the error."""
    further: tuple[str, ...] = ("source",)
    every: bool = False
    """Whether all others are read too."""


def parquet_batches(
    stream: BinaryIO,
    columns: ReadColumns | None,
    fault: OnFault,
    groups: Sequence[int] | None = None,
) -> Iterator[Batch]:
    """
    The numbered records of a Parquet file, of some of its row groups or of all.

    Of a row group that cannot be read, the rows from the batch on that cannot are a fault, and the next one is read.
    """
    file, names, rows = _file(stream, fault)
    wanted = None
    if columns is not None and file is not None:
        if (problem := shape_fault(names, columns, lambda: _first(file))) is not None:
            lost = sum(rows) if groups is None else sum(rows[group] for group in groups)
            fault("shape", 0, problem[0], lost, problem[1])
            return
        if not columns.every:
            known = {name for shape in columns.shapes for name in shape} | set(columns.further)
            wanted = [name for name in dict.fromkeys(names) if name in known]
    for group in range(len(rows)) if groups is None else groups:
        yield from _group(file, group, rows[group], sum(rows[:group]), wanted, fault)


def shape_fault(
    names: Sequence[str], columns: ReadColumns, first: Callable[[], object]
) -> tuple[str, str] | None:
    """
    What is wrong with columns of these names, and what to type; None where they have a shape.

    `first` gives a record with such columns.
    """
    if any(set(shape) <= set(names) for shape in columns.shapes):
        return None
    listed = ", ".join(f"'{name}'" for name in names)
    if list(columns.shapes) != [shape.columns for shape in SHAPES]:  # other records than rows
        return f"found the columns {listed}; allowed: {columns.allowed}", ""
    way = advised(first())
    return NoShapeError(listed, "no known shape").with_way(way), way or NAME_THEM


def _first(file: Any) -> object:
    import pyarrow

    try:
        batch = next(file.iter_batches(batch_size=1))
    except (pyarrow.ArrowException, OSError, ValueError, StopIteration):
        return {}
    records = batch_records(batch, 0, pass_over)
    return records[0][1] if records else {}


def parquet_columns(stream: BinaryIO, fault: OnFault) -> list[str]:
    """The names of its columns."""
    return _file(stream, fault)[1]


def row_groups(stream: BinaryIO, fault: OnFault) -> int:
    """How many row groups a Parquet file has."""
    return len(_file(stream, fault)[2])


def _file(stream: BinaryIO, fault: OnFault) -> tuple[Any, list[str], list[int]]:
    """The file, the names of its columns and the rows of each row group; none of a damaged one."""
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(stream, buffer_size=_BUFFER)
        rows = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        return file, file.schema_arrow.names, rows
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        fault("damaged", 0, f"damaged or not Parquet ({first_line(error)})")
        return None, [], []


def _group(
    file: Any, group: int, count: int, before: int, columns: list[str] | None, fault: OnFault
) -> Iterator[Batch]:
    import pyarrow

    done = 0
    try:
        for batch in file.iter_batches(batch_size=CHUNK, row_groups=[group], columns=columns):
            yield batch_records(batch, before + done, fault)
            done += batch.num_rows
    except (pyarrow.ArrowException, OSError) as error:
        text = f"damaged to the end of row group {group + 1} ({first_line(error)})"
        fault("damaged", before + done + 1, text, max(1, count - done))


def batch_records(batch: Any, before: int, fault: OnFault) -> Batch:
    """The records of a batch behind so many others; those that have no value in Python go to `fault`."""
    names = batch.schema.names
    try:
        columns = [_values(column) for column in batch.columns]
    except (ValueError, OverflowError, RecursionError):
        # Arrow does not look at the bytes of its strings before they become text: find the rows, one by one.
        return list(_by_row(batch, before, fault))
    records = (dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True))
    return list(enumerate(records, start=before + 1))


def _by_row(batch: Any, before: int, fault: OnFault) -> Iterator[tuple[int, dict[str, object]]]:
    names = batch.schema.names
    for index in range(batch.num_rows):
        number = before + index + 1
        try:
            values = [_values(column.slice(index, 1))[0] for column in batch.columns]
        except UnicodeDecodeError:
            fault("not-utf8", number, "text that is not UTF-8")
        except RecursionError:
            fault("not-json", number, "JSON nested too deeply")
        except (ValueError, OverflowError) as error:
            fault("shape", number, first_line(error))
        else:
            yield number, dict(zip(names, values, strict=True))


def _values(column: Any) -> list[Any]:
    values: list[Any] = column.to_pylist()
    read = _of_type(column.type)
    return values if read is None else [read(value) for value in values]


def _of_type(kind: Any) -> Callable[[Any], Any] | None:
    """
    What makes values of a type's own; None where they are it already.

    Objects that differ from row to row are JSON in a table that `datasets` writes, each as one text (`arrow.json`).
    """
    from pyarrow import types

    if getattr(kind, "extension_name", "") == "arrow.json":
        return _unless_null(decoded)
    if types.is_struct(kind):
        fields = [(field.name, _of_type(field.type)) for field in kind]
        inside = [(name, read) for name, read in fields if read is not None]
        if not inside:
            return None
        return _unless_null(
            lambda value: value | {name: read(value[name]) for name, read in inside}
        )
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        item = _of_type(kind.value_type)
        return item and _unless_null(lambda values: [item(value) for value in values])
    return None


def _unless_null(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else read(value)
