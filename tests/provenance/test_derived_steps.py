"""Edits: what was changed is proved by the ledger, and whoever wrote the rows stays their writer."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.provenance.scene import OTHER, Scene, rows, signing, write_rows
from undertow.data import leaf_file
from undertow.data.leaf_file import row_set
from undertow.data.row_leaves import leaf
from undertow.errors import ProvenanceError
from undertow.provenance.bundle import bundle_path
from undertow.provenance.derived_steps import Edit, RowChange
from undertow.provenance.ledger import Ledger, read_leaf_ledger
from undertow.provenance.signed_steps import dataset, sign_edit
from undertow.provenance.statement import Statement, canonical

LEDGER = "rows.jsonl.ledger.jsonl"


def edited(
    folder: Path,
    *,
    model: tuple[str, str] | None = None,
    wrong: Callable[[Ledger], None] = lambda ledger: None,
) -> Scene:
    """The scene with an edit in the filter's place: of 40 rows 10 are written anew and 4 go."""
    scene = Scene(folder)
    old = rows(40)
    new = old[:26] + [row | {"completion": "new"} for row in old[26:36]]
    write_rows(scene.data, new)
    ledger = Ledger()
    for i, row in enumerate(old):
        if i < 26:
            ledger.keep(leaf(row))
        elif i < 36:
            ledger.change(leaf(row), leaf(new[i]), "rewritten")
        else:
            ledger.remove(leaf(row), "not-rewritten")
    wrong(ledger)
    ledger.write(folder / LEDGER)
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
    """The teacher of the input stays one; the model that wrote anew is another."""
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


@pytest.mark.parametrize(
    ("attack", "said"),
    [
        ("kept", "output's set"),
        ("other", "output's set"),
        ("dropped", "input's row set|rows read"),
        ("foreign", "input's row set|set of all rows"),
    ],
)
def test_a_signed_ledger_that_is_not_what_happened_is_no_proof(
    tmp_path: Path, attack: str, said: str
) -> None:
    """
    Signed by the producer as it is: a changed row entered as kept, another row in its place, a row left out, and a row
    that the input never had.
    """

    def wrong(ledger: Ledger) -> None:
        before, after = map(bytes, ledger.changed.pop("rewritten"))
        if attack == "kept":
            ledger.keep(before[:32])
            before, after = before[32:], after[32:]
        elif attack == "other":
            after = b"\0" * 32 + after[32:]
        elif attack == "dropped":
            ledger.remove(bytes(ledger.removed.pop("not-rewritten"))[32:], "not-rewritten")
        else:
            before = b"\0" * 32 + before[32:]
        ledger.change(before, after, "rewritten")

    document = edited(tmp_path, wrong=wrong).ask()
    [problem] = [p for p in document.verification.problems if p.id == "ledger"]

    assert re.search(said, problem.message)
    assert not document.verification.facts.filters_proved


def test_a_ledger_changed_after_it_was_signed_is_no_proof(tmp_path: Path) -> None:
    """The digest that was signed is another."""
    scene = edited(tmp_path)
    path = tmp_path / LEDGER
    path.write_text(path.read_text().replace('"rewritten"', '"masked"', 1))

    assert "ledger" in scene.ask().verification.facts.problems


def test_an_edit_without_a_model_vouches_for_no_writer(tmp_path: Path) -> None:
    """Its rows may be a model's: they count as model-written, and the teachers are not known to be all."""
    facts = edited(tmp_path).ask().verification.facts

    assert not facts.teachers_complete
    assert not facts.model_written_known


def test_a_model_that_is_used_and_not_named_is_found(tmp_path: Path) -> None:
    """Among what was used, and not in the parameters."""
    scene = edited(tmp_path, model=("rewriter", OTHER))

    def hide(table: dict[str, Any]) -> None:
        definition = table["predicate"]["buildDefinition"]
        for change in definition["externalParameters"]["changes"]:
            change.pop("modelBased", None)

    scene.changed("filter", hide)
    facts = scene.ask().verification.facts

    assert "inconsistent" in facts.problems
    assert not facts.data_complete


def test_a_ledger_is_read_as_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line a row in its one spelling; both sets of rows come out of it: those before, and those after."""
    monkeypatch.setattr(leaf_file, "HELD", 64)
    a, b, c, d, e = (bytes([i]) * 32 for i in range(5))
    ledger = Ledger(a + a + a + e)
    ledger.change(b, c, "masked")
    ledger.remove(d, 'copy \\ "ü"')
    ledger.write(tmp_path / "ledger.jsonl")
    found = read_leaf_ledger(tmp_path / "ledger.jsonl")
    lines = [{"leaf": leaf.hex()} for leaf in (a, a, a, e)]
    lines += [
        {"leaf": d.hex(), "rule": 'copy \\ "ü"'},
        {"leaf": b.hex(), "now": c.hex(), "rule": "masked"},
    ]

    assert (tmp_path / "ledger.jsonl").read_bytes().split(b"\n") == [*map(canonical, lines), b""]
    assert vars(found) == vars(ledger)
    assert found.input_set == row_set(a + a + a + b + d + e)
    assert found.output_set == row_set(a + a + a + c + e)


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
    """A change without a rule, and what is no digest."""
    path = tmp_path / "ledger.jsonl"
    path.write_text(json.dumps(line) + "\n")
    with pytest.raises(ProvenanceError, match="line 1"):
        read_leaf_ledger(path)


def test_numbers_that_do_not_add_up_are_no_edit() -> None:
    """Rows that went are counted by rule, and no more rows change than there are."""
    sound = {
        "changes": (RowChange(id="masked", rows="2"),),
        "rows_in": "3",
        "rows_out": "3",
        "input_set": "0" * 64,
    }
    Edit.model_validate(sound)
    for wrong in (
        {"rows_out": "2"},
        {"changes": (RowChange(id="masked", rows="4"),)},
        {"changes": (RowChange(id="masked", rows="1"), RowChange(id="masked", rows="1"))},
        {"changes": ()},
    ):
        with pytest.raises(ValueError, match=r"twice|rowsOut|more rows|at least 1"):
            Edit.model_validate(sound | wrong)
