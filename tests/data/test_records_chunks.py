"""Lines and records arrive in chunks whatever blocks the file is read in, and damage stops nothing behind it."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from undertow.data import json_records as chunked
from undertow.data.records import chunks
from undertow.data.row_faults import Faults
from undertow.data.rows import Row


def rows_of(path: Path) -> tuple[list[Row], list[int], Faults]:
    """The usable rows, their numbers, and what else there was."""
    faults = Faults("x")
    found = list(chunks(path, faults.of))
    return [r for c in found for r in c.rows], [n for c in found for n in c.numbers], faults


@pytest.mark.parametrize("block", [1, 7, 64, 1 << 20])
def test_blocks_of_any_size_give_the_same_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    """A byte order mark, blank lines, Windows line ends and a missing last newline do no harm."""
    monkeypatch.setattr(chunked, "_BLOCK", block)
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"text": "a"}\n\n{"text": "b"}\r\n{\n{"text": "c"}')
    rows, numbers, faults = rows_of(path)

    assert [row.completion for row in rows] == ["a", "b", "c"]
    assert numbers == [1, 3, 5]
    assert faults.counts == {"not-json": 1}


def test_a_line_without_end_does_not_fill_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is one bad row; the rows around it are read, in blocks smaller and larger than the line."""
    monkeypatch.setattr(chunked, "LONGEST_LINE", 100)
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"text": "a"}\n' + b"x" * 5000 + b'\n{"text": "b"}\n' + b"y" * 5000)
    for block in (10, 1 << 20):
        monkeypatch.setattr(chunked, "_BLOCK", block)
        _, numbers, faults = rows_of(path)
        assert numbers == [1, 3]
        assert faults.counts == {"line-too-long": 2}


RECORDS = [
    {"prompt": f"p{i}", "completion": "" if i == 7 else f"c{i}", "source": "s", "more": [i]}
    for i in range(3000)
]


def test_parquet_gives_the_same_rows(tmp_path: Path) -> None:
    """The same records in both formats, a bad one among them, give the same rows, numbers and faults."""
    parquet.write_table(
        pyarrow.Table.from_pylist(RECORDS), tmp_path / "r.parquet", row_group_size=700
    )
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(r) + "\n" for r in RECORDS))

    rows, numbers, faults = rows_of(tmp_path / "r.parquet")

    assert (rows, numbers) == rows_of(tmp_path / "r.jsonl")[:2]
    assert faults.counts == rows_of(tmp_path / "r.jsonl")[2].counts == {"empty-completion": 1}


@pytest.mark.parametrize("column", ["input_ids", "labels", "completion_mask"])
def test_rows_with_tokens_of_their_own_are_no_usable_rows(tmp_path: Path, column: str) -> None:
    """A trainer would read the tokens, a screen the text: neither format lets such a row pass as its text."""
    records = [
        {"text": "a", column: [1, 2]},
        {"text": "b", column: None},
    ]
    lines, table = tmp_path / "rows.jsonl", tmp_path / "rows.parquet"
    lines.write_text("".join(json.dumps(record) + "\n" for record in records))
    parquet.write_table(pyarrow.Table.from_pylist(records), table)

    for path in (lines, table):
        rows, numbers, faults = rows_of(path)
        assert [row.completion for row in rows] == ["b"]
        assert numbers == [2]
        assert faults.counts == {"tokens": 1}
        assert f"'{column}'" in faults.places["tokens"][0]


def test_a_column_of_labels_that_are_no_tokens_does_no_harm(tmp_path: Path) -> None:
    """Classes are often called `labels`, too."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a", "labels": "good"}\n')

    assert rows_of(path)[1] == [1]


def test_rows_that_are_not_utf8_in_parquet_are_named(tmp_path: Path) -> None:
    """The others of their batch are kept."""
    texts = pyarrow.array([b"good", b"\xff\xfe", b"fine"] * 2, pyarrow.binary())
    parquet.write_table(
        pyarrow.table({"text": texts.view(pyarrow.string())}), tmp_path / "r.parquet"
    )
    _, numbers, faults = rows_of(tmp_path / "r.parquet")

    assert numbers == [1, 3, 4, 6]
    assert faults.places["not-utf8"] == [
        f"'{tmp_path}/r.parquet', row {n}: text that is not UTF-8" for n in (2, 5)
    ]


def test_a_damaged_row_group_is_counted_and_the_next_is_read(tmp_path: Path) -> None:
    """Rows in front of the damage and behind its row group are kept."""
    path = tmp_path / "r.parquet"
    texts = [f"row {i}" for i in range(3000)]
    parquet.write_table(
        pyarrow.table({"text": texts}),
        path,
        row_group_size=500,
        compression="none",
        use_dictionary=False,
    )
    start = parquet.read_metadata(path).row_group(2).column(0).data_page_offset
    content = bytearray(path.read_bytes())
    content[start : start + 200] = b"\xff" * 200
    path.write_bytes(content)
    _, numbers, faults = rows_of(path)

    assert numbers == [*range(1, 1001), *range(1501, 3001)]
    assert faults.counts == {"damaged": 500}
    assert "row 1001: damaged to the end of row group 3" in faults.places["damaged"][0]


@pytest.mark.parametrize("keep", [0, 3, 40, -20])
def test_a_truncated_parquet_file_is_counted_as_damaged(tmp_path: Path, keep: int) -> None:
    """Without the end of the file, which says where its rows are, none is found."""
    path = tmp_path / "r.parquet"
    parquet.write_table(pyarrow.table({"text": ["abc"] * 100}), path)
    path.write_bytes(path.read_bytes()[:keep])
    rows, _, faults = rows_of(path)

    assert rows == []
    assert faults.counts == {"damaged": 1}


def test_parquet_without_a_shape_is_counted_without_reading_it(tmp_path: Path) -> None:
    """Every row has the wrong columns; they are named once."""
    path = tmp_path / "r.parquet"
    parquet.write_table(pyarrow.table({"question": ["a"] * 5, "answer": ["b"] * 5}), path)
    _, _, faults = rows_of(path)

    assert faults.counts == {"shape": 5}
    assert (
        "found the columns 'question', 'answer', no known shape; --columns prompt=question completion=answer; allowed: 'messages'"
        in faults.places["shape"][0]
    )
