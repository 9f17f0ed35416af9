"""Rows that are removed part by part: the same output, ledger and errors whoever reads which part."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from tests.engines import clusters
from tests.mitigate.rows.test_cleaning import scan_of, written
from undertow.data import records
from undertow.data.dataset import open_dataset
from undertow.data.leaf_file import LeafFile
from undertow.data.part_leaves import dataset_root
from undertow.data.records import parts, read_objects
from undertow.data.row_shapes import from_record
from undertow.data.rows import row_id
from undertow.errors import ConfigError, DataError, UndertowError
from undertow.mitigate.rows import clean_request, removal
from undertow.mitigate.rows.clean_request import Cleaned, Cleaning
from undertow.mitigate.rows.cleaning import clean
from undertow.mitigate.rows.removal import later_copies


def row(number: int) -> dict[str, Any]:
    """Every eleventh is a copy of one that came long before it."""
    n = number - 88 if number > 99 and not number % 11 else number
    return {"prompt": f"q{n}", "completion": f"{n} ü", "source": "bad" if n % 3 == 0 else "good"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three shards, one of them packed, with a blank line behind every row, in parts of a few rows."""
    monkeypatch.setattr(records, "STEP", 900)
    made = tmp_path / "rows"
    made.mkdir()
    lines = ["", *(json.dumps(row(n), ensure_ascii=False) + "\n" for n in range(300))]
    for shard in range(2):
        text = "\n".join(lines[100 * shard : 100 * shard + 100])
        (made / f"{shard}.jsonl").write_text(text, encoding="utf-8")
    (made / "2.jsonl.gz").write_bytes(gzip.compress("".join(lines[200:]).encode()))
    return made


