"""
The records of a Parquet file in batches; what is damaged is counted, and reading goes on behind it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from undertow.data.faults import Faults
from undertow.data.shapes import SHAPES, TOKENS, shapes_text

Records = list[tuple[int, dict[str, object]]]
"""Each with the number of its row in the file, from 1."""

_BUFFER = 1 << 20
"""Bytes; without a buffer, a whole column of a row group is held at once."""


def parquet_records(stream: BinaryIO, size: int, faults: Faults) -> Iterator[Records]:
    """
    Batches of at most `size` records, of the columns that shapes have, of `source`, `id` and tokens.

    A row group that cannot be read counts as `damaged` from the batch on that cannot, and the next one is read.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(stream, buffer_size=_BUFFER)
        names = file.schema_arrow.names
        rows = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        faults.add("damaged", "row 1", f"damaged or not Parquet ({_first_line(error)})")
        return
    if not any(set(shape) <= set(names) for shape in SHAPES):
        if sum(rows):
            faults.add("shape", "row 1", _columns_found(names), rows=sum(rows))
        return
    known = {name for shape in SHAPES for name in shape} | {"source", "id", *TOKENS}
    columns = [name for name in dict.fromkeys(names) if name in known]
    before = 0
    for group, count in enumerate(rows):
        yield from _group(file, group, count, before, columns, size, faults)
        before += count


def _group(
    file: Any, group: int, count: int, before: int, columns: list[str], size: int, faults: Faults
) -> Iterator[Records]:
    import pyarrow

    done = 0
    try:
        for batch in file.iter_batches(batch_size=size, row_groups=[group], columns=columns):
            yield _records(batch, before + done, faults)
            done += batch.num_rows
    except (pyarrow.ArrowException, OSError) as error:
        faults.add(
            "damaged",
            f"row {before + done + 1}",
            f"damaged to the end of row group {group + 1} ({_first_line(error)})",
            rows=max(1, count - done),
        )


def _records(batch: Any, before: int, faults: Faults) -> Records:
    names = batch.schema.names
    try:
        columns = [column.to_pylist() for column in batch.columns]
    except (ValueError, OverflowError):
        # Arrow does not look at the bytes of its strings before they become text: find the rows, one by one.
        return _one_by_one(batch, before, faults)
    records = (dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True))
    return list(enumerate(records, start=before + 1))


def _one_by_one(batch: Any, before: int, faults: Faults) -> Records:
    names = batch.schema.names
    found: Records = []
    for index in range(batch.num_rows):
        number = before + index + 1
        try:
            values = [column[index].as_py() for column in batch.columns]
        except UnicodeDecodeError:
            faults.add("not-utf8", f"row {number}", "text that is not UTF-8")
        except (ValueError, OverflowError) as error:
            faults.add("shape", f"row {number}", _first_line(error))
        else:
            found.append((number, dict(zip(names, values, strict=True))))
    return found


def _columns_found(names: list[str]) -> str:
    found = ", ".join(f"'{name}'" for name in names)
    return f"found the columns {found}; allowed: {shapes_text()}"


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
