"""README's figures are those of the committed results, and every result holds a value for each."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bench.experiments import MEASURED, corrected, measured
from bench.figures import BENCH, Figure, at_least, at_most
from bench.pages import FIGURES, MARKED, README, _short, headlines, written

RESULTS = sorted(BENCH.glob("*/results.json"))
KEYS = {"name", "value", "low", "high", "unit", "target", "met"}


@pytest.mark.parametrize("page", [README, FIGURES], ids=lambda page: page.name)
def test_pages_show_the_committed_figures(page: Path) -> None:
    """`python -m bench.pages` would change nothing."""
    text = page.read_text(encoding="utf-8")

    assert written(text) == text


def test_the_list_of_experiments_shows_the_committed_figures() -> None:
    """What `undertow experiments` says was measured, was; what is not in the results is in no line."""
    assert MEASURED.read_text(encoding="utf-8") == measured()


def test_p_by_holm_is_over_an_experiments_comparisons_in_a_unit() -> None:
    """Two tests in logits double the smaller p; the same runs in another unit are a family of their own."""
    shown = [
        {"name": "x: a", "unit": "logits", "note": "4 v 4, exact, p = 0.02"},
        {"name": "x: b", "unit": "logits", "note": "4 v 4, exact, p = 0.5"},
        {"name": "x: a (probability)", "unit": "probability", "note": "p = 0.03"},
        {"name": "x: time", "unit": "min", "note": ""},
    ]

    assert corrected(shown) == pytest.approx(
        {"x: a": 0.04, "x: b": 0.5, "x: a (probability)": 0.03}
    )


def test_every_result_has_its_table() -> None:
    """The page of figures has a table for each bench that has results."""
    tables = {match[2] for match in MARKED.finditer(FIGURES.read_text(encoding="utf-8"))}

    assert tables == {path.parent.name for path in RESULTS}


def test_the_headlines_hold_misses() -> None:
    """README shows at most eight headline figures, one that was missed among them."""
    lines = headlines().splitlines()[2:]

    assert len(lines) <= 8
    assert any("**no**" in line for line in lines)


def test_readme_is_read_in_two_minutes() -> None:
    """README has at most 8 kB."""
    assert len(README.read_bytes()) <= 8_000


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.parent.name)
def test_results_follow_their_schema(path: object) -> None:
    """Commit, hardware, time, and for each figure its value, interval, target and whether it was met."""
    document = json.loads(path.read_text(encoding="utf-8"))  # type: ignore[attr-defined]

    assert document["schema"] == "undertow.bench/1"
    assert re.fullmatch(r"[0-9a-f]{7,40}(-dirty)?", document["commit"])
    assert document["figures"]
    assert all(set(figure) >= KEYS for figure in document["figures"])


def test_targets_can_be_missed() -> None:
    """A figure on the wrong side of its target is not met."""
    assert at_least("a", 1, 2, "s") == Figure("a", 1, "s", "at least 2", False)
    assert at_most("a", 1, 2, "s").met


def test_a_share_of_few_runs_is_told_without_its_interval() -> None:
    """An interval that three runs cannot bound is no reason for no page."""
    share = {"unit": "probability", "value": 0.123, "low": None, "high": None}

    assert _short(share) == "12 %"
