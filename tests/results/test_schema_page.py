"""
The published JSON Schemas are the ones that results are read by.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from undertow.results.store import (
    diff_schema,
    gate_schema,
    lineage_schema,
    run_schema,
    scan_schema,
    verify_schema,
)

PUBLISHED = Path(__file__).parents[2] / "docs" / "schema"


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        ("run", run_schema()),
        ("scan", scan_schema()),
        ("lineage", lineage_schema()),
        ("diff", diff_schema()),
        ("verify", verify_schema()),
        ("gate", gate_schema()),
    ],
)
def test_the_published_schemas_are_current(name: str, schema: dict[str, object]) -> None:
    """
    `docs/schema/NAME-1.json` is what `NAME_schema()` gives.
    """
    published = (PUBLISHED / f"{name}-1.json").read_text(encoding="utf-8")

    assert json.loads(published) == schema
