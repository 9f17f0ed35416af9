"""A record of cases: what fails or outruns its time is written down and costs nothing else."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from bench.real.record import Record


def cases(path: Path) -> list[dict[str, Any]]:
    """What lies on disk."""
    written: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cases"]
    return written


def failing() -> dict[str, object]:
    """A case that raises."""
    raise ValueError("no such kernel")


def sleeping() -> dict[str, object]:
    """A case that takes longer than any of these tests gives it."""
    time.sleep(20)
    return {}


def test_a_failure_is_written_and_the_next_case_is_measured(tmp_path: Path):
    """The message stands in the file, and what comes behind is there too."""

    def both(record: Record) -> None:
        record.case("bad", failing)
        record.case("good", lambda: {"x": 1.0})

    record = Record(tmp_path / "real.json", time.monotonic(), 60, {})
    record.section("both", both, 30)
    bad, good = cases(tmp_path / "real.json")
    assert "ValueError at test_real_record.py" in bad["error"]
    assert "no such kernel" in bad["error"]
    assert good["values"] == {"x": 1.0}


def test_a_case_is_stopped_at_its_limit(tmp_path: Path):
    """A case that hangs in Python is ended, and said to be."""
    record = Record(tmp_path / "real.json", time.monotonic(), 60, {})
    record.section("slow", lambda r: r.case("sleeping", sleeping, most=0.2), 30)
    [case] = cases(tmp_path / "real.json")
    assert case["seconds"] < 10
    assert case["error"].startswith("TimeLimit")


def test_a_section_without_time_is_skipped_by_name(tmp_path: Path):
    """Nothing begins once the budget is over."""
    record = Record(tmp_path / "real.json", time.monotonic() - 60, 60, {})
    record.section("late", lambda r: r.case("never", failing), 30)
    [case] = cases(tmp_path / "real.json")
    assert (case["section"], case["error"]) == ("late", "")
    assert case["skipped"]


def test_a_section_that_fails_itself_is_recorded(tmp_path: Path):
    """What a section raises outside its cases is no end of the run."""

    def broken(record: Record) -> None:
        raise RuntimeError("no rows")

    record = Record(tmp_path / "real.json", time.monotonic(), 60, {})
    record.section("broken", broken, 30)
    assert "no rows" in cases(tmp_path / "real.json")[0]["error"]
