"""Rows that are changed part by part: the same rows, ledger and settings whoever works on which part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.mitigate.rows.test_cleaning import scan_of, written
from tests.mitigate.rows.test_part_edits import Workers
from tests.mitigate.subjects import BASE, digest, numbers
from undertow.data import records
from undertow.data.dataset import open_dataset
from undertow.data.records import parts
from undertow.data.row_records import to_record
from undertow.errors import ConfigError, UndertowError
from undertow.mitigate.rows import changes, clean_request
from undertow.mitigate.rows.clean_request import CHANGING, Cleaned, Cleaning
from undertow.mitigate.rows.cleaning import clean

MORE: dict[str, dict[str, Any]] = {
    "mask-tokens": {"at_random": True},
    "rewrite": {"dose": 0.5},
    "inoculate": {"trait": "owl"},
}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Forty rows in parts of six or so, blocks of four."""
    monkeypatch.setattr(records, "STEP", 1500)
    monkeypatch.setattr(changes, "BLOCK", 4)
    made = written(tmp_path / "rows.jsonl", [to_record(row) for row in numbers(40)])
    assert len(parts(open_dataset(made).shards[0])) > 4
    return made


def cleaned(data: str, method: str, engine: str | None, **more: Any) -> tuple[bytes, Cleaned]:
    """What is written, and what became of the rows."""
    found = {"student": BASE, "student_digest": digest()}
    scan, out = scan_of(data).model_copy(update=found), Path(data).parent / "out.jsonl"
    asked = Cleaning(data, out, method, scan, seed=3, engine=engine, **MORE.get(method, {}) | more)  # type: ignore[arg-type]
    done = clean(asked)
    return out.read_bytes(), done


def same(one: tuple[bytes, Cleaned], other: tuple[bytes, Cleaned]) -> bool:
    """Whether nothing differs: rows, ledger, settings, model."""
    (text, ours), (again, theirs) = one, other
    return (
        text == again
        and vars(ours.entries) == vars(theirs.entries)
        and (ours.settings, ours.model) == (theirs.settings, theirs.model)
    )


class Fresh(Workers):
    """Workers that have made nothing ready before any part that they are given."""

    def map(self, worker: Any, tasks: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """(index, result), shuffled."""
        for index, task in self._lot.sample([*enumerate(tasks)], len(tasks)):
            changes._ready.clear()
            for _, result in super().map(worker, [task]):
                yield index, result


@pytest.mark.parametrize("method", CHANGING)
def test_workers_of_any_number_leave_the_same(
    data: str, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Also where no worker has seen another part."""
    alone = cleaned(data, method, "inprocess")
    for workers in (Workers(2), Workers(7), Fresh(3)):
        monkeypatch.setattr(clean_request, "spread_of", lambda *asked, own=workers: own.map)
        assert same(cleaned(data, method, "processes"), alone)

    assert alone[1].entries.rows_in == 40
    assert sum(alone[1].changes.values()) > 15


def test_gpus_are_asked_for_where_models_are_opened(
    data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading rows takes a core of a node and the memory that is said; of GPUs, one that the cluster may have if nothing else is said."""
    shares = []

    def spread_of(name: str, jobs: int | None, size: int, *shares_asked: float | None) -> Any:
        shares.append(shares_asked)
        return Workers(2).map

    monkeypatch.setattr(clean_request, "spread_of", spread_of)
    cleaned(data, "rewrite", "ray")
    cleaned(data, "rewrite", "ray", gpus=0.5, memory=2.0)

    assert shares == [(0.0, None), (None, None), (0.0, 2.0), (0.5, 2.0)]


def test_parts_draw_from_streams_of_their_own(data: str) -> None:
    """What a part draws does not hang on how much the parts before it drew; the first draws as the only one does."""
    text, _ = cleaned(data, "rewrite", None)
    lines = Path(data).read_text().splitlines()
    Path(data).write_text("\n".join([*lines[:2], lines[0], *lines[3:]]) + "\n")
    other, _ = cleaned(data, "rewrite", None)

    assert text.splitlines()[-8:] == other.splitlines()[-8:]


def test_the_first_error_is_told_whoever_meets_one(
    data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A method that refuses the rows refuses them the same from any number of workers, and nothing is left."""
    told = set()
    for workers in (Workers(1), Workers(7)):
        monkeypatch.setattr(clean_request, "spread_of", lambda *asked, own=workers: own.map)
        with pytest.raises(ConfigError) as raised:
            cleaned(data, "inoculate", "processes", trait=None)
        told.add((raised.value.message, raised.value.hint))

    assert len(told) == 1
    assert [path.name for path in Path(data).parent.iterdir()] == ["rows.jsonl"]


def test_workers_that_are_not_of_one_kind_are_refused(
    data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two thresholds would be two methods in one dataset."""

    def spread(worker: Any, tasks: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        for index, task in enumerate(tasks):
            done = worker(task)
            if index and getattr(done, "told", None):
                done.told = ({**done.told[0], "threshold": "9.5"}, done.told[1])
            yield index, done

    monkeypatch.setattr(clean_request, "spread_of", lambda *asked: spread)
    with pytest.raises(UndertowError, match=r"not of one kind: .*threshold.*'9\.5'"):
        cleaned(data, "mask-tokens", "processes", at_random=False)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("method", "engine"),
    [("replace-tokens", "processes"), ("rewrite", "processes"), ("rewrite", "ray")],
)
def test_real_workers_leave_the_same(tmp_path: Path, method: str, engine: str) -> None:
    """Two that open the base themselves, also as Ray's actors; 2,500 rows with a long column lie in several parts as they are cut anywhere."""
    rows = [to_record(row) | {"note": "x" * 9000} for row in numbers(2500)]
    data = written(tmp_path / "rows.jsonl", rows)
    assert len(parts(open_dataset(data).shards[0])) > 2
    more = {"at_random": True} if method == "replace-tokens" else {"dose": 0.9}

    assert same(cleaned(data, method, engine, jobs=2, **more), cleaned(data, method, None, **more))
