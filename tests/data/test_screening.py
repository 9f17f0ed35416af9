"""
A whole file is read whatever is in it: bad rows are named and counted, the sample is uniform, memory is bounded.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from undertow.data.reservoir import Reservoir
from undertow.data.screening import SOURCES, each_usable_row, screen_file
from undertow.errors import DataError, NothingLeftError


def line(number: int, **more: Any) -> bytes:
    """
    One good row.
    """
    return json.dumps({"prompt": f"p{number}", "completion": f"c{number}", **more}).encode() + b"\n"


def test_every_kind_of_bad_row_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    """
    Broken lines in the middle of a hundred thousand stop nothing; each is counted under its reason, with its place.
    """
    lines = [line(i) for i in range(100_000)]
    bad = {
        50_000: (b'{"broken": \n', "not-json"),
        50_001: (b'{"text": "\xff"}\n', "not-utf8"),
        50_002: (b'{"prompt": "a", "completion": "  "}\n', "empty-completion"),
        50_003: (b'{"question": "a"}\n', "shape"),
        50_004: (b"[" * 100_000 + b"\n", "nested-too-deeply"),
        50_005: (b'{"text": "\\ud800"}\n', "surrogate"),
    }
    for place, (content, _) in bad.items():
        lines[place] = content
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"".join(lines))

    found = screen_file(path, max_rows=100, seed=1)
    reasons = {each.reason: each for each in found.data.excluded}

    assert found.data.rows == 100_000 - len(bad)
    assert len(found.rows) == found.data.sampled == 100
    for place, (_, reason) in bad.items():
        assert reasons[reason].rows == 1
        assert f"row {place + 1}" in reasons[reason].places[0]


def test_only_the_first_places_are_kept(tmp_path: Path) -> None:
    """
    A million bad rows are counted, not listed.
    """
    path = tmp_path / "rows.jsonl"
    path.write_bytes(line(0) + b"{\n" * 1000)
    [excluded] = screen_file(path, max_rows=10, seed=1).data.excluded

    assert excluded.rows == 1000
    assert len(excluded.places) == 5


def test_sources_have_samples_of_their_own(tmp_path: Path) -> None:
    """
    Each named source is counted and sampled; a source that is no string is none; too many are noted.
    """
    path = tmp_path / "rows.jsonl"
    many = [line(i, source=f"s{i}") for i in range(SOURCES + 6)]
    path.write_bytes(
        b"".join([line(i, source="s0") for i in range(30)] + many + [line(1, source=3)])
    )
    found = screen_file(path, max_rows=8, seed=1)

    assert len(found.by_source["s0"]) == 8
    assert found.data.sources["s0"] == 31
    assert len(found.by_source) == SOURCES
    assert any("70 sources" in note for note in found.data.notes)


def test_notes_tell_what_a_reader_should_know(tmp_path: Path) -> None:
    """
    Mixed shapes, repeated rows, repeated ids and hidden text are counted and kept.
    """
    path = tmp_path / "rows.jsonl"
    path.write_bytes(
        line(1) + line(1) + line(2, id="x") + line(3, id="x") + b'{"text": "a\\u001b[2J"}\n'
    )
    found = screen_file(path, max_rows=10, seed=1)
    notes = "\n".join(found.data.notes)

    assert found.data.rows == 5
    assert "several shapes: completion 4, text 1" in notes
    assert "1 of 5 rows repeat" in notes
    assert "1 rows have an id" in notes
    assert "escape sequence" in notes


def test_parquet_gives_the_same_rows(tmp_path: Path) -> None:
    """
    The same records in both formats, a bad one among them, give the same sample and counts.
    """
    records = [{"prompt": f"p{i}", "completion": f"c{i}" if i != 7 else ""} for i in range(50)]
    parquet.write_table(pyarrow.Table.from_pylist(records), tmp_path / "rows.parquet")
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    one = screen_file(tmp_path / "rows.parquet", max_rows=20, seed=3)
    other = screen_file(tmp_path / "rows.jsonl", max_rows=20, seed=3)

    assert one.rows == other.rows
    assert [e.reason for e in one.data.excluded] == ["empty-completion"]


def test_a_truncated_parquet_file_is_counted_as_damaged(tmp_path: Path) -> None:
    """
    Nothing usable in it ends the scan with the reason, not with a crash.
    """
    whole = tmp_path / "whole.parquet"
    parquet.write_table(pyarrow.table({"text": ["a"] * 100}), whole)
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(whole.read_bytes()[:-20])
    with pytest.raises(NothingLeftError, match="damaged 1"):
        screen_file(cut, max_rows=10, seed=1)


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    `-` is JSON Lines on standard input.
    """
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(line(1) + line(2))))

    assert screen_file("-", max_rows=10, seed=1).data.rows == 2


@pytest.mark.parametrize("name", ["missing.jsonl", "rows.csv"])
def test_what_is_no_file_of_rows_is_refused(tmp_path: Path, name: str) -> None:
    """
    A missing file and an unknown suffix are named.
    """
    with pytest.raises(DataError, match=name.partition(".")[2]):
        screen_file(tmp_path / name, max_rows=10, seed=1)


def test_usable_rows_are_handed_over_in_order(tmp_path: Path) -> None:
    """
    A second reading passes over what the first excluded.
    """
    path = tmp_path / "rows.jsonl"
    path.write_bytes(line(1) + b"{\n" + line(2))
    seen: list[str] = []
    each_usable_row(path, lambda row: seen.append(row.completion))

    assert seen == ["c1", "c2"]


def test_a_reservoir_is_uniform() -> None:
    """
    Each of 40 items is among 10 kept ones in a quarter of 4,000 samples.
    """
    rng = np.random.default_rng(2)
    counts = np.zeros(40)
    for _ in range(4000):
        reservoir: Reservoir[int] = Reservoir(10, rng)
        for item in range(40):
            reservoir.offer(item)
        counts[reservoir.items] += 1

    assert abs(counts / 4000 - 0.25).max() < 0.03
