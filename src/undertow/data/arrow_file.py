"""The records of an Arrow file, of either kind (stream or random access), in batches; a cut or damage is named by its row."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, BinaryIO

from undertow.data.parquet_file import (
    CHUNK,
    Batch,
    OnFault,
    ReadColumns,
    batch_records,
    shape_fault,
)
from undertow.data.shard import Shard, damage

_MAGIC = b"ARROW1"
_DAMAGED = (OSError, EOFError, ValueError, MemoryError, SystemError)
"""What pyarrow raises beside its own errors for lengths that were made up."""

_ENDS = b"\x00\x00\x00\x00"
"""What stands last in a stream that was closed."""


def arrow_batches(
    stream: BinaryIO, shard: Shard, columns: ReadColumns | None, fault: OnFault
) -> Iterator[Batch]:
    """
    The numbered records of an Arrow file.

    Raises:
        DataError: it is cut off or damaged, naming the first row that cannot be read.
    """
    import pyarrow

    done = 0
    try:
        for batch in _batches(stream):
            if columns and not done:
                first = partial(_first, batch)
                if (problem := shape_fault(batch.schema.names, columns, first)) is not None:
                    fault("shape", 0, problem[0], 1, problem[1])
                    return
            yield from _parts(batch, done, fault)
            done += batch.num_rows
    except (pyarrow.ArrowException, *_DAMAGED) as error:
        raise damage(shard, done, error) from error


def arrow_columns(stream: BinaryIO, shard: Shard) -> list[str]:
    """
    The names of its columns.

    Raises:
        DataError: it is no Arrow file.
    """
    import pyarrow

    try:
        return list(_reader(stream).schema.names)
    except (pyarrow.ArrowException, *_DAMAGED) as error:
        raise damage(shard, 0, error) from error


def _first(batch: Any) -> object:
    return next(iter(batch.slice(0, 1).to_pylist()), {})


def _reader(stream: BinaryIO) -> Any:
    from pyarrow import ipc

    head = stream.read(8)
    # A file for random access is a stream behind eight bytes, with an index of it at its end.
    stream.seek(8 if head.startswith(_MAGIC) else 0)
    return ipc.open_stream(stream)


def _batches(stream: BinaryIO) -> Iterator[Any]:
    import pyarrow

    reader = _reader(stream)
    for batch in reader:
        _refuse_hollow(batch)
        try:
            batch.validate(full=True)
        except pyarrow.ArrowInvalid as error:
            if "UTF" not in str(error):
                raise
            # Rows of no UTF-8 are found one by one; what else is wrong stands behind the first such row.
            for column in batch.columns:
                column.view(_as_bytes(column.type)).validate(full=True)
        yield batch
    stream.seek(-4, 2)
    last = stream.read(4)
    if last != _ENDS and not _MAGIC.endswith(last):
        raise ValueError("its end is missing")


def _refuse_hollow(batch: Any) -> None:
    """Rows of no columns, or of nulls, take no bytes: a few of a file could claim more than are ever read to their end."""
    size = batch.get_total_buffer_size()
    if batch.num_rows > CHUNK + 8 * size:
        raise ValueError(f"{batch.num_rows:,} rows in {size:,} bytes")


def _as_bytes(kind: Any) -> Any:
    """The type with bytes in the place of text, of which only the lengths can be wrong."""
    import pyarrow
    from pyarrow import types

    if types.is_string(kind):
        return pyarrow.binary()
    if types.is_large_string(kind):
        return pyarrow.large_binary()
    if types.is_struct(kind):
        return pyarrow.struct([field.with_type(_as_bytes(field.type)) for field in kind])
    if types.is_list(kind):
        return pyarrow.list_(kind.value_field.with_type(_as_bytes(kind.value_type)))
    return kind


def _parts(batch: Any, before: int, fault: OnFault) -> Iterator[Batch]:
    for at in range(0, batch.num_rows, CHUNK):
        yield batch_records(batch.slice(at, CHUNK), before + at, fault)
