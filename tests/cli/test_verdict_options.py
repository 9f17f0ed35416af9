"""The folder of a result: kept from a second verb while one is at work, and on this machine."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from undertow.cli.terminal import Session
from undertow.cli.verbs import Verbs
from undertow.errors import InputError, RunDirectoryError

BASE = "world:owlet-b"
ROWS = "rows.jsonl"
VERBS = {
    "scan": ("scan", ROWS, "--student", BASE),
    "diff": ("diff", BASE, BASE),
    "lineage": ("lineage", BASE, BASE),
}


@pytest.mark.parametrize("verb", VERBS)
def test_the_second_is_refused(verb: str, tmp_path: Path) -> None:
    """Before anything is read, with the folder and what to do; once the first one is gone, it is not."""
    rows, out = tmp_path / "rows.jsonl", tmp_path / "out"
    rows.write_text('{"text": "Four."}\n', encoding="utf-8")
    out.mkdir()
    held = os.open(out, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    arguments = [*(str(rows) if word == ROWS else word for word in VERBS[verb]), "--out", str(out)]
    refused = CliRunner().invoke(Verbs("undertow"), arguments, obj=Session())
    os.close(held)
    passed = CliRunner().invoke(Verbs("undertow"), [*arguments, "--check", "none"], obj=Session())

    assert isinstance(refused.exception, RunDirectoryError)
    assert refused.exception.message == f"another process is working in '{out}'"
    assert "--out" in refused.exception.hint
    assert not isinstance(passed.exception, RunDirectoryError)
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("verb", VERBS)
def test_a_folder_that_is_read_only_is_refused_before_the_work(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not when the result is written, behind hours of it."""
    rows, out = tmp_path / "rows.jsonl", tmp_path / "out"
    rows.write_text('{"text": "Four."}\n', encoding="utf-8")
    # Root, as whom tests may run, writes anywhere.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != out)
    arguments = [*(str(rows) if word == ROWS else word for word in VERBS[verb]), "--out", str(out)]
    refused = CliRunner().invoke(Verbs("undertow"), arguments, obj=Session())

    assert isinstance(refused.exception, InputError)
    assert refused.exception.message == f"cannot write in '{out}': it is read-only"


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
