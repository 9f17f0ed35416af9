"""Only stretches that hold a drawn row are read again; what is drawn is what a plain reading of all rows would give."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from fsspec.asyn import AsyncFileSystem
from hypothesis import example, given, settings
from hypothesis import strategies as st

from undertow.data import json_records, part_stretches, records, row_pass, shard, shard_records
from undertow.data.dataset import RowDataset, open_dataset
from undertow.data.file_sample import Screened, drawn, screen_file
from undertow.data.part_leaves import dataset_root
from undertow.data.part_stretches import MOST, SHORTEST, stretch_size
from undertow.data.records import ShardPart, chunks, parts
from undertow.data.remote_files import url_ranges
from undertow.data.row_faults import Faults
from undertow.data.row_pass import RowPass
from undertow.data.rows import Row
from undertow.data.shard import Shard
from undertow.errors import DataError

SEED = 4


def plain(dataset: RowDataset, most: int, a_source: int) -> tuple[Any, ...]:
    """Rows, places and rows of each source, drawn from a list of all usable rows that the other reader gave."""
    rows = list[Row]()
    places = list[str]()
    for chunk in chunks(dataset, Faults("rows").of):
        rows += chunk.rows
        places += [f"{chunk.shard.named}, row {number}" for number in chunk.numbers]
    digest = dataset_root(dataset)
    whole = drawn(len(rows), most, SEED, digest, "whole")
    of_source: dict[str, list[Row]] = {}
    for row in rows:
        if row.source is not None and (row.source in of_source or len(of_source) < 64):
            of_source.setdefault(row.source, []).append(row)
    return (
        tuple(rows[at] for at in whole),
        tuple(places[at] for at in whole),
        {
            name: tuple(own[at] for at in drawn(len(own), a_source, SEED, digest, "source", name))
            for name, own in of_source.items()
        },
    )


def sampled(dataset: RowDataset | Path, most: int, a_source: int, **more: Any) -> tuple[Any, ...]:
    """The same, by a screen."""
    found = screen_file(dataset, max_rows=most, max_rows_a_source=a_source, seed=SEED, **more)
    return found.rows, found.places, found.by_source


def line(number: int, source: int | None, end: bytes = b"\n") -> bytes:
    """A row of few bytes or many."""
    record: dict[str, Any] = {"prompt": f"p{number}", "completion": "c" * (number % 90 + 1)}
    named = {} if source is None else {"source": f"s{source}"}
    return json.dumps(record | named).encode() + end


def wide(bytes_of_it: int) -> bytes:
    """A row of so many bytes, its end counted."""
    return json.dumps({"text": "c" * (bytes_of_it - 13)}).encode() + b"\n"


GOOD = st.builds(
    line,
    st.integers(0, 999),
    st.none() | st.integers(0, 6),
    st.sampled_from([b"\n", b"\r\n", b"\n\n", b"\n  \n"]),
)
OTHER = st.sampled_from(
    [
        b"\n",
        b"{\n",
        b'{"text": "\xff"}\n',
        b'{"text": 1}\n',
        b'{"a": 1, "a": 2}\n',
        b"[]\n",
        b" \r\n",
        b"\xef\xbb\xbf{}\n",
    ]
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(GOOD | GOOD | GOOD | OTHER, min_size=1, max_size=60).map(b"".join),
    st.booleans(),
    st.integers(1, 900),
    st.integers(20, 2000),
    st.integers(1, 6),
)
@example(b"\xef\xbb\xbf" + line(1, 0) + b"\n" + line(2, 0) + line(3, 1, b""), False, 1, 30, 1)
@example(b"".join(line(n, n % 7) for n in range(40)), True, 30, 5000, 2)
@example(b"".join(b"\xef\xbb\xbf" + line(n, 0) + line(n, 1) for n in range(9)), True, 120, 5000, 6)
@example(b"\xef\xbb\xbf\n" + line(1, 0) * 3, False, 40, 30, 2)
@example((b"\xef\xbb\xbf" + wide(57) + wide(60)) * 9, True, 120, 5000, 6)  # first in each stretch
def test_the_sample_is_that_of_a_plain_reading(
    content: bytes, ended: bool, size: int, step: int, most: int
) -> None:
    """
    Whatever the stretches and parts: of one row or many, with blank lines, bad ones, other ends of lines, a byte order mark,
    none at the end, sources beyond those whose rows are counted by stretches.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "STEP", step)
        patch.setattr(part_stretches, "SHORTEST", size)
        patch.setattr(part_stretches, "_NAMED", 3)
        patch.setattr(row_pass, "MOST_NAMES", 4)
        patch.setattr(row_pass, "PIECE", 8)
        patch.setattr(row_pass, "CHUNK", 4)
        system = fsspec.filesystem("memory")
        system.pipe(
            "/stretches/rows.jsonl", (content + line(1, 1)).removesuffix(b"\n" * (not ended))
        )
        dataset = open_dataset("memory://stretches/rows.jsonl")

        assert sampled(dataset, most, 2) == plain(dataset, most, 2)


