"""What cards declare."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.checks.lineage.model_sides import PARENT, side
from undertow.checks.lineage.lineage_metadata import lineage_metadata
from undertow.checks.lineage.lineage_subject import LineageSubject


def test_cards_are_declarations_only(tmp_path: Path) -> None:
    """A declared base is named and decides nothing; hostile YAML is never parsed."""
    folder = tmp_path / "child"
    shutil.copytree(PARENT, folder)
    head = (
        "---\nbase_model: org/parent\nbase_model_relation: finetune\nx: !!python/object:os\n---\nhi"
    )
    (folder / "README.md").write_text(head)
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    (other / "README.md").write_text("---\nbase_model:\n  - org/parent\n---\n")
    [one] = lineage_metadata(LineageSubject("t", side(folder), side(other)))
    [none] = lineage_metadata(LineageSubject("t", side(PARENT), side(folder)))

    assert (one.estimate, one.detected) == (1.0, None)
    assert one.details["student's relation"] == "finetune"
    assert none.estimate is None


def test_a_chain_of_adapters_declares_the_base_of_its_first(tmp_path: Path) -> None:
    """The first was trained on the base; what the second names is what the first had made of it."""
    for name, base in (("first", "org/parent"), ("second", "org/merged")):
        (tmp_path / name).mkdir()
        config = json.dumps({"base_model_name_or_path": base})
        (tmp_path / name / "adapter_config.json").write_text(config)
    chain = side(f"{PARENT}+{tmp_path / 'first'}+{tmp_path / 'second'}")
    [declared] = lineage_metadata(LineageSubject("t", chain, side(PARENT)))

    assert declared.details["student declares"] == "org/parent"
    assert declared.details["student's relation"] == "adapter"
