"""A pass over rows in parts is the same whoever reads which part, and the quick way of a row is the careful one."""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet
from scipy.stats import chisquare

from tests.engines import clusters
from undertow.data import records, row_leaves, row_pass
from undertow.data.dataset import open_dataset
from undertow.data.file_sample import Screened, screen_file
from undertow.data.json_records import lines_between
from undertow.data.part_leaves import dataset_root
from undertow.data.records import parts, usable
from undertow.data.row_leaves import leaf, plain_line
from undertow.data.row_pass import Piece, RowPass, plain_look
from undertow.data.rows import Row
from undertow.data.shard import Shard
from undertow.data.strict_json import decoded
from undertow.engines.engine import Processes
from undertow.engines.ray_data import RayData, spread_of
from undertow.errors import DataError

two_nodes = pytest.fixture(scope="module")(clusters.two_nodes)

TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ünd 4\u200b"}]


def record(number: int, **more: Any) -> dict[str, Any]:
    """A row of one of three shapes, some from a source."""
    source = {"source": f"s{number % 7}"} if number % 3 else {}
    shapes: tuple[dict[str, Any], ...] = (
        {"messages": [*TURNS, {"role": "user", "content": f"{number}?"}, TURNS[1]]},
        {"prompt": f"p{number}", "completion": f"c{number}"},
        {"prompt": f"p{number}", "chosen": f"c{number}", "rejected": f"r{number}"},
    )
    return shapes[number % len(shapes)] | source | more