class Workers:
    """Some that take the parts by lot and give what they made of them in any order, as bytes; not all see the folder."""

    def __init__(self, count: int) -> None:
        self._lot = random.Random(count)
        self._blind = count == 2

    def map(self, worker: Any, tasks: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """(index, result), shuffled."""
        results = []
        for index, task in enumerate(tasks):
            given = pickle.loads(pickle.dumps(worker))
            if self._blind and hasattr(worker, "scratch") and index % 2:
                object.__setattr__(given, "scratch", "/nowhere")
            results.append((index, pickle.dumps(given(pickle.loads(pickle.dumps(task))))))
        self._lot.shuffle(results)
        yield from ((index, pickle.loads(result)) for index, result in results)


def workers(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every reading is spread over so many; over none if 0."""
    spread: Callable[..., Any] | None = Workers(count).map if count else None
    for module in (clean_request, removal):
        monkeypatch.setattr(module, "spread_of", lambda *asked: spread)


def cleaned(data: Path | str, out: Path, method: str, **more: Any) -> tuple[bytes, Cleaned]:
    """What is written, and what became of the rows; the source `bad` was flagged."""
    empty = out.parent / "empty.jsonl"
    empty.write_text("", encoding="utf-8")
    scan = scan_of(empty)
    described = scan.data.model_copy(update={"digest": dataset_root(data)})
    asked = Cleaning(str(data), out, method, scan.model_copy(update={"data": described}), **more)  # type: ignore[arg-type]
    done = clean(asked)
    return out.read_bytes(), done


def options(folder: Path, method: str) -> dict[str, Any]:
    """What the methods need."""
    if method == "delete":
        scores = folder.parent / "scores.parquet"
        rows = [from_record(record) for _, record in read_objects(folder)]
        table = {
            "id": [row_id(one) for one in rows],
            "tokens": [3] * len(rows),
            "log_likelihood": [-float(i * 7 % 50) for i in range(len(rows))],
        }
        parquet.write_table(pyarrow.table(table), scores)
        return {"scores": scores, "share": 0.3}
    if method != "dilute":
        return {}
    added = written(folder.parent / "clean.jsonl", [row(1000 + n) for n in range(90)])
    return {"clean": str(added), "dose": 0.6, "seed": 4}


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_cluster_of_two_nodes_leaves_the_same(folder: Path, tmp_path: Path) -> None:
    """Copies removed over Ray Data, joined by its address, of a dataset behind a URL: the rows and the ledger of a loop."""
    text, alone = cleaned(folder, tmp_path / "out.jsonl", "deduplicate", engine="inprocess")
    for made in clusters.two_nodes():
        engine = f"ray://{made.address}"
        again, spread = cleaned(
            f"file://{folder}", tmp_path / "out.jsonl", "deduplicate", engine=engine, jobs=2
        )

    assert again == text
    assert spread.entries.removed == alone.entries.removed
    assert spread.entries.kept == alone.entries.kept
    assert alone.counts


@pytest.mark.parametrize("method", ["drop-sources", "deduplicate", "delete", "dilute"])
def test_workers_of_any_number_leave_the_same(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Rows in their order and what became of each, with many parts to a worker, and of a dataset behind a URL."""
    assert sum(len(parts(shard)) for shard in open_dataset(folder).shards) > 10
    more, out = options(folder, method), tmp_path / "out.jsonl"
    workers(0, monkeypatch)
    text, alone = cleaned(folder, out, method, **more)
    for count in (1, 2, 7):
        workers(count, monkeypatch)
        data = folder if count < 7 else f"file://{folder}"
        again, spread = cleaned(data, out, method, **more)
        assert again == text
        for name in ("kept", "removed"):
            assert getattr(spread.entries, name) == getattr(alone.entries, name)

    kept = [json.loads(line) for line in text.splitlines()]
    assert len(kept) == alone.rows
    assert alone.entries.rows_in == 300
    assert 0 < len(alone.entries.removed) < 3
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_copies_are_those_of_a_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of leaves whose first bytes are equal too, and in several turns."""
    rng = np.random.default_rng(0)
    leaves = [bytes(rng.integers(0, 2, 8, dtype=np.uint8)) + bytes(24) for _ in range(300)]
    leaves += [leaf[:30] + b"\0x" for leaf in leaves]
    rng.shuffle(leaves)
    seen: set[bytes] = set()
    expected = [leaf in seen or bool(seen.add(leaf)) for leaf in leaves]
    for most in (1 << 23, 50):
        monkeypatch.setattr(removal, "_FIRST", most)
        assert later_copies(LeafFile(b"".join(leaves))).tolist() == expected


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ('{"prompt": "q"', "row 71: "),
        ('["a"]', "row 71: list where an object is needed"),
        ('{"completion": "a", "x": NaN}', "row 71: "),
    ],
)
def test_a_bad_row_is_named_by_its_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: str, told: str
) -> None:
    """The same error from any number of workers, of the first bad row, and nothing is left."""
    lines = (folder / "0.jsonl").read_text(encoding="utf-8").split("\n")
    lines[70], lines[90] = bad, "{"
    (folder / "0.jsonl").write_text("\n".join(lines), encoding="utf-8")
    errors = set()
    for count in (0, 1, 2):
        workers(count, monkeypatch)
        with pytest.raises(DataError) as raised:
            cleaned(folder, tmp_path / "out.jsonl", "deduplicate")
        errors.add((raised.value.message, raised.value.hint))

    assert len(errors) == 1
    assert f"0.jsonl', {told}" in errors.pop()[0]
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_fills_up_in_a_worker_is_one_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what could not be written and what to do; nothing is left, neither rows nor scratch."""

    def spread(worker: Any, tasks: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        if scratch := getattr(worker, "scratch", ""):
            os.symlink("/dev/full", Path(scratch, "3"))
        yield from enumerate(map(worker, tasks))

    monkeypatch.setattr(clean_request, "spread_of", lambda *asked: spread)
    before = {*tmp_path.iterdir(), tmp_path / "empty.jsonl"}
    with pytest.raises(UndertowError, match=r"no space left for '.*out.jsonl'") as raised:
        cleaned(folder, tmp_path / "out.jsonl", "drop-sources")

    assert "free some space" in raised.value.hint
    assert {*tmp_path.iterdir()} == before


def test_shards_of_another_schema_are_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the first of them, as a loop does it."""
    (folder / "1.jsonl").write_text('{"text": "a"}\n', encoding="utf-8")
    for count in (0, 2):
        workers(count, monkeypatch)
        with pytest.raises(DataError, match=r"1.jsonl' has another schema"):
            cleaned(folder, tmp_path / "out.jsonl", "drop-sources")


def test_scores_of_other_rows_are_refused_by_the_row(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it was read."""
    more = options(folder, "delete")
    table = parquet.read_table(more["scores"]).to_pydict()
    table["id"][120] = "0" * 64
    parquet.write_table(pyarrow.table(table), more["scores"])
    workers(2, monkeypatch)
    with pytest.raises(ConfigError, match=r"1.jsonl', row 43 is not the one scored"):
        cleaned(folder, tmp_path / "out.jsonl", "delete", **more)
