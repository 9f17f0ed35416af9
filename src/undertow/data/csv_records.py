"""CSV as records: a header and rows of strings, none of them guessed to be a number; what is no CSV is named by its row."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator

from undertow.data.json_records import LONGEST_LINE, Broken
from undertow.data.parquet_file import OnFault
from undertow.errors import DataError


def csv_records(
    lines: Iterable[bytes], name: str, fault: OnFault, broken: Broken
) -> Iterator[tuple[int, object]]:
    """
    The rows behind the header, with their numbers from 1, as records of strings; blank lines are no rows.

    A cell that is empty is the empty string. Quoted cells may hold line ends and doubled quotes (RFC 4180).

    Raises:
        DataError: there is no header, or it names a column twice or with nothing.
    """
    csv.field_size_limit(LONGEST_LINE)
    reader = csv.reader(_texts(lines), strict=True)
    header = _header(reader, name)
    number = 0
    while True:
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            broken(f"{number}: {error}".encode())
            fault("not-csv", number, _explained(error))
            continue
        if not cells:
            number -= 1
        elif (problem := _problem(cells, header)) is None:
            yield number, dict(zip(header, cells, strict=True))
        else:
            broken("\0".join(cells).encode("utf-8", "surrogateescape"))
            fault(*problem[:1], number, problem[1])


def _texts(lines: Iterable[bytes]) -> Iterator[str]:
    # A byte that is no UTF-8 becomes half a surrogate pair: quotes are still seen, and the row is named.
    first = True
    for line in lines:
        yield line.decode("utf-8-sig" if first else "utf-8", "surrogateescape") + "\n"
        first = False


def _header(reader: Iterator[list[str]], name: str) -> list[str]:
    try:
        header = next(reader, [])
    except csv.Error as error:
        raise DataError(f"{name}: no header that could be read: {_explained(error)}") from error
    twice = [column for column, count in Counter(header).items() if count > 1 or not column.strip()]
    if not header or twice:
        what = f"the column {twice[0]!a} twice or without a name" if twice else "no header"
        raise DataError(
            f"{name} has {what}; allowed: a first line that names each column once",
            hint="write a header such as: prompt,completion",
        )
    return header


def _problem(cells: list[str], header: list[str]) -> tuple[str, str] | None:
    if len(cells) != len(header):
        return "shape", (
            f"{len(cells)} cells where the header names {len(header)} columns; is a comma or a quote not quoted?"
        )
    joined = "".join(cells)
    if joined.isascii():
        return None
    try:
        joined.encode("utf-8")
    except UnicodeEncodeError:
        return "not-utf8", "text that is not UTF-8"
    return None


def _explained(error: csv.Error) -> str:
    text = str(error)
    if "unexpected end" in text:
        return "a quote that opens in this row is not closed up to the end of the file"
    if "larger than" in text:
        return f"a cell of more than {LONGEST_LINE} bytes; is a quote not closed?"
    return f"not valid CSV ({text})"
