"""The same records in any packing are the same dataset: equal rows, counts and digest."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.packings import PACKINGS, RECORDS
from undertow.data.dataset import open_dataset
from undertow.data.file_sample import screen_file
from undertow.data.part_leaves import dataset_root
from undertow.data.records import read_objects, read_rows
from undertow.data.row_leaves import leaf, root
from undertow.data.row_shapes import from_record
from undertow.provenance.identity import rows_of

ROWS = [from_record(record) for record in RECORDS]
ROOT = root(b"".join(leaf(record) for record in RECORDS)).hex()


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_packing_changes_neither_rows_nor_digest(packing: str, tmp_path: Path) -> None:
    """Rows, records, the digest, and what statements say of the rows."""
    data = PACKINGS[packing](tmp_path, RECORDS)
    rows = rows_of(data)

    assert list(read_rows(data)) == ROWS
    assert [record for _, record in read_objects(data)] == RECORDS
    assert dataset_root(data) == ROOT == (rows and rows.merkle)


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_screen_of_a_packing_finds_the_same(packing: str, tmp_path: Path) -> None:
    """Counts, sources, digest and the sample; only places and notes name the files."""
    screened = screen_file(PACKINGS[packing](tmp_path, RECORDS), max_rows=5, seed=3)
    (tmp_path / "plain").mkdir()
    plain = screen_file(PACKINGS["jsonl"](tmp_path / "plain", RECORDS), max_rows=5, seed=3)

    assert (screened.rows, screened.by_source) == (plain.rows, plain.by_source)
    assert screened.data.digest == ROOT
    assert (screened.data.rows, screened.data.sources) == (9, {"a": 5, "b": 4})


def test_a_row_of_a_folder_is_named_by_its_shard(tmp_path: Path) -> None:
    """Rows are numbered from 1 in each shard; shards come in the order of their names."""
    places = [place for place, _ in read_objects(PACKINGS["shards"](tmp_path, RECORDS))]

    assert places[0] == f"'{tmp_path}/inner/part-00.jsonl', row 1"
    assert places[4] == f"'{tmp_path}/inner/part-01.jsonl', row 1"


def test_what_is_passed_over_is_named(tmp_path: Path) -> None:
    """Descriptions, hidden files and attestations beside the rows."""
    dataset = open_dataset(PACKINGS["shards"](tmp_path, RECORDS))

    assert [Path(path).name for path in dataset.passed_over] == [
        ".hidden.jsonl",
        "README.md",
        "dataset_info.json",
        "rows.jsonl.intoto.jsonl",
    ]
    assert "3 shards" in dataset.notes[0]
    assert "passed over" in dataset.notes[1]
