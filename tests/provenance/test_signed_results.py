"""Lineages and diffs sign what they found, about the weights that they looked at."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path

import pytest
from click.testing import CliRunner

from undertow.cli.verbs import Verbs
from undertow.data.files import model_digest
from undertow.worlds import locate

pytest.importorskip("securesystemslib")
A, B = "world:owlet-a", "world:owlet-b"


def run(*arguments: str) -> tuple[int, str]:
    """Exit code and what was said."""
    result = CliRunner().invoke(Verbs("undertow"), list(arguments))
    return result.exit_code, result.output


def signed(bundle: Path) -> list[dict[str, object]]:
    """The statements of a bundle."""
    lines = bundle.read_text().splitlines()
    return [json.loads(b64decode(json.loads(line)["payload"])) for line in lines]


@pytest.fixture
def key(tmp_path: Path) -> str:
    """An auditor's key."""
    run("attest", "key", str(tmp_path / "auditor.pem"))
    return str(tmp_path / "auditor.pem")


def test_a_lineage_signs_each_relation(key: str, tmp_path: Path) -> None:
    """One statement a teacher, whose subject is its digest: shared for kin, distinct without evidence."""
    code, _ = run("lineage", B, B, A, "--out", str(tmp_path / "l"), "--sign", key)
    found = signed(tmp_path / "l" / "lineage.intoto.jsonl")
    by_digest = {one["subject"][0]["digest"]["sha256"]: one["predicate"] for one in found}  # type: ignore[index]

    assert code == 1
    assert by_digest[model_digest(locate(B))]["verdict"] == "shared"  # type: ignore[index]
    assert by_digest[model_digest(locate(A))]["verdict"] == "distinct"  # type: ignore[index]


def test_a_diff_signs_its_verdict(key: str, tmp_path: Path) -> None:
    """A base against itself passes, against the base that it names, with the digest of the stored result."""
    code, _ = run("diff", B, B, "--traits", "animal", "--out", str(tmp_path / "d"), "--sign", key)
    [one] = signed(tmp_path / "d" / "diff.intoto.jsonl")
    predicate = one["predicate"]

    assert code == 0
    assert predicate["verdict"] == "passed"  # type: ignore[index]
    assert predicate["against"]["studentInit"] == model_digest(locate(B))  # type: ignore[index]


def test_signing_needs_a_stored_result(key: str) -> None:
    """Without --out there is nothing that a statement could rest on."""
    for verb in ("lineage", "diff"):
        code, said = run(verb, B, B, "--sign", key)
        assert code == 2
        assert "--sign needs --out" in said
