"""The published JSON Schemas are the ones that results are read by."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from undertow.results.measurement import OF_REFERENCES
from undertow.results.scan_document import FormerScanDocument
from undertow.results.store import schemas

PUBLISHED = Path(__file__).parents[2] / "docs" / "schema"


@pytest.mark.parametrize(("name", "schema"), schemas().items())
def test_the_published_schemas_are_current(name: str, schema: dict[str, object]) -> None:
    """`docs/schema/NAME.json` is what `schemas()` gives."""
    published = (PUBLISHED / f"{name}.json").read_text(encoding="utf-8")

    assert json.loads(published) == schema


def test_the_schema_of_former_scans_is_the_one_they_are_read_by() -> None:
    """`scan-1.json` stays as it was published: the same records with the same keys, of which the same are required."""
    published = json.loads((PUBLISHED / "scan-1.json").read_text(encoding="utf-8"))
    read = json.loads(
        json.dumps(FormerScanDocument.model_json_schema(by_alias=True)).replace(
            "FormerSubjectResult", "SubjectResult"
        )
    )
    records = [
        (published, read),
        *((entry, read["$defs"][name]) for name, entry in published["$defs"].items()),
    ]

    assert published["$defs"].keys() == read["$defs"].keys()
    assert all(set(was["properties"]) == set(now["properties"]) for was, now in records)
    assert all(
        set(was.get("required", ())) - {"schema"} == set(now.get("required", ()))
        for was, now in records
    )


@pytest.mark.parametrize("name", ["scan-1", "diff-1", "lineage-1"])
def test_words_of_references_are_in_the_schema_of_scans_alone(name: str) -> None:
    """A published enumeration does not grow under those who read it."""
    published = (PUBLISHED / f"{name}.json").read_text(encoding="utf-8")

    assert not [word for word in OF_REFERENCES if f'"{word}"' in published]
    assert all(f'"{word}"' in json.dumps(schemas()["scan-2"]) for word in OF_REFERENCES)
