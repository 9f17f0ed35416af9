"""Statements about datasets of any packing are verified; those about folders of older versions still are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.packings import PACKINGS, RECORDS, comma_separated, json_lines
from tests.provenance.scene import NOW, Scene, signing
from undertow.errors import DataError
from undertow.provenance.data_steps import Collect
from undertow.provenance.identity import manifest_of, older_rows
from undertow.provenance.signed_steps import dataset, sign_beside, step_statement
from undertow.provenance.statement import StatementSubject
from undertow.provenance.trust import read_trust
from undertow.provenance.verify import VerifyRequest, verify
from undertow.results.provenance_documents import VerifyDocument


def attested(data: str, subject: StatementSubject, folder: Path) -> VerifyDocument:
    """What is verified of a dataset that people wrote, as a statement about the subject says."""
    said = Collect(origin="people", domain="numbers")
    statement = step_statement("collect", [subject], said, finished=NOW)
    sign_beside(data, [statement], signing("producer"))
    (folder / "scene").mkdir()
    trust = read_trust(Scene(folder / "scene").trust_file(), now=NOW)
    return verify(VerifyRequest(data), trust, NOW)


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_statement_about_any_packing_is_verified(
    packing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its rows counted; their root is the same for all."""
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    data = PACKINGS[packing](tmp_path / "data", RECORDS)
    subject = dataset(data)
    document = attested(data, subject, tmp_path)

    assert document.verdict == "verified", document.conclusion
    assert subject.annotations["rows"] == "9" == str(document.facts.rows)
    (tmp_path / "plain").mkdir()
    plain = dataset(PACKINGS["jsonl"](tmp_path / "plain", RECORDS))
    assert subject.annotations["rowMerkle"] == plain.annotations["rowMerkle"]


@pytest.mark.parametrize("further", ["more.csv", ".hidden.jsonl", "rows.jsonl.intoto.jsonl"])
def test_a_folder_that_was_attested_before_is_still_verified(further: str, tmp_path: Path) -> None:
    """Its rows were those of all its `.jsonl` and `.parquet` files, hidden ones too, whatever else lay there."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "rows.jsonl").write_bytes(json_lines(RECORDS[:5]))
    content = comma_separated(RECORDS[5:]) if further.endswith("csv") else json_lines(RECORDS[5:])
    (folder / further).write_bytes(content)
    rows = older_rows(folder)
    document = attested(str(folder), dataset(folder, rows=rows), tmp_path)

    assert rows is not None
    assert rows.count == (5 if further.endswith("csv") else 9)
    assert document.verdict == "verified", document.conclusion


def test_a_folder_without_rows_is_attested_by_its_files(tmp_path: Path) -> None:
    """Nothing is said of rows then."""
    (tmp_path / "notes.txt").write_text("a")

    assert set(dataset(tmp_path).annotations) == {"manifest"}


def test_changed_rows_are_found_in_any_packing(tmp_path: Path) -> None:
    """A statement with another root than that of the rows on disk is refused."""
    data = PACKINGS["shards"](tmp_path, RECORDS)
    true = dataset(data)
    false = true.model_copy(
        update={"annotations": dict(true.annotations) | {"rowMerkle": "0" * 64}}
    )
    (tmp_path.parent / "elsewhere").mkdir(exist_ok=True)
    document = attested(data, false, tmp_path.parent / "elsewhere")

    assert document.verdict == "refused"
    assert "rowMerkle" in document.conclusion


def test_a_split_on_the_hub_is_attested_by_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no file here: its bundle lies in the working directory, and other rows are other content."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.load_dataset", lambda *names, **more: iter(RECORDS))
    document = attested("org/name:small@train", dataset("org/name:small@train"), tmp_path)

    assert document.verdict == "verified", document.conclusion
    assert (tmp_path / "org-name-small@train.intoto.jsonl").is_file()
    monkeypatch.setattr("datasets.load_dataset", lambda *names, **more: iter(RECORDS[1:]))
    trust = read_trust(Scene(tmp_path / "scene").trust_file(), now=NOW)
    again = verify(VerifyRequest("org/name:small@train"), trust, NOW)
    assert again.verdict == "refused"
    assert "other content" in again.conclusion


def test_names_of_shards_are_bound(tmp_path: Path) -> None:
    """A pattern's digest changes with a shard's name, and links in it are refused."""
    (tmp_path / "a.jsonl").write_bytes(json_lines(RECORDS[:4]))
    (tmp_path / "b.jsonl").write_bytes(json_lines(RECORDS[4:]))
    before = manifest_of(f"{tmp_path}/*.jsonl").digest
    (tmp_path / "b.jsonl").rename(tmp_path / "c.jsonl")

    assert manifest_of(f"{tmp_path}/*.jsonl").digest != before
    (tmp_path / "d.jsonl").symlink_to(tmp_path / "a.jsonl")
    with pytest.raises(DataError, match="symbolic link"):
        manifest_of(f"{tmp_path}/*.jsonl")
