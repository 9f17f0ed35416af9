"""A whole file is read whatever is in it: bad rows are named and counted, the sample is uniform, memory is bounded."""

from __future__ import annotations

import io
import json
import os
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from undertow.data import json_records, records, row_pass
from undertow.data.dataset import open_dataset
from undertow.data.file_sample import SOURCES, Screened, each_usable_row, screen_file
from undertow.data.records import read_rows
from undertow.data.row_leaves import leaf, root
from undertow.data.row_pass import PIECE
from undertow.data.rows import Row
from undertow.errors import DataError, NothingLeftError


def line(number: int, **more: Any) -> bytes:
    """One good row."""
    return json.dumps({"prompt": f"p{number}", "completion": f"c{number}", **more}).encode() + b"\n"


def screened(folder: Path, *lines: bytes, rows: int = 100, **more: Any) -> Screened:
    """A screen of a file of these lines."""
    path = folder / "rows.jsonl"
    path.write_bytes(b"".join(lines))
    return screen_file(path, max_rows=rows, seed=1, **more)


BAD = {
    50_000: (b'{"broken": \n', "not-json"),
    50_001: (b'{"text": "\xff"}\n', "not-utf8"),
    50_002: (b'{"prompt": "a", "completion": "  "}\n', "empty-completion"),
    50_003: (b'{"question": "a"}\n', "shape"),
    50_004: (b"[" * 100_000 + b"\n", "nested-too-deeply"),
    50_005: (b'{"text": "\\ud800"}\n', "surrogate"),
}
"""Bad lines by their place, and the reason of each."""


def test_every_kind_of_bad_row_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    """Broken lines in the middle of a hundred thousand stop nothing; each is counted under its reason, with its place."""
    lines = [line(i) for i in range(100_000)]
    for number, (content, _) in BAD.items():
        lines[number] = content
    found = screened(tmp_path, *lines)

    assert found.data.rows == 100_000 - len(BAD)
    assert len(found.rows) == found.data.sampled == 100
    assert {each.reason: each.rows for each in found.data.excluded} == {
        reason: 1 for _, reason in BAD.values()
    }
    assert sorted(place.partition(": ")[0] for e in found.data.excluded for place in e.places) == [
        f"'{tmp_path / 'rows.jsonl'}', row {number + 1}" for number in BAD
    ]


def test_the_digest_is_that_of_the_records(tmp_path: Path) -> None:
    """The root over all records' leaves: blank lines and spaces do not count, a bad row and the order do."""
    digest = screened(tmp_path, line(1) + b"\n{\n" + line(2).strip()).data.digest
    leaves = [leaf({"prompt": f"p{i}", "completion": f"c{i}"}) for i in (1, 2)]

    assert digest == screened(tmp_path, line(1).replace(b": ", b":"), b"{\n", line(2)).data.digest
    assert screened(tmp_path, line(1), line(2)).data.digest == root(b"".join(leaves)).hex()
    for other in ([line(1), b"}\n", line(2)], [line(1), line(2), b"{\n"], [line(1), line(2)]):
        assert screened(tmp_path, *other).data.digest != digest


def test_the_usable_rows_are_those_that_reading_gives(tmp_path: Path) -> None:
    """With room for all, the sample is the file; every place names its row."""
    path = tmp_path / "rows.jsonl"
    found = screened(tmp_path, *(line(i) for i in range(3000)), rows=5000)
    rows = list(read_rows(path))

    assert sorted(row.completion for row in found.rows) == sorted(row.completion for row in rows)
    assert [f"'{path}', row {int(row.completion[1:]) + 1}" for row in found.rows] == list(
        found.places
    )


def test_progress_is_told(tmp_path: Path) -> None:
    """The number of usable rows, a piece at a time."""
    told: list[int] = []
    lines = [line(i) for i in range(PIECE + 100)]
    lines[1500] = b"{\n"
    screened(tmp_path, *lines, progress=told.append)

    assert told == [PIECE, PIECE + 99]


