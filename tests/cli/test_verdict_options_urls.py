"""A URL is read from and never written to: a path of it would be a folder with the protocol for a name."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from undertow.cli.terminal import Session
from undertow.cli.verbs import Verbs

URL = "memory://bucket/results"
WRITES = {
    "scan": "scan rows.jsonl --student world:owlet-b --out",
    "row-scores": "scan rows.jsonl --student world:owlet-b --row-scores",
    "diff": "diff world:owlet-b world:owlet-b --out",
    "keep-controls": "diff world:owlet-b world:owlet-b --keep-controls",
    "lineage": "lineage world:owlet-b world:owlet-b --out",
    "run": "run owl --out",
    "demo": "demo --out",
    "clean": "clean rows.jsonl --scan scan.json --method deduplicate --out",
    "changed": "changed rows.jsonl --student world:owlet-b --out",
    "gate": "gate rows.jsonl --out",
    "gate-summary": "gate rows.jsonl --summary",
    "init": "init --out",
    "report": "report scan.json --format text --output",
    "verify": "verify rows.jsonl --out",
    "build": "worlds build owl --out",
    "review": "review pack runs/owl --out",
    "export": "attest export model.sig --out",
}


@pytest.mark.parametrize("name", WRITES)
def test_a_url_to_write_to_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line with the option, the URL and what is allowed; no folder of that name is left."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.sig").touch()
    done = CliRunner().invoke(Verbs("undertow"), [*WRITES[name].split(), URL], obj=Session())

    assert done.exit_code == 2
    assert f"'{URL}' is a URL; allowed: a path of this machine" in done.output.replace("\n", " ")
    assert [path.name for path in tmp_path.iterdir()] == ["model.sig"]