def lines(first: int, count: int) -> list[bytes]:
    """Rows as JSON Lines, a few of them bad, blank, copies, or with an id."""
    made = [json.dumps(record(n, id=n % 400)).encode() for n in range(first, first + count)]
    for at, bad in enumerate((b"", b"{", b'{"text": "\xff"}', b'{"text": 1}', b'{"a": 1, "a": 2}')):
        made[37 * (at + 1) % count] = bad
    return [*made, *made[: count // 10]]


def written(folder: Path) -> Path:
    """Three shards of lines, one of them packed."""
    folder.mkdir()
    for shard in range(2):
        (folder / f"{shard}.jsonl").write_bytes(b"\n".join(lines(900 * shard, 400)))
    (folder / "2.jsonl.gz").write_bytes(gzip.compress(b"\n".join(lines(5001, 300))))
    return folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Such shards, in parts of a few rows."""
    monkeypatch.setattr(records, "STEP", 3000)
    monkeypatch.setattr(row_pass, "PIECE", 64)
    monkeypatch.setattr(row_pass, "CHUNK", 32)
    return written(tmp_path / "rows")


class Workers:
    """Some workers with a memory each, which take the parts by lot and give what they made of them in any order."""

    def __init__(self, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self._memories: list[dict[str, Any]] = [{} for _ in range(count)]
        self._patch = monkeypatch
        self._lot = random.Random(count)

    def map(self, worker: RowPass, tasks: Sequence[Any]) -> Iterator[tuple[int, list[Piece]]]:
        """(index, result), shuffled."""
        results = []
        for index, task in enumerate(tasks):
            self._patch.setattr(row_pass, "_memories", self._lot.choice(self._memories))
            results.append((index, worker(task)))
        self._lot.shuffle(results)
        yield from results


def asked(folder: Path | str, spread: Callable[..., Any] | None = None) -> Screened:
    """A screen with samples that do not hold all."""
    return screen_file(folder, max_rows=50, max_rows_a_source=20, seed=3, spread=spread)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_workers_of_any_number_find_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Sample, sources, digest, counts, places and notes are those of a loop, with many parts to a worker."""
    assert sum(len(parts(shard)) for shard in open_dataset(folder).shards) > 20
    alone = asked(folder)

    assert asked(folder, Workers(count, monkeypatch).map) == alone
    spread: Any = Workers(count, monkeypatch).map
    assert alone.data.digest == dataset_root(folder) == dataset_root(folder, spread)
    assert len(alone.rows) == 50
    assert any("hidden text" in note for note in alone.data.notes)
    assert {each.reason for each in alone.data.excluded} > {"not-json", "not-utf8", "key-twice"}


def test_every_place_names_its_row(folder: Path) -> None:
    """Rows are numbered as the lines of their shard, behind any number of parts."""
    for place, row in zip(asked(folder).places, asked(folder).rows, strict=True):
        path, number = place.split("', row ")
        opened = gzip.open if path.endswith(".gz") else open
        with opened(path[1:], "rb") as file:
            line = file.read().split(b"\n")[int(number) - 1]
        assert usable(decoded(line.decode()), None, False)[1] == row


def test_the_sample_is_that_of_the_rows_not_of_their_shards(tmp_path: Path) -> None:
    """One file, many shards or Parquet: the same rows in the same order; from another order of the rows, others."""
    made = [record(3 * n + 1) for n in range(600)]
    texts = [json.dumps(each) for each in made]
    (tmp_path / "one.jsonl").write_text("\n".join(texts))
    (tmp_path / "back.jsonl").write_text("\n".join(texts[::-1]))
    (tmp_path / "many").mkdir()
    for at in range(0, 600, 100):
        (tmp_path / "many" / f"{at}.jsonl").write_text("\n".join(texts[at : at + 100]))
    parquet.write_table(pyarrow.Table.from_pylist(made), tmp_path / "t.parquet", row_group_size=90)

    one, many, table, back = (
        screen_file(tmp_path / name, max_rows=40, seed=8).rows
        for name in ("one.jsonl", "many", "t.parquet", "back.jsonl")
    )

    assert len(one) == len(set(one)) == 40
    assert one == many == table
    assert set(back) != set(one)


@pytest.mark.parametrize("kept", [50, 400])
def test_what_is_drawn_hangs_on_every_row(tmp_path: Path, kept: int) -> None:
    """
    Whoever knows the seed, and how rows are drawn, cannot know which of them are: one word of any other row moves them
    all, those of a source too, and so does it with room for all rows, of which a beginning is looked at.
    """
    texts = [json.dumps(record(3 * n + 1, source="s")) for n in range(400)]
    places, of_source = set(), set()
    for changed in (None, 0, 5, 199, 399):
        ours = list(texts)
        if changed is not None:
            ours[changed] = texts[changed].replace(': "c', ': "C')
        (tmp_path / "rows.jsonl").write_text("\n".join(ours))
        found = screen_file(tmp_path / "rows.jsonl", max_rows=kept, seed=0)
        places.add(tuple(place.rpartition(" ")[2] for place in found.places[:50]))
        of_source.add(tuple(row.completion.lower() for row in found.by_source["s"][:50]))

    assert len(places) == len(of_source) == 5
    overlaps = [len(set(a) & set(b)) for a in places for b in places if a < b]
    # Of 50 of 400 rows that another 50 are drawn from by lot, 6 are the same, with a standard deviation of 2.2.
    assert max(overlaps) < 15


def test_rows_that_change_between_the_readings_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was drawn would not be of the rows whose digest the scan names."""
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(record(3 * n + 1)) for n in range(200)))
    change = [lambda rows: path.write_text(path.read_text().replace(': "c', ': "d'))]

    with pytest.raises(DataError, match=r"rows\.jsonl' changed while it was read"):
        screen_file(path, max_rows=20, seed=1, progress=change[0])


def test_the_sample_is_uniform(tmp_path: Path) -> None:
    """Over seeds, rows of every place are taken equally often, and so is each pair of neighbours."""
    rows, kept, seeds = 48, 12, 800
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(record(3 * n + 1)) for n in range(rows)))
    taken, pairs = Counter[int](), 0
    for seed in range(seeds):
        places = [
            int(place.rpartition(" ")[2])
            for place in screen_file(path, max_rows=kept, seed=seed).places
        ]
        taken.update(places)
        pairs += sum(place + 1 in places for place in places)
    counts = np.array([taken[place] for place in range(1, rows + 1)])
    expected = seeds * (rows - 1) * kept * (kept - 1) / (rows * (rows - 1))

    # Counts of a sample without replacement vary less than those of one with it, by 1 - kept / rows.
    assert chisquare(counts).statistic / (1 - kept / rows) < 80
    assert abs(pairs - expected) < 5 * np.sqrt(expected)


def test_copies_are_sampled_by_their_share(tmp_path: Path) -> None:
    """Of a file that is one row half of the time, half of every sample is that row."""
    path = tmp_path / "rows.jsonl"
    each = (json.dumps(record(1 if n % 2 else 3 * n + 4)) for n in range(6000))
    path.write_text("\n".join(each))
    shares = []
    for seed in range(8):
        sample = screen_file(path, max_rows=400, seed=seed).rows
        shares.append(sum(row.completion == "c1" for row in sample) / 400)

    assert abs(np.mean(shares) - 0.5) < 0.03
    assert max(np.abs(np.array(shares) - 0.5)) < 0.12


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
NAMES = st.sampled_from(
    [
        "messages",
        "prompt",
        "completion",
        "text",
        "source",
        "id",
        "system",
        "tools",
        "label",
        "x",
        "images",
        "chosen",
    ]
)
ROLES = st.sampled_from(["user", "assistant", "system", "gpt", "tool", ""])
TALK = st.lists(
    st.dictionaries(
        st.sampled_from(["role", "content", "name"]), ROLES | st.text(max_size=5), max_size=3
    ),
    max_size=3,
)


@given(st.dictionaries(NAMES, VALUES | TALK | st.sampled_from(["a", " ", "é"]), max_size=4))
def test_a_plain_look_sees_what_the_reader_sees(given_record: dict[str, Any]) -> None:
    """Where it says anything of a record at all."""
    look = plain_look(given_record)
    if look is None:
        return
    shape, row, id, unread = usable(given_record, None, False)
    assert look[:6] == (shape, row.chat, row_pass.row_text(row), id, row.source, unread)
    assert usable(look[6], None, False)[1] == row


@pytest.mark.parametrize("number", range(3))
def test_most_rows_are_plain(number: int) -> None:
    """Conversations, prompts with completions, and texts; pairs are looked at with care."""
    assert (plain_look(record(number)) is None) == (number == 2)


@given(VALUES, st.sampled_from(["", " ", "\n", "\t"]), st.booleans())
def test_a_plain_line_is_read_as_the_strict_reader_reads_it(
    value: object, space: str, ascii: bool
) -> None:
    """The same values in the same order, and the same leaf."""
    line = space + json.dumps(
        {"a": value, "b": value}, ensure_ascii=ascii, separators=("," + space, ":" + space)
    )
    try:
        read = plain_line(line.encode())
    except UnicodeEncodeError:
        return
    if read is not None:
        assert repr(read[0]) == repr(decoded(line))
        assert read[1] == leaf(decoded(line))


@pytest.mark.parametrize(
    "line",
    [
        *(
            b'{"a": 1, "a": 2}',
            b'{"a": {"b": 1, "b": 1}}',
            b'{"a": ":", "a": ""}',
            b"[1]",
            b"3",
            b"",
        ),
        *(
            b'{"a": 1, "a": "\\u003a"}',
            b'{"a": 1, "\\u0061": "\\u003A"}',
            b'{"a": NaN}',
            b'{"a": 1e999}',
        ),
        *(
            b'{"a": "\xff"}',
            b'{"a": "\\ud800"}',
            b'\xef\xbb\xbf{"a": 1}',
            b'{"a": 1} x',
            b'{"a": 1,}',
        ),
    ],
)
def test_what_is_not_plain_is_left_to_the_strict_reader(line: bytes) -> None:
    """Among it keys that are given twice, however they are spelled."""
    assert plain_line(line) is None


@given(
    st.binary(max_size=80).map(lambda text: text.replace(b"a", b"\n").replace(b"\x00", b"\n")),
    st.integers(1, 90),
)
def test_lines_between_two_places_are_all_lines_once(content: bytes, step: int) -> None:
    """Whatever the places, each line is in the part in which it begins."""
    import io

    made = [
        line
        for at in range(0, len(content), step)
        for line in lines_between(io.BytesIO(content), at, min(at + step, len(content)))
    ]

    assert made == content.removesuffix(b"\n").split(b"\n") if content else not made


def test_a_long_line_is_not_read_by_the_parts_behind_its_begin(tmp_path: Path) -> None:
    """They end where they should."""

    class Counted:
        """A stream that counts what is read."""

        def __init__(self, content: bytes) -> None:
            self.content, self.at, self.read_bytes = content, 0, 0

        def seek(self, at: int) -> int:
            """Go there."""
            self.at = at
            return at

        def read(self, size: int) -> bytes:
            """The next bytes."""
            block = self.content[self.at : self.at + size]
            self.at += len(block)
            self.read_bytes += len(block)
            return block

    stream: Any = Counted(b"x" * 10_000 + b"\n{}\n")

    assert list(lines_between(stream, 100, 200)) == []
    assert stream.read_bytes == 101


def test_shards_of_another_schema_are_refused_wherever_they_are_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the error that one process gives, and not that of a shard behind."""
    (folder / "1.jsonl").write_text('{"text": "a"}\n' * 3)
    (folder / "3.jsonl").write_text('{"instruction": "a", "output": "b"}\n')
    with pytest.raises(DataError) as alone:
        asked(folder)
    with pytest.raises(DataError) as spread:
        asked(folder, Workers(2, monkeypatch).map)

    assert str(alone.value) == str(spread.value)
    assert "1.jsonl' has another schema" in str(alone.value)


def test_files_behind_a_url_are_read_in_parts(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same rows and digest as on this disk."""
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    for path in sorted(folder.iterdir()):
        with store.open(f"/rows/{path.name}", "wb") as file:
            file.write(path.read_bytes())
    there = screen_file("memory://rows", max_rows=50, max_rows_a_source=20, seed=3)
    store.rm("/rows", recursive=True)

    assert len(parts(Shard(str(folder / "0.jsonl"), "jsonl"))) > 5
    assert (there.rows, there.by_source, there.data.digest) == (
        asked(folder).rows,
        asked(folder).by_source,
        asked(folder).data.digest,
    )
    assert screen_file(f"file://{folder}", max_rows=50, seed=3).rows == there.rows


def test_renamed_columns_are_met_in_any_part(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A column that only the last part has is not missing."""
    (folder / "2.jsonl.gz").unlink()
    for shard in range(2):
        name = "answer" if shard else "other"
        rows = [{"prompt": f"{n}", name: f"c{n}"} for n in range(300)]
        (folder / f"{shard}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    dataset = replace(open_dataset(folder), columns=(("completion", "answer"),))
    found = [
        screen_file(dataset, max_rows=20, seed=1, spread=spread)
        for spread in (None, Workers(2, monkeypatch).map)
    ]

    assert found[0] == found[1]
    assert found[0].data.rows == 300


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("engine", [Processes, RayData])
def test_real_workers_find_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Any
) -> None:
    """Two processes, and Ray Data on a cluster of two cores; a third hashes."""
    monkeypatch.setattr(records, "STEP", 3000)
    monkeypatch.setattr(row_leaves, "_WORTH", 2)
    parquet.write_table(
        pyarrow.Table.from_pylist([record(3 * n + 1) for n in range(2000)]),
        tmp_path / "t.parquet",
        row_group_size=300,
    )
    for data in (written(tmp_path / "rows"), tmp_path / "t.parquet"):
        assert asked(data, engine(2).map) == asked(data)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("actors", [1, 2, 7])
def test_a_cluster_of_two_nodes_finds_the_same(
    two_nodes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, actors: int
) -> None:
    """Joined by its address as a scan does, with many parts to an actor: digest, sample, sources, counts, places and notes."""
    monkeypatch.setattr(records, "STEP", 3000)
    data = str(written(tmp_path / "rows"))
    if actors == 2:
        data = f"file://{data}"
    alone, spread = asked(data), spread_of(f"ray://{two_nodes.address}", actors, 0)
    parts_read: list[int] = []

    def counted(worker: Any, tasks: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        assert spread is not None
        parts_read.append(len(tasks))
        return spread(worker, tasks)

    assert asked(data, counted) == alone
    assert parts_read[0] > 20 < alone.data.rows
    assert len(parts_read) == 2


def test_the_rows_of_a_sample_are_rows(folder: Path) -> None:
    """What a quick look kept of a record is made a row."""
    assert all(isinstance(row, Row) for row in asked(folder).rows)
