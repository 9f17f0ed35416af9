"""
The published JSON Schema is the one that results are read by.
"""

from __future__ import annotations

import json
from pathlib import Path

from undertow.results.store import run_schema

PUBLISHED = Path(__file__).parents[2] / "docs" / "schema" / "run-1.json"


def test_the_published_schema_is_current() -> None:
    """
    `docs/schema/run-1.json` is what `run_schema()` gives.
    """
    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == run_schema()
