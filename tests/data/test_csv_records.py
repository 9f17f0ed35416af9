"""CSV is read as strings; what is not CSV is named by its row, and the rows around it are read."""

from __future__ import annotations

import shlex
import subprocess
import sys
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


@pytest.mark.parametrize("header", [b"", b"prompt,prompt", b'"prompt'])
def test_a_header_names_each_column_once(header: bytes, tmp_path: Path) -> None:
    """Else a cell would be lost."""
    with pytest.raises(DataError, match=r"header|column"):
        records(tmp_path, header + b"\na,b\n")


def test_a_column_without_a_name_is_called_as_pandas_calls_it(tmp_path: Path) -> None:
    """`to_csv` writes its index like that: a column that nothing reads, and is told."""
    path = tmp_path / "rows.csv"
    path.write_text(",prompt,completion\n0,a,b\n")

    assert [record for _, record in read_objects(path)] == [
        {"Unnamed: 0": "0", "prompt": "a", "completion": "b"}
    ]
    assert screen_file(path, seed=1).data.unread == ("Unnamed: 0",)


@pytest.mark.parametrize(
    ("name", "sign"), [("rows.csv", ";"), ("rows.csv", "\t"), ("rows.csv", "|"), ("rows.tsv", ",")]
)
def test_another_separator_is_named_with_what_mends_it(
    name: str, sign: str, tmp_path: Path
) -> None:
    """Read by commas it would be one column; the command that is told makes a table that is read."""
    path = tmp_path / name
    path.write_text(f'prompt{sign}completion\n"a{sign} b"{sign}c\n')
    with pytest.raises(DataError, match=r"separates its cells by .* in its first line") as caught:
        list(read_objects(path))

    program = shlex.split(caught.value.hint[caught.value.hint.index("python -c") :])[2]
    made = tmp_path / f"made.{name}"
    command = [sys.executable, "-c", program, str(path)]
    made.write_bytes(subprocess.run(command, capture_output=True, check=True).stdout)
    assert [record for _, record in read_objects(made)] == [
        {"prompt": f"a{sign} b", "completion": "c"}
    ]


def test_a_line_for_spreadsheets_is_named(tmp_path: Path) -> None:
    """It would be taken for the header."""
    with pytest.raises(DataError, match="begins with 'sep=;', which only a spreadsheet reads"):
        records(tmp_path, b"sep=;\nprompt;completion\na;b\n")


def test_lines_of_old_macs_are_named(tmp_path: Path) -> None:
    """One line to us, which the hint takes apart."""
    path = tmp_path / "rows.csv"
    path.write_bytes(b"prompt,completion\ra,b\r")

    with pytest.raises(DataError, match="no header that could be read") as caught:
        list(read_objects(path))
    assert (
        caught.value.hint == r"end its lines as other files do: tr '\r' '\n' < ROWS.csv > LINES.csv"
    )
