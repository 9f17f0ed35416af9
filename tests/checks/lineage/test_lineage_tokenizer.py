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
