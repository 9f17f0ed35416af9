"""The manifest binds names and the rows their content; what has no stable content is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from undertow.data import leaf_file, records
from undertow.data.leaf_file import row_set
from undertow.data.row_leaves import SIZE, leaf, root
from undertow.errors import DataError
from undertow.provenance.identity import Entry, leaves_of, manifest_of, ordered_manifest, rows_of


def test_names_contents_and_places_are_bound(tmp_path: Path) -> None:
    """Swapping two files' contents, renaming, and moving into a folder each give another digest."""
    for name, content in (("a", "1"), ("b", "2")):
        (tmp_path / name).write_text(content)
    before = manifest_of(tmp_path).digest
    (tmp_path / "a").write_text("2")
    (tmp_path / "b").write_text("1")
    swapped = manifest_of(tmp_path).digest
    (tmp_path / "sub").mkdir()
    (tmp_path / "a").rename(tmp_path / "sub" / "a")

    assert len({before, swapped, manifest_of(tmp_path).digest}) == 3


def test_the_digest_is_the_published_rule() -> None:
    """SHA-256 over the canonical JSON of paths, digests and sizes, in the order of paths."""
    import hashlib

    entries = [Entry("b", 1, "1" * 64), Entry("a", 2, "2" * 64)]
    first = f'{{"path":"a","sha256":"{"2" * 64}","size":2}}'
    second = f'{{"path":"b","sha256":"{"1" * 64}","size":1}}'
    text = f"[{first},{second}]"

    assert ordered_manifest(entries, "x").digest == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("../a", "leads out"),
        ("/etc/passwd", "leads out"),
        ("a//b", "leads out"),
        ("a/./b", "leads out"),
        ("C:\\a", "plain characters"),
        ("a\u202eb", "cannot be seen"),
        ("a\u0000b", "cannot be seen"),
        ("e\u0301", "form NFC"),
        ("", "plain characters"),
    ],
)
def test_bad_paths_are_refused(path: str, message: str) -> None:
    """Each is named with what is wrong."""
    with pytest.raises(DataError, match=message):
        ordered_manifest([Entry(path, 1, "0" * 64)], "x")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """Pipes, empty folders and files that are not there."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="no ordinary file"):
        manifest_of(tmp_path)
    (tmp_path / "pipe").unlink()
    with pytest.raises(DataError, match="holds no file"):
        manifest_of(tmp_path)
    with pytest.raises(DataError, match="no such file"):
        manifest_of(tmp_path / "nothing")


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


def test_rows_lie_on_disk_and_not_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many: a little is held, and root, set and count are those of all leaves together."""
    monkeypatch.setattr(leaf_file, "HELD", 7 * SIZE)
    rows = rows_of(lines(tmp_path / "rows.jsonl", ROWS * 3))
    assert rows is not None
    whole = b"".join(map(leaf, ROWS)) * 3

    assert len(rows.leaves._held) < 7 * SIZE
    assert (rows.count, rows.merkle, rows.set) == (900, root(whole).hex(), row_set(whole))


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
