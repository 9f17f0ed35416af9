"""
Edits: what was changed is proved by the ledger, and whoever wrote the rows stays their writer.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.provenance.scene import OTHER, Scene, rows, signing, write_rows
from undertow.errors import ProvenanceError
from undertow.provenance.attesting import dataset
from undertow.provenance.bundle import bundle_path
from undertow.provenance.derived_rows import sign_edit
from undertow.provenance.ledger import Entries, Ledger, read_leaf_ledger, write_entries
from undertow.provenance.row_leaves import leaf
from undertow.provenance.statement import Statement
from undertow.provenance.steps import Change, Edit

LEDGER = "rows.jsonl.ledger.jsonl"


def edited(folder: Path, *, model: tuple[str, str] | None = None) -> Scene:
    """
    The scene with an edit in the filter's place: of 40 rows 10 are written anew and 4 go.
    """
    scene = Scene(folder)
    old = rows(40)
    new = old[:26] + [row | {"completion": "new"} for row in old[26:36]]
    write_rows(scene.data, new)
    entries = Entries()
    for i, row in enumerate(old):
        if i < 26:
            entries.enter(leaf(row))
        elif i < 36:
            entries.enter(leaf(row), leaf(new[i]), "rewritten")
        else:
            entries.enter(leaf(row), rule="not-rewritten")
    ledger = write_entries(folder / LEDGER, entries)
    sign_edit(
        scene.data,
        dataset(scene.raw),
        ledger,
        signing("producer"),
        params={"seed": "0"},
        model=model,
    )
    bundle = bundle_path(scene.data)
    payload = json.loads(base64.b64decode(json.loads(bundle.read_bytes())["payload"]))
    bundle.unlink()
    scene.replace("filter", Statement.model_validate(payload))
    scene.replace("audit", scene.audited())
    return scene


def test_an_edit_is_proved_and_its_model_is_a_teacher(tmp_path: Path) -> None:
    """
    The teacher of the input stays one; the model that wrote anew is another.
    """
    document = edited(tmp_path, model=("rewriter", OTHER)).ask()
    found = document.verification.facts
    about = [link for link in document.verification.links if "changed" in link.about]

    assert document.verification.verdict == "verified"
    assert found.filters_proved
    assert found.rows == 36
    assert {(one.name, one.role, one.shared) for one in found.teachers} == {
        ("teacher", "teacher", "yes"),
        ("rewriter", "teacher", "no"),
    }
    assert [link.about["changed"] for link in about] == ["rewritten (10 rows)"]


@pytest.mark.parametrize("attack", ["kept", "other", "dropped", "again"])
def test_a_ledger_that_says_something_else_is_no_proof(tmp_path: Path, attack: str) -> None:
    """
    A changed row as a kept one, another row in its place, a line left out, a line twice.
    """
    scene = edited(tmp_path)
    path = tmp_path / LEDGER
    lines = path.read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if '"now"' in line)
    entry: dict[str, Any] = json.loads(lines[at])
    if attack == "kept":
        lines[at] = json.dumps({"leaf": entry["leaf"]})
    elif attack == "other":
        lines[at] = json.dumps(entry | {"now": "0" * 64})
    elif attack == "dropped":
        del lines[at]
    else:
        lines.append(lines[at])
    path.write_text("\n".join(lines) + "\n")
    document = scene.ask()

    assert "ledger" in document.verification.facts.problems
    assert not document.verification.facts.filters_proved


def test_a_ledger_is_read_as_it_was_written(tmp_path: Path) -> None:
    """
    Both sets of rows come out of it: those before, and those after.
    """
    entries = Entries()
    a, b, c, d = (bytes([i]) * 32 for i in range(4))
    entries.enter(a)
    entries.enter(b, c, "masked")
    entries.enter(d, rule="copy")
    written = write_entries(tmp_path / "ledger.jsonl", entries)
    found = read_leaf_ledger(tmp_path / "ledger.jsonl")

    assert found == written
    assert (found.rows_in, found.rows_out) == (3, 2)
    assert found.input_set == Ledger(a + b + d, {}, "").output_set
    assert found.output_set == Ledger(a + c, {}, "").output_set


@pytest.mark.parametrize(
    "line",
    [
        {"leaf": "0" * 64, "now": "1" * 64},
        {"leaf": "0" * 64, "now": "1" * 63, "rule": "x"},
        {"leaf": "0" * 64, "now": None, "rule": ""},
        {"leaf": "0" * 64, "now": 7, "rule": "x"},
    ],
)
def test_an_entry_that_is_none_is_named(tmp_path: Path, line: dict[str, Any]) -> None:
    """
    A change without a rule, and what is no digest.
    """
    path = tmp_path / "ledger.jsonl"
    path.write_text(json.dumps(line) + "\n")
    with pytest.raises(ProvenanceError, match="line 1"):
        read_leaf_ledger(path)


def test_numbers_that_do_not_add_up_are_no_edit() -> None:
    """
    Rows that went are counted by rule, and no more rows change than there are.
    """
    sound = {
        "changes": (Change(id="masked", rows="2"),),
        "rows_in": "3",
        "rows_out": "3",
        "input_set": "0" * 64,
    }
    Edit.model_validate(sound)
    for wrong in (
        {"rows_out": "2"},
        {"changes": (Change(id="masked", rows="4"),)},
        {"changes": (Change(id="masked", rows="1"), Change(id="masked", rows="1"))},
        {"changes": ()},
    ):
        with pytest.raises(ValueError, match=r"twice|rowsOut|more rows|at least 1"):
            Edit.model_validate(sound | wrong)