def test_a_seed_gives_its_sample(tmp_path: Path) -> None:
    """The same seed the same rows, another seed others."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"".join(line(i) for i in range(2000)))
    one, same, other = (screen_file(path, max_rows=50, seed=seed).rows for seed in (1, 1, 2))

    assert one == same
    assert one != other


def test_sources_have_samples_of_their_own(tmp_path: Path) -> None:
    """Each of the first sources is counted and sampled; a source that is no string is none; further ones are noted."""
    lines = [line(i, source="s0") for i in range(30)]
    lines += [line(i, source=f"s{i}") for i in range(SOURCES + 6)] + [line(1, source=3)]
    found = screened(tmp_path, *lines, max_rows_a_source=8)

    assert len(found.by_source["s0"]) == 8
    assert found.data.sources == {"s0": 31} | {f"s{i}": 1 for i in range(1, SOURCES)}
    assert "6 rows of further ones ('s64', 's65', 's66', …)" in "\n".join(found.data.notes)
    assert f"1 of {SOURCES + 37} rows name no source" in found.data.notes


def test_notes_tell_what_a_reader_should_know(tmp_path: Path) -> None:
    """Mixed shapes, repeated rows, repeated ids and hidden text are counted, and the rows are kept."""
    found = screened(
        tmp_path,
        line(1) + line(1) + line(2, id="x") + line(3, id="x"),
        b'{"text": "a\\u001b[2J"}\n',
    )

    assert found.data.rows == 5
    assert found.data.notes == (
        "rows of several shapes: 'prompt' + 'completion' (plain text) 4, 'text' (plain text) 1",
        "1 of 5 rows repeat the content of an earlier one",
        "1 of 2 rows have an id that an earlier one has",
        "hidden text (escape sequence): 1 rows, the first is row 5",
    )


def test_a_clean_file_has_no_notes(tmp_path: Path) -> None:
    """One shape, every row once, ordinary text in several scripts."""
    lines = [line(i, id=i) for i in range(2000)] + [line(7, text=None, note="数字 – naïve\n")]
    lines[-1] = lines[-1].replace(b"c7", "数字 – naïve".encode())

    assert screened(tmp_path, *lines).data.notes == ()


def test_memory_does_not_grow_with_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five times the rows, read twice, in parts of a size: the same peak but for 8 bytes a row of digests."""
    monkeypatch.setattr(json_records, "_BLOCK", 1 << 13)
    monkeypatch.setattr(records, "STEP", 1 << 15)
    monkeypatch.setattr(row_pass, "PIECE", 1024)
    peaks = []
    for count in (2000, 10_000):
        path = tmp_path / f"{count}.jsonl"
        path.write_bytes(b"".join(line(i) for i in range(count)))
        tracemalloc.start()
        screen_file(path, max_rows=64, seed=1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert peaks[1] - peaks[0] < 200_000


def test_a_file_without_a_usable_row_names_the_counts(tmp_path: Path) -> None:
    """Also one that is empty."""
    with pytest.raises(NothingLeftError, match=r"not-json 2 \(.*row 1 and .*row 3: .*; shape 1 \("):
        screened(tmp_path, b"{\n3\n{\n")
    with pytest.raises(NothingLeftError, match="holds no rows"):
        screened(tmp_path, b"")


def test_hostile_text_does_not_reach_the_result(tmp_path: Path) -> None:
    """Columns, roles and sources with escape sequences or halves of surrogate pairs are shown as their escapes."""
    found = screened(
        tmp_path,
        line(1),
        b'{"\\u001b[2J\\ud800": 1}\n',
        b'{"messages": [{"role": "\\ud800", "content": "b"}]}\n',
        b'{"text": "a", "source": "\\ud800"}\n',
    )

    assert all(place.isprintable() for each in found.data.excluded for place in each.places)
    assert "\\\\x1b[2J\\\\ud800" in found.data.model_dump_json()


def test_standard_input_is_read_as_often_as_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`-` is JSON Lines on standard input, and is named so; a sample of it is that of a file."""
    content = line(1) + b"{\n" + b"".join(line(i) for i in range(2, 30))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    found = screen_file("-", max_rows=10, seed=1)

    assert found.data.rows == 29
    assert found.data.excluded[0].places[0].startswith("standard input, row 2: ")
    assert found.rows == screened(tmp_path, content, rows=10).rows
    again: list[Row] = []
    each_usable_row("-", again.append)
    assert len(again) == 29


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.jsonl", "no such file"),
        ("missing.parquet", "no such file"),
        ("folder.jsonl", "holds no rows: no file"),
        ("rows.csv", "no such file"),
        ("rows.txt", "suffix '.txt'; allowed: .jsonl, .json, .csv"),
    ],
)
def test_what_is_no_file_of_rows_is_refused(tmp_path: Path, name: str, message: str) -> None:
    """Missing files, directories and other suffixes."""
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "rows.txt").touch()

    with pytest.raises(DataError, match=message):
        screen_file(tmp_path / name, max_rows=10, seed=1)


def test_a_pipe_is_refused_before_it_is_waited_for(tmp_path: Path) -> None:
    """It could be read once; standard input is what is kept."""
    os.mkfifo(tmp_path / "rows.jsonl")

    with pytest.raises(DataError, match=r"'.*rows\.jsonl' is a pipe.*allowed: a file") as raised:
        screen_file(tmp_path / "rows.jsonl", max_rows=10, seed=1)
    assert "on standard input" in raised.value.hint


def test_usable_rows_are_handed_over_in_order(tmp_path: Path) -> None:
    """A second reading passes over what the first excluded."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes(line(1) + b"{\n" + line(2))
    seen: list[str] = []
    each_usable_row(path, lambda row: seen.append(row.completion))

    assert seen == ["c1", "c2"]


def test_columns_of_the_template_are_read_where_strings_are_put_into_it(tmp_path: Path) -> None:
    """Tools beside a plain prompt are listed as unread, and reach the row where the plan wraps it."""
    path = tmp_path / "rows.jsonl"
    row = {"prompt": "Hi", "completion": "Yes", "tools": [{"name": "f"}], "notes": "x"}
    path.write_text(json.dumps(row) + "\n")
    plain = screen_file(path, seed=0)
    wrapped = screen_file(replace(open_dataset(path), wrapped=True), seed=0)

    assert plain.data.unread == ("notes", "tools")
    assert wrapped.data.unread == ("notes",)
    assert (plain.rows[0].context, wrapped.rows[0].context) == ("", '{"tools":[{"name":"f"}]}')
