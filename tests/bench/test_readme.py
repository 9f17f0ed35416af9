"""README's figures are those of the committed results, and every result holds a value for each."""

from __future__ import annotations

import json
import re

import pytest

from bench.figures import BENCH, Figure, at_least, at_most
from bench.readme import MARKED, README, written

RESULTS = sorted(BENCH.glob("*/results.json"))
KEYS = {"name", "value", "low", "high", "unit", "target", "met"}


def test_readme_shows_the_committed_figures() -> None:
    """`python -m bench.readme` would change nothing."""
    text = README.read_text(encoding="utf-8")

    assert {found[2] for found in MARKED.finditer(text)} == {path.parent.name for path in RESULTS}
    assert written(text) == text


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.parent.name)
def test_results_follow_their_schema(path: object) -> None:
    """
    Commit, hardware, time, and for each figure its value, interval, target and whether it was met.
    """
    document = json.loads(path.read_text(encoding="utf-8"))  # type: ignore[attr-defined]

    assert document["schema"] == "undertow.bench/1"
    assert re.fullmatch(r"[0-9a-f]{7,40}(-dirty)?", document["commit"])
    assert document["figures"]
    assert all(set(figure) >= KEYS for figure in document["figures"])


def test_targets_can_be_missed() -> None:
    """A figure on the wrong side of its target is not met."""
    assert at_least("a", 1, 2, "s") == Figure("a", 1, "s", "at least 2", False)
    assert at_most("a", 1, 2, "s").met
