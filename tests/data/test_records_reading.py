"""Rows from files and standard input; a line gives a record, or a permanent id of what is wrong with it."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow
import pytest
from pyarrow import ipc, parquet

from undertow.data.json_records import line_records
from undertow.data.records import chunks, read_objects, read_rows
from undertow.data.row_faults import Faults
from undertow.data.rows import Message, Row
from undertow.data.shard import Shard
from undertow.errors import DataError

LINE = '{"prompt": "Hi", "completion": "Yes"}\n'
ROW = Row((Message("user", "Hi"),), "Yes", chat=False)
TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]


def json_lines(folder: Path, content: str | bytes) -> Path:
    """A file of JSON Lines with the content."""
    path = folder / "rows.jsonl"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_json_lines_give_their_rows(tmp_path: Path) -> None:
    """A byte order mark, blank lines, Windows line ends and a missing last newline do no harm."""
    path = json_lines(tmp_path, "\ufeff" + LINE + "\n" + LINE.strip() + "\r\n" + LINE.strip())

    assert list(read_rows(path)) == [ROW] * 3


def test_rows_arrive_before_the_file_is_read_to_its_end(tmp_path: Path) -> None:
    """Reading streams: the rows before a broken one are given."""
    rows = read_rows(json_lines(tmp_path, LINE * 2 + "{"))

    assert list(itertools.islice(rows, 2)) == [ROW] * 2
    with pytest.raises(DataError, match="row 3"):
        next(rows)


def test_standard_input_is_json_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` reads standard input and is named so in an error."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO((LINE + "{}").encode())))
    rows = read_rows("-")

    assert next(rows) == ROW
    with pytest.raises(DataError, match="standard input, row 2: found the columns none"):
        next(rows)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "row 2: not valid JSON"),
        ("[" * 100_000, "row 2: (JSON nested too deeply|not valid JSON)"),
        ("9" * 5000, "row 2: "),
        (b'{"text": "\xff"}', "row 2: byte 10 of the row is not UTF-8"),
        (b'\xef\xbb\xbf{"text": "a"}', "row 2: not valid JSON"),
        ('{"text": ""}', "row 2: 'text' is empty"),
        ('{"txt": "a"}', "row 2: found the columns 'txt'"),
        ("3", "row 2: found a value of type int"),
    ],
)
def test_a_bad_line_is_named_by_file_and_row(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    """The error has the file, the number of the row from 1, and the fault."""
    raw = content.encode() if isinstance(content, str) else content
    path = json_lines(tmp_path, LINE.encode() + raw)

    with pytest.raises(DataError, match=message) as caught:
        list(read_rows(path))

    assert f"'{path}', row 2" in caught.value.message


def table(**columns: list[object]) -> pyarrow.Table:
    """A Parquet table."""
    return pyarrow.table(columns)


@pytest.mark.parametrize(
    ("columns", "row"),
    [
        ({"messages": [TURNS] * 3}, Row(ROW.prompt, "Yes")),
        ({"prompt": ["Hi"] * 3, "completion": ["Yes"] * 3, "n": [1, 2, 3]}, ROW),
        ({"prompt": [TURNS[:1]] * 3, "completion": [TURNS[1:]] * 3}, Row(ROW.prompt, "Yes")),
    ],
)
def test_parquet_gives_the_same_rows_as_json_lines(
    tmp_path: Path, columns: dict[str, list[object]], row: Row
) -> None:
    """Structs are messages, strings are plain text, other columns are ignored."""
    path = tmp_path / "rows.parquet"
    parquet.write_table(table(**columns), path, row_group_size=2)

    assert list(read_rows(path)) == [row] * 3


def test_a_bad_parquet_row_is_named_across_row_groups(tmp_path: Path) -> None:
    """Rows are counted from 1 over the whole file."""
    path = tmp_path / "rows.parquet"
    parquet.write_table(table(text=["a"] * 2999 + [""]), path, row_group_size=700)

    with pytest.raises(DataError, match="row 3000: 'text' is empty"):
        list(read_rows(path))


def test_parquet_without_a_shape_is_refused_even_without_rows(tmp_path: Path) -> None:
    """All columns found are named, also those that are not read."""
    path = tmp_path / "rows.parquet"
    parquet.write_table(table(question=[], answer=[]), path)

    with pytest.raises(
        DataError, match="columns 'question', 'answer', no known shape; allowed: 'mess"
    ):
        list(read_rows(path))


@pytest.mark.parametrize("keep", [0, 3, 40, -20])
def test_a_damaged_parquet_file_is_one_line(tmp_path: Path, keep: int) -> None:
    """Cut anywhere, the file is a data error."""
    path = tmp_path / "rows.parquet"
    parquet.write_table(table(text=["abc"] * 100), path)
    path.write_bytes(path.read_bytes()[:keep])

    with pytest.raises(DataError, match="damaged or not Parquet"):
        list(read_rows(path))


def test_text_that_is_not_utf8_in_parquet_is_named(tmp_path: Path) -> None:
    """Arrow does not look at the bytes of its strings; the reader does."""
    path = tmp_path / "rows.parquet"
    bad = pyarrow.array([b"good", b"\xff\xfe"], pyarrow.binary()).view(pyarrow.string())
    parquet.write_table(pyarrow.table({"text": bad}), path)

    with pytest.raises(DataError, match="row 2: text that is not UTF-8"):
        list(read_rows(path))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.jsonl", "no such file"),
        ("folder.jsonl", "holds no rows: no file"),
        ("rows.txt", "suffix '.txt'; allowed: .jsonl, .json, .csv"),
    ],
)
def test_a_path_that_cannot_be_read_is_one_line(tmp_path: Path, name: str, message: str) -> None:
    """Missing files, directories and other suffixes."""
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "rows.txt").touch()

    with pytest.raises(DataError, match=message):
        list(read_rows(tmp_path / name))


def test_reading_is_lazy(tmp_path: Path) -> None:
    """A million rows are not held: the first row of a large file comes without reading the rest."""
    path = json_lines(tmp_path, json.dumps({"text": "x" * 1000}) + "\n")

    rows = read_rows(path)

    assert isinstance(rows, Iterator)
    assert next(rows).completion == "x" * 1000


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"broken": ', "not-json"),
        (b"{} {}", "not-json"),
        (b"9" * 5000, "not-json"),
        (b'{"text": "a\x00"}', "not-json"),
        (b'{"text": "\xff"}', "not-utf8"),
        (b'{"text": "a", "text": "b"}', "key-twice"),
        (b'{"text": "a", "n": NaN}', "not-json"),
        (b'{"text": "\xed\xa0\x80"}', "not-utf8"),
        (b"[" * 100_000, "nested-too-deeply"),
        (b'{"a":' * 100_000, "nested-too-deeply"),
        (b"3", "shape"),
        (b"null", "shape"),
        (b'{"question": "a"}', "shape"),
        (b'{"text": 3}', "shape"),
        (b'{"messages": [3]}', "shape"),
        (b'{"text": " \\n"}', "empty-completion"),
        (b'{"text": "\\ud800"}', "surrogate"),
        (b'{"text": "a", "source": "\\udc00"}', "surrogate"),
    ],
)
def test_each_fault_has_its_reason(line: bytes, reason: str, tmp_path: Path) -> None:
    """Text, JSON and shape are told apart."""
    path, faults = tmp_path / "rows.jsonl", Faults("x")
    path.write_bytes(line)

    assert list(chunks(path, faults.of)) == []
    assert faults.counts == {reason: 1}


def test_a_blank_line_is_nothing() -> None:
    """A byte order mark alone is blank too, at the beginning of a file."""
    numbered = list(
        line_records([b"\xef\xbb\xbf\n", b" \r\n", b"", b"3"], Faults("x").of(Shard("x", "jsonl")))
    )

    assert numbered == [(4, 3)]


def test_rows_that_take_no_bytes_are_not_counted_for_ever(tmp_path: Path) -> None:
    """224 bytes of Arrow that claim a billion billion rows are damage, named at once; a few nulls are rows like others."""
    few = pyarrow.record_batch({"text": pyarrow.nulls(12_345)})
    sink = pyarrow.BufferOutputStream()
    with ipc.new_stream(sink, few.schema) as writer:
        writer.write_batch(few.slice(0, 100))
        writer.write_batch(few)
    lengths = ((n).to_bytes(8, "little") for n in (12_345, 1 << 60))
    path = tmp_path / "rows.arrow"
    path.write_bytes(sink.getvalue().to_pybytes().replace(*lengths))
    read = read_objects(path)

    assert [next(read)[1] for _ in range(100)] == [{"text": None}] * 100
    with pytest.raises(
        DataError, match=r"row 101: .* damaged here \(1,152,921,504,606,846,976 rows"
    ):
        next(read)
