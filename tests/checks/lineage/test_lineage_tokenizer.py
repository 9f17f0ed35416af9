"""Tokenizers held against each other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.checks.lineage.model_sides import PARENT, side
from undertow.checks.lineage.lineage_subject import LineageSubject
from undertow.checks.lineage.lineage_tokenizer import lineage_tokenizer
from undertow.worlds import locate


def test_tokenizers_are_compared_token_by_token(tmp_path: Path) -> None:
    """Equal ones agree wholly; one with two tokens swapped says so."""
    folder = tmp_path / "child"
    shutil.copytree(PARENT, folder)
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    vocabulary = content["model"]["vocab"]
    first, second = list(vocabulary)[100:102]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    file.write_text(json.dumps(content))
    [same] = lineage_tokenizer(LineageSubject("t", side(PARENT), side(locate("world:owlet-a"))))
    [other] = lineage_tokenizer(LineageSubject("t", side(PARENT), side(folder)))

    assert (same.estimate, same.reason) == (1.0, "the same tokenizer")
    assert other.estimate == pytest.approx(1 - 2 / len(vocabulary), abs=1e-3)


def test_an_adapters_own_tokenizer_is_the_models(tmp_path: Path) -> None:
    """One that added a token differs by it; an adapter without one leaves the base's."""
    content = json.loads((Path(PARENT) / "tokenizer.json").read_text())
    added = {**content["added_tokens"][0], "content": "<new>", "id": 100_000}
    content["added_tokens"].append(added)
    (tmp_path / "adapter").mkdir()
    [without] = lineage_tokenizer(
        LineageSubject("t", side(PARENT), side(f"{PARENT}+{tmp_path / 'adapter'}"))
    )
    (tmp_path / "adapter" / "tokenizer.json").write_text(json.dumps(content))
    [grown] = lineage_tokenizer(
        LineageSubject("t", side(PARENT), side(f"{PARENT}+{tmp_path / 'adapter'}"))
    )

    assert without.estimate == 1
    assert grown.reason == "1 tokens differ"
