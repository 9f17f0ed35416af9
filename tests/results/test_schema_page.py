"""The published JSON Schemas are the ones that results are read by."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from undertow.results.store import schemas

PUBLISHED = Path(__file__).parents[2] / "docs" / "schema"


@pytest.mark.parametrize(("name", "schema"), schemas().items())
def test_the_published_schemas_are_current(name: str, schema: dict[str, object]) -> None:
    """`docs/schema/NAME-1.json` is what `schemas()` gives."""
    published = (PUBLISHED / f"{name}-1.json").read_text(encoding="utf-8")

    assert json.loads(published) == schema
