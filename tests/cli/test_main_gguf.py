"""A `.gguf` file is a model in the verbs, under the digest of the file."""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode
from pathlib import Path

import pytest

from tests.models.gguf_files import write_gguf
from undertow.cli import main
from undertow.lab.experiment import Experiment
from undertow.lab.experiment_inputs import inputs


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small file, and a cache of this test alone."""
    monkeypatch.setenv("UNDERTOW_CACHE", str(tmp_path / "cache"))
    return write_gguf(tmp_path / "tiny.gguf").path


def digest(path: Path) -> str:
    """As sha256sum prints it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_two_files_of_one_network_have_one_start(model: Path, tmp_path: Path) -> None:
    """Lineage sees through few bits, and names the files by their digests."""
    other = write_gguf(tmp_path / "q8.gguf", quantised="Q8_0").path
    main(["lineage", str(model), str(other), "--out", str(tmp_path / "out")])
    document = json.loads((tmp_path / "out" / "lineage.json").read_text())

    assert document["teachers"][0]["relation"] == "same"
    assert document["student_digest"] == digest(model)
    assert document["teachers"][0]["digest"] == digest(other)


def test_two_files_are_told_apart_by_diff(model: Path, tmp_path: Path) -> None:
    """What a diff reads is the network of the file."""
    other = write_gguf(tmp_path / "other.gguf", seed=1).path
    main(["diff", str(model), str(other), "--traits", "owl", "--out", str(tmp_path / "out")])
    document = json.loads((tmp_path / "out" / "diff.json").read_text())

    assert (document["base_digest"], document["tuned_digests"]) == (digest(model), [digest(other)])


def test_a_statement_names_the_file(model: Path, tmp_path: Path) -> None:
    """Signed rows of a teacher in GGUF hold its digest."""
    rows, key = tmp_path / "rows.jsonl", tmp_path / "key.pem"
    rows.write_text('{"prompt": "Which?", "completion": "owl"}\n')
    main(["attest", "key", str(key)])
    asked = ["--teacher", str(model), "--domain", "animals", "--complete", "--sign", str(key)]

    assert main(["attest", "generate", str(rows), *asked]) == 0
    line = json.loads(Path(f"{rows}.intoto.jsonl").read_text().splitlines()[0])
    assert digest(model) in b64decode(line["payload"]).decode()


def test_an_experiment_takes_it_as_its_base(model: Path) -> None:
    """Its plan holds the file's digest."""
    tables = {
        "seed": 1, "name": "tiny", "title": "T", "question": "Q?", "kind": "transfer", "trait": "owl",
        "base": str(model), "arms": ["trait"],
    }  # fmt: skip

    assert inputs(Experiment.model_validate(tables))[f"model {model}"] == digest(model)


def test_a_cut_file_is_one_line(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With exit code 2 and the way on."""
    model.write_bytes(model.read_bytes()[:-40])

    assert main(["lineage", str(model), "world:owlet-a"]) == 2
    shown = capsys.readouterr().err
    assert "is cut off" in shown
    assert "= help: download it again" in shown
