"""A lineage: ranked by risk, honest about what it could not measure, and usable by a policy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from undertow.audit.lineage import lineage
from undertow.audit.requests import LineageRequest
from undertow.data.files import model_digest
from undertow.errors import ModelError
from undertow.worlds import locate

B = "world:owlet-b"


def test_teachers_are_ranked_by_risk() -> None:
    """The shared start first, then what could not be measured, then what has no evidence; the last is preferred."""
    found = lineage(LineageRequest(B, ("world:owlet-a", "world:owlet-neox", B)))

    assert [one.relation for one in found.teachers] == ["same", "unknown", "none"]
    assert found.verdict == "flagged"
    assert "Prefer 'world:owlet-a'" in found.advice


def test_that_no_start_was_seen_is_not_that_there_is_none() -> None:
    """The advice claims no more than the test does."""
    found = lineage(LineageRequest(B, ("world:owlet-a",)))

    assert found.advice.startswith("With 'world:owlet-a' no common start was seen")


def test_the_unknown_counts_as_open() -> None:
    """A pair that cannot be compared is undecided, and its hidden channel counts as open."""
    found = lineage(LineageRequest(B, ("world:owlet-neox",)))

    assert found.verdict == "undecided"
    assert found.teachers[0].hidden_channel.endswith("it counts as open")
    assert found.student_digest == model_digest(locate(B))


def test_a_broken_teacher_among_others_is_an_entry(tmp_path: Path) -> None:
    """Alone it is refused; among others the others are compared all the same."""
    shutil.copytree(locate(B), tmp_path / "broken")
    file = tmp_path / "broken" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:2000])
    broken = str(tmp_path / "broken")
    with pytest.raises(ModelError, match="cannot be read"):
        lineage(LineageRequest(B, (broken,)))
    found = lineage(LineageRequest(B, (broken, "world:owlet-a")))

    assert {one.teacher: one.relation for one in found.teachers} == {
        broken: "unknown",
        "world:owlet-a": "none",
    }


def test_weights_with_nan_are_named(tmp_path: Path) -> None:
    """The reason names the tensor; nothing is said of the relation."""
    shutil.copytree(locate(B), tmp_path / "nan")
    file = tmp_path / "nan" / "model.safetensors"
    weights = load_file(file)
    weights["model.layers.1.mlp.up_proj.weight"][0, 0] = float("nan")
    save_file(weights, file)
    [one] = lineage(LineageRequest(B, (str(tmp_path / "nan"),))).teachers

    assert one.relation == "unknown"
    assert "layers.1.mlp.up_proj" in one.reason
