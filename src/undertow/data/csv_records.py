"""CSV as records: a header and rows of strings, none of them guessed to be a number; what is no CSV is named by its row."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator

from undertow.data.json_records import LONGEST_LINE, Broken
from undertow.data.parquet_file import OnFault
from undertow.errors import DataError


def csv_records(
    lines: Iterable[bytes], name: str, fault: OnFault, broken: Broken, separator: str = ","
) -> Iterator[tuple[int, object]]:
    """
    The rows behind the header, with their numbers from 1, as records of strings; blank lines are no rows.

    A cell that is empty is the empty string. Quoted cells may hold line ends and doubled quotes (RFC 4180).

    Raises:
        DataError: there is no header, it names a column twice, or it is separated by another sign.
    """
    csv.field_size_limit(LONGEST_LINE)
    reader = csv.reader(_texts(lines), strict=True, delimiter=separator)
    header = _header(reader, name, separator)
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


def _header(reader: Iterator[list[str]], name: str, separator: str) -> list[str]:
    try:
        header = next(reader, [])
    except csv.Error as error:
        raise DataError(
            f"{name}: no header that could be read: {_explained(error)}",
            hint=_OLD_LINES if "new-line" in str(error) else _HEADER,
        ) from error
    # pandas writes its index under no name, and reads it like this.
    header = [column if column.strip() else f"Unnamed: {i}" for i, column in enumerate(header)]
    _refuse_other_separator(header, name, separator)
    twice = [column for column, count in Counter(header).items() if count > 1]
    if not header or twice:
        what = f"the column {twice[0]!a} twice" if twice else "no header"
        raise DataError(
            f"{name} has {what}; allowed: a first line that names each column once", hint=_HEADER
        )
    return header


def _refuse_other_separator(header: list[str], name: str, separator: str) -> None:
    whole = header[0] if len(header) == 1 else ""
    if whole.startswith("sep="):
        raise DataError(
            f"{name} begins with {whole[:40]!a}, which only a spreadsheet reads; allowed: the names of the columns",
            hint="take that line off: tail -n +2 ROWS.csv > BARE.csv",
        )
    other = next((sign for sign in ";\t|," if sign in whole and sign != separator), None)
    if other is not None:
        raise DataError(
            f"{name} separates its cells by {other!a} in its first line, {whole[:40]!a}; allowed: {separator!a}",
            hint=_SEPARATED.format(sign=ascii(other), made=ascii(separator)),
        )


_HEADER = "write a header such as: prompt,completion"
_OLD_LINES = r"end its lines as other files do: tr '\r' '\n' < ROWS.csv > LINES.csv"
_SEPARATED = (
    'write it with the other sign (and without a line sep=): python -c "import csv, sys; csv.writer(sys.stdout, '
    "delimiter={made}).writerows(csv.reader(open(sys.argv[1], newline=''), delimiter={sign}))\" ROWS.csv > COMMAS.csv"
)


def _problem(cells: list[str], header: list[str]) -> tuple[str, str] | None:
    if len(cells) != len(header):
        return "shape", (
            f"{len(cells)} cells where the header names {len(header)} columns; is a separator or a quote not quoted?"
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
