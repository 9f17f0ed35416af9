"""What a dry run says stands beside what the scan took, line by line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import scan_prices


def test_lines_that_nobody_waits_for_are_left_out() -> None:
    """A line of less than a second, said and taken, has no ratio; one that either makes longer has."""
    entry = {"lines": {"a": [0.2, 0.9, 0], "b": [0.5, 2.0, 0], "c": [3.0, 0.5, 0]}}

    assert scan_prices.compared(entry) == {"b": 0.25, "c": 6.0}


def test_rows_are_the_same_each_time() -> None:
    """They are drawn from the seed of the bench: three numbers, and ten more."""
    lines = scan_prices.number_rows(3).splitlines()

    assert lines == scan_prices.number_rows(3).splitlines()
    assert len(lines) == len(set(lines)) == 3
    assert all(len(json.loads(line)["completion"].split(", ")) == 10 for line in lines)


@pytest.mark.long
def test_each_line_of_a_scan_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small scan: every line that costs something was said and taken, and the rest of its time is small."""
    monkeypatch.setenv("UNDERTOW_CACHE", str(tmp_path))
    entry = scan_prices.reading("world:owlet-b", 64, ["owl"], 2)
    said, taken = entry["seconds"]

    assert {"control", "rows", "likelihood-ratio", "content", "rehearsal: references"} <= set(
        entry["lines"]
    )
    assert entry["references"] == 2
    assert min(one[1] for one in entry["lines"].values()) > 0
    assert said > 0
    assert 0 <= entry["elsewhere"] < taken
