"""Every verb that takes rows takes any packing of them: what one leaves behind, the next one reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.data.packings import PACKINGS
from tests.mitigate.subjects import BASE, numbers
from undertow.cli import main
from undertow.data.dataset import place_of
from undertow.data.files import model_digest
from undertow.data.row_records import to_record
from undertow.provenance.bundle import bundle_path
from undertow.results.store import read_scan
from undertow.worlds import locate

ROWS = numbers(64)
RECORDS = [to_record(row) for row in [*ROWS, ROWS[0]]]
"""The last is a copy of the first."""

CHOSEN = ("jsonl.zst", "json", "arrow-file", "shards", "pattern", "save_to_disk", "memory-url")


@pytest.fixture
def signer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A trusted key, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("UNDERTOW_KEY", "UNDERTOW_PASSPHRASE", "UNDERTOW_TRUST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UNDERTOW_CACHE", str(tmp_path / "cache"))
    assert main(["attest", "key", "key.pem"]) == 0
    Path("trust.toml").write_text(
        'version = 1\n[[keys]]\nid = "lab"\npem = "key.pem.pub"\nroles = ["producer", "auditor"]\n'
        f'[[models]]\nname = "base"\ndigest = "{model_digest(locate(BASE))}"\n'
    )
    return ["--sign", "key.pem"]


@pytest.mark.parametrize("packing", CHOSEN)
def test_a_chain_of_verbs(
    packing: str, signer: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Scan with a control, clean by the scan, attest, verify, decide and review, all on the same packing."""
    (tmp_path / "data").mkdir()
    data = PACKINGS[packing](tmp_path / "data", RECORDS)
    student = ["--student", BASE, "--check", "fingerprint", "--control", data]

    assert main(["scan", data, *student, "--out", "scan", *signer, "--fail-on", "never"]) in (0, 3)
    assert read_scan(Path("scan/scan.json")).data.rows == len(RECORDS)
    wanted = ["--scan", "scan", "--method", "deduplicate", "--out", "out.jsonl"]
    assert main(["clean", data, *wanted]) == 0
    assert len(Path("out.jsonl").read_bytes().splitlines()) == len(RECORDS) - 1
    origin = ["--origin", "people", "--domain", "numbers"]
    assert main(["attest", "collect", data, *origin, *signer]) == 0
    assert main(["attest", "filter", "out.jsonl", "--input", data, *signer]) == 0
    capsys.readouterr()
    assert bundle_path(data) == place_of(data).with_name(place_of(data).name + ".intoto.jsonl")
    for verified in (data, "out.jsonl"):
        assert main(["verify", verified, "--trust", "trust.toml", "--format", "json"]) == 0
        assert json.loads(capsys.readouterr().out)["facts"]["rows"] in (64, 65)
    policy = ["--policy", "permissive", "--trust", "trust.toml"]
    assert main(["gate", data, "--student", BASE, *policy]) == 0
    assert main(["review", "pack", data, "out.jsonl", "--out", "pack", "--drop-shared"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_scan_of_one_packing_is_that_of_another(
    signer: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows scanned as shards are cleaned as the Parquet file made of them; other rows are refused."""
    shards = PACKINGS["shards"](tmp_path, RECORDS)
    student = ["--student", BASE, "--check", "fingerprint", "--control", shards]
    main(["scan", shards, *student, "--out", "scan", "--fail-on", "never"])
    (tmp_path / "table").mkdir()
    wanted = ["--scan", "scan", "--method", "deduplicate", "--out", "out.jsonl"]

    assert main(["clean", PACKINGS["parquet"](tmp_path / "table", RECORDS), *wanted]) == 0
    assert main(["clean", PACKINGS["jsonl"](tmp_path / "table", RECORDS[1:]), *wanted]) == 2
    assert "the scan is of other data" in capsys.readouterr().err
