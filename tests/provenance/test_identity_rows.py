"""Leaves of rows: the same whatever the file format, and none for rows that readers understand differently."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from undertow.data import records
from undertow.data.leaf_file import row_set
from undertow.data.row_leaves import leaf
from undertow.errors import DataError
from undertow.provenance.identity import leaves_of

ROWS = [
    {
        "prompt": [{"role": "user", "content": f"q {i} é"}],
        "completion": [{"role": "assistant", "content": f"null {i}"}],
        "source": "t" if i % 2 else None,
    }
    for i in range(300)
]


def lines(path: Path, rows: list[dict[str, object]]) -> Path:
    """Rows as JSON Lines, without the columns that a row does not have."""
    kept = ({key: value for key, value in row.items() if value is not None} for row in rows)
    path.write_text("".join(json.dumps(row) + "\n" for row in kept))
    return path


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "zstd"},
        {"compression": "snappy", "row_group_size": 7},
        {"use_dictionary": False},
    ],
    ids=str,
)
def test_parquet_has_the_leaves_of_json_lines(options: dict[str, object], tmp_path: Path) -> None:
    """Neither the codec nor row groups nor columns that are null in some rows change a leaf."""
    path = tmp_path / "rows.parquet"
    parquet.write_table(pa.Table.from_pylist(ROWS), path, **options)

    assert leaves_of(path) == leaves_of(lines(tmp_path / "rows.jsonl", ROWS))


def test_parts_of_a_file_join_without_a_seam(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines that cross the borders of parts are read once, in their order."""
    path = lines(tmp_path / "rows.jsonl", ROWS)
    whole = leaves_of(path)
    for step in (1, 50, 333):
        monkeypatch.setattr(records, "STEP", step)
        assert leaves_of(path) == whole


@given(st.permutations(range(6)))
def test_the_row_set_does_not_know_the_order(order: list[int]) -> None:
    """The same rows in any order have one set; another row has another."""
    found = [leaf(ROWS[index]) for index in range(6)]

    assert row_set(b"".join(found[index] for index in order)) == row_set(b"".join(found))
    assert row_set(b"".join(found[:5])) != row_set(b"".join(found))


def test_every_column_counts() -> None:
    """Source, order of keys and type: the first and the last make another leaf, the order does not."""
    assert (
        leaf({"a": "1", "b": "2"})
        == leaf({"b": "2", "a": "1"})
        == leaf({"b": "2", "a": "1", "c": None})
    )
    assert len({leaf({"a": 1}), leaf({"a": "1"}), leaf({"a": 1.5}), leaf({"a": True})}) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"text":"a","text":"b"}', "row 2: has the key 'text' twice"),
        ('{"text": NaN}', "row 2: .*NaN"),
        ('{"text": "a"', "row 2: not valid JSON"),
        ("[" * 100_000, "row 2: "),
        ("\udcff", "row 2: .*UTF-8"),
    ],
    ids=["twice", "nan", "cut", "nested", "utf8"],
)
def test_ambiguous_rows_are_named(text: str, message: str, tmp_path: Path) -> None:
    """The file, the row and what is wrong with it."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"text":"first"}\n' + text.encode("utf-8", "surrogateescape"))

    with pytest.raises(DataError, match=message):
        leaves_of(path)


def test_damaged_parquet_is_named(tmp_path: Path) -> None:
    """A file that is cut off, and one with values that are no JSON."""
    whole = tmp_path / "whole.parquet"
    parquet.write_table(pa.table({"text": [b"bytes"]}), whole)
    with pytest.raises(DataError, match="row 1"):
        leaves_of(whole)
    whole.write_bytes(whole.read_bytes()[:-9])

    with pytest.raises(DataError, match="damaged or not Parquet"):
        leaves_of(whole)