@pytest.mark.parametrize(
    "more",
    [{"columns": (("completion", "answer"),)}, {"wrapped": True}, {"columns": (("source", ""),)}],
)
def test_a_row_is_made_as_when_it_was_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> None:
    """With renamed columns, columns that are left out, and wrapped records."""
    monkeypatch.setattr(part_stretches, "SHORTEST", 100)
    name = "answer" if more.get("columns") == (("completion", "answer"),) else "completion"
    lines = [json.dumps({"prompt": f"p{n}", name: f"c{n}", "source": "s"}) for n in range(300)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    dataset = replace(open_dataset(tmp_path / "rows.jsonl"), **more)

    assert sampled(dataset, 20, 5) == plain(dataset, 20, 5)


def test_a_part_with_an_endless_line_is_read_again_in_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No stretch holds a line that no reader would hold."""
    for module in (json_records, shard_records, part_stretches):
        monkeypatch.setattr(module, "LONGEST_LINE", 500)
    monkeypatch.setattr(part_stretches, "SHORTEST", 100)
    monkeypatch.setattr(records, "STEP", 3000)
    lines = [line(n, n % 2) for n in range(200)]
    lines[20] = b'{"text": "' + b"x" * 5000 + b'"}\n'
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"".join(lines))
    every = parts(open_dataset(path).shards[0])
    divided = [RowPass("long", 9, False, stretch=100)(part)[-1].stretches for part in every]

    assert [each is not None and each.stretches.divided for each in divided].count(False) == 2
    assert sampled(path, 20, 5) == plain(open_dataset(path), 20, 5)


class CountedFile(io.FileIO):
    """A file that counts the bytes that are read of it."""

    given = 0

    def readinto(self, buffer: Any) -> int:
        """Into a buffer."""
        read = super().readinto(buffer) or 0
        CountedFile.given += read
        return read

    def read(self, size: int | None = -1) -> bytes:
        """At most so many."""
        content = super().read(size) or b""
        CountedFile.given += len(content)
        return content


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[CountedFile]]:
    """Counts the bytes that are read of shards on this disk."""
    CountedFile.given = 0
    opened = lambda path, mode: io.BufferedReader(CountedFile(path, mode))  # noqa: E731
    monkeypatch.setattr(shard, "open", opened, raising=False)
    return CountedFile


def numbered(folder: Path, rows: int, shards: int) -> Path:
    """Shards of rows of some hundred bytes."""
    folder.mkdir()
    for number in range(shards):
        lines = [json.dumps({"text": f"{number} {n} {'w' * 200}"}) for n in range(rows)]
        (folder / f"{number}.jsonl").write_text("\n".join(lines))
    return folder


def test_a_small_sample_reads_a_small_share_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counted: type[CountedFile]
) -> None:
    """One stretch a row, in every engine's way; nothing of the rest of their parts, which all hold one."""
    monkeypatch.setattr(records, "STEP", 60_000)
    folder = numbered(tmp_path / "rows", 1000, 4)
    size = sum(path.stat().st_size for path in folder.iterdir())
    read = [0]

    def spread(task: Any, tasks: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        read[0] = counted.given
        yield from reversed([(at, task(each)) for at, each in enumerate(tasks)])

    alone = screen_file(folder, max_rows=40, seed=1, progress=lambda _: read.append(counted.given))
    again = counted.given - read[-1]
    assert 40 * 200 < again < 40 * 1500 < size / 10
    before = counted.given
    assert screen_file(folder, max_rows=40, seed=1, spread=spread) == alone
    assert counted.given - read[0] == again < read[0] - before


def changed_at(folder: Path, place: int, old: bytes, new: bytes) -> Any:
    """What overwrites some bytes of the first shard when all rows are counted, and may change its length."""

    def change(rows: int) -> None:
        if rows < 4000:
            return
        content = (folder / "0.jsonl").read_bytes()
        assert content[place : place + len(old)] == old
        (folder / "0.jsonl").write_bytes(content[:place] + new + content[place + len(old) :])

    return change


def test_a_change_is_refused_where_it_is_read_again_and_not_seen_elsewhere(
    tmp_path: Path,
) -> None:
    """What a sample holds is of the rows whose digest is named; of what else was counted nobody looks whether it changed."""
    folder = numbered(tmp_path / "rows", 1000, 4)
    content = (folder / "0.jsonl").read_bytes().split(b"\n")
    before = screen_file(folder, max_rows=40, seed=1)
    rows = [int(p.rpartition(" ")[2]) for p in before.places if "/0.jsonl" in p]
    others = [n for n in range(1, 1001) if min(abs(n - row) for row in rows) > 30]

    def place_of(number: int) -> int:
        return sum(len(each) + 1 for each in content[: number - 1]) + len(content[number - 1]) - 9

    def screened(number: int, new: bytes) -> Screened:
        """A screen while the words of a row change, and the row is put right behind it."""
        change = changed_at(folder, place_of(number), b"wwwww", new)
        try:
            return screen_file(folder, max_rows=40, seed=1, progress=change)
        finally:
            (folder / "0.jsonl").write_bytes(b"\n".join(content))

    for row in rows[:3]:
        with pytest.raises(DataError, match=r"0\.jsonl' changed while it was read"):
            screened(row, b"xxxxx")
    with pytest.raises(DataError, match=r"0\.jsonl' changed while it was read"):
        screened(min(others), b"wwww" if min(others) < max(rows) else b"")
    assert screened(min(others), b"xxxxx") == before


def test_the_index_of_any_dataset_is_small(
    tmp_path: Path,
) -> None:
    """At most about half a million stretches, whatever the size; at most 64 bytes each with few sources."""
    for size in (10**6, 10**9, 10**11, 10**14):
        part = ShardPart(Shard("rows.jsonl", "jsonl"), (0, size))
        assert size / stretch_size([part]) <= min(MOST, size / SHORTEST + 1)
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"".join(line(n, n % 4) for n in range(20_000)))
    (piece,) = RowPass("index", 9, False)(parts(open_dataset(path).shards[0])[0])
    known = piece.stretches
    assert known is not None
    assert known.by_source is not None
    places = known.stretches
    arrays = (places.begins, places.sizes, places.lines, known.rows, known.by_source)
    held = sum(sys.getsizeof(each) for each in (known, places, places.digests, *arrays))

    assert held < 64 * len(known.rows) < 64 * (path.stat().st_size / SHORTEST + 1)
    assert known.rows.sum() == known.by_source.sum() == 20_000


def test_places_are_found_among_the_stretches_that_are_read(tmp_path: Path) -> None:
    """A place counts the rows of stretches that are read, and no others; of a source that is not counted all are."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"".join(line(0, n % 2) for n in range(100)))
    size = len(line(0, 0)) * 10
    (piece,) = RowPass("places", 9, False, stretch=size)(parts(open_dataset(path).shards[0])[0])
    assert piece.stretches is not None
    some, whole, of_source = piece.stretches.holding((3, 57), {"s1": (11, 49)})

    assert np.array_equal(some.lines, [0, 20, 50, 90])
    assert (whole, of_source) == ((3, 27), {"s1": (6, 19)})
    every, *places = piece.stretches.of(["s0"]).holding((3,), {"s1": (11,)})
    assert (len(every.lines), places) == (10, [(3,), {"s1": (11,)}])


class RangesPlace(AsyncFileSystem):
    """A place that answers many questions at a time, and notes them."""

    protocol = "ranges"
    cachable = False
    asked: list[tuple[int, int]] = []  # noqa: RUF012 - of all
    content = b""

    async def _cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **more: Any
    ) -> bytes:
        if "gone" in path:
            raise FileNotFoundError(path)
        if "broken" in path:
            raise ArithmeticError("503")
        self.asked.append((start or 0, end or 0))
        return self.content if "whole" in path else self.content[start:end]


@pytest.fixture
def ranges_place() -> Iterator[type[RangesPlace]]:
    """Such a place with 5 MB."""
    fsspec.register_implementation("ranges", RangesPlace, clobber=True)
    RangesPlace.asked.clear()
    RangesPlace.content = np.random.default_rng(0).bytes(5_000_000)
    return RangesPlace


def test_a_place_is_asked_for_ranges_alone(ranges_place: type[RangesPlace]) -> None:
    """Those that lie side by side together, no more than a MiB at once; what comes is each range's own."""
    ranges = [(at, at + 3000) for at in (0, 3000, 10_000, 900_000, 1_200_000, 4_999_000)]
    ranges.insert(5, (1_500_000, 4_000_000))

    given_bytes = list(url_ranges("ranges://a/rows.jsonl", ranges))

    assert given_bytes == [ranges_place.content[start:stop] for start, stop in ranges]
    assert sorted(ranges_place.asked) == [
        (0, 13_000),
        (900_000, 903_000),
        (1_200_000, 1_203_000),
        (1_500_000, 4_000_000),
        (4_999_000, 5_002_000),
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone", "no such file: 'ranges://gone/rows.jsonl'"),
        ("broken", "cannot read 'ranges://broken/rows.jsonl': .*503"),
        ("whole", "cannot read 'ranges://whole/rows.jsonl': .*more bytes came than were asked for"),
    ],
)
def test_a_place_that_gives_no_ranges_is_one_line(
    ranges_place: type[RangesPlace], name: str, message: str
) -> None:
    """A file that is gone, an error of any class, and a place that gives all in place of a range."""
    with pytest.raises(DataError, match=message):
        list(url_ranges(f"ranges://{name}/rows.jsonl", [(10, 20), (90_000, 90_100)]))
