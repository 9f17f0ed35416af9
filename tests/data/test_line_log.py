"""A log keeps every whole line, drops what was torn off, and says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from undertow.data.line_log import LineLog

ENTRIES = [{"at": 1, "text": "a\nb\u2028 ü 🦉 \ud83e"}, [2, None, 0.1 + 0.2], "last"]


def written(path: Path, subject: str = "rows") -> bytes:
    """A log of the entries."""
    with LineLog(path, subject) as log:
        for entry in ENTRIES:
            log.append(entry)
    return path.read_bytes()


def test_entries_come_back_as_they_were(tmp_path: Path) -> None:
    """Any text and number, in order, and new ones go behind them."""
    written(tmp_path / "log")
    with LineLog(tmp_path / "log", "rows") as log:
        assert (log.entries, log.dropped) == (ENTRIES, "")
        log.append("new")
    with LineLog(tmp_path / "log", "rows") as log:
        assert log.entries == [*ENTRIES, "new"]


def test_any_torn_end_costs_only_the_torn_line(tmp_path: Path) -> None:
    """Cut after every byte: all lines before the cut are there, the rest is dropped and said, and the log goes on."""
    content = written(tmp_path / "log")
    for cut in range(len(content)):
        path = tmp_path / "cut"
        path.write_bytes(content[:cut])
        with LineLog(path, "rows") as log:
            whole = max(content[:cut].count(b"\n") - 1, 0)
            assert log.entries == ENTRIES[:whole]
            assert bool(log.dropped) == (cut > 0 and not content[:cut].endswith(b"\n"))
            log.append("new")
        with LineLog(path, "rows") as log:
            assert (log.entries, log.dropped) == ([*ENTRIES[:whole], "new"], "")


def test_any_changed_byte_is_noticed(tmp_path: Path) -> None:
    """No entry is ever read that was not written."""
    content = written(tmp_path / "log")
    for at in range(len(content)):
        path = tmp_path / "changed"
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with LineLog(path, "rows") as log:
            assert log.entries == ENTRIES[: len(log.entries)]
            assert log.dropped


def test_a_log_of_other_work_is_not_read(tmp_path: Path) -> None:
    """It is dropped whole, and said."""
    written(tmp_path / "log", "pairs")
    with LineLog(tmp_path / "log", "rows") as log:
        assert log.entries == []
        assert "other work" in log.dropped


def test_every_entry_reaches_the_system_at_once(tmp_path: Path) -> None:
    """Another reader sees it while the log is open: a kill would not lose it."""
    with LineLog(tmp_path / "log", "rows") as log:
        log.append("now")
        assert b'"now"' in (tmp_path / "log").read_bytes()


def test_what_json_cannot_say_is_refused(tmp_path: Path) -> None:
    """A NaN would come back as no JSON."""
    with LineLog(tmp_path / "log", "rows") as log, pytest.raises(ValueError, match="JSON"):
        log.append(float("nan"))
