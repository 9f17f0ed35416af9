"""The check `lineage-metadata`: what the files of two models declare of where they come from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from undertow.checks.lineage.lineage_subject import LineageSubject, Side
from undertow.results.measurement import Measurement, skipped

ID = "lineage-metadata"
_SHAPE = ("model_type", "hidden_size", "num_hidden_layers", "intermediate_size", "vocab_size")
_FRONT = re.compile(r"\A---\s*\n(.*?)\n---\s*(?:\n|\Z)", re.DOTALL)
_BASE = re.compile(r"^base_model:\s*(.*)$", re.MULTILINE)
_RELATION = re.compile(r"^base_model_relation:\s*(\S+)\s*$", re.MULTILINE)
_LONGEST_CARD = 1 << 20


def lineage_metadata(subject: LineageSubject) -> list[Measurement]:
    """
    Reads what the files of two models declare: base, relation and shape.

    Sources are the card (`base_model` and `base_model_relation` in the head of README.md), the adapter's configuration
    (`base_model_name_or_path`), the configuration's `_name_or_path`, and the shape that it gives. The estimate is 1
    where one model declares the other, or both declare one base; 0 where they declare different ones.

    Why it matters. Most descendants say where they come from, and then nothing needs to be measured.

    What it cannot tell you. Whether it is true: anybody can write a card, and most models have none. It is a
    declaration, never evidence, and decides nothing here. An equal shape says that the weights can be compared, not
    that they are related.

    What to do. Hold it against `lineage-weights`. A declared base that the weights deny is worth a question to its author.

    Numbers beside it: what each model declares, its relation, and whether the shapes are equal.
    """
    sides = (subject.student, subject.teacher)
    if any(side.folder is None for side in sides):
        return [skipped(ID, subject.name, "a model that is asked over HTTP shows no files")]
    ours, theirs = (_declared(side) for side in sides)
    bases = [{name for name in (side["base"], *side["names"]) if name} for side in (ours, theirs)]
    common = bases[0] & bases[1]
    shapes = [{key: side["config"].get(key) for key in _SHAPE} for side in (ours, theirs)]
    known = bool(ours["base"] and theirs["base"]) or bool(common)
    if common:
        reason = f"both declare '{sorted(common)[0]}'; declared only, not measured"
    elif known:
        reason = (
            f"they declare '{ours['base']}' and '{theirs['base']}'; declared only, not measured"
        )
    else:
        reason = "at least one of them declares no base"
    return [
        Measurement(
            check=ID,
            name="declared base",
            subject=subject.name,
            estimate=float(bool(common)) if known else None,
            unit="1: the same",
            reason=reason,
            details={
                "student declares": str(ours["base"] or "nothing"),
                "teacher declares": str(theirs["base"] or "nothing"),
                "student's relation": str(ours["relation"] or "nothing"),
                "teacher's relation": str(theirs["relation"] or "nothing"),
                "equal shape": int(shapes[0] == shapes[1]),
            },
        )
    ]


def _declared(side: Side) -> dict[str, Any]:
    from undertow.models.model_folder import read_object

    folder, *adapters = side.folders
    config = read_object(folder / "config.json", side.ref)
    # The first was trained on the base; those after it on what the others had made of it.
    adapter = read_object(adapters[0] / "adapter_config.json", side.ref) if adapters else {}
    base, relation = _card(folder / "README.md")
    names = [config.get("_name_or_path"), adapter.get("base_model_name_or_path")]
    return {
        "base": base or adapter.get("base_model_name_or_path"),
        "relation": relation or ("adapter" if adapter else None),
        "config": config,
        "names": [str(name) for name in names if name],
    }


def _card(path: Path) -> tuple[str | None, str | None]:
    """`base_model` and `base_model_relation` of a card: single values only, as its YAML is not trusted to be parsed."""
    if not path.is_file():
        return None, None
    with path.open(encoding="utf-8", errors="replace") as file:
        head = _FRONT.match(file.read(_LONGEST_CARD))
    if head is None:
        return None, None
    base, relation = _BASE.search(head[1]), _RELATION.search(head[1])
    listed = re.search(r"^base_model:\s*\n\s*-\s*(\S+)", head[1], re.MULTILINE)
    value = (listed[1] if listed else base[1] if base else "").strip().strip("'\"[]")
    return value or None, relation[1] if relation else None
