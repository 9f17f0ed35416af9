"""A dataset that cannot be read as a whole is refused in one line, with what to do in another; nothing is left out unsaid."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import shlex
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pytest
from pyarrow import ipc, parquet

from tests.data.packings import arrow, json_lines, table, zstd
from undertow.data import json_records
from undertow.data.dataset import NoRowsError, is_rows, open_dataset
from undertow.data.file_sample import screen_file
from undertow.data.records import read_objects
from undertow.errors import DataError

ROWS = [{"prompt": f"question {i} {i**9}", "completion": f"answer {i**7}"} for i in range(400)]


def write(folder: Path, **files: bytes) -> None:
    """Files by their names, `__` for a dot."""
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_bytes(content)


def circle(folder: Path) -> str:
    """A folder with a link to itself."""
    write(folder, rows__jsonl=json_lines(ROWS))
    (folder / "again").symlink_to(folder)
    return str(folder)


def mixed(folder: Path) -> str:
    """The same rows in two formats."""
    write(folder, rows__jsonl=json_lines(ROWS), rows__parquet=table(ROWS))
    return str(folder)


def other_schema(folder: Path) -> str:
    """The second shard calls its columns otherwise."""
    write(folder, a__parquet=table(ROWS), b__parquet=table([{"question": "q", "answer": "a"}]))
    return str(folder)


def other_shape(folder: Path) -> str:
    """The second shard of JSON Lines has other rows."""
    write(folder, a__jsonl=json_lines(ROWS), b__jsonl=json_lines([{"text": "a", "n": 1}]))
    return str(folder)


def missing_shard(folder: Path) -> str:
    """A folder of save_to_disk without one of its files."""
    from datasets import Dataset

    Dataset.from_list(ROWS).save_to_disk(str(folder), num_shards=2)
    (folder / "data-00001-of-00002.arrow").unlink()
    return str(folder)


def broken_link(folder: Path) -> str:
    """A shard that points nowhere."""
    write(folder, a__jsonl=json_lines(ROWS))
    (folder / "b.jsonl").symlink_to(folder / "gone.jsonl")
    return str(folder)


FAULTS: list[tuple[Callable[[Path], str], str, str]] = [
    (circle, r"again' is a link back to '.*', which holds it", "remove the link: rm '"),
    (mixed, r"mixes formats.*jsonl \('.*rows.jsonl'\), parquet \('.*rows.parquet'\)", "name those"),
    (
        other_schema,
        r"b.parquet' has another schema: found the columns 'answer', 'question'; expected, as in '.*a.parquet': 'completion', 'prompt'",
        "leave this shard out",
    ),
    (other_shape, r"b.jsonl' has another schema: found the columns 'text'; expected", "leave"),
    (missing_shard, r"state.json' names the data file 'data-00001-of-00002.arrow'", "copy the"),
    (broken_link, r"no such file: '.*b.jsonl'", ""),
    (lambda folder: str(folder), r"holds no rows: no file; allowed: .jsonl, .json", "ls -lA"),
    (lambda folder: f"{folder}/*.jsonl", r"\*.jsonl' holds no rows: no file", "ls -lA"),
    (lambda folder: f"{folder}/none.jsonl", r"no such file: '.*none.jsonl'", "ls -lA"),
]


@pytest.mark.parametrize(("made", "message", "hint"), FAULTS)
def test_what_is_no_dataset_is_one_line(
    made: Callable[[Path], str], message: str, hint: str, tmp_path: Path
) -> None:
    """Where it lies, what was found and what is allowed; by a reader and by a screen."""
    data = made(tmp_path)
    for read in (lambda: list(read_objects(data)), lambda: screen_file(data, seed=1)):
        with pytest.raises(DataError, match=message) as caught:
            read()
        assert "\n" not in caught.value.message
        assert caught.value.hint.startswith(hint)


def test_a_mistyped_name_brings_the_one_that_was_meant(tmp_path: Path) -> None:
    """Of the files beside it."""
    write(tmp_path, rows__jsonl=json_lines(ROWS))
    with pytest.raises(DataError, match="no such file") as caught:
        open_dataset(tmp_path / "rosw.jsonl")

    assert caught.value.hint == f"did you mean '{tmp_path / 'rows.jsonl'}'?"


@pytest.mark.parametrize("usual", ["json", "jsonl"])
def test_the_pattern_that_is_advised_gives_one_format(usual: str, tmp_path: Path) -> None:
    """That of most shards."""
    content = {"json": json.dumps(ROWS).encode(), "jsonl": json_lines(ROWS)}
    write(tmp_path, a__json=content["json"], b__jsonl=content["jsonl"])
    (tmp_path / f"c.{usual}").write_bytes(content[usual])
    with pytest.raises(DataError, match="mixes formats") as caught:
        open_dataset(tmp_path)

    advised = caught.value.hint.split("'")[1]
    assert len(list(read_objects(advised))) == 2 * len(ROWS)


CUT = {
    "rows.jsonl.gz": gzip.compress(json_lines(ROWS), 0),
    "rows.jsonl.zst": zstd(json_lines(ROWS + [{"text": str(n**99)} for n in range(4000)])),
    "rows.csv.gz": gzip.compress(b"prompt,completion\n" + b"a,b\n" * 5000, 0),
    "rows.json": json.dumps(ROWS).encode(),
    "rows.arrow": arrow(ROWS, stream=True),
    "file.arrow": arrow(ROWS, stream=False),
}
"""Packed so that a cut leaves rows in front of it."""


@pytest.mark.parametrize("name", CUT)
def test_a_file_that_is_cut_off_is_named_with_its_row(name: str, tmp_path: Path) -> None:
    """The rows before the cut are never taken for the whole, by a screen neither."""
    path = tmp_path / name
    path.write_bytes(CUT[name][: len(CUT[name]) * 7 // 10])
    for read in (lambda: list(read_objects(path)), lambda: screen_file(path, seed=1)):
        with pytest.raises(DataError, match=f"'{path}', row [1-9][0-9]+: ") as caught:
            read()
        assert caught.value.hint


@pytest.mark.parametrize("pack", [gzip.compress, lambda content: gzip.compress(content, 0)])
def test_every_row_before_a_cut_of_gzip_is_counted(
    pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    """Also in a small file: without its last bytes, which only say how long it was, all rows were there."""
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(pack(json_lines(ROWS))[:-8])

    with pytest.raises(DataError, match="row 401: the file is cut off or damaged") as caught:
        list(read_objects(path))
    assert "what comes behind row 400" in caught.value.message


@pytest.mark.parametrize("name", CUT)
def test_a_file_that_lost_its_last_byte_is_cut_off(name: str, tmp_path: Path) -> None:
    """Also where all rows could still be read, but for the index of an Arrow file, which is not needed."""
    path = tmp_path / name
    path.write_bytes(CUT[name][:-9] if name.endswith("arrow") else CUT[name][:-1])

    with pytest.raises(DataError, match=f"'{path}', row [1-9][0-9]+: "):
        list(read_objects(path))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.jsonl.gz", b'{"text": "' + b"x" * 6_000_000 + b'"}\n'),
        ("rows.jsonl.zst", b" " * 6_000_000),
        ("rows.json.gz", b'[{"text": "' + b"x" * 6_000_000 + b'"}]'),
        ("rows.json.zst", b"[" + b" " * 6_000_000 + b"]"),
    ],
)
def test_what_unpacks_to_far_more_does_not_fill_memory(
    name: str, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line or an element that is too long is one bad row, or the end of the reading; white space is nothing."""
    monkeypatch.setattr(json_records, "LONGEST_LINE", 100_000)
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else zstd(content))
    tracemalloc.start()
    with contextlib.suppress(DataError):
        list(read_objects(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert path.stat().st_size < 30_000
    assert peak < 2_000_000


def test_a_parquet_shard_that_is_cut_off_stops_the_screen(tmp_path: Path) -> None:
    """How many rows it held is not known; alone it would be counted as damaged."""
    write(tmp_path, a__parquet=table(ROWS), b__parquet=table(ROWS)[:-20])

    with pytest.raises(DataError, match=r"b.parquet', row 1: damaged or not Parquet"):
        screen_file(tmp_path, seed=1)


def test_copies_in_two_shards_are_counted_as_in_one_file(tmp_path: Path) -> None:
    """Duplicates are of the dataset."""
    write(tmp_path, one__jsonl=json_lines(ROWS + ROWS))
    whole = screen_file(tmp_path / "one.jsonl", seed=1).data.notes
    (tmp_path / "one.jsonl").unlink()
    write(tmp_path, a__jsonl=json_lines(ROWS), b__jsonl=json_lines(ROWS))

    assert whole
    assert set(whole) <= set(screen_file(tmp_path, seed=1).data.notes)


def test_splits_are_read_together_or_one_by_one(tmp_path: Path) -> None:
    """All of a folder unless one is named, and it is said which there are."""
    write(tmp_path, train__jsonl=json_lines(ROWS), dev__jsonl=json_lines(ROWS[:3]))
    whole = open_dataset(tmp_path)

    assert any("all splits are read: validation (1), train (1)" in note for note in whole.notes)
    assert len(list(read_objects(f"{tmp_path}@validation"))) == 3
    with pytest.raises(DataError, match="no split 'test'; found: validation, train"):
        open_dataset(f"{tmp_path}@test")


def test_splits_of_saved_datasets_are_their_folders(tmp_path: Path) -> None:
    """As `DatasetDict.save_to_disk` writes them, whatever they are called."""
    from datasets import Dataset, DatasetDict

    parts = {"mine": Dataset.from_list(ROWS[:5]), "yours": Dataset.from_list(ROWS[5:7])}
    DatasetDict(parts).save_to_disk(str(tmp_path))

    assert [record for _, record in read_objects(tmp_path)] == ROWS[:7]
    assert [record for _, record in read_objects(f"{tmp_path}@yours")] == ROWS[5:7]


def test_descriptions_in_json_beside_rows_are_passed_over(tmp_path: Path) -> None:
    """One object is no row file, an array or lines of objects are."""
    write(tmp_path, rows__jsonl=json_lines(ROWS), stats__json=b'{"rows": 400}\n', sums__sha256=b"")

    assert [Path(path).name for path in open_dataset(tmp_path).passed_over] == [
        "stats.json",
        "sums.sha256",
    ]
    write(tmp_path, stats__json=json_lines(ROWS[:1]))
    with pytest.raises(DataError, match="mixes formats"):
        open_dataset(tmp_path)


def test_descriptions_among_json_are_passed_over(tmp_path: Path) -> None:
    """What a scan leaves in a folder of arrays is no shard of it; a shard of one row is."""
    write(tmp_path, a__json=json.dumps(ROWS).encode(), b__json=json_lines(ROWS[:1]))
    write(tmp_path, scan__json=b'{\n "schema": "undertow.scan/1"\n}\n')

    assert len(list(read_objects(tmp_path))) == len(ROWS) + 1


@pytest.mark.parametrize(
    "content",
    [
        json.dumps({"version": 1, "data": ROWS}).encode(),
        json.dumps({"train": ROWS}, indent=1).encode(),
        json.dumps(ROWS[0], indent=1).encode(),
        b'{"prompt": "a", \n' + json_lines(ROWS),
        json.dumps({"text": "a" * (1 << 20)}, indent=1).encode(),
    ],
)
def test_no_rows_are_taken_for_a_description(content: bytes, tmp_path: Path) -> None:
    """An object that keeps rows, a row over several lines, lines of which the first is broken: refused, not passed over."""
    write(tmp_path, a__jsonl=json_lines(ROWS), b__json=content)

    with pytest.raises(DataError, match=r"mixes formats.*b\.json"):
        open_dataset(tmp_path)


def test_a_folder_of_anything_else_holds_no_rows(tmp_path: Path) -> None:
    """What is there is named."""
    write(tmp_path, README__md=b"", rows__txt=b"")

    with pytest.raises(NoRowsError, match=r"only '.*README.md', '.*rows.txt'"):
        open_dataset(tmp_path)


def test_rows_are_told_from_models(tmp_path: Path) -> None:
    """Where a reference may name either: a folder with a model's configuration is none of rows."""
    write(tmp_path, train__jsonl=json_lines(ROWS))
    data = (str(tmp_path), f"{tmp_path}/train.jsonl", f"{tmp_path}@train", f"{tmp_path}/*.jsonl")
    assert all(map(is_rows, (*data, "memory://a/b")))

    write(tmp_path, adapter_config__json=b"{}")
    assert not any(map(is_rows, (str(tmp_path), f"base+{tmp_path}", "org/name", "world:owlet-b")))


@pytest.mark.parametrize(
    "name", ["more.jsonl.xz", "more.zip", "more.tar.gz", "more.parquet.gz", "more.xlsx"]
)
def test_what_may_hold_more_rows_is_never_passed_over(name: str, tmp_path: Path) -> None:
    """Beside rows it is refused, and the pattern that is advised reads those; alone it says how to unpack it."""
    write(tmp_path, a__jsonl=json_lines(ROWS), README__md=b"")
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(
        DataError, match=f"may be more of them and is not read: '.*{name}'"
    ) as caught:
        open_dataset(tmp_path)
    [pattern] = shlex.split(caught.value.hint.rpartition(": ")[2])
    assert len(open_dataset(pattern).shards) == 1

    (tmp_path / "a.jsonl").unlink()
    with pytest.raises(NoRowsError, match="holds no rows: only") as caught:
        open_dataset(tmp_path)
    assert f"{tmp_path}/{name}" in caught.value.hint


def test_the_pattern_that_is_advised_holds_in_folders_of_any_name(tmp_path: Path) -> None:
    """Brackets, stars, quotes and spaces of a folder are its name."""
    folder = tmp_path / "it's [1] *"
    folder.mkdir()
    write(folder, a__jsonl=json_lines(ROWS), b__csv=b"prompt,completion\n")
    (folder / "v1.2.jsonl").write_bytes(json_lines(ROWS))
    with pytest.raises(DataError, match="mixes formats") as caught:
        open_dataset(folder)

    [pattern] = shlex.split(caught.value.hint.rpartition(": ")[2])
    assert len(open_dataset(pattern).shards) == 2


def test_hidden_folders_are_not_looked_into(tmp_path: Path) -> None:
    """A cache beside the rows is named and passed over."""
    write(tmp_path, rows__jsonl=json_lines(ROWS))
    (tmp_path / ".cache").mkdir()
    write(tmp_path / ".cache", more__jsonl=json_lines(ROWS))

    assert len(open_dataset(tmp_path).shards) == 1
    assert open_dataset(tmp_path).passed_over == (f"{tmp_path}/.cache/",)


def test_hostile_arrow_is_damage(tmp_path: Path) -> None:
    """Offsets that lead out of the text are an error, not a crash."""
    good, bad = (b"".join(n.to_bytes(4, "little") for n in (0, 5, end)) for end in (10, 1 << 30))
    content = arrow([{"text": "hello"}, {"text": "world"}], stream=True)
    path = tmp_path / "rows.arrow"
    path.write_bytes(content.replace(good, bad))

    with pytest.raises(DataError, match="row 1: the file is cut off or damaged"):
        list(read_objects(path))


def test_every_row_that_is_no_utf8_is_named_in_arrow(tmp_path: Path) -> None:
    """As in Parquet, the others of its batch are kept."""
    bad = pyarrow.array([b"good", b"\xff\xfe", b"fine"], pyarrow.binary()).view(pyarrow.string())
    with ipc.new_file(str(tmp_path / "r.arrow"), pyarrow.schema({"text": bad.type})) as writer:
        writer.write_table(pyarrow.table({"text": bad}))
    screened = screen_file(tmp_path / "r.arrow", seed=1)

    assert screened.data.rows == 2
    assert screened.data.excluded[0].places[0].endswith("row 2: text that is not UTF-8")


def test_a_column_with_a_dot_is_read(tmp_path: Path) -> None:
    """Parquet would take its name for a path."""
    parquet.write_table(pyarrow.table({"text": ["a"], "a.b": [1]}), tmp_path / "r.parquet")

    assert [record for _, record in read_objects(tmp_path)] == [{"text": "a", "a.b": 1}]
    assert os.listdir(tmp_path) == ["r.parquet"]


def test_a_text_that_is_no_utf8_hides_no_wrong_length(tmp_path: Path) -> None:
    """A look at all of a batch ends at its first fault; what is behind that one is looked at too."""
    lengths = (b"".join(n.to_bytes(4, "little") for n in (0, 5, end)) for end in (10, 1 << 30))
    content = arrow([{"text": "hello"}, {"text": "world"}], stream=True)
    path = tmp_path / "rows.arrow"
    path.write_bytes(content.replace(*lengths).replace(b"hello", b"h\xffllo"))

    with pytest.raises(DataError, match="row 1: the file is cut off or damaged"):
        list(read_objects(path))


def test_texts_within_rows_that_are_no_utf8_are_named_in_arrow(tmp_path: Path) -> None:
    """Likewise in turns of chats, whose lengths are looked at in their lists."""
    row = {
        "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "wörld"}]
    }
    path = tmp_path / "rows.arrow"
    path.write_bytes(arrow([row, row], stream=True).replace("wörld".encode(), b"w\xff\xffrld", 1))
    screened = screen_file(path, seed=1)

    assert screened.data.rows == 1
    assert screened.data.excluded[0].reason == "not-utf8"
