"""`undertow clean` as a user types it: rows, ledger and attestation left behind, and what the gate makes of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.mitigate.rows.test_cleaning import scan_of
from tests.mitigate.subjects import BASE, digest, numbers
from undertow.cli import main
from undertow.data.row_records import write_rows
from undertow.provenance.ledger import read_leaf_ledger
from undertow.results.store import write_result


@pytest.fixture
def scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The stored scan of rows.jsonl, in the current folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("UNDERTOW_KEY", "UNDERTOW_PASSPHRASE", "UNDERTOW_TRUST"):
        monkeypatch.delenv(name, raising=False)
    write_rows("rows.jsonl", numbers(24))
    document = scan_of(Path("rows.jsonl"), largest_safe_dose=0.5)
    write_result(
        Path("scan.json"), document.model_copy(update={"student": BASE, "student_digest": digest()})
    )
    return "scan.json"


def clean(scan: str, *more: str) -> int:
    """The verb, into out.jsonl."""
    return main(["clean", "rows.jsonl", "--scan", scan, "--out", "out.jsonl", *more])


def test_a_change_leaves_rows_and_a_ledger(scan: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What was done is said with its settings, and the next command."""
    assert clean(scan, "--method", "replace-tokens", "--at-random") == 0
    said = capsys.readouterr().out
    ledger = read_leaf_ledger(Path("out.jsonl.ledger.jsonl"))

    assert "tokens-replaced" in said
    assert "by: lot" in said
    assert f"undertow scan out.jsonl --student {BASE}" in said
    assert ledger.rows_in == ledger.rows_out == 24
    assert ledger.changes["tokens-replaced"] > 20


def test_a_share_of_gpus_is_a_ray_nodes(scan: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Without Ray it is refused; with one it reaches the work."""
    asked = ["--method", "mask-tokens", "--gpus-per-job", "0.5"]

    assert clean(scan, *asked) == 2
    assert "0.5 GPUs for each job is a share of a Ray node" in capsys.readouterr().err
    assert clean(scan, *asked, "--engine", "ray://127.0.0.1:1") == 2
    assert "no Ray cluster answers at '127.0.0.1:1'" in capsys.readouterr().err


def test_masked_rows_are_said_to_be_trained_on_and_not_scanned(
    scan: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A scan reads the text, of which nothing changed."""
    assert clean(scan, "--method", "mask-tokens") == 0
    assert "SFTTrainer" in capsys.readouterr().out


def test_a_signed_change_is_verified_and_its_model_is_a_source(
    scan: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Verification finds the edit, its proof, and the base that wrote the new completions."""
    for key in ("producer", "auditor"):
        assert main(["attest", "key", f"{key}.pem"]) == 0
    Path("trust.toml").write_text(
        'version = 1\n[[keys]]\nid = "lab"\npem = "producer.pem.pub"\nroles = ["producer"]\n'
        f'[[models]]\nname = "owlet-b"\ndigest = "{digest()}"\n'
    )
    sign = ["--sign", "producer.pem"]
    assert (
        main(["attest", "collect", "rows.jsonl", "--origin", "people", "--domain", "n", *sign]) == 0
    )
    assert clean(scan, "--method", "rewrite", *sign) == 0
    capsys.readouterr()
    main(["verify", "out.jsonl", "--trust", "trust.toml", "--student", BASE, "--format", "json"])
    document = json.loads(capsys.readouterr().out)

    assert document["verdict"] == "verified"
    assert [one["role"] for one in document["facts"]["teachers"]] == ["teacher"]
    assert document["facts"]["shared_initialisation"] == "yes"
    assert document["facts"]["filters_proved"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--method", "inoculate"], "needs a trait"),
        (["--method", "mask-tokens", "--student", "world:owlet-a"], "another student"),
        (["--method", "mask-tokens", "--trait", "owll"], "did you mean 'owl'"),
        (["--method", "rewrite", "--dose", "2"], "2.0 is not in the range"),
        (["--method", "mask"], "mask-tokens"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    scan: str, more: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr, with an exit code that is not 0, and no output."""
    assert clean(scan, *more) != 0
    assert said in capsys.readouterr().err
    assert not Path("out.jsonl").exists()
