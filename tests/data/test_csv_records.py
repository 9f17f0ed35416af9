"""CSV is read as strings; what is not CSV is named by its row, and the rows around it are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from undertow.data.file_sample import screen_file
from undertow.data.records import read_objects, read_rows
from undertow.errors import DataError


def records(folder: Path, content: bytes) -> list[dict[str, object]]:
    """The records of a file with this content."""
    path = folder / "rows.csv"
    path.write_bytes(content)
    return [record for _, record in read_objects(path)]


def test_cells_stay_the_strings_they_are(tmp_path: Path) -> None:
    """No number, no null and no truth value is guessed; a byte order mark and Windows line ends do no harm."""
    content = b"\xef\xbb\xbfprompt,completion\r\n007,\r\nNA,1e5\r\ntrue,null\r\n"

    assert [list(record.values()) for record in records(tmp_path, content)] == [
        ["007", ""],
        ["NA", "1e5"],
        ["true", "null"],
    ]


def test_quoted_cells_hold_line_ends_commas_and_quotes(tmp_path: Path) -> None:
    """Blank lines between rows are none."""
    content = b'prompt,completion\n"a\n\nb, ""c""",d\n\n\ne,f\n'

    assert records(tmp_path, content) == [
        {"prompt": 'a\n\nb, "c"', "completion": "d"},
        {"prompt": "e", "completion": "f"},
    ]


def test_a_label_is_true_or_false(tmp_path: Path) -> None:
    """KTO rows are not taken for rows that are trained towards."""
    path = tmp_path / "rows.csv"
    path.write_bytes(b"prompt,completion,label\na,b,True\nc,d,false\ne,f,good\n")

    assert [row.label for row in read_rows(path)] == [True, False, None]


@pytest.mark.parametrize(
    ("row", "reason", "text"),
    [
        (b"a", "shape", "1 cells where the header names 2 columns"),
        (b"a,b,c", "shape", "3 cells where the header names 2 columns"),
        (b'"a"x,b', "not-csv", "not valid CSV"),
        (b"\xff,b", "not-utf8", "text that is not UTF-8"),
    ],
)
def test_a_bad_row_is_named_and_those_around_it_are_read(
    row: bytes, reason: str, text: str, tmp_path: Path
) -> None:
    """By a screen; a reader of rows stops there."""
    path = tmp_path / "rows.csv"
    path.write_bytes(b"prompt,completion\na,b\n" + row + b"\nc,d\n")
    data = screen_file(path, seed=1).data

    assert (data.rows, [each.reason for each in data.excluded]) == (2, [reason])
    assert f"'{path}', row 2: {text}" in data.excluded[0].places[0]
    with pytest.raises(DataError, match="row 2: "):
        list(read_objects(path))


def test_a_quote_that_is_not_closed_is_named_where_it_opens(tmp_path: Path) -> None:
    """All that follows is in its cell."""
    with pytest.raises(DataError, match="row 2: a quote that opens in this row is not closed"):
        records(tmp_path, b'prompt,completion\na,b\n"c,d\ne,f\n')


@pytest.mark.parametrize("header", [b"", b"prompt,prompt", b"prompt,", b'"prompt'])
def test_a_header_names_each_column_once(header: bytes, tmp_path: Path) -> None:
    """Else a cell would be lost."""
    with pytest.raises(DataError, match=r"header|column"):
        records(tmp_path, header + b"\na,b\n")
